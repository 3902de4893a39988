//! `/live` and `/ready`. Ready is honest: a route that is halted, or whose other side has been silent for too
//! long, makes it fail, however healthy the process is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::AdminState;
use crate::routes::state::{RouteStatus, StateName};
use crate::runtime::clock;

pub(super) async fn live() -> &'static str {
    "live\n"
}

#[derive(Debug, Serialize)]
pub(super) struct Ready {
    ready: bool,
    /// Why not, a line a route; empty with a token, because this path is open to everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

pub(super) async fn ready(State(state): State<AdminState>) -> (StatusCode, Json<Ready>) {
    let now = clock::now_ms();
    let silence_max_ms = i64::try_from(state.silence_max.as_millis()).unwrap_or(i64::MAX);
    let mut reasons: Vec<String> = state
        .routes
        .iter()
        .filter_map(|route| unready(route, now, silence_max_ms))
        .collect();
    reasons.extend(state.unknown_routes.lock().iter().map(|route| {
        format!("route {route} was assigned to this instance, whose configuration does not have it: give every instance the same configuration, or, if it was taken out for good, POST /api/routes/{route}/forget")
    }));
    let ready = reasons.is_empty();
    if state.token.is_some() {
        reasons.clear();
    }
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Ready { ready, reasons }))
}

/// Why this route makes the process unready, if it does.
fn unready(route: &RouteStatus, now_ms: i64, silence_max_ms: i64) -> Option<String> {
    let state = route.state();
    match state.name {
        StateName::Halted => {
            let why = state.why.unwrap_or_default();
            let remedy = state
                .remedy
                .map(|remedy| format!("; {remedy}"))
                .unwrap_or_default();
            Some(format!("route {} is halted: {why}{remedy}", route.name))
        }
        StateName::Paused => None,
        _ if route.runs_elsewhere() => None,
        _ => {
            let silent_ms = now_ms - route.last_answer_ms();
            (silent_ms > silence_max_ms).then(|| {
                let why = state.why.map(|why| format!(" ({why})")).unwrap_or_default();
                format!(
                    "route {} has had no answer for {} s, {}{why}",
                    route.name,
                    silent_ms / 1000,
                    state.name.as_str()
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const TEN_MINUTES: i64 = 600_000;

    #[test]
    fn silence_of_a_route_that_should_run_is_named() {
        let route = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        route.assigned_here();
        route.streaming();
        let now = route.last_answer_ms();
        assert_eq!(unready(&route, now + TEN_MINUTES, TEN_MINUTES), None);
        let reason = unready(&route, now + TEN_MINUTES + 1000, TEN_MINUTES).unwrap();
        assert!(
            reason.contains("accounts") && reason.contains("601 s"),
            "{reason}"
        );
    }

    #[test]
    fn a_route_that_the_group_never_assigned_is_named_too() {
        let route = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        let reason = unready(&route, route.last_answer_ms() + TEN_MINUTES + 1, TEN_MINUTES).unwrap();
        assert!(
            reason.contains("accounts") && reason.contains("assign"),
            "{reason}"
        );
    }

    #[test]
    fn a_halted_route_is_named_with_its_remedy() {
        let route = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        route.assigned_here();
        route.halted("no permission", Some("grant it"));
        assert_eq!(
            unready(&route, 0, TEN_MINUTES).unwrap(),
            "route accounts is halted: no permission; grant it"
        );
    }

    #[test]
    fn a_paused_route_and_one_that_runs_elsewhere_are_as_they_should_be() {
        let paused = RouteStatus::new("a", "to_kafka", Metrics::new());
        paused.assigned_here();
        paused.paused();
        let elsewhere = RouteStatus::new("b", "to_kafka", Metrics::new());
        elsewhere.assigned_elsewhere();
        assert_eq!(unready(&paused, i64::MAX / 2, TEN_MINUTES), None);
        assert_eq!(unready(&elsewhere, i64::MAX / 2, TEN_MINUTES), None);
    }
}
