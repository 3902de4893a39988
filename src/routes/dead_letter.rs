//! Dead letters: what can never be delivered as it is, kept with the reason and with all that is known of it.
//!
//! From Salesforce: the key is the replay id in hex, the value the payload's bytes as received, the headers are
//! the `ce_` ones that are known and those below. From Kafka: key, value and headers of the record, and those below.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::cloud_event::{Header, header};
use crate::config::RouteConfig;
use crate::error::ErrorKind;
use crate::kafka::{ConsumedRecord, Record};
use crate::runtime::clock;

/// Why, and where from.
#[derive(Debug, Clone)]
pub struct Reason {
    pub kind: ErrorKind,
    /// Names the event and the rule.
    pub error: String,
    pub attempts: u32,
}

impl Reason {
    fn with_attempts(&self, attempts: u32) -> Self {
        Self {
            attempts,
            ..self.clone()
        }
    }
}

/// The payload of an event is a bare Avro datum.
pub const CONTENT_TYPE: &str = "avro/binary";

/// The dead letter of one event. Without `payload` the value did not fit: the record keeps its headers.
pub fn from_salesforce(
    dead_letter_topic: &Arc<str>,
    route: &str,
    salesforce_topic: &str,
    replay_id_hex: &Bytes,
    payload: Option<Bytes>,
    ce_headers: Vec<Header>,
    reason: &Reason,
) -> Record {
    let now_ms = clock::now_ms();
    let source = format!("{salesforce_topic}@{}", String::from_utf8_lossy(replay_id_hex));
    let mut headers = ce_headers;
    headers.extend(told(route, source, reason, now_ms));
    Record {
        topic: Arc::clone(dead_letter_topic),
        partition: None,
        key: Some(replay_id_hex.clone()),
        value: payload,
        headers,
        timestamp_ms: now_ms,
    }
}

/// The dead letter of one record of Kafka. What an earlier bridge told of it in headers of ours is replaced.
pub fn from_kafka(
    dead_letter_topic: &Arc<str>,
    route: &str,
    source: &ConsumedRecord,
    reason: &Reason,
) -> Record {
    let now_ms = clock::now_ms();
    let Source {
        topic,
        partition,
        offset,
        timestamp_ms,
    } = Source::of(source);
    let place = format!("{topic}[{partition}]@{offset}");
    let mut headers = headers_but(source, is_ours);
    let attempts = attempts_before(source).saturating_add(reason.attempts);
    headers.extend(told(route, place, &reason.with_attempts(attempts), now_ms));
    if let Some(at) = timestamp_ms {
        headers.push(header(SOURCE_TIMESTAMP, Bytes::from(at.to_string())));
    }
    Record {
        topic: Arc::clone(dead_letter_topic),
        partition: None,
        key: source.key.clone(),
        value: source.value.clone(),
        headers,
        timestamp_ms: now_ms,
    }
}

/// Where a record comes from: of a dead letter that is sent again, where that one came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

impl Source {
    pub fn of(record: &ConsumedRecord) -> Self {
        Self::told_by(record).unwrap_or_else(|| Self {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        })
    }

    /// What a dead letter's headers tell; None where they do not, or tell of Salesforce.
    fn told_by(record: &ConsumedRecord) -> Option<Self> {
        let (topic, partition, offset) = place_of(told_text(record, "sfbridge_source")?)?;
        Some(Self {
            topic: topic.into(),
            partition,
            offset,
            timestamp_ms: told_text(record, SOURCE_TIMESTAMP).and_then(|at| at.parse().ok()),
        })
    }
}

/// `<topic>[<partition>]@<offset>` in its parts.
pub fn place_of(text: &str) -> Option<(&str, i32, i64)> {
    let (place, offset) = text.rsplit_once('@')?;
    let (topic, partition) = place.strip_suffix(']')?.rsplit_once('[')?;
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}

/// The timestamp of the record in its own topic, milliseconds since the epoch: a redrive keeps the event's id with it.
pub const SOURCE_TIMESTAMP: &str = "sfbridge_source_timestamp";

/// The output that could not have an event of Salesforce, by its topic as configured. Without it none could.
pub const OUTPUT: &str = "sfbridge_output";

/// A dead letter once more, for another reason: what it was and where it came from stay.
pub fn again(letter: &ConsumedRecord, reason: &Reason) -> Record {
    let now_ms = clock::now_ms();
    let text = |name: &str| told_text(letter, name).unwrap_or_default();
    let attempts = attempts_before(letter).saturating_add(reason.attempts);
    let mut headers = headers_but(letter, |name| TOLD.contains(&name));
    headers.extend(told(
        text("sfbridge_route"),
        text("sfbridge_source").to_owned(),
        &reason.with_attempts(attempts),
        now_ms,
    ));
    Record {
        topic: Arc::clone(&letter.topic),
        partition: None,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers,
        timestamp_ms: now_ms,
    }
}

/// How often a record that is a dead letter has been tried; none for any other.
pub fn attempts_before(record: &ConsumedRecord) -> u32 {
    let attempts = told_text(record, "sfbridge_source").and(told_text(record, "sfbridge_attempts"));
    attempts.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A header of a dead letter, where it is text.
pub fn told_text<'a>(record: &'a ConsumedRecord, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().find(|(found, _)| found == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

/// A record's headers without those that are told anew.
fn headers_but(record: &ConsumedRecord, is_told: impl Fn(&str) -> bool) -> Vec<Header> {
    let kept = record.headers.iter().filter(|(name, _)| !is_told(name));
    kept.map(|(name, value)| (Cow::Owned(name.clone()), value.clone().unwrap_or_default()))
        .collect()
}

fn is_ours(header: &str) -> bool {
    header == SOURCE_TIMESTAMP || TOLD.contains(&header)
}

const TOLD: [&str; 6] = [
    "sfbridge_error_kind",
    "sfbridge_error",
    "sfbridge_route",
    "sfbridge_source",
    "sfbridge_failed_at",
    "sfbridge_attempts",
];

/// The headers that say why, where from and when.
fn told(route: &str, source: String, reason: &Reason, now_ms: i64) -> [Header; 6] {
    let values = [
        Bytes::from_static(reason.kind.name().as_bytes()),
        Bytes::from(reason.error.clone()),
        Bytes::copy_from_slice(route.as_bytes()),
        Bytes::from(source),
        Bytes::from(clock::rfc3339_ms(now_ms)),
        Bytes::from(reason.attempts.to_string()),
    ];
    let mut names = TOLD.into_iter();
    values.map(|value| header(names.next().unwrap_or_default(), value))
}

/// Counts dead letters in a row. The n-th is still stored, then the route halts: something is wrong with all.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoisonCounter {
    max_consecutive: u32,
    in_a_row: u32,
}

impl PoisonCounter {
    pub const fn new(max_consecutive: u32) -> Self {
        Self {
            max_consecutive,
            in_a_row: 0,
        }
    }

    pub const fn delivered(&mut self) {
        self.in_a_row = 0;
    }

    /// Whether the route halts once this dead letter is committed.
    pub const fn dead_lettered(&mut self) -> bool {
        self.in_a_row += 1;
        self.in_a_row >= self.max_consecutive
    }
}

/// What to do where a row of them has halted a route.
pub fn remedy_of_many(route: &RouteConfig) -> String {
    let (name, topic) = (&route.name, &route.dead_letter.topic);
    format!(
        "see the reasons with `sfbridge dead-letters list --route {name}` (or header sfbridge_error in topic {topic}), mend the cause, then restart the route; `sfbridge dead-letters redrive --route {name}` sends them again"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    use super::*;
    use crate::contracts::asyncapi::{dead_letter_from_kafka, dead_letter_from_salesforce};
    use crate::routes::cloud_event::EventHeaders;
    use crate::telemetry::traces::TRACEPARENT;

    #[test]
    fn the_last_one_in_a_row_halts_and_a_delivery_in_between_forgives() {
        let mut poison = PoisonCounter::new(3);
        assert!(!poison.dead_lettered());
        assert!(!poison.dead_lettered());
        poison.delivered();
        assert!(!poison.dead_lettered());
        assert!(!poison.dead_lettered());
        assert!(poison.dead_lettered());
    }

    fn consumed(record: &Record, offset: i64) -> ConsumedRecord {
        let headers = record.headers.iter();
        ConsumedRecord {
            topic: Arc::clone(&record.topic),
            partition: 0,
            offset,
            timestamp_ms: Some(record.timestamp_ms),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: headers
                .map(|(name, value)| (name.to_string(), Some(value.clone())))
                .collect(),
        }
    }

    #[test]
    fn a_letter_that_fails_again_keeps_its_source_and_counts_its_attempts() {
        let source = ConsumedRecord {
            topic: "orders".into(),
            partition: 3,
            offset: 41,
            timestamp_ms: Some(1_234),
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: vec![("own".to_owned(), Some(Bytes::from_static(b"kept")))],
        };
        let reason = |error: &str, attempts| Reason {
            kind: ErrorKind::Poison,
            error: error.to_owned(),
            attempts,
        };
        let topic: Arc<str> = "dead".into();
        let first = consumed(&from_kafka(&topic, "orders", &source, &reason("one", 2)), 7);
        assert_eq!(Source::of(&first), Source::of(&source));
        assert_eq!((attempts_before(&source), attempts_before(&first)), (0, 2));
        for second in [
            from_kafka(&topic, "orders", &first, &reason("two", 1)),
            again(&first, &reason("two", 1)),
        ] {
            let second = consumed(&second, 8);
            assert_eq!(Source::of(&second), Source::of(&source));
            assert_eq!(attempts_before(&second), 3);
            assert_eq!(told_text(&second, "sfbridge_error"), Some("two"));
            assert_eq!(told_text(&second, "sfbridge_route"), Some("orders"));
            assert_eq!(told_text(&second, "own"), Some("kept"));
            assert_eq!(second.headers.len(), first.headers.len());
        }
    }

    #[test]
    fn a_dead_letter_keeps_the_bytes_and_says_why_and_where_from() {
        let reason = Reason {
            kind: ErrorKind::Poison,
            error: "does not decode".to_owned(),
            attempts: 2,
        };
        let topic: Arc<str> = "dead".into();
        let hex = Bytes::from_static(b"00ff");
        let record = from_salesforce(
            &topic,
            "accounts",
            "/data/X",
            &hex,
            Some(Bytes::from_static(b"raw")),
            vec![],
            &reason,
        );
        assert_eq!(
            (record.key.as_deref(), record.value.as_deref()),
            (Some(&b"00ff"[..]), Some(&b"raw"[..]))
        );
        let text = |name: &str| {
            let (_, value) = record.headers.iter().find(|(found, _)| found == name).unwrap();
            String::from_utf8(value.to_vec()).unwrap()
        };
        assert_eq!(text("sfbridge_error_kind"), "poison");
        assert_eq!(text("sfbridge_error"), "does not decode");
        assert_eq!(text("sfbridge_route"), "accounts");
        assert_eq!(text("sfbridge_source"), "/data/X@00ff");
        assert_eq!(text("sfbridge_attempts"), "2");
        assert!(text("sfbridge_failed_at").ends_with('Z'));
    }

    fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        names.into_iter().map(str::to_owned).collect()
    }

    fn written(record: &Record) -> BTreeSet<String> {
        names(record.headers.iter().map(|(name, _)| &**name))
    }

    fn documented(message: &Json) -> BTreeSet<String> {
        let properties = message["headers"]["properties"].as_object().unwrap();
        names(properties.keys().map(String::as_str))
    }

    fn required(message: &Json) -> BTreeSet<String> {
        let required = message["headers"]["required"].as_array().unwrap();
        names(required.iter().map(|name| name.as_str().unwrap()))
    }

    #[test]
    fn the_document_for_readers_has_every_header_of_a_dead_letter_from_salesforce() {
        let reason = Reason {
            kind: ErrorKind::Poison,
            error: "does not decode".to_owned(),
            attempts: 1,
        };
        let text = Bytes::from_static(b"text");
        let mut event = EventHeaders {
            source: text.clone(),
            route: text.clone(),
            event_type: Some(text.clone()),
            schema_id: Some(text.clone()),
            time: Some(text.clone()),
            replay_id: text.clone(),
            replayed: true,
            as_of: None,
            superseded: Vec::new(),
        };
        let letter = |ce_headers| {
            let topic: Arc<str> = "dead".into();
            from_salesforce(&topic, "accounts", "/data/X", &text, None, ce_headers, &reason)
        };
        let document = dead_letter_from_salesforce();
        let mut all = letter(event.record(Some(text.clone()), None, CONTENT_TYPE));
        all.headers.push(header(OUTPUT, text.clone()));
        all.headers.push(header(TRACEPARENT, text.clone()));
        assert_eq!(written(&all), documented(&document));
        assert_eq!(document["contentType"], CONTENT_TYPE);

        (event.event_type, event.schema_id, event.time) = (None, None, None);
        event.replayed = false;
        let few = letter(event.record(None, None, CONTENT_TYPE));
        assert_eq!(written(&few), required(&document));
    }

    #[test]
    fn the_document_for_readers_has_every_header_that_a_record_gets_as_a_dead_letter() {
        let reason = Reason {
            kind: ErrorKind::Poison,
            error: "REQUIRED_FIELD_MISSING".to_owned(),
            attempts: 1,
        };
        let letter = |timestamp_ms| {
            let source = ConsumedRecord {
                topic: "orders".into(),
                partition: 3,
                offset: 41,
                timestamp_ms,
                key: None,
                value: None,
                headers: Vec::new(),
            };
            from_kafka(&"dead".into(), "orders", &source, &reason)
        };
        let document = dead_letter_from_kafka();
        assert_eq!(written(&letter(Some(1_234))), documented(&document));
        assert_eq!(written(&letter(None)), required(&document));
    }
}
