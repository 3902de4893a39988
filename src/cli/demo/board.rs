//! What is known while a demonstration runs: the ledger, and what the reader saw of each route.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::ledger::{Ledger, Verdict};
use super::plan::Plan;
use crate::simulator::{Refused, Simulator};

/// Latencies that quantiles are taken of: the last seconds at lively rates, the last minutes at quiet ones.
const LATENCIES: usize = 512;

/// A record as the reader saw it; of its value nothing.
#[derive(Debug, Clone)]
pub(super) struct SeenRecord {
    pub(super) topic: String,
    pub(super) key: String,
    /// `ce_id`.
    pub(super) id: String,
    /// `ce_type` without the common prefix.
    pub(super) event: String,
    /// `ce_sfroute`.
    pub(super) route: String,
    /// The event's own time, epoch milliseconds.
    pub(super) event_ms: Option<i64>,
    /// When it was read.
    pub(super) read_ms: i64,
}

/// What the reader saw of one route.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteView {
    pub(super) records: u64,
    pub(super) last: Option<SeenRecord>,
    latencies: VecDeque<i64>,
    /// When the first record was read, epoch milliseconds.
    flowing_since_ms: Option<i64>,
}

impl RouteView {
    fn add(&mut self, record: SeenRecord) {
        self.records += 1;
        let since = *self.flowing_since_ms.get_or_insert(record.read_ms);
        // How long an event waited for the start of the bridge says nothing about the bridge.
        if let Some(event) = record.event_ms.filter(|event| *event >= since) {
            if self.latencies.len() == LATENCIES {
                self.latencies.pop_front();
            }
            self.latencies.push_back(record.read_ms - event);
        }
        self.last = Some(record);
    }

    /// Median and 99th percentile of the latest latencies.
    pub(super) fn quantiles_ms(&self) -> Option<(i64, i64)> {
        let mut sorted: Vec<i64> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let at = |hundredths: usize| sorted.get((sorted.len() * hundredths / 100).min(sorted.len() - 1));
        if sorted.is_empty() {
            return None;
        }
        Some((*at(50)?, *at(99)?))
    }
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    routes: HashMap<String, RouteView>,
    /// Salesforce topics, and how far their logs are taken into the ledger.
    sources: Vec<(&'static str, u64)>,
}

/// The shared handle: the reader writes, the view and the end of the session read.
#[derive(Debug, Clone)]
pub(super) struct Board {
    org: Arc<Simulator>,
    state: Arc<Mutex<State>>,
}

impl Board {
    pub(super) fn new(org: Arc<Simulator>, plan: &Plan) -> Self {
        let state = State {
            ledger: Ledger::default(),
            routes: HashMap::new(),
            sources: plan.routes.iter().map(|route| (route.from, 0)).collect(),
        };
        Self {
            org,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Takes a record that was read. What the org sent is taken first where it must be: a record is in the
    /// org's log before it can be in Kafka.
    pub(super) fn read(&self, record: SeenRecord) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if !state.ledger.knows(&record.id) {
            state.catch_up(&self.org)?;
        }
        let key = format!("{} {}", record.topic, record.key);
        state.ledger.read(&record.id, &key);
        state.routes.entry(record.route.clone()).or_default().add(record);
        Ok(())
    }

    /// The ledger's verdict on everything that the org has sent by now.
    pub(super) fn verdict(&self) -> Result<Verdict, Refused> {
        let mut state = self.state.lock();
        state.catch_up(&self.org)?;
        Ok(state.ledger.verdict())
    }

    pub(super) fn route(&self, name: &str) -> RouteView {
        self.state.lock().routes.get(name).cloned().unwrap_or_default()
    }
}

impl State {
    fn catch_up(&mut self, org: &Simulator) -> Result<(), Refused> {
        for (topic, place) in &mut self.sources {
            loop {
                let (events, next) = org.sent(topic, *place)?;
                if events.is_empty() {
                    break;
                }
                *place = next;
                self.ledger.sent(events);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_latest_latencies() {
        let mut view = RouteView::default();
        assert_eq!(view.quantiles_ms(), None);
        let record = |event_ms, read_ms| SeenRecord {
            topic: String::new(),
            key: String::new(),
            id: String::new(),
            event: String::new(),
            route: String::new(),
            event_ms: Some(event_ms),
            read_ms,
        };
        view.add(record(0, 5_000));
        assert_eq!(view.quantiles_ms(), None, "it waited for the start");
        for latency in (0..1_000).chain(1..=100) {
            view.add(record(6_000, 6_000 + latency));
        }
        // The last 512: 588..1000 and 1..=100.
        assert_eq!(view.quantiles_ms(), Some((744, 994)));
        assert_eq!(view.records, 1_101);
    }
}
