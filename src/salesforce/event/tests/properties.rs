//! Random schemas and values: the JSON is that of `apache-avro`'s own value tree, written by its own rules.

use apache_avro::types::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::fixtures::{Header, change_schema, encode, parse, platform_schema, record, text, texts, value};
use crate::runtime::clock::rfc3339_ms;

/// A field's type, what stands in it, and the JSON that it must become.
#[derive(Debug, Clone)]
struct Sample {
    schema: Json,
    doc: &'static str,
    value: Value,
}

fn plain(schema: Json, value: Value) -> Sample {
    Sample {
        schema,
        doc: "Data:Text",
        value,
    }
}

/// Times within the years 0 to 9999, up to the last one that the clock's own formatting knows.
fn date_time() -> impl Strategy<Value = i64> {
    -62_167_219_200_000_i64..=253_402_207_199_999
}

fn scalar() -> impl Strategy<Value = Sample> {
    prop_oneof![
        ".{0,20}".prop_map(|it: String| plain(json!("string"), Value::String(it))),
        any::<i64>().prop_map(|it| plain(json!("long"), Value::Long(it))),
        any::<i32>().prop_map(|it| plain(json!("int"), Value::Int(it))),
        any::<bool>().prop_map(|it| plain(json!("boolean"), Value::Boolean(it))),
        (-1e300..1e300_f64).prop_map(|it| plain(json!("double"), Value::Double(it))),
        date_time().prop_map(|it| Sample {
            doc: "Data:DateTime:00N000000000001",
            ..plain(json!("long"), Value::Long(it))
        }),
        (-719_000..2_900_000_i64).prop_map(|days| Sample {
            doc: "Data:DateOnly",
            ..plain(json!("long"), Value::Long(days * 86_400_000))
        }),
        vec(".{0,8}", 0..4).prop_map(|it: Vec<String>| {
            let items = it.into_iter().map(Value::String).collect();
            plain(json!({"type": "array", "items": "string"}), Value::Array(items))
        }),
    ]
}

/// Null, the value, or the value in a three-way union.
fn nullable(sample: Sample, form: u8) -> Sample {
    let Sample { schema, doc, value } = sample;
    let (schema, value) = match form {
        0 => (schema, value),
        1 => (json!(["null", schema]), Value::Union(1, Box::new(value))),
        2 => (json!(["null", schema]), Value::Union(0, Box::new(Value::Null))),
        _ if doc == "Data:Text" && schema != json!("float") => {
            (json!(["null", "float", schema]), Value::Union(2, Box::new(value)))
        }
        _ => (json!(["null", schema]), Value::Union(1, Box::new(value))),
    };
    Sample { schema, doc, value }
}

fn any_field() -> impl Strategy<Value = Sample> {
    let leaf = (scalar(), 0..4_u8).prop_map(|(sample, form)| nullable(sample, form));
    let compound = (vec((scalar(), 0..4_u8), 0..4), 0..4_u8).prop_map(|(children, form)| {
        let mut fields = Vec::new();
        let mut values = Vec::new();
        for (index, (child, form)) in children.into_iter().enumerate() {
            let child = nullable(child, form);
            let name = format!("Child{index}");
            // Salesforce gives children no doc.
            fields.push(json!({"name": name, "type": child.schema}));
            values.push((name, child.value));
        }
        // The name is made unique by its place in the event.
        nullable(
            plain(json!({"type": "record", "fields": fields}), Value::Record(values)),
            form,
        )
    });
    prop_oneof![4 => leaf, 1 => compound]
}

/// Gives a record type a name of its own, wherever it stands.
fn name_record(schema: &mut Json, name: &str) {
    match schema {
        Json::Array(branches) => branches.iter_mut().for_each(|branch| name_record(branch, name)),
        Json::Object(object) if object.get("type") == Some(&json!("record")) => {
            object.insert("name".to_owned(), json!(name));
        }
        _ => {}
    }
}

fn to_json(value: &Value, doc: &str) -> Json {
    match value {
        Value::Union(_, inner) => to_json(inner, doc),
        Value::Long(it) if doc.contains(":DateTime") => json!(rfc3339_ms(*it)),
        Value::Long(it) if doc.contains(":DateOnly") => json!(rfc3339_ms(*it)[..10]),
        Value::Null => Json::Null,
        Value::Boolean(it) => json!(it),
        Value::Int(it) => json!(it),
        Value::Long(it) => json!(it),
        Value::Double(it) => json!(it),
        Value::String(it) => json!(it),
        Value::Array(items) => items.iter().map(|item| to_json(item, "")).collect(),
        Value::Record(fields) => fields
            .iter()
            .map(|(name, it)| (name.clone(), to_json(it, "")))
            .collect(),
        other => unreachable!("no such sample: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn json_is_what_the_value_tree_says(samples in vec(any_field(), 0..12), change in any::<bool>()) {
        let mut fields = Vec::new();
        let mut values = if change {
            vec![("ChangeEventHeader".to_owned(), Header::default().value())]
        } else {
            vec![("CreatedDate".to_owned(), Value::Long(5)), ("CreatedById".to_owned(), text("005"))]
        };
        let mut expected = Map::new();
        for (index, Sample { mut schema, doc, value }) in samples.into_iter().enumerate() {
            let name = format!("Field{index}__c");
            name_record(&mut schema, &format!("Record{index}"));
            expected.insert(name.clone(), to_json(&value, doc));
            fields.push(json!({"name": name, "type": schema, "doc": doc}));
            values.push((name, value));
        }
        let schema = if change { change_schema(&fields) } else { platform_schema(&fields) };
        let payload = encode(&schema, Value::Record(values));
        let parsed = parse(&schema);

        let mut decoded = value(&parsed, &payload);
        let object = decoded.as_object_mut().unwrap();
        let head = if change { vec!["ChangeEventHeader"] } else { vec!["CreatedDate", "CreatedById"] };
        for name in head {
            prop_assert!(object.remove(name).is_some());
        }
        // Through text as well: reading a double back may change its last digit, writing it does not.
        let expected: Json = serde_json::from_str(&Json::Object(expected).to_string()).unwrap();
        prop_assert_eq!(&decoded, &expected);

        // With a byte less it is never taken for a whole event.
        prop_assert!(texts(&parsed, &payload[..payload.len() - 1]).is_err());
    }

    #[test]
    fn a_header_reads_back_whatever_it_holds(origin in ".{0,40}", number in any::<i64>(), time in any::<i64>()) {
        let Value::Record(mut header) = Header::default().value() else { unreachable!() };
        header[3].1 = text(&origin);
        header[6].1 = Value::Long(time);
        header[7].1 = Value::Long(number);
        let schema = change_schema(&[]);
        let payload = encode(&schema, record(vec![("ChangeEventHeader", Value::Record(header))]));
        let json = value(&parse(&schema), &payload);
        let header = &json["ChangeEventHeader"];
        prop_assert_eq!(&header["changeOrigin"], &json!(origin));
        prop_assert_eq!(&header["commitNumber"], &json!(number));
        prop_assert_eq!(&header["commitTimestamp"], &json!(time));
    }
}
