//! Who we are at Salesforce. In: the configured OAuth flow. Out: a [`Session`] that every call uses.
//!
//! However many routes find their session refused, one login is made and its answer, good or bad, is shared.
//! Salesforce tells no lifetime of a token: a session is used for an hour at most, and given up as soon as
//! someone saw it refused. Tokens and instance URLs are neither logged nor part of any error.

mod flow;
mod http;
mod org_id;
mod refusal;
mod session;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{AuthConfig, SalesforceConfig};
use crate::error::{ErrorKind, Failure};
use crate::runtime::clock;
use crate::runtime::flight::Flight;
use crate::telemetry::metrics::{Metrics, Outcome};

use flow::Flow;
use http::{Answer, Http};
pub use org_id::id18;
pub use session::Session;

/// Salesforce's sessions end after two hours without use by default; half of that is safe without asking.
const SESSION_AGE_MAX: Duration = Duration::from_secs(3600);
/// Fifty routes with their own back-off must not become fifty logins: a user is locked out after a few.
const REFUSAL_KEPT: Duration = Duration::from_secs(1);
/// A clock nearer to Salesforce's than this is not why a token of three minutes was found expired.
const SKEW_MIN_MS: i64 = 30_000;

/// Gives sessions, and new ones for refused ones. Cheap to clone; all clones share one session.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

struct Inner {
    grant: Grant,
    http: Http,
    flight: Flight<Session, Failure>,
    /// The number of the latest session; a later one replaces an earlier one.
    generation: AtomicU64,
    /// Salesforce's clock minus ours, once it mattered.
    skew_ms: AtomicI64,
    metrics: Metrics,
}

enum Grant {
    /// A token that was given to us and that we cannot renew.
    Fixed(Arc<Session>),
    Login {
        token_url: String,
        flow: Flow,
    },
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSource")
    }
}

impl TokenSource {
    /// # Errors
    /// `Misconfigured`: a key, certificate or id that cannot be right.
    pub fn new(config: &SalesforceConfig, metrics: Metrics) -> Result<Self, Failure> {
        let grant = match &config.auth {
            AuthConfig::AccessToken {
                access_token,
                instance_url,
                organization_id,
            } => Grant::Fixed(Arc::new(session::fixed(
                access_token,
                instance_url,
                organization_id,
            )?)),
            login => Grant::Login {
                token_url: format!("{}/services/oauth2/token", config.login_url.trim_end_matches('/')),
                flow: Flow::prepare(login, &config.login_url)?,
            },
        };
        Ok(Self(Arc::new(Inner {
            grant,
            http: Http::new(config)?,
            flight: Flight::new(REFUSAL_KEPT),
            generation: AtomicU64::new(0),
            skew_ms: AtomicI64::new(0),
            metrics,
        })))
    }

    /// The session at hand, or a new one.
    ///
    /// # Errors
    /// What the login answered, classified, with a remedy.
    pub async fn session(&self) -> Result<Arc<Session>, Failure> {
        self.newer_than(0).await
    }

    /// A session newer than one that was refused. Callers with the same stale session share one login.
    ///
    /// # Errors
    /// As [`TokenSource::session`]; always `Unauthenticated` for a given access token, which nobody can renew.
    pub async fn refresh(&self, stale: &Session) -> Result<Arc<Session>, Failure> {
        if matches!(self.0.grant, Grant::Fixed(_)) {
            let failure = Failure::new(
                ErrorKind::Unauthenticated,
                "Salesforce no longer accepts the configured access token",
            );
            return Err(failure.remedy(
                "put a new salesforce.auth.access_token and start again, or use a flow that can log in by itself",
            ));
        }
        self.newer_than(stale.generation).await
    }

    /// Salesforce's clock in epoch milliseconds, to the second below: where a first start with `latest` begins.
    ///
    /// # Errors
    /// When no session is to be had, or the org's host does not answer with a date.
    pub async fn server_time_ms(&self) -> Result<i64, Failure> {
        let session = self.session().await?;
        self.0.http.server_time_ms(&session).await
    }

    /// The user of a session, 18 characters, asked for where the login did not tell it; `None`: Salesforce does not
    /// tell.
    ///
    /// # Errors
    /// When the org's host does not answer, or not to this token.
    pub async fn user_id(&self, session: &Session) -> Result<Option<String>, Failure> {
        if let Some(user_id) = &session.user_id {
            return Ok(id18(user_id));
        }
        let owner = self
            .0
            .http
            .owner(&session.access_token, &session.instance_url)
            .await?;
        Ok(owner.user_id.as_deref().and_then(id18))
    }

    async fn newer_than(&self, generation: u64) -> Result<Arc<Session>, Failure> {
        let (token_url, flow) = match &self.0.grant {
            Grant::Fixed(session) => return Ok(Arc::clone(session)),
            Grant::Login { token_url, flow } => (token_url, flow),
        };
        let usable =
            |session: &Session| session.generation > generation && session.since.elapsed() < SESSION_AGE_MAX;
        let login = || async {
            let outcome = self.0.login(token_url, flow).await;
            self.0.count(&outcome);
            outcome
        };
        let session = self.0.flight.get(usable, login).await;
        session.map_err(|failure| Failure::shared(&failure))
    }
}

impl Inner {
    async fn login(&self, token_url: &str, flow: &Flow) -> Result<Session, Failure> {
        let mut answer = self.ask(token_url, flow).await?;
        // A JWT is valid for minutes by Salesforce's clock. If ours is off, take Salesforce's, once.
        if flow.is_timed() && refusal::blames_the_clock(&answer) && self.correct_clock(&answer) {
            answer = self.ask(token_url, flow).await?;
        }
        let token = token::read(&answer, flow)?;
        let owner = match token.owner {
            Some(owner) => owner,
            None => self.http.owner(&token.access_token, &token.instance_url).await?,
        };
        Ok(Session {
            generation: self.generation.fetch_add(1, Ordering::Relaxed) + 1,
            since: tokio::time::Instant::now(),
            access_token: token.access_token,
            instance_url: token.instance_url,
            organization_id: owner.organization_id,
            user_id: owner.user_id,
            username: flow.username().map(str::to_owned).or(owner.username),
        })
    }

    async fn ask(&self, token_url: &str, flow: &Flow) -> Result<Answer, Failure> {
        let now_ms = clock::now_ms() + self.skew_ms.load(Ordering::Relaxed);
        self.http.post_form(token_url, &flow.form(now_ms)?).await
    }

    fn correct_clock(&self, answer: &Answer) -> bool {
        let Some(date_ms) = answer.date_ms else {
            return false;
        };
        let skew_ms = date_ms - clock::now_ms();
        let was_ms = self.skew_ms.swap(skew_ms, Ordering::Relaxed);
        if (skew_ms - was_ms).abs() < SKEW_MIN_MS {
            return false;
        }
        tracing::warn!(
            skew_seconds = skew_ms / 1000,
            "this machine's clock differs from Salesforce's; logging in by Salesforce's. Set the clock (NTP)"
        );
        true
    }

    fn count(&self, outcome: &Result<Session, Failure>) {
        let outcome = match outcome {
            Ok(_) => "ok",
            Err(failure) => failure.kind.name(),
        };
        let label = Outcome {
            outcome: outcome.into(),
        };
        self.metrics.token_refreshes.get_or_create(&label).inc();
    }
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
