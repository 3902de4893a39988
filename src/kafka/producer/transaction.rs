//! One write, on the producer's thread: hand over, wait until nothing is in flight, commit; or abort.
//!
//! Hazard: `commit_transaction` of the crate polls in steps of 100 ms unless nothing is in flight when it is
//! called, and neither it nor `abort_transaction` serves delivery reports for us. So everything is waited for
//! here first, with zero-time polls and short sleeps (`poll` with a short time spins on the processor).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};

use super::deliveries::{Deliveries, Undelivered};
use super::worker::SLICE;
use super::{Refusal, WriteError};
use crate::error::{ErrorKind, Failure};
use crate::kafka::error::{failure, is_refusal, is_too_large};
use crate::kafka::record::Record;

/// The line that says why a transaction failed comes before the report of the record that did it. Some
/// failures (a missing right) have no such record.
const REPORTS_FOLLOW_WITHIN: Duration = Duration::from_millis(100);

/// A zero-time poll serves one event, and says not whether there was one; reports come by batch and partition.
/// Polling an empty queue costs less than a microsecond.
const EVENTS_A_LOOK: usize = 16;

pub(super) struct Transaction<'a> {
    pub(super) producer: &'a BaseProducer<Deliveries>,
    /// What messages call the producer.
    pub(super) object: &'a str,
    pub(super) commit_by: Instant,
    pub(super) give_up_at: Instant,
}

/// Why a write cannot be completed.
enum Trouble {
    Refused(Refusal),
    Failed(Failure),
}

/// What follows a failed call of the transaction interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The call goes on in the background; calling again resumes it.
    Again,
    Abort,
    Lost,
}

const fn next(requires_abort: bool, fatal: bool, retriable: bool, time_left: bool) -> Next {
    match (fatal, requires_abort, retriable, time_left) {
        (true, ..) => Next::Lost,
        (_, true, ..) => Next::Abort,
        (_, _, true, true) => Next::Again,
        // Out of time in the middle of a commit, or an error of no known sort: the outcome is unknown.
        _ => Next::Lost,
    }
}

fn next_after(error: &KafkaError, deadline: Instant) -> Next {
    let time_left = Instant::now() < deadline;
    match error {
        KafkaError::Transaction(error) => next(
            error.txn_requires_abort(),
            error.is_fatal(),
            error.is_retriable(),
            time_left,
        ),
        // The crate's own flush before the commit.
        KafkaError::Flush(_) => next(false, false, true, time_left),
        _ => Next::Lost,
    }
}

/// The pause between two looks: an eighth of what was waited already adds little to the wait and costs little
/// when it is long.
fn pause(waited: Duration) -> Duration {
    (waited / 8).clamp(Duration::from_micros(50), Duration::from_millis(2))
}

impl Transaction<'_> {
    /// Tells how long the commit took.
    pub(super) fn exactly_once(
        &self,
        mut records: Vec<Record>,
        position: Option<Record>,
    ) -> Result<Duration, WriteError> {
        self.producer.context().begin();
        if let Err(error) = self.producer.begin_transaction() {
            return Err(self.lost(&error));
        }
        let place = records.len();
        records.extend(position);
        if let Err(trouble) = self.deliver(records, place) {
            return Err(self.abort(trouble));
        }
        let delivered = Instant::now();
        loop {
            let Err(error) = self.producer.commit_transaction(SLICE) else {
                return Ok(delivered.elapsed());
            };
            self.serve();
            match next_after(&error, self.commit_by) {
                Next::Again => {}
                Next::Abort => return Err(self.abort(Trouble::Failed(failure(&error, self.object)))),
                Next::Lost => return Err(self.lost(&error)),
            }
        }
    }

    pub(super) fn at_least_once(
        &self,
        records: Vec<Record>,
        position: Option<Record>,
    ) -> Result<(), WriteError> {
        self.producer.context().begin();
        let none = records.len();
        self.deliver(records, none)
            .and_then(|()| self.deliver(position.into_iter().collect(), 0))
            .map_err(|trouble| match self.drain() {
                Ok(()) => trouble.into_error(),
                Err(lost) => lost,
            })
    }

    /// Hands the records over and waits until all are acknowledged. `position` is the place of the position
    /// among them (at or past the end: it is not among them).
    ///
    /// librdkafka copies what it is handed, so each record is dropped as soon as it is: of what is on its way
    /// only the topics are needed again, to say which one refuses.
    fn deliver(&self, records: Vec<Record>, position: usize) -> Result<(), Trouble> {
        let mut topics = Vec::with_capacity(records.len());
        for (index, record) in records.into_iter().enumerate() {
            self.send(index, &record, position)?;
            topics.push(record.topic);
        }
        let started = Instant::now();
        let mut failed_at = None;
        loop {
            self.serve();
            if let Some(undelivered) = self.producer.context().undelivered() {
                let at_fault = topics.get(undelivered.index);
                let found = trouble(&undelivered, at_fault, position, self.object);
                return Err(self.denial().unwrap_or(found));
            }
            if self.producer.in_flight_count() == 0 {
                return Ok(());
            }
            if let Some((code, _)) = self.producer.client().fatal_error() {
                return Err(Trouble::Failed(failure(&KafkaError::Global(code), self.object)));
            }
            if let Some(why) = self.producer.context().transaction_error()
                && failed_at.get_or_insert_with(Instant::now).elapsed() >= REPORTS_FOLLOW_WITHIN
            {
                let failed = Failure::new(ErrorKind::Abortable, self.about("the transaction failed"));
                let found = Trouble::Failed(failed.caused_by(why));
                return Err(self.denial().unwrap_or(found));
            }
            if Instant::now() >= self.commit_by {
                return Err(Trouble::Failed(Failure::new(
                    ErrorKind::Transient,
                    self.about("the brokers did not acknowledge the records in time"),
                )));
            }
            std::thread::sleep(pause(started.elapsed()));
        }
    }

    fn send(&self, index: usize, record: &Record, position: usize) -> Result<(), Trouble> {
        let mut waiting = to_base(index, record);
        let started = Instant::now();
        loop {
            let error = match self.producer.send(waiting) {
                Ok(()) => return Ok(()),
                Err((error, refused)) => {
                    waiting = refused;
                    error
                }
            };
            let full = error.rdkafka_error_code() == Some(Code::QueueFull);
            if !full || Instant::now() >= self.commit_by {
                let undelivered = Undelivered { index, error };
                return Err(
                    match trouble(&undelivered, Some(&record.topic), position, self.object) {
                        // Refused before it was sent: this one it is.
                        Trouble::Refused(refusal) => Trouble::Refused(Refusal {
                            index: Some(index),
                            ..refusal
                        }),
                        failed @ Trouble::Failed(_) => failed,
                    },
                );
            }
            self.serve();
            std::thread::sleep(pause(started.elapsed()));
        }
    }

    /// A right that is missing: the transaction failed of it whatever else is reported.
    fn denial(&self) -> Option<Trouble> {
        let topic = self.producer.context().denied_topic()?;
        let error = KafkaError::MessageProduction(Code::TopicAuthorizationFailed);
        Some(Trouble::Failed(failure(&error, &format!("topic {topic}"))))
    }

    fn abort(&self, trouble: Trouble) -> WriteError {
        match self.abort_for_certain() {
            Ok(()) => trouble.into_error(),
            // The coordinator never heard of the transaction and refuses to end it: a consequence, not the cause.
            Err(lost) => match trouble {
                Trouble::Failed(failure) if failure.kind == ErrorKind::Denied => WriteError::Lost(failure),
                _ => lost,
            },
        }
    }

    fn abort_for_certain(&self) -> Result<(), WriteError> {
        self.drain()?;
        loop {
            let Err(error) = self.producer.abort_transaction(SLICE) else {
                return Ok(());
            };
            self.serve();
            if next_after(&error, self.give_up_at) != Next::Again {
                return Err(self.lost(&error));
            }
        }
    }

    /// Throws away what was not sent and waits for the answers to what was: after it nothing of this write
    /// is in flight.
    fn drain(&self) -> Result<(), WriteError> {
        self.producer.purge(PurgeConfig::default().queue());
        let started = Instant::now();
        while self.producer.in_flight_count() > 0 {
            self.serve();
            if let Some((code, _)) = self.producer.client().fatal_error() {
                return Err(self.lost(&KafkaError::Global(code)));
            }
            if Instant::now() >= self.give_up_at {
                return Err(WriteError::Lost(Failure::new(
                    ErrorKind::Transient,
                    self.about(
                        "the brokers neither acknowledged the records nor let them be aborted in time",
                    ),
                )));
            }
            std::thread::sleep(pause(started.elapsed()));
        }
        Ok(())
    }

    /// Serves what librdkafka has queued: delivery reports, log lines, token requests.
    fn serve(&self) {
        for _ in 0..EVENTS_A_LOOK {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// The first fatal error is the cause; what a later call says is mostly a consequence.
    fn lost(&self, error: &KafkaError) -> WriteError {
        let first = self.producer.client().fatal_error();
        let mut failure = match first {
            Some((code, _)) => failure(&KafkaError::Global(code), self.object),
            None => failure(error, self.object),
        };
        // The producer is gone: what would be retried or aborted on it is begun again on the next.
        if failure.kind == ErrorKind::Abortable {
            failure.kind = ErrorKind::Fenced;
        }
        WriteError::Lost(failure)
    }

    fn about(&self, what: &str) -> String {
        format!("Kafka, {}: {what}", self.object)
    }
}

impl Trouble {
    fn into_error(self) -> WriteError {
        match self {
            Self::Refused(refusal) => WriteError::Refused(refusal),
            Self::Failed(failure) => WriteError::Aborted(failure),
        }
    }
}

fn trouble(undelivered: &Undelivered, at_fault: Option<&Arc<str>>, position: usize, object: &str) -> Trouble {
    let Some(topic) = at_fault else {
        return Trouble::Failed(failure(&undelivered.error, object));
    };
    let code = undelivered.error.rdkafka_error_code().unwrap_or(Code::Unknown);
    if !is_refusal(code) {
        return Trouble::Failed(failure(&undelivered.error, &format!("topic {topic}")));
    }
    if undelivered.index == position {
        // Not an event's fault: the bridge's own small record was refused.
        return Trouble::Failed(
            Failure::new(
                ErrorKind::Denied,
                format!("topic {topic} refuses the route's position"),
            )
            .remedy(format!(
                "compare the configuration of {topic} with the one the bridge gives it"
            ))
            .caused_by(undelivered.error.clone()),
        );
    }
    Trouble::Refused(Refusal {
        topic: Arc::clone(topic),
        reason: code.to_string(),
        too_large: is_too_large(code),
        index: None,
    })
}

fn to_base(index: usize, record: &Record) -> BaseRecord<'_, [u8], [u8], usize> {
    let mut base =
        BaseRecord::<[u8], [u8], usize>::with_opaque_to(&record.topic, index).timestamp(record.timestamp_ms);
    if let Some(partition) = record.partition {
        base = base.partition(partition);
    }
    if let Some(key) = &record.key {
        base = base.key(key);
    }
    if let Some(value) = &record.value {
        base = base.payload(value);
    }
    if !record.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value.as_ref()),
            });
        }
        base = base.headers(headers);
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_is_resumed_aborted_or_gives_the_producer_up() {
        assert_eq!(next(false, false, true, true), Next::Again);
        assert_eq!(next(false, false, true, false), Next::Lost, "outcome unknown");
        assert_eq!(next(true, false, false, true), Next::Abort);
        assert_eq!(next(true, true, false, true), Next::Lost, "fatal wins");
        assert_eq!(next(false, false, false, true), Next::Lost, "of no known sort");
    }

    #[test]
    fn pauses_stay_short_against_the_wait() {
        assert_eq!(pause(Duration::ZERO), Duration::from_micros(50));
        assert_eq!(pause(Duration::from_millis(8)), Duration::from_millis(1));
        assert_eq!(pause(Duration::from_secs(9)), Duration::from_millis(2));
    }
}
