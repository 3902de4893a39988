//! Topics: looked up without ever making one in passing, made on purpose when `create_topics` says so.
//!
//! What was found is remembered, so that asking for every event costs nothing. A topic that is deleted later
//! shows when it is written to; [`Topics::forget`] makes the next question reach the brokers again.

mod inspect;
mod spec;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;
use tokio::time::Instant;

pub use inspect::{TopicFinding, TopicUse};
pub(super) use spec::TopicSpec;

use super::client::{CALL_TIMEOUT, Connection, Context, blocking};
use super::error::{creation_failure, failure};
use crate::error::{ErrorKind, Failure};

/// How long a new topic may take until every partition has a leader.
const APPEAR_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Kafka's default for `max.message.bytes`, assumed where a topic's configuration may not be read.
const BROKER_RECORD_BYTES_MAX: usize = 1_048_588;

#[derive(Clone)]
pub struct Topics(Arc<Inner>);

struct Inner {
    connection: Connection,
    lookup: Arc<BaseConsumer<Context>>,
    admin: AdminClient<Context>,
    partitions: Mutex<HashMap<String, i32>>,
    record_bytes_max: Mutex<HashMap<String, usize>>,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Topics")
    }
}

impl Topics {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When `kafka.properties` are wrong.
    pub fn new(connection: &Connection) -> Result<Self, Failure> {
        Ok(Self(Arc::new(Inner {
            connection: connection.clone(),
            lookup: Arc::new(connection.lookup_client()?),
            admin: connection
                .admin()
                .create_with_context(Context)
                .map_err(|error| creation_failure(&error))?,
            partitions: Mutex::default(),
            record_bytes_max: Mutex::default(),
        })))
    }

    /// How many partitions the topic has, if it exists.
    ///
    /// # Errors
    /// When no broker answers, or the topic may not be seen.
    pub async fn partitions(&self, topic: &str) -> Result<Option<i32>, Failure> {
        let known = self.0.partitions.lock().get(topic).copied();
        match known {
            Some(count) => Ok(Some(count)),
            None => self.look_up(topic).await,
        }
    }

    /// A topic for records of events.
    ///
    /// # Errors
    /// When it is missing and may or can not be made; the message names it and the remedy.
    pub async fn ensure_data(&self, topic: &str) -> Result<(), Failure> {
        self.ensure_kept(topic, TopicSpec::data).await
    }

    /// A topic for dead letters: kept and partitioned as data is, since a redrive needs the keys' order.
    ///
    /// # Errors
    /// As [`Topics::ensure_data`].
    pub async fn ensure_dead_letter(&self, topic: &str) -> Result<(), Failure> {
        self.ensure_kept(topic, TopicSpec::data).await
    }

    /// A topic for gap reports.
    ///
    /// # Errors
    /// As [`Topics::ensure_data`].
    pub async fn ensure_gaps(&self, topic: &str) -> Result<(), Failure> {
        self.ensure_kept(topic, TopicSpec::gaps).await
    }

    /// Makes the next question about the topic reach the brokers.
    pub fn forget(&self, topic: &str) {
        self.0.partitions.lock().remove(topic);
        self.0.record_bytes_max.lock().remove(topic);
    }

    /// The same for every topic: after a failed write nothing that was known is certain.
    pub fn forget_all(&self) {
        self.0.partitions.lock().clear();
        self.0.record_bytes_max.lock().clear();
    }

    /// The largest record batch that the topic takes (after compression). Kafka's default where its
    /// configuration may not be read.
    ///
    /// # Errors
    /// When no broker answers, or the topic does not exist.
    pub async fn max_message_bytes(&self, topic: &str) -> Result<usize, Failure> {
        if let Some(known) = self.0.record_bytes_max.lock().get(topic) {
            return Ok(*known);
        }
        if self.partitions(topic).await?.is_none() {
            return Err(Failure::new(
                ErrorKind::Denied,
                format!("topic {topic} does not exist"),
            ));
        }
        if self.connection().is_mock() {
            return Ok(BROKER_RECORD_BYTES_MAX);
        }
        let told = match self.topic_setting(topic, "max.message.bytes").await {
            Err(denied) if denied.kind == ErrorKind::Denied => None,
            answer => answer?,
        };
        let bytes = told
            .and_then(|text| text.parse().ok())
            .unwrap_or(BROKER_RECORD_BYTES_MAX);
        self.0.record_bytes_max.lock().insert(topic.to_owned(), bytes);
        Ok(bytes)
    }

    /// One of the topic's settings as it is in force, defaults included.
    pub(super) async fn topic_setting(&self, topic: &str, key: &str) -> Result<Option<String>, Failure> {
        let described = self.describe(ResourceSpecifier::Topic(topic)).await;
        let resource = described.map_err(|error| failure(&error, &format!("topic {topic}")))?;
        Ok(resource.get(key).and_then(|entry| entry.value.clone()))
    }

    /// Makes a topic that is known to be missing, and waits until it can be written to.
    pub(super) async fn create(&self, topic: &str, spec: &TopicSpec) -> Result<(), Failure> {
        let object = format!("topic {topic}");
        let by_hand = || spec.command(topic, &self.0.connection.config().bootstrap_servers);
        let mut new = NewTopic::new(
            topic,
            spec.partitions,
            TopicReplication::Fixed(spec.replication_factor),
        );
        for (key, value) in &spec.config {
            new = new.set(key, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(CALL_TIMEOUT))
            .operation_timeout(Some(CALL_TIMEOUT));
        let answers = self.0.admin.create_topics([&new], &options).await;
        for answer in answers.map_err(|error| failure(&error, &object))? {
            match answer {
                // Another instance was faster.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    let failure = failure(&KafkaError::AdminOp(code), &format!("{object}, to be created"));
                    return Err(match failure.kind {
                        ErrorKind::Transient | ErrorKind::Throttled => failure,
                        _ => failure.remedy(format!("create it: {}", by_hand())),
                    });
                }
            }
        }
        tracing::info!(topic, partitions = spec.partitions, "topic created");
        let deadline = Instant::now() + APPEAR_TIMEOUT;
        while self.look_up(topic).await?.is_none() {
            if Instant::now() >= deadline {
                return Err(Failure::new(
                    ErrorKind::Transient,
                    format!("Kafka, {object} was created and has no leaders yet"),
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The refusal for a topic that must be there and is not, and that we may not make.
    pub(super) fn missing(&self, topic: &str, spec: &TopicSpec) -> Failure {
        let command = spec.command(topic, &self.0.connection.config().bootstrap_servers);
        Failure::new(
            ErrorKind::Denied,
            format!("topic {topic} does not exist, and kafka.create_topics is false"),
        )
        .remedy(format!("create it: {command}"))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    async fn ensure_kept(
        &self,
        topic: &str,
        spec: fn(&crate::config::KafkaConfig, Option<i64>) -> TopicSpec,
    ) -> Result<(), Failure> {
        if self.partitions(topic).await?.is_some() {
            return Ok(());
        }
        let config = self.0.connection.config();
        if !config.create_topics {
            return Err(self.missing(topic, &spec(config, None)));
        }
        let spec = spec(config, self.broker_retention_ms(topic).await);
        self.create(topic, &spec).await
    }

    /// Asks the brokers, whatever is remembered.
    async fn look_up(&self, topic: &str) -> Result<Option<i32>, Failure> {
        let lookup = self.0.lookup.clone();
        let name = topic.to_owned();
        let found = blocking(move || {
            let object = format!("topic {name}");
            let metadata = lookup
                .fetch_metadata(Some(&name), CALL_TIMEOUT)
                .map_err(|error| failure(&error, &object))?;
            // Serves what the client has queued, such as requests for a token.
            lookup.poll(Duration::ZERO);
            partition_count(metadata.topics())
                .map_err(|code| failure(&KafkaError::MetadataFetch(code), &object))
        })
        .await?;
        if let Some(count) = found {
            self.0.partitions.lock().insert(topic.to_owned(), count);
        }
        Ok(found)
    }

    /// The brokers' default retention; None where it may not be read.
    async fn broker_retention_ms(&self, topic: &str) -> Option<i64> {
        let lookup = self.0.lookup.clone();
        let topic = topic.to_owned();
        let broker = blocking(move || {
            let metadata = lookup.fetch_metadata(Some(&topic), CALL_TIMEOUT);
            let metadata = metadata.map_err(|error| failure(&error, "the brokers"))?;
            Ok(metadata.brokers().first().map(|broker| broker.id()))
        })
        .await
        .ok()??;
        let settings = self.describe(ResourceSpecifier::Broker(broker)).await.ok()?;
        let number = |key: &str| settings.get(key)?.value.as_ref()?.parse::<i64>().ok();
        number("log.retention.ms")
            .or_else(|| Some(number("log.retention.minutes")?.saturating_mul(60_000)))
            .or_else(|| Some(number("log.retention.hours")?.saturating_mul(3_600_000)))
    }

    async fn describe(&self, resource: ResourceSpecifier<'_>) -> Result<ConfigResource, KafkaError> {
        let options = AdminOptions::new().request_timeout(Some(CALL_TIMEOUT));
        let described = self.0.admin.describe_configs([&resource], &options).await?;
        match described.into_iter().next() {
            Some(Ok(resource)) => Ok(resource),
            Some(Err(code)) => Err(KafkaError::AdminOp(code)),
            None => Err(KafkaError::AdminOp(Code::Unknown)),
        }
    }
}

/// The partitions of the one topic asked for; None while it is missing or some partition has no leader yet.
fn partition_count(topics: &[MetadataTopic]) -> Result<Option<i32>, Code> {
    let Some(topic) = topics.first() else {
        return Ok(None);
    };
    if let Some(error) = topic.error() {
        return match Code::from(error) {
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::LeaderNotAvailable => Ok(None),
            code => Err(code),
        };
    }
    let partitions = topic.partitions();
    if partitions.is_empty() || partitions.iter().any(|partition| partition.leader() < 0) {
        return Ok(None);
    }
    Ok(i32::try_from(partitions.len()).ok())
}
