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
    pub const ALL: [Self; 5] = [
        Self::LostPosition,
        Self::Gap,
        Self::Overflow,
        Self::TooLarge,
        Self::SkippedByOperator,
    ];

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
    use crate::contracts::asyncapi::gap as gap_document;
    use crate::telemetry::traces::TRACEPARENT;

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

    #[test]
    fn the_document_for_readers_has_every_field_header_and_kind_of_a_report() {
        let report = |kind, offsets| GapReport {
            route: "orders".to_owned(),
            topic: "crm.orders".to_owned(),
            kind,
            entity: Some("Order".to_owned()),
            record_ids: vec!["801SB000000000001A".to_owned()],
            from_replay_id: Some("00".to_owned()),
            from_event_time: Some("2026-11-24T01:30:00.000Z".to_owned()),
            resumed_at: "2026-11-24T01:30:00.000Z".to_owned(),
            resolution: "earliest".to_owned(),
            offsets,
        };
        let written = |report: &GapReport| {
            let json: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
            sorted(json.as_object().unwrap().keys())
        };
        let document = gap_document();
        let payload = &document["payload"];
        let range = LostRange {
            partition: 3,
            from_offset: Some(4),
            to_offset: Some(9),
        };
        let from_kafka = report(GapKind::LostPosition, Some(range));
        assert_eq!(
            written(&from_kafka),
            sorted(payload["properties"].as_object().unwrap().keys())
        );
        let from_salesforce = report(GapKind::Gap, None);
        let required = payload["required"].as_array().unwrap().iter();
        assert_eq!(
            written(&from_salesforce),
            sorted(required.map(|name| name.as_str().unwrap()))
        );
        let record = from_kafka.record("gaps");
        let mut headers: Vec<&str> = record.headers.iter().map(|(name, _)| &**name).collect();
        headers.push(TRACEPARENT);
        assert_eq!(
            sorted(headers),
            sorted(document["headers"]["properties"].as_object().unwrap().keys())
        );
        let kinds = GapKind::ALL.map(GapKind::name);
        let documented = payload["properties"]["kind"]["enum"].as_array().unwrap().iter();
        assert_eq!(
            sorted(kinds),
            sorted(documented.map(|kind| kind.as_str().unwrap()))
        );
        for kind in GapKind::ALL {
            let json: serde_json::Value = serde_json::from_slice(&report(kind, None).to_json()).unwrap();
            assert_eq!(json["kind"], kind.name());
        }
    }

    fn sorted(names: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
        let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }
}
