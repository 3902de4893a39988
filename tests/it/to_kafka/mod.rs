//! Salesforce → Kafka, end to end: the real program between the simulator and a real broker.

mod delivery;
mod exactly_once;
mod oracle;
mod removed_route;
mod transactions;
