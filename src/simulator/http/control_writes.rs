//! The control API over HTTP, as far as it is about writes: refusals, triggers, rules, limits, jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::simulator::bulk::{BulkFault, BulkRules};
use crate::simulator::control::Control;
use crate::simulator::org::fields::FieldRules;
use crate::simulator::writes::{RecordFault, Trigger, WriteRules};

use super::Shared;
use super::control::{Answer, done};

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/record-fault", post(record_fault))
        .route("/bulk-fault", post(bulk_fault))
        .route("/bulk-rules", post(bulk_rules))
        .route("/write-rules", post(write_rules))
        .route("/trigger", post(trigger))
        .route("/remove-triggers", post(remove_triggers))
        .route("/external-id", post(external_id))
        .route("/field-rules", post(field_rules))
        .route("/daily-requests", post(daily_requests))
        .route("/daily-batches", post(daily_batches))
        .route("/hourly-publishes", post(hourly_publishes))
        .route("/daily-deliveries", post(daily_deliveries))
        .route("/records", post(records))
}

async fn record_fault(State(control): Shared, Json(body): Json<RecordFault>) -> Answer {
    control.record_fault(body);
    done()
}

async fn bulk_fault(State(control): Shared, Json(body): Json<BulkFault>) -> Answer {
    control.bulk_fault(body);
    done()
}

async fn bulk_rules(State(control): Shared, Json(body): Json<BulkRules>) -> Answer {
    control.set_bulk_rules(body);
    done()
}

async fn write_rules(State(control): Shared, Json(body): Json<WriteRules>) -> Answer {
    control.set_write_rules(body);
    done()
}

async fn trigger(State(control): Shared, Json(body): Json<Trigger>) -> Answer {
    control.add_trigger(body)?;
    done()
}

async fn remove_triggers(State(control): Shared) -> Answer {
    control.remove_triggers();
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldBody {
    sobject: String,
    field: String,
    #[serde(default)]
    rules: FieldRules,
}

async fn external_id(State(control): Shared, Json(body): Json<FieldBody>) -> Answer {
    let schema_id = control.add_external_id(&body.sobject, &body.field, body.rules)?;
    Ok(Json(json!({"schema_id": schema_id})))
}

async fn field_rules(State(control): Shared, Json(body): Json<FieldBody>) -> Answer {
    control.set_field_rules(&body.sobject, &body.field, body.rules)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitBody {
    max: u64,
    #[serde(default)]
    used: u64,
}

async fn daily_requests(State(control): Shared, Json(body): Json<LimitBody>) -> Answer {
    control.set_daily_requests(body.max, body.used);
    done()
}

async fn daily_batches(State(control): Shared, Json(body): Json<LimitBody>) -> Answer {
    control.set_daily_batches(body.max, body.used);
    done()
}

async fn daily_deliveries(State(control): Shared, Json(body): Json<LimitBody>) -> Answer {
    control.set_daily_deliveries(body.max, body.used);
    done()
}

async fn hourly_publishes(State(control): Shared, Json(body): Json<LimitBody>) -> Answer {
    control.set_hourly_publishes(body.max, body.used);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectBody {
    sobject: String,
}

async fn records(State(control): Shared, Json(body): Json<ObjectBody>) -> Answer {
    let records = control.records(&body.sobject).into_iter();
    let records: Map<_, _> = records.map(|(id, fields)| (id, Value::Object(fields))).collect();
    Ok(Json(Value::Object(records)))
}
