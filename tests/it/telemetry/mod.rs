//! What a running bridge tells of itself: its metrics and its traces.

mod collector;
mod metrics;
mod tls;
mod traces;
mod without_collector;
