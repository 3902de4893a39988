//! Dead letters: what can never be delivered as it is, kept with the reason and with all that is known of it.
//!
//! From Salesforce: the key is the replay id in hex, the value the payload's bytes as received, the headers are
//! the `ce_` ones that are known and those below.

use std::sync::Arc;

use bytes::Bytes;

use super::cloud_event::{Header, header};
use crate::error::ErrorKind;
use crate::kafka::Record;
use crate::runtime::clock;

/// Why, and where from.
#[derive(Debug, Clone)]
pub struct Reason {
    pub kind: ErrorKind,
    /// Names the event and the rule.
    pub error: String,
    pub attempts: u32,
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
    let mut headers = ce_headers;
    headers.extend([
        header(
            "sfbridge_error_kind",
            Bytes::from_static(reason.kind.name().as_bytes()),
        ),
        header("sfbridge_error", Bytes::from(reason.error.clone())),
        header("sfbridge_route", Bytes::copy_from_slice(route.as_bytes())),
        header(
            "sfbridge_source",
            Bytes::from(format!(
                "{salesforce_topic}@{}",
                String::from_utf8_lossy(replay_id_hex)
            )),
        ),
        header("sfbridge_failed_at", Bytes::from(clock::rfc3339_ms(now_ms))),
        header("sfbridge_attempts", Bytes::from(reason.attempts.to_string())),
    ]);
    Record {
        topic: Arc::clone(dead_letter_topic),
        partition: None,
        key: Some(replay_id_hex.clone()),
        value: payload,
        headers,
        timestamp_ms: now_ms,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
