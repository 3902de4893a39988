//! What may happen in the org, as typed JSON: a change of records, a platform event, or raw bytes. Everything that
//! is left out gets the value that Salesforce would give it, at the org's present time.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::schemas::EventSchema;
use super::{bitmap, diff, encode};

/// `ChangeEventHeader.changeType`, in the order of the Avro enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChangeType {
    Create,
    Update,
    Delete,
    Undelete,
    GapCreate,
    GapUpdate,
    GapDelete,
    GapUndelete,
    GapOverflow,
    Snapshot,
}

/// The record id of a `GAP_OVERFLOW`, which names none.
pub const OVERFLOW_RECORD_ID: &str = "000000000000000AAA";

/// A change of one or several records of one object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `Account`, `Order__c`.
    pub entity: String,
    pub change_type: ChangeType,
    /// Default: one id that was not used before.
    #[serde(default)]
    pub record_ids: Vec<String>,
    /// Values by field name; a compound's children as an object.
    #[serde(default)]
    pub fields: Map<String, Json>,
    /// Names in `changedFields`. Default for an `UPDATE`: those of `fields` and `nulled`, and `LastModifiedDate`.
    #[serde(default)]
    pub changed: Option<Vec<String>>,
    /// Names in `nulledFields`.
    #[serde(default)]
    pub nulled: Vec<String>,
    /// Names in `diffFields`: their value in `fields` is a unified diff.
    #[serde(default)]
    pub diff: Vec<String>,
    /// What the fields in `diff` hold after the change, for the org's own record; no part of the event.
    #[serde(default)]
    pub whole: Map<String, Json>,
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub transaction_key: Option<String>,
    #[serde(default)]
    pub sequence_number: Option<i32>,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub commit_timestamp: Option<i64>,
    #[serde(default)]
    pub commit_number: Option<i64>,
    #[serde(default)]
    pub commit_user: Option<String>,
    /// The event's id (`ProducerEvent.id`). Default: a UUID.
    #[serde(default)]
    pub event_id: Option<String>,
}

impl Change {
    pub fn new(entity: &str, change_type: ChangeType) -> Self {
        Self {
            entity: entity.to_owned(),
            change_type,
            record_ids: Vec::new(),
            fields: Map::new(),
            changed: None,
            nulled: Vec::new(),
            diff: Vec::new(),
            whole: Map::new(),
            origin: None,
            transaction_key: None,
            sequence_number: None,
            commit_timestamp: None,
            commit_number: None,
            commit_user: None,
            event_id: None,
        }
    }

    /// The records changed.
    #[must_use]
    pub fn records<'a>(mut self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        self.record_ids = ids.into_iter().map(str::to_owned).collect();
        self
    }

    /// A field's new value.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// A long text's change, sent as a diff: the field stands in `diffFields` too.
    #[must_use]
    pub fn text_diff(mut self, name: &str, old: &str, new: &str) -> Self {
        self.diff.push(name.to_owned());
        self.whole.insert(name.to_owned(), new.into());
        self.field(name, diff::unified(old, new))
    }

    /// The topic of the object's changes.
    pub fn topic(&self) -> String {
        topic_of(&self.entity)
    }
}

/// The topic of an object's changes.
pub(crate) fn topic_of(entity: &str) -> String {
    match entity.strip_suffix("__c") {
        Some(stem) => format!("/data/{stem}__ChangeEvent"),
        None => format!("/data/{entity}ChangeEvent"),
    }
}

/// A platform event. `CreatedDate` and `CreatedById` are filled in where absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformEvent {
    /// `/event/Order_Shipped__e`.
    pub topic: String,
    #[serde(default)]
    pub fields: Map<String, Json>,
    #[serde(default)]
    pub event_id: Option<String>,
}

/// An event whose bytes are given, for payloads that no schema describes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEvent {
    pub topic: String,
    pub payload: Vec<u8>,
    /// Default: the topic's present schema.
    #[serde(default)]
    pub schema_id: Option<String>,
    #[serde(default)]
    pub event_id: Option<String>,
}

/// What a change takes from the org where it says nothing itself.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) record_id: String,
    pub(crate) user_id: String,
    pub(crate) now_ms: i64,
    pub(crate) commit_number: i64,
}

/// A complete change's payload under a schema.
pub(crate) fn payload(change: &Change, schema: &EventSchema) -> Result<Vec<u8>, String> {
    let header = json!({
        "entityName": change.entity,
        "recordIds": change.record_ids,
        "changeType": change.change_type,
        "changeOrigin": change.origin,
        "transactionKey": change.transaction_key,
        "sequenceNumber": change.sequence_number,
        "commitTimestamp": change.commit_timestamp,
        "commitNumber": change.commit_number,
        "commitUser": change.commit_user,
        "nulledFields": bitmap::encode(schema, &change.nulled)?,
        "diffFields": bitmap::encode(schema, &change.diff)?,
        "changedFields": bitmap::encode(schema, change.changed.as_deref().unwrap_or_default())?,
    });
    let mut fields = change.fields.clone();
    fields.insert("ChangeEventHeader".into(), header);
    encode::datum(schema, &fields)
}

/// The change with everything filled in that it leaves to the org.
pub(crate) fn complete(change: &Change, schema: &EventSchema, defaults: Defaults) -> Change {
    let mut change = change.clone();
    let at = *change.commit_timestamp.get_or_insert(defaults.now_ms);
    let is_update = change.change_type == ChangeType::Update;
    if is_update && schema.record().lookup.contains_key("LastModifiedDate") {
        change.fields.entry("LastModifiedDate").or_insert(json!(at));
    }
    let changed = || {
        if is_update {
            changed_names(&change.fields, &change.nulled)
        } else {
            Vec::new()
        }
    };
    change.changed = Some(change.changed.clone().unwrap_or_else(changed));
    if change.record_ids.is_empty() {
        change.record_ids = vec![match change.change_type {
            // An overflow names no record.
            ChangeType::GapOverflow => OVERFLOW_RECORD_ID.to_owned(),
            _ => defaults.record_id,
        }];
    }
    let ui = || "com/salesforce/api/soap/66.0;client=SfdcInternalAPI/".to_owned();
    change.origin.get_or_insert_with(ui);
    change
        .transaction_key
        .get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
    change.sequence_number.get_or_insert(1);
    change.commit_number.get_or_insert(defaults.commit_number);
    change.commit_user.get_or_insert(defaults.user_id);
    change
}

/// `changedFields` of an update: the fields with a value, a compound's children each, and those set to null.
fn changed_names(fields: &Map<String, Json>, nulled: &[String]) -> Vec<String> {
    let mut names: Vec<String> = fields
        .iter()
        .flat_map(|(name, value)| match value {
            Json::Object(children) => children.keys().map(|child| format!("{name}.{child}")).collect(),
            _ => vec![name.clone()],
        })
        .collect();
    names.extend(
        nulled
            .iter()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect::<Vec<_>>(),
    );
    names
}

/// A platform event's payload under its schema.
pub(crate) fn platform_payload(
    event: &PlatformEvent,
    schema: &EventSchema,
    defaults: Defaults,
) -> Result<Vec<u8>, String> {
    let mut fields = event.fields.clone();
    fields.entry("CreatedDate").or_insert(json!(defaults.now_ms));
    fields.entry("CreatedById").or_insert(json!(defaults.user_id));
    encode::datum(schema, &fields)
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value;

    use super::super::schemas::ACCOUNT;
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            record_id: "001SB0000000001AAA".into(),
            user_id: "005SB0000000001AAA".into(),
            now_ms: 1_700_000_000_000,
            commit_number: 1,
        }
    }

    fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
        let Value::Record(fields) = value else {
            panic!("{value:?} is no record")
        };
        let value = &fields
            .iter()
            .find(|(field, _)| field == name)
            .expect("the field is there")
            .1;
        if let Value::Union(_, inner) = value {
            inner
        } else {
            value
        }
    }

    #[test]
    fn an_update_says_which_fields_changed_and_leaves_the_others_null() {
        let schema = EventSchema::parse(ACCOUNT).expect("the sample parses");
        let mut change = Change::new("Account", ChangeType::Update)
            .records(["001Dp00000H8YVWIA3"])
            .field("Name", "Acme")
            .field("BillingAddress", json!({"Street": "1 High Street"}));
        change.nulled = vec!["Phone".into()];
        let payload = payload(&complete(&change, &schema, defaults()), &schema).expect("it encodes");
        let value =
            apache_avro::from_avro_datum(&schema.schema, &mut payload.as_slice(), None).expect("it decodes");
        let header = member(&value, "ChangeEventHeader");
        let texts = |name| match member(header, name) {
            Value::Array(items) => items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>(),
            other => panic!("{other:?} is no array"),
        };
        assert_eq!(
            texts("changedFields"),
            [r#"String("0x800082")"#, r#"String("5-0x01")"#]
        );
        assert_eq!(texts("nulledFields"), [r#"String("0x80")"#]);
        assert_eq!(member(&value, "Name"), &Value::String("Acme".into()));
        assert_eq!(
            member(&value, "LastModifiedDate"),
            &Value::Long(1_700_000_000_000)
        );
        assert_eq!(member(&value, "Phone"), &Value::Null);
        assert_eq!(member(member(&value, "BillingAddress"), "City"), &Value::Null);
    }

    #[test]
    fn a_person_accounts_name_takes_the_unions_record_branch() {
        let schema = EventSchema::parse(ACCOUNT).expect("the sample parses");
        let change = Change::new("Account", ChangeType::Create)
            .field("Name", json!({"FirstName": "Ada", "LastName": "Byron"}));
        let payload = payload(&complete(&change, &schema, defaults()), &schema).expect("it encodes");
        let value =
            apache_avro::from_avro_datum(&schema.schema, &mut payload.as_slice(), None).expect("it decodes");
        assert_eq!(
            member(member(&value, "Name"), "LastName"),
            &Value::String("Byron".into())
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_by_its_path() {
        let schema = EventSchema::parse(ACCOUNT).expect("the sample parses");
        let wrong = Change::new("Account", ChangeType::Create).field("NumberOfEmployees", "many");
        let message =
            payload(&complete(&wrong, &schema, defaults()), &schema).expect_err("text is no number");
        assert!(
            message.contains("AccountChangeEvent.NumberOfEmployees"),
            "{message}"
        );
    }

    #[test]
    fn an_objects_topic_follows_its_name() {
        assert_eq!(
            Change::new("Account", ChangeType::Create).topic(),
            "/data/AccountChangeEvent"
        );
        assert_eq!(
            Change::new("Order__c", ChangeType::Create).topic(),
            "/data/Order__ChangeEvent"
        );
    }
}
