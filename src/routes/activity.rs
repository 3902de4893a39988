//! What a route did lately, for whoever looks: its last states, its last deliveries, its last events and dead letters, how
//! long they took, what lags. All of it is bounded, and nothing of it is a payload or a key, unless
//! `admin.show_payloads` asks for payloads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::Serialize;

use super::state::{RouteState, StateName};
use crate::runtime::clock;
use crate::telemetry::latency::Latencies;

/// States that are remembered: some days of a route that is well, some hours of one that is not.
const STATES_MAX: usize = 50;
/// Deliveries that are remembered.
const DELIVERIES_MAX: usize = 50;
/// Payloads that are remembered where they are asked for: with [`PAYLOAD_BYTES_MAX`] 80 KB a route at most.
const PAYLOADS_MAX: usize = 20;
/// What is shown of one. Longer ones are cut, visibly.
const PAYLOAD_BYTES_MAX: usize = 4096;
/// So that a route at full speed does not write each event as JSON for nobody.
const PAYLOAD_EVERY_MS: i64 = 50;
/// Events that are remembered, and as many dead letters: with [`TEXT_BYTES_MAX`] 40 KB a route at most.
pub const EVENTS_MAX: usize = 20;
/// An id, a name or an error that is longer came from somebody who means no good.
const TEXT_BYTES_MAX: usize = 500;

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

/// What became of one event, or of one record to Salesforce. No key and no value: a key may be a field's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// RFC 3339: when it was finished.
    pub at: String,
    /// The `ce_id` of its first record; of an event that was published its id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The object that changed, or the event's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// `CREATE`, `UPDATE` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<&'static str>,
    /// How many records it names, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<usize>,
    /// A replay id, or `topic[partition]@offset`.
    pub place: String,
    /// What was done in Salesforce: `upsert`, `delete`, `publish` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    pub outcome: EventOutcome,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    #[default]
    Written,
    Filtered,
    /// Of several outputs, one at least could not have it.
    DeadLetter,
}

/// One dead letter. Salesforce's own sentences about a record may quote its values: they are in the letter alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterView {
    /// RFC 3339: the letter's own time.
    pub at: String,
    pub kind: &'static str,
    /// The `ce_id` of the event's first record, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A replay id, or `topic[partition]@offset`.
    pub place: String,
    /// The one output that could not have it, by its topic as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Where it is the bridge's own sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What shows it.
    pub command: String,
}

/// The command that lists the letters of a millisecond, with their addresses. Kafka gives the letter its address, this
/// its time.
pub fn letter_command(route: &str, at_ms: i64) -> String {
    format!(
        "sfbridge dead-letters list --route {route} --since {} --until {}",
        clock::rfc3339_ms(at_ms),
        clock::rfc3339_ms(at_ms + 1)
    )
}

/// What an event or a record carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayloadView {
    /// RFC 3339: when it was decoded.
    pub at: String,
    /// A replay id, or `topic[partition]@offset`.
    pub place: String,
    /// JSON text; one that was cut ends with `…`.
    pub value: String,
    /// The length of the whole value, of one that was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_bytes: Option<usize>,
}

#[derive(Debug, Default)]
struct Payloads {
    latest: VecDeque<PayloadView>,
    last_ms: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Default)]
pub struct Activity {
    states: Mutex<VecDeque<RouteState>>,
    deliveries: Mutex<VecDeque<DeliveryView>>,
    events: Mutex<VecDeque<EventView>>,
    dead_letters: Mutex<VecDeque<DeadLetterView>>,
    /// Nowhere to put one unless they are asked for.
    payloads: OnceLock<Mutex<Payloads>>,
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

    /// The last events of a batch, the latest last. Asked for with at most [`EVENTS_MAX`]: more are made for nobody.
    pub fn finished(&self, events: impl ExactSizeIterator<Item = EventView>) {
        if events.len() == 0 {
            return;
        }
        let mut ring = self.events.lock();
        for mut event in events {
            event.id = event.id.map(cut);
            event.event = event.event.map(cut);
            push(&mut ring, event, EVENTS_MAX);
        }
    }

    /// The last events, the latest first.
    pub fn events(&self) -> Vec<EventView> {
        self.events.lock().iter().rev().cloned().collect()
    }

    /// These are stored, the latest last.
    pub fn dead_lettered(&self, letters: impl IntoIterator<Item = DeadLetterView>) {
        let mut ring = self.dead_letters.lock();
        for mut letter in letters {
            letter.id = letter.id.map(cut);
            letter.error = letter.error.map(cut);
            push(&mut ring, letter, EVENTS_MAX);
        }
    }

    /// The last dead letters, the latest first.
    pub fn dead_letters(&self) -> Vec<DeadLetterView> {
        self.dead_letters.lock().iter().rev().cloned().collect()
    }

    /// From now on payloads are kept: `admin.show_payloads`.
    pub fn keep_payloads(&self) {
        self.payloads.get_or_init(Mutex::default);
    }

    /// What was decoded at `place` is `value()`, JSON text: asked for only where payloads are kept and the last one
    /// was not just now.
    pub fn decoded(
        &self,
        now_ms: i64,
        place: impl FnOnce() -> String,
        value: impl FnOnce() -> Option<String>,
    ) {
        let Some(payloads) = self.payloads.get() else {
            return;
        };
        let mut payloads = payloads.lock();
        if (now_ms - payloads.last_ms).abs() < PAYLOAD_EVERY_MS {
            return;
        }
        let Some(mut text) = value() else {
            return;
        };
        payloads.last_ms = now_ms;
        let whole_bytes = (text.len() > PAYLOAD_BYTES_MAX).then_some(text.len());
        if whole_bytes.is_some() {
            text.truncate(text.floor_char_boundary(PAYLOAD_BYTES_MAX));
            text.shrink_to_fit();
            text.push('…');
        }
        let view = PayloadView {
            at: clock::rfc3339_ms(now_ms),
            place: place(),
            value: text,
            whole_bytes,
        };
        push(&mut payloads.latest, view, PAYLOADS_MAX);
    }

    /// The last payloads, the latest first; `None` where they are not kept.
    pub fn payloads(&self) -> Option<Vec<PayloadView>> {
        let payloads = self.payloads.get()?.lock();
        Some(payloads.latest.iter().rev().cloned().collect())
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

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.shrink_to_fit();
        text.push('…');
    }
    text
}

/// The oldest one makes room.
pub(in crate::routes) fn push<T>(ring: &mut VecDeque<T>, item: T, max: usize) {
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
    fn no_payload_is_made_or_kept_unless_it_is_asked_for() {
        let activity = Activity::default();
        activity.decoded(
            1_000,
            || unreachable!("nobody asked"),
            || unreachable!("nobody asked"),
        );
        assert_eq!(activity.payloads(), None);
    }

    #[test]
    fn payloads_are_bounded_in_number_length_and_pace_and_what_is_cut_says_so() {
        let activity = Activity::default();
        activity.keep_payloads();
        let keep = |at_ms: i64, value: &str| {
            activity.decoded(at_ms, || at_ms.to_string(), || Some(value.to_owned()));
        };
        for n in 1..=30 {
            keep(n * 1_000, "{}");
            keep(n * 1_000 + PAYLOAD_EVERY_MS - 1, "too soon");
        }
        // Two bytes a letter: the cut falls between two.
        let long = format!("\"{}\"", "ä".repeat(4_000));
        keep(31_000, &long);
        let shown = activity.payloads().unwrap();
        assert_eq!(shown.len(), PAYLOADS_MAX);
        assert!(shown.iter().all(|payload| payload.value != "too soon"));
        assert_eq!(shown[0].whole_bytes, Some(long.len()));
        assert!(shown[0].value.ends_with('…') && shown[0].value.len() <= PAYLOAD_BYTES_MAX + 3);
        assert_eq!((&*shown[1].place, &*shown[1].value), ("30000", "{}"));
        assert_eq!(shown[1].whole_bytes, None);
    }

    #[test]
    fn the_last_events_and_dead_letters_are_bounded_in_number_and_length() {
        let activity = Activity::default();
        let event = |n: usize| EventView {
            id: Some(format!("{n}/{}", "ä".repeat(TEXT_BYTES_MAX))),
            ..EventView::default()
        };
        activity.finished((0..EVENTS_MAX).map(event));
        activity.finished((EVENTS_MAX..EVENTS_MAX + 3).map(event));
        let events = activity.events();
        assert_eq!(events.len(), EVENTS_MAX);
        for (shown, n) in events.iter().zip((3..EVENTS_MAX + 3).rev()) {
            let id = shown.id.as_deref().unwrap();
            assert!(
                id.starts_with(&format!("{n}/")) && id.len() < TEXT_BYTES_MAX + 4,
                "{id}"
            );
        }
        let letter = |n: usize| DeadLetterView {
            at: n.to_string(),
            kind: "poison",
            id: None,
            place: String::new(),
            output: None,
            error: Some("e".repeat(9_000)),
            command: letter_command("orders", 1),
        };
        activity.dead_lettered((0..50).map(letter));
        let letters = activity.dead_letters();
        assert_eq!((letters.len(), &*letters[0].at), (EVENTS_MAX, "49"));
        assert!(
            letters
                .iter()
                .all(|letter| letter.error.as_ref().unwrap().len() < TEXT_BYTES_MAX + 4)
        );
    }

    #[test]
    fn an_event_shows_what_is_known_of_it() {
        let event = EventView {
            at: "now".to_owned(),
            place: "orders[0]@7".to_owned(),
            operation: Some("delete"),
            outcome: EventOutcome::DeadLetter,
            ..EventView::default()
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"at":"now","place":"orders[0]@7","operation":"delete","outcome":"dead_letter"}"#
        );
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
