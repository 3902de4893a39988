//! Bulk API 2.0 ingest: many records as one job.
//!
//! ```text
//!  create (Open) ──▶ upload, once ──▶ complete ──▶ status … until final ──▶ results, three times ──▶ delete
//!                        └▶ abort: a job that is Open does nothing by itself, and is gone after a day
//! ```
//!
//! * The batches of a job run side by side: one version of a record a job, and no order between its records.
//! * `complete` is the point of no return. Every call may be made again: what another try has done already is found,
//!   not refused. The one exception is `upload`: after one whose outcome is unknown the job is aborted.
//! * A job that is `Failed` or `Aborted` keeps what it has written; its results say which. What it left goes through
//!   Collections, which say of every record why.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::config::Operation;
use crate::error::{ErrorKind, Failure};
use crate::salesforce::http::Answer;

use super::bulk_csv::{BulkResult, BulkRows};
use super::call::{Call, CallError, garbled};
use super::collections::WriteTarget;
use super::refusal::{Deed, is_word};
use super::{RestClient, soql};

/// An upload, as the API takes it: 150 MB of a job after it is encoded.
pub const BULK_UPLOAD_BYTES_MAX: usize = 100 * 1024 * 1024;
/// What the results of a job may have: its rows again, each with an id or an error.
const RESULT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Megabytes over an ordinary line.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(600);
/// A call that the job's state does not allow.
const INVALID_STATE: &str = "InvalidJobState";

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It takes its upload.
    Open,
    /// It is waiting to be processed.
    UploadComplete,
    InProgress,
    /// Every row was tried; some may have failed.
    JobComplete,
    /// It was given up; rows that were written stay.
    Failed,
    Aborted,
}

impl JobState {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Open" => Self::Open,
            "UploadComplete" => Self::UploadComplete,
            "InProgress" => Self::InProgress,
            "JobComplete" => Self::JobComplete,
            "Failed" => Self::Failed,
            "Aborted" => Self::Aborted,
            _ => return None,
        })
    }

    /// Salesforce's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::UploadComplete => "UploadComplete",
            Self::InProgress => "InProgress",
            Self::JobComplete => "JobComplete",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    /// Nothing happens to it any more: its results can be read.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }
}

/// A job as Salesforce tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct BulkJob {
    pub id: String,
    pub state: JobState,
    /// Rows tried, those that failed among them.
    pub processed: u64,
    pub failed: u64,
    /// Why the whole job failed. It may hold field values: for a dead letter only.
    pub error_message: Option<String>,
}

impl BulkJob {
    /// Salesforce's word for why the whole job failed, safe to show: `InvalidBatch`, `TooManyLockFailure`, or
    /// `ExceededQuota` where the day's batches are used up.
    pub fn failure_code(&self) -> Option<&str> {
        let (code, _) = self.error_message.as_deref()?.split_once(':')?;
        Some(code.trim()).filter(|code| is_word(code))
    }
}

impl std::fmt::Debug for BulkJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkJob")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("processed", &self.processed)
            .field("failed", &self.failed)
            .field("failure_code", &self.failure_code())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobBody {
    id: String,
    state: String,
    // Not there before it runs.
    number_records_processed: Option<u64>,
    number_records_failed: Option<u64>,
    error_message: Option<String>,
}

/// A request and an answer about one job, for messages.
fn about(id: &str) -> String {
    format!("bulk job {id}")
}

fn job(answer: &Answer, about: &str) -> Result<BulkJob, Failure> {
    let read = serde_json::from_slice::<JobBody>(&answer.body).ok();
    let read = read.and_then(|body| {
        Some(BulkJob {
            state: JobState::parse(&body.state)?,
            id: body.id,
            processed: body.number_records_processed.unwrap_or_default(),
            failed: body.number_records_failed.unwrap_or_default(),
            error_message: body.error_message.filter(|message| !message.is_empty()),
        })
    });
    read.ok_or_else(|| garbled(about))
}

impl RestClient {
    /// A new job, `Open`. One that nobody uploads to does nothing.
    ///
    /// # Errors
    /// `Denied`: the user may not, or the object does not exist. `Throttled`: the day's jobs are used up.
    pub async fn create_bulk_job(&self, target: &WriteTarget) -> Result<BulkJob, Failure> {
        let mut body = json!({
            "object": target.sobject,
            "operation": operation_name(target.operation),
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        });
        if let (Operation::Upsert, Some(field), Some(body)) =
            (target.operation, &target.external_id, body.as_object_mut())
        {
            body.insert("externalIdFieldName".to_owned(), json!(field));
        }
        let path = format!("{}/jobs/ingest", self.0.base);
        let call = Call::write(Method::POST, path).json(body.to_string());
        let answer = self.call(&call).await;
        let answer = answer.map_err(|error| error.into_failure(Deed::Write, &target.sobject))?;
        job(&answer, &target.sobject)
    }

    /// Gives an `Open` job its rows ([`super::bulk_csv`]), once; at most [`BULK_UPLOAD_BYTES_MAX`].
    ///
    /// # Errors
    /// Whatever it is: abort the job and create another one.
    pub async fn upload_bulk_job(&self, id: &str, csv: impl Into<Bytes>) -> Result<(), Failure> {
        let path = format!("{}/batches", self.job_path(id)?);
        let call = Call {
            body: Some((csv.into(), "text/csv")),
            timeout: TRANSFER_TIMEOUT,
            ..Call::write(Method::PUT, path)
        };
        let answer = self.call(&call).await;
        answer.map_err(|error| error.into_failure(Deed::Write, &about(id)))?;
        Ok(())
    }

    /// Lets the job run, or finds that it does already: look at its state. `Open` still: it has no upload.
    ///
    /// # Errors
    /// `Transient`: it may run or not; call again. `Denied`: there is no such job.
    pub async fn complete_bulk_job(&self, id: &str) -> Result<BulkJob, Failure> {
        let changed = self.change_job(id, JobState::UploadComplete).await?;
        changed.ok_or_else(|| {
            let failure = Failure::new(ErrorKind::Denied, format!("Salesforce has no {}", about(id)));
            failure.remedy("somebody deleted it: resume, and its records are sent again")
        })
    }

    /// Stops a job that is not final, or finds that it is; `None`: there is no such job. What it has written stays.
    ///
    /// # Errors
    /// When Salesforce does not answer, or refuses.
    pub async fn abort_bulk_job(&self, id: &str) -> Result<Option<BulkJob>, Failure> {
        self.change_job(id, JobState::Aborted).await
    }

    /// Where the job stands; `None`: there is no such job, for Salesforce keeps them seven days.
    ///
    /// # Errors
    /// When Salesforce does not answer, or refuses.
    pub async fn bulk_job(&self, id: &str) -> Result<Option<BulkJob>, Failure> {
        let answer = self.call(&Call::get(self.job_path(id)?)).await;
        found(answer, id)
    }

    /// The rows of a final job that came out so, matched to their records by the column `key`.
    ///
    /// # Errors
    /// When Salesforce does not answer, or with something else than such rows.
    pub async fn bulk_results(&self, id: &str, result: BulkResult, key: &str) -> Result<BulkRows, Failure> {
        let path = format!("{}/{}/", self.job_path(id)?, result.resource());
        let call = Call {
            timeout: TRANSFER_TIMEOUT,
            answer_bytes_max: RESULT_BYTES_MAX,
            ..Call::get(path)
        };
        let answer = self.call(&call).await;
        let answer = answer.map_err(|error| error.into_failure(Deed::Read, &about(id)))?;
        BulkRows::read(answer.body, result, key).map_err(|error| garbled(&about(id)).caused_by(error))
    }

    /// Deletes a job that is final, or waits to be processed, with its rows and results. One that is gone is no error.
    ///
    /// # Errors
    /// When Salesforce does not answer, or refuses.
    pub async fn delete_bulk_job(&self, id: &str) -> Result<(), Failure> {
        let call = Call::write(Method::DELETE, self.job_path(id)?);
        match self.call(&call).await {
            Ok(_) => Ok(()),
            Err(error) if error.has_status(404) => Ok(()),
            Err(error) => Err(error.into_failure(Deed::Write, &about(id))),
        }
    }

    async fn change_job(&self, id: &str, state: JobState) -> Result<Option<BulkJob>, Failure> {
        let body = json!({ "state": state.name() }).to_string();
        let call = Call::write(Method::PATCH, self.job_path(id)?).json(body);
        match self.call(&call).await {
            // It is in that state, or past it.
            Err(error) if error.has_code(INVALID_STATE) => self.bulk_job(id).await,
            answer => found(answer, id),
        }
    }

    fn job_path(&self, id: &str) -> Result<String, Failure> {
        if !id.is_empty() && soql::is_name(&format!("A{id}")) {
            return Ok(format!("{}/jobs/ingest/{id}", self.0.base));
        }
        let message = "the id of a bulk job is none: it must not go into a request";
        Err(Failure::new(ErrorKind::Unknown, message))
    }
}

fn found(answer: Result<Answer, CallError>, id: &str) -> Result<Option<BulkJob>, Failure> {
    match answer {
        Ok(answer) => job(&answer, &about(id)).map(Some),
        Err(error) if error.has_status(404) => Ok(None),
        Err(error) => Err(error.into_failure(Deed::Write, &about(id))),
    }
}

const fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Upsert => "upsert",
        Operation::Update => "update",
        Operation::Insert => "insert",
        Operation::Delete => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::super::write_tests::Host;
    use super::super::{RowVerdict, bulk_csv};
    use super::*;

    const ID: &str = "7505e00000ABCDEAAQ";
    const PATH: &str = "/services/data/v66.0/jobs/ingest";

    fn body(state: &str) -> String {
        json!({"id": ID, "state": state, "object": "Account", "numberRecordsProcessed": 3, "numberRecordsFailed": 1,
            "errorMessage": "a Secret Value"})
        .to_string()
    }

    fn refused(code: &str) -> String {
        json!([{"errorCode": code, "message": "Aborting already Completed Job not allowed"}]).to_string()
    }

    fn target() -> WriteTarget {
        WriteTarget {
            sobject: "Account".to_owned(),
            operation: Operation::Upsert,
            external_id: Some("Ext__c".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_job_goes_from_its_creation_to_its_results() {
        let host = Host::start().await;
        let client = &host.client;
        host.answer(
            200,
            json!({"id": ID, "state": "Open", "contentUrl": "x"}).to_string(),
        );
        let job = client.create_bulk_job(&target()).await.expect("created");
        assert_eq!(
            (job.id.as_str(), job.state, job.processed),
            (ID, JobState::Open, 0)
        );

        host.answer(201, "");
        let record = json!({"Ext__c": "a", "Name": null});
        let csv = bulk_csv(&[record.as_object().cloned().expect("an object")]).expect("fits");
        client.upload_bulk_job(ID, csv).await.expect("uploaded");
        host.answer(200, body("UploadComplete"));
        let job = client.complete_bulk_job(ID).await.expect("complete");
        assert_eq!(job.state, JobState::UploadComplete);
        host.answer(200, body("JobComplete"));
        let job = client.bulk_job(ID).await.expect("a status").expect("a job");
        assert!(job.state.is_final() && (job.processed, job.failed) == (3, 1));
        assert!(!format!("{job:?}").contains("Secret"));

        host.answer(200, "sf__Id,sf__Created,Ext__c,Name\n001A,true,a,\n");
        host.answer(200, "sf__Id,sf__Error,Ext__c,Name\n,UNABLE_TO_LOCK_ROW:m:--,b,\n");
        host.answer(200, "Ext__c,Name\nc,\n");
        let mut keys = Vec::new();
        for result in [
            BulkResult::Successful,
            BulkResult::Failed,
            BulkResult::Unprocessed,
        ] {
            let rows = client.bulk_results(ID, result, "Ext__c").await.expect("rows");
            keys.extend(rows.map(|row| row.expect("a row")));
        }
        assert_eq!(
            keys.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert!(matches!(
            keys[0].verdict,
            Some(RowVerdict::Done { created: true, .. })
        ));
        assert!(matches!(keys[1].verdict, Some(RowVerdict::Refused(_))));
        host.answer(204, "");
        client.delete_bulk_job(ID).await.expect("deleted");

        let asked = host.asked();
        let lines: Vec<_> = asked.iter().map(|asked| asked.line.clone()).collect();
        assert_eq!(
            lines,
            [
                format!("POST {PATH}"),
                format!("PUT {PATH}/{ID}/batches"),
                format!("PATCH {PATH}/{ID}"),
                format!("GET {PATH}/{ID}"),
                format!("GET {PATH}/{ID}/successfulResults/"),
                format!("GET {PATH}/{ID}/failedResults/"),
                format!("GET {PATH}/{ID}/unprocessedrecords/"),
                format!("DELETE {PATH}/{ID}"),
            ]
        );
        assert_eq!(
            asked[0].json(),
            json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Ext__c", "contentType": "CSV",
                "lineEnding": "LF", "columnDelimiter": "COMMA"})
        );
        assert_eq!(asked[1].header("content-type"), Some("text/csv"));
        assert_eq!(&asked[1].body[..], b"Ext__c,Name\na,#N/A\n");
        assert_eq!(asked[2].json(), json!({"state": "UploadComplete"}));
        for asked in asked.iter().filter(|asked| !asked.line.starts_with("GET")) {
            assert_eq!(asked.header("sforce-call-options"), Some("client=sfbridge-crm"));
        }
    }

    #[tokio::test]
    async fn what_another_try_has_done_already_is_found() {
        let host = Host::start().await;
        let client = &host.client;
        for code in ["INVALIDJOBSTATE", "InvalidJobState"] {
            host.answer(400, refused(code));
            host.answer(200, body("InProgress"));
            let job = client.complete_bulk_job(ID).await.expect("runs already");
            assert_eq!(job.state, JobState::InProgress);
        }
        host.answer(400, refused("INVALIDJOBSTATE"));
        host.answer(200, body("JobComplete"));
        let job = client.abort_bulk_job(ID).await.expect("a state").expect("a job");
        assert_eq!(job.state, JobState::JobComplete);
        host.answer(404, refused("NOT_FOUND"));
        client.delete_bulk_job(ID).await.expect("gone already");
    }

    #[tokio::test]
    async fn a_job_that_is_not_there_is_told_from_a_failure() {
        let host = Host::start().await;
        let client = &host.client;
        host.answer(404, refused("NOT_FOUND"));
        assert_eq!(client.bulk_job(ID).await.expect("an answer"), None);
        host.answer(404, refused("NOT_FOUND"));
        assert_eq!(client.abort_bulk_job(ID).await.expect("an answer"), None);
        host.answer(404, refused("NOT_FOUND"));
        let failure = client.complete_bulk_job(ID).await.expect_err("no job");
        assert_eq!(failure.kind, ErrorKind::Denied);
        assert!(failure.message.contains(ID));
        host.answer(503, "");
        let failure = client.bulk_job(ID).await.expect_err("an outage");
        assert_eq!(failure.kind, ErrorKind::Transient);
        host.answer(200, body("Something"));
        assert_eq!(
            client.bulk_job(ID).await.expect_err("garbled").kind,
            ErrorKind::Transient
        );
        host.answer(400, refused("EXCEEDEDQUOTA"));
        let failure = client
            .create_bulk_job(&target())
            .await
            .expect_err("no more today");
        assert_eq!(failure.kind, ErrorKind::Throttled);
        let asked = host.asked().len();
        assert!(client.bulk_job("../x").await.is_err() && client.bulk_job("").await.is_err());
        assert_eq!(host.asked().len(), asked);
    }

    #[test]
    fn every_state_is_known_by_its_name() {
        for state in [
            JobState::Open,
            JobState::UploadComplete,
            JobState::InProgress,
            JobState::JobComplete,
            JobState::Failed,
            JobState::Aborted,
        ] {
            assert_eq!(JobState::parse(state.name()), Some(state));
        }
        assert_eq!(JobState::parse("Closed"), None);
    }

    #[test]
    fn of_a_jobs_own_failure_the_code_alone_is_shown() {
        let job = |message: &str| BulkJob {
            id: ID.to_owned(),
            state: JobState::Failed,
            processed: 0,
            failed: 0,
            error_message: Some(message.to_owned()),
        };
        let quota = job("ExceededQuota : ApiBatchItems Limit exceeded.");
        assert_eq!(quota.failure_code(), Some("ExceededQuota"));
        let field = job("InvalidBatch : Field name not found : Secret");
        assert!(!format!("{field:?}").contains("Secret"));
        for none in ["a secret : text", "", "text"] {
            assert_eq!(job(none).failure_code(), None);
        }
    }
}
