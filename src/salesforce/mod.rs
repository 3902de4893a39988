//! The Salesforce side: who we are there (`auth`), the Pub/Sub API (`pubsub`), what an event says (`event`).
//! Knows nothing of Kafka. What Salesforce answers becomes a [`crate::error::Failure`] in `error`, once.

pub mod auth;
pub mod error;
pub mod event;
mod flight;
pub mod pubsub;
