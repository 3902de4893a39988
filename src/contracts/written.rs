//! What one output of a route writes for one event: the topic, the contract on it, and how it is encoded. Checks,
//! differences and documents are made of this, without a client.

use std::sync::Arc;

use super::derive::{DeriveError, derive};
use super::pinned::Pinned;
use crate::avro::{Field, LongForm, Schema, SchemaError};
use crate::config::{FieldSelection, Format, KeyConfig};

/// The field that makes a record a change event, its first one.
pub const HEADER_FIELD: &str = "ChangeEventHeader";

/// An event as the org shows it now.
#[derive(Debug, Clone)]
pub struct Event {
    /// The record's name: `AccountChangeEvent`, `Order_Shipped__e`.
    pub name: String,
    /// Salesforce's id of the schema.
    pub schema_id: String,
    pub json: Arc<str>,
    pub schema: Arc<Schema>,
}

impl Event {
    /// # Errors
    /// When the text is no Avro schema.
    pub fn new(schema_id: &str, json: &str) -> Result<Self, SchemaError> {
        let schema = Schema::parse(json)?;
        let name = schema
            .record()
            .map_or_else(String::new, |record| record.name.name.clone());
        Ok(Self {
            name,
            schema_id: schema_id.to_owned(),
            json: json.into(),
            schema: Arc::new(schema),
        })
    }

    pub fn fields(&self) -> &[Field] {
        self.schema.record().map_or(&[], |record| &record.fields)
    }

    pub fn is_change_event(&self) -> bool {
        self.fields()
            .first()
            .is_some_and(|field| field.name == HEADER_FIELD)
    }

    /// The object whose changes it tells, else the event's own name.
    pub fn entity(&self) -> String {
        entity_of(&self.name)
    }
}

/// `AccountChangeEvent` → `Account`, `Order__ChangeEvent` → `Order__c`, `Order_Shipped__e` → itself.
pub fn entity_of(event: &str) -> String {
    match (
        event.strip_suffix("__ChangeEvent"),
        event.strip_suffix("ChangeEvent"),
    ) {
        (Some(custom), _) => format!("{custom}__c"),
        (None, Some(standard)) => standard.to_owned(),
        (None, None) => event.to_owned(),
    }
}

/// The Salesforce topic of an entity's changes or of a platform event: `Account`, `AccountChangeEvent`, `Order__c`,
/// `Order_Shipped__e`.
pub fn topic_of(entity: &str) -> String {
    if entity.ends_with("__e") {
        format!("/event/{entity}")
    } else if entity.ends_with("ChangeEvent") {
        format!("/data/{entity}")
    } else if let Some(custom) = entity.strip_suffix("__c") {
        format!("/data/{custom}__ChangeEvent")
    } else {
        format!("/data/{entity}ChangeEvent")
    }
}

/// The schema that readers of a topic rely on.
#[derive(Debug, Clone)]
pub struct Contract {
    /// As it would be registered.
    pub json: Arc<str>,
    pub schema: Arc<Schema>,
    /// The file's name, of a pinned one.
    pub label: Option<String>,
}

/// Why a followed contract cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error(transparent)]
    Derive(#[from] DeriveError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl Contract {
    pub fn pinned(pinned: &Pinned) -> Self {
        Self {
            json: Arc::clone(&pinned.json),
            schema: Arc::clone(&pinned.schema),
            label: Some(pinned.label.clone()),
        }
    }

    /// The contract that follows the event, and the names in `fields` that the event does not have.
    ///
    /// # Errors
    /// When nothing of the event is left to write.
    pub fn followed(
        event: &Event,
        fields: Option<&FieldSelection>,
    ) -> Result<(Self, Vec<String>), ContractError> {
        let derived = derive(&event.json, fields)?;
        let contract = Self {
            schema: Arc::new(Schema::parse(&derived.json)?),
            json: derived.json.into(),
            label: None,
        };
        Ok((contract, derived.unknown))
    }

    /// With its namespace.
    pub fn full_name(&self) -> String {
        self.schema
            .record()
            .map_or_else(String::new, |record| record.name.to_string())
    }

    pub fn fields(&self) -> &[Field] {
        self.schema.record().map_or(&[], |record| &record.fields)
    }

    /// How a field's long is written as JSON: as Salesforce's `doc` says of the event's field that it comes from.
    pub fn long_form(&self, field: &Field, event: Option<&Event>) -> LongForm {
        let is_source =
            |candidate: &&Field| candidate.name == field.name || field.aliases.contains(&candidate.name);
        let source = event.and_then(|event| event.fields().iter().find(is_source));
        match salesforce_type(source.unwrap_or(field)) {
            Some("DateTime") => LongForm::DateTime,
            Some("DateOnly") => LongForm::DateOnly,
            _ => LongForm::Number,
        }
    }
}

/// The type in Salesforce's `doc`: `Data:Text:00N…` → `Text`.
pub fn salesforce_type(field: &Field) -> Option<&str> {
    field.doc.as_deref()?.split(':').nth(1)
}

/// Salesforce's `doc` in words for a reader; a text that a person wrote stays as it is.
pub fn readable(doc: &str) -> String {
    let mut parts = doc.split(':');
    match (parts.next(), parts.next()) {
        (Some("Data" | "CreatedDate"), Some(type_)) if is_word(type_) => format!("Salesforce {type_}"),
        (Some("ForeignKey" | "ExternalForeignKey"), Some(type_)) if is_word(type_) => {
            format!("Salesforce {type_}, the id of another record")
        }
        (Some(role), Some(type_)) if is_word(role) && is_word(type_) => {
            format!("Salesforce {type_} ({role})")
        }
        _ => doc.to_owned(),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// One output for one event. Of a channel whose events are not known, the event is missing.
#[derive(Debug, Clone)]
pub struct Written {
    pub route: String,
    pub salesforce_topic: String,
    /// `{entity}` and `{event}` are filled in where the event is known.
    pub topic: String,
    pub key: KeyConfig,
    pub format: Format,
    pub tombstones: bool,
    pub event: Option<Event>,
    pub contract: Option<Contract>,
    /// Of Avro.
    pub subject: Option<String>,
    /// Version and id of the contract in the registry, where they are known.
    pub registered: Option<(u32, u32)>,
}

impl Written {
    /// What the records are called: the contract's record, else the event.
    pub fn record_name(&self) -> Option<&str> {
        let contract = self
            .contract
            .as_ref()
            .and_then(|contract| contract.schema.record());
        match (contract, &self.event) {
            (Some(record), _) => Some(&record.name.name),
            (None, Some(event)) => Some(&event.name),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_and_its_topic_are_found_from_each_other() {
        for (event, entity, topic) in [
            ("AccountChangeEvent", "Account", "/data/AccountChangeEvent"),
            ("Order__ChangeEvent", "Order__c", "/data/Order__ChangeEvent"),
            ("Order_Shipped__e", "Order_Shipped__e", "/event/Order_Shipped__e"),
        ] {
            assert_eq!(entity_of(event), entity);
            assert_eq!(topic_of(entity), topic);
            assert_eq!(topic_of(event), topic);
        }
    }

    #[test]
    fn salesforces_doc_becomes_words_and_a_persons_stay() {
        assert_eq!(readable("Data:Text:00NDp000009Rr9r"), "Salesforce Text");
        assert_eq!(
            readable("ForeignKey:EntityId"),
            "Salesforce EntityId, the id of another record"
        );
        assert_eq!(
            readable("The trade name: as printed"),
            "The trade name: as printed"
        );
        assert_eq!(readable("The trade name"), "The trade name");
    }
}
