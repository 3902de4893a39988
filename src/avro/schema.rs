//! A schema as a graph: every name resolved, so that nothing downstream looks one up again.
//!
//! In: the schema's JSON. Out: nodes that refer to each other by [`TypeId`]; a record may contain itself. What
//! Avro allows to be ignored (unknown attributes, an unusable logical type) is ignored; what would make two
//! readers disagree (an undefined name, a name defined twice) is an error that names the place.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value as Json;

/// Why a text is not a schema. `at` is a path of record and field names.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("{at}: {rule}")]
    Rule { at: String, rule: String },
}

/// A node's place in its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(usize);

/// A name with its namespace; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}.", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// One type of a schema.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    /// `timestamp-millis`, `decimal`: how the value is meant. It changes no byte.
    pub logical: Option<String>,
}

/// What a value is made of.
#[derive(Debug, Clone)]
pub enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed {
        name: Name,
        aliases: Vec<String>,
        size: usize,
    },
    Enum {
        name: Name,
        aliases: Vec<String>,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Record),
}

impl Kind {
    /// Avro's word for it; of a named type, its name.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::String => "string".to_owned(),
            Self::Fixed { name, .. } => format!("fixed {}", name.name),
            Self::Enum { name, .. } => format!("enum {}", name.name),
            Self::Array(_) => "array".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Union(_) => "union".to_owned(),
            Self::Record(record) => format!("record {}", record.name.name),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Record {
    pub name: Name,
    /// Full names.
    pub aliases: Vec<String>,
    pub doc: Option<String>,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub type_id: TypeId,
    /// As JSON; `Some(Null)` is the default null.
    pub default: Option<Json>,
    pub doc: Option<String>,
}

/// A whole schema.
#[derive(Clone)]
pub struct Schema {
    nodes: Vec<Node>,
    root: TypeId,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.node(self.root).kind.describe())
    }
}

impl Schema {
    /// # Errors
    /// When the text is no JSON, or not an Avro schema.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        Self::from_json(&serde_json::from_str(json)?)
    }

    /// # Errors
    /// When the JSON is not an Avro schema.
    pub fn from_json(json: &Json) -> Result<Self, SchemaError> {
        let mut parser = Parser::default();
        let root = parser.any(json, "", &mut Vec::new())?;
        Ok(Self {
            nodes: parser.nodes,
            root,
        })
    }

    pub const fn root(&self) -> TypeId {
        self.root
    }

    pub fn node(&self, id: TypeId) -> &Node {
        const NULL: &Node = &Node {
            kind: Kind::Null,
            logical: None,
        };
        // An id of another schema is a bug of the caller; it must not take the process down.
        self.nodes.get(id.0).unwrap_or(NULL)
    }

    pub fn kind(&self, id: TypeId) -> &Kind {
        &self.node(id).kind
    }

    /// The root, if it is a record.
    pub fn record(&self) -> Option<&Record> {
        self.as_record(self.root)
    }

    pub fn as_record(&self, id: TypeId) -> Option<&Record> {
        match self.kind(id) {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }

    /// The branches of a union; of any other type, itself.
    pub fn branches(&self, id: TypeId) -> Vec<TypeId> {
        match self.kind(id) {
            Kind::Union(branches) => branches.clone(),
            _ => vec![id],
        }
    }

    /// The index of the branch `null`, where the type is a union with one.
    pub fn null_branch(&self, id: TypeId) -> Option<usize> {
        match self.kind(id) {
            Kind::Union(branches) => branches
                .iter()
                .position(|branch| matches!(self.kind(*branch), Kind::Null)),
            _ => None,
        }
    }

    /// The type in words: `union [null, string]`, `array of long`, `record Address`.
    pub fn describe(&self, id: TypeId) -> String {
        let node = self.node(id);
        let text = match &node.kind {
            Kind::Union(branches) => {
                let branches: Vec<_> = branches.iter().map(|branch| self.describe(*branch)).collect();
                format!("[{}]", branches.join(", "))
            }
            Kind::Array(items) => format!("array of {}", self.kind(*items).describe()),
            Kind::Map(values) => format!("map of {}", self.kind(*values).describe()),
            kind => kind.describe(),
        };
        match &node.logical {
            Some(logical) => format!("{text} ({logical})"),
            None => text,
        }
    }
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
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
        });
        TypeId(self.nodes.len() - 1)
    }

    fn any<'a>(
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
                self.define(&name, kind, logical)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Schema::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn names_are_resolved_in_their_namespace_and_used_again() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"A","namespace":"n.s","fields":[
                {"name":"one","type":["null",{"type":"record","name":"Address","fields":[{"name":"Street","type":"string"}]}],"default":null},
                {"name":"two","type":["null","Address"]},
                {"name":"three","type":"n.s.Address"},
                {"name":"self","type":["null","A"]}]}"#,
        )
        .unwrap();
        let record = schema.record().unwrap();
        assert_eq!(record.name.to_string(), "n.s.A");
        let branch = |field: usize| schema.branches(record.fields[field].type_id);
        assert_eq!(branch(0)[1], branch(1)[1]);
        assert_eq!(branch(2), [branch(1)[1]]);
        assert_eq!(branch(3)[1], schema.root());
        assert_eq!(record.fields[0].default, Some(Json::Null));
        assert_eq!(record.fields[1].default, None);
        assert_eq!(
            schema.describe(record.fields[0].type_id),
            "[null, record Address]"
        );
    }

    #[test]
    fn logical_types_are_kept_wherever_they_stand() {
        let schema = Schema::parse(r#"["null",{"type":"long","logicalType":"timestamp-millis"}]"#).unwrap();
        assert_eq!(schema.describe(schema.root()), "[null, long (timestamp-millis)]");
        assert_eq!(schema.null_branch(schema.root()), Some(0));
    }

    #[test]
    fn what_readers_would_disagree_about_is_refused_with_its_place() {
        assert_eq!(
            refused(r#"{"type":"record","name":"A","fields":[{"name":"x","type":"Nowhere"}]}"#),
            "x: the type Nowhere is not defined before its use"
        );
        assert_eq!(
            refused(
                r#"{"type":"record","name":"A","fields":[{"name":"x","type":"int"},{"name":"x","type":"int"}]}"#
            ),
            "x: the record A has this field twice"
        );
        assert_eq!(
            refused(r#"["int","int"]"#),
            "the schema: the union holds int twice"
        );
        assert_eq!(
            refused(r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#),
            "the schema: the enum E has no symbol B, its default"
        );
        assert_eq!(refused("7"), "the schema: a type is a name, a list or an object");
        assert_eq!(refused("{"), "the schema is not JSON");
    }
}
