//! Jobs of Bulk API 2.0: `Open → UploadComplete → InProgress → JobComplete | Failed`, and `Aborted` from all but the
//! last two.
//!
//! A job's rows are written in transactions of 200, whose order is not that of the rows: batches of one job run side
//! by side. What was written before a job failed or was aborted stays; the rest is unprocessed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use csv::StringRecord;
use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::Serialize;

use crate::simulator::bulk::{BulkFault, BulkRules};
use crate::simulator::faults::Waiting;
use crate::simulator::writes::RecordError;

use super::Org;
use super::row::{Row, Verb};
use super::sheet::{self, Dialect, Results};
use super::sobject::SObject;
use super::write::{Batch, Outcome};

/// Rows of one transaction.
const ROWS_A_TRANSACTION: usize = 200;
/// Rows of one of the batches that the day's limit counts.
const ROWS_A_BATCH: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum JobState {
    Open,
    UploadComplete,
    InProgress,
    JobComplete,
    Failed,
    Aborted,
}

impl JobState {
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }
}

/// What a client asks for when it creates a job.
#[derive(Debug, Clone)]
pub(crate) struct JobOrder {
    pub(crate) object: Arc<SObject>,
    /// As it was asked for: `upsert`.
    pub(crate) operation: String,
    pub(crate) verb: Verb,
    pub(crate) dialect: Dialect,
    pub(crate) origin: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) order: JobOrder,
    pub(crate) state: JobState,
    pub(crate) created_at_ms: i64,
    pub(crate) changed_at_ms: i64,
    pub(crate) error_message: Option<String>,
    content: Option<Vec<u8>>,
    columns: StringRecord,
    /// In the order in which results show them.
    rows: Vec<(StringRecord, Option<Outcome>)>,
}

impl Job {
    pub(crate) fn processed(&self) -> usize {
        self.rows.iter().filter(|(_, outcome)| outcome.is_some()).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Some(Err(_))))
            .count()
    }

    pub(crate) fn results(&self, which: Results) -> Vec<u8> {
        let rows = self.rows.iter().map(|(row, outcome)| (row, outcome.as_ref()));
        sheet::results(self.order.dialect, &self.columns, rows, which).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) rules: Mutex<BulkRules>,
    pub(crate) faults: Waiting<BulkFault>,
    jobs: Mutex<BTreeMap<String, Job>>,
}

/// Why a job does not do as it is told: the code and the sentence.
pub(crate) type JobRefusal = (&'static str, String);

impl Jobs {
    /// `id` was no other job's, ever.
    pub(crate) fn create(&self, id: String, order: JobOrder, now_ms: i64) -> Job {
        let job = Job {
            id,
            order,
            state: JobState::Open,
            created_at_ms: now_ms,
            changed_at_ms: now_ms,
            error_message: None,
            content: None,
            columns: StringRecord::new(),
            rows: Vec::new(),
        };
        self.jobs.lock().insert(job.id.clone(), job.clone());
        job
    }

    pub(crate) fn get(&self, id: &str) -> Option<Job> {
        self.jobs.lock().get(id).cloned()
    }

    /// All of them, the oldest first, without their rows.
    pub(crate) fn all(&self) -> Vec<Job> {
        let jobs = self.jobs.lock();
        let bare = |job: &Job| Job {
            content: None,
            ..job.clone()
        };
        jobs.values().map(bare).collect()
    }

    pub(crate) fn upload(&self, id: &str, content: &[u8]) -> Option<Result<(), JobRefusal>> {
        let mut jobs = self.jobs.lock();
        let job = jobs.get_mut(id)?;
        Some(if job.state != JobState::Open {
            Err((
                "INVALIDJOBSTATE",
                format!("The job is {:?}, not Open.", job.state),
            ))
        } else if job.content.is_some() {
            let message =
                format!("Found multiple contents for job: <{id}>, please 'Close' / 'Abort' / 'Delete' it.");
            Err(("INVALIDJOBSTATE", message))
        } else {
            job.content = Some(content.to_vec());
            Ok(())
        })
    }

    /// Ends a job before its time.
    pub(crate) fn abort(&self, id: &str, now_ms: i64) -> Option<Result<Job, JobRefusal>> {
        let mut jobs = self.jobs.lock();
        let job = jobs.get_mut(id)?;
        if job.state.is_final() {
            let message = "Aborting already Completed Job not allowed";
            return Some(Err(("INVALIDJOBSTATE", message.to_owned())));
        }
        job.state = JobState::Aborted;
        job.changed_at_ms = now_ms;
        Some(Ok(job.clone()))
    }

    pub(crate) fn delete(&self, id: &str) -> Option<Result<(), JobRefusal>> {
        let mut jobs = self.jobs.lock();
        let job = jobs.get_mut(id)?;
        if !job.state.is_final() && job.state != JobState::UploadComplete {
            let message = "Error encountered when deleting the job because the job is not terminated";
            return Some(Err(("API_ERROR", message.to_owned())));
        }
        jobs.remove(id);
        Some(Ok(()))
    }

    /// Changes a job that is still in this state; false where it is not.
    fn advance(&self, id: &str, from: JobState, change: impl FnOnce(&mut Job)) -> bool {
        let mut jobs = self.jobs.lock();
        let job = jobs.get_mut(id).filter(|job| job.state == from);
        job.map(change).is_some()
    }
}

impl Org {
    /// Closes a job's upload. The rows are written by [`run_job`].
    pub(crate) fn close_job(&self, id: &str) -> Option<Result<Job, JobRefusal>> {
        let now_ms = self.clock.now_ms();
        let seed = self.jobs.rules.lock().seed;
        let mut jobs = self.jobs.jobs.lock();
        let job = jobs.get_mut(id)?;
        if job.state != JobState::Open {
            let message = "Closing already Completed Job not allowed";
            return Some(Err(("INVALIDJOBSTATE", message.to_owned())));
        }
        let content = job.content.take().unwrap_or_default();
        match sheet::read(job.order.dialect, &content) {
            Ok(sheet) => {
                let unknown = sheet::unknown_column(&job.order.object, &sheet);
                job.error_message =
                    unknown.map(|name| format!("InvalidBatch : Field name not found : {name}"));
                job.columns = sheet.columns;
                job.rows = sheet.rows.into_iter().map(|row| (row, None)).collect();
            }
            Err(error) => job.error_message = Some(error),
        }
        let batches = job.rows.len().div_ceil(ROWS_A_BATCH);
        if !(0..batches).all(|_| self.daily_batches.take(now_ms)) {
            job.error_message = Some("ExceededQuota : ApiBatchItems Limit exceeded.".to_owned());
        }
        job.rows.shuffle(&mut StdRng::seed_from_u64(seed));
        job.state = JobState::UploadComplete;
        job.changed_at_ms = now_ms;
        Some(Ok(job.clone()))
    }

    fn write_rows(&self, order: &JobOrder, columns: &StringRecord, rows: &[StringRecord]) -> Vec<Outcome> {
        let row = |row: &StringRecord| {
            Ok(Row {
                object: order.object.clone(),
                fields: sheet::fields(columns, row),
            })
        };
        let batch = Batch {
            verb: order.verb.clone(),
            rows: rows.iter().map(row).collect(),
            all_or_none: false,
            origin: order.origin.clone(),
            misfits_cost_one_record: true,
        };
        // What REST's parser stops at is here the row's own fault.
        let renamed = |error: RecordError| match error.status_code.as_str() {
            "JSON_PARSER_ERROR" => RecordError {
                status_code: "INVALID_TYPE_ON_FIELD_IN_RECORD".to_owned(),
                ..error
            },
            _ => error,
        };
        match self.write(&batch) {
            Ok(outcomes) => outcomes
                .into_iter()
                .map(|outcome| outcome.map_err(renamed))
                .collect(),
            Err(error) => vec![Err(renamed(error)); rows.len()],
        }
    }
}

/// Takes a closed job to its end, unless somebody aborts it.
pub(crate) async fn run_job(org: Arc<Org>, id: String) {
    let rules = *org.jobs.rules.lock();
    tokio::time::sleep(Duration::from_millis(rules.queued_ms)).await;
    let mut began = None;
    org.jobs.advance(&id, JobState::UploadComplete, |job| {
        job.state = JobState::InProgress;
        let rows: Vec<_> = job.rows.iter().map(|(row, _)| row.clone()).collect();
        began = Some((
            job.order.clone(),
            job.columns.clone(),
            rows,
            job.error_message.clone(),
        ));
    });
    let Some((order, columns, rows, mut error)) = began else {
        return;
    };
    let fault = org.jobs.faults.take_first(|fault| {
        let only = fault.sobject.as_deref();
        only.is_none_or(|only| only.eq_ignore_ascii_case(&order.object.name))
    });
    let mut until = if error.is_some() { 0 } else { rows.len() };
    if let Some(fault) = fault {
        until = until.min(fault.after_rows);
        error.get_or_insert(fault.error_message);
    }
    let parts = rows.chunks(ROWS_A_TRANSACTION).count().max(1);
    let pause = Duration::from_millis(rules.processing_ms) / u32::try_from(parts).unwrap_or(u32::MAX);
    for (part, rows) in rows.chunks(ROWS_A_TRANSACTION).enumerate() {
        let first = part * ROWS_A_TRANSACTION;
        if first >= until {
            break;
        }
        tokio::time::sleep(pause).await;
        if org
            .jobs
            .get(&id)
            .is_none_or(|job| job.state != JobState::InProgress)
        {
            return;
        }
        let outcomes = org.write_rows(&order, &columns, rows);
        org.jobs.advance(&id, JobState::InProgress, |job| {
            for ((_, slot), outcome) in job.rows.iter_mut().skip(first).zip(outcomes) {
                *slot = Some(outcome);
            }
        });
    }
    if rows.is_empty() {
        tokio::time::sleep(pause).await;
    }
    let now_ms = org.clock.now_ms();
    org.jobs.advance(&id, JobState::InProgress, |job| {
        job.state = if error.is_some() {
            JobState::Failed
        } else {
            JobState::JobComplete
        };
        job.error_message = error;
        job.changed_at_ms = now_ms;
    });
}
