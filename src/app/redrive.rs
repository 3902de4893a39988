//! One route in a process of its own, for a command that sends its dead letters again beside the running bridge.

use std::sync::Arc;

use super::shared;
use crate::config::{Config, Flow, RouteConfig};
use crate::contracts::registry::Registry;
use crate::error::Failure;
use crate::kafka::{Connection, PositionStore, Topics};
use crate::routes::loop_guard::client_name;
use crate::routes::redrive::{Ended, Letter, Letters, Marker, Rehearsed, Tally};
use crate::routes::state::RouteStatus;
use crate::routes::to_kafka::ToKafkaRoute;
use crate::routes::to_salesforce::ToSalesforceRoute;
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::Salesforce;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// A route with all that it needs. It joins no group and moves no position: the running bridge is not disturbed.
#[derive(Debug)]
pub struct Redriver {
    /// What the route does, as it changes: it may wait.
    pub status: Arc<RouteStatus>,
    directed: Directed,
}

#[derive(Debug)]
enum Directed {
    ToKafka(Box<ToKafkaRoute>),
    ToSalesforce(Box<ToSalesforceRoute>),
}

impl Redriver {
    /// # Errors
    /// When Kafka does not answer, the internal topics are not what they must be, or the configuration names files
    /// that cannot be used.
    pub async fn new(
        config: &Config,
        route: &RouteConfig,
        connection: &Connection,
        topics: &Topics,
    ) -> Result<Self, Failure> {
        let metrics = Metrics::new();
        let client = client_name(&config.bridge.name);
        let salesforce = Salesforce::new(&config.salesforce, &client, metrics.clone())?;
        let registry = config.schema_registry.as_ref().map(Registry::new).transpose()?;
        let positions = Arc::new(PositionStore::open(topics).await?);
        let (connection, topics) = (connection.clone(), topics.clone());
        let shared = shared(
            config,
            connection,
            topics,
            positions,
            salesforce,
            registry,
            (metrics.clone(), Traces::default()),
        );
        let status = RouteStatus::new(&route.name, route.flow.direction(), metrics);
        let directed = match route.flow.clone() {
            Flow::ToKafka(flow) => Directed::ToKafka(Box::new(ToKafkaRoute {
                config: route.clone(),
                flow,
                status: Arc::clone(&status),
                shared,
            })),
            Flow::ToSalesforce(flow) => Directed::ToSalesforce(Box::new(ToSalesforceRoute::new(
                config,
                route.clone(),
                flow,
                Arc::clone(&status),
                shared,
            ))),
        };
        Ok(Self { status, directed })
    }

    /// Sends the letters through the route.
    ///
    /// # Errors
    /// What waiting does not mend. What went before it is marked.
    pub async fn redrive(
        self,
        letters: Letters,
        marker: &mut Marker,
        tally: &Tally,
        stop: StopSignal,
    ) -> Result<Ended, Failure> {
        match self.directed {
            Directed::ToKafka(route) => route.redrive(letters, marker, tally, stop).await,
            Directed::ToSalesforce(route) => route.redrive(letters, marker, tally, stop).await,
        }
    }

    /// Tells what would become of the letters, and sends nothing.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn rehearse(
        self,
        letters: Letters,
        stop: StopSignal,
        show: impl FnMut(&Letter, Rehearsed),
    ) -> Result<Ended, Failure> {
        match self.directed {
            Directed::ToKafka(route) => route.rehearse(letters, stop, show).await,
            Directed::ToSalesforce(route) => route.rehearse(letters, stop, show).await,
        }
    }
}
