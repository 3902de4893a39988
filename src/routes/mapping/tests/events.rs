use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::super::{Decoded, EventTarget, Key, Program, Refusal};
use super::fixtures::{by_name, program, record, tombstone};
use crate::salesforce::event::{EventSchema, decode, write_json};

const SCHEMA: &str = r#"{"type":"record","name":"Order_Shipped__e","namespace":"com.sforce.eventbus","fields":[
    {"name":"CreatedDate","type":"long","doc":"CreatedDate:DateTime"},
    {"name":"CreatedById","type":"string","doc":"CreatedBy:EntityId"},
    {"name":"Number__c","type":["null","string"],"doc":"Data:Text:00Nxx0000000001","default":null},
    {"name":"Total__c","type":["null","double"],"doc":"Data:Double:00Nxx0000000002","default":null},
    {"name":"Paid__c","type":["null","boolean"],"doc":"Data:Boolean:00Nxx0000000003","default":null},
    {"name":"Shipped_At__c","type":["null","long"],"doc":"Data:DateTime:00Nxx0000000004","default":null},
    {"name":"Due__c","type":["null","long"],"doc":"Data:DateOnly:00Nxx0000000005","default":null}]}"#;

const NOW_MS: i64 = 1_700_000_000_123;
const USER: &str = "005xx0000000001AAA";

fn target(program: Arc<Program>, schema: &str) -> Result<EventTarget, Vec<String>> {
    let schema = EventSchema::parse("id", schema).unwrap();
    let told = |refusals: Vec<Refusal>| refusals.into_iter().map(|refusal| refusal.public).collect();
    EventTarget::new(program, &schema, USER).map_err(told)
}

fn read(payload: &[u8]) -> Json {
    let schema = EventSchema::parse("id", SCHEMA).unwrap();
    let event = decode(&schema, payload).unwrap();
    let mut out = Vec::new();
    write_json(&schema, payload, &event, None, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn published(target: &EventTarget, record: &Decoded) -> Result<Json, String> {
    let payload = target.payload(record, NOW_MS).map_err(|refusal| refusal.public)?;
    Ok(read(&payload))
}

#[test]
fn fields_of_equal_names_are_sent_and_the_others_are_told_once() {
    let target = target(by_name(), SCHEMA).unwrap();
    let value = json!({"Number__c": 17, "Total__c": "12.50", "Paid__c": "true", "Shipped_At__c": "2026-01-02T04:04:05+01:00",
        "Due__c": "2026-01-03", "CreatedDate": 5, "CreatedById": "somebody", "Unknown__c": 1, "no name": 2});
    for _ in 0..2 {
        assert_eq!(
            published(&target, &record(value.clone())),
            Ok(
                json!({"CreatedDate": "2023-11-14T22:13:20.123Z", "CreatedById": USER, "Number__c": "17", "Total__c": 12.5,
                "Paid__c": true, "Shipped_At__c": "2026-01-02T03:04:05.000Z", "Due__c": "2026-01-03"})
            )
        );
    }
    assert_eq!(target.ignored(), ["Unknown__c"]);
}

#[test]
fn expressions_fill_fields_and_what_is_missing_or_null_is_null() {
    let fields = [
        ("Number__c", "value.order.id"),
        ("Total__c", "value.total"),
        ("Shipped_At__c", "value.shipped_at"),
    ];
    let target = target(program(None, &fields), SCHEMA).unwrap();
    let value = record(json!({"order": {"id": "A-1"}, "total": null, "Paid__c": true}));
    assert_eq!(
        published(&target, &value),
        Ok(
            json!({"CreatedDate": "2023-11-14T22:13:20.123Z", "CreatedById": USER, "Number__c": "A-1", "Total__c": null,
            "Paid__c": null, "Shipped_At__c": null, "Due__c": null})
        )
    );
}

#[test]
fn a_mapping_that_does_not_fit_the_event_is_told_field_by_field() {
    let fields = [("Nothing__c", "1"), ("CreatedDate", "1"), ("Number__c", "1")];
    assert_eq!(
        target(program(None, &fields), SCHEMA).unwrap_err(),
        [
            "field CreatedDate: is filled in by sfbridge; remove it",
            "field Nothing__c: Order_Shipped__e has no such field"
        ]
    );
}

#[test]
fn what_a_field_cannot_hold_is_refused_with_its_name() {
    let target = target(by_name(), SCHEMA).unwrap();
    let refused = |value: Json| {
        let refusal = target.payload(&record(value), NOW_MS).unwrap_err();
        (refusal.field.unwrap_or_default(), refusal.reason)
    };
    for (value, field, reason) in [
        (
            json!({"Number__c": {"a": 1}}),
            "Number__c",
            "field Number__c: takes a text, not an object",
        ),
        (
            json!({"Total__c": "much"}),
            "Total__c",
            "field Total__c: takes no text that is not a number",
        ),
        (
            json!({"Paid__c": 1}),
            "Paid__c",
            "field Paid__c: takes true or false, not a number",
        ),
        (
            json!({"Due__c": 5}),
            "Due__c",
            "field Due__c: takes a date as text, not a number",
        ),
        (
            json!([1]),
            "",
            "fields of equal names are of an object, and the value is a list",
        ),
    ] {
        assert_eq!(refused(value), (field.to_owned(), reason.to_owned()));
    }
    let refusal = target.payload(&tombstone(Key::Absent), NOW_MS).unwrap_err();
    assert!(refusal.reason.starts_with("an event needs a value"), "{refusal}");
}

#[test]
fn a_required_field_needs_a_value_or_a_default() {
    let schema = r#"{"type":"record","name":"Strict__e","fields":[
        {"name":"CreatedDate","type":"long","doc":"CreatedDate:DateTime"},{"name":"CreatedById","type":"string"},
        {"name":"A__c","type":"string"},{"name":"B__c","type":"int","default":7},
        {"name":"C__c","type":["string","null"]},{"name":"D__c","type":"float"},
        {"name":"E__c","type":"long","doc":"Data:TimeOnly"},{"name":"F__c","type":{"type":"array","items":"string"}}]}"#;
    let target = target(by_name(), schema).unwrap();
    let whole = json!({"A__c": "x", "C__c": "y", "D__c": 0.1, "E__c": "00:00:01", "F__c": ["z"]});
    let payload = target.payload(&record(whole.clone()), 1).unwrap();
    let mut expected = vec![2, 36];
    expected.extend(USER.bytes());
    expected.extend([2, b'x', 14, 0, 2, b'y']);
    expected.extend(0.1_f32.to_le_bytes());
    expected.extend([0xd0, 0x0f, 2, 2, b'z', 0]);
    assert_eq!(payload, expected);
    for (name, wrong, rule) in [
        (
            "A__c",
            json!(null),
            "is required, and the record has no value for it",
        ),
        (
            "D__c",
            json!(0.123_456_789_012),
            "would not hold the number exactly: it has more digits than a float",
        ),
        ("F__c", json!([1]), "the value does not fit array of string"),
        ("F__c", json!("z"), "the value does not fit array of string"),
    ] {
        let mut value = whole.clone();
        value[name] = wrong;
        let refusal = target.payload(&record(value), 1).unwrap_err();
        assert_eq!(refusal.reason, format!("field {name}: {rule}"));
    }
    let mut value = whole;
    value["C__c"] = json!(null);
    assert!(target.payload(&record(value), 1).is_ok());
}

#[test]
fn a_change_event_is_not_published() {
    let header = r#"{"type":"record","name":"ChangeEventHeader","fields":[{"name":"entityName","type":"string"},
        {"name":"recordIds","type":{"type":"array","items":"string"}},
        {"name":"changeType","type":{"type":"enum","name":"ChangeType","symbols":["CREATE"]}},
        {"name":"transactionKey","type":"string"},{"name":"sequenceNumber","type":"int"},
        {"name":"commitTimestamp","type":"long"}]}"#;
    let schema = format!(
        r#"{{"type":"record","name":"AccountChangeEvent","fields":[{{"name":"ChangeEventHeader","type":{header}}}]}}"#
    );
    assert_eq!(
        target(by_name(), &schema).unwrap_err(),
        ["AccountChangeEvent is a change event, which nobody can publish"]
    );
}

proptest! {
    #[test]
    fn an_event_reads_as_it_was_mapped(
        number in prop::option::of("\\PC{0,12}"), total in prop::option::of(any::<f64>().prop_filter("finite", |d| d.is_finite())),
        paid in prop::option::of(any::<bool>()), shipped in prop::option::of(-62_167_219_200_000_i64..=253_402_300_799_999),
        days in prop::option::of(-700_000_i32..=2_900_000),
    ) {
        let target = target(by_name(), SCHEMA).unwrap();
        let day = days.map(|days| super::super::moment::date(days.into()).unwrap());
        let value = json!({"Number__c": number, "Total__c": total, "Paid__c": paid, "Shipped_At__c": shipped, "Due__c": day});
        let record = record(value.clone());
        let payload = target.payload(&record, NOW_MS).unwrap();
        prop_assert_eq!(&payload, &target.payload(&record, NOW_MS).unwrap(), "a repeat is a repeat");
        let Json::Object(read) = read(&payload) else { panic!("an object") };
        let mut expected = Map::from_iter([("CreatedDate".to_owned(), json!("2023-11-14T22:13:20.123Z")), ("CreatedById".to_owned(), json!(USER))]);
        expected.extend(value.as_object().unwrap().clone());
        if let Some(ms) = shipped {
            expected["Shipped_At__c"] = json!(crate::runtime::clock::rfc3339_ms(ms.min(253_402_207_200_000)));
            if ms > 253_402_207_200_000 {
                expected["Shipped_At__c"] = read["Shipped_At__c"].clone();
            }
        }
        prop_assert_eq!(read, expected);
    }
}
