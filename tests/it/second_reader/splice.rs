//! The spliced datum under the schema that is registered means what Salesforce sent, for every reader.

use std::sync::Arc;

use apache_avro::types::Value;
use base64::Engine as _;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::TestCaseError;
use serde_json::Value as Json;
use sfbridge::avro::Schema;
use sfbridge::config::FieldSelection;
use sfbridge::contracts::derive::derive;
use sfbridge::contracts::projection::{FieldValue, Projection};
use sfbridge::salesforce::event::{EventSchema, EventView, FieldIndex, decode, write_datum, write_header};

use super::events::{Event, any_event, children, event_of};
use super::{ACCOUNT, ACCOUNT_UPDATE, CONTACT, name_of, names_of, read};

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

/// Every event with some of its schema's names, whole fields and children.
fn with_selection(event: Event) -> impl Strategy<Value = (Event, Vec<String>)> {
    let names = names_of(&event.schema);
    let mut all = Vec::new();
    for field in event.schema["fields"].as_array().unwrap().iter().skip(1) {
        let name = name_of(field);
        let children = children(&field["type"], &names);
        all.extend(children.iter().map(|child| format!("{name}.{child}")));
        all.push(name);
    }
    let selected = subsequence(all.clone(), 0..=all.len());
    (Just(event), selected)
}

/// What of a record is selected: the header, whole fields, and of a compound its named children.
fn selected(value: Value, names: &[String]) -> Value {
    let Value::Record(fields) = value else {
        panic!("{value:?}")
    };
    let has = |name: &str| names.iter().any(|selected| selected == name);
    let some_of = |parent: &str, value: Value| match value {
        Value::Union(branch, inner) => match *inner {
            Value::Record(mut children) => {
                children.retain(|(child, _)| has(&format!("{parent}.{child}")));
                Value::Union(branch, Box::new(Value::Record(children)))
            }
            other => Value::Union(branch, Box::new(other)),
        },
        other => other,
    };
    let kept = fields.into_iter().filter_map(|(name, value)| {
        let is_partly = names.iter().any(|selected| {
            selected
                .strip_prefix(&*name)
                .is_some_and(|rest| rest.starts_with('.'))
        });
        match name == "ChangeEventHeader" || has(&name) {
            true => Some((name, value)),
            false => is_partly.then(|| (name.clone(), some_of(&name, value))),
        }
    });
    Value::Record(kept.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn selected_fields_hold_what_the_event_held((event, names) in any_event().prop_flat_map(with_selection)) {
        let json = event.schema.to_string();
        let (schema, payload) = (EventSchema::parse("id", &json).unwrap(), event.payload());
        let registered = derive(&json, Some(&FieldSelection::Include(names.clone()))).unwrap();
        prop_assert_eq!(&registered.unknown, &Vec::<String>::new());
        let ours = |json: &str| Arc::new(Schema::parse(json).unwrap());
        let projection = Projection::new(ours(&json), ours(&registered.json)).unwrap();
        let decoded = decode(&schema, &payload).unwrap();
        let index = FieldIndex::new(&schema, &payload, &decoded).unwrap();
        let view = EventView { schema: &schema, payload: &payload, event: &decoded, index: &index };
        let (mut header, mut datum) = (Vec::new(), Vec::new());
        write_header(&schema, &decoded, None, &mut header);
        let field = |index| FieldValue::Bytes(if index == 0 { &header } else { view.value(index) });
        projection.project(field, &mut datum).unwrap();
        let theirs = apache_avro::Schema::parse_str(&registered.json).unwrap();
        prop_assert_eq!(read(&theirs, &datum).map(unmarked), Some(selected(event.expected(None), &names)));
    }
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
