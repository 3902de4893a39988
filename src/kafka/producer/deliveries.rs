//! What librdkafka reports about the records of the write under way: the first telling failure.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::error::ErrorKind;
use crate::kafka::client::{log_error, log_line};
use crate::kafka::error::kind;

/// A record that was not delivered, by its place in the write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undelivered {
    pub(super) index: usize,
    pub(super) error: KafkaError,
}

/// The producer's context. Its callbacks run on the worker's thread, inside `poll`.
#[derive(Debug, Default)]
pub(super) struct Deliveries(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    undelivered: Option<Undelivered>,
    transaction_error: Option<String>,
    denied_topic: Option<String>,
}

impl Deliveries {
    /// Forgets the last write. Call it when nothing is in flight.
    pub(super) fn begin(&self) {
        *self.0.lock() = State::default();
    }

    pub(super) fn undelivered(&self) -> Option<Undelivered> {
        self.0.lock().undelivered.clone()
    }

    /// librdkafka's words for why the open transaction can only be aborted. Nothing but its log tells while
    /// records are still waiting.
    pub(super) fn transaction_error(&self) -> Option<String> {
        self.0.lock().transaction_error.clone()
    }

    /// The topic that may not be written to, if that is why the open transaction failed.
    pub(super) fn denied_topic(&self) -> Option<String> {
        self.0.lock().denied_topic.clone()
    }

    fn note(&self, index: usize, error: KafkaError) {
        let mut state = self.0.lock();
        let known = state.undelivered.as_ref().map(|known| rank(&known.error));
        if known.is_none_or(|known| rank(&error) > known) {
            state.undelivered = Some(Undelivered { index, error });
        }
    }
}

/// One bad record fails others with it: the refusal itself tells more than what it drew along.
fn rank(error: &KafkaError) -> u8 {
    match kind(error.rdkafka_error_code().unwrap_or(Code::Unknown)) {
        ErrorKind::Abortable => 0,
        ErrorKind::Transient => 1,
        ErrorKind::Poison => 3,
        _ => 2,
    }
}

/// The topic of a line such as `TxnCoordinator/1: Failed to add partition "orders" [0] to transaction: Broker: Topic
/// authorization failed` (librdkafka 2.12.1, `rd_kafka_txn_handle_AddPartitionsToTxn`). The transaction that failed of
/// it has no record with this error, and ending it is refused for another reason.
fn denied_topic(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Failed to add partition \"")?;
    let (topic, rest) = rest.split_once('"')?;
    rest.ends_with("Topic authorization failed").then_some(topic)
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match facility {
            "TXNERR" => {
                self.0.lock().transaction_error.get_or_insert(message.to_owned());
            }
            "ADDPARTS" => {
                if let Some(topic) = denied_topic(message) {
                    self.0.lock().denied_topic.get_or_insert(topic.to_owned());
                }
            }
            _ => {}
        }
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        if let Err((error, _)) = result {
            self.note(index, error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_may_not_be_written_to_is_told_from_one_that_was_not_tried() {
        let line =
            |why| format!("TxnCoordinator/1: Failed to add partition \"a.b\" [0] to transaction: {why}");
        assert_eq!(
            denied_topic(&line("Broker: Topic authorization failed")),
            Some("a.b")
        );
        assert_eq!(denied_topic(&line("Broker: Operation not attempted")), None);
        assert_eq!(denied_topic("something else"), None);
    }

    #[test]
    fn the_refusal_is_kept_whatever_it_drew_along() {
        let deliveries = Deliveries::default();
        deliveries.note(4, KafkaError::MessageProduction(Code::PurgeQueue));
        deliveries.note(2, KafkaError::MessageProduction(Code::InvalidTimestamp));
        deliveries.note(3, KafkaError::MessageProduction(Code::InvalidTimestamp));
        deliveries.note(5, KafkaError::MessageProduction(Code::PurgeInflight));
        assert_eq!(
            deliveries.undelivered(),
            Some(Undelivered {
                index: 2,
                error: KafkaError::MessageProduction(Code::InvalidTimestamp),
            })
        );
        deliveries.begin();
        assert_eq!(deliveries.undelivered(), None);
    }
}
