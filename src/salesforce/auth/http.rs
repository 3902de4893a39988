//! HTTP for OAuth: one client, short time-outs, no redirects, bounded answers. URLs are cut out of every error.

use std::time::Duration;

use reqwest::header::{DATE, RETRY_AFTER};
use reqwest::{Certificate, RequestBuilder, redirect};
use serde::Deserialize;

use crate::config::{SalesforceConfig, Secret};
use crate::error::{ErrorKind, Failure};

use super::flow::Form;
use super::org_id::id18;
use super::session::Session;

/// A host that does not take a connection in ten seconds is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Logins of a busy org take seconds, not half a minute.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A token answer has some 2 KB; whoever sends more than this is not the token endpoint.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Http(reqwest::Client);

/// An HTTP answer, as far as OAuth needs it. The body may hold a token: it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) date_ms: Option<i64>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Whose token it is.
pub(super) struct Owner {
    pub(super) organization_id: String,
    pub(super) user_id: Option<String>,
    pub(super) username: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    organization_id: String,
    user_id: Option<String>,
    preferred_username: Option<String>,
}

impl Http {
    pub(super) fn new(config: &SalesforceConfig) -> Result<Self, Failure> {
        let secure = config.login_url.starts_with("https://");
        let mut builder = reqwest::Client::builder()
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
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.into()))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map(Self).map_err(|error| {
            Failure::new(
                ErrorKind::Misconfigured,
                "the HTTP client for Salesforce cannot be set up",
            )
            .caused_by(error.without_url())
        })
    }

    pub(super) async fn post_form(&self, url: &str, form: &Form) -> Result<Answer, Failure> {
        exchange(self.0.post(url).form(form), "login host").await
    }

    /// The owner of a token whose answer did not say it.
    pub(super) async fn owner(&self, token: &Secret, instance_url: &Secret) -> Result<Owner, Failure> {
        let url = format!("{}/services/oauth2/userinfo", instance_url.expose());
        let answer = exchange(self.0.get(url).bearer_auth(token.expose()), "org's host").await?;
        let info = serde_json::from_slice::<UserInfo>(&answer.body).ok();
        let known = info.and_then(|info| {
            Some(Owner {
                organization_id: id18(&info.organization_id)?,
                user_id: info.user_id,
                username: info.preferred_username,
            })
        });
        known.ok_or_else(|| {
            let status = answer.status;
            Failure::new(
                ErrorKind::Transient,
                format!("the token's organisation is unknown: userinfo answered {status} without it"),
            )
            .remedy("give the app the OAuth scopes api and openid (or id)")
        })
    }

    pub(super) async fn server_time_ms(&self, session: &Session) -> Result<i64, Failure> {
        let url = format!("{}/services/data", session.instance_url.expose());
        let answer = exchange(self.0.get(url), "org's host").await?;
        answer.date_ms.ok_or_else(|| {
            Failure::new(
                ErrorKind::Transient,
                "the org's host answered without the time (HTTP header Date)",
            )
        })
    }
}

async fn exchange(request: RequestBuilder, whom: &str) -> Result<Answer, Failure> {
    let failed = |error: reqwest::Error| {
        Failure::new(
            ErrorKind::Transient,
            format!("no answer from Salesforce's {whom}"),
        )
        .remedy("check salesforce.login_url, the network, and salesforce.ca_file where a proxy re-signs TLS")
        .caused_by(error.without_url())
    };
    let mut response = request.send().await.map_err(failed)?;
    let header = |name| response.headers().get(name)?.to_str().ok();
    let mut answer = Answer {
        status: response.status().as_u16(),
        date_ms: header(DATE).and_then(http_date_ms),
        retry_after: header(RETRY_AFTER)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
        body: Vec::new(),
    };
    while let Some(part) = response.chunk().await.map_err(failed)? {
        if answer.body.len() + part.len() > BODY_BYTES_MAX {
            return Err(Failure::new(
                ErrorKind::Transient,
                format!("the answer of Salesforce's {whom} is longer than any it gives"),
            ));
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
