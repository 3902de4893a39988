//! HTTP for OAuth and REST: one set of rules, bounded answers. URLs are cut out of every error.

use std::time::Duration;

use reqwest::header::{DATE, HeaderName, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, redirect};

use crate::config::SalesforceConfig;
use crate::error::{ErrorKind, Failure};

/// A host that does not take a connection in ten seconds is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Logins of a busy org take seconds, not half a minute. A request that may take longer says so.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How much of the org's daily API requests is used, in an answer of REST.
const LIMIT_INFO: HeaderName = HeaderName::from_static("sforce-limit-info");

/// An HTTP answer, as far as its callers need it. The body may hold a token or data: it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) date_ms: Option<i64>,
    pub(super) retry_after: Option<Duration>,
    /// `api-usage=18/5000`
    pub(super) limit_info: Option<String>,
    pub(super) body: Vec<u8>,
}

/// No answer that could be used.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    /// False: the other side has nothing of the request. True: it may have done what it asks.
    pub(super) was_sent: bool,
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.failure
    }
}

/// A client for the org's hosts.
///
/// # Errors
/// `Misconfigured`: a CA file that is none.
pub(super) fn client(config: &SalesforceConfig) -> Result<Client, Failure> {
    let secure = config.login_url.starts_with("https://");
    let mut builder = Client::builder()
        .user_agent(concat!("sfbridge/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        // A token or an assertion must not follow a redirect to another host.
        .redirect(redirect::Policy::none())
        .https_only(secure);
    if !secure {
        // Loopback, as the configuration has checked: no proxy can reach it.
        builder = builder.no_proxy();
    }
    if let Some(path) = &config.ca_file {
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::new(
                ErrorKind::Misconfigured,
                format!(
                    "salesforce.ca_file: {} is no bundle of certificates in PEM",
                    path.display()
                ),
            )
            .caused_by(error)
        };
        let pem = std::fs::read(path).map_err(|error| unusable(error.into()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.into()))?;
        if certificates.is_empty() {
            return Err(unusable("it holds no certificate".into()));
        }
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| {
        Failure::new(
            ErrorKind::Misconfigured,
            "the HTTP client for Salesforce cannot be set up",
        )
        .caused_by(error.without_url())
    })
}

/// Sends a request and takes its whole answer, whatever the status.
///
/// # Errors
/// `Transient`: no answer, or one of more than `body_bytes_max`.
pub(super) async fn exchange(
    request: RequestBuilder,
    whom: &str,
    body_bytes_max: usize,
) -> Result<Answer, Unanswered> {
    let failed = |error: reqwest::Error| Unanswered {
        was_sent: !error.is_connect() && !error.is_builder(),
        failure: Failure::new(
            ErrorKind::Transient,
            format!("no answer from Salesforce's {whom}"),
        )
        .remedy("check salesforce.login_url, the network, and salesforce.ca_file where a proxy re-signs TLS")
        .caused_by(error.without_url()),
    };
    let mut response = request.send().await.map_err(failed)?;
    let header = |name: HeaderName| response.headers().get(name)?.to_str().ok();
    let mut answer = Answer {
        status: response.status().as_u16(),
        date_ms: header(DATE).and_then(http_date_ms),
        retry_after: header(RETRY_AFTER)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
        limit_info: header(LIMIT_INFO).map(str::to_owned),
        body: Vec::new(),
    };
    while let Some(part) = response.chunk().await.map_err(failed)? {
        if answer.body.len() + part.len() > body_bytes_max {
            return Err(Unanswered {
                was_sent: true,
                failure: Failure::new(
                    ErrorKind::Transient,
                    format!("the answer of Salesforce's {whom} is longer than any it gives"),
                ),
            });
        }
        answer.body.extend_from_slice(&part);
    }
    Ok(answer)
}

/// `Tue, 24 Nov 2026 01:30:00 GMT`
fn http_date_ms(text: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser
        .parse_timestamp(text)
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_read_to_the_second() {
        assert_eq!(
            http_date_ms("Sat, 27 May 2023 19:53:17 GMT"),
            Some(1_685_217_197_000)
        );
        assert_eq!(http_date_ms("yesterday"), None);
    }
}
