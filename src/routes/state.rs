//! What a route is doing, since when, why, and what a person should do: one handle that the route's loop
//! writes and that the admin listener and the supervisor read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::activity::Activity;
use super::trouble::{Trouble, TroubleView};
use crate::error::{ErrorKind, FailureView};
use crate::runtime::clock;
use crate::runtime::retry::Tried;
use crate::telemetry::metrics::{Metrics, RouteLabel, StateLabels, SubjectLabels};

/// Salesforce keeps events for 72 hours; a position older than that is lost.
pub const RETENTION_SECONDS: f64 = 72.0 * 3600.0;

/// The states of a route, as `/api/routes` and the metric `route_state` name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Starting,
    Streaming,
    /// Connected, with nothing to deliver.
    Idle,
    Waiting,
    Paused,
    Draining,
    Halted,
}

impl StateName {
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::Streaming,
        Self::Idle,
        Self::Waiting,
        Self::Paused,
        Self::Draining,
        Self::Halted,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Streaming => "streaming",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Halted => "halted",
        }
    }
}

/// A state with its story. What does not apply is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteState {
    pub name: StateName,
    /// RFC 3339.
    pub since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// RFC 3339: when a waiting route goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What `/api/routes` shows of a route's position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PositionView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// A contract that a route's records stand under, as `/api/routes` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContractView {
    pub topic: String,
    /// The record's name: a topic may hold several.
    pub event: String,
    pub subject: String,
    /// Of the registry: what stands in front of every record.
    pub schema_id: u32,
    /// Of the subject, where the registry has told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Salesforce's id of the event's schema.
    pub salesforce_schema: String,
}

/// An object of which changes are missing that nobody can name, as `/api/routes` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreshReadView {
    pub entity: String,
    /// RFC 3339: the time of the transaction that was too large.
    pub since: String,
    /// What reads the object's records again.
    pub command: String,
}

/// Counters of one route since the process started.
#[derive(Debug, Default)]
pub struct Counters {
    pub events_received: AtomicU64,
    pub records_written: AtomicU64,
    pub filtered: AtomicU64,
    pub dead_letters: AtomicU64,
    pub gaps: AtomicU64,
    /// Received from Salesforce and not yet committed to Kafka.
    pub in_hand: AtomicU64,
    /// Transactions committed.
    pub commits: AtomicU64,
}

/// Whether this process is the one that runs the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assignment {
    Pending,
    Here,
    Elsewhere,
}

/// The gap event at which a route with `on_gap: halt` stopped, by its `ce_id`.
#[derive(Debug, Default)]
enum HeldGap {
    #[default]
    None,
    HaltedBefore(String),
    ResumedPast(String),
}

#[derive(Debug)]
struct Inner {
    state: RouteState,
    position: PositionView,
    /// All since the start: as many as the events have had schemas.
    contracts: Vec<ContractView>,
    /// The first overflow of each object since the start.
    fresh_reads: Vec<FreshReadView>,
    gap: HeldGap,
    assignment: Assignment,
    trouble: Option<Trouble>,
}

/// The shared handle of one route.
#[derive(Debug)]
pub struct RouteStatus {
    pub name: Arc<str>,
    pub direction: &'static str,
    pub counters: Counters,
    pub activity: Activity,
    inner: Mutex<Inner>,
    /// When the other side last answered, epoch milliseconds; the start of the run counts as an answer.
    last_answer_ms: AtomicI64,
    /// When the stored position was last known to be current, epoch milliseconds; 0: never.
    position_ms: AtomicI64,
    metrics: Metrics,
}

impl RouteStatus {
    pub fn new(name: &str, direction: &'static str, metrics: Metrics) -> Arc<Self> {
        let status = Arc::new(Self {
            name: name.into(),
            direction,
            counters: Counters::default(),
            activity: Activity::default(),
            inner: Mutex::new(Inner {
                state: RouteState {
                    name: StateName::Starting,
                    since: clock::rfc3339_ms(clock::now_ms()),
                    why: Some("waiting for Kafka to assign the bridge's routes".to_owned()),
                    remedy: None,
                    until: None,
                },
                position: PositionView::default(),
                contracts: Vec::new(),
                fresh_reads: Vec::new(),
                gap: HeldGap::None,
                assignment: Assignment::Pending,
                trouble: None,
            }),
            last_answer_ms: AtomicI64::new(clock::now_ms()),
            position_ms: AtomicI64::new(0),
            metrics,
        });
        status.activity.state(&status.state());
        status.show(StateName::Starting);
        status
    }

    fn show(&self, current: StateName) {
        for name in StateName::ALL {
            self.metrics
                .route_state
                .get_or_create(&StateLabels {
                    route: Arc::clone(&self.name),
                    state: name.as_str().into(),
                })
                .set(i64::from(name == current));
        }
    }

    fn set(&self, name: StateName, why: Option<String>, remedy: Option<String>, until_ms: Option<i64>) {
        let mut inner = self.inner.lock();
        let until = until_ms.map(clock::rfc3339_ms);
        let same = inner.state.name == name && inner.state.why == why;
        if same && inner.state.until == until {
            return;
        }
        let (quiet, shown) = (
            |name| matches!(name, StateName::Streaming | StateName::Idle),
            inner.state.name,
        );
        if quiet(name) && quiet(shown) {
            tracing::debug!(route = %self.name, state = name.as_str(), "route state");
        } else if !same && name != StateName::Halted {
            tracing::info!(route = %self.name, state = name.as_str(), why = why.as_deref(), remedy = remedy.as_deref(), "route state");
        }
        let since = if inner.state.name == name {
            inner.state.since.clone()
        } else {
            clock::rfc3339_ms(clock::now_ms())
        };
        inner.state = RouteState {
            name,
            since,
            why,
            remedy,
            until,
        };
        if !same {
            self.activity.state(&inner.state);
        }
        drop(inner);
        self.show(name);
    }

    pub fn starting(&self, why: &str) {
        self.set(StateName::Starting, Some(why.to_owned()), None, None);
    }

    pub fn streaming(&self) {
        self.set(StateName::Streaming, None, None, None);
    }

    pub fn idle(&self) {
        self.set(StateName::Idle, None, None, None);
    }

    pub fn paused(&self) {
        self.set(
            StateName::Paused,
            Some("paused by an operator".to_owned()),
            Some(format!("resume it: POST /api/routes/{}/resume", self.name)),
            None,
        );
    }

    pub fn draining(&self) {
        self.set(StateName::Draining, None, None, None);
    }

    /// Something is waited for that is no failure.
    pub fn waiting(&self, why: &str, remedy: Option<&str>, until_ms: Option<i64>) {
        self.set(
            StateName::Waiting,
            Some(why.to_owned()),
            remedy.map(str::to_owned),
            until_ms,
        );
    }

    /// A failure that passes: the route waits, until when where that is known.
    pub fn fails(&self, failure: FailureView, tried: Tried, until_ms: Option<i64>) {
        let (why, remedy) = (failure.text(), failure.remedy.clone());
        self.failed(failure, tried);
        self.set(StateName::Waiting, Some(why), remedy, until_ms);
    }

    /// An error begins, or goes on.
    fn failed(&self, failure: FailureView, tried: Tried) {
        let mut inner = self.inner.lock();
        let is_over = matches!(inner.state.name, StateName::Streaming | StateName::Idle);
        let before = inner.trouble.take().filter(|_| !is_over);
        inner.trouble = Some(Trouble::after(before, failure, tried, clock::now_ms()));
    }

    /// The wait is over: the state from before it, unless another one has come since.
    pub fn waited(&self, before: RouteState) {
        if self.state_name() == StateName::Waiting {
            let until_ms = before.until.as_deref().and_then(super::position::millis);
            self.set(before.name, before.why, before.remedy, until_ms);
        }
    }

    /// The route halts for a reason that has no failure of its own.
    pub fn halted(&self, why: &str, remedy: Option<&str>) {
        let failure = FailureView {
            kind: ErrorKind::Unknown,
            message: why.to_owned(),
            causes: Vec::new(),
            remedy: remedy.map(str::to_owned),
        };
        self.halts(failure, Tried::default());
    }

    /// A failure that a person must mend.
    pub fn halts(&self, failure: FailureView, tried: Tried) {
        let (why, remedy) = (failure.text(), failure.remedy.clone());
        tracing::error!(route = %self.name, why, remedy, "route halted");
        self.failed(failure, tried);
        self.set(StateName::Halted, Some(why), remedy, None);
    }

    /// The group gave the route to this process.
    pub fn assigned_here(&self) {
        self.inner.lock().assignment = Assignment::Here;
        self.answered();
    }

    /// The group gave the route to another instance.
    pub fn assigned_elsewhere(&self) {
        self.inner.lock().assignment = Assignment::Elsewhere;
        self.set(
            StateName::Waiting,
            Some("another instance of this bridge runs the route".to_owned()),
            None,
            None,
        );
    }

    pub fn runs_elsewhere(&self) -> bool {
        self.inner.lock().assignment == Assignment::Elsewhere
    }

    pub fn runs_here(&self) -> bool {
        self.inner.lock().assignment == Assignment::Here
    }

    /// The other side gave an event or a keep-alive.
    pub fn answered(&self) {
        self.last_answer_ms.store(clock::now_ms(), Ordering::Relaxed);
    }

    pub fn last_answer_ms(&self) -> i64 {
        self.last_answer_ms.load(Ordering::Relaxed)
    }

    pub fn state_name(&self) -> StateName {
        self.inner.lock().state.name
    }

    pub fn state(&self) -> RouteState {
        self.inner.lock().state.clone()
    }

    pub fn position(&self) -> PositionView {
        self.inner.lock().position.clone()
    }

    pub fn contracts(&self) -> Vec<ContractView> {
        self.inner.lock().contracts.clone()
    }

    /// Records of the event in this topic stand under this contract.
    pub fn contract(&self, contract: ContractView) {
        let mut inner = self.inner.lock();
        let same =
            |known: &ContractView| known.topic == contract.topic && known.schema_id == contract.schema_id;
        if inner.contracts.iter().any(same) {
            return;
        }
        let subject: Arc<str> = contract.subject.as_str().into();
        inner.contracts.push(contract);
        let of_subject = inner.contracts.iter().filter(|known| *known.subject == *subject);
        let versions = i64::try_from(of_subject.count()).unwrap_or(i64::MAX);
        drop(inner);
        let labels = SubjectLabels {
            route: Arc::clone(&self.name),
            subject,
        };
        self.metrics
            .contract_versions
            .get_or_create(&labels)
            .set(versions);
    }

    pub fn fresh_reads(&self) -> Vec<FreshReadView> {
        self.inner.lock().fresh_reads.clone()
    }

    /// The object must be read once more.
    pub fn read_afresh(&self, entity: &str, since: &str, command: &str) {
        let reads = &mut self.inner.lock().fresh_reads;
        if !reads.iter().any(|known| known.entity == entity) {
            reads.push(FreshReadView {
                entity: entity.to_owned(),
                since: since.to_owned(),
                command: command.to_owned(),
            });
        }
    }

    /// The route halts before the gap event with this `ce_id`.
    pub fn halts_before(&self, ce_id: &str) {
        self.inner.lock().gap = HeldGap::HaltedBefore(ce_id.to_owned());
    }

    /// A person resumes the route: past the gap event that it halted before, if it did.
    pub fn resume_past_gap(&self) {
        let gap = &mut self.inner.lock().gap;
        if let HeldGap::HaltedBefore(ce_id) = gap {
            *gap = HeldGap::ResumedPast(std::mem::take(ce_id));
        }
    }

    /// Whether a person resumed the route past the gap event with this `ce_id`.
    pub fn resumes_past(&self, ce_id: &str) -> bool {
        matches!(&self.inner.lock().gap, HeldGap::ResumedPast(past) if past == ce_id)
    }

    /// The last error and when it began, RFC 3339.
    pub fn last_error(&self) -> Option<(String, String)> {
        let inner = self.inner.lock();
        let trouble = inner.trouble.as_ref()?;
        Some((trouble.text(), clock::rfc3339_ms(trouble.since_ms())))
    }

    /// The last error with its causes, what was tried and what happens next.
    pub fn trouble(&self, now_ms: i64) -> Option<TroubleView> {
        let inner = self.inner.lock();
        let trouble = inner.trouble.as_ref()?;
        Some(trouble.view(&inner.state, now_ms))
    }

    /// A position was committed (or read at the start): `at_ms` is when it was current.
    pub fn positioned(&self, view: PositionView, at_ms: i64) {
        self.inner.lock().position = view;
        self.position_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Events were committed so long after their own time, in seconds.
    pub fn delivered_after(&self, seconds: impl IntoIterator<Item = f64>) {
        let label = RouteLabel {
            route: Arc::clone(&self.name),
        };
        let histogram = self.metrics.end_to_end_seconds.get_or_create(&label);
        for seconds in seconds {
            histogram.observe(seconds);
            self.activity.latencies.observe(seconds);
        }
    }

    /// How old the stored position is, in seconds, where this process keeps it.
    pub fn position_age_seconds(&self, now_ms: i64) -> Option<f64> {
        let at = self.position_ms.load(Ordering::Relaxed);
        if at == 0 || !self.runs_here() {
            return None;
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "an age in milliseconds is far below 2^53"
        )]
        let age = (now_ms - at).max(0) as f64 / 1000.0;
        Some(age)
    }

    /// Brings the gauges that age by themselves up to date; called at each scrape.
    pub fn refresh_gauges(&self, now_ms: i64) {
        let label = RouteLabel {
            route: Arc::clone(&self.name),
        };
        let Some(age) = self.position_age_seconds(now_ms) else {
            // Another instance keeps it now: a number that stands still here would hide or raise alarms.
            self.metrics.position_age_seconds.remove(&label);
            self.metrics.retention_left_seconds.remove(&label);
            return;
        };
        self.metrics.position_age_seconds.get_or_create(&label).set(age);
        self.metrics
            .retention_left_seconds
            .get_or_create(&label)
            .set(RETENTION_SECONDS - age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_since_when_and_why_and_leaves_out_what_does_not_apply() {
        let status = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        status.streaming();
        let json = serde_json::to_value(status.state()).unwrap();
        assert_eq!(json["name"], "streaming");
        assert!(json["since"].is_string());
        assert!(json.get("why").is_none() && json.get("remedy").is_none() && json.get("until").is_none());
    }

    #[test]
    fn the_same_state_again_keeps_its_since() {
        let status = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        status.waiting("kafka is away", None, Some(1));
        let since = status.state().since;
        status.waiting("kafka is away", None, Some(2_000));
        assert_eq!(status.state().since, since);
        assert_eq!(status.state().until.as_deref(), Some("1970-01-01T00:00:02.000Z"));
    }

    #[test]
    fn after_a_wait_the_state_from_before_is_shown_again() {
        let status = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        status.streaming();
        let before = status.state();
        status.waiting("the registry is away", None, Some(1));
        status.waited(before.clone());
        assert_eq!(status.state_name(), StateName::Streaming);
        status.paused();
        status.waited(before);
        assert_eq!(status.state_name(), StateName::Paused, "not over what came since");
    }

    #[test]
    fn one_state_is_shown_by_the_metric() {
        let metrics = Metrics::new();
        let status = RouteStatus::new("accounts", "to_kafka", metrics.clone());
        status.halted("no", None);
        let text = metrics.render();
        assert!(
            text.contains("sfbridge_route_state{route=\"accounts\",state=\"halted\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("sfbridge_route_state{route=\"accounts\",state=\"starting\"} 0"),
            "{text}"
        );
    }

    #[test]
    fn an_instance_that_lost_the_route_tells_no_age_of_its_position() {
        let metrics = Metrics::new();
        let status = RouteStatus::new("accounts", "to_kafka", metrics.clone());
        status.assigned_here();
        status.positioned(PositionView::default(), 1000);
        let shown = |metrics: &Metrics| metrics.render().matches("_seconds{route=\"accounts\"}").count();
        status.refresh_gauges(2000);
        assert_eq!(shown(&metrics), 2, "{}", metrics.render());
        status.assigned_elsewhere();
        status.refresh_gauges(3000);
        assert_eq!(shown(&metrics), 0, "{}", metrics.render());
    }
}
