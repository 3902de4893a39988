//! Which dead letters were sent again: the compacted topic `_sfbridge.<bridge>.redriven`.
//!
//! The key is a dead letter's address, `<topic>[<partition>]@<offset>`; values are opaque here. One partition, read
//! as a whole by the commands that ask.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::client::Connection;
use super::compacted::CompactedReader;
use super::positions::{check_compacted, resized};
use super::record::Record;
use super::topics::{TopicSpec, Topics};
use crate::error::Failure;
use crate::runtime::clock::now_ms;

const PARTITION: i32 = 0;

/// The topic, which is there.
#[derive(Debug)]
pub struct RedrivenTopic {
    topic: Arc<str>,
    reader: CompactedReader,
}

impl RedrivenTopic {
    /// Finds the topic. None: nothing was ever redriven.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind) when it has other partitions or another cleanup policy than it
    /// must have; what the brokers answered otherwise.
    pub async fn find(topics: &Topics) -> Result<Option<Self>, Failure> {
        let connection = topics.connection();
        let topic: Arc<str> = redriven_topic(connection).into();
        let partitions = TopicSpec::redriven(connection.config()).partitions();
        match topics.partitions(&topic).await? {
            None => return Ok(None),
            Some(found) if found == partitions => {}
            Some(found) => return Err(resized(&topic, partitions, found)),
        }
        check_compacted(topics, &topic).await?;
        Ok(Some(Self {
            reader: CompactedReader::new(connection.clone(), Arc::clone(&topic), partitions),
            topic,
        }))
    }

    /// Finds the topic, or makes it.
    ///
    /// # Errors
    /// As [`RedrivenTopic::find`]; and when it is missing and may not be made.
    pub async fn open(topics: &Topics) -> Result<Self, Failure> {
        if let Some(found) = Self::find(topics).await? {
            return Ok(found);
        }
        let config = topics.connection().config();
        let (topic, spec) = (redriven_topic(topics.connection()), TopicSpec::redriven(config));
        if config.create_topics {
            topics.create(&topic, &spec).await?;
            if let Some(made) = Self::find(topics).await? {
                return Ok(made);
            }
        }
        Err(topics.missing(&topic, &spec))
    }

    /// The record that says what became of a dead letter; without a value it is forgotten.
    pub fn record(&self, address: &str, value: Option<Bytes>) -> Record {
        Record {
            topic: Arc::clone(&self.topic),
            partition: Some(PARTITION),
            key: Some(Bytes::copy_from_slice(address.as_bytes())),
            value,
            headers: Vec::new(),
            timestamp_ms: now_ms(),
        }
    }

    /// Everything committed before the call, by address.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is not what it was.
    pub async fn all(&self) -> Result<HashMap<Vec<u8>, Vec<u8>>, Failure> {
        let said = |reason: String| tracing::warn!("{reason}");
        self.reader.read_all(PARTITION, &said).await
    }
}

pub(super) fn redriven_topic(connection: &Connection) -> String {
    format!("_sfbridge.{}.redriven", connection.bridge())
}
