//! JSON to Avro: a field's value takes the branch of its union that its JSON form fits; absent fields are null.
//! The bytes are written by `apache-avro`, which is not the implementation that the bridge reads with.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use apache_avro::types::Value;
use serde_json::{Map, Value as Json};

use super::schemas::EventSchema;

/// The bare Avro datum of an event.
///
/// # Errors
/// The path of a field that is unknown or whose value does not fit.
pub(crate) fn datum(schema: &EventSchema, fields: &Map<String, Json>) -> Result<Vec<u8>, String> {
    let value = record(schema, schema.record(), fields, &schema.name)?;
    apache_avro::to_avro_datum(&schema.schema, value).map_err(|error| format!("{}: {error}", schema.name))
}

/// The value in a bare datum, which must end where its schema says.
///
/// # Errors
/// When the bytes are not what the schema says, or more, or fewer.
pub(crate) fn read(schema: &EventSchema, datum: &[u8]) -> Result<Value, String> {
    let misfit = || format!("The payload can't be read with the schema of {}.", schema.name);
    let mut rest = datum;
    let value = apache_avro::from_avro_datum(&schema.schema, &mut rest, None).map_err(|_| misfit())?;
    // The library takes an end before a union for null: only the value's own length shows what was missing.
    let written = apache_avro::to_avro_datum(&schema.schema, value.clone()).map_err(|_| misfit())?;
    if rest.is_empty() && written.len() == datum.len() {
        Ok(value)
    } else {
        Err(misfit())
    }
}

fn record(
    schema: &EventSchema,
    record: &RecordSchema,
    fields: &Map<String, Json>,
    path: &str,
) -> Result<Value, String> {
    if let Some(unknown) = fields.keys().find(|name| !record.lookup.contains_key(*name)) {
        return Err(format!("{path} has no field {unknown}"));
    }
    let values = record.fields.iter().map(|field| {
        let path = format!("{path}.{}", field.name);
        let given = fields.get(&field.name).unwrap_or(&Json::Null);
        Ok((field.name.clone(), value(schema, &field.schema, given, &path)?))
    });
    Ok(Value::Record(values.collect::<Result<_, String>>()?))
}

fn value(schema: &EventSchema, expected: &Schema, given: &Json, path: &str) -> Result<Value, String> {
    let misfit = || format!("{path}: {given} does not fit {}", kind(expected));
    Ok(match (expected, given) {
        (Schema::Union(union), _) => {
            let mut branches = union.variants().iter().enumerate();
            let (index, branch) = branches
                .find(|(_, branch)| fits(branch, given))
                .ok_or_else(misfit)?;
            let index = u32::try_from(index).map_err(|_| misfit())?;
            Value::Union(index, Box::new(value(schema, branch, given, path)?))
        }
        (Schema::Null, Json::Null) => Value::Null,
        (Schema::Boolean, Json::Bool(flag)) => Value::Boolean(*flag),
        (Schema::String, Json::String(text)) => Value::String(text.clone()),
        (Schema::Int, Json::Number(number)) => Value::Int(
            number
                .as_i64()
                .and_then(|n| i32::try_from(n).ok())
                .ok_or_else(misfit)?,
        ),
        (Schema::Long, Json::Number(number)) => Value::Long(number.as_i64().ok_or_else(misfit)?),
        (Schema::Double, Json::Number(number)) => Value::Double(number.as_f64().ok_or_else(misfit)?),
        (Schema::Enum(symbols), Json::String(symbol)) => {
            let index = symbols
                .symbols
                .iter()
                .position(|known| known == symbol)
                .ok_or_else(misfit)?;
            Value::Enum(u32::try_from(index).map_err(|_| misfit())?, symbol.clone())
        }
        (Schema::Array(array), Json::Array(items)) => {
            let items = items.iter().map(|item| value(schema, &array.items, item, path));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Schema::Record(_) | Schema::Ref { .. }, Json::Object(fields)) => record(
            schema,
            schema.as_record(expected).ok_or_else(misfit)?,
            fields,
            path,
        )?,
        _ => return Err(misfit()),
    })
}

fn fits(branch: &Schema, given: &Json) -> bool {
    match given {
        Json::Null => matches!(branch, Schema::Null),
        Json::Bool(_) => matches!(branch, Schema::Boolean),
        Json::Number(_) => matches!(branch, Schema::Int | Schema::Long | Schema::Double),
        Json::String(_) => matches!(branch, Schema::String | Schema::Enum(_)),
        Json::Array(_) => matches!(branch, Schema::Array(_)),
        Json::Object(_) => matches!(branch, Schema::Record(_) | Schema::Ref { .. }),
    }
}

fn kind(schema: &Schema) -> String {
    format!("{:?}", apache_avro::schema::SchemaKind::from(schema)).to_lowercase()
}
