//! What a run tells the outside: counters, metrics and the state of its route, at the moments they change.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::intake::{Batch, Recent, Tally};
use super::run::InFlight;
use super::{Memory, ToKafkaRoute};
use crate::contracts::written::entity_of;
use crate::error::ErrorKind;
use crate::routes::activity::{DeliveryView, EventView};
use crate::routes::gap::GapKind;
use crate::routes::position::{Position, millis};
use crate::routes::state::StateName;
use crate::runtime::clock;
use crate::salesforce::event::ChangeType;
use crate::salesforce::pubsub::{ReceivedEvent, StreamStatus};
use crate::telemetry::metrics::{KindLabels, OutcomeLabels, RouteLabel};

/// As of when a position is, epoch milliseconds. One behind events is as old as the last of them: a route that is
/// hours behind has a position of hours. One behind a keep-alive is of now.
fn position_time_ms(position: &Position, events: u64, now_ms: i64) -> i64 {
    let of_event = position.event_time.as_deref().and_then(millis);
    of_event
        .filter(|_| events > 0)
        .map_or(now_ms, |time| time.min(now_ms))
}

fn view(event: Recent, id: String, at: String) -> EventView {
    let name = event.schema.as_ref().map(|schema| schema.name());
    EventView {
        at,
        id: Some(id),
        event: name.map(|name| match event.change {
            Some(_) => entity_of(name),
            None => name.to_owned(),
        }),
        change: event.change.map(ChangeType::name),
        records: (event.records > 1).then_some(event.records),
        place: hex::encode(&event.replay_id),
        operation: None,
        outcome: event.outcome,
    }
}

impl ToKafkaRoute {
    /// A transaction is through: counters, metrics, and the position that `/api/routes` shows.
    pub(super) fn account(&self, done: InFlight, memory: &mut Memory) {
        let now_ms = clock::now_ms();
        let InFlight {
            mut batch,
            position,
            began,
            ..
        } = done;
        memory.search.committed(batch.events.len());
        memory.poison = batch.poison;
        if let Some(guard) = &mut memory.guard {
            guard.committed(batch.judged, std::mem::take(&mut batch.seen_back));
        }
        batch.gaps.iter().for_each(|kind| self.count_gap(*kind));
        let counters = &self.status.counters;
        let Tally {
            written,
            filtered,
            repeated,
            dead_letters,
            broken,
            bytes,
        } = batch.tally;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.records_written.fetch_add(written, Ordering::Relaxed);
        counters.filtered.fetch_add(filtered, Ordering::Relaxed);
        counters.dead_letters.fetch_add(dead_letters, Ordering::Relaxed);
        counters.in_hand.fetch_sub(batch.taken_events, Ordering::Relaxed);
        let metrics = &self.shared.metrics;
        let route = &self.status.name;
        for (outcome, count) in [
            ("written", written),
            ("filtered", filtered),
            ("repeated", repeated),
            ("dead_letter", dead_letters),
        ] {
            if count > 0 {
                let labels = OutcomeLabels {
                    route: Arc::clone(route),
                    outcome: outcome.into(),
                };
                metrics.records_written.get_or_create(&labels).inc_by(count);
            }
        }
        let label = RouteLabel {
            route: Arc::clone(route),
        };
        metrics.bytes.get_or_create(&label).inc_by(bytes);
        let poison = dead_letters.saturating_sub(broken);
        for (kind, count) in [(ErrorKind::Poison, poison), (ErrorKind::Contract, broken)] {
            if count > 0 {
                let labels = KindLabels {
                    route: Arc::clone(route),
                    kind: kind.name().into(),
                };
                metrics.dead_letters.get_or_create(&labels).inc_by(count);
            }
        }
        metrics
            .batch_commit_seconds
            .get_or_create(&label)
            .observe(began.elapsed().as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a delay")]
        let seconds = |time_ms: &i64| (now_ms - time_ms).max(0) as f64 / 1000.0;
        self.status
            .delivered_after(batch.event_times_ms.iter().map(seconds));
        let age_from_ms = position_time_ms(&position, batch.taken_events, now_ms);
        let position = position.view();
        if written + filtered + repeated + dead_letters > 0 {
            self.status.activity.delivered(DeliveryView {
                at: clock::rfc3339_ms(now_ms),
                place: position.replay_id.clone().unwrap_or_default(),
                written,
                filtered,
                repeated,
                dead_letters,
            });
        }
        self.tell(&mut batch, now_ms);
        self.status.positioned(position, age_from_ms);
    }

    /// What became of the last events, for whoever looks.
    fn tell(&self, batch: &mut Batch, now_ms: i64) {
        let at = clock::rfc3339_ms(now_ms);
        let ids = batch.events.len().saturating_sub(batch.recent.len());
        let events = batch.recent.drain(..).zip(batch.events.drain(ids..));
        let activity = &self.status.activity;
        activity.finished(events.map(|(event, id)| view(event, id, at.clone())));
        if !batch.letters.is_empty() {
            activity.dead_lettered(batch.letters.drain(..));
        }
    }

    pub(super) fn received(&self, events: &[ReceivedEvent]) {
        self.status.answered();
        if !self.is_streaming() {
            self.status.streaming();
        }
        let count = events.len() as u64;
        self.status
            .counters
            .events_received
            .fetch_add(count, Ordering::Relaxed);
        self.status.counters.in_hand.fetch_add(count, Ordering::Relaxed);
        self.count_received("event", count);
    }

    pub(super) fn count_received(&self, kind: &str, count: u64) {
        let labels = KindLabels {
            route: Arc::clone(&self.status.name),
            kind: kind.into(),
        };
        self.shared
            .metrics
            .events_received
            .get_or_create(&labels)
            .inc_by(count);
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.status.state_name() == StateName::Streaming
    }

    pub(super) fn show_stream(&self, status: &StreamStatus) {
        match status {
            StreamStatus::Connecting { .. } => self.status.starting("opening the event stream"),
            StreamStatus::Open { .. } => self.status.streaming(),
            StreamStatus::Waiting {
                failure,
                tried,
                until_ms,
            } => self.status.fails(failure.clone(), *tried, Some(*until_ms)),
            StreamStatus::Withheld => {
                self.status.waiting(
                    "Kafka does not take writes as fast as events come: nothing more is asked of Salesforce",
                    None,
                    None,
                );
            }
        }
    }

    pub(super) fn count_gap(&self, kind: GapKind) {
        self.status
            .counters
            .gaps
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let labels = KindLabels {
            route: Arc::clone(&self.status.name),
            kind: kind.name().into(),
        };
        self.shared.metrics.gaps.get_or_create(&labels).inc();
    }
}
