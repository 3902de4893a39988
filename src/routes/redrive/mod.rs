//! Dead letters looked at, and sent again.
//!
//! ```text
//!  dead-letter topics ─▶ Scan ─▶ Letters (chosen, not yet marked, at a pace) ─▶ the route's own code ─▶ other side
//!                                                                                  └▶ Marker: what became of each
//! ```
//!
//! * A letter's **address** is its place in Kafka. What became of it is a **mark** in `_sfbridge.<bridge>.redriven`;
//!   one that is marked is never sent again.
//! * The two directions (`to_salesforce::redrive`, `to_kafka::redrive`) take letters and answer with marks. Toward
//!   Salesforce a crash between the request and the mark sends a letter once more, under the same id; toward Kafka
//!   records and marks are one transaction.
//! * What fails again is a new dead letter, with its attempts counted up, and the old one is marked all the same.
//! * Order: that of each partition of the dead-letter topic, one partition after the other. Dead letters lie by their
//!   keys as data does.

mod letter;
mod letters;
mod marks;
mod remedy;

use std::sync::atomic::{AtomicU64, Ordering};

pub use letter::{Address, Letter, NoAddress, Selection};
pub use letters::{Letters, Pace};
pub use marks::{Finished, Mark, Marker, Marks, Outcome};
pub use remedy::remedy;

/// How a redrive ended, if nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every letter was looked at.
    Done,
    /// It was asked to stop; what is not marked goes next time.
    Stopped,
    /// As many in a row became dead letters again as the route's `max_consecutive` allows.
    TooManyDeadLetters,
}

/// What has become of the letters so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: AtomicU64,
    pub filtered: AtomicU64,
    pub dead_letters: AtomicU64,
    /// Left as they are: they cannot be sent as they are kept.
    pub left: AtomicU64,
}

impl Tally {
    pub fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Sent => &self.sent,
            Outcome::Filtered => &self.filtered,
            Outcome::DeadLetter => &self.dead_letters,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All that are through.
    pub fn total(&self) -> u64 {
        [&self.sent, &self.filtered, &self.dead_letters, &self.left]
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

/// What would become of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsed {
    /// It would be sent: what it would become.
    Goes(String),
    /// The route's filter leaves it out.
    Filtered,
    /// It would be a dead letter again, and why.
    Fails(String),
}
