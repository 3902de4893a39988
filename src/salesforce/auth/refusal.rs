//! What a refused login means and what the administrator should do about it.

use serde::Deserialize;

use crate::error::{ErrorKind, Failure};

use super::flow::Flow;
use super::http::Answer;

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Refusal {
    fn read(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

/// Salesforce tells the cases of `invalid_grant` apart in words only: part of the description (lower case) →
/// remedy. The first that fits counts.
const GRANTS: &[(&str, &str)] = &[
    (
        "approved",
        "in the app's OAuth policies choose \"Admin approved users are pre-authorized\" and give the app to the user by a permission set or profile",
    ),
    (
        "audience",
        "set salesforce.auth.audience to https://login.salesforce.com, or https://test.salesforce.com for a sandbox",
    ),
    (
        "not supported on this domain",
        "set salesforce.login_url to the org's My Domain: https://<name>.my.salesforce.com",
    ),
    (
        "no client credentials user",
        "in the app's client credentials flow name the user to run as",
    ),
    (
        "expired access/refresh token",
        "authorise the app again and configure the new refresh token; the app must not rotate refresh tokens",
    ),
    (
        "invalid assertion",
        "check that private_key belongs to the certificate uploaded to the app, and that client_id is that app's",
    ),
    (
        "expired",
        "set this machine's clock (NTP): the assertion was out of date when it arrived",
    ),
    (
        "ip restricted",
        "allow this machine's address in the app's or the profile's login IP ranges",
    ),
    (
        "authentication failure",
        "check that the user is active and may use the API",
    ),
];

/// The other error names → remedy.
const ERRORS: &[(&str, &str)] = &[
    (
        "oauth_flow_disabled",
        "enable the app and its OAuth settings in Setup",
    ),
    (
        "invalid_client_id",
        "check salesforce.auth.client_id; a new app takes ten minutes to become known",
    ),
    (
        "invalid_client",
        "check salesforce.auth.client_id and client_secret",
    ),
    (
        "invalid_app_access",
        "give the app to the user by a permission set or profile",
    ),
    ("inactive_user", "activate the user"),
    (
        "inactive_org",
        "the org is locked or deleted: ask its administrator",
    ),
    ("unsupported_grant_type", "enable this OAuth flow for the app"),
    (
        "invalid_request",
        "check client_id and the keys of salesforce.auth",
    ),
];

pub(super) fn failure(answer: &Answer, flow: &Flow) -> Failure {
    let refusal = Refusal::read(answer);
    if answer.status == 429 || refusal.error == "rate_limit_exceeded" {
        let failure = Failure::new(ErrorKind::Throttled, "Salesforce asks to wait with logins");
        return match answer.retry_after {
            Some(told) => failure.after(told),
            None => failure,
        };
    }
    if answer.status >= 500 {
        let status = answer.status;
        return Failure::new(
            ErrorKind::Transient,
            format!("Salesforce's login host answered {status}"),
        );
    }
    denied(answer.status, &refusal, flow)
}

/// An assertion that is too old, or too new, by Salesforce's clock.
pub(super) fn blames_the_clock(answer: &Answer) -> bool {
    let refusal = Refusal::read(answer);
    let text = refusal.error_description.to_lowercase();
    refusal.error == "invalid_grant"
        && (text.contains("expired authorization code") || text.contains("assertion expired"))
}

fn denied(status: u16, refusal: &Refusal, flow: &Flow) -> Failure {
    let who = match flow.username() {
        Some(username) => format!("the user {username} through the app {}", flow.client_id()),
        None => format!("the app {}", flow.client_id()),
    };
    if refusal.error.is_empty() {
        return Failure::new(
            ErrorKind::Denied,
            format!("the login of {who} got HTTP {status} and no OAuth answer"),
        )
        .remedy("check that salesforce.login_url is the org's login host");
    }
    let message = format!(
        "Salesforce refused the login of {who}: {} ({})",
        shown(&refusal.error),
        shown(&refusal.error_description)
    );
    let text = refusal.error_description.to_lowercase();
    let by_words = || GRANTS.iter().find(|(part, _)| text.contains(part));
    let by_name = || ERRORS.iter().find(|(name, _)| *name == refusal.error);
    match by_name().or_else(by_words) {
        Some((_, remedy)) => Failure::new(ErrorKind::Denied, message).remedy(*remedy),
        None if refusal.error == "invalid_grant" => Failure::new(ErrorKind::Denied, message)
            .remedy("look at the user's login history in Setup: it names the reason"),
        None => Failure::new(ErrorKind::Unknown, message),
    }
}

/// A server's words, without what could break a log line.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 160;
    text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}
