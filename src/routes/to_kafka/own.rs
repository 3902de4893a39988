//! `skip_own_writes`: which records of an event the bridge wrote itself, asked before a transaction begins.
//!
//! What needs an answer from Kafka or Salesforce first goes after the batch; then the event waits here, at the head
//! of its stream, and nothing overtakes it.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::intake::{Dead, Intake, Into};
use super::{Memory, RunEnd, ToKafkaRoute, until_done};
use crate::error::chain;
use crate::kafka::Changes;
use crate::routes::loop_guard::{ObjectFields, RouteGuard, Verdicts};
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::auth::Session;
use crate::salesforce::event::{ChangeEventHeader, DecodedEvent, EventSchema, write_json};
use crate::salesforce::pubsub::ReceivedEvent;

/// How long an event waits for the answer to a write that could be it. An answer comes seconds after the effect; one
/// that was lost with its process comes when another instance has taken the route over (ten seconds) and written
/// again. What was waited for in vain is not waited for again.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// From here on a wait is shown.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// A question to Kafka that a batch may wait for: it is answered in a few milliseconds.
const QUESTION_MAX: Duration = Duration::from_millis(250);

/// What of an event is to be delivered.
pub(super) enum Share {
    /// Nothing: the bridge made the change.
    Own,
    Foreign {
        decoded: Result<DecodedEvent, Dead>,
        /// The `ce_id`s of its records; `None`: of all that the event names.
        ids: Option<Vec<String>>,
        /// Records of it that are left out.
        own: u64,
    },
    /// Something must be asked first.
    AfterTheBatch,
}

impl Share {
    const fn all(decoded: Result<DecodedEvent, Dead>) -> Self {
        Self::Foreign {
            decoded,
            ids: None,
            own: 0,
        }
    }
}

impl ToKafkaRoute {
    /// Without the user's id only writes that carry the bridge's name are recognised.
    pub(super) async fn know_the_user(&self, session: &Session, memory: &mut Memory) {
        let Some(guard) = &mut memory.guard else {
            return;
        };
        let user_id = match self.shared.salesforce.tokens.user_id(session).await {
            Ok(user_id) => user_id,
            Err(failure) => {
                tracing::warn!(route = %self.config.name, why = %chain(&failure), remedy = failure.remedy, "the integration user's id is not known: own writes are recognised by the bridge's name alone");
                None
            }
        };
        guard.user(user_id.as_deref());
    }
}

impl Intake {
    /// What of the event somebody else changed.
    pub(super) async fn share(
        &self,
        event: &ReceivedEvent,
        decoded: Result<DecodedEvent, Dead>,
        ids: &[String],
        into: &mut Into<'_>,
    ) -> Result<Share, RunEnd> {
        let (Some(guard), Ok(change)) = (into.guard.as_deref_mut(), &decoded) else {
            return Ok(Share::all(decoded));
        };
        let Some(header) = change.header().filter(|header| guard.may_be_own(header)) else {
            return Ok(Share::all(decoded));
        };
        let schema = self.schema.as_ref().map(|(schema, ..)| &**schema);
        // What does not decode becomes a dead letter on its way.
        let Some(body) = schema.and_then(|schema| body_of(schema, event, change)) else {
            return Ok(Share::all(decoded));
        };
        if !prepare(guard, header, into.route, into.batch.events.is_empty(), into.stop).await? {
            return Ok(Share::AfterTheBatch);
        }
        let asked = Asked {
            header,
            body: &body,
            ids,
        };
        let mut verdicts = guard.judge(header, &body, ids, true);
        if verdicts.waits {
            if !into.batch.events.is_empty() {
                return Ok(Share::AfterTheBatch);
            }
            verdicts = wait(guard, &asked, into.route, into.stop).await?;
        }
        into.batch.seen_back.append(&mut verdicts.seen);
        into.batch.judged = into.batch.judged.max(verdicts.number);
        Ok(split(decoded, ids, &verdicts.own))
    }
}

/// One event as it is asked about.
struct Asked<'a> {
    header: &'a ChangeEventHeader,
    body: &'a Map<String, Value>,
    ids: &'a [String],
}

/// Gets what a verdict needs; `false`: it would hold up what is in the batch.
async fn prepare(
    guard: &mut RouteGuard,
    header: &ChangeEventHeader,
    route: &ToKafkaRoute,
    is_first: bool,
    stop: &mut StopSignal,
) -> Result<bool, RunEnd> {
    if !guard.is_caught_up() {
        if is_first {
            until_done(route, stop, || guard.catch_up()).await?;
        } else if !matches!(
            tokio::time::timeout(QUESTION_MAX, guard.catch_up()).await,
            Ok(Ok(()))
        ) {
            return Ok(false);
        }
        guard.caught_up();
    }
    let entity = &header.entity_name;
    if !guard.needs_object(entity) {
        return Ok(true);
    }
    if !is_first {
        return Ok(false);
    }
    let rest = &route.shared.salesforce.rest;
    let fields = match until_done(route, stop, || rest.describe(entity)).await {
        Ok(describe) => ObjectFields::new(
            describe
                .fields()
                .map(|field| (field.name.as_str(), field.derived, field.defaulted_on_create)),
        ),
        Err(RunEnd::Failed(failure)) => {
            tracing::warn!(route = %route.config.name, entity, why = %chain(&failure), "derived fields are not known: own writes that change some pass as foreign");
            ObjectFields::default()
        }
        Err(end) => return Err(end),
    };
    guard.object(entity, fields);
    Ok(true)
}

/// Waits for the answer that tells, and no longer than [`WAIT_MAX`].
async fn wait(
    guard: &mut RouteGuard,
    asked: &Asked<'_>,
    route: &ToKafkaRoute,
    stop: &mut StopSignal,
) -> Result<Verdicts, RunEnd> {
    let Asked { header, body, ids } = asked;
    let began = Instant::now();
    let mut shown = None;
    // Before the next look: what is applied in between is told.
    let mut changes = guard.changes();
    loop {
        let may_wait = began.elapsed() < WAIT_MAX;
        let verdicts = guard.judge(header, body, ids, may_wait);
        if !verdicts.waits {
            if let Some(before) = shown {
                route.status.waited(before);
            }
            if !may_wait {
                tracing::warn!(route = %route.config.name, entity = header.entity_name, change = header.change_type.name(), own = verdicts.own.iter().filter(|own| **own).count(), records = verdicts.own.len(), "a write that could be this change was not answered in time: decided without");
            }
            return Ok(verdicts);
        }
        if shown.is_none() && began.elapsed() >= SHOWN_AFTER {
            shown = Some(route.status.state());
            let why = format!(
                "waiting for the answer to a write of {} that could be the next change",
                header.entity_name
            );
            route.status.waiting(&why, None, None);
        }
        let next_look = if shown.is_none() { SHOWN_AFTER } else { WAIT_MAX };
        tokio::select! {
            () = stop.stopped() => return Err(RunEnd::Stopped),
            () = changed(&mut changes) => {}
            () = tokio::time::sleep_until(began + next_look) => {}
        }
    }
}

async fn changed(changes: &mut Option<Changes>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

fn body_of(schema: &EventSchema, event: &ReceivedEvent, change: &DecodedEvent) -> Option<Map<String, Value>> {
    let mut json = Vec::new();
    write_json(schema, &event.payload, change, None, &mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The event with the records of others alone.
fn split(decoded: Result<DecodedEvent, Dead>, ids: &[String], own: &[bool]) -> Share {
    let own_count = own.iter().filter(|own| **own).count();
    let Ok(DecodedEvent::Change {
        mut header,
        body_offset,
    }) = decoded
    else {
        return Share::all(decoded);
    };
    if own_count == 0 {
        return Share::all(Ok(DecodedEvent::Change { header, body_offset }));
    }
    if own_count == header.record_ids.len() {
        return Share::Own;
    }
    let is_foreign = |(_, own): &(_, &bool)| !**own;
    let records = header.record_ids.iter().zip(own).filter(is_foreign);
    header.record_ids = records.map(|(id, _)| id.clone()).collect();
    let ids = ids
        .iter()
        .zip(own)
        .filter(|(_, own)| !**own)
        .map(|(id, _)| id.clone());
    Share::Foreign {
        decoded: Ok(DecodedEvent::Change { header, body_offset }),
        ids: Some(ids.collect()),
        own: own_count as u64,
    }
}
