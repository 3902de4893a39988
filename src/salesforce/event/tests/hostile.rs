//! Bytes that no honest sender writes: an error or a value, never a panic, and no values in the error's text.

use proptest::prelude::*;

use super::fixtures::{
    Header, account_of_85_fields, account_update, branch, change_schema, encode, field, parse,
    platform_schema, record, text, texts,
};
use crate::salesforce::event::decode;

#[test]
fn every_truncation_of_a_real_event_is_an_error() {
    let schema = account_of_85_fields();
    let payload = account_update();
    for length in 0..payload.len() {
        assert!(
            texts(&schema, &payload[..length]).is_err(),
            "cut to {length} bytes"
        );
    }
}

#[test]
fn a_byte_too_many_is_an_error() {
    let mut payload = account_update();
    payload.push(0);
    let message = texts(&account_of_85_fields(), &payload).unwrap_err().to_string();
    assert!(message.contains("1 bytes follow the last field"), "{message}");
}

#[test]
fn a_bitmap_outside_the_schema_makes_the_event_an_error() {
    let schema = change_schema(&[field("Phone", "string", "Data:Phone")]);
    let header = Header {
        changed_fields: vec!["0x08"],
        ..Header::default()
    };
    let event = record(vec![
        ("ChangeEventHeader", header.value()),
        ("Phone", branch(0, apache_avro::types::Value::Null)),
    ]);
    let message = decode(&parse(&schema), &encode(&schema, event))
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "ThingChangeEvent (schema a01VpgrsZNJdn-7KStJcxQ): header field changedFields: bit 3 is outside the schema's \
         2 fields"
    );
}

#[test]
fn errors_never_hold_a_value() {
    let written = platform_schema(&[field("Secret__c", "string", "Data:Text")]);
    let read = platform_schema(&[field("Secret__c", "boolean", "Data:Boolean")]);
    let event = record(vec![
        ("CreatedDate", apache_avro::types::Value::Long(1)),
        ("CreatedById", text("005")),
        ("Secret__c", branch(1, text("hunter2"))),
    ]);
    let error = texts(&parse(&read), &encode(&written, event)).unwrap_err();
    let message = format!("{error} {error:?}");
    assert!(message.contains("field Secret__c (3 of 3)"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn an_array_that_claims_to_go_on_for_ever_is_an_error() {
    // Elements of no bytes: only the count bounds them.
    let schema = serde_json::json!({"type": "record", "name": "E", "fields": [
        {"name": "a", "type": {"type": "array", "items": "null"}}
    ]});
    let claims_a_billion = [0x80, 0xa8, 0xd6, 0xb9, 0x07, 0x00];
    assert!(texts(&parse(&schema), &claims_a_billion).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..400)) {
        let schema = account_of_85_fields_once();
        if let Ok(values) = texts(schema, &payload) {
            for value in values {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&value).is_ok());
            }
        }
    }

    #[test]
    fn a_real_event_with_bytes_changed_never_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut payload = account_update();
        for (index, byte) in changes {
            let at = index.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(values) = texts(account_of_85_fields_once(), &payload) {
            for value in values {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&value).is_ok());
            }
        }
    }
}

fn account_of_85_fields_once() -> &'static crate::salesforce::event::EventSchema {
    static SCHEMA: std::sync::OnceLock<crate::salesforce::event::EventSchema> = std::sync::OnceLock::new();
    SCHEMA.get_or_init(account_of_85_fields)
}
