//! One event on its way in: decoded, repeat or new, counted, left out or delivered (`deliver`); and the state that
//! a run carries from event to event.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::own::Share;
use super::{Memory, RunEnd, ToKafkaRoute, until_done};
use crate::error::{Action, ErrorKind};
use crate::kafka::Record;
use crate::routes::activity::{DeadLetterView, EVENTS_MAX, EventOutcome, push};
use crate::routes::batch::BatchPolicy;
use crate::routes::cloud_event::{EventHeaders, TimeText};
use crate::routes::culprit::CulpritSearch;
use crate::routes::dead_letter::{PoisonCounter, Reason};
use crate::routes::gap::GapKind;
use crate::routes::loop_guard::RouteGuard;
use crate::routes::output::{Outputs, ce_ids};
use crate::routes::reread::RereadDecision;
use crate::routes::start::{self, Resume};
use crate::routes::tracker::{Tracker, Verdict};
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::auth::Session;
use crate::salesforce::event::{ChangeType, DecodedEvent, EventSchema, decode};
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
    /// Own writes that it has seen back.
    pub(super) seen_back: Vec<Arc<str>>,
    /// The last of its events that the loop guard judged.
    pub(super) judged: u64,
    /// The last of `events`, for whoever looks: [`EVENTS_MAX`] at most.
    pub(super) recent: VecDeque<Recent>,
    /// Its dead letters, for whoever looks.
    pub(super) letters: Vec<DeadLetterView>,
}

/// One event as it is told of. Cheap to make: every event is one for a moment.
#[derive(Debug)]
pub(super) struct Recent {
    /// Unknown where the event's own is not to be had.
    pub(super) schema: Option<Arc<EventSchema>>,
    pub(super) change: Option<ChangeType>,
    /// That it names.
    pub(super) records: usize,
    pub(super) replay_id: Bytes,
    pub(super) outcome: EventOutcome,
}

/// What becomes of the events of one transaction.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) written: u64,
    pub(super) filtered: u64,
    pub(super) repeated: u64,
    pub(super) dead_letters: u64,
    /// Those of them that a broken contract made.
    pub(super) broken: u64,
    pub(super) bytes: u64,
}

impl Tally {
    /// What has become of the one event that was taken since `before`.
    const fn since(&self, before: &Self) -> EventOutcome {
        if self.dead_letters > before.dead_letters {
            EventOutcome::DeadLetter
        } else if self.written > before.written {
            EventOutcome::Written
        } else {
            EventOutcome::Filtered
        }
    }
}

/// The state that a run carries from event to event.
pub(super) struct Intake {
    pub(super) tracker: Tracker,
    pub(super) resume: Resume,
    pub(super) outputs: Outputs,
    /// Topics that are known to be there: few, as many as the outputs have made names.
    pub(super) ensured: HashSet<Arc<str>>,
    pub(super) poison: PoisonCounter,
    pub(super) dead_letter_topic: Arc<str>,
    /// The output that this intake is for, by its topic as configured; None: all of the route's.
    pub(super) output: Option<Arc<str>>,
    /// How often the event in hand was tried before: it is a dead letter that goes again.
    pub(super) attempts_before: u32,
    source: Bytes,
    route: Bytes,
    pub(super) times: TimeText,
    /// The schema of the last event: most events share it, and the cache is asked only when it changes.
    pub(super) schema: Option<(Arc<EventSchema>, Bytes, Bytes)>,
}

/// Where events go, and who may stop it.
pub(super) struct Into<'a> {
    pub(super) route: &'a ToKafkaRoute,
    pub(super) batch: &'a mut Batch,
    pub(super) search: &'a CulpritSearch,
    pub(super) guard: Option<&'a mut RouteGuard>,
    pub(super) stop: &'a mut StopSignal,
}

/// Whether an event was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// It needs the network first, and that may be away for hours: what the batch holds is whole and goes before.
    AfterTheBatch,
}

/// How much a batch holds.
struct Mark {
    records: usize,
    event_times: usize,
    gaps: usize,
    tally: Tally,
    seen_back: usize,
    judged: u64,
    letters: usize,
}

impl Batch {
    fn mark(&self) -> Mark {
        Mark {
            records: self.records.len(),
            event_times: self.event_times_ms.len(),
            gaps: self.gaps.len(),
            tally: self.tally,
            seen_back: self.seen_back.len(),
            judged: self.judged,
            letters: self.letters.len(),
        }
    }

    fn rewind(&mut self, to: Mark) {
        self.records.truncate(to.records);
        self.event_times_ms.truncate(to.event_times);
        self.gaps.truncate(to.gaps);
        self.tally = to.tally;
        self.seen_back.truncate(to.seen_back);
        self.judged = to.judged;
        self.letters.truncate(to.letters);
    }

    fn tell(&mut self, event: Recent) {
        push(&mut self.recent, event, EVENTS_MAX);
    }
}

/// Why an event cannot be delivered as it is.
pub(super) struct Dead {
    pub(super) reason: Reason,
    pub(super) without_value: bool,
    /// The one output that cannot have it, by its topic as configured.
    pub(super) output: Option<Arc<str>>,
}

impl Dead {
    pub(super) fn new(kind: ErrorKind, error: String) -> Self {
        let reason = Reason {
            kind,
            error,
            attempts: 1,
        };
        Self {
            reason,
            without_value: false,
            output: None,
        }
    }

    pub(super) fn poison(error: impl ToString) -> Self {
        Self::new(ErrorKind::Poison, error.to_string())
    }
}

impl Intake {
    pub(super) fn new(
        route: &ToKafkaRoute,
        session: &Session,
        resume: Resume,
        outputs: Outputs,
        poison: PoisonCounter,
    ) -> Self {
        Self {
            tracker: Tracker::new(resume.replay_id.clone(), resume.after.clone()),
            resume,
            outputs,
            ensured: HashSet::new(),
            poison,
            dead_letter_topic: route.config.dead_letter.topic.as_str().into(),
            output: None,
            attempts_before: 0,
            source: Bytes::from(format!("//{}{}", session.my_domain_host(), route.flow.from.topic)),
            route: Bytes::copy_from_slice(route.config.name.as_bytes()),
            times: TimeText::default(),
            schema: None,
        }
    }

    pub(super) const fn poison(&self) -> PoisonCounter {
        self.poison
    }

    /// Takes one event into the batch. After an error nothing of it is in the batch, and the position that may
    /// be stored lies before it.
    pub(super) async fn take(
        &mut self,
        route: &ToKafkaRoute,
        event: &ReceivedEvent,
        batch: &mut Batch,
        policy: &mut BatchPolicy,
        memory: &mut Memory,
        stop: &mut StopSignal,
    ) -> Result<Taken, RunEnd> {
        let mark = batch.mark();
        let bytes_before = batch.tally.bytes;
        let mut into = Into {
            route,
            batch,
            search: &memory.search,
            guard: memory.guard.as_mut(),
            stop,
        };
        match self.take_one(event, &mut into).await {
            Ok(Taken::Yes) => {}
            Ok(Taken::AfterTheBatch) => return Ok(Taken::AfterTheBatch),
            Err(end) => {
                batch.rewind(mark);
                return Err(end);
            }
        }
        batch.taken_events += 1;
        batch.taken_bytes += event.size_bytes();
        policy.add(usize::try_from(batch.tally.bytes - bytes_before).unwrap_or(usize::MAX));
        Ok(Taken::Yes)
    }

    async fn take_one(&mut self, event: &ReceivedEvent, into: &mut Into<'_>) -> Result<Taken, RunEnd> {
        let route = into.route;
        let is_first = into.batch.events.is_empty();
        if !is_first && self.outputs.is_new(&event.schema_id) {
            return Ok(Taken::AfterTheBatch);
        }
        let (schema, decoded) = match self.schema(route, event, into.stop).await? {
            Ok((schema, ..)) => {
                let decoded = decode(&schema, &event.payload).map_err(Dead::poison);
                (Some(schema), decoded)
            }
            Err(dead) => (None, Err(dead)),
        };
        let ids = match &decoded {
            Ok(decoded) if decoded.header().is_some() || !event.event_id.is_empty() => {
                ce_ids(&event.event_id, decoded)
            }
            _ => vec![own_id(event)],
        };
        let time_ms = decoded.as_ref().ok().and_then(DecodedEvent::event_time_ms);
        let header = decoded.as_ref().ok().and_then(DecodedEvent::header);
        let (change, before) = (header.map(|header| header.change_type), into.batch.tally);
        if start::is_before(self.resume.since_ms, time_ms) {
            // Not tracked: such events come once more when the stream is opened again from the earliest event,
            // and must not end the id in progress.
            into.batch.tally.filtered += 1;
        } else if self.tracker.verdict(&event.replay_id, &ids) == Verdict::Repeat {
            self.tracker.event(&event.replay_id, &ids);
            into.batch.tally.repeated += 1;
        } else {
            match self.share(event, decoded, &ids, into).await? {
                Share::AfterTheBatch => return Ok(Taken::AfterTheBatch),
                Share::Own => into.batch.tally.filtered += 1,
                Share::Foreign { decoded, .. } if !is_first && self.is_read_again(route, &decoded) => {
                    return Ok(Taken::AfterTheBatch);
                }
                Share::Foreign {
                    decoded,
                    ids: foreign,
                    own,
                } => {
                    into.batch.tally.filtered += own;
                    self.deliver(event, decoded, foreign.as_deref().unwrap_or(&ids), into)
                        .await?;
                }
            }
            self.tracker.event(&event.replay_id, &ids);
            self.passed(time_ms);
            into.batch.tell(Recent {
                schema,
                change,
                records: ids.len(),
                replay_id: event.replay_id.clone(),
                outcome: into.batch.tally.since(&before),
            });
            into.batch.events.push(ids.into_iter().next().unwrap_or_default());
        }
        Ok(Taken::Yes)
    }

    fn is_read_again(&self, route: &ToKafkaRoute, decoded: &Result<DecodedEvent, Dead>) -> bool {
        let decision = |decoded| self.decision(route, decoded);
        decoded
            .as_ref()
            .is_ok_and(|decoded| decision(decoded) == RereadDecision::Read)
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
        if let Some(time) = time_ms {
            self.resume.read_as_of.passed(time);
        }
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

    pub(super) fn headers(&mut self, event: &ReceivedEvent, time_ms: Option<i64>) -> EventHeaders {
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
            as_of: None,
            superseded: Vec::new(),
        }
    }
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
