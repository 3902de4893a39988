//! One run of a route: prepares what it writes to, joins the group, and keeps a worker for each of its partitions.

use std::sync::Arc;
use std::time::Duration;

use super::worker::{End, Parts, Worker};
use super::{RunEnd, ToSalesforceRoute};
use crate::error::{ErrorKind, Failure};
use crate::kafka::{ConsumerEvent, ConsumerOptions, GroupConsumer, LostOffsets};
use crate::routes::dead_letter::PoisonCounter;
use crate::routes::mapping::{Program, Source};
use crate::routes::waits;
use crate::runtime::retry::Tried;
use crate::runtime::shutdown::StopSignal;
use crate::runtime::supervisor::{Ended, Supervisor};

use super::target::Target;

/// Of each partition, what waits while a request is under way: ten requests of small records. What a full queue makes
/// Kafka's client throw away is fetched once more, so it must not be full after every other request.
const CAPACITY_RECORDS: usize = 2_000;
const CAPACITY_BYTES: usize = 2 * 1024 * 1024;

/// A group that works has been heard from at least so often.
const HEARD_EVERY: Duration = Duration::from_secs(10);

impl ToSalesforceRoute {
    pub(super) async fn one_run(
        route: &Arc<Self>,
        poison: &Arc<parking_lot::Mutex<PoisonCounter>>,
        stop: &mut StopSignal,
    ) -> RunEnd {
        let parts = match Self::prepare(route, poison, stop).await {
            Ok(parts) => Arc::new(parts),
            Err(end) => return end,
        };
        route.status.starting("joining the route's consumer group");
        let options = ConsumerOptions {
            route: Arc::clone(&route.status.name),
            instance: route.instance.clone(),
            topics: route.flow.from.topics.clone(),
            except: route.except.clone(),
            start: route.flow.from.start,
            on_lost_position: route.flow.from.on_lost_position,
            capacity_records: CAPACITY_RECORDS,
            capacity_bytes: CAPACITY_BYTES,
        };
        let shared = &route.shared;
        let consumer = GroupConsumer::open(&shared.connection, Arc::clone(&shared.positions), options).await;
        let mut consumer = match consumer {
            Ok(consumer) => consumer,
            Err(failure) => return failure.into(),
        };
        let mut workers = Supervisor::new();
        let end = Self::consume(&parts, &mut consumer, &mut workers, stop).await;
        // Each finishes the request that it has under way, and commits.
        workers.stop_all();
        while !workers.left().is_empty() {
            workers.next_end().await;
        }
        consumer.close().await;
        // What Salesforce answered is told to the routes that skip own writes.
        shared.own_writes.flush().await;
        end
    }

    pub(super) async fn prepare(
        route: &Arc<Self>,
        poison: &Arc<parking_lot::Mutex<PoisonCounter>>,
        stop: &mut StopSignal,
    ) -> Result<Parts, RunEnd> {
        let (flow, shared) = (&route.flow, &route.shared);
        let program = Program::compile(&route.config.name, flow.filter.as_deref(), &flow.fields);
        // One at a time is enough for a person.
        let program = program.map_err(|errors| match errors.into_iter().next() {
            Some(first) => Failure::from(first),
            None => Failure::new(ErrorKind::Unknown, "the route's expressions cannot be used"),
        })?;
        let program = Arc::new(program);
        let source = Source::new(&flow.from, shared.registry.clone())?;
        route
            .status
            .starting("asking Salesforce what the route writes to");
        let load = || Target::load(&route.config.name, flow, &program, shared);
        let target = waits::until_done(&route.status, stop.stopped(), load).await?;
        Ok(Parts::new(route, source, Arc::clone(&program), target, poison))
    }

    /// Until the route is stopped or something ends it.
    async fn consume(
        parts: &Arc<Parts>,
        consumer: &mut GroupConsumer,
        workers: &mut Supervisor<End>,
        stop: &mut StopSignal,
    ) -> RunEnd {
        let status = &parts.route.status;
        let view = consumer.view();
        let mut streams = Vec::new();
        let mut in_trouble = false;
        loop {
            tokio::select! {
                () = stop.stopped() => {
                    status.draining();
                    return RunEnd::Stopped;
                }
                event = consumer.next() => match event {
                    ConsumerEvent::Assigned(stream) => streams.push(stream),
                    ConsumerEvent::Halt(lost) => return halted(&lost),
                    ConsumerEvent::Trouble(failure) => {
                        in_trouble = true;
                        if matches!(failure.action(), crate::error::Action::Halt) {
                            return Failure::shared(&failure).into();
                        }
                        status.fails((&*failure).into(), Tried::default(), None);
                    }
                    ConsumerEvent::Recovered => {
                        in_trouble = false;
                        parts.board.refresh();
                    }
                },
                (name, ended) = workers.next_end() => {
                    match ended {
                        Ended::With(End::Over) => {}
                        Ended::With(End::Failed(failure)) => return failure.into(),
                        Ended::With(End::TooManyDeadLetters) => return RunEnd::TooManyDeadLetters,
                        Ended::Panicked(why) => {
                            let message = format!("a bug ended the worker of {name}: {why}");
                            let remedy = "report it with the log around this time, then restart the route";
                            return Failure::new(ErrorKind::Unknown, message).remedy(remedy).into();
                        }
                    }
                }
                () = tokio::time::sleep(HEARD_EVERY) => {}
            }
            if view.is_joined() && !in_trouble && !parts.board.is_waiting() {
                status.answered();
                parts.board.refresh();
            }
            // A partition that comes back waits for the end of its last worker.
            for stream in std::mem::take(&mut streams) {
                let name: Arc<str> = format!("{}[{}]", stream.topic(), stream.partition()).into();
                if workers.is_running(&name) {
                    streams.push(stream);
                    continue;
                }
                let parts = Arc::clone(parts);
                workers.start(&name, |stop| Worker::new(&parts, stream.into(), stop).run());
            }
        }
    }
}

fn halted(lost: &LostOffsets) -> RunEnd {
    let message = format!(
        "the offset in {}[{}] is lost: {}",
        lost.topic,
        lost.partition,
        lost.reason.text()
    );
    Failure::new(ErrorKind::LostPosition, message)
        .remedy("set the route's `on_lost_position` to earliest or latest and restart sfbridge: the gap report is written then")
        .into()
}
