//! Salesforce → Kafka: the life of one route, from its assignment to its end.
//!
//! A route is a row of **runs**. Each run fences the owner before it (`init_transactions`), reads the stored
//! position, subscribes there and streams until something ends it; then everything in hand is dropped and the
//! policy table decides: another run, a pause before it, or a halt. Nothing of an earlier run reaches a later
//! one but the search for a refused record, so an event is written in exactly one committed transaction.

mod account;
mod begin;
mod contracts;
mod deliver;
mod intake;
mod own;
mod redrive;
mod refetch;
mod run;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::culprit::{CulpritSearch, Verdict};
use super::dead_letter::{self, PoisonCounter};
use super::loop_guard::RouteGuard;
use super::route::{RouteEnd, Shared};
use super::state::RouteStatus;
use super::waits::{self, Interrupted, Pauses};
use crate::config::{RouteConfig, ToKafkaConfig};
use crate::error::{Action, ErrorKind, Failure, chain};
use crate::kafka::{Refusal, WriteError};
use crate::runtime::shutdown::StopSignal;

/// Fenced this often within [`FENCED_WITHIN`], the route is given up: somebody else insists on it.
const FENCED_MAX: usize = 5;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

/// One Salesforce → Kafka route.
#[derive(Debug)]
pub struct ToKafkaRoute {
    pub config: RouteConfig,
    pub flow: ToKafkaConfig,
    pub status: Arc<RouteStatus>,
    pub shared: Shared,
}

/// How a run ended.
#[derive(Debug)]
enum RunEnd {
    Stopped,
    /// The broker refused a record of the batch with these events.
    Refused {
        events: Vec<String>,
        refusal: Refusal,
    },
    Failed(Failure),
    /// A person must act, whatever the failure's kind.
    Halted(Failure),
    /// As many dead letters in a row as the configuration allows; the last one is committed.
    TooManyDeadLetters,
}

/// What one run leaves to the next.
struct Memory {
    search: CulpritSearch,
    /// As of the last commit: what was aborted comes again and counts then.
    poison: PoisonCounter,
    /// Where the route skips own writes.
    guard: Option<RouteGuard>,
}

impl RunEnd {
    /// A failed write, with the events that its batch held.
    fn of_write(error: WriteError, events: Vec<String>) -> Self {
        match error {
            WriteError::Refused(refusal) => Self::Refused { events, refusal },
            WriteError::Aborted(failure) | WriteError::Lost(failure) => Self::Failed(failure),
        }
    }
}

impl From<Failure> for RunEnd {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl ToKafkaRoute {
    /// Runs the route until it is stopped or halts.
    pub async fn run(self, mut stop: StopSignal) -> RouteEnd {
        let mut memory = Memory {
            search: CulpritSearch::default(),
            poison: PoisonCounter::new(self.config.dead_letter.max_consecutive),
            guard: (self.flow.from.skip_own_writes).then(|| RouteGuard::new(self.shared.own_writes.clone())),
        };
        let mut delays = Pauses::new();
        let mut fenced: Vec<Instant> = Vec::new();
        // Why Salesforce does not accept the stored position, for the next run to answer.
        let mut lost: Option<String> = None;
        loop {
            let progress_before = self.committed_batches();
            let end = self.one_run(lost.take(), &mut memory, &mut stop).await;
            if self.committed_batches() > progress_before {
                delays.reset();
            }
            self.shared.topics.forget_all();
            let failure = match end {
                RunEnd::Stopped => return RouteEnd::Stopped,
                RunEnd::Halted(failure) => return self.halt(&failure, &delays),
                RunEnd::TooManyDeadLetters => return self.halt_poisoned(&delays),
                RunEnd::Refused { events, refusal } => {
                    let reason = format!("topic {} refuses the record: {}", refusal.topic, refusal.reason);
                    match memory.search.refused(&events, &reason, refusal.too_large) {
                        Verdict::Again => continue,
                        Verdict::Halt(why) => {
                            let failure = Failure::new(ErrorKind::Poison, why)
                                .remedy("correct the topic's limits, then restart the route");
                            return self.halt(&failure, &delays);
                        }
                    }
                }
                RunEnd::Failed(failure) => failure,
            };
            let pause = match failure.action() {
                Action::AbortAndReread => match memory.search.aborted(&chain(&failure)) {
                    Verdict::Again => delays.transient.next(None),
                    Verdict::Halt(why) => {
                        let remedy = failure.remedy.clone();
                        let mut halt = Failure::new(failure.kind, why).caused_by(failure);
                        halt.remedy = remedy;
                        return self.halt(&halt, &delays);
                    }
                },
                Action::StartAgain => {
                    let now = Instant::now();
                    fenced.retain(|at| now.duration_since(*at) < FENCED_WITHIN);
                    fenced.push(now);
                    if fenced.len() >= FENCED_MAX {
                        return self.halt_fenced(failure, &delays);
                    }
                    delays.transient.next(None)
                }
                Action::OnLostPosition => {
                    lost = Some(chain(&failure));
                    continue;
                }
                _ => match delays.after(&failure) {
                    Some(pause) => pause,
                    None => return self.halt(&failure, &delays),
                },
            };
            waits::show(&self.status, &failure, delays.tried(), pause);
            if !stop.sleep(pause).await {
                return RouteEnd::Stopped;
            }
        }
    }

    fn committed_batches(&self) -> u64 {
        self.status
            .counters
            .commits
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    fn halt(&self, failure: &Failure, before: &Pauses) -> RouteEnd {
        waits::halt(&self.status, failure, before.tried().once_more());
        RouteEnd::Halted
    }

    fn halt_poisoned(&self, before: &Pauses) -> RouteEnd {
        let max = self.config.dead_letter.max_consecutive;
        let message = format!("{max} events in a row became dead letters");
        let failure = Failure::new(ErrorKind::Poison, message);
        let failure = failure.remedy(dead_letter::remedy_of_many(&self.config));
        self.halt(&failure, before)
    }

    fn halt_fenced(&self, failure: Failure, before: &Pauses) -> RouteEnd {
        let remedy = format!(
            "another process runs route {} under the bridge name {}: stop it, or give one of them another `bridge.name`, then restart the route",
            self.config.name, self.shared.bridge
        );
        let message = format!("given up, fenced {FENCED_MAX} times within a minute");
        let failure = Failure::new(failure.kind, message)
            .remedy(remedy)
            .caused_by(failure);
        self.halt(&failure, before)
    }
}

/// Tries an operation until it succeeds, fails for good, or the route is stopped.
async fn until_done<T, F>(
    route: &ToKafkaRoute,
    stop: &mut StopSignal,
    operation: impl FnMut() -> F,
) -> Result<T, RunEnd>
where
    F: Future<Output = Result<T, Failure>>,
{
    Ok(waits::until_done(&route.status, stop.stopped(), operation).await?)
}

impl From<Interrupted> for RunEnd {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Stopped => Self::Stopped,
            Interrupted::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// A failure that no other kind fits.
fn unknown(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::Unknown, message)
}
