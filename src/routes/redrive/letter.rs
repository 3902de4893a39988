//! One dead letter as people and commands see it, and the choice among them. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::kafka::ConsumedRecord;
use crate::routes::dead_letter::{OUTPUT, place_of, told_text};

/// Where a dead letter lies: `<topic>[<partition>]@<offset>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: one is written topic[partition]@offset, as `dead-letters list` shows it")]
pub struct NoAddress(String);

impl Address {
    pub fn of(record: &ConsumedRecord) -> Self {
        Self {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
            offset: record.offset,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        match place_of(text) {
            Some((topic, partition @ 0.., offset @ 0..)) if !topic.is_empty() => Ok(Self {
                topic: topic.into(),
                partition,
                offset,
            }),
            _ => Err(NoAddress(text.to_owned())),
        }
    }
}

/// A dead letter with what its headers tell. A record that somebody else wrote to the topic tells nothing.
#[derive(Debug, Clone)]
pub struct Letter {
    pub record: ConsumedRecord,
}

impl Letter {
    pub const fn new(record: ConsumedRecord) -> Self {
        Self { record }
    }

    pub fn address(&self) -> Address {
        Address::of(&self.record)
    }

    pub fn route(&self) -> &str {
        self.told("sfbridge_route")
    }

    pub fn kind(&self) -> &str {
        self.told("sfbridge_error_kind")
    }

    pub fn error(&self) -> &str {
        self.told("sfbridge_error")
    }

    /// A place in Kafka, or a Salesforce topic and the replay id.
    pub fn source(&self) -> &str {
        self.told("sfbridge_source")
    }

    pub fn failed_at(&self) -> &str {
        self.told("sfbridge_failed_at")
    }

    pub fn attempts(&self) -> &str {
        self.told("sfbridge_attempts")
    }

    /// Of a Salesforce event that one output alone could not have: that output's topic as configured.
    pub fn output(&self) -> Option<&str> {
        told_text(&self.record, OUTPUT)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        told_text(&self.record, name)
    }

    fn told(&self, name: &str) -> &str {
        self.header(name).unwrap_or_default()
    }
}

/// Which dead letters are meant. What is not given leaves none out.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub route: Option<String>,
    pub kind: Option<String>,
    /// Milliseconds since the epoch, by the time of the dead letter; this one is in.
    pub since_ms: Option<i64>,
    /// This one is not.
    pub until_ms: Option<i64>,
    /// Empty: any.
    pub addresses: BTreeSet<Address>,
}

impl Selection {
    pub fn wants(&self, letter: &Letter) -> bool {
        let at_ms = letter.record.timestamp_ms;
        self.route.as_deref().is_none_or(|route| letter.route() == route)
            && self.kind.as_deref().is_none_or(|kind| letter.kind() == kind)
            && self
                .since_ms
                .is_none_or(|since| at_ms.is_some_and(|at| at >= since))
            && self
                .until_ms
                .is_none_or(|until| at_ms.is_some_and(|at| at < until))
            && (self.addresses.is_empty() || self.addresses.contains(&letter.address()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn letter(route: &str, kind: &str, at_ms: i64, offset: i64) -> Letter {
        let header =
            |name: &str, value: &str| (name.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())));
        Letter::new(ConsumedRecord {
            topic: "dead".into(),
            partition: 2,
            offset,
            timestamp_ms: Some(at_ms),
            key: None,
            value: None,
            headers: vec![
                header("sfbridge_route", route),
                header("sfbridge_error_kind", kind),
                header("sfbridge_error", "Account: REQUIRED_FIELD_MISSING: m"),
            ],
        })
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let address: Address = "sfbridge.crm.dead-letters[3]@17".parse().unwrap();
        assert_eq!(
            (&*address.topic, address.partition, address.offset),
            ("sfbridge.crm.dead-letters", 3, 17)
        );
        assert_eq!(address.to_string(), "sfbridge.crm.dead-letters[3]@17");
        for wrong in [
            "",
            "t",
            "t[1]",
            "t@3",
            "[0]@1",
            "t[-1]@3",
            "t[1]@-3",
            "t[1]@x",
            "/data/X@00ff",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_selection_leaves_out_what_any_part_of_it_does_not_name() {
        let letter = letter("orders", "poison", 1_000, 7);
        let all = Selection::default();
        assert!(all.wants(&letter));
        let with = |change: &dyn Fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selection.wants(&letter)
        };
        assert!(with(&|s| s.route = Some("orders".to_owned())));
        assert!(!with(&|s| s.route = Some("order".to_owned())));
        assert!(!with(&|s| s.kind = Some("contract".to_owned())));
        assert!(with(&|s| s.since_ms = Some(1_000)));
        assert!(!with(&|s| s.since_ms = Some(1_001)));
        assert!(!with(&|s| s.until_ms = Some(1_000)));
        assert!(with(&|s| s.until_ms = Some(1_001)));
        assert!(with(&|s| s.addresses = ["dead[2]@7".parse().unwrap()].into()));
        assert!(!with(&|s| s.addresses = ["dead[2]@8".parse().unwrap()].into()));
    }
}
