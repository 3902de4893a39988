//! Avro to JSON text in place: names as in the schema, unions without wrappers, integers exact.
//!
//! * `timestamp-millis` and `timestamp-micros` are RFC 3339 in UTC with milliseconds, `date` is `YYYY-MM-DD`; other
//!   logical types stay what they are made of.
//! * `bytes` and `fixed` are base64. Numbers that JSON cannot write (NaN, infinities) are null.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::calendar::{write_date, write_date_time};
use super::schema::{Kind, Node, Schema, TypeId};
use super::wire::{Wire, WireError};

/// Deeper than any record of Salesforce.
const DEPTH_MAX: usize = 64;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// How a long is meant where no logical type says it: what Salesforce's `doc` tells of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LongForm {
    #[default]
    Number,
    /// Milliseconds since the epoch, as RFC 3339.
    DateTime,
    /// Midnight in UTC in milliseconds since the epoch, as `YYYY-MM-DD`.
    DateOnly,
}

/// Appends the value that `wire` stands at as JSON.
///
/// # Errors
/// When the data does not fit the type; what was appended is then of no use.
pub fn write_value_as_json(
    schema: &Schema,
    id: TypeId,
    form: LongForm,
    wire: &mut Wire<'_>,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    nested(schema, id, form, wire, out, DEPTH_MAX)
}

fn nested(
    schema: &Schema,
    id: TypeId,
    form: LongForm,
    wire: &mut Wire<'_>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let node = schema.node(id);
    match &node.kind {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Boolean => out.extend_from_slice(if wire.boolean()? { b"true" } else { b"false" }),
        Kind::Int | Kind::Long => write_long(node, form, wire.long()?, out),
        Kind::Float => write(out, &wire.float()?),
        Kind::Double => write(out, &wire.double()?),
        Kind::Bytes => write_binary(out, wire.bytes()?),
        Kind::Fixed { size, .. } => write_binary(out, wire.take(*size)?),
        Kind::String => write(out, wire.text()?),
        Kind::Enum { symbols, .. } => {
            let index = wire.index(symbols.len(), WireError::NoSuchSymbol)?;
            write(out, symbols.get(index).map_or("", String::as_str));
        }
        Kind::Array(items) => {
            out.push(b'[');
            let start = out.len();
            wire.elements(|wire| {
                if out.len() > start {
                    out.push(b',');
                }
                nested(schema, *items, form, wire, out, depth)
            })?;
            out.push(b']');
        }
        Kind::Map(values) => {
            out.push(b'{');
            let start = out.len();
            wire.elements(|wire| {
                if out.len() > start {
                    out.push(b',');
                }
                write(out, wire.text()?);
                out.push(b':');
                nested(schema, *values, form, wire, out, depth)
            })?;
            out.push(b'}');
        }
        Kind::Union(branches) => {
            let index = wire.index(branches.len(), WireError::NoSuchBranch)?;
            let branch = branches.get(index).ok_or(WireError::NoSuchBranch)?;
            nested(schema, *branch, form, wire, out, depth)?;
        }
        Kind::Record(record) => {
            out.push(b'{');
            for (index, field) in record.fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, &field.name);
                out.push(b':');
                nested(schema, field.type_id, LongForm::Number, wire, out, depth)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_long(node: &Node, form: LongForm, value: i64, out: &mut Vec<u8>) {
    match (node.logical.as_deref(), &node.kind, form) {
        (Some("timestamp-millis"), Kind::Long, _) | (None, Kind::Long, LongForm::DateTime) => {
            write_date_time(out, value);
        }
        (Some("timestamp-micros"), Kind::Long, _) => write_date_time(out, value.div_euclid(1000)),
        (Some("date"), Kind::Int, _) => write_date(out, value.saturating_mul(DAY_MS)),
        (None, Kind::Long, LongForm::DateOnly) => write_date(out, value),
        _ => write(out, &value),
    }
}

fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Text and numbers: JSON can write them all, and a `Vec` takes every byte.
fn write(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::from_json::write_json_value;
    use super::*;

    fn round_trip(schema: &str, form: LongForm, value: &serde_json::Value) -> String {
        let schema = Schema::parse(schema).unwrap();
        let (mut datum, mut out) = (Vec::new(), Vec::new());
        write_json_value(&schema, schema.root(), value, &mut datum).unwrap();
        let mut wire = Wire::new(&datum);
        write_value_as_json(&schema, schema.root(), form, &mut wire, &mut out).unwrap();
        assert!(wire.rest().is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_that_avro_knows_is_written_plainly() {
        let schema = r#"{"type":"record","name":"R","fields":[
            {"name":"n","type":["null","string"]},{"name":"l","type":"long"},{"name":"d","type":"double"},
            {"name":"list","type":{"type":"array","items":"int"}},{"name":"map","type":{"type":"map","values":"boolean"}},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"b","type":"bytes"},
            {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"day","type":{"type":"int","logicalType":"date"}},
            {"name":"time","type":{"type":"int","logicalType":"time-millis"}}]}"#;
        let value = json!({"n": "a\"b", "l": 9_007_199_254_740_993_i64, "d": 1.5, "list": [1, -2], "map": {"k": true, "o": false},
            "e": "B", "b": "\u{1}\u{ff}", "t": 5, "day": 1, "time": 7});
        assert_eq!(
            round_trip(schema, LongForm::Number, &value),
            r#"{"n":"a\"b","l":9007199254740993,"d":1.5,"list":[1,-2],"map":{"k":true,"o":false},"e":"B","b":"Af8=","t":"1970-01-01T00:00:00.005Z","day":"1970-01-02","time":7}"#
        );
    }

    #[test]
    fn what_the_doc_says_of_a_field_gives_its_longs_their_form() {
        for (form, text) in [
            (LongForm::Number, "86400000"),
            (LongForm::DateTime, "\"1970-01-02T00:00:00.000Z\""),
            (LongForm::DateOnly, "\"1970-01-02\""),
        ] {
            assert_eq!(round_trip(r#"["null","long"]"#, form, &json!(86_400_000)), text);
        }
    }
}
