//! Payloads that are no events: the index of an event's fields never panics, and takes for an event what the other
//! implementation takes for one.

use apache_avro::types::Value;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use sfbridge::salesforce::event::{EventSchema, FieldIndex, decode, json_values, write_datum};

use super::events::{Event, any_event};
use super::read;

/// What happens to a payload on its way.
#[derive(Debug, Clone)]
enum Harm {
    Cut(Index),
    Replaced(Index, u8),
    Inserted(Index, u8),
    Removed(Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let (at, byte) = (any::<Index>, any::<u8>);
    // Small numbers are what lengths, counts and branches are made of.
    let byte = move || prop_oneof![byte(), 0_u8..8, Just(0x80), Just(0xff)];
    prop_oneof![
        1 => at().prop_map(Harm::Cut),
        4 => (at(), byte()).prop_map(|(at, byte)| Harm::Replaced(at, byte)),
        1 => (at(), byte()).prop_map(|(at, byte)| Harm::Inserted(at, byte)),
        1 => at().prop_map(Harm::Removed),
    ]
}

fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match harm {
            Harm::Cut(at) => bytes.truncate(at.index(length)),
            Harm::Replaced(at, byte) => bytes[at.index(length)] = *byte,
            Harm::Inserted(at, byte) => bytes.insert(at.index(length), *byte),
            Harm::Removed(at) => drop(bytes.remove(at.index(length))),
        }
    }
    bytes
}

/// A harmed double may be no number, which is not equal to itself: its bits are.
fn in_bits(value: Value) -> Value {
    match value {
        Value::Double(it) => Value::Long(it.to_bits().cast_signed()),
        Value::Union(branch, inner) => Value::Union(branch, Box::new(in_bits(*inner))),
        Value::Record(fields) => {
            let in_bits = |(name, value)| (name, in_bits(value));
            Value::Record(fields.into_iter().map(in_bits).collect())
        }
        other => other,
    }
}

/// Whether an array stands behind the header.
fn has_lists(event: &Event) -> bool {
    let fields = event.schema["fields"].as_array().unwrap();
    let mut body = fields.iter().skip(1);
    body.any(|field| field["type"].to_string().contains("array"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic_and_what_it_takes_is_written_on(event in any_event(), harms in prop::collection::vec(harm(), 1..4)) {
        let schema = EventSchema::parse("id", &event.schema.to_string()).unwrap();
        let payload = harmed(event.payload(), &harms);
        if let Ok(decoded) = decode(&schema, &payload) {
            let index = FieldIndex::new(&schema, &payload, &decoded);
            let json = json_values(&schema, &payload, &decoded);
            prop_assert_eq!(index.is_ok(), json.is_ok(), "the two proofs that an event decodes: {:?} {:?}", index, json);
            if index.is_ok() {
                let mut datum = Vec::new();
                write_datum(&schema, &payload, &decoded, None, &mut datum);
                prop_assert!(read(&event.theirs(), &datum).is_some(), "a reader of the topic cannot read it");
            }
        }
    }

    #[test]
    fn it_takes_for_an_event_what_the_other_implementation_takes_for_one(event in any_event(), harms in prop::collection::vec(harm(), 0..3)) {
        let schema = EventSchema::parse("id", &event.schema.to_string()).unwrap();
        let mut payload = event.payload();
        let decoded = decode(&schema, &payload).unwrap();
        let body = payload.split_off(decoded.body_offset());
        payload.extend(harmed(body, &harms));
        match FieldIndex::new(&schema, &payload, &decoded) {
            Ok(index) => {
                let Some(Value::Record(values)) = read(&event.theirs(), &payload) else {
                    return Err(TestCaseError::fail("only ours takes it"));
                };
                for field in 0..schema.fields().len() {
                    let mut part = event.schema.clone();
                    part["fields"].as_array_mut().unwrap().truncate(field + 1);
                    let part = apache_avro::Schema::parse(&part).unwrap();
                    let prefix = read(&part, &payload[..index.range(field).end]);
                    let expected = Value::Record(values[..=field].to_vec());
                    prop_assert_eq!(prefix.map(in_bits), Some(in_bits(expected)));
                }
            }
            // It makes room for as many elements as a broken count claims: it is not asked about lists.
            Err(_) if has_lists(&event) => prop_assert!(!harms.is_empty(), "only theirs takes it"),
            Err(error) => {
                // It takes some data that ends early for nulls: what it would not write so is no event.
                let again = read(&event.theirs(), &payload)
                    .and_then(|value| apache_avro::to_avro_datum(&event.theirs(), value).ok());
                prop_assert_ne!(again, Some(payload), "only theirs takes it: {}", error);
            }
        }
    }
}
