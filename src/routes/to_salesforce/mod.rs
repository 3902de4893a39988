//! Kafka → Salesforce: the life of one route.
//!
//! ```text
//!  GroupConsumer ─▶ a Worker for each partition: decode · filter · map ─▶ Window ─▶ request ─▶ verdicts
//!                        ▲ commit  ◀──────────── done, or stored as a dead letter ◀──────────────┘
//! ```
//!
//! * **In**: the partitions that the route's consumer group gives this instance.
//! * **Out**: published events, written records; dead letters with the reason; the group's offsets.
//! * At least once, in order within a partition: one request of a partition is under way at a time. An offset is
//!   committed once Salesforce has answered for every record before it, or its dead letter is stored.
//! * A route is a row of **runs**; each prepares what it writes to (the event's schema, the object's fields) and joins
//!   the group. What ends one worker for good ends the run, and the policy table decides what follows.

mod account;
mod board;
mod bulk;
mod dead_letters;
mod guard;
mod noted_job;
mod outcome;
mod publish;
mod records;
mod redrive;
mod renew;
mod run;
mod target;
mod trace;
mod window;
mod worker;
mod write;

use std::sync::Arc;

use super::dead_letter::{self, PoisonCounter};
use super::route::{RouteEnd, Shared};
use super::state::RouteStatus;
use super::waits::{self, Interrupted, Pauses};
use crate::config::{Config, Flow, RouteConfig, ToSalesforceConfig};
use crate::error::{ErrorKind, Failure};
use crate::runtime::shutdown::StopSignal;

/// One Kafka → Salesforce route.
#[derive(Debug)]
pub struct ToSalesforceRoute {
    pub config: RouteConfig,
    pub flow: ToSalesforceConfig,
    pub status: Arc<RouteStatus>,
    pub shared: Shared,
    /// `bridge.instance`
    pub instance: String,
    /// Topics that a `^regex` never matches: what this configuration writes to.
    pub except: Vec<String>,
    /// `salesforce.api_reserve`, percent.
    pub api_reserve_percent: f64,
    /// `salesforce.bulk_threshold`, records of a partition's backlog.
    pub bulk_threshold: u64,
}

/// How a run ended.
#[derive(Debug)]
enum RunEnd {
    Stopped,
    Failed(Failure),
    /// As many dead letters in a row as the configuration allows; the last one is stored.
    TooManyDeadLetters,
}

impl From<Interrupted> for RunEnd {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Stopped => Self::Stopped,
            Interrupted::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<Failure> for RunEnd {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl ToSalesforceRoute {
    /// One route of this configuration.
    pub fn new(
        all: &Config,
        config: RouteConfig,
        flow: ToSalesforceConfig,
        status: Arc<RouteStatus>,
        shared: Shared,
    ) -> Self {
        Self {
            instance: all.bridge.instance.clone(),
            except: written_topics(all),
            api_reserve_percent: all.salesforce.api_reserve_percent,
            bulk_threshold: all.salesforce.bulk_threshold,
            config,
            flow,
            status,
            shared,
        }
    }

    /// Runs the route until it is stopped or halts.
    pub async fn run(self, mut stop: StopSignal) -> RouteEnd {
        let route = Arc::new(self);
        let poison = Arc::new(parking_lot::Mutex::new(PoisonCounter::new(
            route.config.dead_letter.max_consecutive,
        )));
        let mut pauses = Pauses::new();
        loop {
            let before = route.progress();
            let end = Self::one_run(&route, &poison, &mut stop).await;
            if route.progress() > before {
                pauses.reset();
            }
            let failure = match end {
                RunEnd::Stopped => return RouteEnd::Stopped,
                RunEnd::TooManyDeadLetters => return route.halt_poisoned(&pauses),
                RunEnd::Failed(failure) => failure,
            };
            let Some(pause) = pauses.after(&failure) else {
                waits::halt(&route.status, &failure, pauses.tried().once_more());
                return RouteEnd::Halted;
            };
            waits::show(&route.status, &failure, pauses.tried(), pause);
            if !stop.sleep(pause).await {
                return RouteEnd::Stopped;
            }
        }
    }

    fn progress(&self) -> u64 {
        self.status
            .counters
            .commits
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    fn halt_poisoned(&self, before: &Pauses) -> RouteEnd {
        let max = self.config.dead_letter.max_consecutive;
        let message = format!("{max} records in a row became dead letters");
        let failure = Failure::new(ErrorKind::Poison, message);
        let failure = failure.remedy(dead_letter::remedy_of_many(&self.config));
        waits::halt(&self.status, &failure, before.tried().once_more());
        RouteEnd::Halted
    }
}

/// What this configuration writes to Kafka: a source's `^regex` never matches it.
pub fn written_topics(config: &Config) -> Vec<String> {
    let outputs = config.routes.iter().flat_map(|route| {
        let to = match &route.flow {
            Flow::ToKafka(flow) => flow.to.as_slice(),
            Flow::ToSalesforce(_) => &[],
        };
        let topics = to
            .iter()
            .map(|output| output.topic.replace("{route}", &route.name));
        topics.chain([route.dead_letter.topic.clone()])
    });
    outputs.collect()
}
