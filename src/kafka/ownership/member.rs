//! The group member: a consumer of the routes topic on a thread of its own. What it is assigned are the
//! routes to run, what it reads are the notes about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::view::{Assignment, RouteNote, View};
use crate::error::ErrorKind;
use crate::kafka::client::{log_error, log_line};
use crate::kafka::error::failure;

/// How soon the thread notices that it is to stop.
const POLL: Duration = Duration::from_millis(100);

pub(super) struct Member {
    view: Mutex<View>,
    publish: watch::Sender<Assignment>,
}

impl Member {
    pub(super) fn new(view: View, publish: watch::Sender<Assignment>) -> Self {
        Self {
            view: Mutex::new(view),
            publish,
        }
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock();
        change(&mut view);
        self.publish.send_replace(view.assignment());
    }
}

/// Polls until told to stop, or until the group refuses this member for good. The consumer ends here too: a
/// static member does not leave its group by that.
pub(super) fn run(consumer: &BaseConsumer<Member>, group: &str, stop: &Arc<AtomicBool>) {
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
            continue;
        }
        tracing::warn!(why = %crate::error::chain(&failure), remedy = failure.remedy, "no routes can be assigned");
        let context = consumer.context();
        let mut view = context.view.lock();
        if fatal {
            view.take_all();
        }
        let mut assignment = view.assignment();
        assignment.trouble = Some(Arc::new(failure));
        context.publish.send_replace(assignment);
        if fatal {
            return;
        }
    }
}

fn take_note(member: &Member, message: &BorrowedMessage<'_>) {
    let Some(Ok(key)) = message.key().map(std::str::from_utf8) else {
        return;
    };
    if key.starts_with('@') {
        return;
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
                view.decided();
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
