//! The spliced datum under the schema that is registered means what Salesforce sent, for every reader.

use apache_avro::types::Value;
use base64::Engine as _;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value as Json;
use sfbridge::contracts::derive::derive;
use sfbridge::salesforce::event::{EventSchema, decode, write_datum};

use super::events::{Event, any_event, event_of};
use super::{ACCOUNT, ACCOUNT_UPDATE, CONTACT, read};

/// The times that the registered schema marks as such are Salesforce's numbers.
fn unmarked(value: Value) -> Value {
    match value {
        Value::TimestampMillis(it) => Value::Long(it),
        Value::Union(branch, inner) => Value::Union(branch, Box::new(unmarked(*inner))),
        Value::Record(fields) => {
            let unmarked = |(name, value)| (name, unmarked(value));
            Value::Record(fields.into_iter().map(unmarked).collect())
        }
        other => other,
    }
}

fn assert_means_the_same(event: &Event) -> Result<(), TestCaseError> {
    let json = event.schema.to_string();
    let (schema, payload) = (EventSchema::parse("id", &json).unwrap(), event.payload());
    let original = read(&event.theirs(), &payload);
    prop_assert_eq!(original.as_ref(), Some(&event.value), "the sample itself");
    let registered = derive(&json, None).unwrap();
    let registered = apache_avro::Schema::parse_str(&registered.json).unwrap();
    let decoded = decode(&schema, &payload).unwrap();
    prop_assert_eq!(decoded.record_ids(), &event.record_ids);
    let mut records: Vec<_> = (0..event.record_ids.len()).map(Some).collect();
    records.push(None);
    for record in records {
        let mut datum = Vec::new();
        write_datum(&schema, &payload, &decoded, record, &mut datum);
        let spliced = read(&registered, &datum).map(unmarked);
        prop_assert_eq!(spliced, Some(event.expected(record)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spliced_record_holds_what_the_event_held_but_names_for_bitmaps_and_its_own_id(event in any_event()) {
        assert_means_the_same(&event)?;
    }
}

proptest! {
    // Each is of some ninety fields.
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_under_the_schemas_of_real_accounts(event in event_of(serde_json::from_str(ACCOUNT).unwrap())) {
        assert_means_the_same(&event)?;
    }

    #[test]
    fn so_it_does_under_the_schemas_of_real_contacts(event in event_of(serde_json::from_str(CONTACT).unwrap())) {
        assert_means_the_same(&event)?;
    }
}

#[test]
fn a_real_event_reads_the_same_after_the_splice() {
    let payload = base64::engine::general_purpose::STANDARD
        .decode(ACCOUNT_UPDATE.trim())
        .unwrap();
    let mut schema: Json = serde_json::from_str(ACCOUNT).unwrap();
    // The event is older than the last two fields.
    schema["fields"].as_array_mut().unwrap().truncate(85);
    let json = schema.to_string();
    let ours = EventSchema::parse("id", &json).unwrap();
    let event = decode(&ours, &payload).unwrap();
    let mut datum = Vec::new();
    write_datum(&ours, &payload, &event, Some(0), &mut datum);
    let original = read(&apache_avro::Schema::parse(&schema).unwrap(), &payload).unwrap();
    let registered = apache_avro::Schema::parse_str(&derive(&json, None).unwrap().json).unwrap();
    let spliced = unmarked(read(&registered, &datum).unwrap());
    let (Value::Record(mut before), Value::Record(mut after)) = (original, spliced) else {
        panic!("records")
    };
    let [(_, header_before), (_, header_after)] = [before.remove(0), after.remove(0)];
    assert_eq!(before, after, "the body");
    assert!(
        before
            .iter()
            .any(|(_, value)| !matches!(value, Value::Union(0, _)))
    );
    let (Value::Record(before), Value::Record(after)) = (header_before, header_after) else {
        panic!("headers")
    };
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        match name.as_str() {
            "changedFields" => {
                let names = event.header().unwrap().changed_fields.iter();
                let names = names.map(|name| Value::String(name.to_string())).collect();
                assert_eq!(after, &Value::Array(names));
                assert_ne!(before, after);
            }
            _ => assert_eq!(before, after, "{name}"),
        }
    }
}
