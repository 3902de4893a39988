//! Whether a static member that its group has fenced joins anew. Pure.
//!
//! A member is fenced when somebody joins under its `group.instance.id`. That is a second process with the same
//! `bridge.instance`; or it is the member itself. While brokers are away it asks to join again and again, and when they
//! are back they take up what lies in their sockets, a request that was given up long ago as the last one perhaps. Then
//! nobody is there but the member that was fenced: before it has an answer, or shortly after.
//!
//! So a member whose brokers were away lately joins anew, a few times. Two processes that fence each other have one that
//! comes to its last time first: that one gives up, and the other stays.

use std::time::{Duration, Instant};

/// Brokers that are back have read their sockets within this time, and heartbeats tell the member each second.
const LATELY: Duration = Duration::from_secs(60);
/// Each connection that was given up holds one late request at most, and few are made while brokers are away.
const IN_A_ROW_MAX: u32 = 3;

/// Before the group is joined anew: once is enough unless the brokers come and go.
pub(super) const REJOIN_PAUSE: Duration = Duration::from_secs(1);

/// How a membership ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stopped,
    /// Fenced by a late request to join of our own, as far as can be told.
    Overtaken,
    /// The group will not have this member: a person must act.
    Refused,
}

/// How a member stands with its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// No answer yet; `troubled`: brokers were away meanwhile.
    Undecided { troubled: bool },
    Decided {
        /// Since when, where brokers had been away before.
        regained: Option<Instant>,
    },
    /// It ran out because no broker answered: nobody has said that another instance took over.
    Lost,
}

impl Default for Membership {
    fn default() -> Self {
        Self::NEW
    }
}

impl Membership {
    pub(super) const NEW: Self = Self::Undecided { troubled: false };

    pub(super) const fn is_decided(self) -> bool {
        matches!(self, Self::Decided { .. })
    }

    /// The group has answered.
    pub(super) const fn decided(&mut self, now: Instant) {
        let regained = match *self {
            Self::Undecided { troubled: false } => None,
            Self::Undecided { troubled: true } | Self::Lost => Some(now),
            Self::Decided { regained } => regained,
        };
        *self = Self::Decided { regained };
    }

    /// Brokers are away.
    pub(super) const fn troubled(&mut self) {
        if let Self::Undecided { troubled } = self {
            *troubled = true;
        }
    }
}

/// The fences of one member, through all the times that it joined.
#[derive(Debug, Default)]
pub(super) struct Fences {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Fences {
    /// The member was fenced: whether it joins anew.
    pub(super) fn joins_anew(&mut self, membership: Membership, now: Instant) -> bool {
        let is_within = |since: Instant| now.duration_since(since) < LATELY;
        let regained = match membership {
            Membership::Undecided { .. } | Membership::Lost => return true,
            Membership::Decided { regained } => regained,
        };
        if !regained.is_some_and(is_within) {
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

    fn regained(at: Instant) -> Membership {
        let mut membership = Membership::Lost;
        membership.decided(at);
        membership
    }

    #[test]
    fn without_an_answer_it_is_always_its_own_late_request() {
        let (mut fences, now) = (Fences::default(), Instant::now());
        assert!((0..100).all(|_| fences.joins_anew(Membership::NEW, now)));
        assert!(fences.joins_anew(Membership::Lost, now));
    }

    #[test]
    fn where_brokers_were_there_all_the_time_the_name_is_left_to_the_newcomer() {
        let (mut membership, now) = (Membership::NEW, Instant::now());
        membership.decided(now);
        // Trouble in between, without a loss, has its requests answered.
        membership.troubled();
        assert!(!Fences::default().joins_anew(membership, now));
    }

    #[test]
    fn a_membership_that_came_after_trouble_is_in_doubt_for_a_while() {
        let (mut membership, joined) = (Membership::NEW, Instant::now());
        membership.troubled();
        membership.decided(joined);
        membership.decided(joined + LATELY);
        for membership in [membership, regained(joined)] {
            let mut fences = Fences::default();
            assert!(fences.joins_anew(membership, joined + LATELY - SECOND));
            assert!(!fences.joins_anew(membership, joined + LATELY));
        }
    }

    #[test]
    fn of_two_that_fence_each_other_one_gives_up() {
        let (mut fences, mut now) = (Fences::default(), Instant::now());
        let mut is_fenced = |after: Duration| {
            now += after;
            fences.joins_anew(regained(now - SECOND), now)
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
