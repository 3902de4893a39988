use serde_json::json;

use super::fixtures::{Header, branch, change_schema, encode, field, parse, record, text, texts};
use crate::salesforce::event::{decode, write_json};

fn merged(record_ids: Vec<&'static str>) -> (crate::salesforce::event::EventSchema, Vec<u8>) {
    let schema = change_schema(&[field("Phone", "string", "Data:Phone")]);
    let header = Header {
        record_ids,
        changed_fields: vec!["0x02"],
        ..Header::default()
    };
    let event = record(vec![
        ("ChangeEventHeader", header.value()),
        ("Phone", branch(1, text("1"))),
    ]);
    let payload = encode(&schema, event);
    (parse(&schema), payload)
}

#[test]
fn a_merged_event_becomes_a_value_for_each_record_with_its_own_id() {
    let (schema, payload) = merged(vec!["001A", "001B", "001C"]);
    let texts = texts(&schema, &payload).unwrap();
    assert_eq!(texts.len(), 3);
    for (text, id) in texts.iter().zip(["001A", "001B", "001C"]) {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["ChangeEventHeader"]["recordIds"], json!([id]));
        assert_eq!(json["ChangeEventHeader"]["changedFields"], json!(["Phone"]));
        assert_eq!(json["Phone"], "1");
    }
}

#[test]
fn one_value_can_be_written_whole_or_for_one_record() {
    let (schema, payload) = merged(vec!["001A", "001B"]);
    let event = decode(&schema, &payload).unwrap();
    let mut out = b"before".to_vec();
    write_json(&schema, &payload, &event, None, &mut out).unwrap();
    let whole = String::from_utf8(out).unwrap();
    assert!(
        whole.starts_with(r#"before{"ChangeEventHeader":{"entityName":"Thing","recordIds":["001A","001B"],"#)
    );

    let mut second = Vec::new();
    write_json(&schema, &payload, &event, Some(1), &mut second).unwrap();
    assert_eq!(texts(&schema, &payload).unwrap()[1].as_bytes(), second);
}

#[test]
fn a_change_that_names_no_record_still_becomes_one_value() {
    let (schema, payload) = merged(vec![]);
    let texts = texts(&schema, &payload).unwrap();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains(r#""recordIds":[],"#));
}

#[test]
fn what_was_written_before_a_failure_is_taken_back() {
    let (schema, payload) = merged(vec!["001A"]);
    let event = decode(&schema, &payload).unwrap();
    let mut out = b"before".to_vec();
    let cut = &payload[..payload.len() - 1];
    assert!(write_json(&schema, cut, &event, None, &mut out).is_err());
    assert_eq!(out, b"before");
}
