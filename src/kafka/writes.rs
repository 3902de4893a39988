//! What the bridge is about to write to the other side: the topic `_sfbridge.<bridge>.writes`.
//!
//! Compacted, and deleted after days: a key's latest value is what is known about one write, a null value ends it.
//! One partition, so that its order is everybody's order. Values are opaque here. Whoever follows it reads it from
//! the beginning and then as it grows; [`Following::caught_up`] answers when everything is applied that was in the
//! topic at the time of asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::client::{CALL_TIMEOUT, Connection, Context, Isolation, blocking};
use super::error::{creation_failure, failure, thread_failure};
use super::positions::writes_topic;
use super::producer::{RouteProducer, Timing};
use super::record::Record;
use super::topics::{TopicSpec, Topics};
use crate::error::{ErrorKind, Failure};
use crate::runtime::clock::now_ms;

const PARTITION: i32 = 0;
/// Between two looks at the stop flag.
const POLL: Duration = Duration::from_millis(500);
/// After an error that does not pass by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The topic, which is there.
#[derive(Debug, Clone)]
pub struct WritesTopic {
    connection: Connection,
    topic: Arc<str>,
}

impl WritesTopic {
    /// Finds the topic, or makes it.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when it is missing and may not be made, or has more than one partition.
    pub async fn open(topics: &Topics) -> Result<Self, Failure> {
        let connection = topics.connection();
        let topic: Arc<str> = writes_topic(connection).into();
        let spec = TopicSpec::writes(connection.config());
        match topics.partitions(&topic).await? {
            Some(found) if found == spec.partitions() => {}
            Some(found) => return Err(resized(&topic, found)),
            None if connection.config().create_topics => topics.create(&topic, &spec).await?,
            None => return Err(topics.missing(&topic, &spec)),
        }
        Ok(Self {
            connection: connection.clone(),
            topic,
        })
    }

    /// A record for the topic; without a value it ends what the key stands for.
    pub fn record(&self, key: &str, value: Option<Vec<u8>>) -> Record {
        Record {
            topic: self.topic.clone(),
            partition: Some(PARTITION),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: value.map(Bytes::from),
            headers: Vec::new(),
            timestamp_ms: now_ms(),
        }
    }

    /// A producer for these records.
    ///
    /// # Errors
    /// When the properties are wrong.
    pub async fn producer(&self) -> Result<RouteProducer, Failure> {
        RouteProducer::idempotent(&self.connection, Timing::DEFAULT).await
    }

    /// Reads the topic from its beginning on a thread of its own, and gives each record to `apply` in order.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub async fn follow(
        &self,
        apply: impl FnMut(&str, Option<&[u8]>) + Send + 'static,
    ) -> Result<Following, Failure> {
        let (publish, place) = watch::channel(Place::default());
        let stop = Arc::new(AtomicBool::new(false));
        let topic = Arc::clone(&self.topic);
        let connection = self.connection.clone();
        let (consumer, ends) = blocking(move || {
            let consumer: BaseConsumer<Context> = connection
                .consumer(Isolation::Uncommitted)
                // What was deleted meanwhile is over.
                .set("auto.offset.reset", "earliest")
                .create_with_context(Context)
                .map_err(|error| creation_failure(&error))?;
            let fail = |error| failure(&error, &format!("topic {topic}"));
            // A consumer that is given a partition whose leader it has not heard of looks again after 500 ms.
            consumer
                .fetch_metadata(Some(&topic), CALL_TIMEOUT)
                .map_err(fail)?;
            let mut place = TopicPartitionList::with_capacity(1);
            place
                .add_partition_offset(&topic, PARTITION, Offset::Beginning)
                .and_then(|()| consumer.assign(&place))
                .map_err(fail)?;
            Ok((consumer, Arc::new(connection.lookup_client()?)))
        })
        .await?;
        let thread = Thread {
            topic: Arc::clone(&self.topic),
            consumer,
            publish,
            stop: Arc::clone(&stop),
        };
        std::thread::Builder::new()
            .name("kafka-writes".to_owned())
            .spawn(move || thread.run(apply))
            .map_err(|error| thread_failure("the reader of own writes").caused_by(error))?;
        Ok(Following {
            topic: Arc::clone(&self.topic),
            ends,
            place,
            stop,
        })
    }
}

fn resized(topic: &str, found: i32) -> Failure {
    Failure::new(
        ErrorKind::Denied,
        format!("topic {topic} has {found} partitions and must have one: it has no order otherwise"),
    )
    .remedy(format!(
        "stop the bridge and delete {topic}; it is made anew. What was under way then passes once as a foreign change"
    ))
}

/// How far the topic is read.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Everything before this offset is applied.
    next: i64,
    trouble: Option<Arc<Failure>>,
}

/// A topic that is being followed. Dropping it ends the thread soon.
pub struct Following {
    topic: Arc<str>,
    ends: Arc<BaseConsumer<Context>>,
    place: watch::Receiver<Place>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Following({})", self.topic)
    }
}

impl Following {
    /// Returns when everything is applied that was in the topic at the time of the call.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is gone.
    pub async fn caught_up(&self) -> Result<(), Failure> {
        let (ends, topic) = (Arc::clone(&self.ends), Arc::clone(&self.topic));
        let (low, end) = blocking(move || {
            ends.fetch_watermarks(&topic, PARTITION, CALL_TIMEOUT)
                .map_err(|error| failure(&error, &format!("topic {topic}")))
        })
        .await?;
        if low == end {
            return Ok(());
        }
        let mut place = self.place.clone();
        let reached = place.wait_for(|place| place.next >= end || place.trouble.is_some());
        match tokio::time::timeout(CALL_TIMEOUT, reached).await {
            Ok(Ok(place)) => match &place.trouble {
                Some(trouble) if place.next < end => Err(Failure::shared(trouble)),
                _ => Ok(()),
            },
            Ok(Err(_)) => Err(thread_failure("the reader of own writes")),
            Err(_) => Err(Failure::new(
                ErrorKind::Transient,
                format!("Kafka, topic {}: it is not read to its end yet", self.topic),
            )),
        }
    }

    /// What is applied from now on.
    pub fn changes(&self) -> Changes {
        let mut place = self.place.clone();
        place.mark_unchanged();
        Changes(place)
    }
}

/// Tells that something was applied.
#[derive(Debug)]
pub struct Changes(watch::Receiver<Place>);

impl Changes {
    /// Returns when something was applied since these changes were asked for, or since the last return; for ever
    /// waits who asks a reader that has ended.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Thread {
    topic: Arc<str>,
    consumer: BaseConsumer<Context>,
    publish: watch::Sender<Place>,
    stop: Arc<AtomicBool>,
}

impl Thread {
    fn run(self, mut apply: impl FnMut(&str, Option<&[u8]>)) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    // No key of ours is anything but text.
                    if let Some(key) = message.key().and_then(|key| std::str::from_utf8(key).ok()) {
                        apply(key, message.payload());
                    }
                    self.publish.send_replace(Place {
                        next: message.offset() + 1,
                        trouble: None,
                    });
                }
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => {
                    let failure = failure(&error, &format!("topic {}", self.topic));
                    // Otherwise the consumer tries again by itself.
                    if failure.kind != ErrorKind::Transient {
                        self.publish
                            .send_modify(|place| place.trouble = Some(Arc::new(failure)));
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        }
    }
}
