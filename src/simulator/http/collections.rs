//! sObject Collections: up to 200 records a request, a result for each in their order. A request that is not well
//! formed is refused whole with 400; everything else is answered with 200, whatever became of the records.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::simulator::org::Org;
use crate::simulator::org::records::id18;
use crate::simulator::org::row::{Row, Verb};
use crate::simulator::org::sobject::SObject;
use crate::simulator::org::write::{Batch, Outcome};
use crate::simulator::rest::RestRefusal;
use crate::simulator::writes::RecordError;

use super::Shared;
use super::origin::{client, origin};
use super::rest::Answer;

const RECORDS_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    all_or_none: bool,
    records: Vec<Map<String, Value>>,
}

pub(super) async fn insert(
    State(simulator): Shared,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let org = simulator.org();
    save(org, &version, &headers, &body, Verb::Insert, None)
}

pub(super) async fn update(
    State(simulator): Shared,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let org = simulator.org();
    save(org, &version, &headers, &body, Verb::Update, None)
}

pub(super) async fn upsert(
    State(simulator): Shared,
    Path((version, object, field)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let org = simulator.org();
    let object = org.sobject(&object).ok_or_else(RestRefusal::not_found)?;
    let verb = Verb::Upsert {
        key: key_of(&object, &field)?,
        update_only: false,
    };
    save(org, &version, &headers, &body, verb, Some(Arc::new(object)))
}

/// The name of a field that records may be found by.
pub(super) fn key_of(object: &SObject, field: &str) -> Result<String, RestRefusal> {
    let column = object.column(field);
    match column.filter(|column| column.rules.external_id || column.name == "Id") {
        Some(column) => Ok(column.name.clone()),
        None => {
            let message = format!("Provided external ID field does not exist or is not accessible: {field}");
            Err(RestRefusal::new(404, "NOT_FOUND", &message))
        }
    }
}

fn save(
    org: &Org,
    version: &str,
    headers: &HeaderMap,
    body: &Bytes,
    verb: Verb,
    only: Option<Arc<SObject>>,
) -> Answer {
    let unreadable =
        |error: serde_json::Error| RestRefusal::new(400, "JSON_PARSER_ERROR", &error.to_string());
    let body: Body = serde_json::from_slice(body).map_err(unreadable)?;
    check_count(body.records.len())?;
    let mut known: HashMap<String, Arc<SObject>> = HashMap::new();
    let mut rows = Vec::with_capacity(body.records.len());
    for fields in body.records {
        let attributes = fields
            .get("attributes")
            .and_then(|attributes| attributes.get("type"));
        let Some(name) = attributes.and_then(Value::as_str) else {
            let message = "The record's attributes name no type.";
            return Err(RestRefusal::new(400, "INVALID_TYPE", message));
        };
        let object = match (&only, known.get(name)) {
            (Some(only), _) if only.name.eq_ignore_ascii_case(name) => only.clone(),
            (Some(_), _) => return Err(RestRefusal::unsupported(name)),
            (None, Some(known)) => known.clone(),
            (None, None) => {
                let object = org.sobject(name).ok_or_else(|| RestRefusal::unsupported(name))?;
                known.entry(name.to_owned()).or_insert(Arc::new(object)).clone()
            }
        };
        rows.push(Ok(Row { object, fields }));
    }
    write(org, version, headers, verb, rows, body.all_or_none)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deletion {
    ids: String,
    #[serde(default)]
    all_or_none: bool,
}

pub(super) async fn delete(
    State(simulator): Shared,
    Path(version): Path<String>,
    Query(deletion): Query<Deletion>,
    headers: HeaderMap,
) -> Answer {
    let org = simulator.org();
    let ids: Vec<_> = deletion.ids.split(',').map(str::trim).collect();
    check_count(ids.len())?;
    let row = |id: &&str| {
        let id = id18(id).ok_or_else(|| RecordError::new("MALFORMED_ID", &format!("malformed id {id}")))?;
        let unknown = || RecordError::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id");
        let object = Arc::new(org.object_of(&id).ok_or_else(unknown)?);
        let fields = Map::from_iter([("Id".to_owned(), json!(id))]);
        Ok(Row { object, fields })
    };
    let rows = ids.iter().map(row).collect();
    write(org, &version, &headers, Verb::Delete, rows, deletion.all_or_none)
}

fn check_count(records: usize) -> Result<(), RestRefusal> {
    if records <= RECORDS_MAX {
        return Ok(());
    }
    let message =
        format!("record limit reached. cannot submit more than {RECORDS_MAX} records into this call");
    Err(RestRefusal::new(400, "EXCEEDED_ID_LIMIT", &message))
}

fn write(
    org: &Org,
    version: &str,
    headers: &HeaderMap,
    verb: Verb,
    rows: Vec<Result<Row, RecordError>>,
    all_or_none: bool,
) -> Answer {
    org.counters.collections_calls.add(1);
    let named = org.writes.rules.lock().collections_name_the_client;
    let says_created = matches!(verb, Verb::Upsert { .. });
    let batch = Batch {
        verb,
        rows,
        all_or_none,
        origin: origin("rest", version, client(headers).filter(|_| named)),
        misfits_cost_one_record: false,
    };
    let outcomes = org.write(&batch)?;
    let saved = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    org.counters.records_saved.add(saved as u64);
    let results: Vec<_> = outcomes
        .iter()
        .map(|outcome| result(outcome, says_created))
        .collect();
    Ok(Json(Value::Array(results)))
}

fn result(outcome: &Outcome, says_created: bool) -> Value {
    match outcome {
        Ok(saved) if says_created => {
            json!({"id": saved.id, "success": true, "errors": [], "created": saved.created})
        }
        Ok(saved) => json!({"id": saved.id, "success": true, "errors": []}),
        Err(error) => json!({"success": false, "errors": [error]}),
    }
}
