//! A large backlog through Bulk API 2.0: one job at a time a partition, one version of a record a job.
//!
//! The job's id is noted in Kafka before it may run. A worker that finds a noted job at its start aborts it while it is
//! open, and waits for it while it runs, so that no older version of a record is written behind a newer one; then it sends
//! what is not committed once more. Every row comes back with a verdict, matched by the record's key; what the job did not
//! come to goes through Collections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::target::{self, Outgoing};
use super::window::{Kind, Rules};
use super::worker::{End, Worker};
use crate::config::{Operation, SalesforceTarget, ToSalesforceConfig, Via};
use crate::error::{ErrorKind, Failure};
use crate::routes::waits;
use crate::salesforce::rest::{BulkJob, BulkResult, JobState, RowVerdict, bulk_csv, bulk_key};

/// A job of more rows is split by Salesforce into batches of so many, which run side by side.
const JOB_RECORDS_MAX: usize = 10_000;
/// Fewer go faster through Collections.
const JOB_RECORDS_MIN: usize = 400;
/// What has not come by then is not there yet.
const GATHER_FOR: Duration = Duration::from_millis(500);
/// Between two looks at a running job.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LOOK_CAP: Duration = Duration::from_secs(20);
/// A job may lie in Salesforce's queue for long.
const JOB_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// What one job holds.
pub(super) const RULES: Rules = Rules {
    records_max: JOB_RECORDS_MAX,
    bytes_max: 16 * 1024 * 1024,
    is_strict: false,
};

/// Whether a backlog of so many records goes through Bulk. An insert has no key that its rows could be matched by.
pub(super) fn is_bulk(flow: &ToSalesforceConfig, backlog: u64, threshold: u64) -> bool {
    let SalesforceTarget::Object {
        operation,
        external_id,
        via,
        ..
    } = &flow.to
    else {
        return false;
    };
    match via {
        Via::Collections => false,
        _ if matches!(operation, Operation::Insert | Operation::Delete) => false,
        // Each record's id has to be looked up.
        _ if *operation == Operation::Update && external_id.is_some() => false,
        Via::Bulk => true,
        Via::Auto => backlog >= threshold,
    }
}

impl Worker {
    /// Chooses between Collections and Bulk, and for Bulk waits until a job's records are there.
    ///
    /// # Errors
    /// As of taking records.
    pub(super) async fn choose_way(&mut self) -> Result<(), End> {
        let route = Arc::clone(&self.parts.route);
        let backlog = u64::try_from(self.stream.lag()).unwrap_or_default();
        self.is_bulk = !self.is_bulk_spent && is_bulk(&route.flow, backlog, route.bulk_threshold);
        self.window.set_rules(if self.is_bulk {
            RULES
        } else {
            target::rules(&route.flow)
        });
        while self.is_bulk && self.window.open() < JOB_RECORDS_MAX && self.window.has_room() {
            let mut records = Vec::new();
            tokio::select! {
                record = self.stream.next() => records.extend(record),
                () = tokio::time::sleep(GATHER_FOR) => {}
                () = self.stop.stopped() => return Ok(()),
            }
            while let Some(record) = (records.len() < JOB_RECORDS_MIN)
                .then(|| self.stream.try_next())
                .flatten()
            {
                records.push(record);
            }
            if records.is_empty() {
                break;
            }
            self.enter(records).await?;
        }
        Ok(())
    }

    /// Whether these go as a job; fewer are quicker without.
    pub(super) fn goes_by_bulk(&self, kind: Kind, places: &[usize]) -> bool {
        self.is_bulk && kind == Kind::Write && places.len() >= JOB_RECORDS_MIN
    }

    /// One job with these records.
    pub(super) async fn write_by_bulk(&mut self, places: &[usize]) -> Result<(), End> {
        if !self.has_budget().await? {
            return Ok(());
        }
        let parts = Arc::clone(&self.parts);
        let rest = &parts.route.shared.salesforce.rest;
        let target = target::write_target(&parts.route.flow);
        let column = target.external_id.clone().unwrap_or_else(|| "Id".to_owned());
        let mut records: Vec<Map<String, Json>> = Vec::with_capacity(places.len());
        let mut by_key: HashMap<String, usize> = HashMap::with_capacity(places.len());
        for place in places {
            let Some(Outgoing::Record { body, .. }) = self.window.item(*place).map(|item| &item.content.send)
            else {
                continue;
            };
            let body: Map<String, Json> = serde_json::from_str(body.get()).unwrap_or_default();
            if let Some(key) = bulk_key(&body, &column) {
                by_key.insert(key, *place);
                records.push(body);
            }
        }
        let csv = bulk_csv(&records);
        drop(records);
        let Ok(csv) = csv else {
            self.is_bulk_spent = true;
            return Ok(());
        };
        let span = self.request_span(places, "bulk");
        let job = match rest.create_bulk_job(&target).await {
            Ok(job) => job,
            Err(failure) => {
                span.end(Some(failure.kind));
                return self.wait_after(failure).await;
            }
        };
        tracing::info!(job = job.id, records = by_key.len(), "bulk job");
        if let Err(failure) = rest.upload_bulk_job(&job.id, csv).await {
            // An open job does nothing; Salesforce deletes it in the end.
            let _ = rest.abort_bulk_job(&job.id).await;
            span.end(Some(failure.kind));
            return self.wait_after(failure).await;
        }
        let announced = self.announce_writes_within(places, Some(JOB_WITHIN)).await?;
        self.note_job(Some(&job.id)).await?;
        // From here on it may run: the note is what keeps an order over restarts.
        let id = job.id;
        let begin = || rest.complete_bulk_job(&id);
        waits::until_done(&parts.route.status, self.over(), begin).await?;
        let done = self.until_final(&id).await?;
        let mut verdicts = HashMap::new();
        for result in [BulkResult::Successful, BulkResult::Failed] {
            let read = || rest.bulk_results(&id, result, &column);
            let rows = waits::until_done(&parts.route.status, self.over(), read).await?;
            for row in rows {
                let row = row.map_err(|error| {
                    let message = format!("the results of bulk job {id} cannot be read");
                    Failure::new(ErrorKind::Unknown, message).caused_by(error)
                })?;
                if let (Some(place), Some(verdict)) = (by_key.get(&row.key), row.verdict) {
                    verdicts.insert(*place, verdict);
                }
            }
        }
        // What it did not come to, or what came back under another key, has no verdict: record by record it gets one.
        self.is_bulk_spent = verdicts.len() < places.len();
        let early = done.filter(|job| job.state != JobState::JobComplete);
        span.end(early.as_ref().map(|_| ErrorKind::Unknown));
        if let Some(job) = early {
            tracing::warn!(
                job = job.id,
                state = job.state.name(),
                processed = job.processed,
                "bulk job ended early"
            );
        }
        self.settle_places(announced, places, &verdicts).await;
        let (answered, verdicts): (Vec<usize>, Vec<RowVerdict>) = places
            .iter()
            .filter_map(|place| Some((*place, verdicts.remove(place)?)))
            .unzip();
        self.settle(&answered, verdicts, target.operation).await?;
        self.note_job(None).await?;
        // Kept seven days otherwise, and counted.
        let _ = rest.delete_bulk_job(&id).await;
        Ok(())
    }

    /// What an earlier worker of the partition left under way.
    pub(super) async fn settle_noted_job(&mut self) -> Result<(), End> {
        let parts = Arc::clone(&self.parts);
        let (route, shared) = (&parts.route, &parts.route.shared);
        if !is_bulk(&route.flow, u64::MAX, 0) {
            return Ok(());
        }
        let key = self.job_key();
        let read = || shared.positions.read(&key, &|_| ());
        let noted = waits::until_done(&route.status, self.over(), read).await?;
        let noted = noted.and_then(|json| serde_json::from_slice::<JobNote>(&json).ok());
        let Some(id) = noted.and_then(|note| note.job) else {
            return Ok(());
        };
        tracing::info!(job = id, "a bulk job of an earlier run is settled first");
        let rest = &shared.salesforce.rest;
        let look = || rest.bulk_job(&id);
        let job = waits::until_done(&route.status, self.over(), look).await?;
        if job.is_some_and(|job| job.state == JobState::Open) {
            let abort = || rest.abort_bulk_job(&id);
            waits::until_done(&route.status, self.over(), abort).await?;
        }
        self.until_final(&id).await?;
        self.note_job(None).await
    }

    /// None: the job is gone.
    async fn until_final(&mut self, id: &str) -> Result<Option<BulkJob>, End> {
        let parts = Arc::clone(&self.parts);
        let rest = &parts.route.shared.salesforce.rest;
        let mut pause = LOOK_FIRST;
        loop {
            let look = || rest.bulk_job(id);
            let job = waits::until_done(&parts.route.status, self.over(), look).await?;
            self.parts.board.flows(&self.place);
            if job.as_ref().is_none_or(|job| job.state.is_final()) {
                return Ok(job);
            }
            self.pause_until(Instant::now() + pause).await;
            if self.is_over() {
                return Err(End::Over);
            }
            pause = (pause * 2).min(LOOK_CAP);
        }
    }

    fn job_key(&self) -> String {
        format!(
            "{}@{}[{}]",
            self.parts.route.config.name, self.place.0, self.place.1
        )
    }

    async fn note_job(&self, job: Option<&str>) -> Result<(), End> {
        let route = &self.parts.route;
        let note = JobNote {
            job: job.map(str::to_owned),
        };
        // A name or null: always JSON.
        let value = serde_json::to_vec(&note).unwrap_or_default();
        let record = route.shared.positions.record(&self.job_key(), value);
        let store = || self.parts.dead_letters.write(vec![record.clone()]);
        Ok(waits::until_done(&route.status, self.over(), store).await?)
    }
}

/// What is stored of a partition's job, under `<route>@<topic>[<partition>]` in the positions topic.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct JobNote {
    job: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Format, KafkaSource, KafkaTopics, KeyFormat, LostPositionPolicy, OnTombstone, StartPolicy,
    };

    fn flow(operation: Operation, via: Via) -> ToSalesforceConfig {
        ToSalesforceConfig {
            from: KafkaSource {
                topics: KafkaTopics::List(vec!["t".to_owned()]),
                format: Format::Json,
                start: StartPolicy::Earliest,
                on_lost_position: LostPositionPolicy::Earliest,
                key_format: KeyFormat::Text,
                key_field: None,
            },
            to: SalesforceTarget::Object {
                sobject: "Account".to_owned(),
                operation,
                external_id: Some("Ext__c".to_owned()),
                on_tombstone: OnTombstone::Delete,
                via,
            },
            filter: None,
            fields: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn auto_takes_bulk_from_the_threshold_on_and_never_for_inserts() {
        let auto = flow(Operation::Upsert, Via::Auto);
        assert!(!is_bulk(&auto, 9_999, 10_000));
        assert!(is_bulk(&auto, 10_000, 10_000));
        assert!(!is_bulk(&flow(Operation::Insert, Via::Auto), u64::MAX, 1));
        assert!(!is_bulk(&flow(Operation::Upsert, Via::Collections), u64::MAX, 1));
        assert!(is_bulk(&flow(Operation::Upsert, Via::Bulk), 1, 10_000));
        assert!(
            !is_bulk(&flow(Operation::Update, Via::Bulk), 1, 1),
            "by an external id"
        );
    }
}
