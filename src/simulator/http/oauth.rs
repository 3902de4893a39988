//! The token endpoint and `userinfo`. The decision is in `simulator::oauth`; here are forms and bodies.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json};
use serde_json::json;

use crate::simulator::oauth::{self, Refusal};

use super::{Shared, rest};

pub(super) async fn token(
    State(simulator): Shared,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let org = simulator.org();
    org.counters.token_requests.add(1);
    let (delay_ms, fault) = org.token_faults.take();
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    if let Some(fault) = fault {
        return refuse(&fault);
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if let Err(refusal) = oauth::decide(&org.settings, &form, host, org.clock.now_ms()) {
        return refuse(&refusal);
    }
    org.counters.tokens_issued.add(1);
    let now_ms = org.clock.now_ms();
    let instance_url = simulator.instance_url();
    let id = format!("{instance_url}/id/{}/{}", org.organization_id(), org.user_id());
    let mut body = json!({
        "access_token": simulator.issue_token(),
        "instance_url": instance_url,
        "id": id,
        "token_type": "Bearer",
        "scope": "api",
    });
    // The JWT flow's answers lack these two; none says when the token expires.
    if form
        .get("grant_type")
        .is_some_and(|grant| !grant.contains("jwt-bearer"))
    {
        body["issued_at"] = json!(now_ms.to_string());
        body["signature"] = json!("simulated");
    }
    Json(body).into_response()
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.http_status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({"error": refusal.error, "error_description": refusal.description});
    (status, Json(body)).into_response()
}

pub(super) async fn userinfo(State(simulator): Shared, headers: HeaderMap) -> Response {
    let org = simulator.org();
    org.counters.userinfo_calls.add(1);
    if let Some(refused) = rest::refusal(org, &headers) {
        return refused;
    }
    Json(json!({
        "sub": format!("{}/id/{}/{}", simulator.instance_url(), org.organization_id(), org.user_id()),
        "user_id": org.user_id(),
        "organization_id": org.organization_id(),
        "preferred_username": org.settings.username,
        "name": "Integration User",
    }))
    .into_response()
}
