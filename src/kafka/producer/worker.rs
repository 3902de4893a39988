//! A producer's thread: makes the client, initialises it, takes one write after the other, and destroys the
//! client at its end (which blocks, and is why it happens here).

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::sync::oneshot;

use super::deliveries::Deliveries;
use super::transaction::Transaction;
use super::{Timing, WriteError, Written};
use crate::error::{ErrorKind, Failure};
use crate::kafka::error::{creation_failure, failure};
use crate::kafka::record::Record;

/// How often an idle producer's log lines and token requests are served: two hundred of them wake the
/// machine two hundred times a second.
const IDLE_SERVE_EVERY: Duration = Duration::from_secs(1);
/// More than librdkafka has to say in a second; an end, should it count something else.
const IDLE_EVENTS_MAX: usize = 1000;
/// The longest single blocking call. Between two of them log lines and token requests are served.
pub(super) const SLICE: Duration = Duration::from_secs(1);
/// How long `init_transactions` may take: longer than an election of a coordinator, and than the end of a
/// transaction that an earlier owner left open.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// What librdkafka waits when the coordinator is not through with the last transaction; not configurable.
const SENT_BACK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Job {
    pub(super) records: Vec<Record>,
    pub(super) position: Option<Record>,
    pub(super) reply: oneshot::Sender<Result<Written, WriteError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Transactions,
    RecordsThenPosition,
}

#[derive(Debug)]
pub(super) struct Worker {
    /// What messages call this producer.
    pub(super) object: String,
    pub(super) config: ClientConfig,
    pub(super) timing: Timing,
    pub(super) mode: Mode,
}

impl Worker {
    pub(super) fn run(self, jobs: &Receiver<Job>, ready: oneshot::Sender<Result<(), Failure>>) {
        let producer = match self.create() {
            Ok(producer) => producer,
            // Nobody waits any more: then nobody misses the answer.
            Err(failure) => return drop(ready.send(Err(failure))),
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        let mut settled_at = Instant::now();
        loop {
            match jobs.recv_timeout(IDLE_SERVE_EVERY) {
                Ok(Job {
                    records,
                    position,
                    reply,
                }) => {
                    std::thread::sleep(settled_at.saturating_duration_since(Instant::now()));
                    let outcome = self.write(&producer, records, position, &mut settled_at);
                    let lost = matches!(outcome, Err(WriteError::Lost(_)));
                    // Whoever dropped the write reads the outcome from Kafka.
                    drop(reply.send(outcome));
                    if lost {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => serve_idle(&producer),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn create(&self) -> Result<BaseProducer<Deliveries>, Failure> {
        let producer: BaseProducer<Deliveries> = self
            .config
            .create_with_context(Deliveries::default())
            .map_err(|error| creation_failure(&error))?;
        if self.mode == Mode::RecordsThenPosition {
            return Ok(producer);
        }
        let deadline = Instant::now() + INIT_TIMEOUT;
        loop {
            match producer.init_transactions(SLICE) {
                Ok(()) => return Ok(producer),
                Err(error) => {
                    producer.poll(Duration::ZERO);
                    let failure = failure(&error, &self.object);
                    if failure.kind != ErrorKind::Transient || Instant::now() >= deadline {
                        return Err(failure);
                    }
                }
            }
        }
    }

    /// One write; `settled_at` becomes the time from which the next one is welcome.
    fn write(
        &self,
        producer: &BaseProducer<Deliveries>,
        records: Vec<Record>,
        position: Option<Record>,
        settled_at: &mut Instant,
    ) -> Result<Written, WriteError> {
        let started = Instant::now();
        let write = Transaction {
            producer,
            object: &self.object,
            commit_by: started + self.timing.commit_within,
            give_up_at: started + self.timing.give_up_within,
        };
        match self.mode {
            Mode::Transactions => {
                let commit_took = write.exactly_once(records, position)?;
                *settled_at = Instant::now() + settling(commit_took);
            }
            Mode::RecordsThenPosition => write.at_least_once(records, position)?,
        }
        Ok(Written {
            took: started.elapsed(),
        })
    }
}

/// Between two writes no record is in flight: all that is counted are queued events.
fn serve_idle(producer: &BaseProducer<Deliveries>) {
    for _ in 0..IDLE_EVENTS_MAX {
        if producer.in_flight_count() == 0 {
            return;
        }
        producer.poll(Duration::ZERO);
    }
}

/// How long the coordinator still works on a transaction whose commit it has answered: it writes the markers to
/// every partition, which takes about as long as the answer took. A transaction that begins sooner is sent back
/// and pauses for longer than that.
fn settling(commit_took: Duration) -> Duration {
    commit_took.min(SENT_BACK_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_transaction_waits_as_long_as_the_commit_took_and_never_longer_than_being_sent_back_costs() {
        assert_eq!(settling(Duration::from_millis(2)), Duration::from_millis(2));
        assert_eq!(settling(Duration::from_millis(500)), SENT_BACK_PAUSE);
    }
}
