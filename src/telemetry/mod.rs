//! What the outside sees of the program: metrics, logs and traces. Never a payload, a token or a field value.

pub mod latency;
pub mod logging;
pub mod metrics;
pub mod traces;
pub mod trend;
