//! Which topics a route reads: those that it lists, or those that match and are not the bridge's own.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;
use regex::Regex;

use crate::config::KafkaTopics;
use crate::error::{ErrorKind, Failure};
use crate::kafka::client::CALL_TIMEOUT;
use crate::kafka::error::failure;

/// The beginnings of names that no regex matches: what bridges write, and what Kafka keeps for itself.
const NEVER: [&str; 3] = ["sfbridge.", "_sfbridge.", "__"];

/// A topic that was there and is not shown is believed to be gone when it was missing this often in a row: a broker
/// that starts may answer before it knows of every topic.
const BELIEVED_GONE_AFTER: u32 = 3;

#[derive(Debug, Clone)]
pub(super) enum Selection {
    List(Vec<String>),
    Matching { pattern: Regex, except: Vec<Regex> },
}

impl Selection {
    pub(super) fn new(topics: &KafkaTopics, except: &[String]) -> Result<Self, Failure> {
        let compiled = |pattern: &str| {
            Regex::new(pattern).map_err(|error| {
                Failure::new(
                    ErrorKind::Misconfigured,
                    format!("from.kafka: {pattern} is not a regular expression"),
                )
                .caused_by(error)
            })
        };
        Ok(match topics {
            KafkaTopics::List(names) => Self::List(names.clone()),
            KafkaTopics::Regex(pattern) => Self::Matching {
                pattern: compiled(pattern)?,
                except: except
                    .iter()
                    .map(|output| compiled(&output_pattern(output)))
                    .collect::<Result<_, _>>()?,
            },
        })
    }

    fn matches(&self, topic: &str) -> bool {
        match self {
            Self::List(names) => names.iter().any(|name| name == topic),
            Self::Matching { pattern, except } => {
                pattern.is_match(topic)
                    && !NEVER.iter().any(|beginning| topic.starts_with(beginning))
                    && !except.iter().any(|output| output.is_match(topic))
            }
        }
    }

    /// Blocking. The topics that are there, with their partition counts.
    pub(super) fn look<C: ConsumerContext>(
        &self,
        member: &BaseConsumer<C>,
    ) -> Result<BTreeMap<String, i32>, Failure> {
        let mut found = BTreeMap::new();
        match self {
            Self::List(names) => {
                for name in names {
                    let object = format!("topic {name}");
                    let metadata = member
                        .fetch_metadata(Some(name), CALL_TIMEOUT)
                        .map_err(|error| failure(&error, &object))?;
                    for topic in metadata.topics() {
                        take_note(topic, &mut found)?;
                    }
                }
            }
            Self::Matching { .. } => {
                let metadata = member
                    .fetch_metadata(None, CALL_TIMEOUT)
                    .map_err(|error| failure(&error, "the brokers"))?;
                for topic in metadata
                    .topics()
                    .iter()
                    .filter(|topic| self.matches(topic.name()))
                {
                    take_note(topic, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    /// What a person should know of the topics that are not there.
    pub(super) fn missing(&self, found: &BTreeMap<String, i32>, servers: &str) -> Option<Failure> {
        let (message, remedy) = match self {
            Self::List(names) => {
                let name = names.iter().find(|name| !found.contains_key(*name))?;
                (
                    format!("topic {name}, which the route reads, does not exist; it is read once it does"),
                    format!("create it: kafka-topics --bootstrap-server {servers} --create --topic {name}"),
                )
            }
            Self::Matching { pattern, .. } if found.is_empty() => (
                format!("no topic matches {pattern}; those that do are read once they exist"),
                "create one, or correct from.kafka; topics of the bridge itself are never matched".to_owned(),
            ),
            Self::Matching { .. } => return None,
        };
        Some(Failure::new(ErrorKind::Transient, message).remedy(remedy))
    }
}

/// The topics that an output of the configuration writes: `{…}` stands for any text.
fn output_pattern(output: &str) -> String {
    let mut pattern = String::from("^");
    let mut rest = output;
    while let Some((before, after)) = rest.split_once('{') {
        pattern.push_str(&regex::escape(before));
        pattern.push_str(".*");
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    pattern.push_str(&regex::escape(rest));
    pattern.push('$');
    pattern
}

fn take_note(topic: &MetadataTopic, found: &mut BTreeMap<String, i32>) -> Result<(), Failure> {
    match topic.error().map(Code::from) {
        None => {
            let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            if count > 0 {
                found.insert(topic.name().to_owned(), count);
            }
            Ok(())
        }
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::LeaderNotAvailable) => Ok(()),
        Some(code) => Err(failure(
            &KafkaError::MetadataFetch(code),
            &format!("topic {}", topic.name()),
        )),
    }
}

/// The topics as the last looks showed them.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Partition count, and how many looks in a row it was missing.
    topics: BTreeMap<String, (i32, u32)>,
}

impl Layout {
    pub(super) fn seen(&mut self, found: &BTreeMap<String, i32>) {
        for (topic, count) in found {
            self.topics.insert(topic.clone(), (*count, 0));
        }
        self.topics.retain(|topic, (_, missing)| {
            if !found.contains_key(topic) {
                *missing += 1;
            }
            *missing < BELIEVED_GONE_AFTER
        });
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    /// Every partition of the topics that the last look showed.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (&str, i32)> {
        let here = self.topics.iter().filter(|(_, (_, missing))| *missing == 0);
        here.flat_map(|(topic, (count, _))| (0..*count).map(move |partition| (topic.as_str(), partition)))
    }
}

/// How soon the topics are looked for again: a missing one is a person's to make, who waits for it.
pub(super) const fn next_look(trouble: bool) -> Duration {
    Duration::from_secs(if trouble { 3 } else { 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str, except: &[&str]) -> Selection {
        let except: Vec<String> = except.iter().map(|&output| output.to_owned()).collect();
        Selection::new(&KafkaTopics::Regex(pattern.to_owned()), &except).expect("a regex")
    }

    #[test]
    fn a_regex_never_matches_what_a_bridge_or_kafka_itself_writes() {
        let all = matching("^.*", &["crm.{entity}.v1", "audit"]);
        for topic in [
            "sfbridge.dead-letters",
            "_sfbridge.crm.positions",
            "__consumer_offsets",
            "crm.Account.v1",
            "audit",
        ] {
            assert!(!all.matches(topic), "{topic}");
        }
        for topic in ["crm.Account.v2", "audit2", "crmXAccount.v1", "orders"] {
            assert!(all.matches(topic), "{topic}");
        }
    }

    #[test]
    fn a_regex_that_is_none_is_a_mistake_in_the_configuration() {
        let topics = KafkaTopics::Regex("^orders.(".to_owned());
        let failure = Selection::new(&topics, &[]).expect_err("an open bracket");
        assert_eq!(failure.kind, ErrorKind::Misconfigured);
    }

    #[test]
    fn a_missing_topic_is_named_with_the_command_that_makes_it() {
        let list = KafkaTopics::List(vec!["a".to_owned(), "b".to_owned()]);
        let selection = Selection::new(&list, &[]).expect("a list");
        let found = BTreeMap::from([("a".to_owned(), 3)]);
        let missing = selection.missing(&found, "k:9092").expect("b is missing");
        assert!(missing.message.contains("topic b"), "{missing}");
        let remedy = missing.remedy.unwrap_or_default();
        assert!(remedy.contains("--create --topic b"), "{remedy}");
    }

    #[test]
    fn a_topic_that_one_look_does_not_show_is_not_gone() {
        let mut layout = Layout::default();
        let (both, one) = (
            BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]),
            BTreeMap::from([("a".to_owned(), 1)]),
        );
        layout.seen(&both);
        assert_eq!(layout.partitions().count(), 3);
        for _ in 0..2 {
            layout.seen(&one);
            assert_eq!(layout.names(), ["a", "b"]);
        }
        assert_eq!(layout.partitions().count(), 1);
        layout.seen(&one);
        assert_eq!(layout.names(), ["a"]);
    }
}
