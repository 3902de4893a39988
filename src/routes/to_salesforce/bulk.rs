//! A large backlog through Bulk API 2.0: one job at a time a partition, one version of a record a job.
//!
//! The job's id is noted in Kafka before it may run (`noted_job`). Every row comes back with a verdict, matched by the
//! record's key: its external id for an upsert, its id for an update or a delete. What the job did not come to goes
//! through Collections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::target;
use super::window::{Kind, Rules};
use super::worker::{End, Worker};
use crate::config::{Operation, SalesforceTarget, ToSalesforceConfig, Via};
use crate::error::{ErrorKind, Failure};
use crate::routes::loop_guard::Announced;
use crate::salesforce::rest::{BulkResult, JobState, RowVerdict, WriteTarget, bulk_csv, bulk_key};

/// A job of more rows is split by Salesforce into batches of so many, which run side by side.
const JOB_RECORDS_MAX: usize = 10_000;
/// Fewer go faster through Collections.
const JOB_RECORDS_MIN: usize = 400;
/// What has not come by then is not there yet.
const GATHER_FOR: Duration = Duration::from_millis(500);
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
    let SalesforceTarget::Object { operation, via, .. } = &flow.to else {
        return false;
    };
    match via {
        _ if *operation == Operation::Insert => false,
        Via::Collections => false,
        Via::Bulk => true,
        Via::Auto => backlog >= threshold,
    }
}

/// What a job is made of.
struct Rows {
    target: WriteTarget,
    /// The column whose cell is a row's key.
    column: String,
    records: Vec<Map<String, Json>>,
    /// Whose they are, in their order.
    places: Vec<usize>,
    by_key: HashMap<String, usize>,
}

impl Rows {
    fn new(target: WriteTarget) -> Self {
        let column = match (target.operation, &target.external_id) {
            (Operation::Upsert, Some(field)) => field.clone(),
            _ => "Id".to_owned(),
        };
        Self {
            target,
            column,
            records: Vec::new(),
            places: Vec::new(),
            by_key: HashMap::new(),
        }
    }

    /// One without a key, or with another's, stays out: it goes through Collections.
    fn push(&mut self, place: usize, record: Map<String, Json>) {
        let Some(key) = bulk_key(&record, &self.column) else {
            return;
        };
        if let Entry::Vacant(free) = self.by_key.entry(key) {
            free.insert(place);
            self.places.push(place);
            self.records.push(record);
        }
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
        let is_left = self.window.committable() < self.collections_before;
        self.is_bulk = !is_left && is_bulk(&route.flow, backlog, route.bulk_threshold);
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
        self.is_bulk && matches!(kind, Kind::Write | Kind::Delete) && places.len() >= JOB_RECORDS_MIN
    }

    /// If Bulk said of fewer records than are open, what is in the window goes without it.
    fn leave_to_collections(&mut self, places: &[usize], verdicts: usize) {
        let open = places.iter().filter(|place| self.window.peek(**place).is_some());
        if verdicts < open.count() {
            self.collections_before = self.window.end();
        }
    }

    /// The rows of these records, whose ids are looked up where that takes one.
    async fn rows(&mut self, kind: Kind, places: &[usize]) -> Result<Rows, End> {
        let mut target = target::write_target(&self.parts.route.flow);
        if kind == Kind::Delete {
            let (places, ids) = self.find_victims(places, &target).await?;
            target.operation = Operation::Delete;
            let mut rows = Rows::new(target);
            for (place, id) in places.into_iter().zip(ids) {
                rows.push(place, Map::from_iter([("Id".to_owned(), json!(id))]));
            }
            return Ok(rows);
        }
        let places = self.ready(places, &target).await?;
        let mut rows = Rows::new(target);
        for place in places {
            let body = self.body(place).map(|body| serde_json::from_str(body.get()));
            if let Some(Ok(record)) = body {
                rows.push(place, record);
            }
        }
        Ok(rows)
    }

    async fn announce_rows(&mut self, rows: &Rows) -> Result<Announced, End> {
        if rows.target.operation != Operation::Delete {
            return self.announce_writes(&rows.places, Some(JOB_WITHIN)).await;
        }
        let ids = rows
            .records
            .iter()
            .filter_map(|record| record.get("Id")?.as_str());
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        self.announce_deletes(&rows.target.sobject, &ids, Some(JOB_WITHIN))
            .await
    }

    /// One job with these records.
    pub(super) async fn write_by_bulk(&mut self, kind: Kind, places: &[usize]) -> Result<(), End> {
        if !self.has_budget().await? {
            return Ok(());
        }
        let parts = Arc::clone(&self.parts);
        let rest = &parts.route.shared.salesforce.rest;
        let mut rows = self.rows(kind, places).await?;
        let csv = bulk_csv(&rows.records);
        let (false, Ok(csv)) = (rows.records.is_empty(), csv) else {
            self.leave_to_collections(places, 0);
            return Ok(());
        };
        let span = self.request_span(&rows.places, "bulk");
        let job = match rest.create_bulk_job(&rows.target).await {
            Ok(job) => job,
            Err(failure) => {
                span.end(Some(failure.kind));
                return self.wait_after(failure).await;
            }
        };
        tracing::info!(job = job.id, records = rows.places.len(), "bulk job");
        if let Err(failure) = rest.upload_bulk_job(&job.id, csv).await {
            // An open job does nothing; Salesforce deletes it in the end.
            let _ = rest.abort_bulk_job(&job.id).await;
            span.end(Some(failure.kind));
            return self.wait_after(failure).await;
        }
        let announced = self.announce_rows(&rows).await?;
        rows.records = Vec::new();
        self.note_job(Some(&job.id)).await?;
        // From here on it may run: the note is what keeps an order over restarts.
        let id = job.id;
        let begin = || rest.complete_bulk_job(&id);
        self.until_done(begin).await?;
        let done = self.until_final(&id).await?;
        let mut verdicts = HashMap::new();
        for result in [BulkResult::Successful, BulkResult::Failed] {
            let read = || rest.bulk_results(&id, result, &rows.column);
            for row in self.until_done(read).await? {
                let row = row.map_err(|error| {
                    let message = format!("the results of bulk job {id} cannot be read");
                    Failure::new(ErrorKind::Unknown, message).caused_by(error)
                })?;
                if let (Some(place), Some(verdict)) = (rows.by_key.get(&row.key), row.verdict) {
                    verdicts.insert(*place, verdict);
                }
            }
        }
        // What it did not come to, or what came back under another key, has no verdict: record by record it gets one.
        self.leave_to_collections(places, verdicts.len());
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
        self.settle_places(announced, &rows.places, &verdicts).await;
        let (answered, verdicts): (Vec<usize>, Vec<RowVerdict>) = rows
            .places
            .iter()
            .filter_map(|place| Some((*place, verdicts.remove(place)?)))
            .unzip();
        self.settle(&answered, verdicts, rows.target.operation).await?;
        self.note_job(None).await?;
        // Kept seven days otherwise, and counted.
        let _ = rest.delete_bulk_job(&id).await;
        Ok(())
    }
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
        for operation in [Operation::Update, Operation::Delete] {
            assert!(is_bulk(&flow(operation, Via::Bulk), 1, 10_000));
        }
    }
}
