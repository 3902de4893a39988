//! The token endpoint's answer: a complete token, or a failure. Half an answer is never kept.

use serde::Deserialize;

use crate::config::Secret;
use crate::error::{ErrorKind, Failure};

use super::flow::Flow;
use super::http::{Answer, Owner};
use super::org_id::id18;
use super::refusal;

pub(super) struct Token {
    pub(super) access_token: Secret,
    pub(super) instance_url: Secret,
    /// From the `id` URL; without one the org has to be asked.
    pub(super) owner: Option<Owner>,
}

/// There is no `expires_in`.
#[derive(Deserialize)]
struct Body {
    access_token: Option<String>,
    instance_url: Option<String>,
    id: Option<String>,
    error: Option<String>,
}

/// # Errors
/// A refusal, classified; an incomplete answer is transient.
pub(super) fn read(answer: &Answer, flow: &Flow) -> Result<Token, Failure> {
    let body = serde_json::from_slice::<Body>(&answer.body).ok();
    let body = match body {
        // Also a 200 may carry an error.
        Some(body) if answer.status == 200 && body.error.is_none() => body,
        _ => return Err(refusal::failure(answer, flow)),
    };
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (Some(token), Some(instance_url)) = (filled(body.access_token), filled(body.instance_url)) else {
        return Err(incomplete("lacks access_token or instance_url"));
    };
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(incomplete(
            "has an access_token with characters that no header can carry",
        ));
    }
    let Some(instance_url) = origin(&instance_url) else {
        return Err(incomplete("has an instance_url that is no https URL"));
    };
    Ok(Token {
        access_token: Secret::new(token),
        instance_url: Secret::new(instance_url),
        owner: body.id.as_deref().and_then(owner),
    })
}

fn incomplete(what: &str) -> Failure {
    Failure::new(ErrorKind::Transient, format!("the token answer {what}"))
}

/// Scheme and host of an https URL (http on loopback), which is what the Pub/Sub API wants to hear.
fn origin(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let fits = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    fits.then(|| url.origin().ascii_serialization())
}

/// `https://login.salesforce.com/id/<org>/<user>`
fn owner(id_url: &str) -> Option<Owner> {
    let mut parts = id_url.rsplit('/');
    let (user, org) = (parts.next()?, parts.next()?);
    Some(Owner {
        organization_id: id18(org)?,
        user_id: id18(user),
        username: None,
    })
}
