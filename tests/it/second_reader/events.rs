//! Change events of any schema that Salesforce could serve: the schema, the values, and the names that the
//! header's bitmaps stand for.

use std::collections::HashMap;

use apache_avro::types::Value;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value as Json, json};

use super::{Names, name_of, named, names_of, text, value_of};

/// The header's arrays of bitmaps.
const BITMAPS: [&str; 3] = ["changedFields", "nulledFields", "diffFields"];

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) schema: Json,
    /// As Salesforce sends it.
    pub(super) value: Value,
    pub(super) record_ids: Vec<String>,
    /// What stands in the header's arrays of bitmaps, as names.
    names: HashMap<&'static str, Vec<String>>,
}

impl Event {
    pub(super) fn theirs(&self) -> apache_avro::Schema {
        apache_avro::Schema::parse(&self.schema).unwrap()
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        apache_avro::to_avro_datum(&self.theirs(), self.value.clone()).unwrap()
    }

    /// What a reader of one record's datum is to see.
    pub(super) fn expected(&self, record: Option<usize>) -> Value {
        let mut value = self.value.clone();
        for (name, names) in &self.names {
            set_header(&mut value, name, names);
        }
        if let Some(record) = record {
            set_header(&mut value, "recordIds", &self.record_ids[record..=record]);
        }
        value
    }
}

fn set_header(event: &mut Value, name: &str, texts: &[String]) {
    let Value::Record(fields) = event else {
        panic!("{event:?}")
    };
    let Value::Record(header) = &mut fields[0].1 else {
        panic!("{fields:?}")
    };
    let (_, value) = header.iter_mut().find(|(field, _)| field == name).unwrap();
    *value = Value::Array(texts.iter().map(|it| text(it)).collect());
}

/// Events of random schemas.
pub(super) fn any_event() -> impl Strategy<Value = Event> {
    any_schema().prop_flat_map(event_of)
}

/// Events of this schema.
pub(super) fn event_of(schema: Json) -> impl Strategy<Value = Event> {
    let names = names_of(&schema);
    let ids = prop::collection::vec("[A-Za-z0-9]{18}", 0..4);
    let bitmaps = [(); BITMAPS.len()].map(|()| bitmaps(&schema, &names));
    (value_of(&schema, &names), ids, bitmaps).prop_map(move |(mut value, record_ids, bitmaps)| {
        set_header(&mut value, "recordIds", &record_ids);
        let mut names = HashMap::new();
        for (field, (elements, named)) in BITMAPS.into_iter().zip(bitmaps) {
            set_header(&mut value, field, &elements);
            names.insert(field, named);
        }
        Event {
            schema: schema.clone(),
            value,
            record_ids,
            names,
        }
    })
}

/// The elements of an array of bitmaps, and the names of the fields that they stand for.
fn bitmaps(schema: &Json, names: &Names) -> BoxedStrategy<(Vec<String>, Vec<String>)> {
    let fields = schema["fields"].as_array().unwrap();
    let all: Vec<String> = fields.iter().map(name_of).collect();
    let indices: Vec<usize> = (1..all.len()).collect();
    let whole = prop_oneof![Just(Vec::new()), subsequence(indices.clone(), 0..=indices.len())];
    let parents = fields.iter().enumerate().skip(1).map(|(index, field)| {
        let children = children(&field["type"], names);
        let bits: Vec<usize> = (0..children.len()).collect();
        let some = prop_oneof![Just(Vec::new()), subsequence(bits.clone(), 0..=bits.len())];
        some.prop_map(move |bits| (index, children.clone(), bits))
    });
    (whole, parents.collect::<Vec<_>>())
        .prop_map(move |(whole, parents)| {
            let (mut elements, mut named) = (Vec::new(), Vec::new());
            if !whole.is_empty() {
                elements.push(bitmap(&whole));
                named.extend(whole.iter().map(|index| all[*index].clone()));
            }
            for (index, children, bits) in parents {
                if !bits.is_empty() {
                    elements.push(format!("{index}-{}", bitmap(&bits)));
                    named.extend(
                        bits.iter()
                            .map(|bit| format!("{}.{}", all[index], children[*bit])),
                    );
                }
            }
            (elements, named)
        })
        .boxed()
}

/// Bit 0 is the lowest of the last byte.
fn bitmap(bits: &[usize]) -> String {
    let mut bytes = vec![0_u8; bits.iter().max().map_or(1, |bit| bit / 8 + 1)];
    for bit in bits {
        bytes[bit / 8] |= 1 << (bit % 8);
    }
    bytes.reverse();
    format!("0x{}", hex::encode_upper(bytes))
}

pub(super) fn children(type_: &Json, names: &Names) -> Vec<String> {
    match type_ {
        Json::Array(branches) => branches
            .iter()
            .map(|branch| children(branch, names))
            .find(|children| !children.is_empty())
            .unwrap_or_default(),
        Json::String(name) if names.contains_key(name.rsplit('.').next().unwrap_or_default()) => {
            children(named(name, names), names)
        }
        Json::Object(object) => object
            .get("fields")
            .and_then(Json::as_array)
            .map_or_else(Vec::new, |fields| fields.iter().map(name_of).collect()),
        _ => Vec::new(),
    }
}

fn any_schema() -> impl Strategy<Value = Json> {
    let fields = prop::collection::vec(any_field(), 0..12);
    (header(), fields).prop_map(|((header, extra), fields)| {
        let mut all = vec![json!({"name": "ChangeEventHeader", "doc": "Data:ComplexValueType", "type": header})];
        let mut has_address = false;
        for (index, (mut type_, doc)) in fields.into_iter().enumerate() {
            place(&mut type_, index, &mut has_address);
            all.push(json!({"name": format!("Field{index}__c"), "type": type_, "doc": doc, "default": null}));
        }
        // A type of the header's, by name in the body.
        if extra {
            all.push(json!({"name": "Region", "type": ["null", "Region"], "default": null}));
        }
        json!({"type": "record", "name": "ThingChangeEvent", "namespace": "com.sforce.eventbus", "fields": all})
    })
}

/// Gives compounds names of their own, and defines `Address` at its first use.
fn place(type_: &mut Json, index: usize, has_address: &mut bool) {
    for branch in type_.as_array_mut().into_iter().flatten() {
        if branch.get("fields").is_some() {
            branch["name"] = json!(format!("Compound{index}"));
        }
        if branch == "Address" && !*has_address {
            *has_address = true;
            let nullable =
                |name: &str, type_: &str| json!({"name": name, "type": ["null", type_], "default": null});
            let fields = [
                nullable("Street", "string"),
                nullable("City", "string"),
                nullable("Latitude", "double"),
            ];
            *branch = json!({"type": "record", "name": "Address", "fields": fields});
        } else if branch == "Address" && index.is_multiple_of(2) {
            *branch = json!("com.sforce.eventbus.Address");
        }
    }
}

/// Every kind of field that Salesforce's schemas have, and its `doc`.
fn any_field() -> impl Strategy<Value = (Json, &'static str)> {
    let kinds = [
        ("string", "Data:Text"),
        ("string", "ForeignKey:EntityId"),
        ("int", "Data:Integer"),
        ("long", "Data:DateTime:00N000000000001"),
        ("long", "Data:DateOnly"),
        ("long", "Data:TimeOnly"),
        ("double", "Data:Currency"),
        ("boolean", "Data:Boolean"),
    ];
    let simple = select(kinds.to_vec()).prop_map(|(type_, doc)| (json!(["null", type_]), doc));
    let list = select(vec!["string", "long"]).prop_map(|items| {
        (
            json!(["null", {"type": "array", "items": items}]),
            "Data:MultiEnum",
        )
    });
    let children = prop::collection::vec(select(kinds.to_vec()), 1..10).prop_map(|kinds| compound(&kinds));
    let named = Just((json!(["null", "Address"]), "Data:Address"));
    let name = Just((
        json!(["null", "string", compound(&[kinds[0], kinds[0]]).0[1]]),
        "Data:Switchable_PersonName",
    ));
    prop_oneof![6 => simple, 1 => list, 2 => children, 2 => named, 1 => name]
}

/// Children have a default and no `doc`.
fn compound(kinds: &[(&'static str, &'static str)]) -> (Json, &'static str) {
    let child = |(index, (type_, _)): (usize, &(&str, &str))| json!({"name": format!("Child{index}"), "type": ["null", type_], "default": null});
    let children: Vec<Json> = kinds.iter().enumerate().map(child).collect();
    (
        json!(["null", {"type": "record", "fields": children}]),
        "Data:ComplexValueType",
    )
}

/// The header's type: Salesforce's fields and such as it may add some day, in any order. Whether `Region` is
/// among them.
fn header() -> impl Strategy<Value = (Json, bool)> {
    let texts = json!({"type": "array", "items": "string"});
    let change_types = json!({"type": "enum", "name": "ChangeType", "symbols": ["CREATE", "UPDATE", "DELETE",
        "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT"]});
    let known = [
        ("entityName", json!("string")),
        ("recordIds", texts.clone()),
        ("changeType", change_types),
        ("changeOrigin", json!("string")),
        ("transactionKey", json!("string")),
        ("sequenceNumber", json!("int")),
        ("commitTimestamp", json!("long")),
        ("commitNumber", json!("long")),
        ("commitUser", json!("string")),
        ("nulledFields", texts.clone()),
        ("diffFields", texts.clone()),
        ("changedFields", texts),
    ];
    let unknown = [
        (
            "region",
            json!({"type": "record", "name": "Region", "fields": [{"name": "zone", "type": ["null", "string"]}, {"name": "rank", "type": "int"}]}),
        ),
        ("shares", json!({"type": "map", "values": "long"})),
        ("weight", json!("double")),
        ("isReplayed", json!("boolean")),
        ("steps", json!(["null", {"type": "array", "items": "int"}])),
        (
            "source",
            json!({"type": "enum", "name": "Source", "symbols": ["A", "B"]}),
        ),
    ];
    let field = |(name, type_): &(&str, Json)| json!({"name": name, "type": type_});
    let known: Vec<Json> = known.iter().map(field).collect();
    let unknown: Vec<Json> = unknown.iter().map(field).collect();
    subsequence(unknown.clone(), 0..=unknown.len())
        .prop_map(move |extra| [known.clone(), extra].concat())
        .prop_shuffle()
        .prop_map(|fields| {
            let has_region = fields.iter().any(|field| field["name"] == "region");
            (
                json!({"type": "record", "name": "ChangeEventHeader", "fields": fields}),
                has_region,
            )
        })
}
