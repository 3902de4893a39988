//! Schemas at random, and what people do to them: fields come, go and are renamed, types widen and narrow.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::{Value as Json, json};
use sfbridge::avro::Schema;

use super::{History, Level};

const NAMES: [&str; 8] = [
    "Name", "Industry", "City", "Phone", "Tags", "Amount", "Owner", "Status",
];
const SYMBOLS: [&str; 5] = ["A", "B", "C", "D", "E"];
const PRIMITIVES: [&str; 7] = ["boolean", "int", "long", "float", "double", "bytes", "string"];
/// Deep enough for a union in an array in a record.
const DEPTH_MAX: u32 = 3;

pub(super) fn history(rng: &mut StdRng, number: u32) -> History {
    let mut schema = whole(rng);
    let mut next = |marker: &str, steps: u32| {
        for _ in 0..steps {
            schema = evolved(rng, &schema);
        }
        marked(&schema, marker)
    };
    let v1 = next("V1", 0);
    // Often only one of the two steps changes anything: else hardly a history would pass the strictest level.
    let v2 = next("V2", u32::from(number.is_multiple_of(3)));
    let new = next("V3", 1 + u32::from(number.is_multiple_of(5)));
    History {
        subject: format!("evolution-{number}"),
        versions: [v1, v2],
        new,
        registered_at: *Level::ALL.choose(rng).unwrap(),
    }
}

/// See `corners`: a field that breaks nobody makes the text unique.
fn marked(schema: &Json, marker: &str) -> String {
    let mut schema = schema.clone();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": marker, "type": "null", "default": null}));
    schema.to_string()
}

fn whole(rng: &mut StdRng) -> Json {
    loop {
        let mut schema = record(rng, 0);
        schema["name"] = json!("Account");
        schema["namespace"] = json!("n");
        if rng.random_bool(0.3) {
            let fields = schema["fields"].as_array_mut().unwrap();
            fields.push(json!({"name": "Parent", "type": ["null", "n.Account"], "default": null}));
        }
        settle(&mut schema);
        if is_schema(&schema) {
            return schema;
        }
    }
}

fn is_schema(schema: &Json) -> bool {
    Schema::from_json(schema).is_ok()
}

fn record(rng: &mut StdRng, depth: u32) -> Json {
    let count = rng.random_range(1..=4);
    let names: Vec<_> = NAMES.choose_multiple(rng, count).collect();
    let fields: Vec<Json> = names
        .into_iter()
        .map(|name| field(rng, name, depth + 1))
        .collect();
    json!({"type": "record", "name": type_name(rng), "fields": fields})
}

/// From a small pool, so that types that replace each other share names at times.
fn type_name(rng: &mut StdRng) -> String {
    format!("T{}", rng.random_range(0..30))
}

fn field(rng: &mut StdRng, name: &str, depth: u32) -> Json {
    let mut field = json!({"name": name, "type": any(rng, depth)});
    if rng.random_bool(0.5) {
        give_default(&mut field);
    }
    field
}

/// A default that the type allows, where there is a simple one.
fn give_default(field: &mut Json) {
    let default = match &field["type"] {
        Json::String(name) if name == "string" => json!(""),
        Json::String(name) if ["int", "long", "float", "double"].contains(&name.as_str()) => json!(0),
        Json::Array(branches) if branches.first() == Some(&json!("null")) => Json::Null,
        _ => return,
    };
    field["default"] = default;
}

fn any(rng: &mut StdRng, depth: u32) -> Json {
    let choices = if depth < DEPTH_MAX { 12 } else { 6 };
    match rng.random_range(0..choices) {
        0..=3 => json!(PRIMITIVES.choose(rng).unwrap()),
        4 => {
            let count = rng.random_range(1..=4);
            let symbols: Vec<_> = SYMBOLS.choose_multiple(rng, count).collect();
            json!({"type": "enum", "name": type_name(rng), "symbols": symbols})
        }
        5 => json!({"type": "fixed", "name": type_name(rng), "size": rng.random_range(1..=2)}),
        6 | 7 => json!(["null", any(rng, depth + 1)]),
        8 => json!({"type": "array", "items": any(rng, depth + 1)}),
        9 => json!({"type": "map", "values": any(rng, depth + 1)}),
        10 => json!([any(rng, depth + 1), any(rng, depth + 1), "null"]),
        _ => record(rng, depth),
    }
}

/// One change that leaves a valid schema.
fn evolved(rng: &mut StdRng, schema: &Json) -> Json {
    loop {
        let mut changed = schema.clone();
        if rng.random_bool(0.1) {
            rename_root(rng, &mut changed);
        } else {
            change_somewhere(rng, &mut changed);
        }
        settle(&mut changed);
        if changed != *schema && is_schema(&changed) {
            return changed;
        }
    }
}

fn rename_root(rng: &mut StdRng, schema: &mut Json) {
    let earlier = format!("n.{}", schema["name"].as_str().unwrap());
    let name = *["Account", "Konto", "Compte"].choose(rng).unwrap();
    let refers = schema
        .to_string()
        .replace(&format!("\"{earlier}\""), &format!("\"n.{name}\""));
    *schema = serde_json::from_str(&refers).unwrap();
    schema["name"] = json!(name);
    if rng.random_bool(0.5) {
        schema["aliases"] = json!([earlier]);
    }
}

fn change_somewhere(rng: &mut StdRng, schema: &mut Json) {
    let mut places = Vec::new();
    collect(schema, "", &mut places);
    let place = places.choose(rng).unwrap();
    let node = schema.pointer_mut(place).unwrap();
    if node.get("fields").is_some() {
        change_record(rng, node);
    } else if node.get("symbols").is_some() {
        change_enum(rng, node);
    } else if node.get("size").is_some() {
        node["size"] = json!(rng.random_range(1..=3));
    } else if node.is_array() {
        change_union(rng, node);
    } else {
        change_type(rng, node);
    }
}

/// JSON pointers of every type within, outermost first.
fn collect(node: &Json, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    if let Json::Array(branches) = node {
        for (index, branch) in branches.iter().enumerate() {
            collect(branch, &format!("{at}/{index}"), places);
        }
    }
    for key in ["items", "values"] {
        if let Some(inner) = node.get(key) {
            collect(inner, &format!("{at}/{key}"), places);
        }
    }
    let fields = node.get("fields").and_then(Json::as_array);
    for (index, field) in fields.into_iter().flatten().enumerate() {
        collect(&field["type"], &format!("{at}/fields/{index}/type"), places);
    }
}

fn change_record(rng: &mut StdRng, record: &mut Json) {
    let choice = rng.random_range(0..12);
    if choice == 0 {
        let earlier = record["name"].clone();
        // The root has its own way: others refer to it.
        if record.get("namespace").is_none() {
            record["name"] = json!(type_name(rng));
            if rng.random_bool(0.5) {
                record["aliases"] = json!([earlier]);
            }
        }
        return;
    }
    let fields = record["fields"].as_array_mut().unwrap();
    let name = *NAMES.choose(rng).unwrap();
    let at = if fields.is_empty() {
        0
    } else {
        rng.random_range(0..fields.len())
    };
    match choice {
        1..=3 => fields.insert(at, field(rng, name, 2)),
        4 => fields.insert(
            at,
            json!({"name": name, "type": ["null", "string"], "default": null}),
        ),
        _ if fields.is_empty() => {}
        5 | 6 => {
            fields.remove(at);
        }
        7 | 8 => {
            let earlier = std::mem::replace(&mut fields[at]["name"], json!(name));
            if rng.random_bool(0.7) {
                fields[at]["aliases"] = json!([earlier]);
            }
        }
        9 => give_default(&mut fields[at]),
        10 => {
            fields[at].as_object_mut().unwrap().shift_remove("default");
        }
        _ if rng.random_bool(0.3) => {
            // May match a second field of the writer's.
            fields[at]["aliases"] = json!([name]);
        }
        _ => fields.shuffle(rng),
    }
}

fn change_enum(rng: &mut StdRng, node: &mut Json) {
    let symbols = node["symbols"].as_array_mut().unwrap();
    match rng.random_range(0..4) {
        0 => symbols.push(json!(SYMBOLS.choose(rng).unwrap())),
        1 => {
            symbols.pop();
        }
        2 => node["default"] = node["symbols"][0].clone(),
        _ => node["name"] = json!(type_name(rng)),
    }
}

fn change_union(rng: &mut StdRng, union: &mut Json) {
    let branches = union.as_array_mut().unwrap();
    match rng.random_range(0..4) {
        0 => branches.push(any(rng, DEPTH_MAX)),
        1 if branches.len() > 1 => {
            let at = rng.random_range(0..branches.len());
            branches.remove(at);
        }
        2 => branches.shuffle(rng),
        _ => *union = branches.last().cloned().unwrap(),
    }
}

fn change_type(rng: &mut StdRng, node: &mut Json) {
    let promoted = match node.as_str() {
        Some("int") => *["long", "float", "double"].choose(rng).unwrap(),
        Some("long") => *["float", "double", "int"].choose(rng).unwrap(),
        Some("float") => "double",
        Some("string") => "bytes",
        Some("bytes") => "string",
        _ => "long",
    };
    *node = match rng.random_range(0..5) {
        0 => any(rng, 2),
        1 => json!(["null", node]),
        2 if node == "long" => json!({"type": "long", "logicalType": "timestamp-millis"}),
        _ => json!(promoted),
    };
}

/// Takes away what a change made invalid: defaults of another type, defaults that are no symbol, symbols twice.
fn settle(node: &mut Json) {
    if let Json::Array(branches) = node {
        branches.iter_mut().for_each(settle);
        return;
    }
    for key in ["items", "values"] {
        if let Some(inner) = node.get_mut(key) {
            settle(inner);
        }
    }
    for field in node
        .get_mut("fields")
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten()
    {
        settle(&mut field["type"]);
        if field.get("default").is_some() {
            field.as_object_mut().unwrap().shift_remove("default");
            give_default(field);
        }
        // Java refuses a field that is its own alias.
        if field
            .get("aliases")
            .is_some_and(|aliases| aliases[0] == field["name"])
        {
            field.as_object_mut().unwrap().shift_remove("aliases");
        }
    }
    if let Some(symbols) = node.get_mut("symbols").and_then(Json::as_array_mut) {
        symbols.sort_by_key(Json::to_string);
        symbols.dedup();
        let symbols = symbols.clone();
        if node
            .get("default")
            .is_some_and(|default| !symbols.contains(default))
        {
            node.as_object_mut().unwrap().shift_remove("default");
        }
    }
}
