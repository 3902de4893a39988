//! One run: stream, batch, commit, until something ends it. Input and output only; every decision is made by
//! the machines beside it (tracker, batch policy, culprit search, poison counter).
//!
//! ```text
//!  subscription ──▶ waiting events ──▶ batch being filled ──▶ transaction being committed
//!                   (one response)      decoded meanwhile      credits go back when it is through
//! ```

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::begin::Beginning;
use super::intake::{Batch, Intake, Taken};
use super::{Memory, RunEnd, ToKafkaRoute, trace, unknown};
use crate::kafka::{Lanes, WriteError, Written};
use crate::routes::batch::{BatchAction, BatchPolicy};
use crate::routes::culprit::Cut;
use crate::routes::output::Outputs;
use crate::routes::position::Position;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::auth::Session;
use crate::salesforce::pubsub::{Item, ReceivedEvent, SubscribeOptions, Subscription};

/// In hand, in full transactions: one that commits, one that is filled meanwhile. With less, transactions under
/// load are as small as what fits beside the one that commits. Routes that are busy at once share less.
const BATCHES_IN_HAND: usize = 2;

/// Beside a small transaction that commits: a hundred events on their way and a hundred in work keep a stream busy.
const EVENTS_BESIDE_A_BATCH_MIN: usize = 200;

/// A connected route with nothing to deliver for this long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// The producer comes back with the outcome: it writes one transaction at a time.
type Write = Pin<Box<dyn Future<Output = (Lanes, Result<Written, WriteError>)> + Send>>;

/// A transaction on its way.
pub(super) struct InFlight {
    write: Write,
    pub(super) batch: Batch,
    pub(super) position: Position,
    pub(super) began: Instant,
}

/// What a route may have in hand while no other is busy.
fn capacity_events(max_events: usize) -> u32 {
    let least = max_events.saturating_add(EVENTS_BESIDE_A_BATCH_MIN);
    let capacity = max_events.saturating_mul(BATCHES_IN_HAND).max(least);
    u32::try_from(capacity).unwrap_or(u32::MAX)
}

impl ToKafkaRoute {
    /// Begins and streams.
    pub(super) async fn one_run(
        &self,
        lost: Option<String>,
        memory: &mut Memory,
        stop: &mut StopSignal,
    ) -> RunEnd {
        self.status.counters.in_hand.store(0, Ordering::Relaxed);
        // The contracts first: between the clock of a first start and its Subscribe nothing is to take long.
        let outputs = match self.outputs(stop).await {
            Ok(outputs) => outputs,
            Err(end) => return end,
        };
        match self.begin(lost, stop).await {
            Ok(beginning) => self.stream(beginning, outputs, memory, stop).await,
            Err(end) => end,
        }
    }

    async fn stream(
        &self,
        beginning: Beginning,
        outputs: Outputs,
        memory: &mut Memory,
        stop: &mut StopSignal,
    ) -> RunEnd {
        let Beginning {
            producer,
            session,
            subscribe,
            resume,
        } = beginning;
        self.know_the_user(&session, memory).await;
        let mut producer = Some(producer);
        let commit = &self.flow.commit;
        let mut subscription = Subscription::open(
            self.shared.salesforce.pubsub.clone(),
            SubscribeOptions {
                route: Arc::clone(&self.status.name),
                topic: self.flow.from.topic.clone(),
                start: subscribe,
                capacity_events: capacity_events(commit.max_events),
                capacity_bytes: commit.max_bytes.saturating_mul(BATCHES_IN_HAND) as u64,
            },
            self.shared.metrics.clone(),
        );
        let mut intake = Intake::new(self, &session, resume, outputs, memory.poison);
        let mut status = subscription.status();
        let mut waiting: VecDeque<ReceivedEvent> = VecDeque::new();
        let mut policy = BatchPolicy::new(commit);
        let mut batch = Batch::default();
        let mut filling_since = Instant::now();
        let mut in_flight: Option<InFlight> = None;
        let mut last_event = Instant::now();
        self.show_stream(&status.borrow_and_update().clone());
        loop {
            // 1. Decode what is there, as far as the batch has room.
            while !waiting.is_empty() && !batch.sealed && !policy.is_full() {
                let Some(event) = waiting.pop_front() else { break };
                if policy.events() == 0 {
                    filling_since = Instant::now();
                }
                match intake
                    .take(self, &event, &mut batch, &mut policy, memory, stop)
                    .await
                {
                    Ok(Taken::Yes) => {}
                    Ok(Taken::AfterTheBatch) => {
                        waiting.push_front(event);
                        batch.sealed = true;
                    }
                    // What came before the event is whole: it is committed, unless the route is to stop at once.
                    Err(RunEnd::Stopped) => return self.close(RunEnd::Stopped, in_flight, memory).await,
                    Err(end) => {
                        let parts = (producer, in_flight);
                        return self
                            .drain(end, &session, &intake, parts, batch, &policy, memory)
                            .await;
                    }
                }
                batch.sealed |= memory.search.cut() == Cut::Single && !batch.events.is_empty();
            }
            // 2. Commit it, unless the last one is still on its way.
            let mut linger = Duration::MAX;
            if let Some(idle) = producer.take() {
                let action = if batch.sealed {
                    BatchAction::Commit
                } else if subscription.is_withheld() {
                    // What is waited for would not come: the room is full of what is here.
                    policy.action(Duration::MAX)
                } else {
                    policy.action(filling_since.elapsed())
                };
                match action {
                    BatchAction::Rest => producer = Some(idle),
                    BatchAction::Linger(time) => {
                        linger = time;
                        producer = Some(idle);
                    }
                    BatchAction::Commit => {
                        let full = std::mem::take(&mut batch);
                        policy.clear();
                        in_flight = Some(self.send(idle, &session, &intake, full));
                        continue;
                    }
                }
            }
            let may_take = waiting.is_empty() && !batch.sealed && !policy.is_full();
            // 3. Whatever comes first.
            tokio::select! {
                biased;
                () = stop.stopped() => {
                    self.status.draining();
                    drop(subscription);
                    return self.drain(RunEnd::Stopped, &session, &intake, (producer, in_flight), batch, &policy, memory).await;
                }
                (idle, result) = committed(&mut in_flight), if in_flight.is_some() => {
                    producer = Some(idle);
                    let Some(done) = in_flight.take() else { continue };
                    if let Err(error) = result {
                        return RunEnd::of_write(error, done.batch.events);
                    }
                    subscription.release(done.batch.taken_events, done.batch.taken_bytes);
                    let halts = done.batch.halts;
                    self.account(done, memory);
                    if halts {
                        return RunEnd::TooManyDeadLetters;
                    }
                }
                item = subscription.next(), if may_take => match item {
                    Some(Ok(Item::Events(events))) => {
                        last_event = Instant::now();
                        self.received(&events);
                        if let Some(guard) = &mut memory.guard {
                            guard.received();
                        }
                        waiting.extend(events);
                    }
                    Some(Ok(Item::KeepAlive { replay_id })) => {
                        self.status.answered();
                        self.count_received("keep_alive", 1);
                        intake.keep_alive(&replay_id);
                        policy.touch();
                    }
                    Some(Err(failure)) => return self.close(failure.into(), in_flight, memory).await,
                    None => return self.close(unknown("the event stream ended without a reason").into(), in_flight, memory).await,
                },
                changed = status.changed() => {
                    // The subscription is still here, so is its status.
                    if changed.is_ok() {
                        self.show_stream(&status.borrow_and_update().clone());
                    }
                }
                () = tokio::time::sleep(linger), if linger != Duration::MAX => {}
                () = tokio::time::sleep_until(last_event + IDLE_AFTER), if self.is_streaming() && batch.records.is_empty() && in_flight.is_none() => {
                    self.status.idle();
                    if let Some(idle) = &mut producer {
                        idle.rest();
                    }
                }
            }
        }
    }

    /// Hands a batch with its position to the producer.
    fn send(&self, mut producer: Lanes, session: &Session, intake: &Intake, mut batch: Batch) -> InFlight {
        let (complete, after) = intake.tracker.position();
        let position = self.position(&session.organization_id, complete, after, &intake.resume);
        let record = self
            .shared
            .positions
            .record(&self.config.name, Bytes::from(position.to_json()));
        let mut records = std::mem::take(&mut batch.records);
        let span = self.transaction_span(batch.taken_events, &mut records);
        batch.poison = intake.poison();
        // At once: what is decoded next may wait for the network.
        let handed = producer.hand_over(records, record);
        let write = Box::pin(async move {
            let outcome = producer.outcome(handed).await;
            span.end(outcome.as_ref().err().map(trace::kind_of));
            (producer, outcome)
        });
        InFlight {
            write,
            batch,
            position,
            began: Instant::now(),
        }
    }

    /// Ends the run with `end`: what is decoded is committed, what is not comes again at the next start.
    #[allow(clippy::too_many_arguments, reason = "everything that a run has in hand")]
    async fn drain(
        &self,
        end: RunEnd,
        session: &Session,
        intake: &Intake,
        (idle, in_flight): (Option<Lanes>, Option<InFlight>),
        batch: Batch,
        policy: &BatchPolicy,
        memory: &mut Memory,
    ) -> RunEnd {
        let producer = match in_flight {
            None => idle,
            Some(last) => match self.finish(last, memory).await {
                Ok(producer) => Some(producer),
                // Its events come again at the next start, with the batch's.
                Err(failed) => return failed,
            },
        };
        let Some(producer) = producer.filter(|_| policy.action(Duration::MAX) != BatchAction::Rest) else {
            return end;
        };
        let last = self.send(producer, session, intake, batch);
        self.close(end, Some(last), memory).await
    }

    /// Ends the run with `end`, once the transaction on its way is through; its failure is more urgent.
    async fn close(&self, end: RunEnd, in_flight: Option<InFlight>, memory: &mut Memory) -> RunEnd {
        match in_flight {
            None => end,
            Some(last) => self.finish(last, memory).await.err().unwrap_or(end),
        }
    }

    async fn finish(&self, mut last: InFlight, memory: &mut Memory) -> Result<Lanes, RunEnd> {
        let (producer, outcome) = last.write.as_mut().await;
        match outcome {
            Ok(_) => {
                self.account(last, memory);
                Ok(producer)
            }
            Err(error) => Err(RunEnd::of_write(error, last.batch.events)),
        }
    }
}

/// The end of the transaction that is on its way.
async fn committed(in_flight: &mut Option<InFlight>) -> (Lanes, Result<Written, WriteError>) {
    match in_flight {
        Some(in_flight) => in_flight.write.as_mut().await,
        None => std::future::pending().await,
    }
}
