//! One event on its way into the batch: repeat or new, counted or filtered, its records or its dead letter.
//! Everything that needs the network (schema, topics) is finished here, before a transaction begins.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{RunEnd, ToKafkaRoute, until_done};
use crate::config::RouteConfig;
use crate::error::{Action, ErrorKind, Failure};
use crate::kafka::Record;
use crate::routes::batch::BatchPolicy;
use crate::routes::cloud_event::{EventHeaders, TimeText, record_timestamp_ms};
use crate::routes::culprit::CulpritSearch;
use crate::routes::dead_letter::{self, PoisonCounter, Reason};
use crate::routes::gap::{GapKind, GapReport};
use crate::routes::output::{Delivery, Outputs, ce_ids};
use crate::routes::start::{self, Resume};
use crate::routes::tracker::{Tracker, Verdict};
use crate::runtime::clock;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::auth::Session;
use crate::salesforce::event::{DecodedEvent, EventSchema, decode};
use crate::salesforce::pubsub::ReceivedEvent;

/// A boundary in time (`since`, `replayed_until`) is dropped once an event is this much younger: commit times of
/// neighbours in the stream differ by seconds, never by an hour.
const BOUNDARY_SLACK_MS: i64 = 3600 * 1000;

/// What one transaction will hold.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// The first `ce_id` of each event in it.
    pub(super) events: Vec<String>,
    /// Times of the delivered events, for the end-to-end histogram.
    pub(super) event_times_ms: Vec<i64>,
    pub(super) tally: Tally,
    /// Reported in it.
    pub(super) gaps: Vec<GapKind>,
    /// Received events and payload bytes that the batch answers for: given back to the stream's credits.
    pub(super) taken_events: u64,
    pub(super) taken_bytes: u64,
    /// Its last dead letter was one too many in a row: the route halts once it is committed.
    pub(super) halts: bool,
    /// It ends after an event that must stand alone.
    pub(super) sealed: bool,
    /// Dead letters in a row, once it is committed.
    pub(super) poison: PoisonCounter,
}

/// What becomes of the events of one transaction.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) written: u64,
    pub(super) filtered: u64,
    pub(super) repeated: u64,
    pub(super) dead_letters: u64,
    pub(super) bytes: u64,
}

/// The state that a run carries from event to event.
pub(super) struct Intake {
    pub(super) tracker: Tracker,
    pub(super) resume: Resume,
    pub(super) outputs: Outputs,
    /// Topics that are known to be there: few, as many as the outputs have made names.
    ensured: HashSet<Arc<str>>,
    poison: PoisonCounter,
    dead_letter_topic: Arc<str>,
    source: Bytes,
    route: Bytes,
    times: TimeText,
    /// The schema of the last event: most events share it, and the cache is asked only when it changes.
    schema: Option<(Arc<EventSchema>, Bytes, Bytes)>,
}

/// Why an event cannot be delivered as it is.
struct Dead {
    reason: Reason,
    without_value: bool,
}

impl Dead {
    fn poison(error: impl ToString) -> Self {
        let reason = Reason {
            kind: ErrorKind::Poison,
            error: error.to_string(),
            attempts: 1,
        };
        Self {
            reason,
            without_value: false,
        }
    }
}

impl Intake {
    /// # Errors
    /// When a contract file cannot be used.
    pub(super) fn new(
        route: &ToKafkaRoute,
        session: &Session,
        resume: Resume,
        poison: PoisonCounter,
    ) -> Result<Self, Failure> {
        let RouteConfig { name, .. } = &route.config;
        let naming = route.shared.naming;
        Ok(Self {
            tracker: Tracker::new(resume.replay_id.clone(), resume.after.clone()),
            resume,
            outputs: Outputs::new(name, &route.flow.from.topic, naming, &route.flow.to)?,
            ensured: HashSet::new(),
            poison,
            dead_letter_topic: route.config.dead_letter.topic.as_str().into(),
            source: Bytes::from(format!("//{}{}", session.my_domain_host(), route.flow.from.topic)),
            route: Bytes::copy_from_slice(route.config.name.as_bytes()),
            times: TimeText::default(),
            schema: None,
        })
    }

    pub(super) const fn poison(&self) -> PoisonCounter {
        self.poison
    }

    /// Takes one event into the batch. After an error nothing of it is in the batch.
    pub(super) async fn take(
        &mut self,
        route: &ToKafkaRoute,
        event: &ReceivedEvent,
        batch: &mut Batch,
        policy: &mut BatchPolicy,
        search: &CulpritSearch,
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        let decoded = match self.schema(route, event, stop).await? {
            Ok(schema) => decode(&schema.0, &event.payload).map_err(Dead::poison),
            Err(dead) => Err(dead),
        };
        let ids = match &decoded {
            Ok(decoded) if decoded.header().is_some() || !event.event_id.is_empty() => {
                ce_ids(&event.event_id, decoded)
            }
            _ => vec![own_id(event)],
        };
        let bytes_before = batch.tally.bytes;
        let time_ms = decoded.as_ref().ok().and_then(DecodedEvent::event_time_ms);
        if start::is_before(self.resume.since_ms, time_ms) {
            // Not tracked: such events come once more when the stream is opened again from the earliest event,
            // and must not end the id in progress.
            batch.tally.filtered += 1;
        } else if self.tracker.event(&event.replay_id, &ids) == Verdict::Repeat {
            batch.tally.repeated += 1;
        } else {
            self.deliver(route, event, decoded, &ids, batch, search, stop)
                .await?;
            self.passed(time_ms);
            batch.events.push(ids.into_iter().next().unwrap_or_default());
        }
        batch.taken_events += 1;
        batch.taken_bytes += event.size_bytes();
        policy.add(usize::try_from(batch.tally.bytes - bytes_before).unwrap_or(usize::MAX));
        Ok(())
    }

    /// An empty response: everything before it is complete.
    pub(super) fn keep_alive(&mut self, replay_id: &Bytes) {
        self.tracker.keep_alive(replay_id);
        // Caught up: whatever comes now was never delivered.
        self.resume.replayed_until_ms = None;
        self.resume.since_ms = None;
    }

    fn passed(&mut self, time_ms: Option<i64>) {
        if time_ms.is_some() {
            self.resume.event_time_ms = time_ms;
        }
        let behind = |boundary: &i64| time_ms.is_none_or(|time| time <= *boundary + BOUNDARY_SLACK_MS);
        self.resume.replayed_until_ms = self.resume.replayed_until_ms.filter(behind);
        self.resume.since_ms = self.resume.since_ms.filter(behind);
    }

    /// The event's own schema, or why there is none and never will be.
    async fn schema(
        &mut self,
        route: &ToKafkaRoute,
        event: &ReceivedEvent,
        stop: &mut StopSignal,
    ) -> Result<Result<(Arc<EventSchema>, Bytes, Bytes), Dead>, RunEnd> {
        if let Some(known) = self
            .schema
            .as_ref()
            .filter(|(schema, ..)| schema.id() == event.schema_id)
        {
            return Ok(Ok(known.clone()));
        }
        let schemas = &route.shared.salesforce.schemas;
        match until_done(route, stop, || schemas.get(&event.schema_id)).await {
            Ok(schema) => {
                let event_type = Bytes::from(format!("com.salesforce.{}", schema.name()));
                let id = Bytes::copy_from_slice(event.schema_id.as_bytes());
                let known = (schema, event_type, id);
                self.schema = Some(known.clone());
                Ok(Ok(known))
            }
            Err(RunEnd::Failed(failure)) if failure.action() == Action::DeadLetter => {
                Ok(Err(Dead::poison(failure)))
            }
            Err(end) => Err(end),
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the event's parts, each made once by the caller"
    )]
    async fn deliver(
        &mut self,
        route: &ToKafkaRoute,
        event: &ReceivedEvent,
        decoded: Result<DecodedEvent, Dead>,
        ids: &[String],
        batch: &mut Batch,
        search: &CulpritSearch,
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        let time_ms = decoded.as_ref().ok().and_then(DecodedEvent::event_time_ms);
        let headers = self.headers(event, time_ms);
        let condemned = ids
            .first()
            .and_then(|id| search.condemned(id))
            .map(|condemned| Dead {
                reason: Reason {
                    kind: ErrorKind::Poison,
                    error: condemned.reason.clone(),
                    attempts: 2,
                },
                without_value: condemned.without_value,
            });
        let now_ms = clock::now_ms();
        let delivered = match (decoded, condemned) {
            (Ok(decoded), None) => {
                let schema = self.schema.as_ref().map(|(schema, ..)| Arc::clone(schema));
                match schema {
                    Some(schema) => {
                        self.prepare(route, &schema, decoded.entity(), stop).await?;
                        let timestamp_ms = record_timestamp_ms(time_ms, now_ms);
                        self.outputs
                            .deliver(&schema, &event.payload, &decoded, ids, &headers, timestamp_ms)
                            .map(|delivery| (delivery, decoded))
                            .map_err(Dead::poison)
                    }
                    None => Err(Dead::poison("the event has no schema")),
                }
            }
            (Ok(_), Some(dead)) | (Err(dead), _) => Err(dead),
        };
        let id = || ids.first().map(|id| Bytes::copy_from_slice(id.as_bytes()));
        let (delivery, decoded) = match delivered {
            Ok(delivered) => delivered,
            Err(dead) => {
                self.dead_letter(route, event, dead, headers, id(), batch, stop)
                    .await?;
                batch.halts = self.poison.dead_lettered();
                batch.sealed = batch.halts;
                return Ok(());
            }
        };
        let Delivery {
            records,
            filtered,
            refusals,
        } = delivery;
        self.ensure_topics(route, &records, stop).await?;
        let gap = self.gap(route, event, &decoded);
        if let Some(report) = &gap {
            let record = until_done(route, stop, || route.gap_record(report)).await?;
            batch.records.push(record);
            batch.gaps.push(report.kind);
        }
        let is_delivered = refusals.is_empty() || !records.is_empty();
        batch.tally.written += records.len() as u64;
        batch.tally.filtered += filtered;
        batch.tally.bytes += value_bytes(&records);
        batch.records.extend(records);
        batch.event_times_ms.extend(time_ms);
        for refusal in refusals {
            let reason = Reason {
                kind: refusal.kind,
                error: refusal.error,
                attempts: 1,
            };
            let dead = Dead {
                reason,
                without_value: false,
            };
            self.dead_letter(route, event, dead, headers.clone(), id(), batch, stop)
                .await?;
        }
        // An output whose contract broke must not halt the siblings that have the event.
        if is_delivered {
            self.poison.delivered();
        } else {
            batch.halts = self.poison.dead_lettered();
            batch.sealed = batch.halts;
        }
        Ok(())
    }

    /// Asks for a topic once a run: what is deleted later ends the run at the next write.
    async fn ensure_topics(
        &mut self,
        route: &ToKafkaRoute,
        records: &[Record],
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        for record in records {
            if !self.ensured.contains(&record.topic) {
                until_done(route, stop, || route.shared.topics.ensure_data(&record.topic)).await?;
                self.ensured.insert(Arc::clone(&record.topic));
            }
        }
        Ok(())
    }

    fn headers(&mut self, event: &ReceivedEvent, time_ms: Option<i64>) -> EventHeaders {
        let schema = self
            .schema
            .as_ref()
            .filter(|(schema, ..)| schema.id() == event.schema_id);
        EventHeaders {
            source: self.source.clone(),
            route: self.route.clone(),
            event_type: schema.map(|(_, event_type, _)| event_type.clone()),
            schema_id: Some(schema.map_or_else(
                || Bytes::copy_from_slice(event.schema_id.as_bytes()),
                |(_, _, id)| id.clone(),
            )),
            time: time_ms.map(|time| self.times.of(time)),
            replay_id: Bytes::from(hex::encode(&event.replay_id)),
            replayed: start::is_replayed(self.resume.replayed_until_ms, time_ms),
        }
    }

    /// What Salesforce itself says is missing.
    fn gap(&self, route: &ToKafkaRoute, event: &ReceivedEvent, decoded: &DecodedEvent) -> Option<GapReport> {
        let header = decoded
            .header()
            .filter(|_| decoded.is_gap() || decoded.is_overflow())?;
        let kind = if decoded.is_overflow() {
            GapKind::Overflow
        } else {
            GapKind::Gap
        };
        let mut report = GapReport::new(&route.config.name, &route.flow.from.topic, kind, "pass");
        report.entity = Some(header.entity_name.clone());
        report.record_ids.clone_from(&header.record_ids);
        report.from_replay_id = Some(hex::encode(&event.replay_id));
        report.from_event_time = decoded.event_time_ms().map(clock::rfc3339_ms);
        Some(report)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the event's parts, each made once by the caller"
    )]
    async fn dead_letter(
        &mut self,
        route: &ToKafkaRoute,
        event: &ReceivedEvent,
        dead: Dead,
        headers: EventHeaders,
        id: Option<Bytes>,
        batch: &mut Batch,
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        let topics = &route.shared.topics;
        let topic = Arc::clone(&self.dead_letter_topic);
        until_done(route, stop, || topics.ensure_dead_letter(&topic)).await?;
        let room = until_done(route, stop, || topics.max_message_bytes(&topic)).await?;
        let fits = !dead.without_value && dead_letter_fits(event.payload.len(), room);
        if !fits {
            let mut report = GapReport::new(
                &route.config.name,
                &route.flow.from.topic,
                GapKind::TooLarge,
                "dead_letter",
            );
            report.from_replay_id = Some(hex::encode(&event.replay_id));
            batch
                .records
                .push(until_done(route, stop, || route.gap_record(&report)).await?);
            batch.gaps.push(GapKind::TooLarge);
        }
        tracing::warn!(route = %route.config.name, replay_id = hex::encode(&event.replay_id), error = %dead.reason.error, "dead letter");
        let replay_id = headers.replay_id.clone();
        batch.records.push(dead_letter::from_salesforce(
            &topic,
            &route.config.name,
            &route.flow.from.topic,
            &replay_id,
            fits.then(|| event.payload.clone()),
            headers.record(id, None, dead_letter::CONTENT_TYPE),
            &dead.reason,
        ));
        batch.tally.dead_letters += 1;
        Ok(())
    }
}

/// Room for a dead letter's headers beside its value: error texts and ids are far smaller.
const DEAD_LETTER_HEADERS_BYTES: usize = 4096;

fn dead_letter_fits(payload: usize, topic_max: usize) -> bool {
    payload + DEAD_LETTER_HEADERS_BYTES <= topic_max
}

fn value_bytes(records: &[Record]) -> u64 {
    records
        .iter()
        .filter_map(|record| record.value.as_ref())
        .map(|value| value.len() as u64)
        .sum()
}

/// What recognises an event that names no change: its own id, or its place and bytes where it has none.
fn own_id(event: &ReceivedEvent) -> String {
    if event.event_id.is_empty() {
        let digest = Sha256::digest(&event.payload);
        format!("{}/{}", hex::encode(&event.replay_id), hex::encode(&digest[..16]))
    } else {
        event.event_id.clone()
    }
}
