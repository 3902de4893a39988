//! Contracts: the schemas that readers of a topic rely on. Knows Avro schemas and the schema registry; nothing
//! of Salesforce's API and nothing of Kafka's.
//!
//! ```text
//!  Salesforce's schema ──▶ derivation ──▶ followed contract ─┐
//!  the team's own schema file ──────────▶ pinned contract ───┴─▶ registry: an id for the readers
//! ```
