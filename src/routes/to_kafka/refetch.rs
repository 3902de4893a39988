//! Records read again through REST, before a transaction begins: what a GAP event or a diff does not say.
//!
//! In: a change event. Out: one event for each of its records, with the values of the row as it is now and the
//! header of an ordinary change. What names no record (a wildcard) stays as it came.

use std::sync::Arc;

use bytes::Bytes;

use super::intake::Dead;
use super::{RunEnd, ToKafkaRoute, until_done};
use crate::error::Action;
use crate::routes::reread::{ReadFields, names_a_record, reread_header};
use crate::runtime::shutdown::StopSignal;
use crate::salesforce::event::{ChangeEventHeader, DecodedEvent, EventSchema, EventView, FieldIndex};
use crate::salesforce::rest::Body;

/// An event in place of one of a GAP event's or a diff's records.
pub(super) struct Reread {
    pub(super) payload: Bytes,
    pub(super) event: DecodedEvent,
    /// Of the event that it stands for.
    pub(super) ce_id: String,
    pub(super) record_id: String,
    /// As of when the row is what it is; None where there is no row.
    pub(super) as_of_ms: Option<i64>,
}

impl ToKafkaRoute {
    /// Reads the event's records as they are now.
    pub(super) async fn reread(
        &self,
        schema: &EventSchema,
        payload: &Bytes,
        event: &DecodedEvent,
        ce_ids: &[String],
        stop: &mut StopSignal,
    ) -> Result<Result<Vec<Reread>, Dead>, RunEnd> {
        let Some(header) = event.header() else {
            return Ok(Ok(Vec::new()));
        };
        let index = match FieldIndex::new(schema, payload, event) {
            Ok(index) => index,
            Err(error) => return Ok(Err(Dead::poison(error))),
        };
        let view = EventView {
            schema,
            payload,
            event,
            index: &index,
        };
        let named: Vec<String> = header
            .record_ids
            .iter()
            .filter(|id| names_a_record(id))
            .cloned()
            .collect();
        let rest = &self.shared.salesforce.rest;
        let rows = match until_done(self, stop, || {
            rest.current(&header.entity_name, &named, schema.avro())
        })
        .await
        {
            Ok(rows) => rows,
            Err(RunEnd::Failed(failure)) if failure.action() == Action::DeadLetter => {
                return Ok(Err(Dead::poison(failure)));
            }
            Err(end) => return Err(end),
        };
        let mut rows = rows.into_iter();
        let mut events = Vec::with_capacity(header.record_ids.len());
        for (id, ce_id) in header.record_ids.iter().zip(ce_ids) {
            let row = names_a_record(id).then(|| rows.next().flatten());
            let (payload, header, as_of_ms) = match &row {
                // It names no record.
                None => (body_of(&view), only(header, id), None),
                Some(None) => (empty_body(schema), reread_header(header, id, None), None),
                Some(Some(row)) => {
                    let body = if header.change_type.is_gap() {
                        Bytes::copy_from_slice(row.body.bytes())
                    } else {
                        patched(&view, &row.body)
                    };
                    let fields = read_fields(schema, &row.body);
                    (
                        body,
                        reread_header(header, id, Some(fields)),
                        Some(row.system_modstamp_ms),
                    )
                }
            };
            events.push(Reread {
                payload,
                event: DecodedEvent::Change {
                    header: Box::new(header),
                    body_offset: 0,
                },
                ce_id: ce_id.clone(),
                record_id: id.clone(),
                as_of_ms,
            });
        }
        Ok(Ok(events))
    }
}

fn only(header: &ChangeEventHeader, id: &str) -> ChangeEventHeader {
    let mut only = header.clone();
    only.record_ids = vec![id.to_owned()];
    only
}

fn body_of(view: &EventView<'_>) -> Bytes {
    Bytes::copy_from_slice(view.payload.get(view.event.body_offset()..).unwrap_or_default())
}

/// The event's own values, those that came as diffs replaced by the row's.
fn patched(view: &EventView<'_>, row: &Body) -> Bytes {
    let mut body = Vec::with_capacity(view.payload.len());
    for field in 1..view.schema.fields().len() {
        let value = if view.is_diff(field) {
            row.field(field)
        } else {
            view.value(field)
        };
        body.extend_from_slice(value);
    }
    Bytes::from(body)
}

/// Every field null.
fn empty_body(schema: &EventSchema) -> Bytes {
    let mut body = Vec::new();
    for field in 1..schema.fields().len() {
        let null = schema
            .field_type(field)
            .and_then(|type_id| schema.avro().null_branch(type_id));
        crate::avro::write::count(&mut body, null.unwrap_or_default());
    }
    Bytes::from(body)
}

fn read_fields(schema: &EventSchema, row: &Body) -> ReadFields {
    let mut fields = ReadFields::default();
    for field in schema.fields().iter().skip(1) {
        if row
            .json()
            .get(&**field.name())
            .is_none_or(serde_json::Value::is_null)
        {
            fields.null.push(Arc::clone(field.name()));
        }
        fields.all.push(Arc::clone(field.name()));
    }
    fields
}
