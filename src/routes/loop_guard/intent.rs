//! What a route is about to write, and what became of it: one record of `_sfbridge.<bridge>.writes` each.
//!
//! The key is the intent's id; the value is JSON and holds names, ids and hashes, never a field's value. Settling
//! writes it once more, whole; a null value ends it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::values::{hash, sent_form};
use crate::config::Operation;
use crate::error::{ErrorKind, Failure};
use crate::runtime::clock;
use crate::salesforce::auth::id18;

/// How long a write that nobody settled may still take effect: a request that was given up ends at Salesforce
/// within minutes.
const OPEN_FOR: Duration = Duration::from_secs(10 * 60);

/// Of this process: what is stored by two of them cannot be compared by its hashes.
static SALT: LazyLock<Arc<str>> = LazyLock::new(|| uuid::Uuid::new_v4().simple().to_string().into());

fn no_id() -> Arc<str> {
    "".into()
}

/// One record that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Unique: the record's key.
    #[serde(skip, default = "no_id")]
    pub(super) id: Arc<str>,
    /// What its hashes are made with: one a process, so that an event is hashed once for all intents of it.
    pub(super) salt: Arc<str>,
    pub(super) route: Arc<str>,
    /// As Salesforce spells it, or as configured: compared without case.
    pub(super) sobject: Arc<str>,
    pub(super) operation: Written,
    /// 18 characters, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) external: Option<External>,
    /// Name in lower case and hash of the value as sent; `None`: whatever comes back is ours.
    pub(super) fields: Vec<(Arc<str>, Option<u64>)>,
    pub(super) written_at_ms: i64,
    /// When it can no longer take effect, as long as nothing is known about it.
    pub(super) open_until_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
}

/// [`Operation`] as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Written {
    Upsert,
    Update,
    Insert,
    Delete,
}

/// The external id that names the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct External {
    /// In lower case.
    pub(super) field: Arc<str>,
    /// Without the salt: two writes of one record are recognised by it.
    pub(super) hash: u64,
}

/// What Salesforce answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) at_ms: i64,
    /// Whether an upsert made the record, where the answer says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<bool>,
}

/// What became of an announced write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Salesforce has written it. `record_id` of 15 or 18 characters, where the answer has one; `created` of an
    /// upsert.
    Written {
        record_id: Option<String>,
        created: Option<bool>,
    },
    /// Refused, also when it is tried again: the next try is announced anew.
    Refused,
    /// The answer is lost: it may have been written, and its event is still recognised.
    Unknown,
}

/// Writes that were announced; to be settled by the answer. Dropped without: all outcomes are unknown.
#[derive(Debug, Default)]
#[must_use = "what is never settled stays open for minutes, and events may wait for it"]
pub struct Announced {
    pub(super) intents: Vec<Intent>,
}

impl Announced {
    /// None was announced: no route skips changes of the object.
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }

    /// How many records were announced.
    pub fn len(&self) -> usize {
        self.intents.len()
    }
}

impl Intent {
    /// `record` is the object that the request carries: its fields by REST's names, values as sent. `attributes` is
    /// left out; `Id` names the record; an object stands for a relationship (`{"Account": {"Ext__c": …}}`).
    pub fn new(route: &str, sobject: &str, operation: Operation, record: &Map<String, Value>) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let now_ms = clock::now_ms();
        let mut intent = Self {
            fields: Vec::with_capacity(record.len()),
            id: id.into(),
            salt: Arc::clone(&SALT),
            route: route.into(),
            sobject: sobject.into(),
            operation: operation.into(),
            record_id: None,
            external: None,
            written_at_ms: now_ms,
            open_until_ms: now_ms + millis(OPEN_FOR),
            outcome: None,
        };
        for (name, value) in record {
            match name.to_ascii_lowercase().as_str() {
                "attributes" => {}
                "id" => intent.record_id = value.as_str().and_then(id18),
                _ => intent.field(name, value),
            }
        }
        intent
    }

    /// The record, where the request names it by its id (of 15 or 18 characters).
    pub fn of_record(mut self, id: &str) -> Self {
        self.record_id = id18(id);
        self
    }

    /// The record, where the request names it by an external id.
    pub fn of_external_id(mut self, field: &str, value: &Value) -> Self {
        self.field(field, value);
        let field: Arc<str> = field.to_ascii_lowercase().into();
        self.external = sent_form(value).map(|form| External {
            hash: external_hash(&self.sobject, &field, &form),
            field,
        });
        self
    }

    /// How long the write may take: a Bulk job's lies in a queue before it begins. No event waits for the answer
    /// of one that may take longer than ten minutes.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_until_ms = self.written_at_ms.saturating_add(millis(time));
        self
    }

    /// As stored.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Names and numbers: JSON can write them all.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// # Errors
    /// `Unknown`: the record was not written by a bridge of this release or an earlier one.
    pub(super) fn parse(id: &str, json: &[u8]) -> Result<Self, Failure> {
        let mut intent: Self = serde_json::from_slice(json).map_err(|error| {
            Failure::new(ErrorKind::Unknown, "a record of the own writes cannot be read").caused_by(error)
        })?;
        intent.id = id.into();
        Ok(intent)
    }

    /// The same with its answer; `None`: it is over.
    pub(super) fn settled(mut self, answer: &Settled, now_ms: i64) -> Option<Self> {
        match answer {
            Settled::Refused => return None,
            Settled::Unknown => {}
            Settled::Written { record_id, created } => {
                self.record_id = record_id.as_deref().and_then(id18).or(self.record_id);
                self.outcome = Some(Outcome {
                    at_ms: now_ms,
                    created: *created,
                });
            }
        }
        Some(self)
    }

    /// When it has taken effect at the latest.
    pub(super) fn over_ms(&self) -> i64 {
        self.outcome.map_or(self.open_until_ms, |outcome| outcome.at_ms)
    }

    /// Whether its answer comes long after its effect: nobody waits for the end of a Bulk job.
    pub(super) fn is_long(&self) -> bool {
        self.open_until_ms - self.written_at_ms > millis(OPEN_FOR)
    }

    fn field(&mut self, name: &str, value: &Value) {
        let (name, form) = match value {
            Value::Object(_) => (reference_of(name), None),
            // `Account.Ext__c`, as a CSV column names it.
            _ => match name.split_once('.') {
                Some((relationship, _)) => (reference_of(relationship), None),
                None => (name.to_ascii_lowercase(), sent_form(value)),
            },
        };
        let hash = form.map(|form| hash(&self.salt, &name, &form));
        self.fields.retain(|(known, _)| **known != *name);
        self.fields.push((name.into(), hash));
    }
}

/// The hash by which two writes of one external id are known to be of one record.
pub(super) fn external_hash(sobject: &str, field: &str, form: &str) -> u64 {
    hash(&sobject.to_ascii_lowercase(), field, form)
}

/// The field that a relationship is stored in: `Account` is `accountid`, `Parent__r` is `parent__c`.
fn reference_of(relationship: &str) -> String {
    let name = relationship.to_ascii_lowercase();
    match name.strip_suffix("__r") {
        Some(custom) => format!("{custom}__c"),
        None => format!("{name}id"),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

impl From<Operation> for Written {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Upsert => Self::Upsert,
            Operation::Update => Self::Update,
            Operation::Insert => Self::Insert,
            Operation::Delete => Self::Delete,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn intent(record: &Value) -> Intent {
        Intent::new(
            "customers",
            "Account",
            Operation::Upsert,
            record.as_object().unwrap(),
        )
    }

    #[test]
    fn no_value_is_stored() {
        let written = intent(&json!({"Name": "Secret Corp", "Phone": "555-0100"}))
            .of_external_id("Customer_Id__c", &json!("C-4711"));
        let stored = String::from_utf8(written.to_json()).unwrap();
        for value in ["Secret", "555-0100", "C-4711"] {
            assert!(!stored.contains(value), "{stored}");
        }
        assert_eq!(Intent::parse(&written.id, stored.as_bytes()).unwrap(), written);
    }

    #[test]
    fn the_answer_settles_it_and_a_refusal_ends_it() {
        let open = intent(&json!({"Name": "a"}));
        let written = Settled::Written {
            record_id: Some("0015Y00002ZbgP3".to_owned()),
            created: Some(true),
        };
        let settled = open.clone().settled(&written, 42).unwrap();
        assert_eq!(settled.record_id.as_deref(), Some("0015Y00002ZbgP3QAJ"));
        assert_eq!(
            (settled.over_ms(), settled.outcome.unwrap().created),
            (42, Some(true))
        );
        assert_eq!(open.clone().settled(&Settled::Refused, 42), None);
        assert_eq!(open.clone().settled(&Settled::Unknown, 42), Some(open));
    }

    #[test]
    fn relationships_are_the_fields_that_events_show() {
        let written = intent(&json!({
            "attributes": {"type": "Contact"}, "Id": "0035Y00002ZbgP3", "Account": {"Ext__c": "1"},
            "Boss__r": {"Ext__c": "2"}, "Owner.Ext__c": "3",
        }));
        let names: Vec<_> = written
            .fields
            .iter()
            .map(|(name, hash)| (&**name, *hash))
            .collect();
        assert_eq!(names, [("accountid", None), ("boss__c", None), ("ownerid", None)]);
        assert!(written.record_id.is_some());
    }
}
