//! A schema's JSON, read from the root down; names are defined before they are used.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{Field, Kind, Name, Node, Record, SchemaError, TypeId};

/// The nodes so far, and the names that they define.
#[derive(Default)]
pub(super) struct Parser {
    pub(super) nodes: Vec<Node>,
    names: HashMap<String, TypeId>,
}

type Path<'a> = Vec<&'a str>;

fn wrong(path: &Path<'_>, rule: impl Into<String>) -> SchemaError {
    let at = if path.is_empty() {
        "the schema".to_owned()
    } else {
        path.join(".")
    };
    SchemaError::Rule {
        at,
        rule: rule.into(),
    }
}

fn text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Json::as_str)
}

fn texts(json: &Json, key: &str) -> Vec<String> {
    let list = json.get(key).and_then(Json::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect()
}

/// Avro's names: letters, digits and `_`, not beginning with a digit.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '_')
}

impl Parser {
    fn push(&mut self, kind: Kind, logical: Option<&str>) -> TypeId {
        self.nodes.push(Node {
            kind,
            logical: logical.map(str::to_owned),
            scale: 0,
        });
        TypeId(self.nodes.len() - 1)
    }

    pub(super) fn any<'a>(
        &mut self,
        json: &'a Json,
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<TypeId, SchemaError> {
        match json {
            Json::String(name) => self.named(name, namespace, None, path),
            Json::Array(branches) => self.union(branches, namespace, path),
            Json::Object(_) => self.object(json, namespace, path),
            _ => Err(wrong(path, "a type is a name, a list or an object")),
        }
    }

    /// A primitive type, or a name that was defined before.
    fn named(
        &mut self,
        name: &str,
        namespace: &str,
        logical: Option<&str>,
        path: &Path<'_>,
    ) -> Result<TypeId, SchemaError> {
        let kind = match name {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "int" => Kind::Int,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "bytes" => Kind::Bytes,
            "string" => Kind::String,
            _ => {
                let full = full_name(name, namespace);
                return match self.names.get(&full) {
                    Some(id) => Ok(*id),
                    None => Err(wrong(
                        path,
                        format!("the type {full} is not defined before its use"),
                    )),
                };
            }
        };
        Ok(self.push(kind, logical))
    }

    fn union<'a>(
        &mut self,
        branches: &'a [Json],
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<TypeId, SchemaError> {
        let mut ids = Vec::with_capacity(branches.len());
        let mut seen: Vec<String> = Vec::with_capacity(branches.len());
        for branch in branches {
            if branch.is_array() {
                return Err(wrong(path, "a union holds no union"));
            }
            let id = self.any(branch, namespace, path)?;
            let what = match &self.nodes[id.0].kind {
                Kind::Record(Record { name, .. }) | Kind::Enum { name, .. } | Kind::Fixed { name, .. } => {
                    name.to_string()
                }
                kind => kind.describe(),
            };
            if seen.contains(&what) {
                return Err(wrong(path, format!("the union holds {what} twice")));
            }
            seen.push(what);
            ids.push(id);
        }
        Ok(self.push(Kind::Union(ids), None))
    }

    fn object<'a>(
        &mut self,
        json: &'a Json,
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<TypeId, SchemaError> {
        let logical = text(json, "logicalType");
        let Some(type_) = json.get("type") else {
            return Err(wrong(path, "the type has no `type`"));
        };
        let Json::String(type_) = type_ else {
            // `{"type": {"type": "long"}}`, as some tools write it.
            return self.any(type_, namespace, path);
        };
        match type_.as_str() {
            "array" | "map" => {
                let key = if type_ == "array" { "items" } else { "values" };
                let Some(inner) = json.get(key) else {
                    return Err(wrong(path, format!("the {type_} has no `{key}`")));
                };
                let inner = self.any(inner, namespace, path)?;
                let kind = if type_ == "array" {
                    Kind::Array(inner)
                } else {
                    Kind::Map(inner)
                };
                Ok(self.push(kind, logical))
            }
            "record" | "error" => self.record(json, namespace, path),
            "enum" => {
                let (name, aliases) = self.name(json, namespace, path)?;
                let symbols = texts(json, "symbols");
                if symbols.is_empty() {
                    return Err(wrong(path, format!("the enum {name} has no symbols")));
                }
                let default = text(json, "default").map(str::to_owned);
                if let Some(stray) = default.as_ref().filter(|default| !symbols.contains(default)) {
                    return Err(wrong(
                        path,
                        format!("the enum {name} has no symbol {stray}, its default"),
                    ));
                }
                let kind = Kind::Enum {
                    name: name.clone(),
                    aliases,
                    symbols,
                    default,
                };
                self.define(&name, kind, logical)
            }
            "fixed" => {
                let (name, aliases) = self.name(json, namespace, path)?;
                let size = json.get("size").and_then(Json::as_u64);
                let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
                    return Err(wrong(path, format!("the fixed {name} has no `size`")));
                };
                let kind = Kind::Fixed {
                    name: name.clone(),
                    aliases,
                    size,
                };
                let id = self.define(&name, kind, logical)?;
                self.scale(id, json);
                Ok(id)
            }
            "bytes" => {
                let id = self.push(Kind::Bytes, logical);
                self.scale(id, json);
                Ok(id)
            }
            name => self.named(name, namespace, logical, path),
        }
    }

    fn record<'a>(
        &mut self,
        json: &'a Json,
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<TypeId, SchemaError> {
        let (name, aliases) = self.name(json, namespace, path)?;
        let Some(fields) = json.get("fields").and_then(Json::as_array) else {
            return Err(wrong(path, format!("the record {name} has no `fields`")));
        };
        // Defined before its fields are read: one of them may be of this very type.
        let empty = Record {
            name: name.clone(),
            aliases: aliases.clone(),
            doc: None,
            fields: Vec::new(),
        };
        let id = self.define(&name, Kind::Record(empty), None)?;
        let mut parsed: Vec<Field> = Vec::with_capacity(fields.len());
        for field in fields {
            let field_name = text(field, "name").unwrap_or_default();
            path.push(field_name);
            if !is_name(field_name) {
                return Err(wrong(path, "a field needs a name of letters, digits and `_`"));
            }
            if parsed.iter().any(|earlier| earlier.name == field_name) {
                return Err(wrong(path, format!("the record {name} has this field twice")));
            }
            let Some(type_) = field.get("type") else {
                return Err(wrong(path, "the field has no `type`"));
            };
            let type_id = self.any(type_, &name.namespace, path)?;
            path.pop();
            parsed.push(Field {
                name: field_name.to_owned(),
                aliases: texts(field, "aliases"),
                type_id,
                default: field.get("default").cloned(),
                doc: text(field, "doc").map(str::to_owned),
            });
        }
        self.nodes[id.0].kind = Kind::Record(Record {
            name,
            aliases,
            doc: text(json, "doc").map(str::to_owned),
            fields: parsed,
        });
        Ok(id)
    }

    /// A definition's name and the full names of its aliases.
    fn name(
        &self,
        json: &Json,
        namespace: &str,
        path: &Path<'_>,
    ) -> Result<(Name, Vec<String>), SchemaError> {
        let given = text(json, "name").unwrap_or_default();
        let namespace = text(json, "namespace").unwrap_or(namespace);
        let full = full_name(given, namespace);
        let (namespace, name) = full.rsplit_once('.').unwrap_or(("", &full));
        if !is_name(name) || !(namespace.is_empty() || namespace.split('.').all(is_name)) {
            return Err(wrong(
                path,
                "a record, enum or fixed needs a name of letters, digits and `_`",
            ));
        }
        let aliases = texts(json, "aliases");
        let aliases = aliases.iter().map(|alias| full_name(alias, namespace)).collect();
        let name = Name {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        Ok((name, aliases))
    }

    fn scale(&mut self, id: TypeId, json: &Json) {
        let scale = json.get("scale").and_then(Json::as_u64);
        if let (Some(scale), Some(node)) = (
            scale.and_then(|scale| u32::try_from(scale).ok()),
            self.nodes.get_mut(id.0),
        ) {
            node.scale = scale;
        }
    }

    fn define(&mut self, name: &Name, kind: Kind, logical: Option<&str>) -> Result<TypeId, SchemaError> {
        let id = self.push(kind, logical);
        if self.names.insert(name.to_string(), id).is_some() {
            return Err(SchemaError::Rule {
                at: name.to_string(),
                rule: "is defined twice".to_owned(),
            });
        }
        Ok(id)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.trim_start_matches('.').to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}
