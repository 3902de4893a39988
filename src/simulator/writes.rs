//! Writes under control: records that are refused one by one, what a trigger adds on top, the rules of fields, and
//! the records as they are, for whoever compares. What a write does is in `org::write`.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::control::{Control, Refused};
use super::faults::{Counted, Waiting};
use super::org::change::topic_of;
use super::org::fields::FieldRules;

/// Why one record was not written: an element of `errors` in a result of sObject Collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordError {
    pub(crate) status_code: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<String>,
}

impl RecordError {
    pub(crate) fn new(status_code: &str, message: &str) -> Self {
        Self {
            status_code: status_code.to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    pub(crate) fn on(mut self, field: &str) -> Self {
        self.fields.push(field.to_owned());
        self
    }
}

/// Records to come that are refused while their neighbours are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordFault {
    pub sobject: String,
    /// Of the key that an upsert names, or any external id in the record. Default: any record.
    #[serde(default)]
    pub external_id: Option<String>,
    #[serde(default)]
    pub record_id: Option<String>,
    /// `UNABLE_TO_LOCK_ROW`, `FIELD_CUSTOM_VALIDATION_EXCEPTION`, whatever Salesforce has.
    pub status_code: String,
    /// Default: a sentence as Salesforce has it for this code.
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub fields: Vec<String>,
    /// How many records it meets. Default: one.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl RecordFault {
    /// One record of an object meets this.
    pub fn new(sobject: &str, status_code: &str) -> Self {
        Self {
            sobject: sobject.to_owned(),
            external_id: None,
            record_id: None,
            status_code: status_code.to_owned(),
            message: String::new(),
            fields: Vec::new(),
            times: 1,
        }
    }

    #[must_use]
    pub fn key(mut self, external_id: &str) -> Self {
        self.external_id = Some(external_id.to_owned());
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    pub(super) fn error(&self) -> RecordError {
        let message = if self.message.is_empty() {
            usual_message(&self.status_code)
        } else {
            &self.message
        };
        RecordError {
            fields: self.fields.clone(),
            ..RecordError::new(&self.status_code, message)
        }
    }
}

/// What Salesforce says with a code, where it is not told otherwise.
fn usual_message(status_code: &str) -> &'static str {
    match status_code {
        "UNABLE_TO_LOCK_ROW" => "unable to obtain exclusive access to this record",
        "DUPLICATE_VALUE" => "duplicate value found: <unknown> duplicates value on record with id: <unknown>",
        "DUPLICATES_DETECTED" => "Use one of these records?",
        "DUPLICATE_EXTERNAL_ID" => "More than one record found for external id field",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION" => "The record is against a validation rule.",
        "STORAGE_LIMIT_EXCEEDED" => "storage limit exceeded",
        "REQUEST_LIMIT_EXCEEDED" => "TotalRequests Limit exceeded.",
        "INVALID_CROSS_REFERENCE_KEY" => "invalid cross reference id",
        "ENTITY_IS_DELETED" => "entity is deleted",
        "REQUIRED_FIELD_MISSING" => "Required fields are missing: []",
        "INSUFFICIENT_ACCESS_OR_READONLY" => "insufficient access rights on object id",
        "INVALID_FIELD_FOR_INSERT_UPDATE" => {
            "Unable to create/update fields. Please check the security settings of this field and verify that it is \
             read/write for your profile or permission set."
        }
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" => "a trigger stopped with an error",
        _ => "the record was refused",
    }
}

impl Counted for RecordFault {
    fn times_left(&mut self) -> &mut u32 {
        &mut self.times
    }
}

/// What the org does on top of a write, in the same transaction, as a trigger or a flow would.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Writes of this object set it off: creations and updates, not what triggers do.
    pub sobject: String,
    pub field: String,
    /// As REST would be given it.
    pub value: Json,
    /// The change comes as an event of its own behind that of the write, rather than as a part of it.
    #[serde(default)]
    pub own_event: bool,
}

/// How writes go, until it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteRules {
    /// Writes by sObject Collections bear the client's name in `changeOrigin`, as all others do. Salesforce
    /// documents the header that carries it for REST and Bulk, and does not name Collections.
    pub collections_name_the_client: bool,
    /// The same change of several records in one transaction comes as one event with several record ids.
    pub merge_changes: bool,
    /// A field that is not there, or a value of the wrong type, costs its own record alone. Otherwise Salesforce's
    /// parser stops at it and refuses the request, as it does.
    pub misfits_cost_one_record: bool,
    /// How long after a write its change events come. A change that the control API makes does not wait behind them.
    pub event_delay_ms: u64,
}

impl Default for WriteRules {
    fn default() -> Self {
        Self {
            collections_name_the_client: true,
            merge_changes: false,
            misfits_cost_one_record: false,
            event_delay_ms: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Writes {
    pub(super) faults: Waiting<RecordFault>,
    pub(super) triggers: Mutex<Vec<Trigger>>,
    pub(super) rules: Mutex<WriteRules>,
}

impl Control {
    /// The user whose tokens the org issues: `commitUser` of every write, with 18 characters.
    pub fn user_id(&self) -> String {
        self.org().user_id()
    }

    /// Refuses records to come.
    pub fn record_fault(&self, fault: RecordFault) {
        if fault.times > 0 {
            self.org().writes.faults.push(fault);
        }
    }

    /// Adds to writes from now on.
    pub fn add_trigger(&self, trigger: Trigger) -> Result<(), Refused> {
        let object = self.org().sobject(&trigger.sobject);
        let object = object.ok_or_else(|| Refused(format!("the org has no object {}", trigger.sobject)))?;
        let column = object.column(&trigger.field);
        column.ok_or_else(|| Refused(format!("{} has no field {}", object.name, trigger.field)))?;
        self.org().writes.triggers.lock().push(trigger);
        Ok(())
    }

    /// Takes back all triggers.
    pub fn remove_triggers(&self) {
        self.org().writes.triggers.lock().clear();
    }

    pub fn set_write_rules(&self, rules: WriteRules) {
        *self.org().writes.rules.lock() = rules;
    }

    /// Adds a text field by which records may be found, or makes one that is there such a field. Returns the id of
    /// the event's schema.
    pub fn add_external_id(&self, sobject: &str, field: &str, rules: FieldRules) -> Result<String, Refused> {
        let topic = topic_of(sobject);
        let object = self.org().sobject(sobject);
        let schema_id = if object.is_some_and(|object| object.column(field).is_some()) {
            self.schema_id(&topic)?
        } else {
            self.add_field(&topic, field, "string")?
        };
        let rules = FieldRules {
            external_id: true,
            ..rules
        };
        self.set_field_rules(sobject, field, rules)?;
        Ok(schema_id)
    }

    /// Lays down something else for a field.
    pub fn set_field_rules(&self, sobject: &str, field: &str, rules: FieldRules) -> Result<(), Refused> {
        let object = self.org().sobject(sobject);
        let object = object.ok_or_else(|| Refused(format!("the org has no object {sobject}")))?;
        let column = object.column(field);
        let column = column.ok_or_else(|| Refused(format!("{sobject} has no field {field}")))?;
        if rules.external_id || rules.unique {
            self.org().records.lock().add_key(&object.name, &column.name);
        }
        self.org().rulebook.write().set(&object.name, &column.name, rules);
        Ok(())
    }

    /// The records of an object that are not deleted, by id, the oldest first; values by the names of the event's
    /// fields, a compound's parts as an object, times in milliseconds.
    pub fn records(&self, sobject: &str) -> Vec<(String, Map<String, Json>)> {
        let records = self.org().records.lock();
        let all = records.all(sobject);
        all.map(|(id, record)| (id.to_owned(), record.fields.clone()))
            .collect()
    }
}
