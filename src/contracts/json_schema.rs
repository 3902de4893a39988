//! A contract as JSON Schema: the shape of the values of an output with `format: json`. Kept to what draft 7, draft
//! 2020-12 and AsyncAPI's own schemas have in common.

use serde_json::{Map, Value as Json, json};

use super::written::{Contract, Event, readable};
use crate::avro::{Field, Kind, LongForm, Record, Schema, TypeId};

/// The schema of a whole value. Every field is present in every value, null as `null`.
pub fn json_schema(contract: &Contract, event: Option<&Event>) -> Json {
    let Some(record) = contract.schema.record() else {
        return json!({});
    };
    let mut writer = Writer {
        schema: &contract.schema,
        inside: vec![contract.schema.root()],
    };
    let form = |field: &Field| contract.long_form(field, event);
    writer.record(record, &form)
}

/// The same as a document of its own.
pub fn document(contract: &Contract, event: Option<&Event>) -> Json {
    let mut document = Map::new();
    document.insert(
        "$schema".to_owned(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    document.insert("title".to_owned(), contract.full_name().into());
    if let Json::Object(schema) = json_schema(contract, event) {
        document.extend(schema);
    }
    Json::Object(document)
}

struct Writer<'a> {
    schema: &'a Schema,
    /// The types that the present one stands in: one that contains itself is left open.
    inside: Vec<TypeId>,
}

impl Writer<'_> {
    fn record(&mut self, record: &Record, form: &dyn Fn(&Field) -> LongForm) -> Json {
        let mut properties = Map::new();
        for field in &record.fields {
            let mut property = self.type_(field.type_id, form(field));
            if let Some(doc) = &field.doc
                && let Some(object) = property.as_object_mut()
            {
                object.insert("description".to_owned(), readable(doc).into());
            }
            properties.insert(field.name.clone(), property);
        }
        let required: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
        let mut object = Map::new();
        object.insert("type".to_owned(), "object".into());
        if let Some(doc) = &record.doc {
            object.insert("description".to_owned(), doc.clone().into());
        }
        object.insert("properties".to_owned(), properties.into());
        object.insert("required".to_owned(), json!(required));
        Json::Object(object)
    }

    fn type_(&mut self, id: TypeId, form: LongForm) -> Json {
        if self.inside.contains(&id) {
            return json!({"type": "object"});
        }
        self.inside.push(id);
        let schema = self.schema;
        let node = schema.node(id);
        let json = match &node.kind {
            Kind::Null => json!({"type": "null"}),
            Kind::Boolean => json!({"type": "boolean"}),
            Kind::Int | Kind::Long => match (node.logical.as_deref(), form) {
                (Some("timestamp-millis" | "timestamp-micros"), _) | (None, LongForm::DateTime) => {
                    json!({"type": "string", "format": "date-time"})
                }
                (Some("date"), _) | (None, LongForm::DateOnly) => {
                    json!({"type": "string", "format": "date"})
                }
                _ => json!({"type": "integer"}),
            },
            Kind::Float | Kind::Double => json!({"type": "number"}),
            Kind::Bytes | Kind::Fixed { .. } => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::String => json!({"type": "string"}),
            Kind::Enum { symbols, .. } => json!({"type": "string", "enum": symbols}),
            Kind::Array(items) => json!({"type": "array", "items": self.type_(*items, form)}),
            Kind::Map(values) => {
                json!({"type": "object", "additionalProperties": self.type_(*values, form)})
            }
            Kind::Union(branches) => self.union(branches, form),
            Kind::Record(record) => self.record(record, &|_| LongForm::Number),
        };
        self.inside.pop();
        json
    }

    /// A value or null as one type of two; more as alternatives.
    fn union(&mut self, branches: &[TypeId], form: LongForm) -> Json {
        let is_value = |id: &&TypeId| !matches!(self.schema.kind(**id), Kind::Null);
        let values: Vec<TypeId> = branches.iter().filter(is_value).copied().collect();
        let is_nullable = values.len() < branches.len();
        if let ([one], true) = (&*values, is_nullable) {
            let mut json = self.type_(*one, form);
            if let Some(object) = json.as_object_mut()
                && object.get("enum").is_none()
                && let Some(Json::String(type_)) = object.get("type").cloned()
            {
                object.insert("type".to_owned(), json!([type_, "null"]));
                return json;
            }
            return json!({"anyOf": [json, {"type": "null"}]});
        }
        let alternatives: Vec<Json> = branches.iter().map(|branch| self.type_(*branch, form)).collect();
        json!({"anyOf": alternatives})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = include_str!("../../tests/fixtures/salesforce/AccountChangeEvent.avsc");

    #[test]
    fn values_are_described_as_they_are_written() {
        let event = Event::new("id", ACCOUNT).unwrap();
        let (contract, _) = Contract::followed(&event, None).unwrap();
        let schema = document(&contract, Some(&event));
        assert_eq!(schema["title"], "com.sforce.eventbus.AccountChangeEvent");
        let property = |name: &str| &schema["properties"][name];
        assert_eq!(
            *property("Phone"),
            json!({"type": ["string", "null"], "description": "Salesforce Phone"})
        );
        assert_eq!(property("LastModifiedDate")["format"], "date-time");
        assert_eq!(property("PersonBirthdate")["format"], "date");
        assert_eq!(property("NumberOfEmployees")["type"], json!(["integer", "null"]));
        assert_eq!(
            property("ShippingAddress")["properties"]["City"]["type"],
            json!(["string", "null"])
        );
        assert_eq!(property("Name")["anyOf"].as_array().unwrap().len(), 3);
        let header = property("ChangeEventHeader");
        assert_eq!(header["properties"]["changeType"]["enum"][0], "CREATE");
        assert_eq!(header["properties"]["commitTimestamp"]["type"], "integer");
        assert_eq!(schema["required"].as_array().unwrap().len(), event.fields().len());
    }

    #[test]
    fn a_pinned_contract_has_the_times_of_the_fields_it_comes_from() {
        let event = Event::new("id", ACCOUNT).unwrap();
        let pinned = r#"{"type":"record","name":"Account","fields":[
            {"name":"Born","aliases":["PersonBirthdate"],"type":["null","long"]},
            {"name":"Next","type":["null","Account"],"default":null}]}"#;
        let pinned = super::super::pinned::Pinned::parse("account.v1.avsc".to_owned(), pinned).unwrap();
        let schema = json_schema(&Contract::pinned(&pinned), Some(&event));
        assert_eq!(schema["properties"]["Born"]["format"], "date");
        assert_eq!(schema["properties"]["Next"]["type"], json!(["object", "null"]));
    }
}
