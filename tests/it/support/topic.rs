//! Topics as the tests make and read them, with clients of their own: nothing here is the program's code.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::bridge::PATIENCE;
use super::wait::until;

/// For one blocking call to a broker on loopback, under load.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A name that no other test of any run on this broker uses.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let run = &uuid::Uuid::new_v4().simple().to_string()[..8];
    format!("{prefix}-{run}-{number}")
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("an admin client")
}

/// Makes a topic and waits until the broker shows it.
pub async fn create(bootstrap: &str, topic: &str, partitions: i32, config: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in config {
        new = new.set(key, value);
    }
    let made = admin(bootstrap)
        .create_topics([&new], &AdminOptions::new())
        .await
        .expect("the broker answers");
    assert!(made.iter().all(Result::is_ok), "{topic}: {made:?}");
    super::wait::until(CALL_TIMEOUT, &format!("topic {topic}"), || async {
        (partition_count(bootstrap, topic).await? == partitions).then_some(())
    })
    .await;
}

/// Writes records, in order, each where its key belongs; all are acknowledged when this returns.
pub async fn produce(bootstrap: &str, topic: &str, records: &[(&str, Option<&str>)]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random")
        // What is too large is the topic's to say.
        .set("message.max.bytes", "8000000")
        .create()
        .expect("a producer");
    let sent: Vec<_> = records
        .iter()
        .map(|(key, value)| {
            let record = FutureRecord::to(topic).key(*key);
            let record = match value {
                Some(value) => record.payload(*value),
                None => record,
            };
            producer.send_result(record).expect("room in the producer")
        })
        .collect();
    for delivery in sent {
        delivery
            .await
            .expect("an answer")
            .expect("an acknowledged record");
    }
}

/// The same of values alone, no tombstones among them.
pub async fn produce_values(bootstrap: &str, topic: &str, rows: &[(impl AsRef<str>, impl AsRef<str>)]) {
    let rows: Vec<(&str, Option<&str>)> = rows
        .iter()
        .map(|(key, value)| (key.as_ref(), Some(value.as_ref())))
        .collect();
    produce(bootstrap, topic, &rows).await;
}

/// Deletes a topic and waits until the broker no longer shows it.
pub async fn delete(bootstrap: &str, topic: &str) {
    let gone = admin(bootstrap)
        .delete_topics(&[topic], &AdminOptions::new())
        .await
        .expect("the broker answers");
    assert!(gone.iter().all(Result::is_ok), "{topic}: {gone:?}");
    super::wait::until(CALL_TIMEOUT, &format!("the end of topic {topic}"), || async {
        partition_count(bootstrap, topic).await.is_none().then_some(())
    })
    .await;
}

/// Adds partitions to a topic.
pub async fn grow(bootstrap: &str, topic: &str, partitions: usize) {
    let grown = admin(bootstrap)
        .create_partitions(
            [&rdkafka::admin::NewPartitions::new(topic, partitions)],
            &AdminOptions::new(),
        )
        .await
        .expect("the broker answers");
    assert!(grown.iter().all(Result::is_ok), "{topic}: {grown:?}");
}

/// Every topic of the cluster.
pub async fn names(bootstrap: &str) -> Vec<String> {
    let bootstrap = bootstrap.to_owned();
    blocking(move || {
        let metadata = client(&bootstrap, "read_uncommitted").fetch_metadata(None, CALL_TIMEOUT);
        let metadata = metadata.expect("the broker answers");
        metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect()
    })
    .await
}

/// How many partitions a topic has, if it exists.
pub async fn partition_count(bootstrap: &str, topic: &str) -> Option<i32> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    blocking(move || {
        let metadata = client(&bootstrap, "read_uncommitted").fetch_metadata(None, CALL_TIMEOUT);
        let metadata = metadata.expect("the broker answers");
        let found = metadata.topics().iter().find(|found| found.name() == topic)?;
        i32::try_from(found.partitions().len()).ok()
    })
    .await
}

/// A topic's configuration, as the broker describes it.
pub async fn config(bootstrap: &str, topic: &str, key: &str) -> Option<String> {
    let resource = ResourceSpecifier::Topic(topic);
    let described = admin(bootstrap)
        .describe_configs([&resource], &AdminOptions::new())
        .await
        .expect("the broker answers");
    let found = described.into_iter().next()?.expect("the topic is described");
    found.get(key)?.value.clone()
}

/// Sets one of a topic's settings; those that were given when it was made are defaults again.
pub async fn set_config(bootstrap: &str, topic: &str, key: &str, value: &str) {
    let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
    let altered = admin(bootstrap)
        .alter_configs([&wanted], &AdminOptions::new())
        .await
        .expect("the broker answers");
    assert!(altered.iter().all(Result::is_ok), "{topic}: {altered:?}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

impl Isolation {
    const fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// A record as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Seen {
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn value_text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// The end offset of each partition, up to where this isolation lets a reader go now: for `read_committed` the
/// last stable offset, which stays before the first open transaction.
pub async fn ends(bootstrap: &str, topic: &str, isolation: Isolation) -> Vec<i64> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    blocking(move || {
        let client = client(&bootstrap, isolation.name());
        let metadata = client.fetch_metadata(Some(&topic), CALL_TIMEOUT);
        let metadata = metadata.expect("the broker answers");
        let partitions = metadata.topics()[0].partitions().iter();
        partitions
            .map(|partition| {
                let watermarks = || client.fetch_watermarks(&topic, partition.id(), CALL_TIMEOUT);
                once_led(watermarks).1
            })
            .collect()
    })
    .await
}

/// A broker that has just started does not lead its partitions at once.
fn once_led<T>(ask: impl Fn() -> Result<T, KafkaError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(error)
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NotLeaderForPartition)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            answer => return answer.expect("the broker answers"),
        }
    }
}

/// All records of a topic, partition by partition, up to where this isolation lets a reader go now.
pub async fn read_all(bootstrap: &str, topic: &str, isolation: Isolation) -> Vec<Seen> {
    read(bootstrap, topic, None, isolation).await
}

/// The same of one partition.
pub async fn read_partition(bootstrap: &str, topic: &str, partition: i32, isolation: Isolation) -> Vec<Seen> {
    read(bootstrap, topic, Some(partition), isolation).await
}

async fn read(bootstrap: &str, topic: &str, only: Option<i32>, isolation: Isolation) -> Vec<Seen> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    blocking(move || {
        let consumer = client(&bootstrap, isolation.name());
        let metadata = consumer.fetch_metadata(Some(&topic), CALL_TIMEOUT);
        let metadata = metadata.expect("the broker answers");
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            if only.is_none_or(|only| only == partition.id()) {
                all.add_partition_offset(&topic, partition.id(), Offset::Beginning)
                    .expect("a partition list");
            }
        }
        let mut open = all.count();
        consumer.assign(&all).expect("an assignment");
        let mut seen = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        while open > 0 {
            assert!(Instant::now() < deadline, "no end of {topic} was reached");
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => seen.push(Seen {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: message
                        .headers()
                        .map(|headers| {
                            headers
                                .iter()
                                .map(|header| {
                                    (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
                                })
                                .collect()
                        })
                        .unwrap_or_default(),
                }),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => panic!("{topic}: {error}"),
                None => {}
            }
        }
        seen.sort_by_key(|record| (record.partition, record.offset));
        seen
    })
    .await
}

fn client(bootstrap: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "sfbridge-tests-reader")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // The end of a partition is told by an empty answer: ask for it soon.
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work ended")
}

/// What a `read_committed` reader sees of a topic now; nothing where it does not exist.
pub async fn committed(bootstrap: &str, topic: &str) -> Vec<Seen> {
    match partition_count(bootstrap, topic).await {
        Some(_) => read_all(bootstrap, topic, Isolation::ReadCommitted).await,
        None => Vec::new(),
    }
}

/// The same once there are `count` records; it may be more.
pub async fn records(bootstrap: &str, topic: &str, count: usize) -> Vec<Seen> {
    until(PATIENCE, &format!("{count} records in {topic}"), || async {
        let seen = committed(bootstrap, topic).await;
        (seen.len() >= count).then_some(seen)
    })
    .await
}
