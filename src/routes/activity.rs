//! What a route did lately, for whoever looks: its last states, its last deliveries, how long they took, what lags.
//! All of it is bounded, and nothing of it is a payload or a key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::state::{RouteState, StateName};
use crate::runtime::clock;
use crate::telemetry::latency::Latencies;

/// States that are remembered: some days of a route that is well, some hours of one that is not.
const STATES_MAX: usize = 50;
/// Deliveries that are remembered.
const DELIVERIES_MAX: usize = 50;

/// A transaction to Kafka, or one record to Salesforce. Counts of zero are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// RFC 3339.
    pub at: String,
    /// Up to where: a replay id, or `topic[partition]@offset`.
    pub place: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub written: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub filtered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub dead_letters: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Default)]
pub struct Activity {
    states: Mutex<VecDeque<RouteState>>,
    deliveries: Mutex<VecDeque<DeliveryView>>,
    /// Records of each source partition that are not yet committed.
    lags: Mutex<BTreeMap<(Arc<str>, i32), i64>>,
    /// From the event's own time to its commit.
    pub latencies: Latencies,
}

impl Activity {
    /// The route entered a state. Going between streaming and idle is one state here, or it would be all of them.
    pub(super) fn state(&self, state: &RouteState) {
        let is_well = |name| matches!(name, StateName::Streaming | StateName::Idle);
        let mut states = self.states.lock();
        if states
            .back()
            .is_some_and(|last| is_well(last.name) && is_well(state.name))
        {
            return;
        }
        let entered = RouteState {
            since: clock::rfc3339_ms(clock::now_ms()),
            ..state.clone()
        };
        push(&mut states, entered, STATES_MAX);
    }

    /// The last states, the latest first.
    pub fn states(&self) -> Vec<RouteState> {
        self.states.lock().iter().rev().cloned().collect()
    }

    pub fn delivered(&self, delivery: DeliveryView) {
        push(&mut self.deliveries.lock(), delivery, DELIVERIES_MAX);
    }

    /// The last deliveries, the latest first.
    pub fn deliveries(&self) -> Vec<DeliveryView> {
        self.deliveries.lock().iter().rev().cloned().collect()
    }

    /// `None`: the partition is not ours any more.
    pub fn lag_is(&self, partition: &(Arc<str>, i32), lag: Option<i64>) {
        let mut lags = self.lags.lock();
        match lag {
            Some(lag) => lags.insert(partition.clone(), lag),
            None => lags.remove(partition),
        };
    }

    /// Of all partitions together; `None` where there are none.
    pub fn lag(&self) -> Option<i64> {
        let lags = self.lags.lock();
        (!lags.is_empty()).then(|| lags.values().sum())
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, max: usize) {
    if ring.len() == max {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: StateName, why: &str) -> RouteState {
        RouteState {
            name,
            since: String::new(),
            why: Some(why.to_owned()),
            remedy: None,
            until: None,
        }
    }

    #[test]
    fn the_last_states_are_kept_and_quiet_ones_count_once() {
        let activity = Activity::default();
        for _ in 0..10 {
            activity.state(&state(StateName::Streaming, ""));
            activity.state(&state(StateName::Idle, ""));
        }
        assert_eq!(activity.states().len(), 1);
        for n in 0..STATES_MAX {
            activity.state(&state(StateName::Waiting, &n.to_string()));
        }
        let states = activity.states();
        assert_eq!(states.len(), STATES_MAX);
        assert_eq!(states[0].why.as_deref(), Some("49"));
        assert!(states.iter().all(|state| state.name == StateName::Waiting));
    }

    #[test]
    fn the_lag_is_that_of_the_partitions_that_are_ours() {
        let activity = Activity::default();
        assert_eq!(activity.lag(), None);
        let (one, two) = (("t".into(), 0), ("t".into(), 1));
        activity.lag_is(&one, Some(3));
        activity.lag_is(&two, Some(4));
        assert_eq!(activity.lag(), Some(7));
        activity.lag_is(&one, None);
        assert_eq!(activity.lag(), Some(4));
    }

    #[test]
    fn a_delivery_shows_what_it_counts() {
        let delivery = DeliveryView {
            at: "now".to_owned(),
            place: "orders[0]@7".to_owned(),
            written: 1,
            ..DeliveryView::default()
        };
        let json = serde_json::to_string(&delivery).unwrap();
        assert_eq!(json, r#"{"at":"now","place":"orders[0]@7","written":1}"#);
    }
}
