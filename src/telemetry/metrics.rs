//! The program's metrics. The table names each once; here are the registry around it and what is computed. All are
//! prefixed `sfbridge_`.
//!
//! Labels are few and bounded: routes come from the configuration, kinds and outcomes from enums.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::runtime::clock;
pub use table::{
    Build, CauseLabels, DEFINITIONS, Definition, KindLabels, Limit, MetricKind, NoLabels, Outcome,
    OutcomeLabels, PartitionLabels, RouteLabel, StateLabels, SubjectLabels, Table, Values,
};

/// A gauge of seconds or ratios.
pub type FloatGauge = Gauge<f64, AtomicU64>;
type IntGauge = Gauge<i64, AtomicI64>;

/// One of the org's limits, as Salesforce last told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitView {
    /// Salesforce's name: `DailyApiRequests`.
    pub name: &'static str,
    pub max: u64,
    pub remaining: u64,
    /// RFC 3339.
    pub seen: String,
    /// The same, epoch milliseconds.
    #[serde(skip)]
    pub seen_ms: i64,
}

/// The program's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

struct Families {
    registry: Registry,
    table: Table,
    limits: Mutex<BTreeMap<&'static str, LimitView>>,
}

impl std::ops::Deref for Metrics {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.0.table
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sfbridge");
        let table = Table::register(&mut registry);
        table
            .build_info
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION").into(),
            })
            .set(1);
        Self(Arc::new(Families {
            registry,
            table,
            limits: Mutex::default(),
        }))
    }

    /// Salesforce told what is left of a limit.
    pub fn limit(&self, name: &'static str, max: u64, remaining: u64) {
        let label = Limit { limit: name.into() };
        self.salesforce_limit_remaining
            .get_or_create(&label)
            .set(i64::try_from(remaining).unwrap_or(i64::MAX));
        let seen_ms = clock::now_ms();
        let view = LimitView {
            name,
            max,
            remaining,
            seen: clock::rfc3339_ms(seen_ms),
            seen_ms,
        };
        self.0.limits.lock().insert(name, view);
    }

    /// What is known of the org's limits, by name.
    pub fn limits(&self) -> Vec<LimitView> {
        self.0.limits.lock().values().cloned().collect()
    }

    /// The text form that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_its_values_and_every_metric_says_what_to_look_at() {
        for metric in DEFINITIONS {
            assert_eq!(metric.labels.len(), metric.values.len(), "{}", metric.name);
            for text in [metric.unit, metric.meaning, metric.look_at] {
                assert!(!text.is_empty(), "{}", metric.name);
            }
        }
    }
}
