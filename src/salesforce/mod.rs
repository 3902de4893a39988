//! The Salesforce side: who we are there (`auth`), the Pub/Sub API (`pubsub`), what an event says (`event`), what a
//! record is now and how it is written (`rest`). Knows nothing of Kafka. What Salesforce answers becomes a
//! [`crate::error::Failure`], once: in `error` for gRPC, in `rest` for REST.

pub mod auth;
pub mod error;
pub mod event;
mod http;
pub mod pubsub;
pub mod rest;

use std::sync::Arc;

use crate::config::SalesforceConfig;
use crate::error::Failure;
use crate::telemetry::metrics::Metrics;
use auth::TokenSource;
use event::EventSchema;
use pubsub::{PubSubClient, SchemaCache};
use rest::RestClient;

/// One org: its session, its connection and its schemas, shared by all routes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Salesforce {
    pub tokens: TokenSource,
    pub pubsub: PubSubClient,
    pub schemas: Arc<SchemaCache<EventSchema>>,
    pub rest: RestClient,
}

impl Salesforce {
    /// Must be called inside the runtime; connects with the first call. `client` is the name that records are written
    /// under: it comes back in their change events.
    ///
    /// # Errors
    /// `Misconfigured`: an address, a key or a CA file that cannot be used.
    pub fn new(config: &SalesforceConfig, client: &str, metrics: Metrics) -> Result<Self, Failure> {
        let tokens = TokenSource::new(config, metrics.clone())?;
        let pubsub = PubSubClient::new(config, tokens.clone())?;
        let rest = RestClient::new(config, client, tokens.clone(), metrics)?;
        let schemas = Arc::new(SchemaCache::new(pubsub.clone(), EventSchema::parse));
        Ok(Self {
            tokens,
            pubsub,
            schemas,
            rest,
        })
    }
}
