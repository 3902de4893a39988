//! `/api/routes`: what flows, what is stuck, why, and what to do, as JSON.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::history::Pace;
use super::trends::{TrendOf, TrendView};
use super::{AdminState, CommandRequest, RouteAbout, RouteCommand};
use crate::config::Flow;
use crate::routes::activity::{DeadLetterView, DeliveryView, EventView, PayloadView};
use crate::routes::state::{
    ContractView, FreshReadView, PositionView, RETENTION_SECONDS, RouteState, RouteStatus,
};
use crate::routes::trouble::TroubleView;
use crate::runtime::clock;

#[derive(Debug, Serialize)]
struct RouteView {
    name: String,
    direction: &'static str,
    #[serde(flatten)]
    about: RouteAbout,
    state: RouteState,
    /// Whether this instance runs it.
    runs_here: bool,
    position: PositionView,
    /// RFC 3339: the last event or keep-alive from the other side.
    last_answer: String,
    events_received: u64,
    records_written: u64,
    filtered: u64,
    dead_letters: u64,
    gaps: u64,
    in_hand: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contracts: Vec<ContractView>,
    /// Objects of which changes are missing that Salesforce did not name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fresh_reads: Vec<FreshReadView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// RFC 3339: when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_since: Option<String>,
    #[serde(flatten)]
    pace: Pace,
    /// Records of the source that are not yet committed, for a route to Salesforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position_age_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_left_seconds: Option<f64>,
    /// What will be used up at this pace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trends: Vec<TrendView>,
}

/// A route alone says more of itself.
#[derive(Debug, Serialize)]
struct RouteDetail {
    #[serde(flatten)]
    route: RouteView,
    /// The last error, explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<TroubleView>,
    /// The states that it has entered lately, the latest first.
    states: Vec<RouteState>,
    /// The latest first.
    deliveries: Vec<DeliveryView>,
    /// The latest first.
    recent_events: Vec<EventView>,
    /// The latest first.
    recent_dead_letters: Vec<DeadLetterView>,
    /// Some of what came lately, the latest first: only with `admin.show_payloads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    payloads: Option<Vec<PayloadView>>,
}

fn view(state: &AdminState, at: usize, route: &RouteStatus) -> RouteView {
    let counters = &route.counters;
    let now_ms = clock::now_ms();
    let position_age_seconds = route.position_age_seconds(now_ms);
    let (last_error, last_error_since) = route.last_error().unzip();
    RouteView {
        name: route.name.to_string(),
        direction: route.direction,
        about: state.about.get(at).cloned().unwrap_or_default(),
        state: route.state(),
        runs_here: route.runs_here(),
        position: route.position(),
        last_answer: clock::rfc3339_ms(route.last_answer_ms()),
        events_received: counters.events_received.load(Ordering::Relaxed),
        records_written: counters.records_written.load(Ordering::Relaxed),
        filtered: counters.filtered.load(Ordering::Relaxed),
        dead_letters: counters.dead_letters.load(Ordering::Relaxed),
        gaps: counters.gaps.load(Ordering::Relaxed),
        in_hand: counters.in_hand.load(Ordering::Relaxed),
        contracts: route.contracts(),
        fresh_reads: route.fresh_reads(),
        last_error,
        last_error_since,
        pace: state.history.pace(at),
        lag: route.activity.lag(),
        position_age_seconds,
        retention_left_seconds: position_age_seconds.map(|age| RETENTION_SECONDS - age),
        trends: state.history.trends.route(at, now_ms).into_iter().collect(),
    }
}

pub(super) async fn list(State(state): State<AdminState>) -> Response {
    Json(overview(&state)).into_response()
}

/// Everything in short; what `/api/stream` sends again and again.
pub(super) fn overview(state: &AdminState) -> Value {
    let routes = state.routes.iter().enumerate();
    let routes: Vec<RouteView> = routes.map(|(at, route)| view(state, at, route)).collect();
    let unknown = state.unknown_routes.lock().clone();
    let mut body = json!({
        "bridge": &*state.bridge,
        "version": env!("CARGO_PKG_VERSION"),
        "now": clock::rfc3339_ms(clock::now_ms()),
        "routes": routes,
        "salesforce_limits": state.metrics.limits(),
        "trends": state.history.trends.org(clock::now_ms()),
    });
    if !unknown.is_empty() {
        body["assigned_but_unknown"] = json!(unknown);
    }
    body
}

fn find<'s>(state: &'s AdminState, name: &str) -> Option<(usize, &'s Arc<RouteStatus>)> {
    let mut routes = state.routes.iter().enumerate();
    routes.find(|(_, route)| *route.name == *name)
}

pub(super) async fn one(State(state): State<AdminState>, Path(name): Path<String>) -> Response {
    let Some((at, route)) = find(&state, &name) else {
        return unknown(&name);
    };
    let now_ms = clock::now_ms();
    let mut shown = view(&state, at, route);
    // Events are delivered to routes to Kafka alone; requests are made by both.
    let concerns =
        |trend: &TrendView| trend.what != TrendOf::DeliveryAllocation || route.direction == Flow::TO_KAFKA;
    shown
        .trends
        .extend(state.history.trends.org(now_ms).into_iter().filter(concerns));
    let detail = RouteDetail {
        route: shown,
        error: route.trouble(now_ms),
        states: route.activity.states(),
        deliveries: route.activity.deliveries(),
        recent_events: route.activity.events(),
        recent_dead_letters: route.activity.dead_letters(),
        payloads: route.activity.payloads(),
    };
    Json(detail).into_response()
}

pub(super) async fn command(
    State(state): State<AdminState>,
    Path((name, command)): Path<(String, String)>,
) -> Response {
    let known = find(&state, &name);
    let command = match (command.as_str(), known) {
        ("pause", Some(_)) => RouteCommand::Pause,
        ("resume", Some(_)) => RouteCommand::Resume,
        ("restart", Some(_)) => RouteCommand::Restart,
        ("forget", None) if state.unknown_routes.lock().contains(&name) => RouteCommand::Forget,
        ("forget", Some(_)) => {
            let text = format!("route {name} is configured here: take it out of the configuration first");
            return (StatusCode::CONFLICT, Json(json!({ "error": text }))).into_response();
        }
        ("pause" | "resume" | "restart" | "forget", None) => return unknown(&name),
        (other, _) => {
            let text = format!("no command {other:?}: pause, resume, restart or forget");
            return (StatusCode::NOT_FOUND, Json(json!({ "error": text }))).into_response();
        }
    };
    let (answer, answered) = oneshot::channel();
    let request = CommandRequest {
        route: name.as_str().into(),
        command,
        answer,
    };
    if state.commands.send(request).await.is_err() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "error": "the bridge is shutting down" })),
        )
            .into_response();
    }
    match answered.await {
        Ok(Ok(())) => {
            let now = known.map_or_else(
                || json!({ "name": name }),
                |(at, route)| json!(view(&state, at, route)),
            );
            (StatusCode::ACCEPTED, Json(now)).into_response()
        }
        Ok(Err(why)) => (StatusCode::CONFLICT, Json(json!({ "error": why }))).into_response(),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "error": "the bridge is shutting down" })),
        )
            .into_response(),
    }
}

fn unknown(name: &str) -> Response {
    let text = format!("no route {name:?}: GET /api/routes lists them");
    (StatusCode::NOT_FOUND, Json(json!({ "error": text }))).into_response()
}
