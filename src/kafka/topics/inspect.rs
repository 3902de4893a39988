//! What a topic is like, and whether it could be made: questions alone, nothing is made.

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::{TopicSpec, Topics};
use crate::error::{ErrorKind, Failure};
use crate::kafka::client::CALL_TIMEOUT;
use crate::kafka::error::failure;
use crate::kafka::positions::{check_compacted, positions_topic, routes_topic, writes_topic};
use crate::kafka::redriven::redriven_topic;

/// What a topic is for: it decides how it is made, and what must be true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicUse {
    /// Records and dead letters.
    Data,
    Gaps,
    Positions,
    Routes,
    Writes,
    /// Which dead letters were sent again: made by the first redrive, and a bridge runs without it.
    Redriven,
}

impl TopicUse {
    /// Whether a running bridge reads what it has written there.
    pub const fn is_read_back(self) -> bool {
        match self {
            Self::Positions | Self::Routes | Self::Writes => true,
            Self::Data | Self::Gaps | Self::Redriven => false,
        }
    }
}

/// A topic as the brokers tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicFinding {
    There {
        partitions: i32,
        /// How long a record is kept; None: for ever, or the configuration may not be read.
        retention_ms: Option<i64>,
    },
    /// It is missing; the brokers say that this user may make it as the bridge would.
    Creatable,
}

impl Topics {
    /// The bridge's own topics.
    pub fn internal(&self) -> [(String, TopicUse); 4] {
        let connection = self.connection();
        [
            (positions_topic(connection), TopicUse::Positions),
            (routes_topic(connection), TopicUse::Routes),
            (writes_topic(connection), TopicUse::Writes),
            (redriven_topic(connection), TopicUse::Redriven),
        ]
    }

    /// What the brokers say of a topic that the bridge uses, or would make.
    ///
    /// # Errors
    /// `Denied` when it is missing and may not be made, or is not as it must be; what the brokers answered otherwise.
    pub async fn inspect(&self, topic: &str, purpose: TopicUse) -> Result<TopicFinding, Failure> {
        if let Some(partitions) = self.partitions(topic).await? {
            if matches!(
                purpose,
                TopicUse::Positions | TopicUse::Routes | TopicUse::Redriven
            ) {
                check_compacted(self, topic).await?;
            }
            let retention_ms = self.retention_ms(topic).await?;
            return Ok(TopicFinding::There {
                partitions,
                retention_ms,
            });
        }
        let config = self.connection().config();
        let spec = match purpose {
            TopicUse::Data => TopicSpec::data(config, None),
            TopicUse::Gaps => TopicSpec::gaps(config, None),
            TopicUse::Positions => TopicSpec::positions(config),
            TopicUse::Routes => TopicSpec::routes(config),
            TopicUse::Writes => TopicSpec::writes(config),
            TopicUse::Redriven => TopicSpec::redriven(config),
        };
        if !config.create_topics {
            return Err(self.missing(topic, &spec));
        }
        self.validate(topic, &spec).await?;
        Ok(TopicFinding::Creatable)
    }

    async fn retention_ms(&self, topic: &str) -> Result<Option<i64>, Failure> {
        let setting = async |key| match self.topic_setting(topic, key).await {
            // Who may not read a topic's configuration may still write to it.
            Err(denied) if denied.kind == ErrorKind::Denied => Ok(None),
            answer => answer,
        };
        let policy = setting("cleanup.policy").await?;
        if !policy.is_some_and(|policy| policy.contains("delete")) {
            return Ok(None);
        }
        let told = setting("retention.ms").await?;
        Ok(told.and_then(|text| text.parse().ok()).filter(|ms| *ms >= 0))
    }

    /// The request that would make it, to be looked at alone.
    async fn validate(&self, topic: &str, spec: &TopicSpec) -> Result<(), Failure> {
        let object = format!("topic {topic}, which the bridge would create");
        let replicas = TopicReplication::Fixed(spec.replication_factor);
        let mut new = NewTopic::new(topic, spec.partitions, replicas);
        for (key, value) in &spec.config {
            new = new.set(key, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(CALL_TIMEOUT))
            .validate_only(true);
        let answers = self.0.admin.create_topics([&new], &options).await;
        for answer in answers.map_err(|error| failure(&error, &object))? {
            match answer {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    let command = spec.command(topic, &self.connection().config().bootstrap_servers);
                    let failure = failure(&KafkaError::AdminOp(code), &object);
                    return Err(failure.remedy(format!("create it: {command}")));
                }
            }
        }
        Ok(())
    }
}
