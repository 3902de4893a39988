//! The stored position of a route: the JSON value in `_sfbridge.<bridge>.positions`.
//!
//! `replay_id` is the last replay id *known complete*: a later id or a keep-alive has been seen, because one id
//! may belong to several events and `CUSTOM` starts after it. `after` names the events (`ce_id`s) already
//! delivered beyond it. A position without `replay_id` starts at the earliest event; `since` then says which
//! ones are too old to count.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::state::PositionView;
use crate::error::{ErrorKind, Failure};

/// What is stored, field for field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Lower-case hex of Salesforce's opaque bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_id: Option<String>,
    /// `ce_id`s delivered beyond `replay_id`.
    #[serde(default)]
    pub after: Vec<String>,
    /// The Salesforce topic as configured.
    #[serde(default)]
    pub topic: String,
    /// 18 characters.
    #[serde(default)]
    pub org_id: String,
    /// RFC 3339: the time of the last delivered event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    /// RFC 3339.
    #[serde(default)]
    pub updated_at: String,
    /// RFC 3339, Salesforce's clock: events before it do not count (a first start with `latest`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// RFC 3339: after a lost position, events up to this time may have been delivered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_until: Option<String>,
    /// Records that were read again, by id, each with the RFC 3339 time as of which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub read_as_of: BTreeMap<String, String>,
}

impl Position {
    /// # Errors
    /// When the stored bytes are not a position: somebody else writes to the topic.
    pub fn parse(route: &str, value: &[u8]) -> Result<Self, Failure> {
        let unreadable = || {
            Failure::new(ErrorKind::Unknown, format!("route {route}: its stored position cannot be read"))
                .remedy("something else wrote to the positions topic: store a good position for the route, then restart it")
        };
        let position: Self = serde_json::from_slice(value).map_err(|error| unreadable().caused_by(error))?;
        if position
            .replay_id
            .as_deref()
            .is_some_and(|id| hex::decode(id).is_err())
        {
            return Err(unreadable());
        }
        Ok(position)
    }

    pub fn to_json(&self) -> Vec<u8> {
        // Strings and lists of strings always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The replay id's bytes; [`Position::parse`] has checked the hex.
    pub fn replay_bytes(&self) -> Option<Bytes> {
        self.replay_id
            .as_deref()
            .and_then(|id| hex::decode(id).ok())
            .map(Bytes::from)
    }

    pub fn view(&self) -> PositionView {
        PositionView {
            replay_id: self.replay_id.clone(),
            event_time: self.event_time.clone(),
            updated_at: Some(self.updated_at.clone()),
        }
    }
}

/// RFC 3339 → epoch milliseconds.
pub fn millis(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_way_through_kafka() {
        let position = Position {
            replay_id: Some("0000000000000010db4d0000".to_owned()),
            after: vec!["a/1/Account/CREATE/001".to_owned()],
            topic: "/data/AccountChangeEvent".to_owned(),
            org_id: "00D000000000001EAA".to_owned(),
            event_time: Some("2026-11-24T01:30:00.000Z".to_owned()),
            updated_at: "2026-11-24T01:30:01.000Z".to_owned(),
            since: None,
            replayed_until: None,
            read_as_of: [("001".to_owned(), "2026-11-24T01:30:00.000Z".to_owned())].into(),
        };
        assert_eq!(Position::parse("r", &position.to_json()).unwrap(), position);
    }

    #[test]
    fn what_is_no_position_halts_and_names_the_route() {
        for value in [&b"nonsense"[..], br#"{"replay_id":"xyz"}"#] {
            let failure = Position::parse("accounts", value).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Unknown);
            assert!(failure.message.contains("accounts"));
        }
    }

    #[test]
    fn times_are_read_back() {
        assert_eq!(millis("1970-01-01T00:00:02.005Z"), Some(2005));
    }
}
