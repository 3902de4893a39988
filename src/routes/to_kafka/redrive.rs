//! Dead letters of a route through its outputs again: the payload as it was received, decoded and projected as the
//! route does it now. Records and marks are one transaction, under a transactional id that is not the route's.
//!
//! A letter that one output alone could not have goes to that output alone: the others have the event.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::intake::{Batch, Dead, Intake, Taken};
use super::{Memory, RunEnd, ToKafkaRoute, until_done};
use crate::config::KafkaOutput;
use crate::error::{Action, ErrorKind, Failure, chain};
use crate::kafka::{Refusal, WriteError};
use crate::routes::batch::BatchPolicy;
use crate::routes::cloud_event::record_timestamp_ms;
use crate::routes::culprit::CulpritSearch;
use crate::routes::dead_letter::{self, PoisonCounter, Reason, attempts_before};
use crate::routes::output::{Outputs, ce_ids};
use crate::routes::redrive::{Ended, Finished, Letter, Letters, Marker, Outcome, Rehearsed, Tally};
use crate::routes::start::Resume;
use crate::routes::tracker::Tracker;
use crate::runtime::clock;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::auth::Session;
use crate::salesforce::event::decode;
use crate::salesforce::pubsub::ReceivedEvent;

/// An output by its topic as configured; None: all of the route's.
type OutputName = Option<Arc<str>>;

struct Redrive<'a> {
    route: &'a ToKafkaRoute,
    session: Arc<Session>,
    intakes: HashMap<OutputName, Intake>,
    memory: Memory,
    batch: Batch,
    policy: BatchPolicy,
    pending: Vec<(Letter, Outcome)>,
    halts: bool,
}

impl ToKafkaRoute {
    /// Sends the letters, each once, whatever happens in between.
    ///
    /// # Errors
    /// What waiting does not mend. What was committed before is marked.
    pub async fn redrive(
        &self,
        mut letters: Letters,
        marker: &mut Marker,
        tally: &Tally,
        mut stop: StopSignal,
    ) -> Result<Ended, Failure> {
        let outcome = self.send_all(&mut letters, marker, tally, &mut stop).await;
        outcome.or_else(ended)
    }

    async fn send_all(
        &self,
        letters: &mut Letters,
        marker: &mut Marker,
        tally: &Tally,
        stop: &mut StopSignal,
    ) -> Result<Ended, RunEnd> {
        let mut redrive = Redrive::new(self, stop).await?;
        loop {
            if stop.is_stopped() {
                redrive.commit(marker, tally, stop).await?;
                return Ok(Ended::Stopped);
            }
            let letter = match letters.try_next() {
                Some(letter) if !redrive.policy.is_full() => letter,
                ready => {
                    // What is here does not wait for what is not.
                    redrive.commit(marker, tally, stop).await?;
                    if redrive.halts {
                        return Ok(Ended::TooManyDeadLetters);
                    }
                    match ready {
                        Some(letter) => letter,
                        None => tokio::select! {
                            () = stop.stopped() => return Ok(Ended::Stopped),
                            next = letters.next() => match next? {
                                Some(letter) => letter,
                                None => return Ok(Ended::Done),
                            },
                        },
                    }
                }
            };
            let Some((event, output)) = redrive.known(&letter, tally) else {
                continue;
            };
            while redrive.put(&letter, &event, &output, stop).await? == Taken::AfterTheBatch {
                redrive.commit(marker, tally, stop).await?;
            }
            if redrive.batch.sealed {
                redrive.commit(marker, tally, stop).await?;
                if redrive.halts {
                    return Ok(Ended::TooManyDeadLetters);
                }
            }
        }
    }

    /// Decodes and projects each letter, and writes and registers nothing.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn rehearse(
        &self,
        mut letters: Letters,
        mut stop: StopSignal,
        mut show: impl FnMut(&Letter, Rehearsed),
    ) -> Result<Ended, Failure> {
        let mut redrive = match Redrive::new(self, &mut stop).await {
            Ok(redrive) => redrive,
            Err(end) => return ended(end),
        };
        while let Some(letter) = letters.next().await? {
            let rehearsed = match redrive.known(&letter, &Tally::default()) {
                None => Rehearsed::Fails(format!("it cannot be sent: {}", redrive.why_not(&letter))),
                Some((event, output)) => match redrive.rehearse(&event, &output, &mut stop).await {
                    Ok(rehearsed) => rehearsed,
                    Err(end) => return ended(end),
                },
            };
            show(&letter, rehearsed);
        }
        Ok(Ended::Done)
    }
}

/// An end that is no failure, or the failure.
fn ended(end: RunEnd) -> Result<Ended, Failure> {
    match end {
        RunEnd::Stopped => Ok(Ended::Stopped),
        RunEnd::TooManyDeadLetters => Ok(Ended::TooManyDeadLetters),
        RunEnd::Failed(failure) | RunEnd::Halted(failure) => Err(failure),
        RunEnd::Refused { refusal, .. } => Err(refused_twice(&refusal)),
    }
}

impl<'a> Redrive<'a> {
    async fn new(route: &'a ToKafkaRoute, stop: &mut StopSignal) -> Result<Self, RunEnd> {
        let tokens = &route.shared.salesforce.tokens;
        Ok(Self {
            route,
            session: until_done(route, stop, || tokens.session()).await?,
            intakes: HashMap::new(),
            memory: Memory {
                search: CulpritSearch::default(),
                poison: PoisonCounter::new(route.config.dead_letter.max_consecutive),
                // What goes again was once found to be somebody else's.
                guard: None,
            },
            batch: Batch::default(),
            policy: BatchPolicy::new(&route.flow.commit),
            pending: Vec::new(),
            halts: false,
        })
    }

    /// The letter as Salesforce sent it, and whom it is for; None: it stays as it is.
    fn known(&self, letter: &Letter, tally: &Tally) -> Option<(ReceivedEvent, OutputName)> {
        let known = event_of(letter).zip(output_of(letter, &self.route.flow.to));
        if known.is_none() {
            tracing::warn!(letter = %letter.address(), why = self.why_not(letter), "dead letter left as it is");
            tally.left.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    fn why_not(&self, letter: &Letter) -> &'static str {
        if letter.record.value.is_none() {
            "its payload was too large to be kept: read the record from Salesforce"
        } else if event_of(letter).is_none() {
            "it has no replay id or no schema id"
        } else {
            "the route has no such output any more"
        }
    }

    fn intake(&mut self, output: &OutputName) -> Result<&mut Intake, Failure> {
        if !self.intakes.contains_key(output) {
            let intake = self.new_intake(output)?;
            self.intakes.insert(output.clone(), intake);
        }
        let missing = || Failure::new(ErrorKind::Unknown, "the outputs are not ready");
        self.intakes.get_mut(output).ok_or_else(missing)
    }

    fn new_intake(&self, output: &OutputName) -> Result<Intake, Failure> {
        let route = self.route;
        let is_meant = |config: &&KafkaOutput| output.as_deref().is_none_or(|topic| config.topic == topic);
        let configs: Vec<KafkaOutput> = route.flow.to.iter().filter(is_meant).cloned().collect();
        let naming = route.shared.naming;
        let outputs = Outputs::new(&route.config.name, &route.flow.from.topic, naming, &configs)?;
        let poison = self.memory.poison;
        let mut intake = Intake::new(route, &self.session, Resume::default(), outputs, poison);
        intake.output.clone_from(output);
        Ok(intake)
    }

    /// Puts a letter into the batch.
    async fn put(
        &mut self,
        letter: &Letter,
        event: &ReceivedEvent,
        output: &OutputName,
        stop: &mut StopSignal,
    ) -> Result<Taken, RunEnd> {
        let poison = self.memory.poison;
        self.intake(output)?;
        let Some(intake) = self.intakes.get_mut(output) else {
            return Ok(Taken::Yes);
        };
        // A letter is new, whatever went before it.
        intake.tracker = Tracker::new(None, Vec::new());
        intake.attempts_before = attempts_before(&letter.record);
        intake.poison = poison;
        let before = self.batch.tally;
        let taken = intake
            .take(
                self.route,
                event,
                &mut self.batch,
                &mut self.policy,
                &mut self.memory,
                stop,
            )
            .await?;
        if taken == Taken::Yes {
            self.memory.poison = intake.poison();
            let now = self.batch.tally;
            let outcome = if now.dead_letters > before.dead_letters {
                Outcome::DeadLetter
            } else if now.written > before.written {
                Outcome::Sent
            } else {
                Outcome::Filtered
            };
            self.pending.push((letter.clone(), outcome));
        }
        Ok(taken)
    }

    /// Writes what is in the batch. Where the broker refuses some record of it, its letters go one by one.
    async fn commit(
        &mut self,
        marker: &mut Marker,
        tally: &Tally,
        stop: &mut StopSignal,
    ) -> Result<(), RunEnd> {
        let pending: Vec<Letter> = match self.write(marker, tally).await? {
            None => return Ok(()),
            Some((pending, _)) => pending,
        };
        for letter in pending {
            // It was in the batch, so it is known.
            let Some((event, output)) = self.known(&letter, tally) else {
                continue;
            };
            self.put(&letter, &event, &output, stop).await?;
            if let Some((_, refusal)) = self.write(marker, tally).await? {
                self.bury(&letter, &refusal, marker, tally).await?;
            }
        }
        Ok(())
    }

    /// The letters of the batch and why, where the broker refuses it.
    async fn write(
        &mut self,
        marker: &mut Marker,
        tally: &Tally,
    ) -> Result<Option<(Vec<Letter>, Refusal)>, RunEnd> {
        let batch = std::mem::take(&mut self.batch);
        let pending = std::mem::take(&mut self.pending);
        self.policy.clear();
        let marks: Vec<_> = pending
            .iter()
            .map(|(letter, outcome)| Finished::new(&letter.record, *outcome))
            .collect();
        match marker.write(batch.records, &marks).await {
            Ok(()) => {
                self.halts |= batch.halts;
                for (_, outcome) in pending {
                    tally.count(outcome);
                }
                Ok(None)
            }
            Err(WriteError::Refused(refusal)) => {
                let letters = pending.into_iter().map(|(letter, _)| letter);
                Ok(Some((letters.collect(), refusal)))
            }
            Err(WriteError::Aborted(failure) | WriteError::Lost(failure)) => Err(failure.into()),
        }
    }

    /// The broker takes the letter's records not even alone: it is a dead letter again.
    async fn bury(
        &mut self,
        letter: &Letter,
        refusal: &Refusal,
        marker: &mut Marker,
        tally: &Tally,
    ) -> Result<(), RunEnd> {
        let reason = Reason {
            kind: ErrorKind::Poison,
            error: format!("topic {} refuses the record: {}", refusal.topic, refusal.reason),
            attempts: 1,
        };
        let record = dead_letter::again(&letter.record, &reason);
        let marks = [Finished::new(&letter.record, Outcome::DeadLetter)];
        match marker.write(vec![record], &marks).await {
            Ok(()) => {
                tally.count(Outcome::DeadLetter);
                self.halts |= self.memory.poison.dead_lettered();
                Ok(())
            }
            Err(WriteError::Refused(refusal)) => Err(refused_twice(&refusal).into()),
            Err(WriteError::Aborted(failure) | WriteError::Lost(failure)) => Err(failure.into()),
        }
    }

    async fn rehearse(
        &mut self,
        event: &ReceivedEvent,
        output: &OutputName,
        stop: &mut StopSignal,
    ) -> Result<Rehearsed, RunEnd> {
        let route = self.route;
        let schemas = &route.shared.salesforce.schemas;
        let schema = match until_done(route, stop, || schemas.get(&event.schema_id)).await {
            Err(RunEnd::Failed(failure)) if failure.action() == Action::DeadLetter => {
                return Ok(Rehearsed::Fails(chain(&failure)));
            }
            schema => schema?,
        };
        let decoded = match decode(&schema, &event.payload) {
            Ok(decoded) => decoded,
            Err(error) => return Ok(Rehearsed::Fails(chain(&error))),
        };
        let intake = self.intake(output)?;
        let time_ms = decoded.event_time_ms();
        let headers = intake.headers(event, time_ms);
        let outputs = &mut intake.outputs;
        for output in outputs.unplanned(&schema, decoded.entity()) {
            if outputs.leaves_out(output, &schema, &event.payload, &decoded) {
                continue;
            }
            match outputs.draft(output, &schema, decoded.entity()) {
                Ok(draft) => {
                    // Nothing is registered: any id serves for records that nobody writes.
                    let schema_id = draft.registration.as_ref().map(|_| 0);
                    let plan = draft.plan(schema_id, &schema);
                    outputs.plan(output, &schema, decoded.entity(), plan);
                }
                Err(failure) => outputs.broken(output, &schema, chain(&failure)),
            }
        }
        let ids = ce_ids(&event.event_id, &decoded);
        let timestamp_ms = record_timestamp_ms(time_ms, clock::now_ms());
        let delivered = outputs.deliver(&schema, &event.payload, &decoded, &ids, &headers, timestamp_ms);
        Ok(match delivered {
            Err(error) => Rehearsed::Fails(Dead::poison(error).reason.error),
            Ok(delivery) => match (delivery.refusals.first(), &delivery.records[..]) {
                (Some(refusal), _) => Rehearsed::Fails(refusal.error.clone()),
                (None, []) => Rehearsed::Filtered,
                (None, records) => {
                    let mut topics: Vec<&str> = records.iter().map(|record| &*record.topic).collect();
                    topics.dedup();
                    Rehearsed::Goes(format!(
                        "records of topic {}: {}",
                        topics.join(", "),
                        records.len()
                    ))
                }
            },
        })
    }
}

fn refused_twice(refusal: &Refusal) -> Failure {
    let Refusal { topic, reason, .. } = refusal;
    let message = format!("topic {topic} refuses a dead letter: {reason}");
    Failure::new(ErrorKind::Denied, message).remedy(format!(
        "raise max.message.bytes of {topic}, then run the command again"
    ))
}

/// The event as it was received.
fn event_of(letter: &Letter) -> Option<ReceivedEvent> {
    Some(ReceivedEvent {
        replay_id: hex::decode(letter.record.key.as_ref()?).ok()?.into(),
        event_id: letter.header("ce_id").unwrap_or_default().to_owned(),
        schema_id: letter.header("ce_sfschemaid")?.to_owned(),
        payload: letter.record.value.clone()?,
    })
}

/// Which outputs the letter is for; None: one that the route does not have any more.
fn output_of(letter: &Letter, outputs: &[KafkaOutput]) -> Option<OutputName> {
    let is_there = |topic: &str| outputs.iter().any(|output| output.topic == topic);
    if let Some(topic) = letter.output() {
        return is_there(topic).then(|| Some(topic.into()));
    }
    // Before release 0.3 only the error named the output.
    let named = letter.error().strip_prefix("topic ");
    let named = named.and_then(|rest| rest.split_once(": "));
    let topic = named.map(|(topic, _)| topic).filter(|topic| is_there(topic));
    Some(topic.map(Into::into))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::{FilterUnknown, Format, KeyConfig};
    use crate::kafka::ConsumedRecord;

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let header = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())))
        };
        Letter::new(ConsumedRecord {
            topic: "dead".into(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: Some(Bytes::from_static(b"00ff")),
            value: Some(Bytes::from_static(b"datum")),
            headers: headers.iter().map(header).collect(),
        })
    }

    fn output(topic: &str) -> KafkaOutput {
        KafkaOutput {
            topic: topic.to_owned(),
            key: KeyConfig::None,
            format: Format::Json,
            tombstones: false,
            filter: None,
            filter_unknown: FilterUnknown::Keep,
            fields: None,
            contract: None,
        }
    }

    #[test]
    fn a_letter_is_the_event_that_was_received() {
        let event = event_of(&letter(&[("ce_id", "e-1"), ("ce_sfschemaid", "s-1")])).unwrap();
        assert_eq!(&event.replay_id[..], [0, 255]);
        assert_eq!((&*event.event_id, &*event.schema_id), ("e-1", "s-1"));
        assert_eq!(&event.payload[..], b"datum");
        assert!(event_of(&letter(&[("ce_id", "e-1")])).is_none());
    }

    #[test]
    fn a_letter_of_one_output_goes_to_that_one_alone() {
        let outputs = [output("a.{entity}"), output("b")];
        let meant = |headers: &[(&str, &str)]| output_of(&letter(headers), &outputs);
        assert_eq!(meant(&[]), Some(None));
        assert_eq!(
            meant(&[("sfbridge_output", "a.{entity}")]),
            Some(Some("a.{entity}".into()))
        );
        assert_eq!(meant(&[("sfbridge_output", "gone")]), None);
        assert_eq!(
            meant(&[("sfbridge_error", "topic b: no key")]),
            Some(Some("b".into()))
        );
        assert_eq!(
            meant(&[("sfbridge_error", "topic b refuses the record: x")]),
            Some(None)
        );
    }
}
