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
    fn a_success_starts_the_row_again() {
        let mut delays = RetryPolicy::TRANSIENT.delays();
        for _ in 0..10 {
            delays.next(None);
        }
        delays.reset();
        assert!(delays.next(None) <= Duration::from_millis(300));
    }
}
