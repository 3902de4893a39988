//! What the outside sees of the program: metrics and logs. Never a payload, a token or a field value.

pub mod latency;
pub mod logging;
pub mod metrics;
pub mod trend;
