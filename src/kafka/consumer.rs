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

mod board;
mod commits;
mod context;
mod group;
mod place;
mod record;
mod rights;
mod start;
mod stream;
mod topics;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use self::board::Shared;
use self::context::MemberContext;
pub use self::group::Standpoint;
use self::place::Keeper;
pub(super) use self::record::record_of;
pub use self::start::{LossReason, LostOffsets};
use self::stream::Capacity;
pub use self::stream::{ConsumedRecord, PartitionStream};
use self::topics::{Layout, Selection};
use super::client::{Connection, Isolation, blocking};
use super::error::{creation_failure, thread_failure};
use super::ownership::{HEARTBEAT_MS, SESSION_TIMEOUT_MS, instance_id};
use super::positions::PositionStore;
use crate::config::{KafkaTopics, LostPositionPolicy, StartPolicy};
use crate::error::Failure;
use crate::runtime::task::{self, Task};

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
    /// Records between that and the partition's end, as last heard of it.
    pub lag: i64,
}

/// This instance's membership of a route's group. Dropping it ends the thread soon, without waiting: streams end,
/// and what is committed until they are dropped ([`HAND_OVER_WITHIN`]) still counts. The group is not left: static
/// members do not, so that the same instance started again has its partitions back at once.
#[derive(Debug)]
pub struct GroupConsumer {
    shared: Arc<Shared>,
    _keeper: Task<()>,
}

impl GroupConsumer {
    /// Joins the group `sfbridge.<bridge>.<route>`; what it decides comes through [`GroupConsumer::next`]. Brokers
    /// that do not answer and topics that are missing are waited for.
    ///
    /// An earlier consumer of the same route and instance is to be closed first: this one would fence it.
    ///
    /// # Errors
    /// When `kafka.properties` are wrong, or the regex is none.
    pub async fn open(
        connection: &Connection,
        positions: Arc<PositionStore>,
        options: ConsumerOptions,
    ) -> Result<Self, Failure> {
        let selection = Selection::new(&options.topics, &options.except)?;
        let group = format!("{}.{}", connection.group(), options.route);
        let config = member_config(connection, &group, &options.instance);
        let shared = Arc::new(Shared::default());
        let join: worker::Join = {
            let shared = shared.clone();
            Box::new(move || {
                config
                    .create_with_context(MemberContext::new(shared.clone()))
                    .map_err(|error| creation_failure(&error))
            })
        };
        let (member, join) = blocking(move || Ok((join()?, join))).await?;
        let capacity = Capacity {
            records: options.capacity_records.max(1),
            bytes: options.capacity_bytes.max(1),
        };
        std::thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn({
                let (shared, group) = (shared.clone(), group.clone());
                move || worker::keep(member, &join, &group, capacity, &shared)
            })
            .map_err(|error| thread_failure("the consumer").caused_by(error))?;
        let keeper = Keeper {
            connection: connection.clone(),
            positions,
            options,
            group,
            selection,
            shared: shared.clone(),
            layout: Layout::default(),
        };
        Ok(Self {
            shared,
            _keeper: task::spawn("consumer", keeper.keep()),
        })
    }

    /// The next event. Cancel-safe: what is not taken stays.
    pub async fn next(&mut self) -> ConsumerEvent {
        self.shared.next_event().await
    }

    /// The partitions that this member reads now, by topic and number.
    pub fn partitions(&self) -> Vec<PartitionLag> {
        self.view().partitions()
    }

    /// What it shows, for others to look at while somebody waits for events.
    pub fn view(&self) -> ConsumerView {
        ConsumerView(self.shared.clone())
    }

    /// Ends the streams, and waits until they are dropped (at most [`HAND_OVER_WITHIN`]) and their last commits
    /// are taken. The caller's streams must be dropped by others meanwhile.
    pub async fn close(self) {
        self.shared.stop.cancel();
        self.shared.ended.cancelled().await;
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// A look at a consumer from elsewhere.
#[derive(Debug, Clone)]
pub struct ConsumerView(Arc<Shared>);

impl ConsumerView {
    /// The partitions that the member reads now, by topic and number.
    pub fn partitions(&self) -> Vec<PartitionLag> {
        self.0
            .with(|state| state.slots.values().map(|slot| slot.lag()).collect())
    }

    /// Whether the group has decided who holds what.
    pub fn is_joined(&self) -> bool {
        self.0.with(|state| state.membership.is_decided())
    }
}

fn member_config(connection: &Connection, group: &str, instance: &str) -> ClientConfig {
    let mut config = connection.consumer(Isolation::Committed);
    config
        .set("group.id", group)
        .set("group.protocol", "classic")
        .set("group.instance.id", instance_id(instance))
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("heartbeat.interval.ms", HEARTBEAT_MS)
        .set("partition.assignment.strategy", "cooperative-sticky")
        // How long the group waits for a member that has something in hand.
        .set("max.poll.interval.ms", "300000")
        // An end of a partition comes without its topic.
        .set("enable.partition.eof", "false")
        // New partitions are begun within this time.
        .set("topic.metadata.refresh.interval.ms", "10000")
        // The ends of partitions, for the lag.
        .set("statistics.interval.ms", "2000")
        // Memory: what is fetched ahead of the streams, which a pause throws away, and one answer. A larger
        // record comes all the same.
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "2000")
        .set("fetch.message.max.bytes", "262144")
        // Where more than that is queued the next fetch waits so long; by default a second, in which a resumed
        // partition stands still: 400 records a second came of it.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.max.bytes", "16777216");
    config
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::KafkaConfig;

    #[test]
    fn a_consumer_commits_nothing_and_skips_nothing_by_itself() {
        let connection = Connection::new(
            KafkaConfig {
                bootstrap_servers: "127.0.0.1:9".into(),
                properties: BTreeMap::new(),
                create_topics: true,
                partitions: 6,
                replication_factor: -1,
            },
            "crm",
        );
        let config = member_config(&connection, "sfbridge.crm.orders", "host:1");
        let is = |key, value| assert_eq!(config.get(key), Some(value), "{key}");
        is("group.id", "sfbridge.crm.orders");
        is("group.instance.id", "sfbridge-host_1");
        is("enable.auto.commit", "false");
        is("auto.offset.reset", "error");
        is("isolation.level", "read_committed");
        is("allow.auto.create.topics", "false");
    }
}
