//! Gap reports: whatever may be missing is said in data, too, in the topic `sfbridge.<bridge>.gaps`.

use bytes::Bytes;
use serde::Serialize;

use super::cloud_event::header;
use crate::kafka::Record;
use crate::runtime::clock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    LostPosition,
    /// A GAP_* event: Salesforce knows that records changed and not how.
    Gap,
    /// A GAP_OVERFLOW event: so many changes that Salesforce stopped naming them.
    Overflow,
    /// An event whose dead letter had to leave its value out.
    TooLarge,
    /// A person set the position: what lies between may be missing.
    SkippedByOperator,
}

impl GapKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostPosition => "lost_position",
            Self::Gap => "gap",
            Self::Overflow => "overflow",
            Self::TooLarge => "too_large",
            Self::SkippedByOperator => "skipped_by_operator",
        }
    }
}

/// One report, field for field. What does not apply is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapReport {
    pub route: String,
    /// As configured.
    pub topic: String,
    pub kind: GapKind,
    pub entity: Option<String>,
    pub record_ids: Vec<String>,
    /// Lower-case hex.
    pub from_replay_id: Option<String>,
    /// RFC 3339.
    pub from_event_time: Option<String>,
    /// RFC 3339: when the route went on.
    pub resumed_at: String,
    /// What was done: the policy's word.
    pub resolution: String,
    /// Of a Kafka source alone: the partition, and the offsets of the first record that is missing and of the first
    /// that is not.
    #[serde(flatten)]
    pub offsets: Option<LostRange>,
}

/// Where records of a Kafka source are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostRange {
    pub partition: i32,
    pub from_offset: Option<i64>,
    pub to_offset: Option<i64>,
}

impl GapReport {
    pub fn new(route: &str, topic: &str, kind: GapKind, resolution: &str) -> Self {
        Self {
            route: route.to_owned(),
            topic: topic.to_owned(),
            kind,
            entity: None,
            record_ids: Vec::new(),
            from_replay_id: None,
            from_event_time: None,
            resumed_at: clock::rfc3339_ms(clock::now_ms()),
            resolution: resolution.to_owned(),
            offsets: None,
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        // Strings and lists of strings always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The report as it is written to the gaps topic.
    pub fn record(&self, topic: &str) -> Record {
        Record {
            topic: topic.into(),
            partition: None,
            key: Some(Bytes::copy_from_slice(self.route.as_bytes())),
            value: Some(self.to_json().into()),
            headers: vec![header("content-type", Bytes::from_static(b"application/json"))],
            timestamp_ms: clock::now_ms(),
        }
    }
}

/// The topic of a bridge's gap reports.
pub fn topic(bridge: &str) -> String {
    format!("sfbridge.{bridge}.gaps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_every_field_of_the_contract() {
        let report = GapReport::new(
            "accounts",
            "/data/AccountChangeEvent",
            GapKind::LostPosition,
            "earliest",
        );
        let json: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
        let mut fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "entity",
                "from_event_time",
                "from_replay_id",
                "kind",
                "record_ids",
                "resolution",
                "resumed_at",
                "route",
                "topic"
            ]
        );
        assert_eq!(json["kind"], "lost_position");
    }
}
