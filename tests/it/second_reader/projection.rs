//! A projection onto random contracts gives what the other implementation's own schema resolution gives, and
//! refuses what that refuses. Aliases are not among its rules: there the writer's field is renamed for it.

use std::sync::Arc;

use apache_avro::types::Value;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;
use serde_json::{Value as Json, json};
use sfbridge::avro::Schema;
use sfbridge::contracts::projection::Projection;

use super::{name_of, names_of, read, value_of};

/// A writer's field type, its named types without their names. A record in an array in a record is deep enough.
fn any_type() -> impl Strategy<Value = Json> {
    let primitives = ["boolean", "int", "long", "float", "double", "string", "bytes"];
    let primitive = select(primitives.to_vec()).prop_map(|name| json!(name));
    let symbols = Just(json!({"type": "enum", "symbols": ["A", "B", "C"]}));
    let leaf = prop_oneof![4 => primitive, 1 => symbols];
    let leaf = prop_oneof![leaf.clone(), leaf.prop_map(|it| json!(["null", it]))];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let record = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(|types| json!({"type": "record", "fields": fields(types)}));
        prop_oneof![
            1 => inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            1 => inner.prop_map(|values| json!({"type": "map", "values": values})),
            2 => record.clone(),
            1 => record.clone().prop_map(|it| json!(["null", it])),
            1 => record.prop_map(|it| json!(["null", "string", it])),
        ]
    })
}

fn fields(types: Vec<Json>) -> Vec<Json> {
    let field = |(index, type_)| json!({"name": format!("f{index}"), "type": type_});
    types.into_iter().enumerate().map(field).collect()
}

/// Gives every named type a name of its own.
fn name_types(schema: &mut Json, count: &mut usize) {
    match schema {
        Json::Array(parts) => parts.iter_mut().for_each(|part| name_types(part, count)),
        Json::Object(object) => {
            if object
                .get("type")
                .is_some_and(|type_| type_ == "record" || type_ == "enum")
            {
                *count += 1;
                object.insert("name".to_owned(), json!(format!("T{count}")));
            }
            object.values_mut().for_each(|part| name_types(part, count));
        }
        _ => {}
    }
}

fn any_writer() -> impl Strategy<Value = Json> {
    prop::collection::vec(any_type(), 1..7).prop_map(|types| {
        let mut schema = json!({"type": "record", "fields": fields(types)});
        name_types(&mut schema, &mut 0);
        schema
    })
}

/// A type that reads some or all of this one's values.
fn reader_type(writer: &Json) -> BoxedStrategy<Json> {
    match writer {
        Json::Array(branches) => {
            let all: Vec<_> = branches.iter().map(branch_type).collect();
            let whole = all.clone().prop_shuffle().prop_map(Json::Array);
            // One branch alone: the others are refused.
            let values = branches
                .iter()
                .filter(|branch| **branch != "null")
                .map(reader_type);
            let alone = Union::new(values.collect::<Vec<_>>());
            prop_oneof![3 => all.prop_map(Json::Array), 2 => whole, 1 => alone].boxed()
        }
        other => {
            let same = branch_type(other);
            let nullable = (branch_type(other), any::<bool>()).prop_map(|(type_, first)| {
                if first {
                    json!(["null", type_])
                } else {
                    json!([type_, "null"])
                }
            });
            prop_oneof![2 => same, 1 => nullable].boxed()
        }
    }
}

/// The same for what is no union.
fn branch_type(writer: &Json) -> BoxedStrategy<Json> {
    let any_of = |names: &[&'static str]| select(names.to_vec()).prop_map(|name| json!(name)).boxed();
    match writer.as_str().or(writer["type"].as_str()).unwrap_or_default() {
        "int" => any_of(&["int", "long", "float", "double"]),
        "long" => any_of(&["long", "float", "double"]),
        "float" => any_of(&["float", "double"]),
        "string" | "bytes" => any_of(&["string", "bytes"]),
        "array" => reader_type(&writer["items"])
            .prop_map(|items| json!({"type": "array", "items": items}))
            .boxed(),
        "map" => reader_type(&writer["values"])
            .prop_map(|values| json!({"type": "map", "values": values}))
            .boxed(),
        "enum" => {
            let name = name_of(writer);
            let symbols = subsequence(vec!["A", "B", "C"], 1..=3).prop_shuffle();
            (symbols, any::<bool>())
                .prop_map(move |(mut symbols, has_default)| {
                    let mut schema = json!({"type": "enum", "name": name});
                    if has_default {
                        symbols.push("OTHER");
                        schema["default"] = json!("OTHER");
                    }
                    schema["symbols"] = json!(symbols);
                    schema
                })
                .boxed()
        }
        "record" => reader_record(writer, false)
            .prop_map(|(schema, _)| schema)
            .boxed(),
        _ => Just(writer.clone()).boxed(),
    }
}

/// Some of the fields in any order, and some that the writer has not. With `renames`: those found by an alias.
fn reader_record(
    writer: &Json,
    renames: bool,
) -> impl Strategy<Value = (Json, Vec<(String, String)>)> + use<> {
    let (name, all) = (name_of(writer), writer["fields"].as_array().unwrap());
    let field = |field: &Json| (Just(name_of(field)), reader_type(&field["type"]), 0..4_u8);
    let all: Vec<_> = all.iter().map(field).collect();
    let added = added_fields(&name);
    let added = subsequence(added.clone(), 0..=added.len());
    (all, added, any::<bool>())
        .prop_flat_map(|(mut fields, added, whole)| {
            let at_least = if whole { fields.len() } else { 0 };
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let length = fields.len();
            (subsequence(fields, at_least..=length).prop_shuffle(), Just(added))
        })
        .prop_map(move |(fields, added)| {
            let mut renamed = Vec::new();
            let mut all: Vec<Json> = fields
                .into_iter()
                .map(|(name, type_, alias)| {
                    if !renames || alias > 0 {
                        return json!({"name": name, "type": type_});
                    }
                    let new = format!("{name}_renamed");
                    renamed.push((name.clone(), new.clone()));
                    json!({"name": new, "aliases": ["nowhere", name], "type": type_})
                })
                .collect();
            let at = all.len() / 2;
            all.splice(at..at, added);
            (json!({"type": "record", "name": name, "fields": all}), renamed)
        })
}

fn added_fields(record: &str) -> Vec<Json> {
    let kinds = json!({"type": "enum", "name": format!("Added{record}"), "symbols": ["X", "Y"]});
    let place = json!({"type": "record", "name": format!("Place{record}"), "fields": [{"name": "city", "type": "string"}, {"name": "rank", "type": "int", "default": 9}]});
    [
        (json!(["null", "string"]), json!(null)),
        (json!(["string", "null"]), json!("é")),
        (json!("int"), json!(-3)),
        (json!("long"), json!(1_099_511_627_776_i64)),
        (json!("double"), json!(1.5)),
        (json!("boolean"), json!(true)),
        (json!({"type": "array", "items": "long"}), json!([1, 2])),
        (json!({"type": "map", "values": "string"}), json!({"k": "v"})),
        (kinds, json!("Y")),
        (place, json!({"city": "Ulm"})),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (type_, default))| json!({"name": format!("added{index}"), "type": type_, "default": default}))
    .collect()
}

fn any_case() -> impl Strategy<Value = (Json, Value, Json, Vec<(String, String)>)> {
    any_writer().prop_flat_map(|writer| {
        let value = value_of(&writer, &names_of(&writer));
        let reader = reader_record(&writer, true);
        (Just(writer), value, reader).prop_map(|(writer, value, (mut reader, renamed))| {
            // A contract has a name of its own.
            reader["name"] = json!("Contract");
            (writer, value, reader, renamed)
        })
    })
}

fn renamed(value: &Value, names: &[(String, String)]) -> Value {
    let Value::Record(fields) = value else {
        panic!("{value:?}")
    };
    let new = |name: &String| {
        names
            .iter()
            .find(|(old, _)| old == name)
            .map_or(name, |(_, new)| new)
            .clone()
    };
    Value::Record(
        fields
            .iter()
            .map(|(name, value)| (new(name), value.clone()))
            .collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_contract_is_filled_as_the_other_implementation_resolves_it((writer, value, reader, aliases) in any_case()) {
        let ours = |json: &Json| Arc::new(Schema::from_json(json).unwrap());
        let theirs = |json: &Json| apache_avro::Schema::parse(json).unwrap();
        let datum = apache_avro::to_avro_datum(&theirs(&writer), value.clone()).unwrap();
        let projection = Projection::new(ours(&writer), ours(&reader));
        prop_assert!(projection.is_ok(), "{:?}", projection);
        let mut projected = Vec::new();
        let result = projection.unwrap().project_datum(&datum, &mut projected);
        let resolved = renamed(&value, &aliases).resolve(&theirs(&reader));
        match (result, resolved) {
            (Ok(()), Ok(resolved)) => prop_assert_eq!(read(&theirs(&reader), &projected), Some(resolved)),
            (Err(_), Err(_)) => prop_assert!(projected.is_empty()),
            (ours, theirs) => prop_assert!(false, "ours {:?}, theirs {:?}", ours, theirs),
        }
    }
}
