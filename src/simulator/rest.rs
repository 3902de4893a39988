//! What REST answers when it refuses, and requests that are told to go wrong. The resources are in `http::rest`.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::faults::{Counted, Waiting};

/// A refusal: the status and the one element of the array that is REST's error body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestRefusal {
    pub status: u16,
    /// `SERVER_UNAVAILABLE`, `REQUEST_LIMIT_EXCEEDED`, `INVALID_SESSION_ID`.
    pub error_code: String,
    #[serde(default)]
    pub message: String,
    /// Left out of the body where empty.
    #[serde(default)]
    pub fields: Vec<String>,
    /// For the header `Retry-After`.
    #[serde(default)]
    pub retry_after_seconds: Option<u64>,
}

impl RestRefusal {
    pub fn new(status: u16, error_code: &str, message: &str) -> Self {
        Self {
            status,
            error_code: error_code.to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
            retry_after_seconds: None,
        }
    }

    pub(super) fn body(&self) -> Json {
        let mut error = json!({"message": self.message, "errorCode": self.error_code});
        if !self.fields.is_empty() {
            error["fields"] = json!(self.fields);
        }
        json!([error])
    }
}

/// Requests to come that go wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestFault {
    /// Of the path behind the version: `sobjects`, `query`. Default: any.
    #[serde(default)]
    pub path: Option<String>,
    /// How many requests it meets; 0 is one.
    #[serde(default)]
    pub times: u32,
    /// Before the answer.
    #[serde(default)]
    pub delay_ms: u64,
    /// Without one the request is merely late.
    #[serde(default)]
    pub refusal: Option<RestRefusal>,
}

impl Counted for RestFault {
    fn times_left(&mut self) -> &mut u32 {
        &mut self.times
    }
}

/// The faults of requests that still wait.
pub(super) type RestFaults = Waiting<RestFault>;

impl RestFaults {
    pub(super) fn add(&self, mut fault: RestFault) {
        fault.times = fault.times.max(1);
        self.push(fault);
    }

    /// The first fault that waits for this path, used up by one.
    pub(super) fn take(&self, path: &str) -> Option<RestFault> {
        self.take_first(|fault| {
            let prefix = fault.path.as_deref();
            prefix.is_none_or(|prefix| path.trim_start_matches('/').starts_with(prefix))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_the_requests_of_its_path_in_turn_and_is_gone() {
        let faults = RestFaults::default();
        faults.add(RestFault {
            path: Some("query".into()),
            times: 2,
            ..RestFault::default()
        });
        faults.add(RestFault::default());
        assert!(faults.take("/query").is_some());
        assert!(faults.take("/sobjects/Account/describe").is_some(), "any path");
        assert!(faults.take("/limits").is_none());
        assert!(faults.take("/query/01g").is_some());
        assert_eq!(faults.waiting(), 0);
    }

    #[test]
    fn a_refusal_is_an_array_of_one_error() {
        let refusal = RestRefusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        assert_eq!(
            refusal.body(),
            json!([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}])
        );
    }
}
