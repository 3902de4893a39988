//! The owner's side of a route: one producer, and a second that takes turns with it where small transactions follow
//! each other closely.
//!
//! After a commit is answered its coordinator still writes the markers. A transaction that the same producer begins
//! meanwhile is sent back, and librdkafka then pauses for 20 ms. The second producer, under the transactional id of the
//! first with `@2` behind it, does not know of those markers. Its records lie behind the first one's in every partition,
//! and a `read_committed` reader comes to them after the first one's markers: the order stays.
//!
//! Exactly once rests on three rules:
//!
//! 1. **One transaction at a time.** One begins when the outcome of the one before is known, whichever producer had it.
//!    With an unknown outcome both are lost.
//! 2. **A new owner initialises the first id, then the second, and only then reads the position** ([`Lanes::take_over`]).
//! 3. **The second is used only after a commit through the first that began after the second was initialised.** That
//!    commit shows that no other owner had come yet. Whoever comes later initialises the second later too (rule 2), and
//!    so fences this one. An owner that was replaced may still *make* a second, and thereby fence its successor's, but
//!    never gets to use it: the commit through the first fails.
//!
//! Hazard: whoever initialises the first id alone fences an owner up to one transaction late, because the second is
//! never used twice in a row. Releases before 0.4 do that.

use std::sync::Once;
use std::time::Instant;

use super::turns::{Lane, SecondAction, Turns};
use super::{Handed, RouteProducer, Starting, Timing, WriteError, Written, cut_off};
use crate::error::{ErrorKind, Failure};
use crate::kafka::client::Connection;
use crate::kafka::record::Record;

/// What a route's owner writes with.
#[derive(Debug)]
pub struct Lanes {
    first: RouteProducer,
    second: Second,
    turns: Turns,
    lane: Lane,
    connection: Connection,
    second_id: String,
    timing: Timing,
    /// As of [`RouteProducer`], for both.
    in_doubt: bool,
}

#[derive(Debug)]
enum Second {
    Absent,
    Starting(Starting),
    There(RouteProducer),
}

/// The id of the second producer. No route's name holds an `@`, and README's prefixed ACL covers it.
fn second_id(transactional_id: &str) -> String {
    format!("{transactional_id}@2")
}

impl Lanes {
    /// Fences whoever wrote under `transactional_id` before, through either producer: what they had open is aborted,
    /// what they had decided is through. Read the position after this.
    ///
    /// # Errors
    /// When the brokers do not answer in time, deny the transactional id, or the properties are wrong.
    pub async fn take_over(
        connection: &Connection,
        transactional_id: &str,
        timing: Timing,
    ) -> Result<Self, Failure> {
        let first = RouteProducer::transactional(connection, transactional_id, timing).await?;
        let second_id = second_id(transactional_id);
        let turns = match RouteProducer::transactional(connection, &second_id, timing).await {
            Ok(_) => Turns::new(),
            // Then nobody has the right to commit with it either.
            Err(failure) if failure.kind == ErrorKind::Denied => {
                say_denied(&second_id, &failure);
                Turns::alone()
            }
            Err(failure) => return Err(failure),
        };
        Ok(Self::of(first, turns, connection, second_id, timing))
    }

    /// An idempotent producer without transactions, for `delivery: at_least_once`: there is no owner to fence.
    ///
    /// # Errors
    /// When the properties are wrong.
    pub async fn idempotent(connection: &Connection, timing: Timing) -> Result<Self, Failure> {
        let first = RouteProducer::idempotent(connection, timing).await?;
        Ok(Self::of(first, Turns::alone(), connection, String::new(), timing))
    }

    fn of(
        first: RouteProducer,
        turns: Turns,
        connection: &Connection,
        second_id: String,
        timing: Timing,
    ) -> Self {
        Self {
            first,
            second: Second::Absent,
            turns,
            lane: Lane::First,
            connection: connection.clone(),
            second_id,
            timing,
            in_doubt: false,
        }
    }

    /// As [`RouteProducer::write`].
    ///
    /// # Errors
    /// As [`RouteProducer::write`].
    pub async fn write(&mut self, records: Vec<Record>, position: Record) -> Result<Written, WriteError> {
        let handed = self.hand_over(records, position);
        self.outcome(handed).await
    }

    /// As [`RouteProducer::hand_over`]. The one before must be through.
    pub fn hand_over(&mut self, records: Vec<Record>, position: Record) -> Handed {
        if self.in_doubt {
            return Handed(Err(cut_off()));
        }
        self.in_doubt = true;
        let now = Instant::now();
        self.look(now);
        let turn = self.turns.next(records.len(), now);
        match turn.second {
            SecondAction::Leave => {}
            SecondAction::Make => self.make(now),
            SecondAction::Drop => self.second = Second::Absent,
        }
        self.lane = turn.lane;
        self.producer().hand_over(records, position)
    }

    /// As [`RouteProducer::outcome`].
    ///
    /// # Errors
    /// As [`RouteProducer::write`]; what is lost is lost with both producers.
    pub async fn outcome(&mut self, handed: Handed) -> Result<Written, WriteError> {
        let outcome = self.producer().outcome(handed).await;
        match &outcome {
            Ok(_) => self.turns.committed(Instant::now()),
            Err(WriteError::Refused(_) | WriteError::Aborted(_)) => self.turns.aborted(),
            Err(WriteError::Lost(_)) => return outcome,
        }
        self.in_doubt = false;
        outcome
    }

    /// There is nothing to write for a while: what is not needed is let go, in the background.
    pub fn rest(&mut self) {
        if self.turns.rest() {
            self.second = Second::Absent;
        }
    }

    /// The producer whose turn it is.
    fn producer(&mut self) -> &mut RouteProducer {
        match (self.lane, &mut self.second) {
            (Lane::Second, Second::There(second)) => second,
            _ => &mut self.first,
        }
    }

    /// Starts a second, in the background.
    fn make(&mut self, now: Instant) {
        tracing::debug!(id = %self.second_id, "transactions follow each other closely: a second producer is made");
        match RouteProducer::start_transactional(&self.connection, &self.second_id, self.timing) {
            Ok(starting) => self.second = Second::Starting(starting),
            Err(failure) => self.not_made(&failure, now),
        }
    }

    /// Whether the second has come.
    fn look(&mut self, now: Instant) {
        let Second::Starting(starting) = &mut self.second else {
            return;
        };
        match starting.poll() {
            None => {}
            Some(Ok(second)) => {
                self.second = Second::There(second);
                self.turns.made(now);
            }
            Some(Err(failure)) => {
                self.second = Second::Absent;
                self.not_made(&failure, now);
            }
        }
    }

    fn not_made(&mut self, failure: &Failure, now: Instant) {
        let is_denied = failure.kind == ErrorKind::Denied;
        if is_denied {
            say_denied(&self.second_id, failure);
        } else {
            tracing::debug!(id = %self.second_id, %failure, "there is no second producer for now");
        }
        self.turns.not_made(is_denied, now);
    }
}

/// Once a process: one right is missing, for all its routes.
fn say_denied(second_id: &str, failure: &Failure) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            id = second_id,
            %failure,
            "routes write with one producer each, whose transactions now and then wait for 20 ms: the right to the \
             second transactional id is missing; give the ACL for transactional ids as a prefix"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_id_is_no_other_routes_and_no_redrives() {
        assert_eq!(second_id("sfbridge.crm.accounts"), "sfbridge.crm.accounts@2");
    }
}
