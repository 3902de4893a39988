//! An Avro datum as JSON, by the schema that it was written with.
//!
//! * Unions have no wrappers, integers are exact, enums are their symbol, maps and records objects.
//! * Logical types become what people write: `timestamp-*` RFC 3339 in UTC, `local-timestamp-*` the same without the
//!   offset, `date` `YYYY-MM-DD`, `time-*` `HH:MM:SS.mmm`, `decimal` its exact text, `uuid` its text. Fractions of a
//!   second have as many digits as they need, at least three.
//! * `bytes` and `fixed` are base64 text. A double that is no number is the text `NaN`, `Infinity` or `-Infinity`:
//!   null would be a lie, and no field of Salesforce takes it for a number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::moment::{self, Unit};
use crate::avro::{Kind, Node, Schema, TypeId, Wire, WireError};

/// Deeper than any record that people write; a type that contains itself could nest as deep as the data says.
const DEPTH_MAX: usize = 64;

/// More digits than any decimal has; the text of a number grows with the square of its bytes.
const DECIMAL_BYTES_MAX: usize = 64;
const SCALE_MAX: u32 = 200;

/// Reads a whole datum.
///
/// # Errors
/// When the bytes are not what the schema says, or some are left over.
pub(super) fn read(schema: &Schema, datum: &[u8]) -> Result<Json, &'static str> {
    let mut wire = Wire::new(datum);
    let value = nested(schema, schema.root(), &mut wire, DEPTH_MAX).map_err(rule)?;
    if wire.rest().is_empty() {
        Ok(value)
    } else {
        Err("bytes are left over")
    }
}

const fn rule(error: WireError) -> &'static str {
    match error {
        WireError::Truncated => "the data ends early",
        WireError::TooWide => "an integer is wider than its type",
        WireError::NegativeLength => "a length is negative",
        WireError::NotUtf8 => "a text is not UTF-8",
        WireError::NoSuchSymbol => "an enum has no such symbol",
        WireError::NoSuchBranch => "a union has no such branch",
        WireError::NotBoolean => "a boolean is neither true nor false",
        WireError::TooMany => "an array or a map has too many elements",
        WireError::TooDeep => "it is nested too deeply",
    }
}

fn nested(schema: &Schema, id: TypeId, wire: &mut Wire<'_>, depth: usize) -> Result<Json, WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let node = schema.node(id);
    Ok(match &node.kind {
        Kind::Null => Json::Null,
        Kind::Boolean => Json::Bool(wire.boolean()?),
        Kind::Int => integer(node, wire.int()?.into()),
        Kind::Long => integer(node, wire.long()?),
        // A float as people wrote it: 0.1, not the 0.10000000149 that it is as a double.
        Kind::Float => number(wire.float()?.to_string().parse().unwrap_or(f64::NAN)),
        Kind::Double => number(wire.double()?),
        Kind::Bytes => binary(node, wire.bytes()?),
        Kind::Fixed { size, .. } => binary(node, wire.take(*size)?),
        Kind::String => Json::String(wire.text()?.to_owned()),
        Kind::Enum { symbols, .. } => {
            let index = wire.index(symbols.len(), WireError::NoSuchSymbol)?;
            Json::String(symbols.get(index).cloned().unwrap_or_default())
        }
        Kind::Array(items) => {
            let mut list = Vec::new();
            wire.elements(|wire| {
                list.push(nested(schema, *items, wire, depth)?);
                Ok::<_, WireError>(())
            })?;
            Json::Array(list)
        }
        Kind::Map(values) => {
            let mut map = Map::new();
            wire.elements(|wire| {
                let key = wire.text()?.to_owned();
                map.insert(key, nested(schema, *values, wire, depth)?);
                Ok::<_, WireError>(())
            })?;
            Json::Object(map)
        }
        Kind::Union(branches) => {
            let index = wire.index(branches.len(), WireError::NoSuchBranch)?;
            let branch = branches.get(index).ok_or(WireError::NoSuchBranch)?;
            nested(schema, *branch, wire, depth)?
        }
        Kind::Record(record) => {
            let mut map = Map::with_capacity(record.fields.len());
            for field in &record.fields {
                map.insert(field.name.clone(), nested(schema, field.type_id, wire, depth)?);
            }
            Json::Object(map)
        }
    })
}

/// A double as JSON.
pub(super) fn number(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(
        || {
            let text = if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            Json::from(text)
        },
        Json::Number,
    )
}

fn integer(node: &Node, value: i64) -> Json {
    let text = match (node.logical.as_deref(), &node.kind) {
        (Some("timestamp-millis"), Kind::Long) => moment::date_time(value, Unit::Millis, "Z"),
        (Some("timestamp-micros"), Kind::Long) => moment::date_time(value, Unit::Micros, "Z"),
        (Some("timestamp-nanos"), Kind::Long) => moment::date_time(value, Unit::Nanos, "Z"),
        (Some("local-timestamp-millis"), Kind::Long) => moment::date_time(value, Unit::Millis, ""),
        (Some("local-timestamp-micros"), Kind::Long) => moment::date_time(value, Unit::Micros, ""),
        (Some("local-timestamp-nanos"), Kind::Long) => moment::date_time(value, Unit::Nanos, ""),
        (Some("date"), Kind::Int) => moment::date(value),
        (Some("time-millis"), Kind::Int) => moment::time(value, Unit::Millis),
        (Some("time-micros"), Kind::Long) => moment::time(value, Unit::Micros),
        _ => None,
    };
    // What lies outside the years 0 to 9999 has no text: it stays the number that it is.
    text.map_or_else(|| Json::from(value), Json::String)
}

fn binary(node: &Node, bytes: &[u8]) -> Json {
    let text = match node.logical.as_deref() {
        Some("decimal") => decimal(bytes, node.scale),
        Some("uuid") => uuid::Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string()),
        _ => None,
    };
    Json::String(text.unwrap_or_else(|| STANDARD.encode(bytes)))
}

/// A big-endian two's complement integer, `scale` of whose decimal digits stand behind the point.
fn decimal(bytes: &[u8], scale: u32) -> Option<String> {
    if bytes.len() > DECIMAL_BYTES_MAX || scale > SCALE_MAX {
        return None;
    }
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut remainder = 0_u16;
        for byte in &mut magnitude {
            let value = remainder << 8 | u16::from(*byte);
            *byte = u8::try_from(value / 10).unwrap_or_default();
            remainder = value % 10;
        }
        digits.push(char::from(b'0' + u8::try_from(remainder).unwrap_or_default()));
    }
    let scale = usize::try_from(scale).ok()?;
    while digits.len() <= scale {
        digits.push('0');
    }
    if scale > 0 {
        digits.insert(scale, '.');
    }
    if is_negative {
        digits.push('-');
    }
    Some(digits.into_iter().rev().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_as(schema: &str, datum: &[u8]) -> Result<Json, &'static str> {
        read(&Schema::parse(schema).unwrap(), datum)
    }

    #[test]
    fn decimals_are_exact_text() {
        for (bytes, scale, text) in [
            (&[][..], 2, "0.00"),
            (&[0], 0, "0"),
            (&[0x04, 0xd2], 2, "12.34"),
            (&[0xfb, 0x2e], 2, "-12.34"),
            (&[0xff], 3, "-0.001"),
            (&[0x80], 0, "-128"),
            (&[0x00, 0x80], 0, "128"),
            (
                &[
                    0x01, 0x8e, 0xe9, 0x0f, 0xf6, 0xc3, 0x73, 0xe0, 0xee, 0x4e, 0x3f, 0x0a, 0xd2,
                ],
                10,
                "12345678901234567890.1234567890",
            ),
        ] {
            assert_eq!(decimal(bytes, scale).as_deref(), Some(text), "{bytes:?}");
        }
        assert_eq!(decimal(&[1; DECIMAL_BYTES_MAX + 1], 0), None);
    }

    #[test]
    fn logical_types_become_what_people_write() {
        let schema = r#"{"type":"record","name":"R","fields":[
            {"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"us","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
            {"name":"ns","type":{"type":"long","logicalType":"timestamp-nanos"}},
            {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
            {"name":"day","type":{"type":"int","logicalType":"date"}},
            {"name":"time","type":{"type":"int","logicalType":"time-millis"}},
            {"name":"time_us","type":{"type":"long","logicalType":"time-micros"}},
            {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
            {"name":"fixed","type":{"type":"fixed","name":"D","size":2,"logicalType":"decimal","precision":4,"scale":1}},
            {"name":"raw","type":"bytes"},{"name":"f","type":"float"},{"name":"nan","type":"double"},
            {"name":"big","type":"long"},{"name":"far","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
        let mut datum = Vec::new();
        use crate::avro::write;
        write::long(&mut datum, 1_700_000_000_123);
        write::count(&mut datum, 1);
        write::long(&mut datum, 1_700_000_000_123_456);
        write::long(&mut datum, 1_700_000_000_000_000_007);
        write::long(&mut datum, 0);
        write::long(&mut datum, -1);
        write::long(&mut datum, 36_672_013);
        write::long(&mut datum, 1);
        write::bytes(&mut datum, &[0x04, 0xd2]);
        datum.extend([0xff, 0xff]);
        write::bytes(&mut datum, &[1, 0xff]);
        write::float(&mut datum, 0.1);
        write::double(&mut datum, f64::NAN);
        write::long(&mut datum, 9_007_199_254_740_993);
        write::long(&mut datum, i64::MAX);
        assert_eq!(
            read_as(schema, &datum),
            Ok(
                json!({"ms": "2023-11-14T22:13:20.123Z", "us": "2023-11-14T22:13:20.123456Z",
                "ns": "2023-11-14T22:13:20.000000007Z", "local": "1970-01-01T00:00:00.000", "day": "1969-12-31",
                "time": "10:11:12.013", "time_us": "00:00:00.000001", "amount": "12.34", "fixed": "-0.1",
                "raw": "Af8=", "f": 0.1, "nan": "NaN", "big": 9_007_199_254_740_993_i64, "far": i64::MAX})
            )
        );
        datum.push(0);
        assert_eq!(read_as(schema, &datum), Err("bytes are left over"));
    }

    #[test]
    fn hostile_data_ends_in_a_rule() {
        let endless = r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#;
        assert_eq!(read_as(endless, &[2; 1000]), Err("it is nested too deeply"));
        assert_eq!(
            read_as(
                r#"{"type":"array","items":"null"}"#,
                &[0xfe, 0xff, 0xff, 0xff, 0x0f]
            ),
            Err("an array or a map has too many elements")
        );
        assert_eq!(
            read_as("\"string\"", &[0xfe, 0xff, 0xff, 0x7f, b'a']),
            Err("the data ends early")
        );
    }

    const EVERYTHING: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"t","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
        {"name":"n","type":{"type":"long","logicalType":"timestamp-nanos"}},
        {"name":"d","type":{"type":"int","logicalType":"date"}},{"name":"c","type":{"type":"long","logicalType":"time-micros"}},
        {"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}},
        {"name":"u","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
        {"name":"m","type":{"type":"map","values":["null","double","R"]}}]}"#;

    proptest! {
        #[test]
        fn no_bytes_take_the_process_down(datum in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&Schema::parse(EVERYTHING).unwrap(), &datum);
        }

        #[test]
        fn a_decimal_is_the_number_that_its_bytes_are(number in any::<i128>(), scale in 0_u32..6) {
            let text = decimal(&number.to_be_bytes(), scale).unwrap();
            prop_assert_eq!(text.replace('.', "").parse(), Ok(number));
            prop_assert_eq!(text.split_once('.').map_or(0, |(_, digits)| digits.len()), scale as usize);
        }
    }
}
