//! A route's group seen from outside: who is in it, where it stands, and standing it elsewhere while nobody is.
//!
//! Kafka itself refuses offsets from outside while the group has members, so that nothing here can move a partition
//! under a running route.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::topics::Selection;
use crate::config::KafkaTopics;
use crate::error::{ErrorKind, Failure};
use crate::kafka::client::{CALL_TIMEOUT, Connection, Context, Isolation, blocking};
use crate::kafka::error::{creation_failure, failure};

/// Longer than a cluster takes to make its topic of groups.
const COORDINATOR_WITHIN: Duration = Duration::from_secs(15);
const COORDINATOR_PAUSE: Duration = Duration::from_millis(200);

/// Where a group stands in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standpoint {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The next record to read; None: the group has committed none.
    pub committed: Option<i64>,
    /// The first record that is kept.
    pub low: i64,
    /// The next record to be written.
    pub high: i64,
}

impl Connection {
    /// The group of the routes to Kafka, or of one route to Salesforce.
    pub fn group_of(&self, route: Option<&str>) -> String {
        match route {
            None => self.group(),
            Some(route) => format!("{}.{route}", self.group()),
        }
    }

    /// The hosts of a group's members; none for a group that is not there. A static member that ended counts until its
    /// session does, for six seconds.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn group_members(&self, group: &str) -> Result<Vec<String>, Failure> {
        let connection = self.clone();
        let group = group.to_owned();
        blocking(move || {
            let client = connection.lookup_client()?;
            let list = client
                .fetch_group_list(Some(&group), CALL_TIMEOUT)
                .map_err(|error| failure(&error, &format!("group {group}")))?;
            let members = list.groups().iter().flat_map(|group| group.members());
            Ok(members
                .map(|member| member.client_host().trim_start_matches('/').to_owned())
                .collect())
        })
        .await
    }

    /// Where a group stands in every partition of its topics. Topics that are not there have none.
    ///
    /// # Errors
    /// When the brokers do not answer or deny the group or a topic; a regex that is none.
    pub async fn standpoints(
        &self,
        group: &str,
        topics: &KafkaTopics,
        except: &[String],
    ) -> Result<Vec<Standpoint>, Failure> {
        let selection = Selection::new(topics, except)?;
        let connection = self.clone();
        let group = group.to_owned();
        blocking(move || {
            let client = outsider(&connection, &group)?;
            let found = selection.look(&client)?;
            standpoints(&client, &group, &found)
        })
        .await
    }

    /// # Errors
    /// `Denied` while the group has members.
    pub async fn no_members(&self, group: &str) -> Result<(), Failure> {
        let members = self.group_members(group).await?;
        if members.is_empty() {
            return Ok(());
        }
        let hosts = members.join(", ");
        let message = format!("group {group} has {} members ({hosts})", members.len());
        Err(Failure::new(ErrorKind::Denied, message).remedy(
            "pause the route or stop every instance of the bridge; what has just ended counts for six more seconds",
        ))
    }

    /// Stands the group at these offsets (topic, partition, next offset).
    ///
    /// # Errors
    /// `Denied` while the group has members; what the brokers answered otherwise.
    pub async fn stand(&self, group: &str, places: Vec<(Arc<str>, i32, i64)>) -> Result<(), Failure> {
        self.no_members(group).await?;
        let connection = self.clone();
        let group = group.to_owned();
        blocking(move || {
            let object = format!("group {group}");
            let client = outsider(&connection, &group)?;
            let mut list = TopicPartitionList::with_capacity(places.len());
            for (topic, partition, offset) in &places {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                    .map_err(|error| failure(&error, &object))?;
            }
            client
                .commit(&list, CommitMode::Sync)
                .map_err(|error| failure(&error, &object))
        })
        .await
    }
}

/// A client of the group that is no member.
pub(super) fn outsider(connection: &Connection, group: &str) -> Result<BaseConsumer<Context>, Failure> {
    connection
        .consumer(Isolation::Committed)
        .set("group.id", group)
        .create_with_context(Context)
        .map_err(|error| creation_failure(&error))
}

pub(super) type Partitions = BTreeMap<String, i32>;

pub(super) fn committed(
    client: &BaseConsumer<Context>,
    group: &str,
    topics: &Partitions,
) -> Result<TopicPartitionList, Failure> {
    let object = format!("group {group}");
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            list.add_partition(topic, partition);
        }
    }
    let deadline = Instant::now() + COORDINATOR_WITHIN;
    loop {
        match client.committed_offsets(list.clone(), CALL_TIMEOUT) {
            Err(error) if is_without_coordinator(&error) && Instant::now() < deadline => {
                std::thread::sleep(COORDINATOR_PAUSE);
            }
            answer => return answer.map_err(|error| failure(&error, &object)),
        }
    }
}

/// A cluster makes its topic of groups when it is first asked about one, and answers this until then.
fn is_without_coordinator(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::NotCoordinator | Code::CoordinatorNotAvailable | Code::CoordinatorLoadInProgress)
    )
}

fn standpoints(
    client: &BaseConsumer<Context>,
    group: &str,
    topics: &Partitions,
) -> Result<Vec<Standpoint>, Failure> {
    let answer = committed(client, group, topics)?;
    let mut found = Vec::new();
    for element in answer.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let object = format!("topic {topic}, partition {partition}");
        element
            .error()
            .map_err(|error| failure(&error, &format!("group {group}")))?;
        let (low, high) = client
            .fetch_watermarks(topic, partition, CALL_TIMEOUT)
            .map_err(|error| failure(&error, &object))?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        found.push(Standpoint {
            topic: topic.into(),
            partition,
            committed,
            low,
            high,
        });
    }
    Ok(found)
}
