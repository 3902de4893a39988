//! Whether and when a stream that ended is opened again. Pure: takes the kind of the end, answers a step.

use std::time::Duration;

use crate::error::{Action, Failure};
use crate::runtime::retry::{Delays, RetryPolicy, Tried};

/// A refused replay id is believed the third time, some ten seconds after the first: a stream may be refused
/// while Salesforce moves an org.
const LOST_POSITION_PAUSES: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(5)];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Open it again after a pause.
    Reopen(Duration),
    /// Log in again (shared by all routes), then open it after a pause.
    Refresh(Duration),
    /// The route has to decide.
    GiveUp,
}

/// Counts the failures since the last progress.
#[derive(Debug)]
pub(super) struct Reopening {
    transient: Delays,
    throttled: Delays,
    unauthenticated: u32,
    lost_position: usize,
}

impl Reopening {
    pub(super) fn new() -> Self {
        Self {
            transient: RetryPolicy::TRANSIENT.delays(),
            throttled: RetryPolicy::THROTTLED.delays(),
            unauthenticated: 0,
            lost_position: 0,
        }
    }

    /// A response came: the row of failures is over.
    pub(super) fn progressed(&mut self) {
        if self.tries() > 0 {
            *self = Self::new();
        }
    }

    /// Openings that failed since the last progress.
    pub(super) fn tries(&self) -> u32 {
        let lost = u32::try_from(self.lost_position).unwrap_or(u32::MAX);
        [self.throttled.tries(), self.unauthenticated, lost]
            .iter()
            .fold(self.transient.tries(), |sum, tries| sum.saturating_add(*tries))
    }

    /// What was done since the last progress.
    pub(super) fn tried(&self) -> Tried {
        // A pause after a refused session counts among the transient ones too.
        let paused_logins = self.unauthenticated.saturating_sub(1);
        Tried {
            times: self.tries().saturating_sub(paused_logins),
            logins: self.unauthenticated,
        }
    }

    pub(super) fn after(&mut self, end: &Failure) -> Step {
        match end.action() {
            Action::Retry => Step::Reopen(self.transient.next(end.retry_after)),
            Action::Wait => Step::Reopen(self.throttled.next(end.retry_after)),
            Action::Refresh => {
                self.unauthenticated = self.unauthenticated.saturating_add(1);
                // Tokens end; the first refusal is no reason to wait.
                let first = self.unauthenticated == 1;
                Step::Refresh(if first {
                    Duration::ZERO
                } else {
                    self.transient.next(None)
                })
            }
            Action::OnLostPosition => {
                let pause = LOST_POSITION_PAUSES.get(self.lost_position);
                self.lost_position += 1;
                pause.map_or(Step::GiveUp, |pause| Step::Reopen(*pause))
            }
            _ => Step::GiveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::runtime::retry::TOLD_DELAY_MAX;

    fn end(kind: ErrorKind) -> Failure {
        Failure::new(kind, "ended")
    }

    #[test]
    fn a_lost_position_is_believed_the_third_time() {
        let mut reopening = Reopening::new();
        let lost = end(ErrorKind::LostPosition);
        let pauses: Vec<_> = (0..2).map(|_| reopening.after(&lost)).collect();
        assert_eq!(pauses, LOST_POSITION_PAUSES.map(Step::Reopen));
        assert!(matches!(
            reopening.after(&end(ErrorKind::Transient)),
            Step::Reopen(_)
        ));
        assert_eq!(reopening.after(&lost), Step::GiveUp);
    }

    #[test]
    fn progress_makes_the_position_good_again() {
        let mut reopening = Reopening::new();
        let lost = end(ErrorKind::LostPosition);
        reopening.after(&lost);
        reopening.after(&lost);
        reopening.progressed();
        assert!(matches!(reopening.after(&lost), Step::Reopen(_)));
    }

    #[test]
    fn a_refused_session_is_renewed_at_once_and_then_with_back_off() {
        let mut reopening = Reopening::new();
        let refused = end(ErrorKind::Unauthenticated);
        assert_eq!(reopening.after(&refused), Step::Refresh(Duration::ZERO));
        let later: Vec<_> = (0..20).map(|_| reopening.after(&refused)).collect();
        let grown = |step: &Step| matches!(step, Step::Refresh(pause) if *pause >= Duration::from_secs(20));
        assert!(
            later
                .iter()
                .all(|step| matches!(step, Step::Refresh(pause) if !pause.is_zero()))
        );
        assert!(later[12..].iter().all(grown));
    }

    #[test]
    fn what_was_tried_counts_each_opening_once() {
        let mut reopening = Reopening::new();
        for kind in [
            ErrorKind::Transient,
            ErrorKind::Unauthenticated,
            ErrorKind::Unauthenticated,
            ErrorKind::Throttled,
        ] {
            reopening.after(&end(kind));
        }
        assert_eq!(reopening.tried(), Tried { times: 4, logins: 2 });
    }

    #[test]
    fn a_told_time_is_waited() {
        let throttled = end(ErrorKind::Throttled).after(Duration::from_secs(42));
        assert_eq!(
            Reopening::new().after(&throttled),
            Step::Reopen(Duration::from_secs(42))
        );
    }

    #[test]
    fn denied_and_unknown_are_for_the_route() {
        for kind in [ErrorKind::Denied, ErrorKind::Unknown, ErrorKind::Misconfigured] {
            assert_eq!(Reopening::new().after(&end(kind)), Step::GiveUp);
        }
    }

    proptest! {
        #[test]
        fn only_what_a_route_must_decide_ends_a_row_of_failures(
            ends in prop::collection::vec(prop::option::weighted(0.9, 0..6_usize), 0..80)
        ) {
            let kinds = [
                ErrorKind::Transient,
                ErrorKind::Throttled,
                ErrorKind::Unauthenticated,
                ErrorKind::LostPosition,
                ErrorKind::Denied,
                ErrorKind::Unknown,
            ];
            let (mut reopening, mut lost) = (Reopening::new(), 0);
            for which in ends {
                let Some(kind) = which.map(|which| kinds[which]) else {
                    reopening.progressed();
                    lost = 0;
                    prop_assert_eq!(reopening.tries(), 0);
                    continue;
                };
                lost += usize::from(kind == ErrorKind::LostPosition);
                let is_final = matches!(kind, ErrorKind::Denied | ErrorKind::Unknown)
                    || kind == ErrorKind::LostPosition && lost > LOST_POSITION_PAUSES.len();
                match reopening.after(&end(kind)) {
                    Step::GiveUp => prop_assert!(is_final),
                    Step::Refresh(_) => prop_assert_eq!(kind, ErrorKind::Unauthenticated),
                    Step::Reopen(pause) => {
                        prop_assert!(!is_final && kind != ErrorKind::Unauthenticated);
                        prop_assert!(!pause.is_zero() && pause <= TOLD_DELAY_MAX);
                    }
                }
            }
        }
    }
}
