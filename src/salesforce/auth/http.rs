//! The requests that OAuth makes.

use serde::Deserialize;

use crate::config::{SalesforceConfig, Secret};
use crate::error::{ErrorKind, Failure};
use crate::salesforce::http;
pub(super) use crate::salesforce::http::Answer;

use super::flow::Form;
use super::org_id::id18;
use super::session::Session;

/// A token answer has some 2 KB; whoever sends more than this is not the token endpoint.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Http(reqwest::Client);

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
        http::client(config).map(Self)
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

async fn exchange(request: reqwest::RequestBuilder, whom: &str) -> Result<Answer, Failure> {
    Ok(http::exchange(request, whom, BODY_BYTES_MAX).await?)
}
