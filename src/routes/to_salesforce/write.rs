//! Writing and deleting a request's records, and what their verdicts mean.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::outcome::{self, Outcome};
use super::target::{self, Outgoing};
use super::trace;
use super::worker::{End, Worker};
use crate::config::{Operation, SalesforceTarget};
use crate::error::{ErrorKind, Failure};
use crate::routes::mapping::Victim;
use crate::salesforce::rest::{BudgetAction, RowRefusal, RowVerdict, WriteError, WriteOutcome, row_action};

/// A request whose answer is lost may still be under way. Salesforce ends a transaction's own work after ten seconds
/// of CPU; twice that is waited for before a later version of the same record goes.
pub(super) const IN_DOUBT_FOR: Duration = Duration::from_secs(20);

/// The body with the record's id; the one from an earlier try is replaced.
fn with_id(body: &RawValue, id: &str) -> Option<Box<RawValue>> {
    let mut map: Map<String, Json> = serde_json::from_str(body.get()).ok()?;
    map.insert("Id".to_owned(), Json::from(id));
    serde_json::value::to_raw_value(&map).ok()
}

impl Worker {
    pub(super) async fn write(&mut self, places: &[usize]) -> Result<(), End> {
        if !self.has_budget().await? {
            return Ok(());
        }
        let parts = Arc::clone(&self.parts);
        let target = target::write_target(&parts.route.flow);
        let named = match (target.operation, &target.external_id) {
            (Operation::Update, Some(field)) => Some(self.name_by_id(places, &target.sobject, field).await?),
            _ => None,
        };
        let places = named.as_deref().unwrap_or(places);
        let records: Vec<Box<RawValue>> = places
            .iter()
            .filter_map(|place| match &self.window.item(*place)?.content.send {
                Outgoing::Record { body, .. } => Some(body.clone()),
                _ => None,
            })
            .collect();
        let announced = self.announce_writes(places).await?;
        let span = self.request_span(places, trace::name_of(target.operation));
        let answer = parts.route.shared.salesforce.rest.write(&target, &records).await;
        span.end(answer.as_ref().err().map(trace::kind_of));
        self.settle_announced(announced, &answer).await;
        match answer {
            Ok(verdicts) => self.settle(places, verdicts, target.operation).await,
            Err(error) => self.failed(places, error).await,
        }
    }

    /// Puts the ids into records that an update names by an external id: those that may go. One that names no record,
    /// or several, is a dead letter.
    async fn name_by_id(&mut self, places: &[usize], sobject: &str, field: &str) -> Result<Vec<usize>, End> {
        let mut values = Vec::new();
        for place in places {
            if let Some(Outgoing::Record {
                external_id: Some(id),
                ..
            }) = self.window.item(*place).map(|item| &item.content.send)
            {
                values.push(id.as_sent().to_owned());
            }
        }
        let rest = self.parts.route.shared.salesforce.rest.clone();
        let found = match rest.ids_by_external_id(sobject, field, &values).await {
            Ok(found) => found,
            Err(failure) => {
                self.wait_after(failure).await?;
                return Ok(Vec::new());
            }
        };
        let (mut named, mut dead) = (Vec::new(), Vec::new());
        for place in places {
            let Some(item) = self.window.item(*place) else {
                continue;
            };
            let Outgoing::Record {
                body,
                external_id: Some(id),
            } = &mut item.content.send
            else {
                continue;
            };
            let why = match found.get(id.compare_key()).map(Vec::as_slice) {
                Some([id]) => match with_id(body, id) {
                    Some(whole) => {
                        *body = whole;
                        named.push(*place);
                        continue;
                    }
                    None => "the record is no JSON object",
                },
                None | Some([]) => "no record has this value: an update changes what is there",
                Some(_) => "several records have this value: none is changed",
            };
            dead.push((*place, format!("{sobject}: field {field}: {why}")));
        }
        self.condemn(dead).await?;
        Ok(named)
    }

    /// Deletes by id; where records are named by an external id, their ids are looked up first. What is not there is
    /// deleted already.
    pub(super) async fn delete(&mut self, places: &[usize]) -> Result<(), End> {
        if !self.has_budget().await? {
            return Ok(());
        }
        let parts = Arc::clone(&self.parts);
        let rest = &parts.route.shared.salesforce.rest;
        let SalesforceTarget::Object {
            sobject, external_id, ..
        } = &parts.route.flow.to
        else {
            return Ok(());
        };
        let named: Vec<String> = places
            .iter()
            .filter_map(|place| match self.victim(*place)? {
                Victim::ExternalId(id) => Some(id.as_sent().to_owned()),
                Victim::RecordId(_) => None,
            })
            .collect();
        let field = external_id.as_deref().unwrap_or("Id");
        let found = if named.is_empty() {
            HashMap::new()
        } else {
            match rest.ids_by_external_id(sobject, field, &named).await {
                Ok(found) => found,
                Err(failure) => return self.wait_after(failure).await,
            }
        };
        let (mut gone, mut going, mut ids, mut ambiguous) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for place in places {
            let id = match self.victim(*place) {
                Some(Victim::RecordId(id)) => Some(id.as_sent().to_owned()),
                Some(Victim::ExternalId(id)) => match found.get(id.compare_key()).map(Vec::as_slice) {
                    None | Some([]) => None,
                    Some([id]) => Some(id.clone()),
                    Some(_) => {
                        ambiguous.push(*place);
                        continue;
                    }
                },
                None => None,
            };
            match id {
                Some(id) => {
                    going.push(*place);
                    ids.push(id);
                }
                None => gone.push(*place),
            }
        }
        if !gone.is_empty() {
            self.delivered(&gone);
        }
        let reason = format!("{sobject}: several records have this {field}: none is deleted");
        let ambiguous = ambiguous.into_iter().map(|place| (place, reason.clone()));
        self.condemn(ambiguous.collect()).await?;
        let announced = self.announce_deletes(sobject, &ids).await?;
        let span = self.request_span(&going, trace::name_of(Operation::Delete));
        let answer = rest.delete(sobject, &ids).await;
        span.end(answer.as_ref().err().map(trace::kind_of));
        self.settle_announced(announced, &answer).await;
        match answer {
            Ok(verdicts) => self.settle(&going, verdicts, Operation::Delete).await,
            Err(error) => self.failed(&going, error).await,
        }
    }

    fn victim(&mut self, place: usize) -> Option<&Victim> {
        match &self.window.item(place)?.content.send {
            Outgoing::Delete(victim) => Some(victim),
            _ => None,
        }
    }

    /// Whether the org's daily requests allow one more; if not, a pause has passed.
    pub(super) async fn has_budget(&mut self) -> Result<bool, End> {
        let rest = self.parts.route.shared.salesforce.rest.clone();
        match self.budget.check(rest.usage()) {
            BudgetAction::Go => Ok(true),
            BudgetAction::Wait { pause, left, reserve } => {
                let message = format!(
                    "of the org's daily limit of API requests {left} are left, {reserve} are reserved (salesforce.api_reserve)"
                );
                let failure = Failure::new(ErrorKind::Throttled, message).remedy(
                    "the route goes on by itself as requests of the last 24 hours age out; to go on now, lower salesforce.api_reserve",
                );
                self.wait(&failure, pause).await;
                if let Err(failure) = rest.refresh_usage().await {
                    self.wait_after(failure).await?;
                }
                Ok(false)
            }
        }
    }

    pub(super) async fn settle(
        &mut self,
        places: &[usize],
        verdicts: Vec<RowVerdict>,
        operation: Operation,
    ) -> Result<(), End> {
        let mut delivered = Vec::new();
        let mut refused = Vec::new();
        for (place, verdict) in places.iter().zip(verdicts) {
            match verdict {
                RowVerdict::Done { .. } => delivered.push(*place),
                RowVerdict::Refused(refusal) => refused.push((*place, refusal)),
            }
        }
        if !delivered.is_empty() {
            self.delivered(&delivered);
        }
        self.judge(refused, operation).await
    }

    async fn judge(&mut self, refused: Vec<(usize, RowRefusal)>, operation: Operation) -> Result<(), End> {
        let parts = Arc::clone(&self.parts);
        let target = target::write_target(&parts.route.flow);
        let external_id = target.external_id.as_deref();
        let now = Instant::now();
        let (mut dead, mut done) = (Vec::new(), Vec::new());
        let (mut wait, mut halt) = (None, None);
        for (place, refusal) in refused {
            let Some(item) = self.window.item(place) else {
                continue;
            };
            let tries = item.tries;
            let since = item.failing_for(now);
            let action = row_action(&refusal, operation, external_id);
            match outcome::of_row(&refusal, action, &target.sobject, tries, since) {
                Outcome::Done => done.push(place),
                Outcome::Again(pause) => {
                    tracing::info!(
                        status_code = refusal.status_code,
                        tries,
                        "a record is tried again"
                    );
                    self.window.again(place, now, pause);
                }
                Outcome::DeadLetter(reason) => dead.push((place, reason)),
                Outcome::Wait(failure) => wait = Some(failure),
                Outcome::Halt(failure) => halt = Some(failure),
            }
        }
        if !done.is_empty() {
            self.delivered(&done);
        }
        self.condemn(dead).await?;
        match (halt, wait) {
            (Some(failure), _) => Err(failure.into()),
            (None, Some(failure)) => self.wait_after(failure).await,
            (None, None) => Ok(()),
        }
    }

    /// A request that failed as a whole condemns none of its records.
    async fn failed(&mut self, places: &[usize], error: WriteError) -> Result<(), End> {
        let refusal = match error {
            WriteError::Failed { failure, outcome } => {
                if outcome == WriteOutcome::Unknown {
                    self.window.in_doubt(places, Instant::now() + IN_DOUBT_FOR);
                }
                return self.wait_after(failure).await;
            }
            WriteError::Rejected(refusal) => refusal,
        };
        if !self.is_target_fresh() {
            // A field may be gone since the object was described.
            return self.renew().await;
        }
        if self.window.split(places) {
            let operation = target::write_target(&self.parts.route.flow).operation;
            let refused = places.iter().map(|place| (*place, refusal.clone())).collect();
            return self.judge(refused, operation).await;
        }
        Ok(())
    }
}
