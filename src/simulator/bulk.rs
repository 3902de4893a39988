//! Bulk API 2.0 under control: how long jobs take, and jobs that fail. The jobs are in `org::jobs`.

use serde::Deserialize;

use super::control::Control;
use super::faults::Counted;

/// How jobs go, until it is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BulkRules {
    /// From `UploadComplete` to `InProgress`.
    pub queued_ms: u64,
    /// From there to `JobComplete`. The rows are written by and by.
    pub processing_ms: u64,
    /// Of the order in which results come, and parts of a job are written.
    pub seed: u64,
}

/// Jobs to come that end as `Failed`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkFault {
    /// Default: any.
    #[serde(default)]
    pub sobject: Option<String>,
    /// `TooManyLockFailure : …`, `InvalidBatch : …`
    pub error_message: String,
    /// Rows that are written before, and stay so. It is rounded up to whole transactions of 200.
    #[serde(default)]
    pub after_rows: usize,
    /// How many jobs it meets; 0 is one.
    #[serde(default)]
    pub times: u32,
}

impl Counted for BulkFault {
    fn times_left(&mut self) -> &mut u32 {
        &mut self.times
    }
}

impl Control {
    pub fn set_bulk_rules(&self, rules: BulkRules) {
        *self.org().jobs.rules.lock() = rules;
    }

    /// Makes jobs to come fail.
    pub fn bulk_fault(&self, mut fault: BulkFault) {
        fault.times = fault.times.max(1);
        self.org().jobs.faults.push(fault);
    }
}
