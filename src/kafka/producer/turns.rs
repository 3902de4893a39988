//! Which of a route's two producers writes the next transaction, and when there is a second at all. Pure.
//!
//! ```text
//!            small ones follow closely          a commit through the first,
//!                    ten in a row               begun after it was made
//!   Absent ────────────────────────▶ Making ──▶ Made ─────────────────────▶ Proven
//!     ▲                                                                        │
//!     └────────────────────────── not used for half a minute ──────────────────┘
//! ```
//!
//! The second is used for a small transaction that follows closely on a commit of the first, and for nothing else.
//! Hazard: it must be *proven* before it is used, see the head of [`lanes`](super::lanes).

use std::time::{Duration, Instant};

/// A transaction of more records takes so long that librdkafka's pause of 20 ms is a small part of it, and its route
/// needs the memory of a second producer for records.
const SMALL_RECORDS: usize = 50;
/// What begins sooner after a commit may be sent back and then waits for librdkafka's 20 ms. Later than that there is
/// nothing to win.
const CLOSE: Duration = Duration::from_millis(20);
/// So many small ones in a row that follow closely are no chance: at a hundred a second, a tenth of a second.
const IN_A_ROW: u32 = 10;
/// Making a second costs four threads and a few round trips: not again at each pause of a busy route.
const UNUSED_MAX: Duration = Duration::from_secs(30);
/// Between two tries to make one.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    First,
    Second,
}

/// What becomes of the second producer before the next transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecondAction {
    Leave,
    Make,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) lane: Lane,
    pub(super) second: SecondAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SecondState {
    /// There is to be none.
    Never,
    Absent {
        not_before: Option<Instant>,
    },
    Making,
    /// Initialised; no commit through the first has shown since that the route is still ours.
    Made {
        since: Instant,
    },
    Proven {
        used: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Turns {
    second: SecondState,
    /// The transaction under way: its lane, and whether its commit proves the second.
    under_way: (Lane, bool),
    /// The last commit and its lane.
    last: Option<(Lane, Instant)>,
    close_in_a_row: u32,
}

impl Turns {
    /// Without a second, for good.
    pub(super) const fn alone() -> Self {
        Self::with(SecondState::Never)
    }

    /// A second when it is worth having.
    pub(super) const fn new() -> Self {
        Self::with(SecondState::Absent { not_before: None })
    }

    const fn with(second: SecondState) -> Self {
        Self {
            second,
            under_way: (Lane::First, false),
            last: None,
            close_in_a_row: 0,
        }
    }

    /// Who writes the transaction of so many records that begins now. The one before it is through.
    pub(super) fn next(&mut self, records: usize, now: Instant) -> Turn {
        let follows = self
            .last
            .filter(|(_, at)| records <= SMALL_RECORDS && now.duration_since(*at) < CLOSE);
        self.close_in_a_row = match follows {
            Some(_) => self.close_in_a_row.saturating_add(1),
            None => 0,
        };
        let second = self.keep(now);
        let lane = match (&mut self.second, follows) {
            (SecondState::Proven { used }, Some((Lane::First, _))) => {
                *used = now;
                Lane::Second
            }
            _ => Lane::First,
        };
        self.under_way = (lane, matches!(self.second, SecondState::Made { .. }));
        Turn { lane, second }
    }

    fn keep(&mut self, now: Instant) -> SecondAction {
        match self.second {
            SecondState::Absent { not_before }
                if self.close_in_a_row >= IN_A_ROW && not_before.is_none_or(|time| now >= time) =>
            {
                self.second = SecondState::Making;
                SecondAction::Make
            }
            SecondState::Made { since: used } | SecondState::Proven { used }
                if now.duration_since(used) > UNUSED_MAX =>
            {
                self.second = SecondState::Absent { not_before: None };
                SecondAction::Drop
            }
            _ => SecondAction::Leave,
        }
    }

    /// The second is initialised.
    pub(super) fn made(&mut self, now: Instant) {
        self.second = SecondState::Made { since: now };
    }

    /// The second could not be made; where it is denied, asking again is of no use.
    pub(super) fn not_made(&mut self, is_denied: bool, now: Instant) {
        self.second = if is_denied {
            SecondState::Never
        } else {
            SecondState::Absent {
                not_before: Some(now + FAILED_PAUSE),
            }
        };
    }

    /// The transaction under way is committed for certain.
    pub(super) fn committed(&mut self, now: Instant) {
        let (lane, proves) = self.under_way;
        if proves && matches!(self.second, SecondState::Made { .. }) {
            self.second = SecondState::Proven { used: now };
        }
        self.last = Some((lane, now));
    }

    /// The transaction under way is aborted for certain.
    pub(super) const fn aborted(&mut self) {
        self.last = None;
        self.under_way.1 = false;
    }

    /// There is nothing to write for a while. True: the second is to be dropped.
    pub(super) const fn rest(&mut self) -> bool {
        self.close_in_a_row = 0;
        let is_there = !matches!(self.second, SecondState::Never | SecondState::Absent { .. });
        if is_there {
            self.second = SecondState::Absent { not_before: None };
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const FIRST: Turn = Turn {
        lane: Lane::First,
        second: SecondAction::Leave,
    };
    const SECOND: Turn = Turn {
        lane: Lane::Second,
        second: SecondAction::Leave,
    };

    struct Route {
        turns: Turns,
        now: Instant,
    }

    impl Route {
        fn new() -> Self {
            Self {
                turns: Turns::new(),
                now: Instant::now(),
            }
        }

        /// A transaction that begins so long after the last one, and takes two milliseconds.
        fn writes(&mut self, records: usize, after: Duration) -> Turn {
            self.now += after;
            let turn = self.turns.next(records, self.now);
            self.now += 2 * MS;
            self.turns.committed(self.now);
            turn
        }

        /// Until the second is asked for.
        fn busy() -> Self {
            let mut route = Self::new();
            for _ in 0..IN_A_ROW {
                assert_eq!(route.writes(1, MS), FIRST);
            }
            let asked = route.writes(1, MS);
            assert_eq!((asked.lane, asked.second), (Lane::First, SecondAction::Make));
            route
        }

        fn taking_turns() -> Self {
            let mut route = Self::busy();
            route.turns.made(route.now);
            assert_eq!(route.writes(1, MS), FIRST, "the commit that proves it");
            route
        }
    }

    #[test]
    fn small_transactions_in_close_succession_take_turns_once_the_second_is_proven() {
        let mut route = Route::busy();
        assert_eq!(route.writes(1, MS), FIRST, "it is being made");
        route.turns.made(route.now);
        assert_eq!(route.writes(1, MS), FIRST, "the commit that proves it");
        let turns: Vec<Turn> = (0..4).map(|_| route.writes(1, MS)).collect();
        assert_eq!(turns, [SECOND, FIRST, SECOND, FIRST]);
    }

    #[test]
    fn a_transaction_that_was_under_way_when_the_second_was_made_proves_nothing() {
        let mut route = Route::busy();
        route.turns.next(1, route.now + MS);
        route.turns.made(route.now + MS);
        route.turns.committed(route.now + 2 * MS);
        route.now += 2 * MS;
        assert_eq!(route.writes(1, MS), FIRST, "this one does");
        assert_eq!(route.writes(1, MS), SECOND);
    }

    #[test]
    fn an_abort_proves_nothing() {
        let mut route = Route::busy();
        route.turns.made(route.now);
        assert_eq!(route.turns.next(1, route.now + MS), FIRST);
        route.turns.aborted();
        assert_eq!(route.writes(1, 2 * MS), FIRST);
        assert_eq!(route.writes(1, MS), SECOND);
    }

    #[test]
    fn what_is_large_or_comes_after_a_pause_or_follows_the_second_goes_through_the_first() {
        let mut route = Route::taking_turns();
        assert_eq!(route.writes(SMALL_RECORDS + 1, MS), FIRST);
        assert_eq!(route.writes(1, CLOSE), FIRST);
        assert_eq!(route.writes(SMALL_RECORDS, MS), SECOND);
        assert_eq!(route.writes(1, MS), FIRST, "never the second twice in a row");
    }

    #[test]
    fn a_quiet_route_and_one_with_large_transactions_get_no_second() {
        let mut quiet = Route::new();
        let mut large = Route::new();
        for _ in 0..1000 {
            assert_eq!(quiet.writes(1, CLOSE), FIRST);
            assert_eq!(large.writes(SMALL_RECORDS + 1, MS), FIRST);
        }
        assert!(!quiet.turns.rest(), "there is nothing to drop");
    }

    #[test]
    fn a_second_without_use_is_dropped_and_made_anew_later() {
        let mut route = Route::taking_turns();
        route.writes(1, MS);
        let unused = route.writes(1, UNUSED_MAX + MS);
        assert_eq!((unused.lane, unused.second), (Lane::First, SecondAction::Drop));
        for _ in 1..IN_A_ROW {
            assert_eq!(route.writes(1, MS), FIRST);
        }
        assert_eq!(route.writes(1, MS).second, SecondAction::Make);
        assert!(route.turns.rest(), "also while it is made");
        assert_eq!(route.writes(1, MS), FIRST);
    }

    #[test]
    fn one_that_was_never_proven_is_dropped_too() {
        let mut route = Route::busy();
        route.turns.made(route.now);
        assert_eq!(route.writes(1, UNUSED_MAX + MS).second, SecondAction::Drop);
        assert_eq!(route.writes(1, MS), FIRST);
    }

    #[test]
    fn one_that_cannot_be_made_is_tried_again_later_and_a_denied_one_never() {
        let mut route = Route::busy();
        route.turns.not_made(false, route.now);
        for _ in 0..IN_A_ROW {
            assert_eq!(route.writes(1, MS), FIRST);
        }
        route.now += FAILED_PAUSE;
        for _ in 0..IN_A_ROW {
            route.writes(1, MS);
        }
        assert_eq!(route.writes(1, MS).second, SecondAction::Make);
        route.turns.not_made(true, route.now);
        route.now += FAILED_PAUSE;
        for _ in 0..100 {
            assert_eq!(route.writes(1, MS), FIRST);
        }
    }
}
