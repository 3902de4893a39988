//! The table of metrics: each named once, with its type, labels, unit, meaning, and what to look at when it moves.
//!
//! `docs/metrics.md` is made from it. A new metric is one entry here: `Metrics` then has a field of that name.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{FloatGauge, IntGauge};

/// One metric, as the documentation names it.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Without the prefix `sfbridge_` and, for a counter, without `_total`.
    pub name: &'static str,
    pub kind: MetricKind,
    /// In the order in which they are written.
    pub labels: &'static [&'static str],
    /// One for each label.
    pub values: &'static [Values],
    pub unit: &'static str,
    pub meaning: &'static str,
    /// What a person looks at when it is high, or low where that is the bad end.
    pub look_at: &'static str,
}

impl Definition {
    /// The name that Prometheus knows: of a histogram, what `_bucket`, `_sum` and `_count` are added to.
    pub fn full_name(&self) -> String {
        let suffix = if self.kind == MetricKind::Counter {
            "_total"
        } else {
            ""
        };
        format!("sfbridge_{}{suffix}", self.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a label may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    OneOf(&'static [&'static str]),
    /// Any value of this sort: bounded by the configuration, the topics or the program.
    Any(&'static str),
}

use Values::{Any, OneOf};

const ROUTE: Values = Any("a route's name");

/// The sorts of the table, beside `Counter` and `Histogram` (of seconds).
type Integer = IntGauge;
type Float = FloatGauge;

/// How one metric of a family is made, and what the documentation calls its kind.
trait Sort: Sized {
    const KIND: MetricKind;
    fn make() -> Self;
}

impl Sort for Counter {
    const KIND: MetricKind = MetricKind::Counter;
    fn make() -> Self {
        Self::default()
    }
}

impl Sort for Integer {
    const KIND: MetricKind = MetricKind::Gauge;
    fn make() -> Self {
        Self::default()
    }
}

impl Sort for Float {
    const KIND: MetricKind = MetricKind::Gauge;
    fn make() -> Self {
        Self::default()
    }
}

impl Sort for Histogram {
    const KIND: MetricKind = MetricKind::Histogram;
    fn make() -> Self {
        seconds()
    }
}

/// From a millisecond (a good local commit) to an hour (a backlog), three buckets a decade.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
        3600.0,
    ])
}

macro_rules! labels {
    ($($name:ident { $($label:ident),* })+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $(pub $label: Arc<str>),* }

        impl $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),*];
        }
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
    NoLabels {}
}

macro_rules! table {
    ($($name:ident: $sort:ident of $labels:ident [$($values:expr),*] in $unit:literal,
        $meaning:literal, $look_at:literal;)+) => {
        /// A family of each metric.
        pub struct Table {
            $(#[doc = $meaning] pub $name: Family<$labels, $sort, fn() -> $sort>,)+
        }

        impl Table {
            pub(super) fn register(registry: &mut Registry) -> Self {
                $(
                    let $name = Family::new_with_constructor(<$sort as Sort>::make as fn() -> $sort);
                    registry.register(stringify!($name), $meaning, $name.clone());
                )+
                Self { $($name),+ }
            }
        }

        /// Every metric, in the order of the documentation.
        pub const DEFINITIONS: &[Definition] = &[$(
            Definition {
                name: stringify!($name),
                kind: <$sort as Sort>::KIND,
                labels: $labels::NAMES,
                values: &[$($values),*],
                unit: $unit,
                meaning: $meaning,
                look_at: $look_at,
            },
        )+];
    };
}

table! {
    events_received: Counter of KindLabels [ROUTE, OneOf(&["event", "keep_alive", "record"])] in "events",
        "Taken from the other side: events and keep-alives of Salesforce, records of Kafka",
        "Rises while `records_written_total` does not: the route's state says what it waits for.";
    records_written: Counter of OutcomeLabels [ROUTE, OneOf(&["written", "filtered", "repeated", "dead_letter"])] in "records",
        "What became of them: delivered; `filtered` by an output's filter (once an output), as own writes, or before the route's first start; `repeated`: recognised and not written again; stored as a dead letter",
        "`dead_letter`: `dead_letters_total` and `sfbridge dead-letters list`. `repeated`: streams are opened again often, see `reconnects_total`.";
    bytes: Counter of RouteLabel [ROUTE] in "bytes",
        "Bytes of the values written to Kafka, or of the values taken from it",
        "Against the broker's quota and the network.";
    end_to_end_seconds: Histogram of RouteLabel [ROUTE] in "seconds",
        "From the event's (or the record's) own time until it is committed on the other side",
        "Where `batch_commit_seconds` is low: Salesforce delivers late, or the route catches up after a pause. Else Kafka.";
    batch_commit_seconds: Histogram of RouteLabel [ROUTE] in "seconds",
        "Routes to Kafka: from the first record produced until its transaction is committed",
        "The brokers: acknowledgements, the transaction coordinator, the topics' replicas.";
    position_age_seconds: Float of RouteLabel [ROUTE] in "seconds",
        "Routes to Kafka: how old the event (or the keep-alive) is that the stored position is at; a quiet route's is below 270",
        "The route's state: it is paused, halted or waiting.";
    retention_left_seconds: Float of RouteLabel [ROUTE] in "seconds",
        "Routes to Kafka: 72 hours minus the position's age; at 0 Salesforce has deleted what was not read",
        "Low is bad: let the route run before it reaches 0, else `on_lost_position` decides.";
    consumer_lag: Integer of PartitionLabels [ROUTE, Any("a topic"), Any("a number")] in "records",
        "Routes to Salesforce: records of a source partition that are not yet committed",
        "The org's limits (`salesforce_limit_remaining`), lock errors, Bulk API from `salesforce.bulk_threshold` on; one partition alone: one key is hot.";
    route_state: Integer of StateLabels [ROUTE, OneOf(&["starting", "streaming", "idle", "waiting", "paused", "draining", "halted"])] in "0 or 1",
        "1 for the state that the route is in, 0 for the others",
        "`halted`: a person must act; `waiting` for long: somebody may have to. `sfbridge status` shows why and the remedy.";
    dead_letters: Counter of KindLabels [ROUTE, OneOf(&["poison", "contract"])] in "records",
        "Dead letters, by the kind of error",
        "`sfbridge dead-letters list --route …`; after mending the cause `dead-letters redrive`.";
    gaps: Counter of KindLabels [ROUTE, OneOf(&["lost_position", "gap", "overflow", "too_large", "skipped_by_operator"])] in "gaps",
        "Known losses, by kind, also those that were read again; each is a record in `sfbridge.<bridge>.gaps`",
        "The record in the gaps topic names the objects, the times and what was done.";
    reconnects: Counter of CauseLabels [ROUTE, OneOf(&["completed", "silent", "transient", "throttled", "unauthenticated", "lost_position"])] in "streams",
        "Event streams opened again, by the cause of their end: `completed` by Salesforce, `silent` for 300 seconds, or the kind of failure",
        "`completed` in numbers: the route does not ask, because Kafka does not take writes. `silent`: the network drops idle connections.";
    token_refreshes: Counter of Outcome [OneOf(&["ok", "transient", "throttled", "unauthenticated", "denied", "misconfigured", "unknown"])] in "logins",
        "Logins at Salesforce, by outcome",
        "`unauthenticated` and `denied`: the app's secret, its policies, the user. `ok` in numbers: the session time-out is short, or the session is revoked.";
    salesforce_limit_remaining: Integer of Limit [OneOf(&["DailyApiRequests", "DailyBulkApiBatches", "DailyDeliveredPlatformEvents", "DailyStandardVolumePlatformEvents", "HourlyPublishedPlatformEvents", "HourlyPublishedStandardVolumePlatformEvents", "MonthlyPlatformEvents", "MonthlyPlatformEventsUsageEntitlement"])] in "as the limit counts",
        "What is left of an org limit (`limit` is Salesforce's name), as Salesforce last told: `DailyApiRequests` with every answer of REST, all every five minutes while a route runs",
        "Low is bad: routes wait when it is used up. Who else uses the org's allocation?";
    delivery_allocation_exhausted_seconds: Float of NoLabels [] in "seconds",
        "Until the org's daily delivery allocation is used up at this pace; absent while it lasts, or while too little is known",
        "Which events come that nobody needs: narrow the channel or its filter in Salesforce, or buy the add-on.";
    api_requests_exhausted_seconds: Float of NoLabels [] in "seconds",
        "Until the org's daily API requests are used up at this pace; absent while they last, or while too little is known",
        "Who else makes requests (Setup, API Usage); `via: bulk` for large loads; `salesforce.api_reserve`.";
    retention_exhausted_seconds: Float of RouteLabel [ROUTE] in "seconds",
        "Routes to Kafka: until Salesforce drops what the stored position is at, at the pace at which it falls behind; absent while it does not",
        "The route's state and its last error on the status page: let it run before it reaches 0.";
    contract_versions: Integer of SubjectLabels [ROUTE, Any("a subject of the registry")] in "versions",
        "Versions of a subject that the route has prepared since its start",
        "The org's schema changes often: `sfbridge contracts diff`.";
    build_info: Integer of Build [Any("the program's version")] in "1",
        "The running version",
        "Two versions for long: a rollout got stuck.";
}
