//! The schema of a followed contract, from the schema that Salesforce serves.
//!
//! It is Salesforce's own, with the same wire bytes, but for two things: a field that Salesforce's `doc` calls a
//! DateTime gets `logicalType: timestamp-millis`, and fields that the output does not write are left out. A named
//! type whose definition stood in a field that is left out is defined at its first use that stays; a compound
//! field of which only some children are written is a record of its own, named after the field.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use crate::config::FieldSelection;

/// The field that stays in a selection unless it is excluded by name.
const HEADER_FIELD: &str = "ChangeEventHeader";

#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    #[error("the schema is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("the schema is not a record")]
    NotARecord,
    #[error("`fields` leaves no field of {record} to write")]
    NothingLeft { record: String },
}

/// A derived schema, and what of the selection it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    pub json: String,
    /// Names of the selection that the schema does not have.
    pub unknown: Vec<String>,
}

/// Derives a followed contract's schema. `selection` is what the output writes; None writes everything.
///
/// # Errors
/// When the schema is not a record, or nothing of it is left.
pub fn derive(salesforce_schema: &str, selection: Option<&FieldSelection>) -> Result<Derived, DeriveError> {
    let source: Json = serde_json::from_str(salesforce_schema)?;
    let (Some(root), Some(fields)) = (source.as_object(), source.get("fields").and_then(Json::as_array))
    else {
        return Err(DeriveError::NotARecord);
    };
    let namespace = root.get("namespace").and_then(Json::as_str).unwrap_or_default();
    let mut writer = Writer {
        definitions: HashMap::new(),
        written: HashSet::new(),
    };
    writer.collect(&source, namespace);
    let mut wanted = Wanted::new(selection);
    let mut kept = Vec::new();
    for field in fields {
        let name = field.get("name").and_then(Json::as_str).unwrap_or_default();
        let Some(children) = wanted.field(name, &writer.children(field, namespace)) else {
            continue;
        };
        let mut field = field.clone();
        if let Some(type_) = field.get("type").cloned() {
            let type_ = writer.emit(
                &type_,
                namespace,
                children.as_ref().map(|children| (name, children)),
            );
            let is_time = doc_type(&field) == Some("DateTime");
            field["type"] = if is_time { timed(type_) } else { type_ };
        }
        kept.push(field);
    }
    let record = root.get("name").and_then(Json::as_str).unwrap_or_default();
    if kept.is_empty() {
        return Err(DeriveError::NothingLeft {
            record: record.to_owned(),
        });
    }
    let mut derived = root.clone();
    derived.insert("fields".to_owned(), Json::Array(kept));
    Ok(Derived {
        json: Json::Object(derived).to_string(),
        unknown: wanted.unknown(),
    })
}

/// `role:type[:field id]` → the type.
fn doc_type(field: &Json) -> Option<&str> {
    field.get("doc")?.as_str()?.split(':').nth(1)
}

/// The same type, its `long` a `timestamp-millis`.
fn timed(type_: Json) -> Json {
    match type_ {
        Json::String(name) if name == "long" => json!({"type": "long", "logicalType": "timestamp-millis"}),
        Json::Array(branches) => Json::Array(branches.into_iter().map(timed).collect()),
        other => other,
    }
}

/// Which fields an output writes, and which of its names were met.
struct Wanted<'a> {
    selection: Option<&'a FieldSelection>,
    met: BTreeSet<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(selection: Option<&'a FieldSelection>) -> Self {
        Self {
            selection,
            met: BTreeSet::new(),
        }
    }

    /// None: not written. `Some(None)`: whole. `Some(Some(children))`: only these children.
    fn field(&mut self, name: &str, children: &[String]) -> Option<Option<Vec<String>>> {
        let Some(selection) = self.selection else {
            return Some(None);
        };
        let (FieldSelection::Include(list) | FieldSelection::Exclude(list)) = selection;
        let whole = list.iter().find(|entry| *entry == name);
        let some: Vec<&String> = list
            .iter()
            .filter(|entry| {
                let child = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
                child.is_some_and(|child| children.iter().any(|known| known == child))
            })
            .collect();
        self.met
            .extend(whole.into_iter().chain(some.iter().copied()).map(String::as_str));
        let named = |child: &String| some.iter().any(|entry| entry.ends_with(&format!(".{child}")));
        match selection {
            FieldSelection::Include(_) if name == HEADER_FIELD || whole.is_some() => Some(None),
            FieldSelection::Include(_) if some.is_empty() => None,
            FieldSelection::Include(_) => Some(Some(
                children.iter().filter(|child| named(child)).cloned().collect(),
            )),
            FieldSelection::Exclude(_) if whole.is_some() => None,
            FieldSelection::Exclude(_) if some.is_empty() => Some(None),
            FieldSelection::Exclude(_) => {
                let rest: Vec<String> = children.iter().filter(|child| !named(child)).cloned().collect();
                (!rest.is_empty()).then_some(Some(rest))
            }
        }
    }

    fn unknown(&self) -> Vec<String> {
        let Some(FieldSelection::Include(list) | FieldSelection::Exclude(list)) = self.selection else {
            return Vec::new();
        };
        let stays = |name: &&String| !self.met.contains(name.as_str()) && *name != HEADER_FIELD;
        list.iter().filter(stays).cloned().collect()
    }
}

/// Writes types, each named one defined at its first use.
struct Writer {
    /// By full name, with the namespace that its own names are relative to.
    definitions: HashMap<String, (Json, String)>,
    written: HashSet<String>,
}

impl Writer {
    fn collect(&mut self, type_: &Json, namespace: &str) {
        match type_ {
            Json::Array(branches) => branches.iter().for_each(|branch| self.collect(branch, namespace)),
            Json::Object(object) => {
                let inner = namespace_of(object, namespace);
                if let Some(full) = defined_name(object, namespace) {
                    self.definitions.insert(full, (type_.clone(), inner.clone()));
                }
                for key in ["type", "items", "values"] {
                    if let Some(nested @ (Json::Array(_) | Json::Object(_))) = object.get(key) {
                        self.collect(nested, &inner);
                    }
                }
                for field in object
                    .get("fields")
                    .and_then(Json::as_array)
                    .into_iter()
                    .flatten()
                {
                    if let Some(nested) = field.get("type") {
                        self.collect(nested, &inner);
                    }
                }
            }
            _ => {}
        }
    }

    /// The definition of the record among a type's branches.
    fn record<'a>(&'a self, type_: &'a Json, namespace: &str) -> Option<&'a Map<String, Json>> {
        match type_ {
            Json::Array(branches) => branches.iter().find_map(|branch| self.record(branch, namespace)),
            Json::String(name) => {
                let (definition, _) = self.definitions.get(&full_name(name, namespace))?;
                definition
                    .as_object()
                    .filter(|object| object.contains_key("fields"))
            }
            Json::Object(object) if object.contains_key("fields") => Some(object),
            _ => None,
        }
    }

    fn children(&self, field: &Json, namespace: &str) -> Vec<String> {
        let record = field.get("type").and_then(|type_| self.record(type_, namespace));
        let fields = record
            .and_then(|record| record.get("fields"))
            .and_then(Json::as_array);
        fields
            .into_iter()
            .flatten()
            .filter_map(|child| child.get("name").and_then(Json::as_str))
            .map(str::to_owned)
            .collect()
    }

    /// A type as it stands in the derived schema. `part` is a field of which only some children stay.
    fn emit(&mut self, type_: &Json, namespace: &str, part: Option<(&str, &Vec<String>)>) -> Json {
        match type_ {
            Json::Array(branches) => Json::Array(
                branches
                    .iter()
                    .map(|branch| self.emit(branch, namespace, part))
                    .collect(),
            ),
            Json::String(name) => {
                let full = full_name(name, namespace);
                match self.definitions.get(&full).cloned() {
                    Some((definition, inner)) if part.is_some() || !self.written.contains(&full) => {
                        self.emit(&definition, &inner, part)
                    }
                    _ => type_.clone(),
                }
            }
            Json::Object(object) => {
                let mut object = object.clone();
                let inner = namespace_of(&object, namespace);
                if let Some((field, children)) = part.filter(|_| object.contains_key("fields")) {
                    let name = object.get("name").and_then(Json::as_str).unwrap_or_default();
                    object.insert("name".to_owned(), format!("{field}_{name}").into());
                    let keep = |child: &Json| {
                        let name = child.get("name").and_then(Json::as_str);
                        name.is_some_and(|name| children.iter().any(|kept| kept == name))
                    };
                    if let Some(Json::Array(fields)) = object.get_mut("fields") {
                        fields.retain(keep);
                    }
                } else if let Some(full) = defined_name(&object, namespace)
                    && !self.written.insert(full.clone())
                {
                    return full.into();
                }
                for key in ["type", "items", "values"] {
                    if let Some(nested @ (Json::Array(_) | Json::Object(_))) =
                        object.get(key).cloned().as_ref()
                    {
                        let nested = self.emit(nested, &inner, None);
                        object.insert(key.to_owned(), nested);
                    } else if key != "type"
                        && let Some(nested @ Json::String(_)) = object.get(key).cloned().as_ref()
                    {
                        let nested = self.emit(nested, &inner, None);
                        object.insert(key.to_owned(), nested);
                    }
                }
                if let Some(Json::Array(fields)) = object.get_mut("fields") {
                    for field in fields {
                        if let Some(nested) = field.get("type").cloned() {
                            field["type"] = self.emit(&nested, &inner, None);
                        }
                    }
                }
                Json::Object(object)
            }
            other => other.clone(),
        }
    }
}

/// The full name of a record, an enum or a fixed.
fn defined_name(object: &Map<String, Json>, namespace: &str) -> Option<String> {
    let kind = object.get("type").and_then(Json::as_str)?;
    if !matches!(kind, "record" | "error" | "enum" | "fixed") {
        return None;
    }
    let name = object.get("name").and_then(Json::as_str)?;
    let own = object.get("namespace").and_then(Json::as_str);
    Some(full_name(name, own.unwrap_or(namespace)))
}

/// The namespace of the names inside a definition.
fn namespace_of(object: &Map<String, Json>, namespace: &str) -> String {
    let own = defined_name(object, namespace);
    let own = own.map(|full| {
        full.rsplit_once('.')
            .map_or(String::new(), |(namespace, _)| namespace.to_owned())
    });
    own.unwrap_or_else(|| namespace.to_owned())
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{Kind, Schema};

    const ACCOUNT: &str = r#"{"type":"record","name":"AccountChangeEvent","namespace":"com.sforce.eventbus","fields":[
        {"name":"ChangeEventHeader","type":{"type":"record","name":"ChangeEventHeader","fields":[{"name":"entityName","type":"string"}]}},
        {"name":"Name","type":["null","string"],"doc":"Data:Text","default":null},
        {"name":"BillingAddress","type":["null",{"type":"record","name":"Address","fields":[
            {"name":"Street","type":["null","string"],"default":null},{"name":"City","type":["null","string"],"default":null}]}],"default":null},
        {"name":"ShippingAddress","type":["null","Address"],"default":null},
        {"name":"LastModifiedDate","type":["null","long"],"doc":"Data:DateTime:00N","default":null},
        {"name":"Day__c","type":["null","long"],"doc":"Data:DateOnly:00N","default":null}]}"#;

    fn include(names: &[&str]) -> FieldSelection {
        FieldSelection::Include(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn exclude(names: &[&str]) -> FieldSelection {
        FieldSelection::Exclude(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn shown(selection: Option<&FieldSelection>) -> Vec<String> {
        let derived = derive(ACCOUNT, selection).unwrap();
        let schema = Schema::parse(&derived.json).unwrap();
        let describe =
            |field: &crate::avro::Field| format!("{} {}", field.name, schema.describe(field.type_id));
        schema.record().unwrap().fields.iter().map(describe).collect()
    }

    #[test]
    fn only_what_the_doc_calls_a_date_time_becomes_a_timestamp() {
        assert_eq!(
            shown(None),
            [
                "ChangeEventHeader record ChangeEventHeader",
                "Name [null, string]",
                "BillingAddress [null, record Address]",
                "ShippingAddress [null, record Address]",
                "LastModifiedDate [null, long (timestamp-millis)]",
                "Day__c [null, long]",
            ]
        );
    }

    #[test]
    fn a_type_is_defined_at_its_first_use_that_stays() {
        assert_eq!(
            shown(Some(&include(&["ShippingAddress"]))),
            [
                "ChangeEventHeader record ChangeEventHeader",
                "ShippingAddress [null, record Address]"
            ]
        );
        assert_eq!(
            shown(Some(&exclude(&[
                "ChangeEventHeader",
                "BillingAddress",
                "LastModifiedDate",
                "Day__c"
            ]))),
            ["Name [null, string]", "ShippingAddress [null, record Address]"]
        );
    }

    #[test]
    fn some_children_make_a_record_of_their_own() {
        let derived = derive(
            ACCOUNT,
            Some(&include(&["BillingAddress.City", "ShippingAddress"])),
        )
        .unwrap();
        let schema = Schema::parse(&derived.json).unwrap();
        let record = schema.record().unwrap();
        let children = |field: usize| match schema.kind(schema.branches(record.fields[field].type_id)[1]) {
            Kind::Record(record) => (record.name.to_string(), record.fields.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            children(1),
            ("com.sforce.eventbus.BillingAddress_Address".to_owned(), 1)
        );
        assert_eq!(children(2), ("com.sforce.eventbus.Address".to_owned(), 2));
    }

    #[test]
    fn names_that_the_schema_does_not_have_are_told() {
        let derived = derive(ACCOUNT, Some(&include(&["Nmae", "Name", "BillingAddress.Town"]))).unwrap();
        assert_eq!(derived.unknown, ["Nmae", "BillingAddress.Town"]);
        assert!(matches!(
            derive(r#"{"type":"record","name":"E","fields":[]}"#, None),
            Err(DeriveError::NothingLeft { .. })
        ));
    }
}
