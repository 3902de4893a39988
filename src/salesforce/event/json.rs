//! An event as JSON: one object, the schema's field names in the schema's order, every field present.
//!
//! * Null is `null`; a union's value stands there without a wrapper, compound fields are objects.
//! * Integers are exact, also beyond 2⁵³. Numbers that JSON cannot write (NaN, infinities) are `null`.
//! * Fields whose `doc` says DateTime or DateOnly are text (`calendar`); TimeOnly and the header's
//!   `commitTimestamp`, which have no such `doc`, stay the integers they are.
//! * A change event with several record ids becomes one object for each, with `recordIds` holding just its own.
//!
//! The body goes from Avro to JSON text without a tree of values in between, and once an event however
//! many record ids it has.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use std::io::BufRead as _;

use super::decode::DecodedEvent;
use super::error::{DecodeError, Problem};
use super::schema::{DocType, EventSchema};
use crate::avro::calendar::{write_date, write_date_time};

/// More elements than an event of 1 MB has room for; only elements that take no bytes could go on for ever.
const ARRAY_ELEMENTS_MAX: usize = 1 << 20;

/// Appends the event's JSON object to `out`. With `record`, `recordIds` holds just the id at that index.
///
/// # Errors
/// When the payload does not fit the schema to its last byte; `out` is then as it was.
pub fn write_json(
    schema: &EventSchema,
    payload: &[u8],
    event: &DecodedEvent,
    record: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let start = out.len();
    write_head(schema, event, record, out);
    write_body(schema, payload, event, out).inspect_err(|_| out.truncate(start))
}

/// The event's JSON objects: one for each record id, in their order; one for a platform event (or a change
/// that names no record).
///
/// # Errors
/// When the payload does not fit the schema to its last byte.
pub fn json_values(
    schema: &EventSchema,
    payload: &[u8],
    event: &DecodedEvent,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let records = event.record_ids().len();
    let mut first = Vec::with_capacity(schema.empty_json_bytes().saturating_add(payload.len()));
    write_head(schema, event, (records > 0).then_some(0), &mut first);
    let body_start = first.len();
    write_body(schema, payload, event, &mut first)?;

    let mut others = Vec::with_capacity(records.saturating_sub(1));
    for record in 1..records {
        let mut value = Vec::with_capacity(first.len());
        write_head(schema, event, Some(record), &mut value);
        value.extend_from_slice(first.get(body_start..).unwrap_or_default());
        others.push(value);
    }
    let mut values = Vec::with_capacity(records.max(1));
    values.push(first);
    values.append(&mut others);
    Ok(values)
}

/// `{`, and for a change event its header.
fn write_head(schema: &EventSchema, event: &DecodedEvent, record: Option<usize>, out: &mut Vec<u8>) {
    out.push(b'{');
    if let (Some(header), Some(header_schema), Some(field)) =
        (event.header(), schema.header(), schema.fields().first())
    {
        out.extend_from_slice(field.json_key());
        header_schema.write_json(header, record, out);
    }
}

/// The fields after the header and `}`.
fn write_body(
    schema: &EventSchema,
    payload: &[u8],
    event: &DecodedEvent,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let body = payload.get(event.body_offset()..).unwrap_or_default();
    let mut at = 0;
    let members = Members {
        schema,
        at: &mut at,
        out,
    };
    let mut config = DeserializerConfig::new(schema.body());
    config.max_seq_size = ARRAY_ELEMENTS_MAX;
    let mut state = DeserializerState::with_config(SliceRead::new(body), config);
    let decoded = state.deserializer().deserialize_map(members);
    let left = state.fill_buf().map_or(0, <[u8]>::len);
    match decoded {
        // The cause would quote the value that it met.
        Err(_) => Err(DecodeError::new(schema, Problem::in_body(schema, at))),
        Ok(()) if left > 0 => Err(DecodeError::new(schema, Problem::Trailing { bytes: left })),
        Ok(()) => {
            out.push(b'}');
            Ok(())
        }
    }
}

/// Writes the body's fields as members of an object that is already open.
struct Members<'a> {
    schema: &'a EventSchema,
    /// The index of the field being read, for the error.
    at: &'a mut usize,
    out: &'a mut Vec<u8>,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the fields of an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { schema, at, out } = self;
        for (index, field) in schema.body_fields().iter().enumerate() {
            *at = index;
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(field.json_key());
            map.next_key::<IgnoredAny>()?;
            match field.doc_type() {
                DocType::DateTime => write_time(out, map.next_value()?, write_date_time),
                DocType::DateOnly => write_time(out, map.next_value()?, write_date),
                DocType::Other => map.next_value_seed(JsonValue(out))?,
            }
        }
        Ok(())
    }
}

fn write_time(out: &mut Vec<u8>, epoch_ms: Option<i64>, write: fn(&mut Vec<u8>, i64)) {
    match epoch_ms {
        Some(epoch_ms) => write(out, epoch_ms),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes whatever comes as a JSON value.
pub(super) struct JsonValue<'a>(pub(super) &'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for JsonValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        serde_transcode::transcode(source, &mut serde_json::Serializer::new(self.0)).map_err(D::Error::custom)
    }
}
