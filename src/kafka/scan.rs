//! Topics read once, from the beginning to where they end now: what a command looks through.
//!
//! Partition by partition, in the order of their offsets, as `read_committed` readers see them. A bounded queue lies
//! between the reader's thread and the caller: a caller that is slow is waited for, and nothing is held in memory but
//! what is in the queue. What retention deletes meanwhile is passed over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::client::{CALL_TIMEOUT, Connection, Context, Isolation, blocking};
use super::consumer::{ConsumedRecord, record_of};
use super::error::{creation_failure, failure, thread_failure};
use super::topics::Topics;
use crate::error::{ErrorKind, Failure};

/// Records that wait for the caller.
const WAITING_MAX: usize = 64;
/// Between two looks whether the caller is still there.
const POLL: Duration = Duration::from_millis(500);
/// Brokers that say nothing for so long are given up: a person waits.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A part of a partition: offsets from `begin`, before `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    pub topic: Arc<str>,
    pub partition: i32,
    pub begin: i64,
    pub end: i64,
}

/// What the topics hold now, by topic and partition; a topic that does not exist holds nothing.
///
/// # Errors
/// When the brokers do not answer.
pub async fn extents(topics: &Topics, names: &[Arc<str>]) -> Result<Vec<Extent>, Failure> {
    let mut places = Vec::new();
    for name in names {
        for partition in 0..topics.partitions(name).await?.unwrap_or(0) {
            places.push((Arc::clone(name), partition));
        }
    }
    let connection = topics.connection().clone();
    blocking(move || {
        let client = client(&connection)?;
        let extent = |(topic, partition): (Arc<str>, i32)| {
            let (begin, end) = client
                .fetch_watermarks(&topic, partition, CALL_TIMEOUT)
                .map_err(|error| failure(&error, &format!("topic {topic}")))?;
            Ok(Extent {
                topic,
                partition,
                begin,
                end,
            })
        };
        places.into_iter().map(extent).collect()
    })
    .await
}

fn client(connection: &Connection) -> Result<BaseConsumer<Context>, Failure> {
    connection
        .consumer(Isolation::Committed)
        // What was deleted meanwhile is over.
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384")
        // The end of a partition is told by an empty answer: ask for it soon.
        .set("fetch.wait.max.ms", "20")
        .create_with_context(Context)
        .map_err(|error| creation_failure(&error))
}

/// A reading under way. Dropping it ends the thread soon.
#[derive(Debug)]
pub struct Scan(mpsc::Receiver<Result<ConsumedRecord, Failure>>);

impl Scan {
    /// Reads the extents one after the other.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn start(topics: &Topics, extents: Vec<Extent>) -> Result<Self, Failure> {
        let connection = topics.connection().clone();
        let consumer = blocking(move || client(&connection)).await?;
        let (records, taken) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("kafka-scan".to_owned())
            .spawn(move || {
                for extent in extents.iter().filter(|extent| extent.begin < extent.end) {
                    match read(&consumer, extent, &records) {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(failure) => {
                            // The caller may have gone.
                            let _ = records.blocking_send(Err(failure));
                            return;
                        }
                    }
                }
            })
            .map_err(|error| thread_failure("a reader").caused_by(error))?;
        Ok(Self(taken))
    }

    /// The next record; None once all are read. Nothing comes after an error. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, Failure>> {
        self.0.recv().await
    }

    /// The next record if one waits already.
    pub fn try_next(&mut self) -> Option<Result<ConsumedRecord, Failure>> {
        self.0.try_recv().ok()
    }
}

/// Blocking. Whether the caller wants more.
fn read(
    consumer: &BaseConsumer<Context>,
    extent: &Extent,
    records: &mpsc::Sender<Result<ConsumedRecord, Failure>>,
) -> Result<bool, Failure> {
    let topic = &extent.topic;
    let fail = |error: &KafkaError| failure(error, &format!("topic {topic}"));
    // A consumer that is given a partition whose leader it has not heard of looks again after 500 ms.
    consumer
        .fetch_metadata(Some(topic), CALL_TIMEOUT)
        .map_err(|error| fail(&error))?;
    let mut place = TopicPartitionList::with_capacity(1);
    place
        .add_partition_offset(topic, extent.partition, Offset::Offset(extent.begin))
        .and_then(|()| consumer.assign(&place))
        .map_err(|error| fail(&error))?;
    let mut heard = Instant::now();
    loop {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let offset = message.offset();
                if offset < extent.end && records.blocking_send(Ok(record_of(topic, &message))).is_err() {
                    return Ok(false);
                }
                if offset + 1 >= extent.end {
                    return Ok(true);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) if partition == extent.partition => {
                return Ok(true);
            }
            Some(Err(error)) => {
                let failure = fail(&error);
                // Otherwise the consumer tries again by itself.
                if failure.kind != ErrorKind::Transient {
                    return Err(failure);
                }
            }
            None => {}
        }
        if records.is_closed() {
            return Ok(false);
        }
        if heard.elapsed() > SILENCE_MAX {
            let message = format!("Kafka, topic {topic}: the brokers do not answer");
            return Err(Failure::new(ErrorKind::Transient, message));
        }
    }
}
