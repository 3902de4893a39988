//! When a transaction is full, and when it goes: group commit as a pure machine.
//!
//! A transaction takes what has arrived while the one before it was committing. `linger_ms: 0` waits for
//! nothing more, so a quiet route commits each event at once and a busy one fills its batches by itself.

use std::time::Duration;

use crate::config::CommitConfig;

/// Counts what is in the batch that is being filled.
#[derive(Debug, Clone)]
pub struct BatchPolicy {
    max_events: usize,
    max_bytes: usize,
    linger: Duration,
    events: usize,
    bytes: usize,
    /// Something must be committed: an event, or a position that a keep-alive moved.
    dirty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchAction {
    /// Nothing to commit.
    Rest,
    /// Fill on, at most for this long.
    Linger(Duration),
    Commit,
}

impl BatchPolicy {
    pub const fn new(config: &CommitConfig) -> Self {
        Self {
            max_events: config.max_events,
            max_bytes: config.max_bytes,
            linger: config.linger,
            events: 0,
            bytes: 0,
            dirty: false,
        }
    }

    /// One event with the bytes of all its records.
    pub const fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
        self.dirty = true;
    }

    /// The position moved without an event.
    pub const fn touch(&mut self) {
        self.dirty = true;
    }

    /// No further event fits. One event always fits, however large.
    pub const fn is_full(&self) -> bool {
        self.events >= self.max_events || (self.events > 0 && self.bytes >= self.max_bytes)
    }

    /// What to do `waited` after the first addition, while no other transaction is open.
    pub fn action(&self, waited: Duration) -> BatchAction {
        if !self.dirty {
            BatchAction::Rest
        } else if self.is_full() || self.events == 0 || waited >= self.linger {
            BatchAction::Commit
        } else {
            BatchAction::Linger(self.linger.saturating_sub(waited))
        }
    }

    /// The batch went to the producer: a new one begins.
    pub const fn clear(&mut self) {
        self.events = 0;
        self.bytes = 0;
        self.dirty = false;
    }

    pub const fn events(&self) -> usize {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_events: usize, max_bytes: usize, linger_ms: u64) -> BatchPolicy {
        BatchPolicy::new(&CommitConfig {
            max_events,
            max_bytes,
            linger: Duration::from_millis(linger_ms),
        })
    }

    #[test]
    fn an_empty_batch_rests() {
        assert_eq!(
            policy(10, 1000, 0).action(Duration::from_secs(9)),
            BatchAction::Rest
        );
    }

    #[test]
    fn without_linger_a_single_event_goes_at_once() {
        let mut policy = policy(10, 1000, 0);
        policy.add(1);
        assert_eq!(policy.action(Duration::ZERO), BatchAction::Commit);
    }

    #[test]
    fn linger_waits_until_the_time_or_the_batch_is_full() {
        let mut policy = policy(2, 1000, 5);
        policy.add(1);
        assert_eq!(
            policy.action(Duration::from_millis(2)),
            BatchAction::Linger(Duration::from_millis(3))
        );
        assert_eq!(policy.action(Duration::from_millis(5)), BatchAction::Commit);
        policy.add(1);
        assert!(policy.is_full());
        assert_eq!(policy.action(Duration::ZERO), BatchAction::Commit);
    }

    #[test]
    fn a_keep_alive_position_does_not_linger() {
        let mut policy = policy(2, 1000, 5000);
        policy.touch();
        assert_eq!(policy.action(Duration::ZERO), BatchAction::Commit);
    }

    #[test]
    fn one_huge_event_fits_and_fills() {
        let mut policy = policy(1000, 10, 0);
        assert!(!policy.is_full());
        policy.add(1_000_000);
        assert!(policy.is_full());
    }
}
