//! Records of Kafka on their way to Salesforce: one consumer group a route, one stream a partition.
//!
//! * A partition's records come in order through its [`PartitionStream`], bounded by count and by bytes. A stream
//!   that nobody reads is paused and holds up no other.
//! * The group's offsets are the caller's alone: what it has not given to [`PartitionStream::commit`] is never
//!   committed. Commits are gathered and sent twice a second; the last one goes out, and is answered, before a
//!   partition is handed over.
//! * A partition that the group takes away ends its stream and stays ours until the stream is dropped, at most
//!   [`HAND_OVER_WITHIN`]. Commits of a stream that was given up, or whose membership was lost, go nowhere.
//! * Where the group has nothing stored, or stored what the topic no longer holds, the pure part (`start`)
//!   decides, from what is noted about the route in the positions topic. What may be lost comes with the stream
//!   ([`PartitionStream::lost`]) and is never skipped over in silence.
//!
//! librdkafka's calls block: the member lives on a thread of its own (`worker`), and what has to be asked before a
//! partition can begin is asked beside it (`place`), so that the thread never stalls and the other partitions go on.

mod context;
mod place;
mod start;
mod stream;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

pub use self::start::{LossReason, LostOffsets};
pub use self::stream::{ConsumedRecord, PartitionStream};
use self::worker::Shared;
use super::client::Connection;
use super::positions::PositionStore;
use crate::config::{KafkaTopics, LostPositionPolicy, StartPolicy};
use crate::error::Failure;

/// How long a partition that was taken away waits for what its owner has in hand. More than a request to
/// Salesforce usually takes; the new owner waits as long.
pub const HAND_OVER_WITHIN: Duration = Duration::from_secs(20);

/// What a route consumes, and how.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The route's name: the key of what is noted about it in the positions topic.
    pub route: Arc<str>,
    /// `bridge.instance`: the static member's name is made of it. Unique among running processes.
    pub instance: String,
    pub topics: KafkaTopics,
    /// For a regex: topics that are never matched, as the configuration names its own outputs (`{entity}` and
    /// the like stand for any text). Topics that begin with `sfbridge.` or `_sfbridge.` never are.
    pub except: Vec<String>,
    /// Where a group that never was begins.
    pub start: StartPolicy,
    pub on_lost_position: LostPositionPolicy,
    /// Of each partition, how many records wait for the caller at most.
    pub capacity_records: usize,
    /// Of each partition, how many bytes wait for the caller; one record more than this may.
    pub capacity_bytes: usize,
}

/// What happens in the group.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// This member was given a partition; or reads it anew after records were lost.
    Assigned(PartitionStream),
    /// Records are lost and `on_lost_position: halt` is set: the partition stands still, the caller halts.
    Halt(LostOffsets),
    /// The group does not work as it should, and why; it goes on by itself where the failure's kind says so
    /// (`Transient`, and a missing topic once it is there). A later one replaces it.
    Trouble(Arc<Failure>),
    /// What the last [`ConsumerEvent::Trouble`] said is over.
    Recovered,
}

/// A partition of this member, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The offset up to which the caller has committed.
    pub next_offset: i64,
    /// Records between that and the end; None until the end is known.
    pub lag: Option<i64>,
}

/// This instance's membership of a route's group. Dropping it ends the thread soon, without waiting: streams end,
/// and what is committed until they are dropped ([`HAND_OVER_WITHIN`]) still counts. The group is not left: static
/// members do not, so that the same instance started again has its partitions back at once.
#[derive(Debug)]
pub struct GroupConsumer {
    shared: Arc<Shared>,
}

impl GroupConsumer {
    /// Joins the group `sfbridge.<bridge>.<route>`; what it decides comes through [`GroupConsumer::next`].
    ///
    /// # Errors
    /// When `kafka.properties` are wrong or the topics cannot be subscribed to (a regex that Kafka's client does
    /// not take).
    pub async fn open(
        connection: &Connection,
        positions: Arc<PositionStore>,
        options: ConsumerOptions,
    ) -> Result<Self, Failure> {
        let _ = (connection, positions, options);
        unfinished()
    }

    /// The next event. Cancel-safe: what is not taken stays.
    pub async fn next(&mut self) -> ConsumerEvent {
        unfinished()
    }

    /// The partitions that this member has now, by topic and number. Cheap.
    pub fn partitions(&self) -> Vec<PartitionLag> {
        unfinished()
    }

    /// Whether the group has decided who holds what.
    pub fn is_joined(&self) -> bool {
        unfinished()
    }

    /// Ends the streams, waits until they are dropped (at most [`HAND_OVER_WITHIN`]), and for the last commits.
    pub async fn close(self) {
        unfinished()
    }
}
