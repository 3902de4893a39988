//! Salesforce → Kafka, end to end: the real program between the simulator and a real broker.

mod delivery;
mod removed_route;
