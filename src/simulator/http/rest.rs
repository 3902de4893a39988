//! REST as far as this release of the bridge uses it: the versions on offer, and the org's limits.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::simulator::org::Org;

use super::Shared;

/// The refusal of a request that bears no good token.
pub(super) fn refusal(org: &Org, headers: &HeaderMap) -> Option<Response> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| org.tokens.is_good(token, org.clock.now_ms())) {
        return None;
    }
    let body = json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]);
    Some((StatusCode::UNAUTHORIZED, Json(body)).into_response())
}

pub(super) async fn versions() -> Response {
    let version = |label: &str, number: &str| json!({"label": label, "url": format!("/services/data/v{number}"), "version": number});
    Json(json!([
        version("Winter '26", "65.0"),
        version("Spring '26", "66.0"),
        version("Summer '26", "67.0")
    ]))
    .into_response()
}

pub(super) async fn limits(State(simulator): Shared, headers: HeaderMap) -> Response {
    let org = simulator.org();
    if let Some(refused) = refusal(org, &headers) {
        return refused;
    }
    let delivered: u64 = org
        .topics()
        .iter()
        .map(|topic| topic.counters.events_delivered.get())
        .sum();
    let published: u64 = org
        .topics()
        .iter()
        .map(|topic| topic.counters.events_published.get())
        .sum();
    // Of a Developer Edition org with the high-volume add-on; requests are not counted here.
    let of = |max: u64, used: u64| json!({"Max": max, "Remaining": max.saturating_sub(used)});
    let body = json!({
        "DailyApiRequests": of(15_000, 0),
        "DailyDeliveredPlatformEvents": of(100_000_000, delivered),
        "HourlyPublishedPlatformEvents": of(250_000, published),
        "DailyBulkApiBatches": of(15_000, 0),
    });
    (
        StatusCode::OK,
        [("Sforce-Limit-Info", "api-usage=1/15000")],
        Json(body),
    )
        .into_response()
}
