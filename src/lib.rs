//! sfbridge: Salesforce events to Kafka and back.
//!
//! ```text
//!  Salesforce org                           sfbridge                                    Kafka
//!  Pub/Sub API ──▶ salesforce::pubsub ──▶ routes::to_kafka ──▶ kafka::producer ──▶ data topics + positions
//!  OAuth, REST ◀── salesforce::{auth,rest}   decode · plan · key      one transaction     dead letters, gaps
//!                        ▲ runtime (supervise, retry, shut down) · telemetry · admin (HTTP)
//! ```
//!
//! Imports go one way: `cli → app → {admin, routes} → {salesforce, kafka, contracts} → avro → {runtime, telemetry,
//! config, error}`. `salesforce` and `kafka` never import each other; `simulator` imports the generated
//! protocol types alone, so that client and simulator check each other. `tests/it/tidy.rs` holds this.

pub mod admin;
pub mod app;
pub mod avro;
pub mod cli;
pub mod config;
pub mod contracts;
pub mod error;
pub mod kafka;
pub mod routes;
pub mod runtime;
pub mod salesforce;
pub mod simulator;
pub mod telemetry;

/// The Pub/Sub API's messages and services, generated from `proto/pubsub_api.proto`.
#[allow(unreachable_pub, clippy::all, reason = "generated")]
pub mod proto {
    tonic::include_proto!("eventbus.v1");
}
