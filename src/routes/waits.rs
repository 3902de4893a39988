//! Waits of a route that pass by themselves, and its end where they do not: shown, with the reason and the remedy.

use std::time::Duration;

use super::state::RouteStatus;
use crate::error::{Action, Failure, FailureView, chain};
use crate::runtime::clock;
use crate::runtime::retry::{Delays, RetryPolicy, Tried};

/// The two rows of pauses: for what passes, and for limits.
#[derive(Debug)]
pub(super) struct Pauses {
    pub(super) transient: Delays,
    pub(super) throttled: Delays,
    /// Failures of this row that a new login was to mend.
    logins: u32,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            transient: RetryPolicy::TRANSIENT.delays(),
            throttled: RetryPolicy::THROTTLED.delays(),
            logins: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.transient.reset();
        self.throttled.reset();
        self.logins = 0;
    }

    /// Since the last success.
    pub(super) const fn tried(&self) -> Tried {
        Tried {
            times: self.transient.tries().saturating_add(self.throttled.tries()),
            logins: self.logins,
        }
    }

    /// How long to wait after this failure; None: waiting does not help.
    pub(super) fn after(&mut self, failure: &Failure) -> Option<Duration> {
        match failure.action() {
            Action::Retry => Some(self.transient.next(failure.retry_after)),
            Action::Refresh => {
                self.logins = self.logins.saturating_add(1);
                Some(self.transient.next(failure.retry_after))
            }
            Action::Wait => Some(self.throttled.next(failure.retry_after)),
            _ => None,
        }
    }
}

/// Why an operation was given up.
pub(super) enum Interrupted {
    Stopped,
    Failed(Failure),
}

/// Tries an operation until it succeeds, fails for good, or `stopped` resolves. Its waits are shown, and when they
/// are over what was shown before.
pub(super) async fn until_done<T, F>(
    status: &RouteStatus,
    stopped: impl Future<Output = ()>,
    operation: impl FnMut() -> F,
) -> Result<T, Interrupted>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut before = None;
    let done = until_done_shown(stopped, operation, |failure, tried, pause| {
        before.get_or_insert_with(|| status.state());
        show(status, failure, tried, pause);
    });
    let done = done.await?;
    if let Some(before) = before {
        status.waited(before);
    }
    Ok(done)
}

/// The same with waits that `show` shows.
pub(super) async fn until_done_shown<T, F>(
    stopped: impl Future<Output = ()>,
    mut operation: impl FnMut() -> F,
    mut show: impl FnMut(&Failure, Tried, Duration),
) -> Result<T, Interrupted>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pauses = Pauses::new();
    tokio::pin!(stopped);
    loop {
        let failure = tokio::select! {
            () = &mut stopped => return Err(Interrupted::Stopped),
            result = operation() => match result {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            },
        };
        let Some(pause) = pauses.after(&failure) else {
            return Err(Interrupted::Failed(failure));
        };
        show(&failure, pauses.tried(), pause);
        tokio::select! {
            () = &mut stopped => return Err(Interrupted::Stopped),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Shows that the route waits, why, and until when it does.
pub(super) fn show(status: &RouteStatus, failure: &Failure, tried: Tried, pause: Duration) {
    let until_ms = clock::now_ms() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX / 2);
    tracing::warn!(route = %status.name, kind = failure.kind.name(), error = %chain(failure), pause_ms = pause.as_millis(), "waiting");
    status.fails(failure.into(), tried, Some(until_ms));
}

/// Shows that the route halts.
pub(super) fn halt(status: &RouteStatus, failure: &Failure, tried: Tried) {
    let restart = || {
        let route = &status.name;
        format!("mend the cause, then restart the route: POST /api/routes/{route}/restart")
    };
    let mut view = FailureView::from(failure);
    view.remedy.get_or_insert_with(restart);
    status.halts(view, tried);
}
