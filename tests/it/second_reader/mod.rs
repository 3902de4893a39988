//! The data path's Avro against another implementation (`apache-avro`): what it writes we read, what we write it
//! reads, and both mean the same values. Schemas, events and contracts are random; no input, no output.

mod events;
mod index;
mod projection;
mod splice;

use std::collections::HashMap;

use apache_avro::types::Value;
use proptest::prelude::*;
use serde_json::Value as Json;

const ACCOUNT: &str = include_str!("../../fixtures/salesforce/AccountChangeEvent.avsc");
const CONTACT: &str = include_str!("../../fixtures/salesforce/ContactChangeEvent.avsc");
const ACCOUNT_UPDATE: &str = include_str!("../../fixtures/salesforce/AccountChangeEvent.update.base64");

/// A whole datum by the other implementation; None where it refuses it or something is left over.
fn read(schema: &apache_avro::Schema, mut datum: &[u8]) -> Option<Value> {
    let value = apache_avro::from_avro_datum(schema, &mut datum, None).ok()?;
    datum.is_empty().then_some(value)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A schema's named types, by their names without a namespace.
type Names = HashMap<String, Json>;

fn names_of(schema: &Json) -> Names {
    fn collect(schema: &Json, names: &mut Names) {
        match schema {
            Json::Array(parts) => parts.iter().for_each(|part| collect(part, names)),
            Json::Object(object) => {
                if let Some(name) = object.get("name").and_then(Json::as_str)
                    && object.contains_key("type")
                    && (object.contains_key("fields") || object.contains_key("symbols"))
                {
                    names.insert(name.to_owned(), schema.clone());
                }
                object.values().for_each(|part| collect(part, names));
            }
            _ => {}
        }
    }
    let mut names = Names::new();
    collect(schema, &mut names);
    names
}

fn named<'n>(name: &str, names: &'n Names) -> &'n Json {
    &names[name.rsplit('.').next().unwrap_or_default()]
}

/// Any value of a type.
fn value_of(schema: &Json, names: &Names) -> BoxedStrategy<Value> {
    match schema {
        Json::String(name) => primitive(name).unwrap_or_else(|| value_of(named(name, names), names)),
        Json::Array(branches) => {
            let branch = |(index, branch): (u32, &Json)| {
                value_of(branch, names)
                    .prop_map(move |value| Value::Union(index, Box::new(value)))
                    .boxed()
            };
            prop::strategy::Union::new((0..).zip(branches).map(branch)).boxed()
        }
        schema => match schema["type"].as_str().unwrap_or_default() {
            "record" => {
                let fields = schema["fields"].as_array().unwrap();
                let values: Vec<_> = fields
                    .iter()
                    .map(|field| value_of(&field["type"], names))
                    .collect();
                let names: Vec<String> = fields.iter().map(name_of).collect();
                values
                    .prop_map(move |values| Value::Record(names.iter().cloned().zip(values).collect()))
                    .boxed()
            }
            "array" => prop::collection::vec(value_of(&schema["items"], names), 0..4)
                .prop_map(Value::Array)
                .boxed(),
            "map" => prop::collection::hash_map(".{0,4}", value_of(&schema["values"], names), 0..3)
                .prop_map(Value::Map)
                .boxed(),
            "enum" => {
                let symbols: Vec<String> = schema["symbols"].as_array().unwrap().iter().map(word).collect();
                (0..symbols.len())
                    .prop_map(move |index| Value::Enum(u32::try_from(index).unwrap(), symbols[index].clone()))
                    .boxed()
            }
            name => primitive(name).unwrap_or_else(|| panic!("no such sample: {schema}")),
        },
    }
}

fn primitive(name: &str) -> Option<BoxedStrategy<Value>> {
    use prop::num::{f32, f64};
    // NaN is not equal to itself; all other numbers are.
    let doubles = f64::POSITIVE | f64::NEGATIVE | f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::INFINITE;
    let floats = f32::POSITIVE | f32::NEGATIVE | f32::NORMAL | f32::SUBNORMAL | f32::ZERO | f32::INFINITE;
    Some(match name {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::Boolean).boxed(),
        "int" => any::<i32>().prop_map(Value::Int).boxed(),
        "long" => any::<i64>().prop_map(Value::Long).boxed(),
        "float" => floats.prop_map(Value::Float).boxed(),
        "double" => doubles.prop_map(Value::Double).boxed(),
        "string" => ".{0,12}".prop_map(Value::String).boxed(),
        "bytes" => prop::collection::vec(any::<u8>(), 0..6)
            .prop_map(Value::Bytes)
            .boxed(),
        _ => return None,
    })
}

fn name_of(field: &Json) -> String {
    word(&field["name"])
}

fn word(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}
