//! Whether this user may do what a consumer does, asked without joining a group or moving it.
//!
//! Each answer is the broker's own to the request that will need the right: of `Read` on a topic to a fetch at its end,
//! of `Read` on a group to a commit of an offset in a topic that cannot exist, which no broker keeps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::group::{committed, outsider};
use crate::error::Failure;
use crate::kafka::client::{CALL_TIMEOUT, Connection, Context, Isolation, blocking};
use crate::kafka::error::{creation_failure, failure};

const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// No topic: `@` is none of the characters of their names (letters, digits, `.`, `_`, `-`).
const NO_TOPIC: &str = "sfbridge.@check";

impl Connection {
    /// Whether this user may ask where the group stands, join it and commit its offsets.
    ///
    /// # Errors
    /// `Denied`, naming the group; when the brokers do not answer.
    pub async fn may_use_group(&self, group: &str, topic: &str) -> Result<(), Failure> {
        let connection = self.clone();
        let (group, topic) = (group.to_owned(), topic.to_owned());
        blocking(move || {
            let client = outsider(&connection, &group)?;
            committed(&client, &group, &BTreeMap::from([(topic, 1)]))?;
            if connection.is_mock() {
                // It would keep the offset.
                return Ok(());
            }
            let object = format!("group {group}");
            let mut place = TopicPartitionList::with_capacity(1);
            place
                .add_partition_offset(NO_TOPIC, 0, Offset::Offset(0))
                .map_err(|error| failure(&error, &object))?;
            match client.commit(&place, CommitMode::Sync) {
                Err(error) if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) => {
                    Err(failure(&error, &object))
                }
                // There is no such topic, or the group has members: the right was there.
                _ => Ok(()),
            }
        })
        .await
    }

    /// Whether this user may read a topic that is there.
    ///
    /// # Errors
    /// `Denied`, naming the topic; when the brokers do not answer.
    pub async fn may_read(&self, topic: &str) -> Result<(), Failure> {
        let connection = self.clone();
        let topic = topic.to_owned();
        blocking(move || {
            let object = format!("topic {topic}");
            let client: BaseConsumer<Context> = connection
                .consumer(Isolation::Uncommitted)
                .create_with_context(Context)
                .map_err(|error| creation_failure(&error))?;
            let mut place = TopicPartitionList::with_capacity(1);
            place
                .add_partition_offset(&topic, 0, Offset::End)
                .and_then(|()| client.assign(&place))
                .map_err(|error| failure(&error, &object))?;
            let deadline = Instant::now() + CALL_TIMEOUT;
            loop {
                match client.poll(POLL_TIMEOUT) {
                    Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                    Some(Err(error)) => return Err(failure(&error, &object)),
                    None if Instant::now() < deadline => {}
                    None => {
                        let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
                        return Err(failure(&error, &object));
                    }
                }
            }
        })
        .await
    }
}
