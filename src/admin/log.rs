//! `/api/log`: how much the process logs, read and changed while it runs.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::telemetry::logging;

/// What a POST asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As `log.level` of the configuration.
    level: String,
}

pub(super) async fn show() -> Response {
    Json(json!({ "level": logging::level() })).into_response()
}

/// Takes any `Content-Type`: the guard has seen that no web page sends this.
pub(super) async fn change(body: Bytes) -> Response {
    let changed = serde_json::from_slice(&body)
        .map_err(|error| format!("the body is to be {{\"level\": \"…\"}}: {error}"))
        .and_then(|Wanted { level }| {
            logging::set_level(&level).map_err(|why| format!("level: {why}, got {level:?}"))
        });
    match changed {
        Ok(()) => show().await,
        Err(why) => (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response(),
    }
}
