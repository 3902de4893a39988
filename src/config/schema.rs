//! The JSON Schema (2020-12) of the file, for editors. It is generated from `keys`; rules between keys are
//! the program's alone.

use serde_json::{Map, Value, json};

use super::keys::connections::FILE;
use super::keys::{Key, Presence, Shape, Sign, Variant};
use super::read::FILE_SUFFIX;

/// What stands where `${…}` gives the value.
const INTERPOLATED: &str = "\\$\\{[^}\\r\\n]*\\}";

pub(super) fn schema() -> String {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sfbridge configuration",
    });
    if let (Some(root), Value::Object(file)) = (root.as_object_mut(), section(FILE)) {
        root.extend(file);
    }
    format!("{root:#}\n")
}

fn section(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut alternatives = Vec::new();
    for key in keys {
        let mut body = shape(&key.shape);
        describe(key, &mut body);
        let is_required = matches!(key.presence, Presence::Required);
        if matches!(key.shape, Shape::Secret) {
            let file = format!("{}{FILE_SUFFIX}", key.name);
            let description = format!(
                "The file that holds `{}`; a line break at its end is ignored.",
                key.name
            );
            properties.insert(
                file.clone(),
                json!({ "type": "string", "minLength": 1, "description": description }),
            );
            let (itself, file) = (json!({ "required": [key.name] }), json!({ "required": [file] }));
            alternatives.push(if is_required {
                json!({ "oneOf": [itself, file] })
            } else {
                json!({ "not": { "allOf": [itself, file] } })
            });
        } else if is_required {
            required.push(key.name);
        }
        properties.insert(key.name.to_owned(), body);
    }
    let mut section = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        section["required"] = json!(required);
    }
    if !alternatives.is_empty() {
        section["allOf"] = json!(alternatives);
    } else if keys.iter().all(|key| !matches!(key.presence, Presence::Required)) {
        // Its keys may all be commented out.
        section["type"] = json!(["object", "null"]);
    }
    section
}

fn describe(key: &Key, body: &mut Value) {
    let mut description = key.doc.to_owned();
    if !key.since.has_come() {
        description.push_str(&format!(" From release {}.", key.since));
    }
    match key.presence {
        Presence::Default(text) => body["default"] = default(&key.shape, text),
        Presence::Derived(how) => description.push_str(&format!(" Default: {how}.")),
        Presence::Required | Presence::Optional | Presence::Always => {}
    }
    body["description"] = json!(description);
}

fn default(shape: &Shape, text: &str) -> Value {
    let typed = match shape {
        Shape::Integer { .. } => text.parse::<i64>().ok().map(Value::from),
        Shape::Bool(_) => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    typed.unwrap_or_else(|| json!(text.trim_matches('"')))
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text(rule) => match rule.pattern {
            Some(pattern) => json!({ "type": "string", "pattern": or_interpolated(pattern) }),
            None => json!({ "type": "string", "minLength": 1 }),
        },
        Shape::Secret | Shape::File | Shape::Path => json!({ "type": "string", "minLength": 1 }),
        Shape::Integer { min, max } => {
            interpolated(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Shape::Percent => json!({ "type": "string", "pattern": or_interpolated("^[0-9]+(\\.[0-9]+)? ?%$") }),
        Shape::Duration => json!({ "type": "string", "pattern": or_interpolated("^[0-9]+(ms|s|m|h)$") }),
        Shape::Bool(_) => interpolated(json!({ "type": "boolean" })),
        Shape::Choice(choices) => {
            let names: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
            interpolated(json!({ "enum": names }))
        }
        Shape::Section(keys) => section(keys),
        Shape::Variants(variants) => {
            let forms: Vec<Value> = variants.iter().map(variant).collect();
            json!({ "oneOf": forms })
        }
        Shape::List(item) => json!({ "type": "array", "minItems": 1, "items": self::shape(item) }),
        Shape::OneOrMany(item) => {
            let item = self::shape(item);
            json!({ "anyOf": [item, { "type": "array", "minItems": 1, "items": item }] })
        }
        Shape::Properties | Shape::Expressions => {
            json!({ "type": ["object", "null"], "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
    }
}

/// One form of a section; what tells it from the others is part of it.
fn variant(variant: &Variant) -> Value {
    let mut form = section(variant.keys);
    form["title"] = json!(variant.name);
    let sign = &mut form["properties"][variant.sign.key()];
    match variant.sign {
        Sign::Has(_) => {}
        Sign::Is(_, value) => *sign = json!({ "const": value, "description": sign["description"] }),
        Sign::Topic(_) => sign["pattern"] = json!("^/"),
        Sign::Object(_) => sign["pattern"] = json!("^[^/]"),
    }
    form
}

fn interpolated(itself: Value) -> Value {
    json!({ "anyOf": [itself, { "type": "string", "pattern": INTERPOLATED }] })
}

fn or_interpolated(pattern: &str) -> String {
    format!("({pattern})|({INTERPOLATED})")
}
