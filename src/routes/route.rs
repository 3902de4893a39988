//! What a route is given, and how it ends, whichever way it goes.

use std::sync::Arc;

use crate::config::SubjectNaming;
use crate::contracts::registry::Registry;
use crate::kafka::{Connection, PositionStore, Topics};
use crate::routes::loop_guard::OwnWrites;
use crate::salesforce::Salesforce;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// What all routes of a bridge share.
#[derive(Debug, Clone)]
pub struct Shared {
    pub bridge: Arc<str>,
    pub connection: Connection,
    pub topics: Topics,
    pub positions: Arc<PositionStore>,
    pub salesforce: Salesforce,
    /// What the bridge's routes write to Salesforce.
    pub own_writes: OwnWrites,
    /// Where one is configured.
    pub registry: Option<Registry>,
    /// How subjects are named there.
    pub naming: SubjectNaming,
    pub metrics: Metrics,
    pub traces: Traces,
}

/// How a route ended.
#[derive(Debug)]
pub enum RouteEnd {
    /// It was asked to stop, and did so with nothing open.
    Stopped,
    /// A person must act.
    Halted,
}
