//! Many events quickly: one Account update is encoded, and each event is a copy of its bytes with its own record
//! id, transaction and number stamped in. All have the real 87-field schema with ten fields filled.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use super::bus::NewEvent;
use super::change::{self, Change, ChangeType, Defaults};
use super::schemas::EventSchema;
use crate::simulator::ids;

/// Of the placeholders, which no real value looks like.
const RECORD: &str = "#RECORD##RECORD##R";
const TRANSACTION: &str = "#TRANSACTION##TRANSACTION##TRANSACTI";
const NUMBER: &str = "#NUMBER####!";
/// Payloads share buffers of this many events: one allocation in place of many.
const EVENTS_PER_BUFFER: usize = 256;

/// Numbered updates of Account records, for tests and benchmarks.
///
/// Event `n` changes record `n % keys`; its number stands in `GUID__c` with twelve digits, and in the last twelve
/// of its event id.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestEvents {
    pub count: u64,
    /// Distinct records.
    pub keys: u64,
    /// Of the payload. The least is what the fields need, about 400.
    pub bytes: usize,
    /// Events that share one replay id.
    pub group: u64,
    /// Events of a group come in responses of their own.
    pub split_groups: bool,
}

impl Default for TestEvents {
    fn default() -> Self {
        Self {
            count: 1,
            keys: 100,
            bytes: 400,
            group: 1,
            split_groups: false,
        }
    }
}

impl TestEvents {
    pub fn new(count: u64) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }
}

/// The record that test event `number` changes.
pub fn test_record_id(number: u64, keys: u64) -> String {
    // Above what the generator counts to, so that the two never meet.
    ids::record_id("001", 1_000_000_000 + number % keys.max(1))
}

pub(crate) struct Template {
    bytes: Vec<u8>,
    schema_id: String,
    record: usize,
    transaction: usize,
    number: usize,
}

impl Template {
    pub(crate) fn new(schema: &EventSchema, bytes: usize, defaults: Defaults) -> Result<Self, String> {
        let plain = encode(schema, "", &defaults)?;
        // The filler's own length grows by a byte or two with it, hence "about".
        let filler = "A long story about an account. "
            .chars()
            .cycle()
            .take(bytes.saturating_sub(plain.len()));
        let bytes = encode(schema, &filler.collect::<String>(), &defaults)?;
        let find = |mark: &str| {
            let found = bytes
                .windows(mark.len())
                .position(|window| window == mark.as_bytes());
            found.ok_or_else(|| format!("the template lost its mark {mark}"))
        };
        let (record, transaction, number) = (find(RECORD)?, find(TRANSACTION)?, find(NUMBER)?);
        Ok(Self {
            record,
            transaction,
            number,
            schema_id: schema.id.clone(),
            bytes,
        })
    }

    /// Events `first..first + events.count`.
    pub(crate) fn events(&self, first: u64, events: &TestEvents) -> impl Iterator<Item = NewEvent> {
        let group = events.group.max(1);
        let (keys, split) = (events.keys, events.split_groups);
        let mut buffer = BytesMut::new();
        (first..first + events.count).map(move |number| {
            let follows = !(number - first).is_multiple_of(group);
            if buffer.capacity() < self.bytes.len() {
                buffer = BytesMut::with_capacity(self.bytes.len() * EVENTS_PER_BUFFER);
            }
            NewEvent {
                id: uuid_of(number),
                schema_id: self.schema_id.clone(),
                payload: self.stamp(&mut buffer, number, keys),
                headers: Vec::new(),
                shares_position: follows,
                starts_response: follows && split,
            }
        })
    }

    fn stamp(&self, buffer: &mut BytesMut, number: u64, keys: u64) -> Bytes {
        buffer.extend_from_slice(&self.bytes);
        let mut put = |at: usize, text: &str| buffer[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(self.record, &test_record_id(number, keys));
        put(self.transaction, &uuid_of(number));
        put(self.number, &format!("{number:012}"));
        buffer.split().freeze()
    }
}

fn uuid_of(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn encode(schema: &EventSchema, filler: &str, defaults: &Defaults) -> Result<Vec<u8>, String> {
    let mut change = Change::new("Account", ChangeType::Update)
        .records([RECORD])
        .field("Name", "Prepared Account Incorporated")
        .field("Type", "Customer - Direct")
        .field("Phone", "+49 30 5550100")
        .field("Website", "https://prepared.example")
        .field("Industry", "Energy")
        .field("AnnualRevenue", 1_250_000.5)
        .field("NumberOfEmployees", 420)
        .field("Description", filler)
        .field("GUID__c", NUMBER);
    change.transaction_key = Some(TRANSACTION.to_owned());
    let defaults = Defaults {
        record_id: String::new(),
        user_id: defaults.user_id.clone(),
        now_ms: defaults.now_ms,
        commit_number: defaults.commit_number,
    };
    change::payload(&change::complete(&change, schema, defaults), schema)
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value;

    use super::super::schemas::ACCOUNT;
    use super::*;

    #[test]
    fn prepared_events_decode_and_differ_in_record_and_number() {
        let schema = EventSchema::parse(ACCOUNT).expect("the sample parses");
        let defaults = Defaults {
            record_id: String::new(),
            user_id: ids::record_id("005", 1),
            now_ms: 1_700_000_000_000,
            commit_number: 7,
        };
        let template = Template::new(&schema, 1_020, defaults).expect("it encodes");
        let order = TestEvents {
            count: 5,
            keys: 3,
            group: 2,
            split_groups: true,
            ..TestEvents::default()
        };
        let events: Vec<_> = template.events(7, &order).collect();
        assert!(
            events
                .iter()
                .all(|event| (1_018..=1_022).contains(&event.payload.len()))
        );
        let shares: Vec<_> = events.iter().map(|event| event.shares_position).collect();
        assert_eq!(shares, [false, true, false, true, false]);
        for (event, number) in events.iter().zip(7..) {
            let mut rest = event.payload.as_ref();
            let value = apache_avro::from_avro_datum(&schema.schema, &mut rest, None).expect("it decodes");
            let text = format!("{value:?}");
            assert!(rest.is_empty() && matches!(value, Value::Record(_)));
            assert!(text.contains(&test_record_id(number, 3)) && text.contains(&format!("{number:012}")));
            assert!(!text.contains('#'), "no placeholder is left");
        }
    }
}
