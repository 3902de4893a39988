//! The span of a request, and its links to the batches that its records were written in.

use super::worker::Worker;
use crate::config::{Operation, SalesforceTarget};
use crate::error::ErrorKind;
use crate::salesforce::rest::WriteError;
use crate::telemetry::traces::{BatchAbout, BatchSpan, RequestAbout};

impl Worker {
    /// Begins the span of a request with these records.
    pub(super) fn request_span(&self, places: &[usize], operation: &'static str) -> BatchSpan {
        let route = &self.parts.route;
        let about = || RequestAbout {
            batch: BatchAbout {
                route: &route.config.name,
                topic: Some(&self.place.0),
                records: places.len(),
            },
            partition: self.place.1,
            group: route.shared.connection.group_of(Some(&route.config.name)),
            target: match &route.flow.to {
                SalesforceTarget::Event { topic } => topic,
                SalesforceTarget::Object { sobject, .. } => sobject,
            },
            operation,
        };
        let items = || places.iter().filter_map(|place| self.window.peek(*place));
        let headers = || items().map(|item| item.content.record.headers.as_slice());
        route.shared.traces.request(about, headers)
    }
}

/// What a failed request is called in its span. One that Salesforce did not take as a whole is tried in parts.
pub(super) fn kind_of(error: &WriteError) -> ErrorKind {
    match error {
        WriteError::Failed { failure, .. } => failure.kind,
        WriteError::Rejected(_) => ErrorKind::Poison,
    }
}

pub(super) const fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Upsert => "upsert",
        Operation::Update => "update",
        Operation::Insert => "insert",
        Operation::Delete => "delete",
    }
}
