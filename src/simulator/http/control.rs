//! The control API over HTTP. Bodies are JSON; a refusal is status 400 with `{"error": …}`.
#![doc = include_str!("control.md")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::simulator::control::{Control, Refused};
use crate::simulator::faults::{Fault, StreamMode, Then};
use crate::simulator::oauth::TokenFault;
use crate::simulator::org::Ungrouped;
use crate::simulator::org::change::{Change, PlatformEvent, RawEvent};
use crate::simulator::org::prepared::TestEvents;
use crate::simulator::rest::RestFault;

use super::Shared;

/// The table of requests, for the command's help.
pub const HELP: &str = include_str!("control.md");

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/counts", get(counts))
        .route("/change", post(change))
        .route("/changes", post(changes))
        .route("/publish", post(publish))
        .route("/raw", post(raw))
        .route("/real-update", post(real_update))
        .route("/test-events", post(test_events))
        .route("/set-record", post(set_record))
        .route("/delete-record", post(delete_record))
        .route("/topic", post(topic))
        .route("/add-field", post(add_field))
        .route("/remove-field", post(remove_field))
        .route("/change-field", post(change_field))
        .route("/permission", post(permission))
        .route("/fault", post(fault))
        .route("/token-fault", post(token_fault))
        .route("/rest-fault", post(rest_fault))
        .route("/reject-events", post(reject_events))
        .route("/clear-faults", post(clear_faults))
        .route("/mode", post(mode))
        .route("/end-streams", post(end_streams))
        .route("/lose-positions", post(lose_positions))
        .route("/expire-tokens", post(expire_tokens))
        .route("/clock", post(clock))
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0}))).into_response()
    }
}

pub(super) type Answer = Result<Json<Value>, Refused>;

pub(super) fn done() -> Answer {
    Ok(Json(json!({})))
}

fn at(replay_id: impl AsRef<[u8]>) -> Answer {
    Ok(Json(json!({"replay_id": hex::encode(replay_id)})))
}

async fn counts(State(control): Shared) -> Answer {
    let mut topics = Map::new();
    for name in control.topic_names() {
        let counts = control.topic_counts(&name)?;
        topics.insert(name, json!(counts));
    }
    Ok(Json(json!({"org": control.org_counts(), "topics": topics})))
}

async fn change(State(control): Shared, Json(body): Json<Change>) -> Answer {
    at(control.change(&body)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    changes: Vec<Change>,
    #[serde(default)]
    ungrouped: Ungrouped,
}

async fn changes(State(control): Shared, Json(body): Json<Changes>) -> Answer {
    at(control.changes(&body.changes, body.ungrouped)?)
}

async fn publish(State(control): Shared, Json(body): Json<PlatformEvent>) -> Answer {
    at(control.publish(&body)?)
}

async fn raw(State(control): Shared, Json(body): Json<RawEvent>) -> Answer {
    at(control.emit_raw(body)?)
}

async fn real_update(State(control): Shared) -> Answer {
    at(control.emit_real_update()?)
}

async fn test_events(State(control): Shared, Json(body): Json<TestEvents>) -> Answer {
    let emitted = control.emit_test_events(&body)?;
    let replay_id = hex::encode(emitted.replay_id);
    Ok(Json(
        json!({"first": emitted.first, "count": emitted.count, "replay_id": replay_id}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordBody {
    sobject: String,
    id: String,
    #[serde(default)]
    fields: Map<String, Value>,
}

async fn set_record(State(control): Shared, Json(body): Json<RecordBody>) -> Answer {
    control.set_record(&body.sobject, &body.id, body.fields)?;
    done()
}

async fn delete_record(State(control): Shared, Json(body): Json<RecordBody>) -> Answer {
    control.delete_record(&body.sobject, &body.id)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicBody {
    topic: String,
    schema: Value,
}

async fn topic(State(control): Shared, Json(body): Json<TopicBody>) -> Answer {
    control.define_topic(&body.topic, &body.schema.to_string())?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldBody {
    topic: String,
    name: String,
    #[serde(rename = "type")]
    avro_type: String,
}

async fn add_field(State(control): Shared, Json(body): Json<FieldBody>) -> Answer {
    let schema_id = control.add_field(&body.topic, &body.name, &body.avro_type)?;
    Ok(Json(json!({"schema_id": schema_id})))
}

async fn change_field(State(control): Shared, Json(body): Json<FieldBody>) -> Answer {
    let schema_id = control.change_field(&body.topic, &body.name, &body.avro_type)?;
    Ok(Json(json!({"schema_id": schema_id})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldName {
    topic: String,
    name: String,
}

async fn remove_field(State(control): Shared, Json(body): Json<FieldName>) -> Answer {
    let schema_id = control.remove_field(&body.topic, &body.name)?;
    Ok(Json(json!({"schema_id": schema_id})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionBody {
    topic: String,
    permitted: Option<bool>,
    can_subscribe: Option<bool>,
}

async fn permission(State(control): Shared, Json(body): Json<PermissionBody>) -> Answer {
    if let Some(permitted) = body.permitted {
        control.set_permitted(&body.topic, permitted)?;
    }
    if let Some(can_subscribe) = body.can_subscribe {
        control.set_can_subscribe(&body.topic, can_subscribe)?;
    }
    done()
}

async fn fault(State(control): Shared, Json(body): Json<Fault>) -> Answer {
    control.fault(body)?;
    done()
}

async fn token_fault(State(control): Shared, Json(body): Json<TokenFault>) -> Answer {
    control.token_fault(body);
    done()
}

async fn rest_fault(State(control): Shared, Json(body): Json<RestFault>) -> Answer {
    control.rest_fault(body);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectBody {
    events: usize,
    message: String,
}

async fn reject_events(State(control): Shared, Json(body): Json<RejectBody>) -> Answer {
    control.reject_events(body.events, &body.message);
    done()
}

async fn clear_faults(State(control): Shared) -> Answer {
    control.clear_faults();
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeBody {
    topic: Option<String>,
    mode: StreamMode,
}

async fn mode(State(control): Shared, Json(body): Json<ModeBody>) -> Answer {
    control.set_mode(body.topic.as_deref(), body.mode)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndBody {
    topic: Option<String>,
    with: Then,
}

async fn end_streams(State(control): Shared, Json(body): Json<EndBody>) -> Answer {
    control.end_streams(body.topic.as_deref(), body.with)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoseBody {
    topic: Option<String>,
}

async fn lose_positions(State(control): Shared, Json(body): Json<LoseBody>) -> Answer {
    control.lose_positions(body.topic.as_deref())?;
    done()
}

async fn expire_tokens(State(control): Shared) -> Answer {
    control.expire_tokens();
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    offset_ms: i64,
}

async fn clock(State(control): Shared, Json(body): Json<ClockBody>) -> Answer {
    control.set_clock_offset_ms(body.offset_ms);
    done()
}
