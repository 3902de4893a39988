//! Writing records through sObject Collections: up to two hundred a request, each with its own verdict.
//!
//! * **In**: ready JSON objects of one object, one external id at most once among them.
//! * **Out**: a verdict a record, in their order (`verdict` says what to do about each), or one error for all of
//!   them. What was refused as a whole condemns no record: the caller halves it until one is left.
//! * A record that fails leaves the others alone (`allOrNone` is false).
//! * An answer that did not come leaves open what was done: [`WriteOutcome`].

use bytes::Bytes;
use reqwest::Method;
use serde_json::value::RawValue;

use crate::config::Operation;
use crate::error::{ErrorKind, Failure};
use crate::salesforce::http::Answer;

use super::call::{Call, CallError, garbled};
use super::refusal::Deed;
use super::verdict::{Element, RowRefusal, RowVerdict};
use super::{RestClient, soql};

/// Records of one request (sObject Collections).
pub const WRITE_RECORDS_MAX: usize = 200;

/// Which records are written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteTarget {
    /// `Account`, `Order__c`
    pub sobject: String,
    pub operation: Operation,
    /// The field that an upsert names records by.
    pub external_id: Option<String>,
}

/// What is known of the records of a request that failed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    /// No record was written.
    NotApplied,
    /// Any of them may be.
    Unknown,
}

/// A request that failed as a whole.
#[derive(Debug)]
pub enum WriteError {
    Failed {
        failure: Failure,
        outcome: WriteOutcome,
    },
    /// Salesforce did not take the content; nothing was written. Of several records some may be taken: send each
    /// half. Of a single one it is the verdict.
    Rejected(RowRefusal),
}

impl WriteError {
    const fn not_applied(failure: Failure) -> Self {
        Self::Failed {
            failure,
            outcome: WriteOutcome::NotApplied,
        }
    }

    pub(super) fn of(error: CallError, object: &str) -> Self {
        match error {
            CallError::Refused { refusal, body, .. } if refusal.is_about_the_content() => {
                Self::Rejected(refusal.into_row(&body))
            }
            CallError::Refused { refusal, user, .. } => {
                // What broke inside Salesforce, or in a proxy, may have broken after the records were written.
                let outcome = match refusal.status() {
                    400..=407 | 409..=499 => WriteOutcome::NotApplied,
                    _ => WriteOutcome::Unknown,
                };
                Self::Failed {
                    failure: refusal.into_failure(Deed::Write, object, &user),
                    outcome,
                }
            }
            CallError::NotSent(failure) => Self::not_applied(failure),
            CallError::Broken(failure) => Self::Failed {
                failure,
                outcome: WriteOutcome::Unknown,
            },
        }
    }
}

impl RestClient {
    /// Upserts, updates or inserts records, at most [`WRITE_RECORDS_MAX`]; no records make no request.
    ///
    /// Each is a JSON object without `attributes`, which are put in front. For an upsert it holds the external id and
    /// no `Id`; for an update its `Id`.
    ///
    /// # Errors
    /// When no record has a verdict of its own. `Unknown` for a delete: see [`RestClient::delete`].
    pub async fn write(
        &self,
        target: &WriteTarget,
        records: &[Box<RawValue>],
    ) -> Result<Vec<RowVerdict>, WriteError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (method, path) = self.resource(target).map_err(WriteError::not_applied)?;
        let body = body(&target.sobject, records).ok_or_else(|| {
            let message = format!("a record of {} to write is no JSON object", target.sobject);
            WriteError::not_applied(Failure::new(ErrorKind::Unknown, message))
        })?;
        let call = Call::write(method, path).json(body);
        self.verdicts(&call, &target.sobject, target.operation, records.len())
            .await
    }

    /// Deletes records by their ids of 15 or 18 characters, at most [`WRITE_RECORDS_MAX`]; see
    /// [`RestClient::ids_by_external_id`]. No ids make no request.
    ///
    /// # Errors
    /// When no record has a verdict of its own.
    pub async fn delete(&self, sobject: &str, ids: &[String]) -> Result<Vec<RowVerdict>, WriteError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let checked = soql::checked_ids(sobject, ids).map_err(WriteError::not_applied)?;
        let path = format!("{}/composite/sobjects", self.0.base);
        let joined = checked.join(",");
        let call =
            Call::write(Method::DELETE, path).query(&[("ids", joined.as_str()), ("allOrNone", "false")]);
        self.verdicts(&call, sobject, Operation::Delete, ids.len()).await
    }

    async fn verdicts(
        &self,
        call: &Call<'_>,
        sobject: &str,
        operation: Operation,
        records: usize,
    ) -> Result<Vec<RowVerdict>, WriteError> {
        let answer = self.call(call).await;
        let answer = answer.map_err(|error| WriteError::of(error, sobject))?;
        read(&answer, operation, records).ok_or_else(|| WriteError::Failed {
            failure: garbled(sobject),
            outcome: WriteOutcome::Unknown,
        })
    }

    fn resource(&self, target: &WriteTarget) -> Result<(Method, String), Failure> {
        let base = format!("{}/composite/sobjects", self.0.base);
        let names = std::iter::once(&target.sobject).chain(&target.external_id);
        let is_named = names.into_iter().all(|name| soql::is_name(name));
        match (target.operation, &target.external_id) {
            _ if !is_named => {
                let message = "the name of an object or a field is not one: it must not go into a request";
                Err(Failure::new(ErrorKind::Unknown, message))
            }
            (Operation::Upsert, Some(field)) => {
                Ok((Method::PATCH, format!("{base}/{}/{field}", target.sobject)))
            }
            (Operation::Update, _) => Ok((Method::PATCH, base)),
            (Operation::Insert, _) => Ok((Method::POST, base)),
            (Operation::Upsert, None) | (Operation::Delete, _) => {
                let message = "an upsert needs an external id, and a delete needs ids";
                Err(Failure::new(ErrorKind::Unknown, message))
            }
        }
    }
}

/// `None`: a record that is no object.
fn body(sobject: &str, records: &[Box<RawValue>]) -> Option<Bytes> {
    let content: usize = records.iter().map(|record| record.get().len()).sum();
    let mut body = String::with_capacity(content + records.len() * (sobject.len() + 40) + 40);
    body.push_str(r#"{"allOrNone":false,"records":["#);
    for (index, record) in records.iter().enumerate() {
        let inside = record.get().trim().strip_prefix('{')?.trim_start();
        if index > 0 {
            body.push(',');
        }
        body.push_str(r#"{"attributes":{"type":""#);
        body.push_str(sobject);
        body.push_str(r#""}"#);
        if inside != "}" {
            body.push(',');
        }
        body.push_str(inside);
    }
    body.push_str("]}");
    Some(body.into())
}

/// `None`: not one element a record.
fn read(answer: &Answer, operation: Operation, records: usize) -> Option<Vec<RowVerdict>> {
    let elements: Vec<Element> = serde_json::from_slice(&answer.body).ok()?;
    (elements.len() == records).then(|| {
        elements
            .into_iter()
            .map(|element| element.verdict(operation))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_request_holds_every_record_with_its_type_in_front() {
        let records = [raw(r#"{"Name":"A"}"#), raw(" { } "), raw("{ \"N\" : 1.50 }")];
        let body = body("Account", &records).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let of = json!({"type": "Account"});
        assert_eq!(
            json,
            json!({"allOrNone": false, "records": [
                {"attributes": of, "Name": "A"}, {"attributes": of}, {"attributes": of, "N": 1.5}]})
        );
        assert!(
            String::from_utf8_lossy(&body).contains("1.50"),
            "numbers stay as they are written"
        );
        assert_eq!(super::body("Account", &[raw("[1]")]), None);
    }
}
