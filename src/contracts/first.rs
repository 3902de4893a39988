//! A first contract, from the event's schema: what a team puts under version control and edits from there.
//!
//! The record is named after the object and has the event's name as its alias. Every field but the change event's
//! header is nullable with default null, so that no later change of the org can break it.

use serde_json::{Map, Value as Json, json};

use super::derive::{DeriveError, derive};
use super::written::{Event, HEADER_FIELD, readable};
use crate::config::FieldSelection;

#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    #[error("{event} has no field {}", names.join(", "))]
    Unknown { event: String, names: Vec<String> },
    #[error(transparent)]
    Derive(#[from] DeriveError),
}

/// The file's text. Without `fields` all of them are in it.
///
/// # Errors
/// When the event does not have a field that was asked for.
pub fn first_contract(event: &Event, fields: &[String]) -> Result<String, FirstError> {
    let selection = (!fields.is_empty()).then(|| FieldSelection::Include(fields.to_vec()));
    let derived = derive(&event.json, selection.as_ref())?;
    if !derived.unknown.is_empty() {
        return Err(FirstError::Unknown {
            event: event.name.clone(),
            names: derived.unknown,
        });
    }
    let derived: Json = serde_json::from_str(&derived.json).map_err(DeriveError::from)?;
    let text = |key: &str| derived.get(key).and_then(Json::as_str);
    let entity = event.entity();
    let mut contract = Map::new();
    contract.insert("type".to_owned(), "record".into());
    contract.insert("name".to_owned(), entity.clone().into());
    if let Some(namespace) = text("namespace") {
        contract.insert("namespace".to_owned(), namespace.into());
    }
    if entity != event.name {
        contract.insert("aliases".to_owned(), json!([event.name]));
    }
    let doc = text("doc").map_or_else(|| format!("Salesforce {entity}"), str::to_owned);
    contract.insert("doc".to_owned(), doc.into());
    let fields = derived.get("fields").and_then(Json::as_array);
    let fields: Vec<Json> = fields.into_iter().flatten().map(field).collect();
    contract.insert("fields".to_owned(), fields.into());
    let mut text = serde_json::to_string_pretty(&contract).map_err(DeriveError::from)?;
    text.push('\n');
    Ok(text)
}

fn field(source: &Json) -> Json {
    let name = source.get("name").cloned().unwrap_or_default();
    let type_ = source.get("type").cloned().unwrap_or_default();
    let is_header = name == HEADER_FIELD;
    let mut field = Map::new();
    field.insert("name".to_owned(), name);
    if let Some(doc) = source.get("doc").and_then(Json::as_str).filter(|_| !is_header) {
        field.insert("doc".to_owned(), readable(doc).into());
    }
    if is_header {
        field.insert("type".to_owned(), type_);
    } else {
        field.insert("type".to_owned(), nullable(type_));
        field.insert("default".to_owned(), Json::Null);
    }
    Json::Object(field)
}

/// With `null` first, as the default null asks for.
fn nullable(type_: Json) -> Json {
    let branches = match type_ {
        Json::Array(branches) => branches,
        one => vec![one],
    };
    let values = branches.into_iter().filter(|branch| *branch != "null");
    Json::Array(std::iter::once(Json::from("null")).chain(values).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::avro::Schema;
    use crate::contracts::projection::Projection;

    const ACCOUNT: &str = include_str!("../../tests/fixtures/salesforce/AccountChangeEvent.avsc");

    fn event() -> Event {
        Event::new("id", ACCOUNT).unwrap()
    }

    #[test]
    fn a_first_contract_holds_the_picked_fields_and_the_header() {
        let picked = ["Phone", "LastModifiedDate", "BillingAddress"].map(str::to_owned);
        let contract: Json = serde_json::from_str(&first_contract(&event(), &picked).unwrap()).unwrap();
        assert_eq!(contract["name"], "Account");
        assert_eq!(contract["aliases"], json!(["AccountChangeEvent"]));
        let fields = contract["fields"].as_array().unwrap();
        let names: Vec<_> = fields
            .iter()
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            ["ChangeEventHeader", "BillingAddress", "Phone", "LastModifiedDate"]
        );
        assert_eq!(
            fields[3],
            json!({"name": "LastModifiedDate", "doc": "Salesforce DateTime",
                "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null})
        );
    }

    #[test]
    fn the_event_satisfies_its_first_contract_whatever_it_carries() {
        let contract = first_contract(&event(), &[]).unwrap();
        let reader = Arc::new(Schema::parse(&contract).unwrap());
        let projection = Projection::new(event().schema, reader).unwrap();
        assert_eq!(projection.refusals(), []);
    }

    #[test]
    fn what_is_required_becomes_nullable() {
        let shipped = r#"{"type":"record","name":"Shipped__e","fields":[
            {"name":"CreatedDate","type":"long","doc":"CreatedDate:DateTime"},
            {"name":"Note__c","type":["string","null"],"default":"x"}]}"#;
        let contract = first_contract(&Event::new("id", shipped).unwrap(), &[]).unwrap();
        let contract: Json = serde_json::from_str(&contract).unwrap();
        assert_eq!(contract["name"], "Shipped__e");
        assert_eq!(contract["aliases"], Json::Null);
        assert_eq!(
            contract["fields"][0]["type"],
            json!(["null", {"type": "long", "logicalType": "timestamp-millis"}])
        );
        assert_eq!(contract["fields"][1]["type"], json!(["null", "string"]));
        assert_eq!(contract["fields"][1]["default"], Json::Null);
    }

    #[test]
    fn a_field_that_the_event_lacks_is_named() {
        let error = first_contract(&event(), &["Phonne".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "AccountChangeEvent has no field Phonne");
    }
}
