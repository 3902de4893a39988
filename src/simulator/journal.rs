//! What the org sent, for whoever compares it with what arrived elsewhere.
//!
//! Events are read back from a topic's log and decoded with the org's own Avro, so that what is told here owes
//! nothing to the client under comparison.

use apache_avro::types::Value;

use super::control::{Control, Refused};
use super::org::encode;

/// Read at once; a caller asks again with the place that it was given.
const EVENTS_MAX: usize = 1_000;

/// An event as it stands in a topic's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEvent {
    /// `ProducerEvent.id`.
    pub id: String,
    pub content: SentContent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentContent {
    Platform,
    Change(SentChange),
    /// The payload is not what its schema says: a fault that somebody asked for.
    Unreadable,
}

/// What a change event's header names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentChange {
    pub transaction_key: String,
    pub sequence_number: i64,
    pub entity_name: String,
    pub change_type: String,
    pub record_ids: Vec<String>,
    pub change_origin: String,
    pub commit_user: String,
}

impl Control {
    /// The events of a topic from a place in its log on (0 is the first ever; what the log no longer retains is
    /// left out), and the place behind them. Empty when there are no more.
    pub fn sent(&self, topic: &str, from: u64) -> Result<(Vec<SentEvent>, u64), Refused> {
        let topic = self.org().existing(topic)?;
        let (events, next) = topic.log.read().read(from, EVENTS_MAX, usize::MAX);
        let sent = events.into_iter().map(|event| {
            let event = event.event.unwrap_or_default();
            SentEvent {
                content: self.content(&event.schema_id, &event.payload),
                id: event.id,
            }
        });
        Ok((sent.collect(), next))
    }

    fn content(&self, schema_id: &str, payload: &[u8]) -> SentContent {
        let Some(schema) = self.org().schemas.get(schema_id) else {
            return SentContent::Unreadable;
        };
        let Ok(Value::Record(fields)) = encode::read(&schema, payload) else {
            return SentContent::Unreadable;
        };
        match field(&fields, "ChangeEventHeader") {
            Some(Value::Record(header)) => SentContent::Change(change(header)),
            _ => SentContent::Platform,
        }
    }
}

fn field<'a>(fields: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    fields
        .iter()
        .find(|(field, _)| field == name)
        .map(|(_, value)| value)
}

fn change(header: &[(String, Value)]) -> SentChange {
    let text = |name| match field(header, name) {
        Some(Value::String(text) | Value::Enum(_, text)) => text.clone(),
        _ => String::new(),
    };
    let record_ids = match field(header, "recordIds") {
        Some(Value::Array(ids)) => ids
            .iter()
            .filter_map(|id| match id {
                Value::String(id) => Some(id.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    SentChange {
        transaction_key: text("transactionKey"),
        sequence_number: match field(header, "sequenceNumber") {
            Some(Value::Int(number)) => i64::from(*number),
            Some(Value::Long(number)) => *number,
            _ => 0,
        },
        entity_name: text("entityName"),
        change_type: text("changeType"),
        record_ids,
        change_origin: text("changeOrigin"),
        commit_user: text("commitUser"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{Change, ChangeType, PlatformEvent, RawEvent, Simulator, SimulatorSettings};

    const ACCOUNTS: &str = "/data/AccountChangeEvent";

    #[tokio::test]
    async fn what_was_sent_is_told_in_order_from_any_place() {
        let org = Simulator::start(SimulatorSettings::default())
            .await
            .expect("it starts");
        let change = |type_| Change::new("Account", type_).records(["001A", "001B"]);
        org.change(&change(ChangeType::Update)).expect("made");
        let mut deletion = change(ChangeType::Delete);
        deletion.transaction_key = Some("t".into());
        org.change(&deletion).expect("made");
        let (all, end) = org.sent(ACCOUNTS, 0).expect("the topic is there");
        assert_eq!((all.len(), end), (2, 2));
        let (rest, _) = org.sent(ACCOUNTS, 1).expect("the topic is there");
        assert_eq!(rest, all[1..]);
        let SentContent::Change(told) = &rest[0].content else {
            panic!("{rest:?}")
        };
        assert_eq!(
            (&*told.transaction_key, &*told.entity_name, &*told.change_type),
            ("t", "Account", "DELETE")
        );
        assert_eq!(told.record_ids, ["001A", "001B"]);
        assert_eq!(
            org.sent(ACCOUNTS, end).expect("the topic is there"),
            (vec![], end)
        );
    }

    #[tokio::test]
    async fn a_broken_payload_is_told_as_unreadable_and_a_platform_event_by_its_id() {
        let org = Simulator::start(SimulatorSettings::default())
            .await
            .expect("it starts");
        org.emit_raw(RawEvent {
            topic: ACCOUNTS.into(),
            payload: vec![0xff],
            schema_id: None,
            event_id: None,
        })
        .expect("emitted");
        let (sent, _) = org.sent(ACCOUNTS, 0).expect("the topic is there");
        assert_eq!(sent[0].content, SentContent::Unreadable);
        org.publish(&PlatformEvent {
            topic: "/event/Order_Shipped__e".into(),
            fields: serde_json::Map::new(),
            event_id: Some("e-1".into()),
        })
        .expect("published");
        let (sent, _) = org
            .sent("/event/Order_Shipped__e", 0)
            .expect("the topic is there");
        assert_eq!(sent[0].id, "e-1");
        assert_eq!(sent[0].content, SentContent::Platform);
    }

    #[tokio::test]
    async fn nothing_is_sent_once_the_generator_was_stopped() {
        let settings = SimulatorSettings {
            rate: 1_000.0,
            ..SimulatorSettings::default()
        };
        let org = Simulator::start(settings).await.expect("it starts");
        while org.sent("/data/ChangeEvents", 0).expect("the topic is there").1 < 5 {
            tokio::task::yield_now().await;
        }
        org.stop_generator().await;
        let (_, end) = org.sent("/data/ChangeEvents", 0).expect("the topic is there");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(
            org.sent("/data/ChangeEvents", 0).expect("the topic is there").1,
            end
        );
    }
}
