//! Whether a static member that its group has fenced joins anew. Pure.
//!
//! A member is fenced when somebody joins under its `group.instance.id`. That is a second process with the same
//! `bridge.instance`; or it is the member itself. While brokers are away it asks to join again and again, and when they
//! are back they take up what lies in their sockets, a request that was given up long ago as the last one perhaps. Then
//! nobody is there but the member that was fenced: before it has an answer, or shortly after.
//!
//! So a member that had joined lately joins anew, a few times. Two processes that fence each other have one that comes to
//! its last time first: that one gives up, and the other stays.

use std::time::{Duration, Instant};

/// Brokers that are back have read their sockets within this time, and heartbeats tell the member each second.
const LATELY: Duration = Duration::from_secs(60);
/// Each connection that was given up holds one late request at most, and few are made while brokers are away.
const IN_A_ROW_MAX: u32 = 3;

/// The fences of one member, through all the times that it joined.
#[derive(Debug, Default)]
pub(super) struct Fences {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Fences {
    /// The member was fenced. `joined`: since when the group has it; None while it had no answer.
    pub(super) fn joins_anew(&mut self, joined: Option<Instant>, now: Instant) -> bool {
        let is_within = |since: Instant| now.duration_since(since) < LATELY;
        let Some(joined) = joined else { return true };
        if !is_within(joined) {
            return false;
        }
        self.in_a_row = match self.last {
            Some(last) if is_within(last) => self.in_a_row + 1,
            _ => 1,
        };
        self.last = Some(now);
        self.in_a_row <= IN_A_ROW_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_an_answer_it_is_always_its_own_late_request() {
        let (mut fences, now) = (Fences::default(), Instant::now());
        assert!((0..100).all(|_| fences.joins_anew(None, now)));
    }

    #[test]
    fn who_has_been_there_for_long_leaves_the_name_to_the_newcomer() {
        let (mut fences, joined) = (Fences::default(), Instant::now());
        assert!(fences.joins_anew(Some(joined), joined + LATELY - SECOND));
        assert!(!fences.joins_anew(Some(joined), joined + LATELY));
    }

    #[test]
    fn of_two_that_fence_each_other_one_gives_up() {
        let (mut fences, mut now) = (Fences::default(), Instant::now());
        let mut is_fenced = |after: Duration| {
            now += after;
            fences.joins_anew(Some(now - SECOND), now)
        };
        for _ in 0..IN_A_ROW_MAX {
            assert!(is_fenced(2 * SECOND));
        }
        assert!(!is_fenced(2 * SECOND));
        assert!(
            is_fenced(LATELY),
            "brokers that go away again later are another story"
        );
    }
}
