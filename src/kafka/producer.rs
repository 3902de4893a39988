//! Writes records and a route's position together. A route's owner has one producer, and at times a second
//! ([`Lanes`]).
//!
//! * `exactly_once`: one Kafka transaction a [`write`](RouteProducer::write). After `Ok` everything of it is
//!   visible to `read_committed` readers, after any error nothing is, but for a [`WriteError::Lost`] whose
//!   commit was under way: then the next owner's `init_transactions` settles it and the stored position tells.
//! * `at_least_once`: records first, then the position. After an error some records may be there, the
//!   position is not.
//!
//! A write holds only produce and commit, and ends within a quarter of the transaction's time-out. Each
//! producer has one thread of its own (`worker`): librdkafka's calls block, and none may stall the runtime.
//! Dropping the handle ends the thread once it has finished what it was given, without waiting for it.

mod deliveries;
mod lanes;
mod transaction;
mod turns;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

pub use self::lanes::Lanes;
use super::client::Connection;
use super::error::thread_failure;
use super::record::Record;
use crate::error::{ErrorKind, Failure};

/// How long a producer lets things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The broker aborts a transaction that is open for longer. Short, because an abandoned one hides
    /// everything behind it from `read_committed` readers until then; long against an election of a leader.
    pub transaction_timeout: Duration,
    /// What is not delivered and committed by then is aborted.
    pub commit_within: Duration,
    /// What is not even aborted by then is given up, with the producer.
    pub give_up_within: Duration,
}

impl Timing {
    /// Of the minute a quarter is used: it leaves the broker's and our clock room to disagree.
    pub const DEFAULT: Self = Self {
        transaction_timeout: Duration::from_secs(60),
        commit_within: Duration::from_secs(10),
        give_up_within: Duration::from_secs(15),
    };
}

/// What a finished write cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// From the first record handed over to the commit's answer.
    pub took: Duration,
}

/// A record that can never be written as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The topic that refused it.
    pub topic: Arc<str>,
    /// Kafka's word for the rule that was broken.
    pub reason: String,
    /// The record is too large: it will not fit whatever else about it is changed.
    pub too_large: bool,
    /// The record's place among those given, when it is known for certain: librdkafka refused it before
    /// sending. A broker refuses whole batches and does not say which record is at fault.
    pub index: Option<usize>,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Cleanly aborted because some record is refused; the producer can go on.
    #[error("topic {} refuses a record: {}", .0.topic, .0.reason)]
    Refused(Refusal),
    /// Cleanly aborted; the producer can go on, from the stored position.
    #[error("the write was aborted: {0}")]
    Aborted(#[source] Failure),
    /// The producer is dead: fenced, failed for good, or left with an outcome that nobody knows. A new one
    /// must be made, and the stored position read. The failure's kind tells when.
    #[error("the producer is lost: {0}")]
    Lost(#[source] Failure),
}

/// The handle; the producer itself lives on its thread.
#[derive(Debug)]
pub struct RouteProducer {
    jobs: SyncSender<worker::Job>,
    /// A write was begun and its answer not taken: whoever was waiting is gone, so its outcome is unknown.
    in_doubt: bool,
}

impl RouteProducer {
    /// A transactional producer, initialised: an earlier owner of `transactional_id` is fenced from here on,
    /// and what it had open is aborted.
    ///
    /// # Errors
    /// When the brokers do not answer in time, deny the transactional id, or the properties are wrong.
    pub async fn transactional(
        connection: &Connection,
        transactional_id: &str,
        timing: Timing,
    ) -> Result<Self, Failure> {
        let starting = Self::start_transactional(connection, transactional_id, timing)?;
        starting.producer().await
    }

    /// Begins to make one, in the background.
    fn start_transactional(
        connection: &Connection,
        transactional_id: &str,
        timing: Timing,
    ) -> Result<Starting, Failure> {
        let mut config = connection.producer();
        config.set("transactional.id", transactional_id).set(
            "transaction.timeout.ms",
            timing.transaction_timeout.as_millis().to_string(),
        );
        Starting::new(worker::Worker {
            object: format!("transactional id {transactional_id}"),
            config,
            timing,
            mode: worker::Mode::Transactions,
        })
    }

    /// An idempotent producer without transactions, for `delivery: at_least_once` and for single records of
    /// the bridge's own (pause flags, markers).
    ///
    /// # Errors
    /// When the properties are wrong.
    pub async fn idempotent(connection: &Connection, timing: Timing) -> Result<Self, Failure> {
        let mut config = connection.producer();
        config.set(
            "delivery.timeout.ms",
            timing.give_up_within.as_millis().to_string(),
        );
        let starting = Starting::new(worker::Worker {
            object: "the producer".to_owned(),
            config,
            timing,
            mode: worker::Mode::RecordsThenPosition,
        })?;
        starting.producer().await
    }

    /// Writes `records` in order, and `position` with them (after them, without transactions).
    ///
    /// # Errors
    /// See [`WriteError`]. A write whose future was dropped before it answered makes the next one
    /// [`WriteError::Lost`].
    pub async fn write(&mut self, records: Vec<Record>, position: Record) -> Result<Written, WriteError> {
        let handed = self.hand_over(records, position);
        self.outcome(handed).await
    }

    /// Writes `records` in order, where none of them is a position.
    ///
    /// # Errors
    /// As [`RouteProducer::write`].
    pub async fn write_records(&mut self, records: Vec<Record>) -> Result<Written, WriteError> {
        let handed = self.begin(records, None);
        self.outcome(handed).await
    }

    /// Gives a transaction to the producer's thread, which begins it at once, whether or not anybody waits for
    /// its outcome yet.
    pub fn hand_over(&mut self, records: Vec<Record>, position: Record) -> Handed {
        self.begin(records, Some(position))
    }

    fn begin(&mut self, records: Vec<Record>, position: Option<Record>) -> Handed {
        if self.in_doubt {
            return Handed(Err(cut_off()));
        }
        let (reply, answer) = oneshot::channel();
        let job = worker::Job {
            records,
            position,
            reply,
        };
        // tidy: try-send: the queue holds one job and nothing is in doubt, so it is full only when the thread is gone
        if self.jobs.try_send(job).is_err() {
            return Handed(Err(WriteError::Lost(thread_ended())));
        }
        self.in_doubt = true;
        Handed(Ok(answer))
    }

    /// What became of a transaction that was handed over.
    ///
    /// # Errors
    /// As [`RouteProducer::write`].
    pub async fn outcome(&mut self, handed: Handed) -> Result<Written, WriteError> {
        let outcome = handed
            .0?
            .await
            .unwrap_or_else(|_| Err(WriteError::Lost(thread_ended())));
        self.in_doubt = matches!(outcome, Err(WriteError::Lost(_)));
        outcome
    }
}

/// A transaction on its way through the producer's thread.
#[derive(Debug)]
pub struct Handed(Result<oneshot::Receiver<Result<Written, WriteError>>, WriteError>);

fn cut_off() -> WriteError {
    WriteError::Lost(Failure::new(
        ErrorKind::Transient,
        "an earlier write was cut off: its outcome is read from Kafka",
    ))
}

/// A producer on its way. Dropped, it ends as soon as it is there.
#[derive(Debug)]
struct Starting {
    jobs: SyncSender<worker::Job>,
    started: oneshot::Receiver<Result<(), Failure>>,
}

impl Starting {
    fn new(worker: worker::Worker) -> Result<Self, Failure> {
        // One job at a time: `write` borrows the handle exclusively.
        let (jobs, taken) = sync_channel(1);
        let (ready, started) = oneshot::channel();
        std::thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || worker.run(&taken, ready))
            .map_err(|error| thread_failure("a producer's thread").caused_by(error))?;
        Ok(Self { jobs, started })
    }

    async fn producer(mut self) -> Result<RouteProducer, Failure> {
        let started = (&mut self.started).await;
        self.outcome(started.unwrap_or_else(|_| Err(thread_ended())))
    }

    /// The producer once it has started, or why it has not; None: not yet. Ask no more after an answer.
    fn poll(&mut self) -> Option<Result<RouteProducer, Failure>> {
        let started = match self.started.try_recv() {
            Ok(started) => started,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => Err(thread_ended()),
        };
        Some(self.outcome(started))
    }

    fn outcome(&self, started: Result<(), Failure>) -> Result<RouteProducer, Failure> {
        started.map(|()| RouteProducer {
            jobs: self.jobs.clone(),
            in_doubt: false,
        })
    }
}

fn thread_ended() -> Failure {
    thread_failure("a producer's thread")
}
