//! What librdkafka calls back, on the member's thread while it polls: kept until the thread comes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{TopicPartitionList, topic_partition_list::TopicPartitionListElem};

use super::board::{Key, Member, Shared};
use crate::kafka::client::{log_error, log_line};

#[derive(Debug)]
pub(super) enum Change {
    Given(Vec<Key>),
    /// `lost`: the membership ended, another member may have them already.
    Taken {
        keys: Vec<Key>,
        lost: bool,
    },
    /// The answer to the commit under way.
    Committed(KafkaResult<()>),
}

pub(super) struct MemberContext {
    shared: Arc<Shared>,
    changes: Mutex<Vec<Change>>,
    /// Nobody comes to the changes any more.
    closing: AtomicBool,
}

impl MemberContext {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            changes: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.changes.lock())
    }

    pub(super) fn push(&self, change: Change) {
        self.changes.lock().push(change);
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

fn key(element: &TopicPartitionListElem<'_>) -> Key {
    (Arc::from(element.topic()), element.partition())
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.shared.with(|state| {
            for ((topic, partition), slot) in &state.slots {
                let heard = statistics.topics.get(&**topic);
                let heard = heard.and_then(|topic| topic.partitions.get(partition));
                // Negative until the first answer.
                if let Some(heard) = heard.filter(|heard| heard.ls_offset >= 0) {
                    slot.ends_at(heard.ls_offset);
                }
            }
        });
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, member: &Member, what: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let is_given = Code::from(what) == Code::AssignPartitions;
        let keys: Vec<Key> = partitions.elements().iter().map(key).collect();
        let closing = self.closing.load(Ordering::Relaxed);
        let answer = match (is_given, closing) {
            // Until it is answered, nothing at all is fetched. So: nothing is assigned for now, and each partition
            // once it is known where it begins.
            (true, _) => member.incremental_assign(&TopicPartitionList::new()),
            // Only what was assigned can be taken back: the thread knows what that is.
            (false, false) => Ok(()),
            (false, true) => member
                .assignment()
                .and_then(|assigned| member.incremental_unassign(&assigned)),
        };
        if let Err(error) = answer {
            tracing::warn!(%error, "the group's decision could not be followed");
        }
        let lost = !is_given && member.assignment_lost();
        tracing::info!(
            count = keys.len(),
            given = is_given,
            lost,
            "the group shares its partitions out"
        );
        self.push(if is_given {
            Change::Given(keys)
        } else {
            Change::Taken { keys, lost }
        });
    }
}
