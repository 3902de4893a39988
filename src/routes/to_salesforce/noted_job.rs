//! The note of a partition's Bulk job in Kafka, written before the job may run.
//!
//! A worker that finds a noted job at its start aborts it while it is open, and waits for it while it runs, so that no
//! older version of a record is written behind a newer one; then it sends what is not committed once more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::worker::{End, Worker};
use crate::config::SalesforceTarget;
use crate::error::{ErrorKind, Failure};
use crate::salesforce::rest::{BulkJob, JobState};

/// Between two looks at a running job.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LOOK_CAP: Duration = Duration::from_secs(20);
/// A job that takes longer is shown as a wait.
const SHOWN_AFTER: Duration = Duration::from_secs(5);

impl Worker {
    /// What an earlier worker of the partition left under way.
    pub(super) async fn settle_noted_job(&mut self) -> Result<(), End> {
        let parts = Arc::clone(&self.parts);
        let (route, shared) = (&parts.route, &parts.route.shared);
        // Whatever `via` says now: it may have been another when the job was made.
        if matches!(route.flow.to, SalesforceTarget::Event { .. }) {
            return Ok(());
        }
        let key = self.job_key();
        let read = || shared.positions.read(&key, &|_| ());
        let noted = self.until_done(read).await?;
        let noted = noted.and_then(|json| serde_json::from_slice::<JobNote>(&json).ok());
        let Some(id) = noted.and_then(|note| note.job) else {
            return Ok(());
        };
        tracing::info!(job = id, "a bulk job of an earlier run is settled first");
        let rest = &shared.salesforce.rest;
        let look = || rest.bulk_job(&id);
        let job = self.until_done(look).await?;
        if job.is_some_and(|job| job.state == JobState::Open) {
            let abort = || rest.abort_bulk_job(&id);
            self.until_done(abort).await?;
        }
        self.until_final(&id).await?;
        self.note_job(None).await
    }

    /// None: the job is gone.
    pub(super) async fn until_final(&mut self, id: &str) -> Result<Option<BulkJob>, End> {
        let parts = Arc::clone(&self.parts);
        let rest = &parts.route.shared.salesforce.rest;
        let (begun, mut pause) = (Instant::now(), LOOK_FIRST);
        loop {
            let look = || rest.bulk_job(id);
            let job = self.until_done(look).await?;
            let Some(running) = job.as_ref().filter(|job| !job.state.is_final()) else {
                self.parts.board.flows(&self.place);
                return Ok(job);
            };
            if begun.elapsed() < SHOWN_AFTER {
                self.parts.board.flows(&self.place);
                self.pause_until(Instant::now() + pause).await;
            } else {
                self.wait(&unfinished(running), pause).await;
            }
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

    pub(super) async fn note_job(&self, job: Option<&str>) -> Result<(), End> {
        let route = &self.parts.route;
        let note = JobNote {
            job: job.map(str::to_owned),
        };
        // A name or null: always JSON.
        let value = serde_json::to_vec(&note).unwrap_or_default();
        let record = route.shared.positions.record(&self.job_key(), value);
        let store = || self.parts.dead_letters.write(vec![record.clone()]);
        Ok(self.until_done(store).await?)
    }
}

/// Why nothing goes while a job runs.
fn unfinished(job: &BulkJob) -> Failure {
    let message = format!(
        "Salesforce has not finished bulk job {} yet: it is {}, {} of its records are tried",
        job.id,
        job.state.name(),
        job.processed
    );
    Failure::new(ErrorKind::Transient, message)
        .remedy("it goes on by itself; Setup, Bulk Data Load Jobs shows what the org's jobs wait for")
}

/// What is stored of a partition's job, under `<route>@<topic>[<partition>]` in the positions topic.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct JobNote {
    job: Option<String>,
}
