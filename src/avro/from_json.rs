//! JSON to Avro: a default of a schema, or a value that came as JSON, as the bytes of a type.
//!
//! JSON is taken in the form of the specification's defaults, but that a union's value takes the first branch that
//! it fits (1.12 allows any branch for a default). `bytes` and `fixed` are text of code points 0 to 255.

use serde_json::Value as Json;

use super::schema::{Kind, Schema, TypeId};
use super::write;

/// Deeper than any contract; a record whose default is itself would be written for ever.
const DEPTH_MAX: usize = 32;

/// A value that does not fit its type. The path names fields; the value is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: the value does not fit {expected}")]
pub struct Misfit {
    pub at: String,
    pub expected: String,
}

/// Appends a value to `out`. Fields of a record that `json` lacks take their default.
///
/// # Errors
/// When the value does not fit; `out` is then as it was.
pub fn write_json_value(schema: &Schema, id: TypeId, json: &Json, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let start = out.len();
    value(schema, id, json, "", out, DEPTH_MAX).inspect_err(|_| out.truncate(start))
}

fn value(
    schema: &Schema,
    id: TypeId,
    json: &Json,
    at: &str,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Misfit> {
    let misfit = || Misfit {
        at: if at.is_empty() {
            "the value".to_owned()
        } else {
            at.to_owned()
        },
        expected: schema.describe(id),
    };
    let depth = depth.checked_sub(1).ok_or_else(misfit)?;
    match (schema.kind(id), json) {
        (Kind::Union(branches), _) => {
            for (index, branch) in branches.iter().enumerate() {
                let start = out.len();
                write::count(out, index);
                if fits(schema.kind(*branch), json) && value(schema, *branch, json, at, out, depth).is_ok() {
                    return Ok(());
                }
                out.truncate(start);
            }
            return Err(misfit());
        }
        (Kind::Null, Json::Null) => {}
        (Kind::Boolean, Json::Bool(flag)) => write::boolean(out, *flag),
        (Kind::Int, Json::Number(number)) => {
            let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
            write::long(out, number.ok_or_else(misfit)?.into());
        }
        (Kind::Long, Json::Number(number)) => write::long(out, number.as_i64().ok_or_else(misfit)?),
        #[allow(clippy::cast_possible_truncation, reason = "what a float default is")]
        (Kind::Float, Json::Number(number)) => write::float(out, number.as_f64().ok_or_else(misfit)? as f32),
        (Kind::Double, Json::Number(number)) => write::double(out, number.as_f64().ok_or_else(misfit)?),
        (Kind::String, Json::String(text)) => write::text(out, text),
        (Kind::Bytes, Json::String(text)) => write::bytes(out, &latin1(text).ok_or_else(misfit)?),
        (Kind::Fixed { size, .. }, Json::String(text)) => {
            let bytes = latin1(text).filter(|bytes| bytes.len() == *size);
            out.extend_from_slice(&bytes.ok_or_else(misfit)?);
        }
        (Kind::Enum { symbols, .. }, Json::String(symbol)) => {
            let index = symbols.iter().position(|known| known == symbol);
            write::count(out, index.ok_or_else(misfit)?);
        }
        (Kind::Array(items), Json::Array(list)) => {
            if !list.is_empty() {
                write::count(out, list.len());
            }
            for item in list {
                value(schema, *items, item, at, out, depth)?;
            }
            out.push(0);
        }
        (Kind::Map(values), Json::Object(entries)) => {
            if !entries.is_empty() {
                write::count(out, entries.len());
            }
            for (key, entry) in entries {
                write::text(out, key);
                value(schema, *values, entry, at, out, depth)?;
            }
            out.push(0);
        }
        (Kind::Record(record), Json::Object(given)) => {
            for field in &record.fields {
                let at = if at.is_empty() {
                    field.name.clone()
                } else {
                    format!("{at}.{}", field.name)
                };
                let given = given.get(&field.name).or(field.default.as_ref());
                let given = given.ok_or_else(|| Misfit {
                    at: at.clone(),
                    expected: schema.describe(field.type_id),
                })?;
                value(schema, field.type_id, given, &at, out, depth)?;
            }
        }
        _ => return Err(misfit()),
    }
    Ok(())
}

/// Whether a union's branch may be meant by this JSON at all.
fn fits(kind: &Kind, json: &Json) -> bool {
    match json {
        Json::Null => matches!(kind, Kind::Null),
        Json::Bool(_) => matches!(kind, Kind::Boolean),
        Json::Number(_) => matches!(kind, Kind::Int | Kind::Long | Kind::Float | Kind::Double),
        Json::String(_) => matches!(
            kind,
            Kind::String | Kind::Enum { .. } | Kind::Bytes | Kind::Fixed { .. }
        ),
        Json::Array(_) => matches!(kind, Kind::Array(_)),
        Json::Object(_) => matches!(kind, Kind::Record(_) | Kind::Map(_)),
    }
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|char| u8::try_from(u32::from(char)).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(schema: &str, value: &Json) -> Result<Vec<u8>, String> {
        let schema = Schema::parse(schema).unwrap();
        let mut out = Vec::new();
        write_json_value(&schema, schema.root(), value, &mut out).map_err(|misfit| misfit.to_string())?;
        Ok(out)
    }

    #[test]
    fn a_union_takes_the_first_branch_that_the_value_fits() {
        assert_eq!(encoded(r#"["null","int","string"]"#, &json!(null)), Ok(vec![0]));
        assert_eq!(encoded(r#"["null","int","string"]"#, &json!(3)), Ok(vec![2, 6]));
        assert_eq!(
            encoded(r#"["null","int","string"]"#, &json!("a")),
            Ok(vec![4, 2, b'a'])
        );
        assert_eq!(encoded(r#"["int","long"]"#, &json!(1_i64 << 40)).unwrap()[0], 2);
    }

    #[test]
    fn missing_fields_take_their_defaults_and_others_are_told_by_name() {
        let record = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string","default":"x"},{"name":"b","type":"int"}]}"#;
        assert_eq!(encoded(record, &json!({"b": 1})), Ok(vec![2, b'x', 2]));
        assert_eq!(
            encoded(record, &json!({})).unwrap_err(),
            "b: the value does not fit int"
        );
        assert_eq!(
            encoded(record, &json!({"b": "secret"})).unwrap_err(),
            "b: the value does not fit int"
        );
    }

    #[test]
    fn a_record_whose_default_is_itself_ends_in_a_misfit() {
        let endless =
            r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"],"default":{}}]}"#;
        assert_eq!(
            encoded(endless, &json!({})).unwrap_err(),
            "next: the value does not fit [null, record R]"
        );
        assert_eq!(encoded(endless, &json!({"next": null})), Ok(vec![0]));
    }
}
