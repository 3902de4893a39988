//! Retry delays. The only module that names the crate `backoff`, so that replacing it touches one file.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The longest pause between two tries, whoever asks for it.
pub const DELAY_MAX: Duration = Duration::from_secs(60);
/// The longest pause that another side may impose on us.
pub const TOLD_DELAY_MAX: Duration = Duration::from_secs(300);

/// How fast to try again: jittered exponential delays with a cap, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub first: Duration,
    pub cap: Duration,
}

impl RetryPolicy {
    /// For a line or a server that comes back by itself.
    pub const TRANSIENT: Self = Self {
        first: Duration::from_millis(200),
        cap: DELAY_MAX,
    };
    /// For a limit where no time was told: first after five seconds, then doubling up to five minutes.
    pub const THROTTLED: Self = Self {
        first: Duration::from_secs(5),
        cap: TOLD_DELAY_MAX,
    };

    pub fn delays(self) -> Delays {
        Delays {
            policy: self,
            inner: ExponentialBackoff {
                current_interval: self.first,
                initial_interval: self.first,
                randomization_factor: 0.5,
                multiplier: 2.0,
                max_interval: self.cap,
                max_elapsed_time: None,
                ..ExponentialBackoff::default()
            },
            tries: 0,
        }
    }
}

/// The delays of one row of failures; [`Delays::reset`] after a success.
#[derive(Debug)]
pub struct Delays {
    policy: RetryPolicy,
    inner: ExponentialBackoff,
    tries: u32,
}

impl Delays {
    /// The next pause. A told time is kept to, clamped to [first delay, five minutes].
    pub fn next(&mut self, told: Option<Duration>) -> Duration {
        self.tries = self.tries.saturating_add(1);
        let own = self
            .inner
            .next_backoff()
            .unwrap_or(self.policy.cap)
            .min(self.policy.cap);
        told.map_or(own, |told| told.clamp(self.policy.first, TOLD_DELAY_MAX))
    }

    /// How many pauses were taken since the last success.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    pub fn reset(&mut self) {
        self.inner.reset();
        self.tries = 0;
    }
}

/// What was done about a failure so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried {
    /// Tries that failed. 0: whoever tries does not count.
    pub times: u32,
    /// New logins among them.
    pub logins: u32,
}

impl Tried {
    /// With the try that has just failed.
    #[must_use]
    pub const fn once_more(self) -> Self {
        Self {
            times: self.times.saturating_add(1),
            ..self
        }
    }
}

/// `tried 5 times: 4 retries with back-off, one token refresh`
impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.times {
            0 => return f.write_str("whoever tries does not count"),
            1 => f.write_str("tried once")?,
            2 => f.write_str("tried twice: one retry with back-off")?,
            times => write!(f, "tried {times} times: {} retries with back-off", times - 1)?,
        }
        match self.logins {
            0 => Ok(()),
            1 => f.write_str(", one token refresh"),
            logins => write!(f, ", {logins} token refreshes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_never_end() {
        let mut delays = RetryPolicy {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(2),
        }
        .delays();
        let taken: Vec<_> = (0..50).map(|_| delays.next(None)).collect();
        assert!(taken[0] <= Duration::from_millis(150));
        assert!(taken.iter().all(|delay| *delay <= Duration::from_secs(2)));
        assert!(taken[40..].iter().all(|delay| *delay >= Duration::from_secs(1)));
        assert_eq!(delays.tries(), 50);
    }

    #[test]
    fn a_told_time_is_kept_to_but_clamped() {
        let mut delays = RetryPolicy::THROTTLED.delays();
        assert_eq!(
            delays.next(Some(Duration::from_secs(42))),
            Duration::from_secs(42)
        );
        assert_eq!(delays.next(Some(Duration::from_secs(86_400))), TOLD_DELAY_MAX);
    }

    #[test]
    fn what_was_tried_is_told_in_words() {
        let told = |times, logins| Tried { times, logins }.to_string();
        assert_eq!(told(1, 0), "tried once");
        assert_eq!(
            told(2, 1),
            "tried twice: one retry with back-off, one token refresh"
        );
        assert_eq!(
            told(5, 2),
            "tried 5 times: 4 retries with back-off, 2 token refreshes"
        );
    }

    #[test]
    fn a_success_starts_the_row_again() {
        let mut delays = RetryPolicy::TRANSIENT.delays();
        for _ in 0..10 {
            delays.next(None);
        }
        delays.reset();
        assert!(delays.next(None) <= Duration::from_millis(300));
    }
}
