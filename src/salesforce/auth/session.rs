//! A session: what a call needs to say who it is. Printing one shows neither its token nor its instance.

use std::fmt;

use tokio::time::Instant;

use crate::config::Secret;
use crate::error::{ErrorKind, Failure};

use super::org_id::id18;

#[derive(Clone)]
pub struct Session {
    /// Which login of this process gave it.
    pub(super) generation: u64,
    pub(super) since: Instant,
    pub access_token: Secret,
    /// Scheme and host, without a path.
    pub instance_url: Secret,
    /// 18 characters.
    pub organization_id: String,
    pub user_id: Option<String>,
    pub(super) username: Option<String>,
}

impl Session {
    /// The host that this org answers at, for `ce_source`.
    pub fn my_domain_host(&self) -> &str {
        let url = self.instance_url.expose();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// The user in a sentence, as well as it is known.
    pub fn user(&self) -> String {
        match (&self.username, &self.user_id) {
            (Some(name), _) => format!("the user {name}"),
            (None, Some(id)) => format!("the user {id}"),
            (None, None) => "the integration user".to_owned(),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("generation", &self.generation)
            .field("organization_id", &self.organization_id)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

/// The session of the flow `access_token`: everything is configured.
pub(super) fn fixed(token: &Secret, instance_url: &str, organization_id: &str) -> Result<Session, Failure> {
    let Some(organization_id) = id18(organization_id) else {
        let failure = Failure::new(
            ErrorKind::Misconfigured,
            "salesforce.auth.organization_id is no id of 15 or 18 letters and digits",
        );
        return Err(failure.remedy("copy it from Setup, Company Information"));
    };
    Ok(Session {
        generation: 1,
        since: Instant::now(),
        access_token: token.clone(),
        instance_url: Secret::new(instance_url.trim_end_matches('/')),
        organization_id,
        user_id: None,
        username: None,
    })
}
