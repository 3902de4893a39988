use apache_avro::types::Value;
use serde_json::json;

use super::fixtures::{NULL, branch, encode, field, parse, platform_schema, record, text, texts, value};
use crate::salesforce::event::{DecodedEvent, decode};

#[test]
fn a_platform_event_tells_when_and_by_whom() {
    let schema = platform_schema(&[
        field("Text__c", "string", "Data:Text:00Nxx0000000001"),
        field("Num__c", "double", "Data:Double:00Nxx0000000002"),
        field("When__c", "long", "Data:DateTime:00Nxx0000000003"),
        field("Day__c", "long", "Data:DateOnly:00Nxx0000000004"),
    ]);
    let payload = encode(
        &schema,
        record(vec![
            ("CreatedDate", Value::Long(1_711_497_484_289)),
            ("CreatedById", text("005000000000001AAA")),
            ("Text__c", branch(1, text("a \"quoted\"\nline"))),
            ("Num__c", branch(1, Value::Double(1.5))),
            ("When__c", branch(1, Value::Long(i64::MAX))),
            ("Day__c", branch(1, Value::Long(1_685_145_600_000))),
        ]),
    );
    let schema = parse(&schema);
    let event = decode(&schema, &payload).unwrap();
    assert_eq!(
        event,
        DecodedEvent::Platform {
            created_date_ms: Some(1_711_497_484_289),
            created_by: Some("005000000000001AAA".to_owned()),
        }
    );
    assert_eq!(event.event_time_ms(), Some(1_711_497_484_289));
    assert_eq!((event.entity(), event.body_offset()), (None, 0));
    assert_eq!(
        texts(&schema, &payload).unwrap(),
        [concat!(
            r#"{"CreatedDate":"2024-03-26T23:58:04.289Z","CreatedById":"005000000000001AAA","#,
            r#""Text__c":"a \"quoted\"\nline","Num__c":1.5,"When__c":9223372036854775807,"Day__c":"2023-05-27"}"#
        )],
        "a time out of range stays the number it was"
    );
}

#[test]
fn creation_is_found_wherever_a_standard_event_puts_it() {
    let schema = json!({"type": "record", "name": "LoginEvent", "fields": [
        {"name": "EventUuid", "type": "string"},
        {"name": "CreatedDate", "type": ["null", "long"], "doc": "Data:DateTime"},
        {"name": "Tags", "type": {"type": "array", "items": "string"}}
    ]});
    let payload = encode(
        &schema,
        record(vec![
            ("EventUuid", text("u")),
            ("CreatedDate", branch(1, Value::Long(5))),
            ("Tags", Value::Array(vec![text("a"), text("b")])),
        ]),
    );
    let schema = parse(&schema);
    assert_eq!(decode(&schema, &payload).unwrap().event_time_ms(), Some(5));
    assert_eq!(value(&schema, &payload)["Tags"], json!(["a", "b"]));
}

#[test]
fn an_event_without_creation_has_no_time() {
    let schema = json!({"type": "record", "name": "OddEvent", "fields": [
        {"name": "CreatedDate", "type": "string"}, {"name": "A", "type": ["null", "int"]}
    ]});
    let payload = encode(
        &schema,
        record(vec![("CreatedDate", text("yesterday")), ("A", NULL())]),
    );
    let schema = parse(&schema);
    assert_eq!(decode(&schema, &payload).unwrap().event_time_ms(), None);
    assert_eq!(
        value(&schema, &payload),
        json!({"CreatedDate": "yesterday", "A": null})
    );
}

#[test]
fn an_event_of_a_megabyte_decodes() {
    let schema = platform_schema(&[
        field("Text__c", "string", "Data:Text"),
        field("Last__c", "int", "Data:Integer"),
    ]);
    let long = "a\u{e9}\"b".repeat(200_000);
    let payload = encode(
        &schema,
        record(vec![
            ("CreatedDate", Value::Long(0)),
            ("CreatedById", text("005")),
            ("Text__c", branch(1, text(&long))),
            ("Last__c", branch(1, Value::Int(-1))),
        ]),
    );
    assert!(payload.len() >= 1_000_000);
    let json = value(&parse(&schema), &payload);
    assert_eq!(json["Text__c"], long);
    assert_eq!(json["Last__c"], -1);
}
