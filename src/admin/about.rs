//! What the configuration says of a route, for whoever reads its state.

use std::sync::Arc;

use serde::Serialize;

use crate::config::{Config, Flow, KafkaTopics, RouteConfig, SalesforceTarget};

/// Additive fields of a route in `/api/routes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteAbout {
    /// A topic of Salesforce, or topics of Kafka.
    pub from: Vec<String>,
    /// Topics of Kafka, as configured; a topic or an object of Salesforce.
    pub to: Vec<String>,
    pub dead_letter_topic: String,
}

impl RouteAbout {
    /// Of every route, in the order of the configuration.
    pub fn all(config: &Config) -> Arc<[Self]> {
        config.routes.iter().map(Self::of).collect()
    }

    fn of(route: &RouteConfig) -> Self {
        let (from, to) = match &route.flow {
            Flow::ToKafka(flow) => {
                let to = flow.to.iter().map(|output| output.topic.clone()).collect();
                (vec![flow.from.topic.clone()], to)
            }
            Flow::ToSalesforce(flow) => {
                let from = match &flow.from.topics {
                    KafkaTopics::List(topics) => topics.clone(),
                    KafkaTopics::Regex(regex) => vec![regex.clone()],
                };
                let to = match &flow.to {
                    SalesforceTarget::Event { topic } => topic.clone(),
                    SalesforceTarget::Object { sobject, .. } => sobject.clone(),
                };
                (from, vec![to])
            }
        };
        Self {
            from,
            to,
            dead_letter_topic: route.dead_letter.topic.clone(),
        }
    }
}
