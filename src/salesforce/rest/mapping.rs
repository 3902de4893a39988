//! Which of an object's fields make up its change event, and a row as that event's body. Pure.
//!
//! REST spreads compounds out, events nest them: `BillingAddress.Street` is `BillingStreet`, `Loc__c.Latitude` is
//! `Loc__Latitude__s`, the parts of a person's `Name` are fields of their own. What `describe` does not have is null,
//! as it is in the event of a user who may not see it. A compound of which nothing is filled is null.
//!
//! The body's bytes are those that follow the header in the event's datum; with another header in front they are a
//! whole event.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use crate::avro::{self, Kind, Schema, TypeId};

use super::describe::{Describe, FieldType};
use super::times;

/// The first field of every change event.
const HEADER_FIELD: &str = "ChangeEventHeader";
/// Whether an account is a person; there is such a field where the org has person accounts.
const IS_PERSON: &str = "IsPersonAccount";

/// A row's value that its event's schema cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: what REST answered does not fit the event's {expected}")]
pub struct Misfit {
    pub field: String,
    pub expected: String,
}

/// A field of REST and how its values become the event's.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    field_type: FieldType,
    type_id: TypeId,
}

/// The parts of a compound, by the names that the event gives them.
type Parts = Vec<(String, Option<Column>)>;

#[derive(Debug, PartialEq)]
enum Source {
    /// Describe has nothing for it.
    Absent,
    One(Column),
    Compound(Parts),
    /// `Account.Name`: text, but of a person its parts.
    TextOrPerson {
        text: Column,
        person: Parts,
    },
}

/// How an event's fields are read from an object.
#[derive(Debug)]
pub struct Mapping<'s> {
    schema: &'s Schema,
    /// One for each field behind the header.
    fields: Vec<(&'s avro::Field, Source)>,
    header_fields: usize,
}

impl<'s> Mapping<'s> {
    pub fn new(event: &'s Schema, object: &Describe) -> Self {
        let all = event.record().map_or(&[][..], |record| &record.fields);
        let header_fields = usize::from(all.first().is_some_and(|field| field.name == HEADER_FIELD));
        let body = all.get(header_fields..).unwrap_or_default();
        Self {
            schema: event,
            fields: body
                .iter()
                .map(|field| (field, source(event, field, object)))
                .collect(),
            header_fields,
        }
    }

    /// The fields to select, each once.
    pub fn select(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (_, source) in &self.fields {
            match source {
                Source::Absent => {}
                Source::One(column) => names.push(column.name.as_str()),
                Source::Compound(parts) => names.extend(columns(parts)),
                Source::TextOrPerson { text, person } => {
                    names.extend([text.name.as_str(), IS_PERSON]);
                    names.extend(columns(person));
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }

    /// A row as the event's body.
    ///
    /// # Errors
    /// When a value does not fit the event's schema.
    pub fn body(&self, row: &Map<String, Json>) -> Result<Body, Misfit> {
        let mut body = Body {
            json: Map::new(),
            bytes: Vec::new(),
            ends: vec![0; self.header_fields],
        };
        for (field, source) in &self.fields {
            let value = source.value(self.schema, row).map_err(|type_id| Misfit {
                field: field.name.clone(),
                expected: self.schema.describe(type_id),
            })?;
            let written = avro::write_json_value(self.schema, field.type_id, &value, &mut body.bytes);
            written.map_err(|_| Misfit {
                field: field.name.clone(),
                expected: self.schema.describe(field.type_id),
            })?;
            body.ends.push(body.bytes.len());
            body.json.insert(field.name.clone(), value);
        }
        Ok(body)
    }
}

/// A record's present state, shaped as its event.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    json: Map<String, Json>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Body {
    /// By the event's field names, without the header; times in milliseconds, as Avro has them.
    pub const fn json(&self) -> &Map<String, Json> {
        &self.json
    }

    /// What follows the header in the event's datum.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One field's bytes, by its index in the event's schema; of the header, none.
    pub fn field(&self, index: usize) -> &[u8] {
        let end = self.ends.get(index).copied().unwrap_or_default();
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let range: Range<usize> = start.copied().unwrap_or_default()..end;
        self.bytes.get(range).unwrap_or_default()
    }
}

fn columns(parts: &Parts) -> impl Iterator<Item = &str> {
    parts
        .iter()
        .filter_map(|(_, column)| Some(column.as_ref()?.name.as_str()))
}

fn source(event: &Schema, field: &avro::Field, object: &Describe) -> Source {
    let branches = event.branches(field.type_id);
    let record = branches.iter().find_map(|branch| event.as_record(*branch));
    let plain = branches
        .iter()
        .find(|branch| !matches!(event.kind(**branch), Kind::Null | Kind::Record(_)));
    let one = plain.and_then(|type_id| column(&field.name, *type_id, object));
    let Some(record) = record else {
        return one.map_or(Source::Absent, Source::One);
    };
    let parts: Parts = record
        .fields
        .iter()
        .map(|part| {
            let branches = event.branches(part.type_id);
            let value = branches.iter().find(|id| !matches!(event.kind(**id), Kind::Null));
            let names = part_names(&field.name, &record.name.name, &part.name);
            let found =
                value.and_then(|type_id| names.iter().find_map(|name| column(name, *type_id, object)));
            (part.name.clone(), found)
        })
        .collect();
    let has_parts = columns(&parts).next().is_some();
    match one {
        Some(text) if has_parts && object.field(IS_PERSON).is_some() => {
            Source::TextOrPerson { text, person: parts }
        }
        Some(text) => Source::One(text),
        None if has_parts => Source::Compound(parts),
        None => Source::Absent,
    }
}

fn column(name: &str, type_id: TypeId, object: &Describe) -> Option<Column> {
    let field_type = object.field(name)?.field_type;
    // A whole compound is an object of its own, in words of its own.
    (field_type != FieldType::Compound).then(|| Column {
        name: name.to_owned(),
        field_type,
        type_id,
    })
}

/// What REST may call a part of a compound; the first one that the object has is it.
fn part_names(field: &str, record: &str, part: &str) -> Vec<String> {
    if record.ends_with("PersonName") {
        return vec![part.to_owned()];
    }
    // Custom fields, and those of a person account that come from its contact.
    for (custom, suffixes) in [("__c", &["__s"][..]), ("__pc", &["__ps", "__s", "__pc"][..])] {
        if let Some(stem) = field.strip_suffix(custom) {
            return suffixes
                .iter()
                .map(|suffix| format!("{stem}__{part}{suffix}"))
                .collect();
        }
    }
    vec![format!(
        "{}{part}",
        field.strip_suffix("Address").unwrap_or(field)
    )]
}

type Value = Result<Json, TypeId>;

impl Source {
    /// The value as JSON of the event's shape; else the type that it does not fit.
    fn value(&self, schema: &Schema, row: &Map<String, Json>) -> Value {
        match self {
            Self::Absent => Ok(Json::Null),
            Self::One(column) => column.value(schema, row),
            Self::Compound(parts) => compound(schema, parts, row),
            Self::TextOrPerson { text, person } => match row.get(IS_PERSON) {
                Some(Json::Bool(true)) => compound(schema, person, row),
                _ => text.value(schema, row),
            },
        }
    }
}

fn compound(schema: &Schema, parts: &Parts, row: &Map<String, Json>) -> Value {
    let mut values = Map::new();
    for (name, column) in parts {
        let value = match column {
            Some(column) => column.value(schema, row)?,
            None => Json::Null,
        };
        values.insert(name.clone(), value);
    }
    if values.values().all(Json::is_null) {
        return Ok(Json::Null);
    }
    Ok(Json::Object(values))
}

impl Column {
    fn value(&self, schema: &Schema, row: &Map<String, Json>) -> Value {
        let given = row.get(&self.name).unwrap_or(&Json::Null);
        let value = match (schema.kind(self.type_id), given) {
            (_, Json::Null) => Some(Json::Null),
            (Kind::Long, Json::String(text)) => times::epoch_ms(self.field_type, text).map(Json::from),
            (Kind::Int | Kind::Long, Json::Number(number)) => integer(number).map(Json::from),
            (Kind::Double | Kind::Float, Json::Number(_))
            | (Kind::Boolean, Json::Bool(_))
            | (Kind::String, Json::String(_)) => Some(given.clone()),
            _ => None,
        };
        value.ok_or(self.type_id)
    }
}

/// REST writes whole numbers of some fields as `40.0`.
fn integer(number: &serde_json::Number) -> Option<i64> {
    /// Up to here a double holds every integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let value = number.as_f64()?;
        #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
        (value.fract() == 0.0 && value.abs() <= EXACT_MAX).then_some(value as i64)
    })
}

#[cfg(test)]
mod tests;
