//! Schemas and payloads for these tests.

use apache_avro::types::Value;
use base64::Engine as _;
use serde_json::{Value as Json, json};

use crate::salesforce::event::{DecodeError, EventSchema, decode, json_values};

/// The Account schema as a person-account org served it: 87 fields.
pub(super) const ACCOUNT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/salesforce/AccountChangeEvent.avsc"
));
pub(super) const CONTACT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/salesforce/ContactChangeEvent.avsc"
));
const ACCOUNT_UPDATE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/salesforce/AccountChangeEvent.update.base64"
));

/// A real event, written when the Account schema had 85 fields.
pub(super) fn account_update() -> Vec<u8> {
    base64::engine::general_purpose::STANDARD
        .decode(ACCOUNT_UPDATE.trim())
        .unwrap()
}

/// The schema that the real event was written with: the last two fields did not exist yet.
pub(super) fn account_of_85_fields() -> EventSchema {
    let mut schema: Json = serde_json::from_str(ACCOUNT).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.truncate(85);
    parse(&schema)
}

pub(super) fn parse(schema: &Json) -> EventSchema {
    EventSchema::parse("a01VpgrsZNJdn-7KStJcxQ", &schema.to_string()).unwrap()
}

/// `ChangeEventHeader` as Salesforce serves it.
pub(super) fn header_field() -> Json {
    let texts = json!({"type": "array", "items": "string"});
    json!({"name": "ChangeEventHeader", "doc": "Data:ComplexValueType", "type": {
    "type": "record", "name": "ChangeEventHeader", "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": texts},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": [
            "CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE",
            "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT"
        ]}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": texts},
        {"name": "diffFields", "type": texts},
        {"name": "changedFields", "type": texts}
    ]}})
}

/// A change event's schema with these fields after the header.
pub(super) fn change_schema(fields: &[Json]) -> Json {
    let mut all = vec![header_field()];
    all.extend_from_slice(fields);
    json!({"type": "record", "name": "ThingChangeEvent", "namespace": "com.sforce.eventbus", "fields": all})
}

pub(super) fn platform_schema(fields: &[Json]) -> Json {
    let mut all = vec![
        json!({"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}),
        json!({"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}),
    ];
    all.extend_from_slice(fields);
    json!({"type": "record", "name": "Thing__e", "namespace": "com.sforce.eventbus", "fields": all})
}

/// A nullable field of a primitive type.
pub(super) fn field(name: &str, type_: &str, doc: &str) -> Json {
    json!({"name": name, "type": ["null", type_], "doc": doc, "default": null})
}

/// A nullable compound field whose children are nullable texts.
pub(super) fn compound(name: &str, record: &str, children: &[&str]) -> Json {
    let children: Vec<_> = children
        .iter()
        .map(|child| json!({"name": child, "type": ["null", "string"], "default": null}))
        .collect();
    json!({"name": name, "type": ["null", {"type": "record", "name": record, "fields": children}],
        "default": null})
}

/// The values of a header, to be changed by a test where it matters.
pub(super) struct Header {
    pub(super) record_ids: Vec<&'static str>,
    pub(super) change_type: u32,
    pub(super) commit_number: i64,
    pub(super) changed_fields: Vec<&'static str>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            record_ids: vec!["001000000000001AAA"],
            change_type: 1,
            commit_number: 218_791_688_481,
            changed_fields: vec![],
        }
    }
}

const CHANGE_TYPES: [&str; 10] = [
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
    "SNAPSHOT",
];

impl Header {
    pub(super) fn value(&self) -> Value {
        let texts = |texts: &[&str]| Value::Array(texts.iter().map(|text| self::text(text)).collect());
        let change_type = CHANGE_TYPES[usize::try_from(self.change_type).unwrap()];
        record(vec![
            ("entityName", text("Thing")),
            ("recordIds", texts(&self.record_ids)),
            (
                "changeType",
                Value::Enum(self.change_type, change_type.to_owned()),
            ),
            ("changeOrigin", text("com/salesforce/api/rest/66.0;client=battle")),
            ("transactionKey", text("00033c92-748b-4bdc-87ca-a4904c5f0e7e")),
            ("sequenceNumber", Value::Int(3)),
            ("commitTimestamp", Value::Long(1_685_217_197_000)),
            ("commitNumber", Value::Long(self.commit_number)),
            ("commitUser", text("005000000000001AAA")),
            ("nulledFields", texts(&[])),
            ("diffFields", texts(&[])),
            ("changedFields", texts(&self.changed_fields)),
        ])
    }
}

pub(super) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

pub(super) fn record(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

pub(super) fn branch(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

pub(super) const NULL: fn() -> Value = || branch(0, Value::Null);

/// Avro by the other implementation.
pub(super) fn encode(schema: &Json, value: Value) -> Vec<u8> {
    let schema = apache_avro::Schema::parse(schema).unwrap();
    apache_avro::to_avro_datum(&schema, value).unwrap()
}

/// The event's JSON values as text.
pub(super) fn texts(schema: &EventSchema, payload: &[u8]) -> Result<Vec<String>, DecodeError> {
    let event = decode(schema, payload)?;
    let values = json_values(schema, payload, &event)?;
    Ok(values
        .into_iter()
        .map(|value| String::from_utf8(value).unwrap())
        .collect())
}

/// The one value of an event, parsed.
pub(super) fn value(schema: &EventSchema, payload: &[u8]) -> Json {
    let texts = texts(schema, payload).unwrap();
    assert_eq!(texts.len(), 1);
    serde_json::from_str(&texts[0]).unwrap()
}
