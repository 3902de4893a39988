//! REST as far as the bridge uses it: the versions on offer, the org's limits, describe and query.
//!
//! Every request but the one for the versions passes [`gate`]: it counts, meets the faults that wait for it, checks
//! the token and the length of the URI, and tells the day's usage in `Sforce-Limit-Info`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::simulator::control::Control;
use crate::simulator::org::records::{Record, id18};
use crate::simulator::org::sobject::{Column, SObject};
use crate::simulator::org::{Org, describe, soql};
use crate::simulator::rest::RestRefusal;
use crate::simulator::server::connection::Cut;
use crate::simulator::writes::RecordError;

use super::{Shared, bulk, collections, sobjects};

/// URI and headers together may not be longer: Salesforce's documented limit.
const HEAD_BYTES_MAX: usize = 16_384;
/// What one upload to Bulk API 2.0 may hold at most.
const BODY_BYTES_MAX: usize = 150 * 1_024 * 1_024;
/// Queries whose further pages a user may still ask for; Salesforce forgets the oldest beyond ten.
const CURSORS_MAX: usize = 10;

/// The pages that queries have left, by locator.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<Vec<(String, Arc<Vec<Value>>)>>);

/// The resources below `/services/data/{version}`.
pub(super) fn router(control: Arc<Control>) -> Router<Arc<Control>> {
    Router::new()
        .route("/limits", get(limits))
        .route("/sobjects", get(sobjects::all))
        .route("/sobjects/{object}", get(sobjects::about).post(sobjects::create))
        // With a slash at the end: clients that others wrote ask so.
        .route("/sobjects/{object}/", get(sobjects::about).post(sobjects::create))
        .route("/sobjects/{object}/describe", get(describe))
        .route("/sobjects/{object}/describe/", get(describe))
        .route(
            "/sobjects/{object}/{id}",
            get(sobjects::read)
                .patch(sobjects::update)
                .delete(sobjects::delete),
        )
        .route(
            "/sobjects/{object}/{field}/{value}",
            get(sobjects::read_by_key)
                .patch(sobjects::upsert)
                .delete(sobjects::delete_by_key),
        )
        .route(
            "/composite/sobjects",
            post(collections::insert)
                .patch(collections::update)
                .delete(collections::delete),
        )
        .route(
            "/composite/sobjects/{object}/{field}",
            axum::routing::patch(collections::upsert),
        )
        .merge(bulk::router())
        .route("/query", get(query))
        .route("/query/", get(query))
        .route("/query/{locator}", get(more))
        .fallback(async || RestRefusal::not_found())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(control, gate))
}

impl RestRefusal {
    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub(super) fn unsupported(object: &str) -> Self {
        let message = format!("sObject type '{object}' is not supported.");
        Self::new(400, "INVALID_TYPE", &message)
    }

    fn malformed(rule: &str) -> Self {
        Self::new(400, "MALFORMED_QUERY", rule)
    }
}

impl From<RecordError> for RestRefusal {
    fn from(error: RecordError) -> Self {
        let status = match error.status_code.as_str() {
            "NOT_FOUND" | "ENTITY_IS_DELETED" | "INVALID_CROSS_REFERENCE_KEY" => 404,
            "REQUEST_LIMIT_EXCEEDED" => 403,
            _ => 400,
        };
        Self {
            fields: error.fields,
            ..Self::new(status, &error.status_code, &error.message)
        }
    }
}

impl IntoResponse for RestRefusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

pub(super) type Answer = Result<Json<Value>, RestRefusal>;

/// The refusal of a request that bears no good token.
pub(super) fn refusal(org: &Org, headers: &HeaderMap) -> Option<Response> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| org.tokens.is_good(token, org.clock.now_ms())) {
        return None;
    }
    Some(RestRefusal::new(401, "INVALID_SESSION_ID", "Session expired or invalid").into_response())
}

/// As Salesforce does, it carries out what it has read, whether or not the caller is still there.
async fn gate(State(simulator): Shared, request: Request, next: Next) -> Response {
    let (answer, answered) = oneshot::channel();
    crate::simulator::spawn(async move {
        // A caller that went away does not need it.
        let _ = answer.send(carry_out(&simulator, request, next).await);
    });
    answered
        .await
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn carry_out(simulator: &Control, request: Request, next: Next) -> Response {
    let org = simulator.org();
    org.counters.rest_requests.add(1);
    // The nested router sees what is behind the version.
    let fault = org
        .rest_faults
        .take(request.method().as_str(), request.uri().path());
    let fault = fault.unwrap_or_default();
    let connection = request.extensions().get::<ConnectInfo<Cut>>().cloned();
    let cut = || {
        connection
            .iter()
            .for_each(|ConnectInfo(Cut(connection))| connection.cancel());
        // Nobody hears it.
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    };
    org.rest_faults.delay(fault.delay_ms).await;
    match &fault.refusal {
        _ if fault.cut => return cut(),
        Some(refusal) if !fault.lose_answer => return refusal.clone().into_response(),
        _ => {}
    }
    let header_bytes: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let uri_bytes = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri_bytes + header_bytes > HEAD_BYTES_MAX {
        return StatusCode::URI_TOO_LONG.into_response();
    }
    if let Some(refused) = refusal(org, request.headers()) {
        return refused;
    }
    let mut response = if org.daily_requests.take(org.clock.now_ms()) {
        next.run(request).await
    } else {
        RestRefusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").into_response()
    };
    tokio::time::sleep(Duration::from_millis(fault.answer_delay_ms)).await;
    if fault.lose_answer {
        return fault.refusal.map_or_else(cut, IntoResponse::into_response);
    }
    let (used, max) = org.daily_requests.level();
    let usage = format!("api-usage={used}/{max}");
    if let Ok(usage) = HeaderValue::try_from(usage) {
        response.headers_mut().insert("sforce-limit-info", usage);
    }
    response
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

async fn limits(State(simulator): Shared) -> Response {
    let org = simulator.org();
    Json(json!({
        "DailyApiRequests": org.daily_requests.shown(),
        "DailyDeliveredPlatformEvents": org.daily_deliveries.shown(),
        "HourlyPublishedPlatformEvents": org.hourly_publishes.shown(),
        "DailyBulkApiBatches": org.daily_batches.shown(),
    }))
    .into_response()
}

async fn describe(State(simulator): Shared, Path((version, object)): Path<(String, String)>) -> Answer {
    let org = simulator.org();
    org.counters.describe_calls.add(1);
    let object = org.sobject(&object).ok_or_else(RestRefusal::not_found)?;
    Ok(Json(describe::object(&object, &url_of(&version, &object.name))))
}

async fn query(
    State(simulator): Shared,
    Path(version): Path<String>,
    Query(parameters): Query<HashMap<String, String>>,
) -> Answer {
    let org = simulator.org();
    org.counters.query_calls.add(1);
    let text = parameters.get("q").map_or("", String::as_str);
    let rows = rows(org, &version, text)?;
    let locator = format!("01g{}", uuid::Uuid::new_v4().simple());
    let rows = Arc::new(rows);
    let page = page(org, &version, &locator, &rows, 0);
    if rows.len() > org.settings.query_page_rows {
        let mut cursors = org.cursors.0.lock();
        if cursors.len() >= CURSORS_MAX {
            cursors.remove(0);
        }
        cursors.push((locator, rows));
    }
    Ok(Json(page))
}

/// A further page: `/query/01g…-2000`.
async fn more(State(simulator): Shared, Path((version, locator)): Path<(String, String)>) -> Answer {
    let org = simulator.org();
    org.counters.query_calls.add(1);
    let invalid = || RestRefusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let (locator, start) = locator.rsplit_once('-').ok_or_else(invalid)?;
    let start: usize = start.parse().map_err(|_| invalid())?;
    let rows = {
        let cursors = org.cursors.0.lock();
        let found = cursors.iter().find(|(open, _)| open == locator);
        found.map(|(_, rows)| rows.clone()).ok_or_else(invalid)?
    };
    Ok(Json(page(org, &version, locator, &rows, start)))
}

fn page(org: &Org, version: &str, locator: &str, rows: &[Value], start: usize) -> Value {
    let end = start.saturating_add(org.settings.query_page_rows).min(rows.len());
    let records = rows.get(start..end).unwrap_or_default();
    let mut page = json!({"totalSize": rows.len(), "done": end == rows.len(), "records": records});
    if end < rows.len() {
        page["nextRecordsUrl"] = json!(format!("/services/data/{version}/query/{locator}-{end}"));
    }
    page
}

fn rows(org: &Org, version: &str, text: &str) -> Result<Vec<Value>, RestRefusal> {
    let query = soql::parse(text).map_err(|rule| RestRefusal::malformed(&rule))?;
    let unsupported = || RestRefusal::unsupported(&query.object);
    let object = org.sobject(&query.object).ok_or_else(unsupported)?;
    let columns = query.fields.iter().map(|name| column(&object, name));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let url = url_of(version, &object.name);
    let limit = query.limit.unwrap_or(usize::MAX);
    let records = org.records.lock();
    let found: Vec<(&str, &Record)> = match &query.filter {
        None => records.all(&object.name).collect(),
        Some(filter) if filter.field.eq_ignore_ascii_case("Id") => {
            let ids = wanted(&filter.values)?;
            let ids = ids.iter();
            ids.filter_map(|id| records.get_with_id(&object.name, id))
                .collect()
        }
        Some(filter) => {
            let key = column(&object, &filter.field)?;
            let has = |(id, record): &(&str, &Record)| {
                let value = key.value(id, record);
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let same = |wanted: &String| {
                    text == *wanted
                        || (!key.rules.case_sensitive && text.to_lowercase() == wanted.to_lowercase())
                };
                filter.values.iter().any(same)
            };
            if key.rules.external_id || key.rules.unique {
                let ids = filter.values.iter().flat_map(|value| {
                    let value = if key.is_number() {
                        number(value)
                    } else {
                        json!(value)
                    };
                    records
                        .find(&object.name, &key.name, &value)
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                });
                let ids: BTreeSet<_> = ids.collect();
                let rows = ids.iter().filter_map(|id| records.get_with_id(&object.name, id));
                rows.filter(|row| key.is_number() || has(row)).collect()
            } else {
                records.all(&object.name).filter(has).collect()
            }
        }
    };
    let found = found.into_iter().take(limit);
    Ok(found
        .map(|(id, record)| object.row(&columns, &url, id, record))
        .collect())
}

fn number(text: &str) -> Value {
    text.parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// In the order of the ids, each once, whatever the order in which they were asked for.
fn wanted(ids: &[String]) -> Result<BTreeSet<String>, RestRefusal> {
    let id = |id: &String| {
        let invalid = || {
            let message = format!("invalid ID field: {id}");
            RestRefusal::new(400, "INVALID_QUERY_FILTER_OPERATOR", &message)
        };
        id18(id).ok_or_else(invalid)
    };
    ids.iter().map(id).collect()
}

fn column<'o>(object: &'o SObject, name: &str) -> Result<&'o Column, RestRefusal> {
    object.column(name).ok_or_else(|| {
        // Salesforce quotes the query before this sentence, and gives no `fields`.
        let message = format!(
            "\nSELECT {name} FROM {}\n       ^\nERROR at Row:1:Column:8\nNo such column '{name}' on entity '{}'.",
            object.name, object.name
        );
        RestRefusal::new(400, "INVALID_FIELD", &message)
    })
}

pub(super) fn url_of(version: &str, object: &str) -> String {
    format!("/services/data/{version}/sobjects/{object}")
}
