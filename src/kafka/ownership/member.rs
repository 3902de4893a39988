//! The group member: a consumer of the routes topic on a thread of its own. What it is assigned are the
//! routes to run, what it reads are the notes about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::REGISTERED;
use super::view::{Assignment, RouteNote, View};
use crate::error::{ErrorKind, Failure};
use crate::kafka::client::{log_error, log_line};
use crate::kafka::error::failure;
use crate::kafka::fences::{End, Fences, REJOIN_PAUSE};

/// How soon the thread notices that it is to stop.
const POLL: Duration = Duration::from_millis(100);

/// Where assignments are shown.
pub(super) type Publish = Arc<watch::Sender<Assignment>>;

pub(super) struct Member {
    view: Mutex<View>,
    publish: Publish,
}

impl Member {
    pub(super) fn new(view: View, publish: Publish) -> Self {
        Self {
            view: Mutex::new(view),
            publish,
        }
    }

    /// Shares that no group has to give.
    pub(super) fn give(&self, partitions: std::ops::Range<i32>) {
        self.change(|view| partitions.for_each(|partition| view.give(partition)));
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock();
        change(&mut view);
        self.publish.send_replace(view.assignment());
    }
}

/// Stays in the group until told to stop. What the group refuses for good stays shown until then. A consumer
/// that ends does not leave the group: static members do not.
pub(super) fn keep(
    mut consumer: BaseConsumer<Member>,
    join: impl Fn(Publish) -> Result<BaseConsumer<Member>, Failure>,
    group: &str,
    stop: &AtomicBool,
) {
    let mut fences = Fences::default();
    loop {
        let end = run(&consumer, group, stop, &mut fences);
        let publish = Arc::clone(&consumer.context().publish);
        drop(consumer);
        match end {
            End::Stopped => return,
            End::Overtaken => sleep(REJOIN_PAUSE, stop),
            End::Refused => return sleep(Duration::MAX, stop),
        }
        tracing::info!(group, "joining the group anew");
        consumer = match join(Arc::clone(&publish)) {
            Ok(consumer) => {
                consumer.context().view.lock().lose();
                consumer
            }
            Err(failure) => {
                publish.send_modify(|assignment| assignment.trouble = Some(Arc::new(failure)));
                return sleep(Duration::MAX, stop);
            }
        };
    }
}

fn sleep(time: Duration, stop: &AtomicBool) {
    let mut slept = Duration::ZERO;
    while slept < time && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(POLL);
        slept += POLL;
    }
}

fn run(consumer: &BaseConsumer<Member>, group: &str, stop: &AtomicBool, fences: &mut Fences) -> End {
    while !stop.load(Ordering::Relaxed) {
        let error = match consumer.poll(POLL) {
            None => continue,
            Some(Ok(message)) => {
                take_note(consumer.context(), &message);
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                consumer.context().change(|view| view.read_to_end(partition));
                continue;
            }
            Some(Err(error)) => error,
        };
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        // The code that a fatal error hides behind `Fatal`.
        let error = match consumer.client().fatal_error() {
            Some((code, _)) => KafkaError::MessageConsumption(code),
            None => error,
        };
        let failure = failure(&error, &format!("group {group}"));
        if !fatal && failure.kind == ErrorKind::Transient {
            tracing::debug!(%error, group, "the group is out of reach");
            consumer.context().view.lock().troubled();
            continue;
        }
        let context = consumer.context();
        let mut view = context.view.lock();
        let is_fenced = fatal && error.rdkafka_error_code() == Some(Code::FencedInstanceId);
        if is_fenced && fences.joins_anew(view.membership(), Instant::now()) {
            tracing::warn!(why = %crate::error::chain(&failure), "the group took up a late request of this process, as it seems");
            view.lose();
            view.take_all();
            context.publish.send_replace(view.assignment());
            return End::Overtaken;
        }
        tracing::warn!(why = %crate::error::chain(&failure), remedy = failure.remedy, "no routes can be assigned");
        if fatal {
            view.take_all();
        }
        let mut assignment = view.assignment();
        assignment.trouble = Some(Arc::new(failure));
        context.publish.send_replace(assignment);
        if fatal {
            return End::Refused;
        }
    }
    End::Stopped
}

fn take_note(member: &Member, message: &BorrowedMessage<'_>) {
    let Some(Ok(key)) = message.key().map(std::str::from_utf8) else {
        return;
    };
    if key.starts_with('@') {
        return;
    }
    if let Some(route) = key.strip_suffix(REGISTERED) {
        let is_there = message.payload().is_some();
        return member.change(|view| view.register(message.partition(), route, is_there));
    }
    let note = message.payload().map(|value| {
        serde_json::from_slice::<RouteNote>(value).unwrap_or_else(|error| {
            tracing::warn!(route = key, %error, "the note about the route cannot be read: taken as not paused");
            RouteNote::default()
        })
    });
    member.change(|view| view.note(message.partition(), key, note));
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers: Vec<i32> = partitions
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect();
        let answer = if Code::from(what) == Code::AssignPartitions {
            tracing::info!(count = numbers.len(), "shares of the routes given");
            self.change(|view| {
                view.decided(Instant::now());
                numbers.iter().for_each(|number| view.give(*number));
            });
            // The notes are read from the beginning each time: no offset is kept in the group.
            partitions
                .set_all_offsets(Offset::Beginning)
                .and_then(|()| consumer.incremental_assign(partitions))
        } else {
            let lost = consumer.assignment_lost();
            tracing::info!(count = numbers.len(), lost, "shares of the routes taken");
            self.change(|view| {
                if lost {
                    view.lose();
                }
                numbers.iter().for_each(|number| view.take(*number));
            });
            consumer.incremental_unassign(partitions)
        };
        if let Err(error) = answer {
            tracing::warn!(%error, "the group's decision could not be followed");
        }
    }
}
