//! Bulk API 2.0, ingest: create a job, upload CSV, close it, ask how it goes, read the results.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::control::Control;
use crate::simulator::org::jobs::{Job, JobOrder, JobRefusal, run_job};
use crate::simulator::org::row::Verb;
use crate::simulator::org::sheet::{Dialect, Results};
use crate::simulator::org::sobject;
use crate::simulator::rest::RestRefusal;

use super::Shared;
use super::collections::key_of;
use super::origin::{client, origin};
use super::rest::Answer;

pub(super) fn router() -> Router<Arc<Control>> {
    let mut router = Router::new()
        .route("/jobs/ingest", get(all).post(create))
        .route("/jobs/ingest/", get(all).post(create))
        .route("/jobs/ingest/{id}", get(read).patch(change).delete(delete))
        .route("/jobs/ingest/{id}/", get(read).patch(change).delete(delete))
        .route("/jobs/ingest/{id}/batches", put(upload))
        .route("/jobs/ingest/{id}/batches/", put(upload));
    // With and without a slash at the end: the documents have both, and so have clients.
    for (name, which) in [
        ("successfulResults", Results::Successful),
        ("failedResults", Results::Failed),
        ("unprocessedrecords", Results::Unprocessed),
        // The documents' is the name above; PyPI's simple-salesforce asks so.
        ("unprocessedRecords", Results::Unprocessed),
    ] {
        let answer = move |state, path| results(state, path, which);
        router = router
            .route(&format!("/jobs/ingest/{{id}}/{name}"), get(answer))
            .route(&format!("/jobs/ingest/{{id}}/{name}/"), get(answer));
    }
    router
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    object: String,
    operation: String,
    external_id_field_name: Option<String>,
    #[serde(default = "csv")]
    content_type: String,
    #[serde(default = "comma")]
    column_delimiter: String,
    #[serde(default = "lf")]
    line_ending: String,
}

fn csv() -> String {
    "CSV".to_owned()
}

fn comma() -> String {
    "COMMA".to_owned()
}

fn lf() -> String {
    "LF".to_owned()
}

fn invalid(rule: &str) -> RestRefusal {
    RestRefusal::new(400, "INVALIDJOB", &format!("InvalidJob : {rule}"))
}

fn unreadable(error: &serde_json::Error) -> RestRefusal {
    RestRefusal::new(400, "JSON_PARSER_ERROR", &error.to_string())
}

async fn create(
    State(simulator): Shared,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let org = simulator.org();
    let order: Order = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
    let unknown = || {
        let message = format!(
            "InvalidEntity : Entity '{}' is not supported by the Bulk API.",
            order.object
        );
        RestRefusal::new(400, "INVALIDENTITY", &message)
    };
    let object = org.sobject(&order.object).ok_or_else(unknown)?;
    let verb = match (order.operation.as_str(), &order.external_id_field_name) {
        ("insert", _) => Verb::Insert,
        ("update", _) => Verb::Update,
        ("delete", _) => Verb::Delete,
        ("upsert", Some(field)) => Verb::Upsert {
            key: key_of(&object, field).map_err(|_| {
                invalid(&format!(
                    "Field name provided, {field} does not match an External ID for {}",
                    object.name
                ))
            })?,
            update_only: false,
        },
        ("upsert", None) => return Err(invalid("External ID was blank for upsert")),
        ("hardDelete", _) => {
            let message = "FeatureNotEnabled : hardDelete is not enabled for this user";
            return Err(RestRefusal::new(400, "FEATURENOTENABLED", message));
        }
        (other, _) => return Err(invalid(&format!("{other} is no operation"))),
    };
    let dialect = Dialect::named(&order.column_delimiter, &order.line_ending)
        .filter(|_| order.content_type == "CSV")
        .ok_or_else(|| invalid("the content type, delimiter or line ending is none of the API's"))?;
    let order = JobOrder {
        object: Arc::new(object),
        operation: order.operation,
        verb,
        dialect,
        origin: origin("bulkapi", &version, client(&headers)),
    };
    org.counters.bulk_jobs.add(1);
    let job = org
        .jobs
        .create(org.new_record_id("750"), order, org.clock.now_ms());
    Ok(Json(shown(&version, &job)))
}

async fn all(State(simulator): Shared, Path(version): Path<String>) -> Answer {
    let jobs = simulator.org().jobs.all();
    let records: Vec<_> = jobs.iter().map(|job| shown(&version, job)).collect();
    Ok(Json(
        json!({"done": true, "records": records, "nextRecordsUrl": null}),
    ))
}

async fn upload(
    State(simulator): Shared,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, RestRefusal> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|content_type| content_type.starts_with("text/csv")) {
        return Err(RestRefusal::new(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Content-Type must be text/csv",
        ));
    }
    known(simulator.org().jobs.upload(&id, &body))?;
    Ok(StatusCode::CREATED)
}

#[derive(Debug, Deserialize)]
struct Change {
    state: String,
}

async fn change(
    State(simulator): Shared,
    Path((version, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let org = simulator.org();
    let change: Change = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
    let job = match change.state.as_str() {
        "UploadComplete" => {
            let job = known(org.close_job(&id))?;
            crate::simulator::spawn(run_job(org.clone(), id));
            job
        }
        "Aborted" => known(org.jobs.abort(&id, org.clock.now_ms()))?,
        other => return Err(invalid(&format!("a job cannot be made {other}"))),
    };
    Ok(Json(shown(&version, &job)))
}

async fn read(State(simulator): Shared, Path((version, id)): Path<(String, String)>) -> Answer {
    let job = simulator.org().jobs.get(&id).ok_or_else(RestRefusal::not_found)?;
    let mut body = shown(&version, &job);
    let took_ms = job.changed_at_ms - job.created_at_ms;
    body["numberRecordsProcessed"] = json!(job.processed());
    body["numberRecordsFailed"] = json!(job.failed());
    body["retries"] = json!(0);
    for name in ["totalProcessingTime", "apiActiveProcessingTime"] {
        body[name] = json!(took_ms);
    }
    body["apexProcessingTime"] = json!(0);
    if let Some(message) = job.error_message.filter(|_| job.state.is_final()) {
        body["errorMessage"] = json!(message);
    }
    Ok(Json(body))
}

async fn delete(
    State(simulator): Shared,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, RestRefusal> {
    known(simulator.org().jobs.delete(&id))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn results(
    State(simulator): Shared,
    Path((_, id)): Path<(String, String)>,
    which: Results,
) -> Result<Response, RestRefusal> {
    let job = simulator.org().jobs.get(&id).ok_or_else(RestRefusal::not_found)?;
    Ok(([(header::CONTENT_TYPE, "text/csv")], job.results(which)).into_response())
}

/// What a job answered; `None` stands for one that is not there.
fn known<T>(answer: Option<Result<T, JobRefusal>>) -> Result<T, RestRefusal> {
    let answer = answer.ok_or_else(RestRefusal::not_found)?;
    answer.map_err(|(code, message)| RestRefusal::new(400, code, &message))
}

fn shown(version: &str, job: &Job) -> Value {
    let order = &job.order;
    let delimiter = match order.dialect.delimiter {
        b';' => "SEMICOLON",
        b'|' => "PIPE",
        b'\t' => "TAB",
        b'^' => "CARET",
        b'`' => "BACKQUOTE",
        _ => "COMMA",
    };
    let number: f64 = version.trim_start_matches('v').parse().unwrap_or_default();
    let mut body = json!({
        "id": job.id,
        "operation": order.operation,
        "object": order.object.name,
        "createdDate": sobject::datetime(job.created_at_ms),
        "systemModstamp": sobject::datetime(job.changed_at_ms),
        "state": job.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": number,
        "contentUrl": format!("services/data/{version}/jobs/ingest/{}/batches", job.id),
        "lineEnding": if order.dialect.ends_in_crlf { "CRLF" } else { "LF" },
        "columnDelimiter": delimiter,
        "jobType": "V2Ingest",
    });
    if let Verb::Upsert { key, .. } = &order.verb {
        body["externalIdFieldName"] = json!(key);
    }
    body
}
