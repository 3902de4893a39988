//! Which instance runs which Salesforce → Kafka route: Kafka's own consumer group protocol decides.
//!
//! All instances of a bridge join the group `sfbridge.<bridge>` over the topic `_sfbridge.<bridge>.routes`; a
//! route belongs to the partition that its name hashes to, and whoever is assigned it runs the route. The same
//! topic holds, by route, whether a person has paused it, and under a key of its own that the route is there: an
//! instance that starts and notes its routes so never takes back a pause that came meanwhile.
//!
//! This is about balance, not correctness: two instances may believe for a moment that a route is theirs, and
//! the transactional id decides between them. Members are static (named after `bridge.instance`): ending one
//! does not leave the group, so the same instance started again has its routes back at once, and another
//! takes over when the session times out.

mod member;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

pub use view::Assignment;

use self::member::{Member, Publish};
use self::view::{RouteNote, View};
use super::client::{CALL_TIMEOUT, Connection, Isolation, blocking};
use super::compacted::CompactedReader;
use super::error::{creation_failure, failure, thread_failure};
use super::positions::{ensure_routes_topic, routes_topic, store};
use super::record::{Record, partition_of};
use super::topics::{TopicSpec, Topics};
use crate::error::Failure;
use crate::runtime::clock::now_ms;

/// A dead instance's routes are elsewhere within ten seconds: six until the group misses it (the least that
/// brokers allow by default), the rest to start.
pub(super) const SESSION_TIMEOUT_MS: &str = "6000";
/// Some may be lost before the session ends.
pub(super) const HEARTBEAT_MS: &str = "1000";
/// The notes of a new share are read when an empty answer shows their end: at most this long a wait, and five
/// questions a second when idle.
const FETCH_WAIT_MS: &str = "200";
/// Behind a route's name: the key of the record that says it is there. No route's name holds an `@`.
const REGISTERED: &str = "@registered";
/// Kafka's limit for a member's name.
const INSTANCE_ID_LENGTH_MAX: usize = 249;

/// This instance's membership. Dropping it ends the thread soon, without leaving the group.
#[derive(Debug)]
pub struct Ownership {
    connection: Connection,
    topic: Arc<str>,
    partitions: i32,
    notes: CompactedReader,
    assignment: watch::Receiver<Assignment>,
    stop: Arc<AtomicBool>,
}

impl Ownership {
    /// Joins the group; what it decides comes through [`Ownership::watch`].
    ///
    /// # Errors
    /// When the routes topic is missing or not as it must be, or the properties are wrong.
    pub async fn join(topics: &Topics, instance: &str) -> Result<Self, Failure> {
        let topic = ensure_routes_topic(topics).await?;
        if topics.connection().is_mock() {
            return Self::alone(topics, topic).await;
        }
        let mut config = topics.connection().consumer(Isolation::Uncommitted);
        config
            .set("group.protocol", "classic")
            .set("group.instance.id", instance_id(instance))
            .set("session.timeout.ms", SESSION_TIMEOUT_MS)
            .set("heartbeat.interval.ms", HEARTBEAT_MS)
            .set("partition.assignment.strategy", "cooperative-sticky");
        Self::start(topics, topic, config, |consumer, topic, _| {
            consumer.subscribe(&[topic])
        })
        .await
    }

    /// Takes every route at once and asks no group: no other instance can reach a mock cluster, and it makes a
    /// group's first member wait three seconds for others.
    async fn alone(topics: &Topics, topic: Arc<str>) -> Result<Self, Failure> {
        let config = topics.connection().consumer(Isolation::Uncommitted);
        Self::start(topics, topic, config, |consumer, topic, partitions| {
            // The leaders must be known before the partitions are given, or they are looked for after 500 ms.
            consumer.fetch_metadata(Some(topic), CALL_TIMEOUT)?;
            let all = (0..partitions).map(|partition| ((topic.to_owned(), partition), Offset::Beginning));
            let all = TopicPartitionList::from_topic_map(&all.collect())?;
            consumer.context().give(0..partitions);
            consumer.assign(&all)
        })
        .await
    }

    /// Starts the thread of a consumer that `place` has told what to read.
    async fn start(
        topics: &Topics,
        topic: Arc<str>,
        mut config: ClientConfig,
        place: impl Fn(&BaseConsumer<Member>, &str, i32) -> KafkaResult<()> + Send + 'static,
    ) -> Result<Self, Failure> {
        let connection = topics.connection().clone();
        let group = connection.group();
        let partitions = TopicSpec::routes(connection.config()).partitions();
        let (publish, assignment) = watch::channel(View::new(partitions).assignment());
        config.set("fetch.wait.max.ms", FETCH_WAIT_MS);
        let join = {
            let (topic, group) = (topic.clone(), group.clone());
            move |publish: Publish| -> Result<BaseConsumer<Member>, Failure> {
                let consumer: BaseConsumer<Member> = config
                    .create_with_context(Member::new(View::new(partitions), publish))
                    .map_err(|error| creation_failure(&error))?;
                place(&consumer, &topic, partitions)
                    .map_err(|error| failure(&error, &format!("group {group}")))?;
                Ok(consumer)
            }
        };
        let (consumer, join) = blocking(move || Ok((join(Arc::new(publish))?, join))).await?;
        let stop = Arc::new(AtomicBool::new(false));
        std::thread::Builder::new()
            .name("kafka-ownership".to_owned())
            .spawn({
                let stop = stop.clone();
                move || member::keep(consumer, join, &group, &stop)
            })
            .map_err(|error| thread_failure("the group member").caused_by(error))?;
        Ok(Self {
            notes: CompactedReader::new(connection.clone(), topic.clone(), partitions),
            connection,
            topic,
            partitions,
            assignment,
            stop,
        })
    }

    /// What this instance is to run, now and as it changes.
    pub fn watch(&self) -> watch::Receiver<Assignment> {
        self.assignment.clone()
    }

    /// Notes the routes that nobody has noted yet, so that an instance that is assigned one it does not know
    /// can say so.
    ///
    /// # Errors
    /// When the brokers do not answer or deny the topic.
    pub async fn register(&self, routes: &[String]) -> Result<(), Failure> {
        let silent = |_| ();
        let notes = routes.iter().map(async |route| {
            let key = registered(route);
            let noted = self.notes.read(self.partition(route), &key, &silent).await?;
            Ok::<_, Failure>(noted.is_none().then_some(route))
        });
        let unknown = futures_util::future::try_join_all(notes).await?;
        let notes = unknown
            .into_iter()
            .flatten()
            .map(|route| self.record(route, &registered(route), Some(Bytes::from_static(b"{}"))));
        store(&self.connection, notes.collect()).await
    }

    /// Pauses or resumes a route, whoever runs it now or later.
    ///
    /// # Errors
    /// When the brokers do not take the note.
    pub async fn set_paused(&self, route: &str, paused: bool) -> Result<(), Failure> {
        store(&self.connection, vec![self.note(route, paused)]).await
    }

    /// Whether a person has paused the route, whoever runs it.
    ///
    /// # Errors
    /// When the brokers do not answer or deny the topic.
    pub async fn is_paused(&self, route: &str) -> Result<bool, Failure> {
        let noted = self.notes.read(self.partition(route), route, &|_| ()).await?;
        Ok(is_paused_in(noted))
    }

    /// Removes what is noted about a route: no instance misses it any more.
    ///
    /// # Errors
    /// When the brokers do not take the note.
    pub async fn forget(&self, route: &str) -> Result<(), Failure> {
        let tombstones = [route, &registered(route)].map(|key| self.record(route, key, None));
        store(&self.connection, tombstones.into()).await
    }

    fn note(&self, route: &str, paused: bool) -> Record {
        // A flag: always JSON.
        let value = serde_json::to_vec(&RouteNote { paused }).unwrap_or_default();
        self.record(route, route, Some(value.into()))
    }

    fn record(&self, route: &str, key: &str, value: Option<Bytes>) -> Record {
        Record {
            topic: self.topic.clone(),
            partition: Some(self.partition(route)),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value,
            headers: Vec::new(),
            timestamp_ms: now_ms(),
        }
    }

    fn partition(&self, route: &str) -> i32 {
        partition_of(route, self.partitions)
    }
}

fn registered(route: &str) -> String {
    format!("{route}{REGISTERED}")
}

/// Whether a person has paused the route, asked by whoever is no instance.
///
/// # Errors
/// When the brokers do not answer or deny the topic.
pub async fn is_paused(topics: &Topics, route: &str) -> Result<bool, Failure> {
    let connection = topics.connection();
    let topic: Arc<str> = routes_topic(connection).into();
    let Some(partitions) = topics.partitions(&topic).await? else {
        return Ok(false);
    };
    let reader = CompactedReader::new(connection.clone(), topic, partitions);
    let noted = reader
        .read(partition_of(route, partitions), route, &|_| ())
        .await?;
    Ok(is_paused_in(noted))
}

fn is_paused_in(noted: Option<Vec<u8>>) -> bool {
    let note: Option<RouteNote> = noted.and_then(|value| serde_json::from_slice(&value).ok());
    note.is_some_and(|note| note.paused)
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The member's name: what Kafka does not take in `bridge.instance` becomes `_`.
pub(super) fn instance_id(instance: &str) -> String {
    let mut id: String = format!("sfbridge-{instance}")
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .collect();
    id.truncate(INSTANCE_ID_LENGTH_MAX);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_with_what_kafka_takes() {
        assert_eq!(instance_id("host-9400"), "sfbridge-host-9400");
        assert_eq!(instance_id("a b:ü/c.d_e"), "sfbridge-a_b___c.d_e");
        assert_eq!(instance_id(&"x".repeat(400)).len(), 249);
    }
}
