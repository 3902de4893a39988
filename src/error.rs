//! The kinds of failure and the one policy table: kind → action. Nothing else in the program decides to
//! retry, to wait, to dead-letter or to halt.
//!
//! Modules that have something of their own to decide keep a narrow error enum and turn it into a
//! [`Failure`] at their edge. What nobody has classified is [`ErrorKind::Unknown`] and halts its route.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What went wrong, as far as the decision what to do about it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The other side or the line is unwell and will recover by itself.
    Transient,
    /// The other side asked for patience: limits, `Retry-After`, allocations.
    Throttled,
    /// The session is not, or no longer, accepted.
    Unauthenticated,
    /// The user may not, or the object does not exist: a person must grant or correct something.
    Denied,
    /// Salesforce no longer accepts the stored replay id (or Kafka the committed offset).
    LostPosition,
    /// A schema that breaks a contract.
    Contract,
    /// One event or record that can never be delivered as it is.
    Poison,
    /// The Kafka transaction must be aborted; the producer lives on.
    Abortable,
    /// Another owner, or a transaction that the broker timed out: the producer is dead.
    Fenced,
    /// The configuration is wrong.
    Misconfigured,
    /// Nobody foresaw it.
    Unknown,
}

/// What is done about a failure of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Retry with jittered back-off, for ever, visibly.
    Retry,
    /// Wait the told time (clamped), or back off from five seconds when none was told. Not a failure.
    Wait,
    /// One shared token refresh, then retry; back-off when it keeps failing.
    Refresh,
    /// Stop this route and tell a person what to do.
    Halt,
    /// What the route's `on_lost_position` says; always counted and logged as a gap.
    OnLostPosition,
    /// What the output's `on_break` says.
    OnBreak,
    /// Store it with the reason and go on; many in a row halt the route.
    DeadLetter,
    /// Abort, then start again from the stored position.
    AbortAndReread,
    /// Drop the producer and start the route again from `init_transactions`.
    StartAgain,
    /// List every mistake and exit with code 64.
    Refuse,
}

impl ErrorKind {
    /// The policy table.
    pub const fn action(self) -> Action {
        match self {
            Self::Transient => Action::Retry,
            Self::Throttled => Action::Wait,
            Self::Unauthenticated => Action::Refresh,
            Self::Denied | Self::Unknown => Action::Halt,
            Self::LostPosition => Action::OnLostPosition,
            Self::Contract => Action::OnBreak,
            Self::Poison => Action::DeadLetter,
            Self::Abortable => Action::AbortAndReread,
            Self::Fenced => Action::StartAgain,
            Self::Misconfigured => Action::Refuse,
        }
    }

    /// The word used in metrics, dead-letter headers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::LostPosition => "lost_position",
            Self::Contract => "contract",
            Self::Poison => "poison",
            Self::Abortable => "abortable",
            Self::Fenced => "fenced",
            Self::Misconfigured => "misconfigured",
            Self::Unknown => "unknown",
        }
    }
}

/// A classified failure: what happened to which object, what to do about it, and the cause.
///
/// `message` names the object and the rule; `remedy` says what a person should do. Neither ever holds a
/// payload, a token or a field value: both are shown in logs and on `/api/routes`.
#[derive(Debug)]
pub struct Failure {
    pub kind: ErrorKind,
    pub message: String,
    pub remedy: Option<String>,
    /// How long the other side told us to wait.
    pub retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            retry_after: None,
            source: None,
        }
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub fn after(mut self, told: Duration) -> Self {
        self.retry_after = Some(told);
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure for one more of those who waited for one call; the original stays its cause.
    pub fn shared(original: &Arc<Self>) -> Self {
        let mut copy = Self::new(original.kind, original.message.clone()).caused_by(Arc::clone(original));
        copy.remedy.clone_from(&original.remedy);
        copy.retry_after = original.retry_after;
        copy
    }

    /// The policy table's answer for this failure.
    pub const fn action(&self) -> Action {
        self.kind.action()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// An error and its causes on one line, for logs and for the `why` of a state.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let message = error.to_string();
    let causes = causes(error, &message);
    on_one_line(&message, &causes)
}

/// What the causes of an error say, the nearest first. What was said before it is left out.
fn causes(error: &(dyn StdError + 'static), message: &str) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        let is_said = |text: &str| text.contains(&part);
        if !is_said(message) && !causes.iter().any(|known| is_said(known)) {
            causes.push(part);
        }
        cause = error.source();
    }
    causes
}

fn on_one_line(message: &str, causes: &[String]) -> String {
    let parts = std::iter::once(message).chain(causes.iter().map(String::as_str));
    parts.collect::<Vec<_>>().join(": ")
}

/// A failure as people are shown it: it can be kept, compared and sent, which the failure cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureView {
    pub kind: ErrorKind,
    pub message: String,
    /// The nearest first.
    pub causes: Vec<String>,
    pub remedy: Option<String>,
}

impl FailureView {
    /// On one line, as [`chain`] has it.
    pub fn text(&self) -> String {
        on_one_line(&self.message, &self.causes)
    }
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: failure.kind,
            message: failure.message.clone(),
            causes: causes(failure, &failure.message),
            remedy: failure.remedy.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_foresaw_halts_the_route() {
        assert_eq!(ErrorKind::Unknown.action(), Action::Halt);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let cause = Failure::new(ErrorKind::Transient, "connection reset");
        let failure = Failure::new(ErrorKind::Transient, "kafka:9092 went away").caused_by(cause);
        assert_eq!(chain(&failure), "kafka:9092 went away: connection reset");
    }

    #[test]
    fn what_is_shown_of_a_failure_is_its_chain_in_parts() {
        let cause = Failure::new(ErrorKind::Transient, "connection reset");
        let failure = Failure::new(ErrorKind::Transient, "kafka:9092 went away").caused_by(cause);
        let shared = Failure::shared(&Arc::new(failure));
        let view = FailureView::from(&shared);
        assert_eq!(view.causes, ["connection reset"]);
        assert_eq!(view.text(), chain(&shared));
    }
}
