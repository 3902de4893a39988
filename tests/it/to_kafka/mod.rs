//! Salesforce → Kafka, end to end: the real program between the simulator and a real broker.

mod back_pressure;
mod delivery;
mod oracle;
mod quiet;
mod removed_route;
mod shutdown;
