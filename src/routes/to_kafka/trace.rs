//! The span of a transaction, and its context on the records.

use std::sync::Arc;

use super::ToKafkaRoute;
use crate::error::ErrorKind;
use crate::kafka::{Record, WriteError};
use crate::routes::cloud_event::header;
use crate::telemetry::traces::{BatchAbout, BatchSpan, TRACEPARENT};

impl ToKafkaRoute {
    /// Begins a transaction's span; where there are traces, each record gets the header that names it.
    pub(super) fn transaction_span(&self, events: u64, records: &mut [Record]) -> BatchSpan {
        let span = self.shared.traces.transaction(events, || BatchAbout {
            route: &self.config.name,
            topic: only_topic(records),
            records: records.len(),
        });
        if let Some(context) = span.traceparent() {
            for record in records {
                record.headers.push(header(TRACEPARENT, context.clone()));
            }
        }
        span
    }
}

/// What a failed write is called in its span.
pub(super) fn kind_of(error: &WriteError) -> ErrorKind {
    match error {
        WriteError::Refused(_) => ErrorKind::Poison,
        WriteError::Aborted(failure) | WriteError::Lost(failure) => failure.kind,
    }
}

/// `None`: there is none, or there are several.
fn only_topic(records: &[Record]) -> Option<&str> {
    let (first, rest) = records.split_first()?;
    let is_same = |record: &Record| Arc::ptr_eq(&record.topic, &first.topic) || record.topic == first.topic;
    rest.iter().all(is_same).then_some(&*first.topic)
}
