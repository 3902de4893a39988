//! One schema of each kind, and events of it.

use std::sync::LazyLock;

use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use super::super::{Filter, FilterError, Verdict};
use crate::salesforce::event::{EventSchema, EventView, FieldIndex, decode};

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

fn nullable(name: &str, type_: &Json, doc: &str) -> Json {
    json!({"name": name, "type": ["null", type_], "doc": doc, "default": null})
}

fn text_children(record: &str, children: &[&str]) -> Json {
    let children: Vec<_> = children
        .iter()
        .map(|name| nullable(name, &json!("string"), ""))
        .collect();
    json!({"type": "record", "name": record, "fields": children})
}

fn body_fields() -> Vec<Json> {
    vec![
        json!({"name": "Name", "type": ["null", "string", text_children("PersonName", &["FirstName", "LastName"])]}),
        nullable("Industry", &json!("string"), "Data:Picklist"),
        nullable("AnnualRevenue", &json!("double"), "Data:Currency"),
        nullable("NumberOfEmployees", &json!("int"), "Data:Integer"),
        nullable("IsPartner", &json!("boolean"), "Data:Boolean"),
        nullable("LastActivity", &json!("long"), "Data:DateTime:00N"),
        nullable("Founded", &json!("long"), "Data:DateOnly:00N"),
        nullable(
            "Seen",
            &json!({"type": "long", "logicalType": "timestamp-millis"}),
            "",
        ),
        nullable(
            "BillingAddress",
            &text_children("Address", &["Street", "City"]),
            "Data:Address",
        ),
        nullable("Description", &json!("string"), "Data:TextArea"),
        nullable("Tags", &json!({"type": "array", "items": "string"}), ""),
    ]
}

/// A schema twice: for this program, and for the implementation that writes the payloads.
type Schemas = (EventSchema, apache_avro::Schema);

static CHANGE: LazyLock<Schemas> = LazyLock::new(|| {
    let texts = json!({"type": "array", "items": "string"});
    let header = json!({"name": "ChangeEventHeader", "type": {"type": "record", "name": "ChangeEventHeader", "fields": [
        {"name": "entityName", "type": "string"}, {"name": "recordIds", "type": texts},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": CHANGE_TYPES}},
        {"name": "changeOrigin", "type": "string"}, {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"}, {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"}, {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": texts}, {"name": "diffFields", "type": texts},
        {"name": "changedFields", "type": texts}]}});
    let mut fields = vec![header];
    fields.extend(body_fields());
    parsed(&json!({"type": "record", "name": "AccountChangeEvent", "fields": fields}))
});

static PLATFORM: LazyLock<Schemas> = LazyLock::new(|| {
    let mut fields = vec![
        json!({"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}),
        json!({"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}),
    ];
    fields.extend(body_fields());
    parsed(&json!({"type": "record", "name": "Order__e", "fields": fields}))
});

fn parsed(json: &Json) -> Schemas {
    (
        EventSchema::parse("schema-1", &json.to_string()).unwrap(),
        apache_avro::Schema::parse(json).unwrap(),
    )
}

pub(super) fn change_schema() -> &'static EventSchema {
    &CHANGE.0
}

pub(super) fn platform_schema() -> &'static EventSchema {
    &PLATFORM.0
}

/// An event: which fields the header names, and the body's fields that are not null.
#[derive(Clone, Default)]
pub(super) struct Event {
    change_type: &'static str,
    changed: Vec<&'static str>,
    diffs: Vec<&'static str>,
    filled: Vec<(&'static str, Value)>,
}

pub(super) fn change(change_type: &'static str) -> Event {
    Event {
        change_type,
        ..Event::default()
    }
}

pub(super) fn platform() -> Event {
    Event::default()
}

impl Event {
    pub(super) fn changed(mut self, fields: &[&'static str]) -> Self {
        self.changed = fields.to_vec();
        self
    }

    pub(super) fn diffs(mut self, fields: &[&'static str]) -> Self {
        self.diffs = fields.to_vec();
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.filled.push((name, Value::Union(1, Box::new(value))));
        self
    }

    /// A field in another branch of its union than the first.
    pub(super) fn with_branch(mut self, name: &'static str, branch: u32, value: Value) -> Self {
        self.filled.push((name, Value::Union(branch, Box::new(value))));
        self
    }

    pub(super) fn verdict(&self, filter: &str) -> Result<Verdict, FilterError> {
        self.evaluate(&Filter::compile(filter).unwrap())
    }

    pub(super) fn evaluate(&self, filter: &Filter) -> Result<Verdict, FilterError> {
        let (schema, avro) = if self.change_type.is_empty() {
            &*PLATFORM
        } else {
            &*CHANGE
        };
        let payload = self.payload(schema, avro);
        let event = decode(schema, &payload).unwrap();
        let index = FieldIndex::new(schema, &payload, &event).unwrap();
        filter.evaluate(&EventView {
            schema,
            payload: &payload,
            event: &event,
            index: &index,
        })
    }

    fn payload(&self, schema: &EventSchema, avro: &apache_avro::Schema) -> Vec<u8> {
        let values = schema.fields().iter().map(|field| {
            let filled = self.filled.iter().find(|(filled, _)| *filled == &**field.name());
            let value = match (&**field.name(), filled) {
                ("ChangeEventHeader", _) => self.header(),
                ("CreatedDate", _) => Value::Long(1_700_000_000_000),
                ("CreatedById", _) => text("005000000000001AAA"),
                (_, Some((_, value))) => value.clone(),
                (_, None) => Value::Union(0, Box::new(Value::Null)),
            };
            (field.name().to_string(), value)
        });
        apache_avro::to_avro_datum(avro, Value::Record(values.collect())).unwrap()
    }

    fn header(&self) -> Value {
        let texts = |texts: &[&str]| Value::Array(texts.iter().map(|each| text(each)).collect());
        let symbol = CHANGE_TYPES
            .iter()
            .position(|name| *name == self.change_type)
            .unwrap();
        record(vec![
            ("entityName", text("Account")),
            ("recordIds", texts(&["001000000000001AAA"])),
            (
                "changeType",
                Value::Enum(u32::try_from(symbol).unwrap(), self.change_type.to_owned()),
            ),
            ("changeOrigin", text("com/salesforce/api/rest/66.0;client=shop")),
            ("transactionKey", text("00033c92")),
            ("sequenceNumber", Value::Int(3)),
            ("commitTimestamp", Value::Long(1_700_000_000_000)),
            ("commitNumber", Value::Long(7)),
            ("commitUser", text("005000000000001AAA")),
            ("nulledFields", texts(&[])),
            ("diffFields", bitmaps(&self.diffs)),
            ("changedFields", bitmaps(&self.changed)),
        ])
    }
}

/// One bitmap for each field, as `9-0x2` for a child.
fn bitmaps(fields: &[&str]) -> Value {
    let schema = change_schema();
    let bitmap = |path: &&str| {
        let (name, child) = path.split_once('.').unwrap_or((path, ""));
        let field = schema
            .fields()
            .iter()
            .position(|field| &**field.name() == name)
            .unwrap();
        let children = schema.fields()[field].children();
        text(&match children.iter().position(|known| &**known == *path) {
            Some(child) => format!("{field}-0x{:04x}", 1 << child),
            None => {
                assert_eq!(child, "");
                format!("0x{:04x}", 1 << field)
            }
        })
    };
    Value::Array(fields.iter().map(bitmap).collect())
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

/// A compound field's record; what is left out is null.
pub(super) fn address(street: Option<&str>, city: Option<&str>) -> Value {
    let child = |value: Option<&str>| match value {
        Some(value) => Value::Union(1, Box::new(text(value))),
        None => Value::Union(0, Box::new(Value::Null)),
    };
    record(vec![("Street", child(street)), ("City", child(city))])
}
