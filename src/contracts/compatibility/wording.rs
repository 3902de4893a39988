//! A fault in words: what the field was, what it is now, which version cannot read it. Types are written as Avro's
//! JSON, definitions by their name.

use serde_json::{Value as Json, json};

use crate::avro::{Kind, Record, Schema, TypeId};

use super::resolution::Found;
use super::rules::Fault;
use super::{Direction, Incompatibility};

pub(super) fn incompatibility(
    found: &Found<'_>,
    reader: &Schema,
    writer: &Schema,
    direction: Direction<'_>,
) -> Incompatibility {
    Incompatibility {
        path: found.path.clone(),
        rule: match direction {
            Direction::Backward { earlier } => backward(found, reader, writer, earlier),
            Direction::Forward { earlier } => forward(found, reader, writer, earlier),
        },
    }
}

/// The reader is the new schema.
fn backward(found: &Found<'_>, reader: &Schema, writer: &Schema, earlier: &str) -> String {
    let was = type_text(writer, found.site.1);
    let now = type_text(reader, found.site.0);
    match &found.fault {
        Fault::Type | Fault::Branch => {
            let written = type_text(writer, found.pair.1);
            format!("was {was}, is now {now}, which cannot read the {written} of {earlier}")
        }
        Fault::Name { reader, writer } => {
            format!("was {writer}, is now {reader} without an alias for {writer}, as {earlier} calls it")
        }
        Fault::Size { name, reader, writer } => format!(
            "was {writer} bytes, is now {reader} bytes, and the fixed {name} cannot read the size of {earlier}"
        ),
        Fault::Symbols { name, missing } => {
            let symbols = listed("symbol", missing);
            format!("no longer has the {symbols} of {earlier}, and the enum {name} has no default")
        }
        Fault::FieldAbsent { type_id, .. } => {
            let now = type_text(reader, *type_id);
            format!("was absent in {earlier}, is now {now} and gives no default")
        }
        Fault::FieldAmbiguous { matches, .. } => {
            let fields = listed("field", matches);
            format!("stands by its name and aliases for the {fields} of {earlier}; it can stand for one")
        }
    }
}

/// The reader is the earlier schema.
fn forward(found: &Found<'_>, reader: &Schema, writer: &Schema, earlier: &str) -> String {
    let was = type_text(reader, found.site.0);
    let now = type_text(writer, found.site.1);
    match &found.fault {
        Fault::Type | Fault::Branch => {
            let which = if found.pair.1 == found.site.1 {
                "which".to_owned()
            } else {
                format!("whose {}", type_text(writer, found.pair.1))
            };
            format!("was {was}, is now {now}, {which} {earlier} cannot read as {was}")
        }
        Fault::Name { reader, writer } => {
            format!("was {reader}, is now {writer}, for which {earlier} has no alias")
        }
        Fault::Size { name, reader, writer } => format!(
            "was {reader} bytes, is now {writer} bytes, which the fixed {name} of {earlier} cannot read"
        ),
        Fault::Symbols { name, missing } => {
            let symbols = listed("symbol", missing);
            format!("has the new {symbols}, unknown to {earlier}, whose enum {name} has no default")
        }
        Fault::FieldAbsent { type_id, .. } => {
            let was = type_text(reader, *type_id);
            format!("was {was}, is now absent and {earlier} gives no default")
        }
        Fault::FieldAmbiguous { matches, .. } => {
            let fields = listed("field", matches);
            format!("stands by its name and aliases in {earlier} for the {fields}; it can stand for one")
        }
    }
}

/// `symbol "A"`, `symbols "A", "B"`
fn listed(what: &str, names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{what}{plural} {}", names.join(", "))
}

fn type_text(schema: &Schema, id: TypeId) -> String {
    type_json(schema, id).to_string()
}

fn type_json(schema: &Schema, id: TypeId) -> Json {
    let node = schema.node(id);
    let json = match &node.kind {
        Kind::Record(Record { name, .. }) | Kind::Enum { name, .. } | Kind::Fixed { name, .. } => {
            return json!(name.to_string());
        }
        Kind::Union(branches) => {
            return branches.iter().map(|branch| type_json(schema, *branch)).collect();
        }
        Kind::Array(items) => json!({"type": "array", "items": type_json(schema, *items)}),
        Kind::Map(values) => json!({"type": "map", "values": type_json(schema, *values)}),
        primitive => json!(primitive.describe()),
    };
    match (&node.logical, json) {
        (None, json) => json,
        (Some(logical), Json::Object(mut object)) => {
            object.insert("logicalType".to_owned(), json!(logical));
            Json::Object(object)
        }
        (Some(logical), primitive) => json!({"type": primitive, "logicalType": logical}),
    }
}
