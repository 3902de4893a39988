//! One way to stop: a signal that every part waits for, one deadline, a line every five seconds that names what
//! is left, and a second signal that exits at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Where a part learns that it should stop. Cheap to clone; never fires twice.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

/// The other end: [`Stop::stop`] or dropping it fires the signal.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// A fresh pair.
pub fn stop_pair() -> (Stop, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), StopSignal(receiver))
}

impl Stop {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl StopSignal {
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once the stop was asked for.
    pub async fn stopped(&mut self) {
        // An error means that the sender is gone: the owner of this part has ended, so should the part.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Sleeps, or returns `false` at once when the stop is asked for.
    pub async fn sleep(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = self.stopped() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    Clean,
    /// The deadline cut something off, or a second signal did.
    Cut,
}

/// How often a drain says what is left.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// SIGTERM or SIGINT.
#[derive(Debug)]
pub struct Signals(Option<Handlers>);

#[derive(Debug)]
struct Handlers {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self(Some(Handlers {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })))
    }

    /// For a process that has other things to do than the bridge, and ends it by dropping it: handlers stay
    /// installed for the life of a process, so that Ctrl-C would no longer end it.
    pub const fn never() -> Self {
        Self(None)
    }

    pub async fn next(&mut self) {
        let Some(Handlers { terminate, interrupt }) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Waits for `done` within the deadline and says every five seconds what `left` names.
pub async fn drain(
    done: impl Future<Output = ()>,
    deadline: Duration,
    left: impl Fn() -> Vec<String>,
    signals: &mut Signals,
) -> Drain {
    let end = tokio::time::sleep(deadline);
    let mut report = tokio::time::interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
    tokio::pin!(done, end);
    loop {
        tokio::select! {
            () = &mut done => return Drain::Clean,
            () = &mut end => {
                tracing::error!(left = ?left(), deadline_seconds = deadline.as_secs_f64(), "shutdown deadline passed: what is left is cut off and comes again at the next start");
                return Drain::Cut;
            }
            () = signals.next() => {
                tracing::error!(left = ?left(), "second signal: exiting at once");
                return Drain::Cut;
            }
            _ = report.tick() => tracing::warn!(left = ?left(), "still draining"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_wakes_every_waiter_once_and_for_all() {
        let (stop, mut first) = stop_pair();
        let mut second = first.clone();
        assert!(!first.is_stopped());
        stop.stop();
        first.stopped().await;
        second.stopped().await;
        assert!(first.is_stopped() && second.is_stopped());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_early_when_stopped() {
        let (stop, mut signal) = stop_pair();
        assert!(signal.sleep(Duration::from_secs(5)).await);
        stop.stop();
        assert!(!signal.sleep(Duration::from_secs(3600)).await);
    }

    #[tokio::test]
    async fn an_owner_that_ended_stops_its_parts() {
        let (stop, mut signal) = stop_pair();
        drop(stop);
        signal.stopped().await;
        assert!(signal.is_stopped());
    }
}
