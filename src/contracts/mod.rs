//! Contracts: the schemas that readers of a topic rely on. Knows Avro schemas and the schema registry; nothing
//! of Salesforce's API and nothing of Kafka's.
//!
//! ```text
//!  Salesforce's schema ──▶ derive ──▶ followed contract ─┐
//!  the team's own schema file ──────▶ pinned contract ───┴─▶ registry: an id for the readers
//!                                       └─▶ projection: each event onto it
//!  written (an output and its contract) ──▶ check · difference ──▶ report
//!                                       └─▶ asyncapi · odcs · json_schema: documents for the readers
//! ```

pub mod asyncapi;
pub mod check;
pub mod check_registry;
pub mod compatibility;
pub mod derive;
pub mod difference;
pub mod first;
pub mod json_schema;
pub mod odcs;
pub mod pinned;
pub mod projection;
pub mod publish;
pub mod registry;
pub mod report;
pub mod written;

pub use registry::{Registry, RegistryClient};
