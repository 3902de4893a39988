//! Event schemas by id. An id is the MD5 of the definition's text in unpadded base64url (22 characters, the form
//! of Salesforce's); a changed definition has a new id and the old one stays fetchable.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordSchema};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use parking_lot::RwLock;
use serde_json::{Value as Json, json};

/// As Salesforce served them.
pub(crate) const ACCOUNT: &str = include_str!("../../../tests/fixtures/salesforce/AccountChangeEvent.avsc");
pub(crate) const CONTACT: &str = include_str!("../../../tests/fixtures/salesforce/ContactChangeEvent.avsc");

/// One version of an event's definition.
#[derive(Debug)]
pub(crate) struct EventSchema {
    pub(crate) id: String,
    /// The record's name: `AccountChangeEvent`, `Order_Shipped__e`.
    pub(crate) name: String,
    /// Compact JSON, as `GetSchema` answers it.
    pub(crate) json: String,
    pub(crate) schema: Schema,
    named: HashMap<Name, RecordSchema>,
}

impl EventSchema {
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let value: Json = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
        let json = value.to_string();
        let schema = Schema::parse_str(&json).map_err(|error| format!("not an Avro schema: {error}"))?;
        let Schema::Record(record) = &schema else {
            return Err("an event's schema is a record".into());
        };
        let mut named = HashMap::new();
        collect_records(&schema, &mut named);
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(Md5::digest(json.as_bytes())),
            name: record.name.name.clone(),
            named,
            json,
            schema,
        })
    }

    pub(crate) fn record(&self) -> &RecordSchema {
        match &self.schema {
            Schema::Record(record) => record,
            _ => unreachable!("parse() takes records alone"),
        }
    }

    /// The record that a schema is or refers to.
    pub(crate) fn as_record<'s>(&'s self, schema: &'s Schema) -> Option<&'s RecordSchema> {
        match schema {
            Schema::Record(record) => Some(record),
            Schema::Ref { name } => self.named.get(name),
            _ => None,
        }
    }

    /// The definition with one more nullable field at its end.
    pub(crate) fn with_field(&self, name: &str, avro_type: &str, doc: &str) -> Result<Self, String> {
        let mut value: Json = serde_json::from_str(&self.json).map_err(|error| error.to_string())?;
        let field = json!({"name": name, "type": ["null", avro_type], "doc": doc, "default": null});
        value["fields"]
            .as_array_mut()
            .ok_or("a record has fields")?
            .push(field);
        Self::parse(&value.to_string())
    }

    /// The definition without a field.
    pub(crate) fn without_field(&self, name: &str) -> Result<Self, String> {
        self.edited(name, |fields, at| {
            fields.remove(at);
        })
    }

    /// The definition with another type for a field, as nullable as all of them.
    pub(crate) fn with_type(&self, name: &str, avro_type: &str) -> Result<Self, String> {
        self.edited(name, |fields, at| fields[at]["type"] = json!(["null", avro_type]))
    }

    fn edited(&self, name: &str, edit: impl FnOnce(&mut Vec<Json>, usize)) -> Result<Self, String> {
        let mut value: Json = serde_json::from_str(&self.json).map_err(|error| error.to_string())?;
        let fields = value["fields"].as_array_mut().ok_or("a record has fields")?;
        let at = fields.iter().position(|field| field["name"] == name);
        edit(
            fields,
            at.ok_or_else(|| format!("{} has no field {name}", self.name))?,
        );
        Self::parse(&value.to_string())
    }
}

fn collect_records(schema: &Schema, into: &mut HashMap<Name, RecordSchema>) {
    match schema {
        Schema::Record(record) => {
            into.insert(record.name.clone(), record.clone());
            record
                .fields
                .iter()
                .for_each(|field| collect_records(&field.schema, into));
        }
        Schema::Union(union) => union
            .variants()
            .iter()
            .for_each(|variant| collect_records(variant, into)),
        Schema::Array(array) => collect_records(&array.items, into),
        _ => {}
    }
}

/// All versions of all definitions.
#[derive(Debug, Default)]
pub(crate) struct Schemas(RwLock<HashMap<String, Arc<EventSchema>>>);

impl Schemas {
    pub(crate) fn add(&self, schema: EventSchema) -> Arc<EventSchema> {
        let schema = Arc::new(schema);
        self.0.write().insert(schema.id.clone(), schema.clone());
        schema
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<EventSchema>> {
        self.0.read().get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_22_characters_and_follows_the_definition() {
        let first = EventSchema::parse(ACCOUNT).expect("the sample parses");
        assert_eq!((first.id.len(), first.name.as_str()), (22, "AccountChangeEvent"));
        assert_eq!(EventSchema::parse(ACCOUNT).expect("again").id, first.id);
        let second = first
            .with_field("Colour__c", "string", "Data:Text")
            .expect("a field more");
        assert_ne!(second.id, first.id);
        assert_eq!(second.record().fields.len(), first.record().fields.len() + 1);
        assert_eq!(
            second.record().fields.last().map(|field| field.name.as_str()),
            Some("Colour__c")
        );
    }
}
