//! A Kafka record's bytes as JSON.
//!
//! * `json` values are JSON text; the five bytes of Confluent's framing in front of it are passed over.
//! * `avro` values have Confluent's framing: a zero byte, the writer's schema id (four bytes, big-endian), the datum. It
//!   is read with the schema of that id; which fields the target takes is decided by name.
//! * A JSON number that is no 64-bit integer is a double.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json};

use super::{Refusal, datum};
use crate::avro::Schema;
use crate::config::{Format, KafkaSource, KeyFormat};
use crate::contracts::registry::Registry;
use crate::error::{ErrorKind, Failure};

/// A record as Kafka has it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(String, Option<Bytes>)],
}

/// A record's key, or the part of it that `key_field` names.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// The record has none.
    Absent,
    Value(Json),
    /// It is not what `key_format` says; only who needs the key need mind. The reason names no value.
    Unreadable(String),
}

/// A record in the form that expressions and targets read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Key,
    /// None: a tombstone. (`Some(Null)` is the JSON text `null`, which is none.)
    pub value: Option<Json>,
    /// Those whose value is UTF-8 text; of several with one name, the last.
    pub headers: Map<String, Json>,
}

/// Why a record has no value to go on with.
#[derive(Debug)]
pub enum DecodeError {
    /// It never will: a dead letter.
    Poison(Refusal),
    /// The registry was asked and gave no answer: the policy table decides.
    Failure(Failure),
}

impl DecodeError {
    fn poison(rule: impl Into<String>) -> Self {
        Self::Poison(Refusal::of_record(rule))
    }
}

/// How a route's records are read.
#[derive(Debug)]
pub struct Source {
    format: Format,
    key_format: KeyFormat,
    /// The names on the way to the part of a key that is taken.
    key_path: Vec<String>,
    registry: Option<Registry>,
    /// By id, which means the same for ever. There are as many as the topics' writers have schemas.
    schemas: Mutex<HashMap<u32, Arc<Schema>>>,
}

impl Source {
    /// # Errors
    /// `Misconfigured`: Avro without a registry.
    pub fn new(config: &KafkaSource, registry: Option<Registry>) -> Result<Self, Failure> {
        let is_avro = config.format == Format::Avro || config.key_format == KeyFormat::Avro;
        if is_avro && registry.is_none() {
            let message = "avro needs the section schema_registry with the registry's URL";
            return Err(Failure::new(ErrorKind::Misconfigured, message));
        }
        let key_path = config
            .key_field
            .as_deref()
            .map(|path| path.split('.').map(str::to_owned).collect());
        Ok(Self {
            format: config.format,
            key_format: config.key_format,
            key_path: key_path.unwrap_or_default(),
            registry,
            schemas: Mutex::default(),
        })
    }

    /// Reads a record. Asks the registry once for each writer's schema.
    ///
    /// # Errors
    /// Poison: the value is not of the configured format. Failure: the registry gave no answer.
    pub async fn decode(&self, record: &Incoming<'_>) -> Result<Decoded, DecodeError> {
        let value = match (record.value, self.format) {
            (None, _) => None,
            (Some(bytes), Format::Json) => Some(json(bytes).map_err(|rule| wrong("value", &rule))?),
            (Some(bytes), Format::Avro) => Some(self.avro("value", bytes).await?),
        };
        let headers = record.headers.iter().filter_map(|(name, value)| {
            let text = std::str::from_utf8(value.as_deref()?).ok()?;
            Some((name.clone(), Json::from(text)))
        });
        Ok(Decoded {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: self.key(record.key).await?,
            value,
            headers: headers.collect(),
        })
    }

    /// A key that cannot be read is no reason to refuse a record whose target does not need it.
    async fn key(&self, bytes: Option<&[u8]>) -> Result<Key, DecodeError> {
        let Some(bytes) = bytes else {
            return Ok(Key::Absent);
        };
        let read = match self.key_format {
            KeyFormat::Text => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Json::from(text)),
                Err(_) => Err("it is not UTF-8 text".to_owned()),
            },
            KeyFormat::Json => json(bytes),
            KeyFormat::Avro => match self.avro("key", bytes).await {
                Ok(key) => Ok(key),
                Err(DecodeError::Poison(refusal)) => Err(refusal.reason),
                Err(failure @ DecodeError::Failure(_)) => return Err(failure),
            },
        };
        Ok(match read.map(|key| self.part_of(key)) {
            Ok(Some(part)) => Key::Value(part),
            Ok(None) => Key::Unreadable(format!("it has no field {}", self.key_path.join("."))),
            Err(rule) => Key::Unreadable(rule),
        })
    }

    fn part_of(&self, key: Json) -> Option<Json> {
        self.key_path
            .iter()
            .try_fold(key, |mut key, name| Some(key.get_mut(name)?.take()))
    }

    async fn avro(&self, place: &str, bytes: &[u8]) -> Result<Json, DecodeError> {
        let Some(([0, id @ ..], datum)) = bytes.split_first_chunk::<5>() else {
            return Err(wrong(place, "it does not begin with a zero byte and a schema id"));
        };
        let id = u32::from_be_bytes(*id);
        let schema = self.schema(id).await?;
        datum::read(&schema, datum)
            .map_err(|rule| wrong(place, &format!("it is not what schema {id} says: {rule}")))
    }

    async fn schema(&self, id: u32) -> Result<Arc<Schema>, DecodeError> {
        if let Some(known) = self.schemas.lock().get(&id) {
            return Ok(Arc::clone(known));
        }
        let Some(registry) = &self.registry else {
            return Err(DecodeError::poison("avro needs a schema registry"));
        };
        let written = registry.schema(id).await.map_err(|error| {
            let failure = Failure::from(error);
            match failure.kind {
                ErrorKind::Poison => DecodeError::poison(failure.message),
                _ => DecodeError::Failure(failure),
            }
        })?;
        let others = written
            .references
            .iter()
            .map(|reference| reference.schema.as_str());
        let schema = Schema::parse_with(others, &written.schema)
            .map_err(|error| DecodeError::poison(format!("schema {id} of the registry: {error}")))?;
        let schema = Arc::new(schema);
        self.schemas.lock().insert(id, Arc::clone(&schema));
        Ok(schema)
    }
}

fn wrong(place: &str, rule: &str) -> DecodeError {
    DecodeError::poison(format!("the {place} cannot be read: {rule}"))
}

/// JSON text. What is wrong with it is told by its line and column alone.
fn json(bytes: &[u8]) -> Result<Json, String> {
    let text = match bytes {
        [0, _, _, _, _, text @ ..] => text,
        text => text,
    };
    serde_json::from_slice(text).map_err(|error| {
        format!(
            "it is not JSON from line {}, column {} on",
            error.line(),
            error.column()
        )
    })
}
