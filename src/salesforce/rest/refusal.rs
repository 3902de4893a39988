//! What a REST answer that is no success means: one table from `errorCode` and status to a [`Failure`].
//!
//! Salesforce's sentence may quote field values: it is read for the names of fields that we asked for ourselves,
//! and dropped. What is kept and shown: the status, the code, names of fields.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{ErrorKind, Failure};
use crate::salesforce::http::Answer;

use super::verdict::RowRefusal;

use ErrorKind::{Denied, Throttled, Transient, Unauthenticated, Unknown};

/// The code for a field that the object has not, or that the user may not see.
const INVALID_FIELD: &str = "INVALID_FIELD";
/// Longer than any code or name of a field.
const WORD_BYTES_MAX: usize = 100;

/// What to tell the operator beside the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// It passes.
    None,
    Login,
    /// Grant the user access to the object.
    Access,
    /// Or to the fields.
    Fields,
    Api,
    Version,
    /// Our own misuse of REST.
    Report,
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Read,
    Write,
}

/// The codes that a request may meet as a whole. One that is not here is judged by its status.
const TABLE: &[(&str, ErrorKind, Remedy)] = &[
    ("INVALID_SESSION_ID", Unauthenticated, Remedy::Login),
    ("REQUEST_LIMIT_EXCEEDED", Throttled, Remedy::None),
    ("SERVER_UNAVAILABLE", Transient, Remedy::None),
    ("QUERY_TIMEOUT", Transient, Remedy::None),
    // A locator ends with its user's session or after two days: the query is asked again from its start.
    ("INVALID_QUERY_LOCATOR", Transient, Remedy::None),
    ("API_DISABLED_FOR_ORG", Denied, Remedy::Api),
    ("API_CURRENTLY_DISABLED", Denied, Remedy::Api),
    ("UNSUPPORTED_API_VERSION", Denied, Remedy::Version),
    ("INSUFFICIENT_ACCESS", Denied, Remedy::Access),
    ("INSUFFICIENT_ACCESS_OR_READONLY", Denied, Remedy::Access),
    // An object without the permission to read it does not exist for its user.
    ("INVALID_TYPE", Denied, Remedy::Access),
    ("NOT_FOUND", Denied, Remedy::Access),
    (INVALID_FIELD, Denied, Remedy::Fields),
    ("MALFORMED_QUERY", Unknown, Remedy::Report),
    ("MALFORMED_ID", Unknown, Remedy::Report),
    ("INVALID_QUERY_FILTER_OPERATOR", Unknown, Remedy::Report),
    // Of Bulk API 2.0: its own daily limits, and whether there is one.
    ("EXCEEDEDQUOTA", Throttled, Remedy::None),
    ("FEATURENOTENABLED", Denied, Remedy::Api),
];

/// One element of REST's error body.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "errorCode")]
    code: Option<String>,
    message: Option<String>,
    #[serde(default)]
    fields: Vec<String>,
}

/// An answer that is no success, without its sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) struct Refusal {
    status: u16,
    code: Option<String>,
    /// Names, as far as the answer says which.
    fields: Vec<String>,
    retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REST answered {}", self.status)?;
        self.code.iter().try_for_each(|code| write!(f, " {code}"))
    }
}

impl Refusal {
    /// `asked`: the names of the fields that the request named.
    pub(super) fn read(answer: &Answer, asked: &[&str]) -> Self {
        let bodies: Vec<Body> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let body = bodies.into_iter().next();
        let message = body.as_ref().and_then(|body| body.message.as_deref());
        let quoted = |name: &&&str| message.is_some_and(|text| text.contains(&format!("'{name}'")));
        let mut fields: Vec<String> = asked
            .iter()
            .filter(quoted)
            .map(|name| (*name).to_owned())
            .collect();
        let told = body.iter().flat_map(|body| &body.fields);
        for name in told.filter(|name| is_word(name)) {
            if !fields.contains(name) {
                fields.push(name.clone());
            }
        }
        Self {
            status: answer.status,
            code: body.and_then(|body| body.code).filter(|code| is_word(code)),
            fields,
            retry_after: answer.retry_after,
        }
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(code))
    }

    /// Whether it is the content of a write that was refused, so that a part of it may pass: what is malformed or too
    /// long. A body that no Salesforce wrote says that only by its status.
    pub(super) fn is_about_the_content(&self) -> bool {
        let unforeseen = self.meaning().0 == Unknown || self.is_invalid_field();
        match self.status {
            413 | 414 | 431 => true,
            400 | 422 => unforeseen && self.code.is_some(),
            _ => false,
        }
    }

    /// The refused content as the verdict on its one record, if it has only one. `body` is the answer's.
    pub(super) fn into_row(self, body: &[u8]) -> RowRefusal {
        let bodies: Vec<Body> = serde_json::from_slice(body).unwrap_or_default();
        let message = bodies.into_iter().next().and_then(|body| body.message);
        let code = self.code.unwrap_or_else(|| format!("HTTP_{}", self.status));
        RowRefusal::new(Some(code), message.unwrap_or_default(), self.fields, None)
    }

    pub(super) fn is_invalid_field(&self) -> bool {
        self.code.as_deref() == Some(INVALID_FIELD)
    }

    /// Whether a new session may help.
    pub(super) fn is_about_the_session(&self) -> bool {
        self.meaning().0 == Unauthenticated
    }

    fn meaning(&self) -> (ErrorKind, Remedy) {
        // Bulk's documentation writes its codes in two ways.
        let code = self.code.as_deref().unwrap_or_default();
        let row = TABLE.iter().find(|row| row.0.eq_ignore_ascii_case(code));
        match (row, self.status) {
            (Some((_, kind, remedy)), _) => (*kind, *remedy),
            (None, 401) => (Unauthenticated, Remedy::Login),
            (None, 403 | 404) => (Denied, Remedy::Access),
            (None, 410) => (Denied, Remedy::Version),
            (None, 429) => (Throttled, Remedy::None),
            (None, 408 | 500..=599) => (Transient, Remedy::None),
            (None, _) => (Unknown, Remedy::Report),
        }
    }

    /// `object` is what was read or written (`Account`), `user` who did it, in a sentence.
    pub(super) fn into_failure(self, deed: Deed, object: &str, user: &str) -> Failure {
        let (kind, remedy) = self.meaning();
        let fields = self.fields.join(", ");
        let (verb, doing) = match deed {
            Deed::Read => ("read", "reading"),
            Deed::Write => ("write", "writing"),
        };
        let message = match (kind, remedy) {
            (Denied, Remedy::Fields) if fields.is_empty() && deed == Deed::Read => {
                format!("{user} may not read some field of {object} that its events have")
            }
            (Denied, Remedy::Fields) if fields.is_empty() => {
                format!("{user} may not write some field of {object}")
            }
            (Denied, Remedy::Fields) => format!("{user} may not {verb} these fields of {object}: {fields}"),
            (Denied, Remedy::Api) => format!("{user} may not {verb} {object}: the org's API is disabled"),
            (Denied, Remedy::Version) => {
                format!("Salesforce no longer serves {object} under this API version")
            }
            (Denied, _) => format!("{user} may not {verb} {object} through REST, or it does not exist"),
            (Unauthenticated, _) => format!("Salesforce does not accept the session of {user} for {object}"),
            (Throttled, _) => format!(
                "Salesforce asks to wait with {doing} {object}: the org's limit of API requests is used up"
            ),
            (Transient, _) => format!("{doing} {object} through REST did not get through"),
            _ => format!("Salesforce refused to {verb} {object} for a reason that sfbridge does not know"),
        };
        let mut failure = Failure::new(kind, message);
        failure.remedy = remedy_text(remedy, deed, object, user);
        failure.retry_after = self.retry_after;
        failure.caused_by(self)
    }
}

fn remedy_text(remedy: Remedy, deed: Deed, object: &str, user: &str) -> Option<String> {
    Some(match (remedy, deed) {
        (Remedy::None, _) => return None,
        (Remedy::Login, _) => format!("check that {user} is active and may use the API"),
        (Remedy::Access, Deed::Read) => {
            format!("give {user} Read and \"View All\" on {object}, then resume")
        }
        (Remedy::Access, Deed::Write) => {
            format!("give {user} Create and Edit (for deletes: Delete) on {object}, then resume")
        }
        (Remedy::Fields, Deed::Read) => {
            format!("give {user} read access to the fields of {object}, then resume")
        }
        (Remedy::Fields, Deed::Write) => {
            format!("give {user} edit access to the fields of {object}, then resume")
        }
        (Remedy::Api, _) => "enable the API for the org, then resume".to_owned(),
        (Remedy::Version, _) => "set salesforce.api_version to one that the org offers".to_owned(),
        (Remedy::Report, _) => "this is a fault of sfbridge: report it".to_owned(),
    })
}

/// A code or the name of a field, and nothing that could be a value with blanks or signs.
pub(super) fn is_word(text: &str) -> bool {
    let char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(char)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;

    fn refusal(status: u16, body: &str) -> Refusal {
        let answer = Answer {
            status,
            date_ms: None,
            retry_after: Some(Duration::from_secs(7)),
            limit_info: None,
            body: body.as_bytes().to_vec(),
        };
        Refusal::read(&answer, &["Colour__c", "Name"])
    }

    fn kind(status: u16, code: &str) -> ErrorKind {
        let body = format!(r#"[{{"message":"m","errorCode":"{code}"}}]"#);
        refusal(status, &body)
            .into_failure(Deed::Read, "Account", "the user u")
            .kind
    }

    #[test]
    fn the_code_decides_and_without_a_known_one_the_status() {
        for (code, expected, _) in TABLE {
            assert_eq!(kind(400, code), *expected, "{code}");
        }
        assert_eq!(kind(403, "REQUEST_LIMIT_EXCEEDED"), Throttled);
        for (status, expected) in [
            (401, Unauthenticated),
            (403, Denied),
            (404, Denied),
            (410, Denied),
            (429, Throttled),
            (500, Transient),
            (503, Transient),
            (400, Unknown),
            (414, Unknown),
            (302, Unknown),
        ] {
            assert_eq!(kind(status, "SOMETHING_NEW"), expected, "{status}");
            let of_a_proxy = refusal(status, "<html>").into_failure(Deed::Read, "Account", "u");
            assert_eq!(of_a_proxy.kind, expected, "{status}");
        }
    }

    #[test]
    fn a_missing_field_is_named_though_the_answer_has_no_list() {
        let body = r#"[{"message":"SELECT Name ERROR No such column 'Colour__c' on entity 'Account'","errorCode":"INVALID_FIELD"}]"#;
        let failure = refusal(400, body).into_failure(Deed::Read, "Account", "the user u");
        assert_eq!(
            failure.message,
            "the user u may not read these fields of Account: Colour__c"
        );
        assert!(
            failure
                .remedy
                .is_some_and(|remedy| remedy.contains("then resume"))
        );
        let listed = r#"[{"message":"","errorCode":"INVALID_FIELD","fields":["Size__c"]}]"#;
        assert!(
            refusal(400, listed)
                .into_failure(Deed::Read, "A", "u")
                .message
                .ends_with("Size__c")
        );
    }

    #[test]
    fn salesforces_sentence_is_never_shown() {
        let body = r#"[{"message":"Secret Name is 'Secret Value'","errorCode":"has a secret","fields":["a secret"]}]"#;
        let failure = refusal(400, body).into_failure(Deed::Read, "Account", "u");
        let shown = format!("{failure:?} {}", chain(&failure)).to_lowercase();
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("400"));
    }

    #[test]
    fn what_salesforce_asks_to_wait_is_kept() {
        let failure = refusal(503, r#"[{"message":"","errorCode":"SERVER_UNAVAILABLE"}]"#);
        let failure = failure.into_failure(Deed::Read, "Account", "u");
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        assert!(chain(&failure).contains("503 SERVER_UNAVAILABLE"));
    }

    #[test]
    fn a_write_is_refused_with_what_it_takes_to_write() {
        let denied = refusal(403, r#"[{"message":"m","errorCode":"INSUFFICIENT_ACCESS"}]"#);
        let failure = denied.into_failure(Deed::Write, "Account", "the user u");
        assert!(failure.message.contains("may not write Account"), "{failure}");
        assert!(
            failure
                .remedy
                .is_some_and(|remedy| remedy.contains("Create and Edit"))
        );
    }

    #[test]
    fn refused_content_is_told_from_a_refused_request() {
        let about = |status, code: &str| {
            let body = format!(r#"[{{"message":"m","errorCode":"{code}"}}]"#);
            refusal(status, &body).is_about_the_content()
        };
        for code in ["JSON_PARSER_ERROR", "INVALID_FIELD", "MALFORMED_ID", "NEW"] {
            assert!(about(400, code), "{code}");
        }
        for (status, code) in [
            (400, "INVALID_TYPE"),
            (400, "REQUEST_LIMIT_EXCEEDED"),
            (404, "NOT_FOUND"),
            (500, "NEW"),
            (401, "NEW"),
        ] {
            assert!(!about(status, code), "{status} {code}");
        }
        assert!(
            !refusal(400, "<html>").is_about_the_content(),
            "a proxy's own reasons"
        );
        assert!(refusal(413, "<html>").is_about_the_content());
        let row = refusal(
            400,
            r#"[{"message":"a secret","errorCode":"INVALID_FIELD","fields":["A__c"]}]"#,
        );
        let row = row.into_row(br#"[{"message":"a secret","errorCode":"INVALID_FIELD"}]"#);
        assert_eq!(
            (row.status_code.as_str(), row.message.as_str(), row.fields),
            ("INVALID_FIELD", "a secret", vec!["A__c".to_owned()])
        );
        assert_eq!(refusal(413, "<html>").into_row(b"<html>").status_code, "HTTP_413");
    }
}
