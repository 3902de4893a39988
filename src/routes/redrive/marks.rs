//! What became of dead letters that were sent again, as it is stored.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::letter::Address;
use crate::error::{Action, ErrorKind, Failure};
use crate::kafka::{Connection, Record, RedrivenTopic, RouteProducer, Timing, Topics, WriteError};
use crate::routes::waits::Pauses;
use crate::runtime::clock;

/// Tries of one write to Kafka before the redrive is given up: a person waits.
const TRIES_MAX: u32 = 8;

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The other side has it.
    Sent,
    /// The route leaves it out now.
    Filtered,
    /// It is a dead letter again, a new one.
    DeadLetter,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Filtered => "filtered",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// The value under a letter's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// RFC 3339.
    pub at: String,
    pub outcome: Outcome,
}

/// All marks of a bridge.
#[derive(Debug, Default)]
pub struct Marks(HashMap<Vec<u8>, Vec<u8>>);

impl Marks {
    /// As committed before the call.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is not what it was.
    pub async fn read(topics: &Topics) -> Result<Self, Failure> {
        match RedrivenTopic::find(topics).await? {
            None => Ok(Self::default()),
            Some(topic) => Ok(Self(topic.all().await?)),
        }
    }

    /// What became of the letter; None: it was not sent again yet.
    pub fn of(&self, address: &Address) -> Option<Mark> {
        let value = self.0.get(address.to_string().as_bytes())?;
        // One of a later release: that there is one is what counts.
        let unreadable = || Mark {
            at: String::new(),
            outcome: Outcome::Sent,
        };
        Some(serde_json::from_slice(value).unwrap_or_else(|_| unreadable()))
    }
}

/// Writes marks, and with them whatever goes into the same transaction. One redrive a route: a later one fences this.
#[derive(Debug)]
pub struct Marker {
    connection: Connection,
    topic: RedrivenTopic,
    transactional_id: String,
    producer: Option<RouteProducer>,
}

impl Marker {
    /// Fences an earlier redrive of the route. Its marks are all there afterwards; read them after this.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is missing and may not be made.
    pub async fn open(topics: &Topics, connection: &Connection, route: &str) -> Result<Self, Failure> {
        let topic = RedrivenTopic::open(topics).await?;
        let mut marker = Self {
            // Never the route's own id: that would fence the running route. No route's name holds an `@`.
            transactional_id: format!("sfbridge.{}.{route}@redrive", connection.bridge()),
            connection: connection.clone(),
            topic,
            producer: None,
        };
        marker.producer = Some(marker.new_producer().await?);
        Ok(marker)
    }

    async fn new_producer(&self) -> Result<RouteProducer, Failure> {
        RouteProducer::transactional(&self.connection, &self.transactional_id, Timing::DEFAULT).await
    }

    /// Writes `records` and the marks together; tries again where that may help.
    ///
    /// # Errors
    /// `Refused`: the broker takes some record never. Anything else ends the redrive: nothing of it is there.
    pub async fn write(
        &mut self,
        records: Vec<Record>,
        marks: &[(Address, Outcome)],
    ) -> Result<(), WriteError> {
        let mut all = records;
        for (address, outcome) in marks {
            let mark = Mark {
                at: clock::rfc3339_ms(clock::now_ms()),
                outcome: *outcome,
            };
            // Two texts: it cannot fail.
            let value = serde_json::to_vec(&mark).unwrap_or_default();
            all.push(self.topic.record(&address.to_string(), value));
        }
        let (Some(last), Some((address, _))) = (all.pop(), marks.last()) else {
            return Ok(());
        };
        let mut pauses = Pauses::new();
        for attempt in 1.. {
            let mut is_new = false;
            let mut producer = match self.producer.take() {
                Some(producer) => producer,
                None => {
                    is_new = true;
                    self.new_producer().await.map_err(WriteError::Lost)?
                }
            };
            // The outcome of a lost write: the marks are there, or nothing is.
            if is_new && self.is_marked(address).await.map_err(WriteError::Lost)? {
                self.producer = Some(producer);
                return Ok(());
            }
            let failure = match producer.write(all.clone(), last.clone()).await {
                Ok(_) => {
                    self.producer = Some(producer);
                    return Ok(());
                }
                Err(WriteError::Refused(refusal)) => {
                    self.producer = Some(producer);
                    return Err(WriteError::Refused(refusal));
                }
                Err(WriteError::Aborted(failure)) => {
                    self.producer = Some(producer);
                    failure
                }
                Err(WriteError::Lost(failure)) => failure,
            };
            if failure.kind == ErrorKind::Fenced {
                let message = format!(
                    "another redrive holds the transactional id {}",
                    self.transactional_id
                );
                let remedy = "let that one finish; run this command again for what is left";
                let failure = Failure::new(ErrorKind::Fenced, message)
                    .remedy(remedy)
                    .caused_by(failure);
                return Err(WriteError::Lost(failure));
            }
            let pause = match failure.action() {
                Action::AbortAndReread => Some(pauses.transient.next(None)),
                _ => pauses.after(&failure),
            };
            match pause {
                Some(pause) if attempt < TRIES_MAX => tokio::time::sleep(pause).await,
                _ => return Err(WriteError::Lost(failure)),
            }
        }
        Ok(())
    }

    async fn is_marked(&self, address: &Address) -> Result<bool, Failure> {
        let marks = Marks(self.topic.all().await?);
        Ok(marks.of(address).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_by_its_address_whatever_a_later_release_writes_into_it() {
        let address: Address = "dead[0]@1".parse().unwrap();
        let marks = |value: &str| Marks([(b"dead[0]@1".to_vec(), value.as_bytes().to_vec())].into());
        let mark = marks(r#"{"at":"2026-11-27T10:00:00.000Z","outcome":"dead_letter"}"#)
            .of(&address)
            .unwrap();
        assert_eq!(
            (&*mark.at, mark.outcome),
            ("2026-11-27T10:00:00.000Z", Outcome::DeadLetter)
        );
        assert!(marks(r#"{"at":"x","outcome":"parked"}"#).of(&address).is_some());
        assert!(marks("{}").of(&"dead[0]@2".parse().unwrap()).is_none());
    }
}
