//! A reader of its own: reads the data topics as any consumer would, `read_committed`, with none of the
//! bridge's code, and puts every record on the board.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::board::{Board, SeenRecord};
use crate::runtime::clock;
use crate::runtime::shutdown::StopSignal;

/// Between two looks for topics that the bridge has not made yet.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// One question to a broker.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// For the last read of a topic to its end.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// The common prefix of `ce_type`.
const TYPE_PREFIX: &str = "com.salesforce.";

type Place = (String, i32);

/// Without its own log lines: the bridge reports a broker that cannot be reached, and the end of a partition is
/// no news.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "the demonstration's reader: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "the demonstration's reader: {reason}");
    }
}

impl ConsumerContext for Quiet {}

pub(super) struct Reader {
    consumer: Arc<StreamConsumer<Quiet>>,
    /// Topics that are not there yet.
    pending: Vec<String>,
    /// The offset to read next.
    next: HashMap<Place, i64>,
    board: Board,
}

impl Reader {
    /// Connects to nothing yet.
    pub(super) fn new(bootstrap_servers: &str, topics: Vec<String>, board: Board) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap_servers)
            // Named because a consumer must name one; it is not joined.
            .set("group.id", "sfbridge-demo-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("allow.auto.create.topics", "false")
            .set("enable.partition.eof", "true")
            // The end of a partition is told by an empty answer, which the broker holds back for so long.
            .set("fetch.wait.max.ms", "50");
        Ok(Self {
            consumer: Arc::new(config.create_with_context(Quiet)?),
            pending: topics,
            next: HashMap::new(),
            board,
        })
    }

    /// Reads until told to stop; answers with itself, to be asked for the rest.
    pub(super) async fn follow(mut self, mut stop: StopSignal) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = stop.stopped() => return self,
                _ = looks.tick(), if !self.pending.is_empty() => self.look().await,
                message = self.consumer.recv() => match message {
                    Ok(message) => take(&self.board, &mut self.next, &message),
                    // The consumer goes on by itself; what stays unread is found missing in the end.
                    Err(error) => tracing::debug!(%error, "the demonstration's reader"),
                },
            }
        }
    }

    /// Starts to read the topics that have appeared.
    async fn look(&mut self) {
        for topic in std::mem::take(&mut self.pending) {
            match self.partitions(&topic).await {
                Ok(partitions) if !partitions.is_empty() => {
                    for partition in partitions {
                        self.next.entry((topic.clone(), partition)).or_insert(0);
                    }
                    if let Err(error) = self.assign(&topic) {
                        tracing::debug!(%error, topic, "the demonstration's reader");
                        self.pending.push(topic);
                    }
                }
                _ => self.pending.push(topic),
            }
        }
    }

    async fn partitions(&self, topic: &str) -> KafkaResult<Vec<i32>> {
        // Asked through the same client: given a partition whose leader it has not heard of, it would look for
        // one after 500 ms only.
        let (lookup, topic) = (Arc::clone(&self.consumer), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = lookup.fetch_metadata(Some(&topic), CALL_TIMEOUT)?;
            let found = metadata.topics().iter().filter(|found| found.error().is_none());
            Ok(found
                .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
                .collect())
        });
        asked.await.map_err(|_| KafkaError::Canceled)?
    }

    fn assign(&self, topic: &str) -> KafkaResult<()> {
        self.consumer.incremental_assign(&self.places(topic)?)
    }

    fn places(&self, topic: &str) -> KafkaResult<TopicPartitionList> {
        let of_topic = self.next.iter().filter(|((name, _), _)| name == topic);
        let mut places = TopicPartitionList::new();
        for ((topic, partition), next) in of_topic {
            let from = if *next == 0 {
                Offset::Beginning
            } else {
                Offset::Offset(*next)
            };
            places.add_partition_offset(topic, *partition, from)?;
        }
        Ok(places)
    }

    /// Reads every topic to its end as it is now, one after the other: whatever has been committed so far, a
    /// second copy of an old record too, is on the board afterwards. Answers why it could not.
    pub(super) async fn read_to_end(mut self) -> Result<(), String> {
        self.look().await;
        let mut topics: Vec<String> = self.next.keys().map(|(topic, _)| topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            match tokio::time::timeout(END_TIMEOUT, self.read_topic_to_end(&topic)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(format!("topic {topic} was not read to its end: {error}")),
                Err(_) => {
                    return Err(format!(
                        "topic {topic} was not read to its end within {} s",
                        END_TIMEOUT.as_secs()
                    ));
                }
            }
        }
        Ok(())
    }

    async fn read_topic_to_end(&mut self, topic: &str) -> KafkaResult<()> {
        let places = self.places(topic)?;
        let mut open = places.count();
        self.consumer.assign(&places)?;
        while open > 0 {
            match self.consumer.recv().await {
                Ok(message) => take(&self.board, &mut self.next, &message),
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => tracing::debug!(%error, topic, "the demonstration's reader"),
            }
        }
        Ok(())
    }
}

fn take(board: &Board, next: &mut HashMap<Place, i64>, message: &BorrowedMessage<'_>) {
    next.insert(
        (message.topic().to_owned(), message.partition()),
        message.offset() + 1,
    );
    if let Err(error) = board.read(record(message)) {
        tracing::warn!(%error, "what the org sent cannot be compared");
    }
}

fn record(message: &BorrowedMessage<'_>) -> SeenRecord {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |name: &str| {
        let found = message
            .headers()
            .and_then(|headers| headers.iter().find(|header| header.key == name));
        found
            .and_then(|header| header.value)
            .map(text)
            .unwrap_or_default()
    };
    let event = header("ce_type");
    SeenRecord {
        topic: message.topic().to_owned(),
        key: message.key().map(text).unwrap_or_default(),
        id: header("ce_id"),
        event: event.strip_prefix(TYPE_PREFIX).unwrap_or(&event).to_owned(),
        route: header("ce_sfroute"),
        event_ms: message.timestamp().to_millis(),
        read_ms: clock::now_ms(),
    }
}
