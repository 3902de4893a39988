//! What REST answers when it refuses, and requests that are told to go wrong. The resources are in `http::rest`.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::faults::{self, Counted, Waiting};

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
    /// Of the path behind the version: `sobjects`, `query`, `composite`, `jobs/ingest`. Default: any.
    #[serde(default)]
    pub path: Option<String>,
    /// `POST`. Default: any.
    #[serde(default)]
    pub method: Option<String>,
    /// How many requests it meets; 0 is one.
    #[serde(default)]
    pub times: u32,
    /// It meets one such request in so many, at random; 0 and 1: each.
    #[serde(default)]
    pub one_in: u32,
    /// Of that chance. It moves on with every request.
    #[serde(default)]
    pub seed: u64,
    /// Before the request is done; at most until faults are cleared.
    #[serde(default)]
    pub delay_ms: u64,
    /// After the request was done: the events that tell of it come before the answer.
    #[serde(default)]
    pub answer_delay_ms: u64,
    /// Without one the request is merely late.
    #[serde(default)]
    pub refusal: Option<RestRefusal>,
    /// The request is done all the same, and its answer lost: the refusal stands in its place or, without one, the
    /// connection is cut.
    #[serde(default)]
    pub lose_answer: bool,
    /// The connection is cut, and nothing is done.
    #[serde(default)]
    pub cut: bool,
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

    /// The first fault that waits for such a request, used up by one.
    pub(super) fn take(&self, method: &str, path: &str) -> Option<RestFault> {
        self.take_first(|fault| {
            let prefix = fault.path.as_deref();
            let is_meant = prefix.is_none_or(|prefix| path.trim_start_matches('/').starts_with(prefix))
                && fault
                    .method
                    .as_deref()
                    .is_none_or(|only| only.eq_ignore_ascii_case(method));
            is_meant && faults::comes_up(fault.one_in, &mut fault.seed)
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
        assert!(faults.take("GET", "/query").is_some());
        assert!(
            faults.take("GET", "/sobjects/Account/describe").is_some(),
            "any path"
        );
        assert!(faults.take("GET", "/limits").is_none());
        assert!(faults.take("GET", "/query/01g").is_some());
        assert_eq!(faults.waiting(), 0);
    }

    #[test]
    fn a_fault_by_chance_meets_its_share_and_the_same_requests_each_time() {
        let met = |seed| {
            let faults = RestFaults::default();
            faults.add(RestFault {
                method: Some("PATCH".into()),
                times: u32::MAX,
                one_in: 20,
                seed,
                ..RestFault::default()
            });
            assert!((0..100).all(|_| faults.take("GET", "/composite").is_none()));
            let met = (0..2_000).filter(|_| faults.take("PATCH", "/composite").is_some());
            met.collect::<Vec<_>>()
        };
        let one = met(7);
        assert!((50..200).contains(&one.len()), "{}", one.len());
        assert_eq!(one, met(7));
        assert_ne!(one, met(8));
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
