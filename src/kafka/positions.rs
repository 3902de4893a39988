//! Where each route stands: the compacted topic `_sfbridge.<bridge>.positions`.
//!
//! A position is written by the route's producer in the transaction of its records ([`PositionStore::record`]
//! makes the record), and read when an owner starts. Its value is opaque here. The partition of a route is
//! computed by us, so the topic's partition count must never change, and the topic must only be compacted:
//! anything else would lose positions without a word. How many partitions it has, and that it exists, is
//! therefore also noted in the routes topic; a positions topic that differs from the note halts the bridge's
//! routes with the remedy instead of starting them anew.

use std::sync::Arc;

use bytes::Bytes;

use super::client::Connection;
use super::compacted::{CompactedReader, OnWait};
use super::producer::{RouteProducer, Timing, WriteError};
use super::record::{Record, partition_of};
use super::topics::{TopicSpec, Topics};
use crate::error::{ErrorKind, Failure};
use crate::runtime::clock::now_ms;

/// The key of the note in the routes topic, in partition 0. No route's name begins with `@`.
pub(super) const NOTE_KEY: &str = "@positions";
const NOTE_PARTITION: i32 = 0;

#[derive(Debug)]
pub struct PositionStore {
    topic: Arc<str>,
    partitions: i32,
    reader: CompactedReader,
}

/// What is noted about the positions topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Note {
    partitions: i32,
}

/// What follows from the topic as it is and the note about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Use(i32),
    /// It is there and nothing is noted: a first start was cut off, or somebody made it for us.
    Note(i32),
    Create,
    /// It was there once.
    Vanished(i32),
    Resized {
        noted: i32,
        found: i32,
    },
}

fn find(found: Option<i32>, noted: Option<Note>) -> Finding {
    match (found, noted) {
        (Some(found), Some(noted)) if found == noted.partitions => Finding::Use(found),
        (Some(found), Some(noted)) => Finding::Resized {
            noted: noted.partitions,
            found,
        },
        (Some(found), None) => Finding::Note(found),
        (None, Some(noted)) => Finding::Vanished(noted.partitions),
        (None, None) => Finding::Create,
    }
}

/// The bridge's own topics with their partition counts, for a cluster that cannot be asked to make any.
pub fn internal_topics(connection: &Connection) -> [(String, i32); 3] {
    let config = connection.config();
    [
        (
            positions_topic(connection),
            TopicSpec::positions(config).partitions(),
        ),
        (routes_topic(connection), TopicSpec::routes(config).partitions()),
        (writes_topic(connection), TopicSpec::writes(config).partitions()),
    ]
}

pub(super) fn positions_topic(connection: &Connection) -> String {
    format!("_sfbridge.{}.positions", connection.bridge())
}

pub(super) fn routes_topic(connection: &Connection) -> String {
    format!("_sfbridge.{}.routes", connection.bridge())
}

pub(super) fn writes_topic(connection: &Connection) -> String {
    format!("_sfbridge.{}.writes", connection.bridge())
}

impl PositionStore {
    /// Finds the topic, or makes it at the very first start.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when it is missing, was deleted, has another partition count or cleanup policy
    /// than it must have; what the brokers answered otherwise.
    pub async fn open(topics: &Topics) -> Result<Self, Failure> {
        let connection = topics.connection();
        let topic: Arc<str> = positions_topic(connection).into();
        let spec = TopicSpec::positions(connection.config());
        let routes = ensure_routes_topic(topics).await?;
        let noted = read_note(connection, &routes).await?;
        topics.forget(&topic);
        let partitions = match find(topics.partitions(&topic).await?, noted) {
            Finding::Use(partitions) => partitions,
            Finding::Note(partitions) => {
                write_note(connection, &routes, partitions).await?;
                partitions
            }
            Finding::Create if connection.config().create_topics => {
                topics.create(&topic, &spec).await?;
                write_note(connection, &routes, spec.partitions()).await?;
                spec.partitions()
            }
            Finding::Create => return Err(topics.missing(&topic, &spec)),
            Finding::Vanished(noted) => return Err(vanished(connection, &topic, noted)),
            Finding::Resized { noted, found } => return Err(resized(&topic, noted, found)),
        };
        check_compacted(topics, &topic).await?;
        Ok(Self {
            reader: CompactedReader::new(connection.clone(), topic.clone(), partitions),
            topic,
            partitions,
        })
    }

    /// The topic as it is, to look into it: nothing is made or noted. None: there is none yet.
    ///
    /// # Errors
    /// When the brokers do not answer or deny the topic.
    pub async fn look(topics: &Topics) -> Result<Option<Self>, Failure> {
        let connection = topics.connection();
        let topic: Arc<str> = positions_topic(connection).into();
        let partitions = topics.partitions(&topic).await?;
        Ok(partitions.map(|partitions| Self {
            reader: CompactedReader::new(connection.clone(), topic.clone(), partitions),
            topic,
            partitions,
        }))
    }

    /// The record that removes the route's position: its next owner begins as its `start` says.
    pub fn removal(&self, route: &str) -> Record {
        Record {
            value: None,
            ..self.record(route, Bytes::new())
        }
    }

    /// The record that stores `value` as the route's position.
    pub fn record(&self, route: &str, value: impl Into<Bytes>) -> Record {
        Record {
            topic: self.topic.clone(),
            partition: Some(partition_of(route, self.partitions)),
            key: Some(Bytes::copy_from_slice(route.as_bytes())),
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp_ms: now_ms(),
        }
    }

    /// The route's position, as committed before the call. To be called by an owner that has initialised its
    /// transactional id, so that nobody can write another one meanwhile. `on_wait` is told, about once a
    /// second, what a longer read waits for.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is not what it was.
    pub async fn read(&self, route: &str, on_wait: OnWait<'_>) -> Result<Option<Vec<u8>>, Failure> {
        let partition = partition_of(route, self.partitions);
        self.reader.read(partition, route, on_wait).await
    }
}

/// The name of the routes topic, which is there and right after this.
pub(super) async fn ensure_routes_topic(topics: &Topics) -> Result<Arc<str>, Failure> {
    let connection = topics.connection();
    let topic: Arc<str> = routes_topic(connection).into();
    let spec = TopicSpec::routes(connection.config());
    match topics.partitions(&topic).await? {
        Some(found) if found == spec.partitions() => {}
        Some(found) => return Err(resized(&topic, spec.partitions(), found)),
        None if connection.config().create_topics => topics.create(&topic, &spec).await?,
        None => return Err(topics.missing(&topic, &spec)),
    }
    check_compacted(topics, &topic).await?;
    Ok(topic)
}

pub(super) async fn check_compacted(topics: &Topics, topic: &str) -> Result<(), Failure> {
    if topics.connection().is_mock() {
        return Ok(());
    }
    let policy = topics.topic_setting(topic, "cleanup.policy").await?;
    if policy.as_deref() == Some("compact") {
        return Ok(());
    }
    let policy = policy.as_deref().unwrap_or("unknown");
    Err(Failure::new(
        ErrorKind::Denied,
        format!(
            "topic {topic} has cleanup.policy={policy} and must have compact: Kafka would delete what is stored there"
        ),
    )
    .remedy(format!(
        "kafka-configs --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=compact"
    )))
}

async fn read_note(connection: &Connection, routes: &Arc<str>) -> Result<Option<Note>, Failure> {
    let partitions = TopicSpec::routes(connection.config()).partitions();
    let reader = CompactedReader::new(connection.clone(), routes.clone(), partitions);
    let said = |reason: String| tracing::info!("{reason}");
    match reader.read(NOTE_PARTITION, NOTE_KEY, &said).await? {
        None => Ok(None),
        Some(note) => serde_json::from_slice(&note).map(Some).map_err(|error| {
            Failure::new(
                ErrorKind::Denied,
                format!("topic {routes}: the record {NOTE_KEY} cannot be read"),
            )
            .remedy(format!(
                "write a null value for the key {NOTE_KEY} to partition 0 of {routes}; the bridge then notes \
                 the positions topic as it finds it"
            ))
            .caused_by(error)
        }),
    }
}

async fn write_note(connection: &Connection, routes: &Arc<str>, partitions: i32) -> Result<(), Failure> {
    let value = serde_json::to_vec(&Note { partitions }).unwrap_or_default();
    let note = Record {
        topic: routes.clone(),
        partition: Some(NOTE_PARTITION),
        key: Some(Bytes::from_static(NOTE_KEY.as_bytes())),
        value: Some(value.into()),
        headers: Vec::new(),
        timestamp_ms: now_ms(),
    };
    store(connection, vec![note]).await
}

/// Writes records of the bridge's own, outside any transaction.
pub(super) async fn store(connection: &Connection, mut records: Vec<Record>) -> Result<(), Failure> {
    let Some(last) = records.pop() else {
        return Ok(());
    };
    let mut producer = RouteProducer::idempotent(connection, Timing::DEFAULT).await?;
    match producer.write(records, last).await {
        Ok(_) => Ok(()),
        Err(WriteError::Aborted(failure) | WriteError::Lost(failure)) => Err(failure),
        Err(refused @ WriteError::Refused(_)) => Err(Failure::new(
            ErrorKind::Unknown,
            "a record of the bridge's own was refused",
        )
        .caused_by(refused)),
    }
}

fn vanished(connection: &Connection, topic: &str, partitions: i32) -> Failure {
    let servers = &connection.config().bootstrap_servers;
    Failure::new(
        ErrorKind::Denied,
        format!("topic {topic} existed with {partitions} partitions and is gone, and every route's position with it"),
    )
    .remedy(format!(
        "restore it; or, to let every route begin as its `start` says, create it: kafka-topics \
         --bootstrap-server {servers} --create --topic {topic} --partitions {partitions} --config cleanup.policy=compact"
    ))
}

pub(super) fn resized(topic: &str, noted: i32, found: i32) -> Failure {
    Failure::new(
        ErrorKind::Denied,
        format!(
            "topic {topic} has {found} partitions and had {noted}: what is stored there would not be found"
        ),
    )
    .remedy(format!(
        "Kafka cannot take partitions away: create {topic} anew with {noted} partitions and \
         cleanup.policy=compact, and copy its records partition by partition"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_positions_topic_is_made_only_when_none_was_ever_noted() {
        let noted = Some(Note { partitions: 16 });
        assert_eq!(find(None, None), Finding::Create);
        assert_eq!(find(None, noted), Finding::Vanished(16));
        assert_eq!(find(Some(16), noted), Finding::Use(16));
        assert_eq!(find(Some(8), None), Finding::Note(8));
        assert_eq!(find(Some(17), noted), Finding::Resized { noted: 16, found: 17 });
    }
}
