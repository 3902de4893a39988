//! A Kafka record's bytes as JSON.

use serde_json::{Map, Value as Json};

use super::Refusal;
use crate::config::KafkaSource;
use crate::contracts::registry::Registry;
use crate::error::Failure;

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
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
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

/// How a route's records are read.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// # Errors
    /// `Misconfigured`: Avro without a registry.
    pub fn new(_config: &KafkaSource, _registry: Option<Registry>) -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Reads a record. Asks the registry once for each writer's schema.
    ///
    /// # Errors
    /// Poison: the value is not of the configured format. Failure: the registry.
    pub async fn decode(&self, record: &Incoming<'_>) -> Result<Decoded, DecodeError> {
        Err(DecodeError::Poison(Refusal::of_record(record.topic)))
    }
}
