//! What became of dead letters that were sent again, as it is stored.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::letter::Address;
use crate::config::Delivery;
use crate::error::{Action, ErrorKind, Failure};
use crate::kafka::{
    Connection, ConsumedRecord, Extent, Record, RedrivenTopic, RouteProducer, Timing, Topics, WriteError,
};
use crate::routes::waits::Pauses;
use crate::runtime::clock;

/// Tries of one write to Kafka before the redrive is given up: a person waits.
const TRIES_MAX: u32 = 8;
/// Marks that go away in one transaction.
const FORGOTTEN_AT_ONCE: usize = 1000;

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
    /// The letter's own time, milliseconds since the epoch: a topic that is made anew has other letters at the same
    /// addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter_ms: Option<i64>,
}

/// A letter that is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub address: Address,
    pub letter_ms: Option<i64>,
    pub outcome: Outcome,
}

impl Finished {
    pub fn new(letter: &ConsumedRecord, outcome: Outcome) -> Self {
        Self {
            address: Address::of(letter),
            letter_ms: letter.timestamp_ms,
            outcome,
        }
    }
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
    pub fn of(&self, letter: &ConsumedRecord) -> Option<Mark> {
        self.at(&Address::of(letter), letter.timestamp_ms)
    }

    fn at(&self, address: &Address, letter_ms: Option<i64>) -> Option<Mark> {
        let value = self.0.get(address.to_string().as_bytes())?;
        // One of a later release: that there is one is what counts.
        let mark = serde_json::from_slice(value).unwrap_or_else(|_| Mark {
            at: String::new(),
            outcome: Outcome::Sent,
            letter_ms: None,
        });
        let is_of_another = mark.letter_ms.is_some() && mark.letter_ms != letter_ms;
        (!is_of_another).then_some(mark)
    }

    /// The addresses of letters that retention has deleted, by what the topics still hold.
    pub fn obsolete(&self, held: &[Extent]) -> Vec<Address> {
        let is_gone = |address: &Address| {
            held.iter().any(|extent| {
                extent.topic == address.topic
                    && extent.partition == address.partition
                    && address.offset < extent.begin
            })
        };
        let addresses = self
            .0
            .keys()
            .filter_map(|key| std::str::from_utf8(key).ok()?.parse().ok());
        addresses.filter(is_gone).collect()
    }
}

/// Writes marks, and with them whatever goes into the same transaction. One redrive a route: a later one fences this.
#[derive(Debug)]
pub struct Marker {
    connection: Connection,
    topic: RedrivenTopic,
    /// None: for a cluster without transactions; records first, then their marks.
    transactional_id: Option<String>,
    producer: Option<RouteProducer>,
}

impl Marker {
    /// Fences an earlier redrive of the route. Its marks are all there afterwards; read them after this.
    ///
    /// # Errors
    /// When the brokers do not answer, or the topic is missing and may not be made.
    pub async fn open(
        topics: &Topics,
        connection: &Connection,
        route: &str,
        delivery: Delivery,
    ) -> Result<Self, Failure> {
        let topic = RedrivenTopic::open(topics).await?;
        let mut marker = Self {
            // Never the route's own id: that would fence the running route. No route's name holds an `@`.
            transactional_id: (delivery == Delivery::ExactlyOnce)
                .then(|| format!("sfbridge.{}.{route}@redrive", connection.bridge())),
            connection: connection.clone(),
            topic,
            producer: None,
        };
        marker.producer = Some(marker.new_producer().await?);
        Ok(marker)
    }

    async fn new_producer(&self) -> Result<RouteProducer, Failure> {
        match &self.transactional_id {
            Some(id) => RouteProducer::transactional(&self.connection, id, Timing::DEFAULT).await,
            None => RouteProducer::idempotent(&self.connection, Timing::DEFAULT).await,
        }
    }

    /// Takes marks away.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub async fn forget(&mut self, addresses: &[Address]) -> Result<(), Failure> {
        for some in addresses.chunks(FORGOTTEN_AT_ONCE) {
            let mut records: Vec<Record> = some
                .iter()
                .map(|address| self.topic.record(&address.to_string(), None))
                .collect();
            let (Some(last), Some(producer)) = (records.pop(), &mut self.producer) else {
                return Ok(());
            };
            match producer.write(records, last).await {
                // They are taken away another time.
                Ok(_) | Err(WriteError::Refused(_)) => {}
                Err(WriteError::Aborted(failure) | WriteError::Lost(failure)) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Writes `records` and the marks together; tries again where that may help.
    ///
    /// # Errors
    /// `Refused`: the broker takes some record never. Anything else ends the redrive: nothing of it is there.
    pub async fn write(&mut self, records: Vec<Record>, marks: &[Finished]) -> Result<(), WriteError> {
        let mut all = records;
        for finished in marks {
            let mark = Mark {
                at: clock::rfc3339_ms(clock::now_ms()),
                outcome: finished.outcome,
                letter_ms: finished.letter_ms,
            };
            // Texts and a number: it cannot fail.
            let value = serde_json::to_vec(&mark).unwrap_or_default();
            let address = finished.address.to_string();
            all.push(self.topic.record(&address, Some(value.into())));
        }
        let (Some(last), Some(finished)) = (all.pop(), marks.last()) else {
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
            if is_new && self.is_marked(finished).await.map_err(WriteError::Lost)? {
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
                    self.transactional_id.as_deref().unwrap_or_default()
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

    async fn is_marked(&self, finished: &Finished) -> Result<bool, Failure> {
        let marks = Marks(self.topic.all().await?);
        Ok(marks.at(&finished.address, finished.letter_ms).is_some())
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
            .at(&address, Some(7))
            .unwrap();
        assert_eq!(
            (&*mark.at, mark.outcome),
            ("2026-11-27T10:00:00.000Z", Outcome::DeadLetter)
        );
        assert!(
            marks(r#"{"at":"x","outcome":"parked"}"#)
                .at(&address, Some(7))
                .is_some()
        );
        assert!(marks("{}").at(&"dead[0]@2".parse().unwrap(), None).is_none());
        let of_seven = marks(r#"{"at":"x","outcome":"sent","letter_ms":7}"#);
        assert!(of_seven.at(&address, Some(7)).is_some());
        assert!(
            of_seven.at(&address, Some(8)).is_none(),
            "the topic was made anew"
        );
    }

    #[test]
    fn marks_of_letters_that_are_gone_are_obsolete() {
        let keys = ["dead[0]@4", "dead[0]@5", "dead[1]@4", "other[0]@4", "no address"];
        let marks = Marks(keys.map(|key| (key.as_bytes().to_vec(), b"{}".to_vec())).into());
        let held = Extent {
            topic: "dead".into(),
            partition: 0,
            begin: 5,
            end: 9,
        };
        assert_eq!(marks.obsolete(&[held]), ["dead[0]@4".parse().unwrap()]);
        assert!(marks.obsolete(&[]).is_empty());
    }
}
