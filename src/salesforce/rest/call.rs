//! One request to REST: who asks, what came back, what is known when nothing did. All of REST goes through here.
//!
//! A session found expired is renewed once for all callers and the request made once more: a refused session means
//! that nothing was done.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName};

use crate::error::{ErrorKind, Failure};
use crate::salesforce::auth::Session;
use crate::salesforce::http::{self, Answer, Unanswered};

use super::RestClient;
use super::refusal::{Deed, Refusal};

/// Salesforce ends a query after 120 s and says so; who waits less never hears it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(130);
/// Salesforce's pages of wide rows are short, and the describe of the widest objects has some megabytes.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Names the client of a write; it comes back in the change event's `changeOrigin`.
const CALL_OPTIONS: HeaderName = HeaderName::from_static("sforce-call-options");

/// Why a request has no answer that could be used.
pub(super) enum CallError {
    Refused {
        refusal: Refusal,
        user: String,
        /// Of the answer: may hold field values.
        body: Vec<u8>,
    },
    /// It never reached Salesforce.
    NotSent(Failure),
    /// It did, or may have.
    Broken(Failure),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::NotSent(failure)
    }
}

impl From<Unanswered> for CallError {
    fn from(unanswered: Unanswered) -> Self {
        if unanswered.was_sent {
            Self::Broken(unanswered.failure)
        } else {
            Self::NotSent(unanswered.failure)
        }
    }
}

impl CallError {
    /// `object` is what the request was about.
    pub(super) fn into_failure(self, deed: Deed, object: &str) -> Failure {
        match self {
            Self::Refused { refusal, user, .. } => refusal.into_failure(deed, object, &user),
            Self::NotSent(failure) | Self::Broken(failure) => failure,
        }
    }

    pub(super) fn is_invalid_field(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if refusal.is_invalid_field())
    }

    pub(super) fn has_status(&self, status: u16) -> bool {
        matches!(self, Self::Refused { refusal, .. } if refusal.status() == status)
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused { refusal, .. } if refusal.has_code(code))
    }
}

/// A request, as often as it must be made.
pub(super) struct Call<'c> {
    pub(super) method: Method,
    /// With its leading slash; of this org's host.
    pub(super) path: String,
    pub(super) query: Vec<(&'c str, &'c str)>,
    /// The content and what it is.
    pub(super) body: Option<(bytes::Bytes, &'static str)>,
    /// Whether the client is named: for what changes records.
    pub(super) is_write: bool,
    /// The fields that the request names, so that a refusal can.
    pub(super) fields: &'c [&'c str],
    pub(super) timeout: Duration,
    pub(super) answer_bytes_max: usize,
}

pub(super) const JSON: &str = "application/json";

impl<'c> Call<'c> {
    pub(super) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: None,
            is_write: false,
            fields: &[],
            timeout: TIMEOUT,
            answer_bytes_max: BODY_BYTES_MAX,
        }
    }

    pub(super) fn write(method: Method, path: String) -> Self {
        Self {
            method,
            is_write: true,
            ..Self::get(path)
        }
    }

    pub(super) fn json(mut self, body: impl Into<bytes::Bytes>) -> Self {
        self.body = Some((body.into(), JSON));
        self
    }

    pub(super) fn query(mut self, query: &[(&'c str, &'c str)]) -> Self {
        self.query.extend(query);
        self
    }
}

impl RestClient {
    /// Makes the request; with a new session once more where the first was refused.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Answer, CallError> {
        let session = self.0.tokens.session().await?;
        match self.call_as(&session, call).await {
            Err(CallError::Refused { refusal, .. }) if refusal.is_about_the_session() => {
                let session = self.0.tokens.refresh(&session).await?;
                self.call_as(&session, call).await
            }
            answered => answered,
        }
    }

    async fn call_as(&self, session: &Session, call: &Call<'_>) -> Result<Answer, CallError> {
        let url = format!("{}{}", session.instance_url.expose(), call.path);
        let mut request = self
            .0
            .http
            .request(call.method.clone(), url)
            .query(&call.query)
            .timeout(call.timeout)
            .bearer_auth(session.access_token.expose());
        if call.is_write {
            request = request.header(CALL_OPTIONS, self.0.call_options.clone());
        }
        if let Some((content, kind)) = &call.body {
            request = request.header(CONTENT_TYPE, *kind).body(content.clone());
        }
        let answer = http::exchange(request, "org's host", call.answer_bytes_max).await?;
        if let Some(info) = &answer.limit_info {
            self.note_usage(info);
        }
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(CallError::Refused {
            refusal: Refusal::read(&answer, call.fields),
            user: session.user(),
            body: answer.body,
        })
    }
}

/// An answer that is not what Salesforce documents: of a proxy in between, or cut short.
pub(super) fn garbled(object: &str) -> Failure {
    let message = format!("what REST answered for {object} is not what Salesforce documents");
    Failure::new(ErrorKind::Transient, message)
}
