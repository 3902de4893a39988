//! The last hour of each route: a sample every ten seconds, kept in memory and gone with the process. Beside it the
//! last hours of what is used up, seldomer ([`super::trends`]).
//!
//! What a route does now is told from snapshots of its counters of the last minute.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::AdminState;
use super::trends::Trends;
use crate::routes::state::RouteStatus;
use crate::runtime::clock;
use crate::telemetry::latency::LatencyCounts;
use crate::telemetry::metrics::Metrics;

const SNAPSHOT_EVERY: Duration = Duration::from_secs(2);
/// A minute, which the quantiles are of.
const SNAPSHOTS_MAX: usize = 31;
/// Ten seconds, which the rate is of.
const SNAPSHOTS_A_SAMPLE: usize = 5;
/// An hour.
const SAMPLES_MAX: usize = 360;

/// A route's counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    at: Instant,
    events: u64,
    latencies: LatencyCounts,
}

/// How a route does. What nothing was measured of is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Pace {
    /// Received, over the last ten seconds.
    events_per_second: f64,
    /// From the event's own time to its commit, over the last minute: at most a fifth too high.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_p50_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_p99_seconds: Option<f64>,
}

/// Ten seconds of a route.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: i64,
    events_per_second: f64,
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    lag: Option<i64>,
}

#[derive(Debug, Default)]
struct RouteHistory {
    /// The oldest first.
    snapshots: VecDeque<Snapshot>,
    samples: VecDeque<Sample>,
    /// Snapshots since the last sample.
    since_sample: usize,
}

impl RouteHistory {
    fn add(&mut self, snapshot: Snapshot, at_ms: i64, lag: Option<i64>) {
        if self.snapshots.len() == SNAPSHOTS_MAX {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(snapshot);
        self.since_sample += 1;
        if self.since_sample <= SNAPSHOTS_A_SAMPLE {
            return;
        }
        // This snapshot ends one sample and begins the next.
        self.since_sample = 1;
        let pace = self.pace(SNAPSHOTS_A_SAMPLE);
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at_ms,
            events_per_second: pace.events_per_second,
            p50_seconds: pace.latency_p50_seconds,
            p99_seconds: pace.latency_p99_seconds,
            lag,
        });
    }

    /// The rate of the last ten seconds, the quantiles of so many snapshots.
    fn pace(&self, quantiles_of: usize) -> Pace {
        let Some(last) = self.snapshots.back() else {
            return Pace::default();
        };
        let back = |steps: usize| {
            let at = self.snapshots.len().saturating_sub(steps + 1);
            self.snapshots.get(at).unwrap_or(last)
        };
        let rate_from = back(SNAPSHOTS_A_SAMPLE);
        let elapsed = last.at.duration_since(rate_from.at).as_secs_f64();
        let latencies = last.latencies.since(&back(quantiles_of).latencies);
        #[allow(clippy::cast_precision_loss, reason = "events of ten seconds")]
        let events = last.events.saturating_sub(rate_from.events) as f64;
        Pace {
            events_per_second: if elapsed > 0.0 { events / elapsed } else { 0.0 },
            latency_p50_seconds: latencies.quantile_seconds(0.5),
            latency_p99_seconds: latencies.quantile_seconds(0.99),
        }
    }
}

/// Of all routes, in their order. Some 50 KB a route.
#[derive(Debug)]
pub struct History {
    routes: Box<[Mutex<RouteHistory>]>,
    pub(super) trends: Trends,
}

impl History {
    pub fn new(routes: usize) -> Self {
        Self {
            routes: (0..routes).map(|_| Mutex::default()).collect(),
            trends: Trends::new(routes),
        }
    }

    fn look(&self, routes: &[Arc<RouteStatus>], at_ms: i64) {
        for (history, route) in self.routes.iter().zip(routes) {
            let snapshot = Snapshot {
                at: Instant::now(),
                events: route.counters.events_received.load(Ordering::Relaxed),
                latencies: route.activity.latencies.counts(),
            };
            history.lock().add(snapshot, at_ms, route.activity.lag());
        }
    }

    pub(super) fn pace(&self, route: usize) -> Pace {
        self.routes
            .get(route)
            .map_or_else(Pace::default, |history| history.lock().pace(SNAPSHOTS_MAX))
    }

    /// A route's samples later than `since_ms`, a list for each of their parts.
    fn samples(&self, route: usize, since_ms: i64) -> Value {
        let Some(history) = self.routes.get(route) else {
            return json!({});
        };
        let history = history.lock();
        let samples = || history.samples.iter().filter(|sample| sample.at_ms > since_ms);
        json!({
            "at_ms": samples().map(|sample| sample.at_ms).collect::<Vec<_>>(),
            "events_per_second": samples().map(|sample| sample.events_per_second).collect::<Vec<_>>(),
            "latency_p50_seconds": samples().map(|sample| sample.p50_seconds).collect::<Vec<_>>(),
            "latency_p99_seconds": samples().map(|sample| sample.p99_seconds).collect::<Vec<_>>(),
            "lag": samples().map(|sample| sample.lag).collect::<Vec<_>>(),
        })
    }
}

/// Looks at the routes again and again, for ever.
pub(super) async fn keep(history: Arc<History>, routes: Arc<[Arc<RouteStatus>]>, metrics: Metrics) {
    let mut ticks = interval(SNAPSHOT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now_ms = clock::now_ms();
        history.look(&routes, now_ms);
        history.trends.look(&routes, &metrics.limits(), now_ms);
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Since {
    /// Epoch milliseconds.
    #[serde(default)]
    since: i64,
}

pub(super) async fn history(State(state): State<AdminState>, Query(query): Query<Since>) -> Json<Value> {
    let names = state.routes.iter().enumerate();
    let routes: Map<String, Value> = names
        .map(|(at, route)| (route.name.to_string(), state.history.samples(at, query.since)))
        .collect();
    Json(json!({ "step_seconds": 10, "routes": routes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::latency::Latencies;

    fn filled(snapshots: u64) -> RouteHistory {
        let latencies = Latencies::default();
        let (mut history, start) = (RouteHistory::default(), Instant::now());
        for n in 0..snapshots {
            latencies.observe(if n == 0 { 1000.0 } else { 0.1 });
            let snapshot = Snapshot {
                at: start + SNAPSHOT_EVERY * u32::try_from(n).unwrap(),
                events: n * 20,
                latencies: latencies.counts(),
            };
            history.add(snapshot, i64::try_from(n).unwrap() * 2000, Some(7));
        }
        history
    }

    #[test]
    fn the_pace_is_told_from_two_snapshots() {
        assert_eq!(RouteHistory::default().pace(SNAPSHOTS_MAX), Pace::default());
        assert_eq!(filled(1).pace(SNAPSHOTS_MAX).events_per_second, 0.0);
        let pace = filled(8).pace(SNAPSHOTS_MAX);
        assert!((pace.events_per_second - 10.0).abs() < 1e-9, "{pace:?}");
        let p99 = pace.latency_p99_seconds.unwrap();
        assert!((0.1..0.12).contains(&p99), "what was before is left out: {p99}");
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = filled(3 * 1800);
        assert_eq!(history.samples.len(), SAMPLES_MAX);
        assert_eq!(history.snapshots.len(), SNAPSHOTS_MAX);
        let steps: Vec<i64> = history
            .samples
            .iter()
            .zip(history.samples.iter().skip(1))
            .map(|(one, next)| next.at_ms - one.at_ms)
            .collect();
        assert!(steps.iter().all(|step| *step == 10_000), "{steps:?}");
    }

    #[test]
    fn only_later_samples_are_asked_for() {
        let history = History {
            routes: Box::new([Mutex::new(filled(31))]),
            trends: Trends::new(1),
        };
        let all = history.samples(0, 0);
        assert_eq!(
            all["at_ms"],
            json!([10_000, 20_000, 30_000, 40_000, 50_000, 60_000])
        );
        assert_eq!(all["lag"][0], 7);
        assert_eq!(history.samples(0, 50_000)["at_ms"], json!([60_000]));
    }
}
