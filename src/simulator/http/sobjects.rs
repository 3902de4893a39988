//! One record at a time: create, read, update, delete, by id or by an external id. Refusals are REST's own array.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::simulator::org::records::id18;
use crate::simulator::org::row::{Row, Verb};
use crate::simulator::org::sobject::{Column, SObject};
use crate::simulator::org::write::{Batch, Saved};
use crate::simulator::org::{Org, describe, values};
use crate::simulator::rest::RestRefusal;

use super::Shared;
use super::collections::key_of;
use super::origin::{client, origin};
use super::rest::{Answer, url_of};

type Done = Result<Response, RestRefusal>;

/// All objects.
pub(super) async fn all(State(simulator): Shared, Path(version): Path<String>) -> Answer {
    let objects = simulator.org().sobjects();
    let objects = objects
        .iter()
        .map(|object| describe::summary(object, &url_of(&version, &object.name)));
    Ok(Json(
        json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects.collect::<Vec<_>>()}),
    ))
}

/// One object, without its fields.
pub(super) async fn about(
    State(simulator): Shared,
    Path((version, object)): Path<(String, String)>,
) -> Answer {
    let object = object_of(simulator.org(), &object)?;
    let described = describe::summary(&object, &url_of(&version, &object.name));
    Ok(Json(json!({"objectDescribe": described, "recentItems": []})))
}

pub(super) async fn create(
    State(simulator): Shared,
    Path((version, object)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Done {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    let saved = save(org, &version, &headers, object, Verb::Insert, fields(&body)?)?;
    let body = json!({"id": saved.id, "success": true, "errors": []});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn read(
    State(simulator): Shared,
    Path((version, object, id)): Path<(String, String, String)>,
    Query(parameters): Query<HashMap<String, String>>,
) -> Answer {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    let id = id18(&id).ok_or_else(RestRefusal::not_found)?;
    record(org, &version, &object, &id, &parameters)
}

pub(super) async fn update(
    State(simulator): Shared,
    Path((version, object, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Done {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    let mut fields = fields(&body)?;
    if fields.keys().any(|name| name.eq_ignore_ascii_case("Id")) {
        return Err(key_in_body("Id"));
    }
    fields.insert("Id".into(), json!(id));
    save(org, &version, &headers, object, Verb::Update, fields)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn delete(
    State(simulator): Shared,
    Path((version, object, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Done {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    remove(org, &version, &headers, object, &id)
}

pub(super) async fn read_by_key(
    State(simulator): Shared,
    Path((version, object, field, value)): Path<(String, String, String, String)>,
    Query(parameters): Query<HashMap<String, String>>,
) -> Done {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    match the_one(org, &version, &object, &field, &value)? {
        Ok(Some(id)) => Ok(record(org, &version, &object, &id, &parameters)?.into_response()),
        Ok(None) => Err(RestRefusal::not_found()),
        Err(choices) => Ok(choices),
    }
}

/// With 201 where the record is new, 200 where it was there (since version 46.0).
pub(super) async fn upsert(
    State(simulator): Shared,
    Path((version, object, field, value)): Path<(String, String, String, String)>,
    Query(parameters): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Done {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    let key = key_of(&object, &field)?;
    let mut fields = fields(&body)?;
    if fields.keys().any(|name| name.eq_ignore_ascii_case(&key)) {
        return Err(key_in_body(&key));
    }
    if let Err(choices) = the_one(org, &version, &object, &key, &value)? {
        return Ok(choices);
    }
    fields.insert(key.clone(), json!(value));
    let update_only = parameters.get("updateOnly").is_some_and(|only| only == "true");
    let verb = Verb::Upsert { key, update_only };
    let saved = save(org, &version, &headers, object, verb, fields)?;
    let status = if saved.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let body = json!({"id": saved.id, "success": true, "errors": [], "created": saved.created});
    Ok((status, Json(body)).into_response())
}

pub(super) async fn delete_by_key(
    State(simulator): Shared,
    Path((version, object, field, value)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Done {
    let org = simulator.org();
    let object = object_of(org, &object)?;
    match the_one(org, &version, &object, &field, &value)? {
        Ok(Some(id)) => remove(org, &version, &headers, object, &id),
        Ok(None) => Err(RestRefusal::not_found()),
        Err(choices) => Ok(choices),
    }
}

fn object_of(org: &Org, name: &str) -> Result<SObject, RestRefusal> {
    org.sobject(name).ok_or_else(RestRefusal::not_found)
}

fn fields(body: &Bytes) -> Result<Map<String, Value>, RestRefusal> {
    serde_json::from_slice(body)
        .map_err(|error| RestRefusal::new(400, "JSON_PARSER_ERROR", &error.to_string()))
}

fn key_in_body(key: &str) -> RestRefusal {
    let message = format!("The {key} field should not be specified in the sobject data.");
    RestRefusal::new(400, "INVALID_FIELD", &message)
}

/// The record with a key's value; a response with status 300 and the records' addresses where there are several.
fn the_one(
    org: &Org,
    version: &str,
    object: &SObject,
    field: &str,
    value: &str,
) -> Result<Result<Option<String>, Response>, RestRefusal> {
    let key = key_of(object, field)?;
    let column = object.column(&key).filter(|column| column.name != "Id");
    let value = match column {
        Some(column) => values::stored(column, &json!(value)).map_err(|_| RestRefusal::not_found())?,
        None => json!(value),
    };
    let mut ids = org.ids_by_key(object, &key, &value);
    if ids.len() <= 1 {
        return Ok(Ok(ids.pop()));
    }
    let url = url_of(version, &object.name);
    let choices: Vec<_> = ids.iter().map(|id| format!("{url}/{id}")).collect();
    Ok(Err((StatusCode::MULTIPLE_CHOICES, Json(choices)).into_response()))
}

fn record(
    org: &Org,
    version: &str,
    object: &SObject,
    id: &str,
    parameters: &HashMap<String, String>,
) -> Answer {
    let columns: Vec<&Column> = match parameters.get("fields") {
        Some(names) => names
            .split(',')
            .filter_map(|name| object.column(name.trim()))
            .collect(),
        None => object.columns().iter().collect(),
    };
    let records = org.records.lock();
    let record = records.get(&object.name, id).ok_or_else(RestRefusal::not_found)?;
    Ok(Json(object.row(
        &columns,
        &url_of(version, &object.name),
        id,
        record,
    )))
}

fn remove(org: &Org, version: &str, headers: &HeaderMap, object: SObject, id: &str) -> Done {
    let fields = Map::from_iter([("Id".to_owned(), json!(id))]);
    save(org, version, headers, object, Verb::Delete, fields)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn save(
    org: &Org,
    version: &str,
    headers: &HeaderMap,
    object: SObject,
    verb: Verb,
    fields: Map<String, Value>,
) -> Result<Saved, RestRefusal> {
    let object = Arc::new(object);
    let batch = Batch {
        verb,
        rows: vec![Ok(Row { object, fields })],
        all_or_none: false,
        origin: origin("rest", version, client(headers)),
        misfits_cost_one_record: false,
    };
    let outcome = org.write(&batch)?.pop();
    Ok(outcome.ok_or_else(RestRefusal::not_found)??)
}
