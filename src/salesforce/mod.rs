//! The Salesforce side. Knows nothing of Kafka.
pub mod auth;
pub mod event;
pub mod pubsub;
