//! How long to leave the coordinator alone between two transactions. Pure.
//!
//! A commit is answered before its markers stand in every partition. A transaction that begins in between is
//! sent back, and librdkafka then pauses for a fixed time that no setting changes; every event that arrives
//! meanwhile waits with it. The markers take about as long as the commit's answer took, and sometimes longer: how
//! much longer depends on the brokers, so it is learned. Being sent back makes the margin a step longer, each
//! transaction that is not makes it a little shorter, and it comes to rest where one in a thousand is sent back.

use std::time::Duration;

/// What librdkafka waits when it was sent back.
const SENT_BACK_PAUSE: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(1);
/// Transactions that pay a step back.
const STEP_PAID_BACK_IN: u32 = 1000;
/// Beyond it the waiting costs more than the pauses that it avoids.
const MARGIN_MAX: Duration = Duration::from_millis(5);
/// More records than this take such a time without being sent back.
const RECORDS_JUDGED_MAX: usize = 50;

/// What a transaction took: until its last record was acknowledged, and until its commit was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) deliver: Duration,
    pub(super) commit: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Settling {
    margin: Duration,
}

impl Settling {
    /// The pause before the next transaction: never longer than being sent back costs.
    pub(super) fn after(&mut self, records: usize, took: Took) -> Duration {
        let sent_back = records <= RECORDS_JUDGED_MAX && took.deliver >= SENT_BACK_PAUSE;
        self.margin = if sent_back {
            (self.margin + STEP).min(MARGIN_MAX)
        } else {
            self.margin.saturating_sub(STEP / STEP_PAID_BACK_IN)
        };
        (took.commit + self.margin).min(SENT_BACK_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(deliver_ms: u64, commit_ms: u64) -> Took {
        Took {
            deliver: Duration::from_millis(deliver_ms),
            commit: Duration::from_millis(commit_ms),
        }
    }

    #[test]
    fn the_pause_is_as_long_as_the_commit_and_never_longer_than_being_sent_back() {
        let mut settling = Settling::default();
        assert_eq!(settling.after(1, took(1, 2)), Duration::from_millis(2));
        assert_eq!(settling.after(1, took(1, 500)), SENT_BACK_PAUSE);
    }

    #[test]
    fn being_sent_back_lengthens_the_pause_for_a_thousand_transactions() {
        let mut settling = Settling::default();
        assert_eq!(settling.after(1, took(21, 2)), Duration::from_millis(3));
        for _ in 0..1000 {
            settling.after(1, took(1, 2));
        }
        assert_eq!(settling.after(1, took(1, 2)), Duration::from_millis(2));
    }

    #[test]
    fn a_full_transaction_that_takes_long_was_not_sent_back() {
        assert_eq!(
            Settling::default().after(1000, took(40, 2)),
            Duration::from_millis(2)
        );
    }

    #[test]
    fn the_margin_has_an_end() {
        let mut settling = Settling::default();
        let last = (0..100).map(|_| settling.after(1, took(30, 2))).last();
        assert_eq!(last, Some(Duration::from_millis(7)));
    }
}
