//! A record's bytes as a person reads them: JSON, text, or Avro with the help of whoever has its schema. What cannot
//! be asked or decoded is shown as hex, with the reason.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::config::{Config, Format, KafkaSource, KafkaTopics, KeyFormat, LostPositionPolicy, StartPolicy};
use crate::contracts::registry::Registry;
use crate::error::{Failure, chain};
use crate::kafka::ConsumedRecord;
use crate::routes::mapping::{DecodeError, Incoming, Source};
use crate::routes::redrive::Letter;
use crate::salesforce::Salesforce;
use crate::salesforce::event::{decode, write_json};
use crate::telemetry::metrics::Metrics;

/// Whoever has a schema answers within this time, or the value is shown without it.
const ASK_WITHIN: Duration = Duration::from_secs(15);

/// What a value is, and how it reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shown {
    Nothing,
    Json(Json),
    Text(String),
    /// Avro or unknown bytes; what they decode to, or why not.
    Bytes {
        hex: String,
        decoded: Result<Json, String>,
    },
}

impl Shown {
    /// What needs nobody's help.
    pub(super) fn plain(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else {
            return Self::Nothing;
        };
        if let Ok(json) = serde_json::from_slice(bytes) {
            return Self::Json(json);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => {
                Self::Text(text.to_owned())
            }
            _ => Self::Bytes {
                hex: hex::encode(bytes),
                decoded: Err("it is neither JSON nor text".to_owned()),
            },
        }
    }

    pub(super) fn json(&self) -> Json {
        match self {
            Self::Nothing => Json::Null,
            Self::Json(json) => json.clone(),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Bytes { hex, decoded } => match decoded {
                Ok(decoded) => json!({ "hex": hex, "decoded": decoded }),
                Err(why) => json!({ "hex": hex, "not_decoded": why }),
            },
        }
    }
}

/// The letter's value. Asks the org for a Salesforce payload's schema, the registry for a framed one's.
pub(super) async fn value(letter: &Letter, config: &Config) -> Shown {
    let record = &letter.record;
    let Some(bytes) = record.value.as_deref() else {
        return Shown::Nothing;
    };
    let bytes_decoded = |decoded| Shown::Bytes {
        hex: hex::encode(bytes),
        decoded,
    };
    if let Some(schema_id) = letter.header("ce_sfschemaid") {
        return bytes_decoded(within(payload(schema_id, bytes, config)).await);
    }
    match Shown::plain(Some(bytes)) {
        Shown::Bytes { .. } if bytes.first() == Some(&0) && bytes.len() > 5 => {
            bytes_decoded(within(framed(record, config)).await)
        }
        plain => plain,
    }
}

async fn within(decoding: impl Future<Output = Result<Json, String>>) -> Result<Json, String> {
    let decoded = tokio::time::timeout(ASK_WITHIN, decoding).await;
    decoded.unwrap_or_else(|_| {
        Err(format!(
            "its schema did not come within {} s",
            ASK_WITHIN.as_secs()
        ))
    })
}

async fn payload(schema_id: &str, bytes: &[u8], config: &Config) -> Result<Json, String> {
    let asked = |failure: Failure| format!("its schema cannot be had from the org: {}", chain(&failure));
    let salesforce = Salesforce::new(&config.salesforce, "sfbridge", Metrics::new()).map_err(asked)?;
    let schema = salesforce.schemas.get(schema_id).await.map_err(asked)?;
    let event = decode(&schema, bytes).map_err(|error| chain(&error))?;
    let mut json = Vec::new();
    write_json(&schema, bytes, &event, None, &mut json).map_err(|error| chain(&error))?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

async fn framed(record: &ConsumedRecord, config: &Config) -> Result<Json, String> {
    let Some(registry) = &config.schema_registry else {
        return Err("no schema registry is configured".to_owned());
    };
    let registry = Registry::new(registry).map_err(|failure| chain(&failure))?;
    let as_avro = KafkaSource {
        topics: KafkaTopics::List(Vec::new()),
        format: Format::Avro,
        start: StartPolicy::Earliest,
        on_lost_position: LostPositionPolicy::Halt,
        key_format: KeyFormat::Text,
        key_field: None,
    };
    let source = Source::new(&as_avro, Some(registry)).map_err(|failure| chain(&failure))?;
    let incoming = Incoming {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: None,
        value: record.value.as_deref(),
        headers: &[],
    };
    match source.decode(&incoming).await {
        Ok(decoded) => Ok(decoded.value.unwrap_or_default()),
        Err(DecodeError::Poison(refusal)) => Err(refusal.reason),
        Err(DecodeError::Failure(failure)) => Err(chain(&failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_json_text_or_hex() {
        assert_eq!(Shown::plain(None), Shown::Nothing);
        assert_eq!(Shown::plain(Some(br#"{"a":1}"#)), Shown::Json(json!({"a": 1})));
        assert_eq!(
            Shown::plain(Some(b"{no json")),
            Shown::Text("{no json".to_owned())
        );
        let Shown::Bytes { hex, decoded } = Shown::plain(Some(&[0, 0, 0, 0, 7, 2])) else {
            panic!("no bytes")
        };
        assert_eq!((&*hex, decoded.is_err()), ("000000000702", true));
    }
}
