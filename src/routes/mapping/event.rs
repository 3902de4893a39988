//! A record as a platform event's payload.
//!
//! An event has all of its fields: one without a value is null, or its schema's default, or the record is refused. Of
//! the fields that Salesforce wants from a publisher, `CreatedDate` and `CreatedById` are filled in (F§5.1).

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::coerce::{self, Rule};
use super::ignored::Ignored;
use super::{Decoded, Program, Refusal};
use crate::avro::{Kind, Schema, TypeId, write, write_json_value};
use crate::salesforce::event::{DocType, EventSchema};

const CREATED_DATE: &str = "CreatedDate";
const CREATED_BY: &str = "CreatedById";

/// How a field's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    DateTime,
    DateOnly,
    TimeOnly,
    /// As JSON of the very shape that Avro wants.
    AsIs,
}

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The expression at this index.
    Expression(usize),
    Name,
    CreatedDate,
    CreatedBy,
    /// Explicit fields say nothing of it.
    Nowhere,
}

#[derive(Debug)]
struct Column {
    name: String,
    type_id: TypeId,
    shape: Shape,
    /// The union's branch of the value; `None`: no union, or one that is written [`Shape::AsIs`].
    branch: Option<usize>,
    null_branch: Option<usize>,
    default: Option<Json>,
    origin: Origin,
}

/// A platform event with one version of its schema.
#[derive(Debug)]
pub struct EventTarget {
    program: Arc<Program>,
    event: String,
    schema_id: String,
    schema: Schema,
    columns: Vec<Column>,
    /// By field name.
    by_name: HashMap<String, usize>,
    user_id: Json,
    ignored: Ignored,
}

impl EventTarget {
    /// `user_id` becomes `CreatedById`.
    ///
    /// # Errors
    /// Every field of the mapping that the event does not have or that sfbridge fills in: at the start, and when
    /// Salesforce shows another schema.
    pub fn new(program: Arc<Program>, schema: &EventSchema, user_id: &str) -> Result<Self, Vec<Refusal>> {
        if schema.is_change_event() {
            let rule = format!("{} is a change event, which nobody can publish", schema.name());
            return Err(vec![Refusal::of_record(rule)]);
        }
        let fields = schema.avro().record().map_or(&[][..], |record| &record.fields);
        let mut columns: Vec<_> = fields
            .iter()
            .zip(schema.fields())
            .map(|(field, told)| column(schema.avro(), field, told.doc_type(), program.is_by_name()))
            .collect();
        let by_name: HashMap<_, _> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name.clone(), index))
            .collect();
        let mut refusals = Vec::new();
        for (index, name) in program.names().enumerate() {
            match by_name.get(name).and_then(|column| columns.get_mut(*column)) {
                Some(column) if column.origin == Origin::Nowhere => column.origin = Origin::Expression(index),
                Some(_) => refusals.push(Refusal::of_field(name, "is filled in by sfbridge; remove it")),
                None => refusals.push(Refusal::of_field(
                    name,
                    format_args!("{} has no such field", schema.name()),
                )),
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        Ok(Self {
            program,
            event: schema.name().to_owned(),
            schema_id: schema.id().to_owned(),
            schema: schema.avro().clone(),
            columns,
            by_name,
            user_id: Json::from(user_id),
            ignored: Ignored::default(),
        })
    }

    /// Salesforce's id of the schema that payloads are written with.
    pub fn schema_id(&self) -> &str {
        &self.schema_id
    }

    /// The event as a bare Avro datum; `now_ms` becomes `CreatedDate` (milliseconds since the epoch).
    ///
    /// # Errors
    /// A tombstone, a value that its field cannot hold, a required field without a value.
    pub fn payload(&self, record: &Decoded, now_ms: i64) -> Result<Vec<u8>, Refusal> {
        let Some(value) = &record.value else {
            return Err(Refusal::of_record(
                "an event needs a value, and the record is a tombstone; filter them out with `value != null`",
            ));
        };
        let members = match value {
            Json::Object(members) => Some(members),
            _ if !self.program.is_by_name() => None,
            other => {
                return Err(Refusal::of_record(format!(
                    "fields of equal names are of an object, and the value is {}",
                    coerce::kind_of(other)
                )));
            }
        };
        if let (true, Some(members)) = (self.program.is_by_name(), members) {
            for name in members
                .keys()
                .filter(|name| !self.by_name.contains_key(name.as_str()))
            {
                self.ignored.note(
                    self.program.route(),
                    &self.event,
                    name,
                    "the event has none of that name",
                );
            }
        }
        let mut out = Vec::with_capacity(self.columns.len() * 8);
        for column in &self.columns {
            let computed;
            let value = match column.origin {
                Origin::CreatedDate => {
                    computed = Json::from(now_ms);
                    Some(&computed)
                }
                Origin::CreatedBy => Some(&self.user_id),
                Origin::Name => members.and_then(|members| members.get(&column.name)),
                Origin::Nowhere => None,
                Origin::Expression(index) => match self.program.value(index, record)? {
                    Some(answer) => {
                        computed = answer;
                        Some(&computed)
                    }
                    None => None,
                },
            };
            column
                .write(&self.schema, value, &mut out)
                .map_err(|rule| Refusal::of_field(&column.name, rule))?;
        }
        Ok(out)
    }

    #[cfg(test)]
    pub(super) fn ignored(&self) -> Vec<String> {
        self.ignored.names()
    }
}

fn column(schema: &Schema, field: &crate::avro::Field, doc_type: DocType, by_name: bool) -> Column {
    let branches = schema.branches(field.type_id);
    let null_branch = schema.null_branch(field.type_id);
    let mut values = branches
        .iter()
        .enumerate()
        .filter(|(_, branch)| !matches!(schema.kind(**branch), Kind::Null));
    let (value, is_choice) = (values.next(), values.next().is_some());
    let shape = match value {
        Some((_, branch)) if !is_choice => shape(schema.kind(*branch), doc_type, field.doc.as_deref()),
        _ => Shape::AsIs,
    };
    let is_union = matches!(schema.kind(field.type_id), Kind::Union(_));
    Column {
        name: field.name.clone(),
        type_id: field.type_id,
        shape,
        branch: value
            .filter(|_| is_union && shape != Shape::AsIs)
            .map(|(index, _)| index),
        null_branch,
        default: field.default.clone(),
        origin: match field.name.as_str() {
            CREATED_DATE => Origin::CreatedDate,
            CREATED_BY => Origin::CreatedBy,
            _ if by_name => Origin::Name,
            _ => Origin::Nowhere,
        },
    }
}

fn shape(kind: &Kind, doc_type: DocType, doc: Option<&str>) -> Shape {
    let is_time = doc.and_then(|doc| doc.split(':').nth(1)) == Some("TimeOnly");
    match (kind, doc_type) {
        (Kind::String, _) => Shape::Text,
        (Kind::Boolean, _) => Shape::Boolean,
        (Kind::Int, _) => Shape::Int,
        (Kind::Long, DocType::DateTime) => Shape::DateTime,
        (Kind::Long, DocType::DateOnly) => Shape::DateOnly,
        (Kind::Long, DocType::Other) if is_time => Shape::TimeOnly,
        (Kind::Long, DocType::Other) => Shape::Long,
        (Kind::Float, _) => Shape::Float,
        (Kind::Double, _) => Shape::Double,
        _ => Shape::AsIs,
    }
}

impl Column {
    fn write(&self, schema: &Schema, value: Option<&Json>, out: &mut Vec<u8>) -> Result<(), Rule> {
        match (value, self.null_branch, &self.default) {
            (Some(value), ..) if !value.is_null() => self.write_value(schema, value, out),
            (_, Some(null), _) => {
                write::count(out, null);
                Ok(())
            }
            (_, None, Some(default)) => self.write_as_is(schema, default, out),
            (_, None, None) => Err("is required, and the record has no value for it".to_owned()),
        }
    }

    fn write_value(&self, schema: &Schema, value: &Json, out: &mut Vec<u8>) -> Result<(), Rule> {
        let start = out.len();
        if let Some(branch) = self.branch {
            write::count(out, branch);
        }
        let written = self.write_shape(schema, value, out);
        written.inspect_err(|_| out.truncate(start))
    }

    fn write_shape(&self, schema: &Schema, value: &Json, out: &mut Vec<u8>) -> Result<(), Rule> {
        match self.shape {
            Shape::Text => write::text(out, &coerce::text(value)?),
            Shape::Boolean => write::boolean(out, coerce::boolean(value)?),
            Shape::Int => write::long(out, coerce::int(value)?.into()),
            Shape::Long => write::long(out, coerce::integer(value)?),
            Shape::Float => write::float(out, float(coerce::double(value)?)?),
            Shape::Double => write::double(out, coerce::double(value)?),
            Shape::DateTime => write::long(out, coerce::date_time_ms(value)?),
            Shape::DateOnly => write::long(out, coerce::day_ms(value)?),
            Shape::TimeOnly => write::long(out, coerce::time_ms(value)?),
            Shape::AsIs => self.write_as_is(schema, value, out)?,
        }
        Ok(())
    }

    fn write_as_is(&self, schema: &Schema, value: &Json, out: &mut Vec<u8>) -> Result<(), Rule> {
        write_json_value(schema, self.type_id, value, out)
            .map_err(|_| format!("the value does not fit {}", schema.describe(self.type_id)))
    }
}

/// A float that reads as the number given.
fn float(value: f64) -> Result<f32, Rule> {
    #[allow(clippy::cast_possible_truncation, reason = "looked at again")]
    let float = value as f32;
    let again: f64 = float.to_string().parse().unwrap_or(f64::NAN);
    #[allow(clippy::float_cmp, reason = "exactly the same or not")]
    if again == value {
        Ok(float)
    } else {
        Err("would not hold the number exactly: it has more digits than a float".to_owned())
    }
}
