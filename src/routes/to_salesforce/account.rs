//! What a worker tells the outside: counters and metrics, at the moments they change.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::target::Outgoing;
use super::trace;
use super::worker::{Work, Worker};
use crate::config::{Operation, SalesforceTarget};
use crate::error::ErrorKind;
use crate::kafka::ConsumedRecord;
use crate::routes::activity::{
    DeadLetterView, DeliveryView, EVENTS_MAX, EventOutcome, EventView, letter_command,
};
use crate::routes::dead_letter::Reason;
use crate::routes::gap::GapKind;
use crate::routes::redrive::{Address, Outcome};
use crate::runtime::clock;
use crate::telemetry::metrics::{KindLabels, OutcomeLabels, PartitionLabels, RouteLabel};

impl Worker {
    pub(super) fn received(&mut self, records: &[ConsumedRecord]) {
        if records.is_empty() {
            return;
        }
        let count = records.len() as u64;
        self.in_hand += count;
        let status = &self.parts.route.status;
        status
            .counters
            .events_received
            .fetch_add(count, Ordering::Relaxed);
        status.counters.in_hand.fetch_add(count, Ordering::Relaxed);
        let labels = KindLabels {
            route: Arc::clone(&status.name),
            kind: "record".into(),
        };
        let metrics = &self.parts.route.shared.metrics;
        metrics.events_received.get_or_create(&labels).inc_by(count);
    }

    pub(super) fn filtered(&mut self, record: &ConsumedRecord) {
        self.out_of_hand(1);
        self.stream.finished(record, Outcome::Filtered);
        let counters = &self.parts.route.status.counters;
        counters.filtered.fetch_add(1, Ordering::Relaxed);
        self.count_outcome("filtered", 1);
    }

    /// What the filter or the mapping left out, for whoever looks.
    pub(super) fn tell_filtered(&self, offsets: &[i64]) {
        if offsets.is_empty() {
            return;
        }
        let (topic, partition) = &self.place;
        let at = clock::rfc3339_ms(clock::now_ms());
        let event = |offset: &i64| EventView {
            at: at.clone(),
            place: Address {
                topic: Arc::clone(topic),
                partition: *partition,
                offset: *offset,
            }
            .to_string(),
            outcome: EventOutcome::Filtered,
            ..EventView::default()
        };
        let activity = &self.parts.route.status.activity;
        activity.finished(latest(offsets).iter().map(event));
    }

    /// They are stored since `times`, epoch milliseconds.
    pub(super) fn dead_lettered(&mut self, dead: &[(ConsumedRecord, Reason)], times: &[i64]) {
        self.tell_dead_letters(dead, times);
        let count = dead.len() as u64;
        self.out_of_hand(count);
        let status = &self.parts.route.status;
        for (record, _) in dead {
            status.activity.delivered(DeliveryView {
                dead_letters: 1,
                ..place_of(record)
            });
        }
        status.counters.dead_letters.fetch_add(count, Ordering::Relaxed);
        self.count_outcome("dead_letter", count);
        let labels = KindLabels {
            route: Arc::clone(&status.name),
            kind: ErrorKind::Poison.name().into(),
        };
        let metrics = &self.parts.route.shared.metrics;
        metrics.dead_letters.get_or_create(&labels).inc_by(count);
    }

    /// Without the reason: Salesforce quotes values in what it says.
    fn tell_dead_letters(&self, dead: &[(ConsumedRecord, Reason)], times: &[i64]) {
        let status = &self.parts.route.status;
        let event = |(record, _): &(ConsumedRecord, Reason)| EventView {
            outcome: EventOutcome::DeadLetter,
            ..event_of(record)
        };
        status.activity.finished(latest(dead).iter().map(event));
        let letters = latest(dead).iter().zip(latest(times));
        status
            .activity
            .dead_lettered(letters.map(|((record, reason), at_ms)| DeadLetterView {
                at: clock::rfc3339_ms(*at_ms),
                kind: reason.kind.name(),
                id: None,
                place: Address::of(record).to_string(),
                output: None,
                error: None,
                command: letter_command(&status.name, *at_ms),
            }));
    }

    fn tell_written(&self, work: &[Work]) {
        let operation = match &self.parts.route.flow.to {
            SalesforceTarget::Event { .. } => "publish",
            SalesforceTarget::Object { operation, .. } => trace::name_of(*operation),
        };
        let event = |work: &Work| EventView {
            id: match &work.send {
                Outgoing::Event(event) => Some(event.id.clone()),
                Outgoing::Record { .. } | Outgoing::Delete(_) => None,
            },
            operation: Some(match &work.send {
                Outgoing::Delete(_) => trace::name_of(Operation::Delete),
                Outgoing::Event(_) | Outgoing::Record { .. } => operation,
            }),
            ..event_of(&work.record)
        };
        let activity = &self.parts.route.status.activity;
        activity.finished(latest(work).iter().map(event));
    }

    /// Records of one answer are in Salesforce.
    pub(super) fn account(&mut self, work: &[Work]) {
        self.tell_written(work);
        let records = || work.iter().map(|work| &work.record);
        let count = work.len() as u64;
        self.out_of_hand(count);
        let route = &self.parts.route;
        for record in records() {
            self.stream.finished(record, Outcome::Sent);
            route.status.activity.delivered(DeliveryView {
                written: 1,
                ..place_of(record)
            });
        }
        let counters = &route.status.counters;
        counters.records_written.fetch_add(count, Ordering::Relaxed);
        self.count_outcome("written", count);
        let label = RouteLabel {
            route: Arc::clone(&route.status.name),
        };
        let value_bytes = |record: &ConsumedRecord| record.value.as_ref().map_or(0, bytes::Bytes::len);
        let bytes: usize = records().map(value_bytes).sum();
        let metrics = &route.shared.metrics;
        metrics.bytes.get_or_create(&label).inc_by(bytes as u64);
        let now_ms = clock::now_ms();
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a delay")]
        let seconds = |at_ms: i64| (now_ms - at_ms).max(0) as f64 / 1000.0;
        let times = records().filter_map(|record| record.timestamp_ms);
        route.status.delivered_after(times.map(seconds));
    }

    pub(super) fn count_gap(&self, kind: GapKind) {
        let status = &self.parts.route.status;
        status.counters.gaps.fetch_add(1, Ordering::Relaxed);
        let labels = KindLabels {
            route: Arc::clone(&status.name),
            kind: kind.name().into(),
        };
        let metrics = &self.parts.route.shared.metrics;
        metrics.gaps.get_or_create(&labels).inc();
    }

    pub(super) fn show_lag(&self, lag: i64) {
        let metrics = &self.parts.route.shared.metrics;
        metrics.consumer_lag.get_or_create(&self.lag_labels()).set(lag);
        let activity = &self.parts.route.status.activity;
        activity.lag_is(&self.place, Some(lag));
    }

    /// The partition is another instance's now: its lag is not ours to tell, and what was in hand is given up.
    pub(super) fn left(&mut self) {
        let metrics = &self.parts.route.shared.metrics;
        metrics.consumer_lag.remove(&self.lag_labels());
        let activity = &self.parts.route.status.activity;
        activity.lag_is(&self.place, None);
        self.out_of_hand(self.in_hand);
        self.parts.board.left(&self.place);
    }

    fn out_of_hand(&mut self, count: u64) {
        let count = count.min(self.in_hand);
        self.in_hand -= count;
        let counters = &self.parts.route.status.counters;
        counters.in_hand.fetch_sub(count, Ordering::Relaxed);
    }

    fn lag_labels(&self) -> PartitionLabels {
        PartitionLabels {
            route: Arc::clone(&self.parts.route.status.name),
            topic: Arc::clone(&self.place.0),
            partition: self.place.1.to_string().into(),
        }
    }

    fn count_outcome(&self, outcome: &str, count: u64) {
        let labels = OutcomeLabels {
            route: Arc::clone(&self.parts.route.status.name),
            outcome: outcome.into(),
        };
        let metrics = &self.parts.route.shared.metrics;
        metrics.records_written.get_or_create(&labels).inc_by(count);
    }
}

/// What is shown of so many.
fn latest<T>(all: &[T]) -> &[T] {
    all.get(all.len().saturating_sub(EVENTS_MAX)..)
        .unwrap_or_default()
}

fn event_of(record: &ConsumedRecord) -> EventView {
    EventView {
        at: clock::rfc3339_ms(clock::now_ms()),
        place: Address::of(record).to_string(),
        ..EventView::default()
    }
}

fn place_of(record: &ConsumedRecord) -> DeliveryView {
    DeliveryView {
        at: clock::rfc3339_ms(clock::now_ms()),
        place: Address::of(record).to_string(),
        ..DeliveryView::default()
    }
}
