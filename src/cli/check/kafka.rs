//! The Kafka side of a check: brokers, topics there or to be made, how long they keep, and the groups.

use super::lines::Lines;
use crate::cli::cluster::REACH_KAFKA;
use crate::cli::contracts::org::{Org, Refusal};
use crate::config::{
    Config, Delivery, Flow, KafkaOutput, KafkaTopics, RouteConfig, ToKafkaConfig, ToSalesforceConfig,
};
use crate::error::{Failure, chain};
use crate::kafka::{Connection, RouteProducer, Timing, TopicFinding, TopicUse, Topics};
use crate::routes::gap;
use crate::routes::output::{Names, is_channel, topic_name};
use crate::routes::to_salesforce::written_topics;

/// As long as Salesforce keeps events: a reader that was down shorter has lost nothing on either side.
const KEPT_MS: i64 = 72 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1000;

pub(super) struct Kafka<'a> {
    config: &'a Config,
    connection: Connection,
    topics: Topics,
    /// Why nothing is asked.
    unreached: Option<Refusal>,
}

impl<'a> Kafka<'a> {
    pub(super) fn new(
        config: &'a Config,
        connection: Connection,
        reached: Result<(), Failure>,
        lines: &mut Lines,
    ) -> Result<Self, Failure> {
        let topics = Topics::new(&connection)?;
        let unreached = match reached {
            Ok(()) => {
                lines.holds("kafka", format!("reached at {}", config.kafka.bootstrap_servers));
                None
            }
            Err(failure) => {
                lines.failed("kafka", &failure, REACH_KAFKA);
                Some(Refusal::with(failure, REACH_KAFKA))
            }
        };
        Ok(Self {
            config,
            connection,
            topics,
            unreached,
        })
    }

    /// The bridge's own topics, its group, and its transactional ids.
    pub(super) async fn internal(&self, lines: &mut Lines) {
        for (topic, purpose) in self.topics.internal() {
            self.topic("kafka", &topic, purpose, lines).await;
        }
        let gaps = gap::topic(&self.config.bridge.name);
        self.topic("kafka", &gaps, TopicUse::Gaps, lines).await;
        self.group("kafka", None, lines).await;
        self.transactional_ids(lines).await;
    }

    /// Asked with an id that is nobody's: to initialise a route's own would fence the bridge that runs it. The
    /// brokers note the id and forget it within days. No route's name has an `@`.
    async fn transactional_ids(&self, lines: &mut Lines) {
        let prefix = format!("sfbridge.{}.", self.config.bridge.name);
        let what = format!("transactional ids {prefix}*");
        if self.told_unreached("kafka", &format!("whether {what} may be used"), lines) {
            return;
        }
        let id = format!("{prefix}@check");
        let asked = RouteProducer::transactional(&self.connection, &id, Timing::DEFAULT).await;
        let Err(failure) = asked else {
            return lines.holds("kafka", format!("{what} may be used (asked with {id})"));
        };
        let message = format!("{what} may not be used: {}", chain(&failure));
        let remedy = failure.remedy.as_deref().unwrap_or(REACH_KAFKA);
        let remedy = remedy.replace(
            &format!("transactional id {id}"),
            &format!("the transactional ids that begin with {prefix}"),
        );
        let is_transactional = |route: &RouteConfig| matches!(&route.flow, Flow::ToKafka(flow) if flow.delivery == Delivery::ExactlyOnce);
        if self.config.routes.iter().any(is_transactional) {
            lines.broken("kafka", message, remedy);
        } else {
            lines.warning("kafka", format!("{message}; only a redrive needs them"), remedy);
        }
    }

    /// The topics that a route writes, as far as their names are known before the first event.
    pub(super) async fn outputs(
        &self,
        route: &RouteConfig,
        flow: &ToKafkaConfig,
        org: &Org,
        lines: &mut Lines,
    ) {
        for output in &flow.to {
            let about = format!("route {} → {}", route.name, output.topic);
            match self.name(route, flow, output, org).await {
                Ok(Some(topic)) => self.topic(&about, &topic, TopicUse::Data, lines).await,
                Ok(None) => lines.holds(
                    &about,
                    "the topic's name is known with the first event of each sort",
                ),
                Err(refusal) => lines.broken(
                    &about,
                    format!("the topic's name is not known: {}", refusal.message),
                    refusal.remedy,
                ),
            }
        }
    }

    async fn name(
        &self,
        route: &RouteConfig,
        flow: &ToKafkaConfig,
        output: &KafkaOutput,
        org: &Org,
    ) -> Result<Option<String>, Refusal> {
        let names = |entity, event| Names {
            entity,
            event,
            route: &route.name,
        };
        let fixed = topic_name(&output.topic, names("{entity}", "{event}"));
        if !fixed.contains('{') {
            return Ok(Some(fixed));
        }
        if is_channel(&flow.from.topic) {
            return Ok(None);
        }
        let event = org.event(&flow.from.topic).await?.event;
        Ok(Some(topic_name(
            &output.topic,
            names(&event.entity(), &event.name),
        )))
    }

    /// What a route reads: the topics, and the group that reads them.
    pub(super) async fn source(&self, route: &RouteConfig, flow: &ToSalesforceConfig, lines: &mut Lines) {
        let about = format!("route {}", route.name);
        if self.told_unreached(&about, "what the route reads", lines) {
            return;
        }
        let group = self.connection.group_of(Some(&route.name));
        let except = written_topics(self.config);
        let found = self
            .connection
            .standpoints(&group, &flow.from.topics, &except)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(failure) => return lines.failed(&about, &failure, REACH_KAFKA),
        };
        let servers = &self.config.kafka.bootstrap_servers;
        let partitions_of = |topic: &str| found.iter().filter(|place| &*place.topic == topic).count();
        match &flow.from.topics {
            KafkaTopics::List(names) => {
                for name in names {
                    match partitions_of(name) {
                        0 => lines.broken(
                            &about,
                            format!("topic {name}, which the route reads, does not exist"),
                            format!(
                                "create it: kafka-topics --bootstrap-server {servers} --create --topic {name}"
                            ),
                        ),
                        count => self.may_read(&about, name, count, lines).await,
                    }
                }
            }
            KafkaTopics::Regex(pattern) if found.is_empty() => lines.warning(
                &about,
                format!("no topic matches {pattern}; those that do are read once they exist"),
                "create one, or correct from.kafka; topics of the bridge itself are never matched",
            ),
            KafkaTopics::Regex(pattern) => {
                let mut names: Vec<&str> = found.iter().map(|place| &*place.topic).collect();
                names.dedup();
                lines.holds(&about, format!("{pattern} matches {}", names.join(", ")));
                for name in names {
                    self.may_read(&about, name, partitions_of(name), lines).await;
                }
            }
        }
        self.group(&about, Some(&route.name), lines).await;
    }

    async fn may_read(&self, about: &str, topic: &str, partitions: usize, lines: &mut Lines) {
        match self.connection.may_read(topic).await {
            Ok(()) => lines.holds(about, format!("{topic} can be read, {partitions} partitions")),
            Err(failure) => lines.failed(about, &failure, REACH_KAFKA),
        }
    }

    pub(super) async fn dead_letters(&self, route: &RouteConfig, lines: &mut Lines) {
        let about = format!("route {}", route.name);
        self.topic(&about, &route.dead_letter.topic, TopicUse::Data, lines)
            .await;
    }

    async fn topic(&self, about: &str, topic: &str, purpose: TopicUse, lines: &mut Lines) {
        if self.told_unreached(about, &format!("topic {topic}"), lines) {
            return;
        }
        match self.topics.inspect(topic, purpose).await {
            Ok(TopicFinding::Creatable) if purpose == TopicUse::Redriven => lines.holds(
                about,
                format!("topic {topic} is missing and will be created by the first redrive"),
            ),
            Ok(TopicFinding::Creatable) => {
                lines.holds(about, format!("topic {topic} is missing and will be created"));
            }
            Ok(TopicFinding::There {
                retention_ms: Some(ms),
                ..
            }) if purpose == TopicUse::Data && ms < KEPT_MS => lines.warning(
                about,
                format!("topic {topic} keeps records for {} h", ms / HOUR_MS),
                format!(
                    "a reader that is down for longer loses some: kafka-configs --bootstrap-server {} --alter --entity-type topics --entity-name {topic} --add-config retention.ms={}",
                    self.config.kafka.bootstrap_servers,
                    7 * 24 * HOUR_MS
                ),
            ),
            Ok(TopicFinding::There { partitions, .. }) => {
                lines.holds(about, format!("topic {topic} is there, {partitions} partitions"));
                if purpose.is_read_back()
                    && let Err(failure) = self.connection.may_read(topic).await
                {
                    lines.failed(about, &failure, REACH_KAFKA);
                }
            }
            Err(failure) if purpose == TopicUse::Redriven => lines.warning(
                about,
                format!("{}; only a redrive needs it", chain(&failure)),
                failure.remedy.as_deref().unwrap_or(REACH_KAFKA),
            ),
            Err(failure) => lines.failed(about, &failure, REACH_KAFKA),
        }
    }

    async fn group(&self, about: &str, route: Option<&str>, lines: &mut Lines) {
        let group = self.connection.group_of(route);
        if self.told_unreached(about, &format!("group {group}"), lines) {
            return;
        }
        let [(positions, _), ..] = self.topics.internal();
        match self.connection.may_use_group(&group, &positions).await {
            Ok(()) => lines.holds(about, format!("group {group} may be used")),
            Err(failure) => lines.failed(
                about,
                &failure,
                "give the user Read and Describe on the group; README.md lists every access rule",
            ),
        }
    }

    fn told_unreached(&self, about: &str, what: &str, lines: &mut Lines) -> bool {
        if let Some(refusal) = &self.unreached {
            lines.broken(
                about,
                format!("{what} is not known: Kafka is not reached"),
                refusal.remedy.clone(),
            );
            return true;
        }
        false
    }
}
