//! The letters of a redrive, one after the other: those that are chosen and not marked yet, at a pace.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::letter::{Letter, Selection};
use super::marks::Marks;
use crate::error::Failure;
use crate::kafka::{ConsumedRecord, Scan};

/// So many a second at most. Pure.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// None: as fast as it goes.
    every: Option<Duration>,
    due: Option<Instant>,
}

impl Pace {
    pub const UNLIMITED: Self = Self {
        every: None,
        due: None,
    };

    /// `per_second` is more than zero.
    pub fn per_second(per_second: f64) -> Self {
        Self {
            every: Duration::try_from_secs_f64(1.0 / per_second).ok(),
            due: None,
        }
    }

    /// How long the next one waits.
    fn wait(&self, now: Instant) -> Duration {
        self.due
            .map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }

    fn went(&mut self, now: Instant) {
        // What was waited for otherwise is not made up for: no burst follows a pause.
        self.due = self
            .every
            .map(|every| self.due.map_or(now, |due| due.max(now)) + every);
    }
}

/// See the head of the module.
#[derive(Debug)]
pub struct Letters {
    scan: Scan,
    selection: Selection,
    marks: Arc<Marks>,
    pace: Pace,
    is_over: bool,
    failure: Option<Failure>,
}

impl Letters {
    pub const fn new(scan: Scan, selection: Selection, marks: Arc<Marks>, pace: Pace) -> Self {
        Self {
            scan,
            selection,
            marks,
            pace,
            is_over: false,
            failure: None,
        }
    }

    /// The next letter; None once there are no more. Cancel-safe.
    ///
    /// # Errors
    /// When the topic cannot be read on. Nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Letter>, Failure> {
        while !self.is_over {
            tokio::time::sleep(self.pace.wait(Instant::now())).await;
            let read = self.scan.next().await;
            self.is_over = !matches!(read, Some(Ok(_)));
            if let Some(letter) = read.transpose()?.and_then(|record| self.chosen(record)) {
                return Ok(Some(letter));
            }
        }
        self.failure.take().map_or(Ok(None), Err)
    }

    /// The next letter if one is there and due. What ends the letters shows in [`Letters::next`].
    pub fn try_next(&mut self) -> Option<Letter> {
        while !self.is_over && self.pace.wait(Instant::now()).is_zero() {
            match self.scan.try_next()? {
                Ok(record) => {
                    if let Some(letter) = self.chosen(record) {
                        return Some(letter);
                    }
                }
                Err(failure) => {
                    self.failure = Some(failure);
                    self.is_over = true;
                }
            }
        }
        None
    }

    fn chosen(&mut self, record: ConsumedRecord) -> Option<Letter> {
        let letter = Letter::new(record);
        let is_chosen = self.selection.wants(&letter) && self.marks.of(&letter.record).is_none();
        is_chosen.then(|| {
            self.pace.went(Instant::now());
            letter
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_lets_one_go_each_time_and_never_makes_up_for_a_pause() {
        let start = Instant::now();
        let mut pace = Pace::per_second(4.0);
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.went(start);
        assert_eq!(pace.wait(start), Duration::from_millis(250));
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.wait(later), Duration::ZERO);
        pace.went(later);
        assert_eq!(pace.wait(later), Duration::from_millis(250));
        let mut unlimited = Pace::UNLIMITED;
        unlimited.went(start);
        assert_eq!(unlimited.wait(start), Duration::ZERO);
    }
}
