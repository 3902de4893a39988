//! The group consumer against a real broker: everything in order, shared without loss, and no loss unsaid.

mod flow;
mod lost;
mod sharing;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sfbridge::config::{KafkaTopics, LostPositionPolicy, StartPolicy};
use sfbridge::kafka::{
    ConsumedRecord, ConsumerEvent, ConsumerOptions, GroupConsumer, PartitionStream, PositionStore, Topics,
};
use tokio::time::timeout;

use super::Bridge;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

/// A group that forms, a session that runs out, a look for topics: on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source topic and the bridge that reads it.
struct Source {
    bridge: Bridge,
    positions: Arc<PositionStore>,
    topic: String,
}

impl Source {
    async fn new(bootstrap: &str, partitions: i32) -> Self {
        let bridge = Bridge::on(bootstrap);
        let topics = Topics::new(&bridge.connection).expect("topics");
        let positions = PositionStore::open(&topics).await.expect("positions");
        let topic = unique("source");
        topic::create(bootstrap, &topic, partitions, &[]).await;
        Self {
            positions: Arc::new(positions),
            topic,
            bridge,
        }
    }

    fn options(&self, instance: &str) -> ConsumerOptions {
        ConsumerOptions {
            route: Arc::from("orders"),
            instance: instance.to_owned(),
            topics: KafkaTopics::List(vec![self.topic.clone()]),
            except: Vec::new(),
            start: StartPolicy::Earliest,
            on_lost_position: LostPositionPolicy::Earliest,
            capacity_records: 100,
            capacity_bytes: 1 << 20,
        }
    }

    async fn open(&self, options: ConsumerOptions) -> GroupConsumer {
        GroupConsumer::open(&self.bridge.connection, self.positions.clone(), options)
            .await
            .expect("a consumer")
    }

    async fn join(&self, instance: &str) -> GroupConsumer {
        self.open(self.options(instance)).await
    }

    fn group(&self) -> String {
        format!("sfbridge.{}.orders", self.bridge.name)
    }

    /// Records whose values are the numbers of `range`.
    fn fill(&self, partition: i32, range: std::ops::Range<usize>) {
        fill(&self.bridge.bootstrap, &self.topic, partition, range);
    }

    /// What the group has stored, asked by a stranger.
    async fn committed(&self, partition: i32) -> Option<i64> {
        let (bootstrap, group, topic) = (self.bridge.bootstrap.clone(), self.group(), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &bootstrap)
                .set("group.id", &group)
                .create()
                .expect("a client");
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            let answer = client.committed_offsets(list, Duration::from_secs(10));
            let answer = answer.expect("the broker answers");
            match answer.elements().first().map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            }
        });
        asked.await.expect("asked")
    }

    async fn until_committed(&self, partition: i32, offset: i64) {
        until(PATIENCE, &format!("offset {offset} is stored"), || async {
            (self.committed(partition).await == Some(offset)).then_some(())
        })
        .await;
    }

    /// Deletes the records before `offset`.
    async fn delete_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
            .expect("a list");
        admin(&self.bridge.bootstrap)
            .delete_records(&list, &rdkafka::admin::AdminOptions::new())
            .await
            .expect("deleted");
    }
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("an admin client")
}

fn fill(bootstrap: &str, topic: &str, partition: i32, range: std::ops::Range<usize>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    for number in range {
        let value = number.to_string();
        producer
            .send(
                BaseRecord::<str, str>::to(topic)
                    .partition(partition)
                    .payload(&value),
            )
            .map_err(|(error, _)| error)
            .expect("queued");
    }
    producer.flush(Duration::from_secs(20)).expect("written");
}

/// The next `count` streams, whatever else happens.
async fn streams(consumer: &mut GroupConsumer, count: usize) -> Vec<PartitionStream> {
    let mut streams = Vec::new();
    while streams.len() < count {
        streams.push(stream(consumer).await);
    }
    streams.sort_by_key(PartitionStream::partition);
    streams
}

async fn stream(consumer: &mut GroupConsumer) -> PartitionStream {
    loop {
        if let ConsumerEvent::Assigned(stream) = event(consumer).await {
            return stream;
        }
    }
}

async fn event(consumer: &mut GroupConsumer) -> ConsumerEvent {
    timeout(PATIENCE, consumer.next()).await.expect("an event")
}

/// The next record, which must come.
async fn record(stream: &mut PartitionStream) -> ConsumedRecord {
    let record = timeout(PATIENCE, stream.next())
        .await
        .expect("a record or the end");
    record.expect("a record")
}

async fn take(stream: &mut PartitionStream, count: usize) -> Vec<ConsumedRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.push(record(stream).await);
    }
    records
}

/// The stream is over.
async fn ended(stream: &mut PartitionStream) {
    let end = timeout(PATIENCE, stream.next()).await.expect("an end");
    assert_eq!(end, None);
}

fn values(records: &[ConsumedRecord]) -> Vec<usize> {
    let value = |record: &ConsumedRecord| {
        let value = record.value.as_deref().expect("a value");
        let text = std::str::from_utf8(value).expect("text");
        text.parse().expect("a number")
    };
    records.iter().map(value).collect()
}
