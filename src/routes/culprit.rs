//! Which event made the broker refuse a batch. The broker fails every record of a batch alike and does not say
//! which one it was, so after a refusal the same events are sent again one a batch until the culprit stands
//! alone; then it is dead-lettered, and if even its dead letter is too large, without its value.
//!
//! ```text
//!  Normal ──refused, n events──▶ Single(n) ──refused, alone──▶ Condemned ──refused──▶ Condemned without value
//!     ▲                             │ n events through              │ committed                │
//!     └─────────────────────────────┴──────────────────────────────┴──────────────────────────┘
//! ```

/// After this many aborts at one position that taught nothing, the route halts.
const ABORTS_MAX: u32 = 3;

/// How the next batches are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    Normal,
    /// One event a batch.
    Single,
}

/// The event that is dead-lettered instead of sent, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    /// Its first `ce_id`.
    pub ce_id: String,
    pub reason: String,
    pub too_large: bool,
    /// The dead letter keeps headers only: the payload was refused there, too.
    pub without_value: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Start again from the stored position; the machine knows how to go on.
    Again,
    /// It is not this batch's events: a person must look.
    Halt(String),
}

#[derive(Debug, Default)]
pub struct CulpritSearch {
    /// Events still to be sent alone.
    singles: usize,
    condemned: Option<Condemned>,
    /// Aborts since the position last moved that did not bring the search further.
    idle_aborts: u32,
}

impl CulpritSearch {
    pub const fn cut(&self) -> Cut {
        if self.singles > 0 {
            Cut::Single
        } else {
            Cut::Normal
        }
    }

    pub fn condemned(&self, ce_id: &str) -> Option<&Condemned> {
        self.condemned
            .as_ref()
            .filter(|condemned| condemned.ce_id == ce_id)
    }

    /// The broker refused a batch of these events, named by their first `ce_id`s.
    pub fn refused(&mut self, batch: &[String], reason: &str, too_large: bool) -> Verdict {
        match batch {
            [] => Verdict::Halt(format!("the broker refuses the position record itself: {reason}")),
            [alone] => match &mut self.condemned {
                Some(condemned) if condemned.ce_id == *alone => {
                    if condemned.without_value || !too_large {
                        return Verdict::Halt(format!(
                            "the broker refuses the event and its dead letter: {reason}"
                        ));
                    }
                    condemned.without_value = true;
                    Verdict::Again
                }
                _ => {
                    self.condemned = Some(Condemned {
                        ce_id: alone.clone(),
                        reason: reason.to_owned(),
                        too_large,
                        without_value: false,
                    });
                    self.singles = self.singles.max(1);
                    Verdict::Again
                }
            },
            several => {
                self.singles = several.len();
                Verdict::Again
            }
        }
    }

    /// A transaction was aborted for a reason that is not a record of it.
    pub fn aborted(&mut self, reason: &str) -> Verdict {
        self.idle_aborts += 1;
        if self.idle_aborts >= ABORTS_MAX {
            return Verdict::Halt(format!(
                "{ABORTS_MAX} transactions in a row were aborted at one position: {reason}"
            ));
        }
        Verdict::Again
    }

    /// A transaction with `events` events went through: the position moved.
    pub fn committed(&mut self, events: usize) {
        self.idle_aborts = 0;
        self.singles = self.singles.saturating_sub(events);
        if events > 0 {
            self.condemned = self.condemned.take().filter(|_| self.singles > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("e{n}")).collect()
    }

    /// Plays a broker that refuses any batch holding a bad event, and its dead letter's value where told.
    fn play(total: usize, bad: &[usize], refuse_value: bool) -> Vec<(String, &'static str)> {
        let mut search = CulpritSearch::default();
        let (mut at, mut fates) = (0, Vec::new());
        for _ in 0..10 * total {
            if at == total {
                return fates;
            }
            let size = if search.cut() == Cut::Single {
                1
            } else {
                total - at
            };
            let batch: Vec<String> = names(total)[at..at + size].to_vec();
            let fate = |index: usize, name: &str| match search.condemned(name) {
                Some(condemned) if condemned.without_value => "without value",
                Some(_) if refuse_value => "refused",
                Some(_) => "dead letter",
                None if bad.contains(&index) => "refused",
                None => "delivered",
            };
            let batch_fates: Vec<_> = batch
                .iter()
                .enumerate()
                .map(|(n, name)| (name.clone(), fate(at + n, name)))
                .collect();
            if batch_fates.iter().any(|(_, fate)| *fate == "refused") {
                assert_eq!(search.refused(&batch, "too large", true), Verdict::Again);
            } else {
                fates.extend(batch_fates);
                search.committed(size);
                at += size;
            }
        }
        panic!("the search does not end");
    }

    #[test]
    fn the_culprit_among_good_ones_is_dead_lettered_and_the_others_are_delivered() {
        let fates = play(20, &[7], false);
        assert_eq!(fates.len(), 20);
        assert!(
            fates
                .iter()
                .enumerate()
                .all(|(n, (_, fate))| *fate == if n == 7 { "dead letter" } else { "delivered" })
        );
    }

    #[test]
    fn several_culprits_are_found_one_after_the_other() {
        let fates = play(9, &[0, 4, 8], false);
        let dead: Vec<usize> = fates
            .iter()
            .enumerate()
            .filter(|(_, (_, f))| *f == "dead letter")
            .map(|(n, _)| n)
            .collect();
        assert_eq!(dead, [0, 4, 8]);
    }

    #[test]
    fn a_dead_letter_that_is_too_large_is_kept_without_its_value() {
        assert_eq!(play(3, &[1], true)[1].1, "without value");
    }

    #[test]
    fn the_third_abort_at_one_position_halts() {
        let mut search = CulpritSearch::default();
        assert_eq!(search.aborted("x"), Verdict::Again);
        assert_eq!(search.aborted("x"), Verdict::Again);
        assert!(matches!(search.aborted("x"), Verdict::Halt(_)));
    }

    #[test]
    fn a_commit_in_between_forgives_the_aborts() {
        let mut search = CulpritSearch::default();
        search.aborted("x");
        search.aborted("x");
        search.committed(0);
        assert_eq!(search.aborted("x"), Verdict::Again);
    }
}
