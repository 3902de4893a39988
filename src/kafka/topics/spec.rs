//! What topics the bridge makes look like. Values only.

use std::fmt::Write as _;

use crate::config::KafkaConfig;
use crate::kafka::client::RECORD_BYTES_MAX;

/// Data, dead letters and gap reports are kept at least as long: a reader that was down over a weekend and a
/// holiday finds them, and so does a record whose event time lies seven days back.
pub(super) const RETENTION_MIN_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Positions: several, so that one route's open transaction delays few others that start.
const POSITIONS_PARTITIONS: i32 = 16;
/// Routes: many more than instances, so that the shares come out even.
const ROUTES_PARTITIONS: i32 = 64;

/// Own writes: the events of a stream are kept for three days (CDC guide), and none older comes.
const WRITES_RETENTION_MS: i64 = 4 * 24 * 60 * 60 * 1000;
/// A reader is through with the whole topic long before.
const WRITES_TOMBSTONES_MS: i64 = 60 * 60 * 1000;

/// How a topic is made when it is missing, and the command that a person would make it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kafka) struct TopicSpec {
    pub(super) partitions: i32,
    pub(super) replication_factor: i32,
    pub(super) config: Vec<(&'static str, String)>,
}

impl TopicSpec {
    /// Records of events. `broker_retention_ms` is what the brokers keep by default, if they told.
    pub(super) fn data(kafka: &KafkaConfig, broker_retention_ms: Option<i64>) -> Self {
        Self::kept(kafka, kafka.partitions, broker_retention_ms)
    }

    /// Gap reports are few and read as a whole.
    pub(super) fn gaps(kafka: &KafkaConfig, broker_retention_ms: Option<i64>) -> Self {
        Self::kept(kafka, 1, broker_retention_ms)
    }

    fn kept(kafka: &KafkaConfig, partitions: i32, broker_retention_ms: Option<i64>) -> Self {
        let mut config = vec![
            ("cleanup.policy", "delete".to_owned()),
            ("max.message.bytes", RECORD_BYTES_MAX.to_string()),
        ];
        // Longer defaults are left to the brokers (negative: for ever).
        if broker_retention_ms.is_none_or(|ms| (0..RETENTION_MIN_MS).contains(&ms)) {
            config.push(("retention.ms", RETENTION_MIN_MS.to_string()));
        }
        Self {
            partitions,
            replication_factor: kafka.replication_factor,
            config,
        }
    }

    pub(in crate::kafka) fn positions(kafka: &KafkaConfig) -> Self {
        Self::compacted(kafka, POSITIONS_PARTITIONS)
    }

    pub(in crate::kafka) fn routes(kafka: &KafkaConfig) -> Self {
        Self::compacted(kafka, ROUTES_PARTITIONS)
    }

    /// One partition: everybody applies what is written in the same order.
    pub(in crate::kafka) fn writes(kafka: &KafkaConfig) -> Self {
        let mut spec = Self::compacted(kafka, 1);
        spec.config
            .retain(|(key, _)| !matches!(*key, "cleanup.policy" | "segment.bytes"));
        spec.config.extend([
            ("cleanup.policy", "compact,delete".to_owned()),
            ("retention.ms", WRITES_RETENTION_MS.to_string()),
            ("delete.retention.ms", WRITES_TOMBSTONES_MS.to_string()),
            ("segment.bytes", (16 * 1024 * 1024).to_string()),
        ]);
        spec
    }

    /// Redriven dead letters: few, and read as a whole.
    pub(in crate::kafka) fn redriven(kafka: &KafkaConfig) -> Self {
        Self::compacted(kafka, 1)
    }

    pub(in crate::kafka) const fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Read from the beginning at every start: segments of 4 MiB, closed after ten minutes, and compaction
    /// from a tenth of repeats keep that to a few megabytes.
    fn compacted(kafka: &KafkaConfig, partitions: i32) -> Self {
        Self {
            partitions,
            replication_factor: kafka.replication_factor,
            config: vec![
                ("cleanup.policy", "compact".to_owned()),
                ("segment.bytes", (4 * 1024 * 1024).to_string()),
                ("segment.ms", (10 * 60 * 1000).to_string()),
                ("min.cleanable.dirty.ratio", "0.1".to_owned()),
            ],
        }
    }

    pub(in crate::kafka) fn command(&self, topic: &str, bootstrap_servers: &str) -> String {
        let mut command = format!(
            "kafka-topics --bootstrap-server {bootstrap_servers} --create --topic {topic} --partitions {}",
            self.partitions
        );
        if self.replication_factor > 0 {
            // Writing into a String cannot fail.
            let _ = write!(command, " --replication-factor {}", self.replication_factor);
        }
        for (key, value) in &self.config {
            let _ = write!(command, " --config {key}={value}");
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka() -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: "kafka:9092".into(),
            properties: std::collections::BTreeMap::new(),
            create_topics: true,
            partitions: 6,
            replication_factor: 3,
        }
    }

    fn retention(broker: Option<i64>) -> Option<String> {
        let spec = TopicSpec::data(&kafka(), broker);
        let found = spec.config.into_iter().find(|(key, _)| *key == "retention.ms")?;
        Some(found.1)
    }

    #[test]
    fn a_week_is_kept_or_longer_where_the_brokers_keep_longer() {
        let week = Some(RETENTION_MIN_MS.to_string());
        assert_eq!(retention(None), week);
        assert_eq!(retention(Some(3_600_000)), week);
        assert_eq!(retention(Some(30 * 24 * 3_600_000)), None);
        assert_eq!(retention(Some(-1)), None);
    }

    #[test]
    fn the_command_makes_the_same_topic() {
        assert_eq!(
            TopicSpec::gaps(&kafka(), Some(-1)).command("sfbridge.crm.gaps", "kafka:9092"),
            "kafka-topics --bootstrap-server kafka:9092 --create --topic sfbridge.crm.gaps --partitions 1 \
             --replication-factor 3 --config cleanup.policy=delete --config max.message.bytes=8388608"
        );
    }
}
