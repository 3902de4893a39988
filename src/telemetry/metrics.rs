//! Every metric, named once: its name, unit, labels and meaning. All are prefixed `sfbridge_`.
//!
//! Labels are few and bounded: routes come from the configuration, kinds and outcomes from enums.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::runtime::clock;

/// A gauge of seconds or ratios.
pub type FloatGauge = Gauge<f64, AtomicU64>;
type IntGauge = Gauge<i64, AtomicI64>;

macro_rules! labels {
    ($($name:ident { $($label:ident),+ })+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $(pub $label: Arc<str>),+ }
    )+};
}

labels! {
    RouteLabel { route }
    KindLabels { route, kind }
    OutcomeLabels { route, outcome }
    CauseLabels { route, cause }
    StateLabels { route, state }
    SubjectLabels { route, subject }
    PartitionLabels { route, topic, partition }
    Outcome { outcome }
    Limit { limit }
    Build { version }
}

/// One of the org's limits, as Salesforce last told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitView {
    /// Salesforce's name: `DailyApiRequests`.
    pub name: &'static str,
    pub max: u64,
    pub remaining: u64,
    /// RFC 3339.
    pub seen: String,
}

/// The program's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

pub struct Families {
    registry: Registry,
    pub events_received: Family<KindLabels, Counter>,
    pub records_written: Family<OutcomeLabels, Counter>,
    pub bytes: Family<RouteLabel, Counter>,
    pub end_to_end_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    pub batch_commit_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    pub position_age_seconds: Family<RouteLabel, FloatGauge>,
    pub retention_left_seconds: Family<RouteLabel, FloatGauge>,
    pub route_state: Family<StateLabels, IntGauge>,
    pub dead_letters: Family<KindLabels, Counter>,
    pub gaps: Family<KindLabels, Counter>,
    pub reconnects: Family<CauseLabels, Counter>,
    pub token_refreshes: Family<Outcome, Counter>,
    pub consumer_lag: Family<PartitionLabels, IntGauge>,
    pub salesforce_limit_remaining: Family<Limit, IntGauge>,
    pub contract_versions: Family<SubjectLabels, IntGauge>,
    limits: Mutex<BTreeMap<&'static str, LimitView>>,
}

impl std::ops::Deref for Metrics {
    type Target = Families;
    fn deref(&self) -> &Families {
        &self.0
    }
}

/// From a millisecond (a good local commit) to an hour (a backlog), three buckets a decade.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
        3600.0,
    ])
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sfbridge");
        macro_rules! family {
            ($name:literal, $help:literal) => {{
                let family = Family::default();
                registry.register($name, $help, family.clone());
                family
            }};
            ($name:literal, $help:literal, $make:expr) => {{
                let family = Family::new_with_constructor($make as fn() -> Histogram);
                registry.register($name, $help, family.clone());
                family
            }};
        }
        let events_received = family!("events_received", "Events taken from the other side, by kind");
        let records_written = family!(
            "records_written",
            "Records by outcome: written, filtered, dead_letter"
        );
        let bytes = family!("bytes", "Bytes of values written");
        let end_to_end_seconds = family!(
            "end_to_end_seconds",
            "From the event's own time to its commit",
            seconds
        );
        let batch_commit_seconds = family!(
            "batch_commit_seconds",
            "From the first record produced to the commit",
            seconds
        );
        let position_age_seconds = family!("position_age_seconds", "Age of the stored position");
        let retention_left_seconds = family!(
            "retention_left_seconds",
            "72 hours minus the position's age: at 0 events are lost"
        );
        let route_state = family!(
            "route_state",
            "1 for the state that the route is in, 0 for the others"
        );
        let dead_letters = family!("dead_letters", "Dead letters, by kind of error");
        let gaps = family!("gaps", "Known losses, by kind");
        let reconnects = family!("reconnects", "Streams opened again, by cause");
        let token_refreshes = family!("token_refreshes", "Logins at Salesforce, by outcome");
        let consumer_lag = family!(
            "consumer_lag",
            "Records of a source partition that are not yet committed"
        );
        let salesforce_limit_remaining =
            family!("salesforce_limit_remaining", "What is left of an org limit");
        let contract_versions = family!(
            "contract_versions",
            "Versions of a subject that the route has prepared since its start"
        );
        let build_info: Family<Build, IntGauge> = family!("build_info", "The running version");
        build_info
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION").into(),
            })
            .set(1);
        Self(Arc::new(Families {
            registry,
            events_received,
            records_written,
            bytes,
            end_to_end_seconds,
            batch_commit_seconds,
            position_age_seconds,
            retention_left_seconds,
            route_state,
            dead_letters,
            gaps,
            reconnects,
            token_refreshes,
            consumer_lag,
            salesforce_limit_remaining,
            contract_versions,
            limits: Mutex::default(),
        }))
    }

    /// Salesforce told what is left of a limit.
    pub fn limit(&self, name: &'static str, max: u64, remaining: u64) {
        let label = Limit { limit: name.into() };
        self.salesforce_limit_remaining
            .get_or_create(&label)
            .set(i64::try_from(remaining).unwrap_or(i64::MAX));
        let view = LimitView {
            name,
            max,
            remaining,
            seen: clock::rfc3339_ms(clock::now_ms()),
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
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
