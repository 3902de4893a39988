//! Reads the latest value of a key in a compacted topic, true at the moment of asking.
//!
//! A `read_committed` reader's end of a partition is the first transaction that anybody has open in it, so it
//! may stop short of what was committed before the question. Therefore: take the end of the partition as a
//! `read_uncommitted` client sees it, wait until the committed end has reached that, and only then read to
//! the end.
//!
//! Many routes ask at once when a process starts. Questions about one partition share a pass over it, each
//! pass goes on where the last ended, and the clients exist only while somebody asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::client::{CALL_TIMEOUT, Connection, Context, Isolation, blocking};
use super::error::{creation_failure, failure};
use crate::error::{ErrorKind, Failure};

/// Between two looks at an open transaction.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A wait is announced from here on, and again as often.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// Told why a read has to wait.
pub(super) type OnWait<'a> = &'a (dyn Fn(String) + Sync);

#[derive(Debug)]
pub(super) struct CompactedReader {
    connection: Connection,
    topic: Arc<str>,
    partitions: Vec<Partition>,
    clients: Mutex<Weak<Clients>>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Questions asked so far.
    asked: AtomicU64,
    /// Why the pass under way has to wait.
    waiting: Mutex<Option<String>>,
    read: tokio::sync::Mutex<Read>,
}

/// What the passes so far have found.
#[derive(Debug, Default)]
struct Read {
    /// Questions up to this number are answered by `latest`.
    answered: u64,
    /// The offset to go on from.
    next: i64,
    latest: HashMap<Vec<u8>, Vec<u8>>,
}

impl CompactedReader {
    pub(super) fn new(connection: Connection, topic: Arc<str>, partitions: i32) -> Self {
        Self {
            connection,
            topic,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            clients: Mutex::default(),
        }
    }

    /// The latest committed value of `key` in `partition`, as of now or later.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is not what it was.
    pub(super) async fn read(
        &self,
        partition: i32,
        key: &str,
        on_wait: OnWait<'_>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let read = self.answered(partition, on_wait).await?;
        Ok(read.latest.get(key.as_bytes()).cloned())
    }

    /// The latest committed value of every key in `partition`, as of now or later.
    ///
    /// # Errors
    /// As [`CompactedReader::read`].
    pub(super) async fn read_all(
        &self,
        partition: i32,
        on_wait: OnWait<'_>,
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, Failure> {
        Ok(self.answered(partition, on_wait).await?.latest.clone())
    }

    async fn answered(
        &self,
        partition: i32,
        on_wait: OnWait<'_>,
    ) -> Result<tokio::sync::MutexGuard<'_, Read>, Failure> {
        let slot = usize::try_from(partition)
            .ok()
            .and_then(|index| self.partitions.get(index))
            .ok_or_else(|| self.changed(&format!("has no partition {partition}")))?;
        let question = slot.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut read = Self::turn(slot, on_wait).await;
        if read.answered < question {
            // Everybody who has asked by now is answered by this pass.
            let asked = slot.asked.load(Ordering::SeqCst);
            let passed = self.pass(partition, slot, &mut read, on_wait).await;
            *slot.waiting.lock() = None;
            passed?;
            read.answered = asked;
        }
        Ok(read)
    }

    /// Waits for the pass under way, saying what it waits for.
    async fn turn<'a>(slot: &'a Partition, on_wait: OnWait<'_>) -> tokio::sync::MutexGuard<'a, Read> {
        loop {
            match tokio::time::timeout(ANNOUNCE_EVERY, slot.read.lock()).await {
                Ok(read) => return read,
                Err(_) => {
                    let reason = slot.waiting.lock().clone();
                    if let Some(reason) = reason {
                        on_wait(reason);
                    }
                }
            }
        }
    }

    async fn pass(
        &self,
        partition: i32,
        slot: &Partition,
        read: &mut Read,
        on_wait: OnWait<'_>,
    ) -> Result<(), Failure> {
        let clients = self.clients()?;
        let partitions = self.partitions.len();
        let end = clients.uncommitted_end(partitions, partition).await?;
        if end < read.next {
            return Err(self.changed("ends before what was read of it: it was deleted and made anew"));
        }
        let mut announced = Instant::now();
        loop {
            let committed = clients.committed_end(partition).await?;
            if committed >= end {
                break;
            }
            if announced.elapsed() >= ANNOUNCE_EVERY {
                announced = Instant::now();
                let reason = format!(
                    "waiting for another transaction that is open in {}, partition {partition}, at offset \
                     {committed}; it ends, or is aborted by the broker, within its time-out",
                    self.topic
                );
                *slot.waiting.lock() = Some(reason.clone());
                on_wait(reason);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if end == read.next {
            return Ok(());
        }
        let found = clients.read_from(partition, read.next).await?;
        read.next = found.next;
        for (key, value) in found.records {
            match value {
                Some(value) => read.latest.insert(key, value),
                None => read.latest.remove(&key),
            };
        }
        Ok(())
    }

    /// The clients of the questions under way, or new ones.
    fn clients(&self) -> Result<Lease, Failure> {
        let mut shared = self.clients.lock();
        if let Some(clients) = shared.upgrade() {
            return Ok(Lease(Some(clients)));
        }
        let clients = Arc::new(Clients::new(&self.connection, self.topic.clone())?);
        *shared = Arc::downgrade(&clients);
        Ok(Lease(Some(clients)))
    }

    fn changed(&self, how: &str) -> Failure {
        changed(&self.topic, how)
    }
}

/// Blocking. Asks again for a while: right after a topic was made, or while a leader moves, the answer is
/// "not here".
fn patiently<T>(ask: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let started = std::time::Instant::now();
    loop {
        match ask() {
            Err(failure) if failure.kind == ErrorKind::Transient && started.elapsed() < CALL_TIMEOUT => {
                std::thread::sleep(LOOK_EVERY);
            }
            answer => return answer,
        }
    }
}

fn changed(topic: &str, how: &str) -> Failure {
    Failure::new(ErrorKind::Denied, format!("topic {topic} {how}")).remedy(format!(
        "restore {topic} as it was; or, to let every route begin as its `start` says, create it with its \
         former partition count and cleanup.policy=compact, and restart the bridge"
    ))
}

/// Two views of the topic. Made and dropped on blocking threads: both take a while.
struct Clients {
    topic: Arc<str>,
    uncommitted: BaseConsumer<Context>,
    /// Assigned to one partition at a time.
    committed: Mutex<BaseConsumer<Context>>,
    committed_ends: BaseConsumer<Context>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clients({})", self.topic)
    }
}

struct Found {
    next: i64,
    records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Clients {
    fn new(connection: &Connection, topic: Arc<str>) -> Result<Self, Failure> {
        let client = |isolation| -> Result<BaseConsumer<Context>, Failure> {
            connection
                .consumer(isolation)
                // The end of a partition is told by an empty answer: ask for it at once.
                .set("fetch.wait.max.ms", "10")
                .create_with_context(Context)
                .map_err(|error| creation_failure(&error))
        };
        Ok(Self {
            topic,
            uncommitted: client(Isolation::Uncommitted)?,
            committed: Mutex::new(client(Isolation::Committed)?),
            committed_ends: client(Isolation::Committed)?,
        })
    }

    fn end(&self, client: &BaseConsumer<Context>, partition: i32) -> Result<i64, Failure> {
        client
            .fetch_watermarks(&self.topic, partition, CALL_TIMEOUT)
            .map(|(_, end)| end)
            .map_err(|error| self.failure(&error))
    }

    /// Blocking. Reads from `next` (0: the beginning) to the end.
    fn read_to_end(&self, partition: i32, next: i64) -> Result<Found, Failure> {
        let consumer = self.committed.lock();
        // A consumer that is given a partition whose leader it has not heard of looks again after 500 ms.
        consumer
            .fetch_metadata(Some(&self.topic), CALL_TIMEOUT)
            .map_err(|error| self.failure(&error))?;
        let from = if next == 0 {
            Offset::Beginning
        } else {
            Offset::Offset(next)
        };
        let mut place = TopicPartitionList::with_capacity(1);
        place
            .add_partition_offset(&self.topic, partition, from)
            .and_then(|()| consumer.assign(&place))
            .map_err(|error| self.failure(&error))?;
        let found = self.take_all(&consumer, next);
        consumer.unassign().map_err(|error| self.failure(&error))?;
        found
    }

    fn take_all(&self, consumer: &BaseConsumer<Context>, next: i64) -> Result<Found, Failure> {
        let mut found = Found {
            next,
            records: Vec::new(),
        };
        loop {
            match consumer.poll(CALL_TIMEOUT) {
                Some(Ok(message)) => {
                    found.next = message.offset() + 1;
                    // A record without key says nothing about any route.
                    if let Some(key) = message.key() {
                        let value = message.payload().map(<[u8]>::to_vec);
                        found.records.push((key.to_vec(), value));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
                Some(Err(error)) => {
                    let failure = self.failure(&error);
                    // The consumer tries again by itself; silence ends its patience below.
                    if failure.kind != ErrorKind::Transient {
                        return Err(failure);
                    }
                }
                None => {
                    return Err(Failure::new(
                        ErrorKind::Transient,
                        format!("Kafka, topic {}: the brokers do not answer", self.topic),
                    ));
                }
            }
        }
    }

    fn failure(&self, error: &KafkaError) -> Failure {
        match error.rdkafka_error_code() {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                changed(&self.topic, "existed and is gone")
            }
            Some(Code::OffsetOutOfRange | Code::AutoOffsetReset) => changed(
                &self.topic,
                "no longer holds what was read of it: it was made anew or cut",
            ),
            _ => failure(error, &format!("topic {}", self.topic)),
        }
    }
}

/// A share of the clients; the last one drops them on a blocking thread.
struct Lease(Option<Arc<Clients>>);

impl Lease {
    async fn call<T: Send + 'static>(
        &self,
        call: impl Fn(&Clients) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Some(clients) = self.0.clone() else {
            return Err(super::error::thread_failure("a reader"));
        };
        blocking(move || patiently(|| call(&clients))).await
    }

    /// Where the partition ends, open transactions included; the topic must still be what it was.
    async fn uncommitted_end(&self, partitions: usize, partition: i32) -> Result<i64, Failure> {
        self.call(move |clients| {
            let metadata = clients
                .uncommitted
                .fetch_metadata(Some(&clients.topic), CALL_TIMEOUT)
                .map_err(|error| clients.failure(&error))?;
            let topic = metadata.topics().first();
            if let Some(error) = topic.and_then(rdkafka::metadata::MetadataTopic::error) {
                return Err(clients.failure(&KafkaError::MetadataFetch(error.into())));
            }
            let count = topic.map_or(0, |topic| topic.partitions().len());
            if count != partitions {
                let how = format!("has {count} partitions and had {partitions}");
                return Err(changed(&clients.topic, &how));
            }
            clients.end(&clients.uncommitted, partition)
        })
        .await
    }

    async fn committed_end(&self, partition: i32) -> Result<i64, Failure> {
        self.call(move |clients| clients.end(&clients.committed_ends, partition))
            .await
    }

    async fn read_from(&self, partition: i32, next: i64) -> Result<Found, Failure> {
        self.call(move |clients| clients.read_to_end(partition, next))
            .await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let clients = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(clients));
        }
    }
}
