//! A datum onto a reader's schema, in place: by Avro's resolution rules, without a value tree.
//!
//! * **In**: the fields of one record, each the bytes of its value, or absent.
//! * **Out**: the reader's datum. Fields are found by name, else by the reader's aliases; what is missing takes the
//!   reader's default; numbers promote.
//! * **Two kinds of no**: a [`Break`] when the plan is made, because no value of a field could ever be read; an
//!   [`Unsatisfied`] at run time, because this one cannot (a null where the reader allows none, a person's name
//!   where it wants text).
//!
//! Looser than the specification in one point: the names of records need not be the same. A team calls its contract
//! `Account`, Salesforce calls the event `AccountChangeEvent`.

mod plan;
mod refusals;

use std::sync::Arc;

use crate::avro::{Schema, SchemaError, TypeId, Wire, WireError, write};

pub use plan::Break;
pub use refusals::Refused;

/// The way from one schema to another, made once for all data.
#[derive(Debug)]
pub struct Projection {
    reader: Arc<Schema>,
    writer: Arc<Schema>,
    fields: Vec<Target>,
}

/// One field of the reader.
#[derive(Debug)]
struct Target {
    name: String,
    /// The writer's field and what becomes of its value.
    source: Option<(usize, Convert)>,
    /// Encoded.
    default: Option<Vec<u8>>,
}

/// What becomes of a value.
#[derive(Debug, Clone, PartialEq)]
enum Convert {
    /// The same bytes. The type is the writer's.
    Copy(TypeId),
    LongToFloat,
    LongToDouble,
    FloatToDouble,
    /// The same bytes, where they are text.
    BytesToString,
    /// The reader's index for each of the writer's symbols.
    Enum(Vec<Option<usize>>),
    Array(Box<Convert>),
    Map(Box<Convert>),
    Record(Box<RecordConvert>),
    /// By the writer's branch.
    FromUnion(Vec<Convert>),
    /// The reader's branch.
    IntoUnion(usize, Box<Convert>),
    /// This branch cannot be read.
    Refuse(Arc<str>),
}

#[derive(Debug, Clone, PartialEq)]
struct RecordConvert {
    writer_fields: Vec<TypeId>,
    targets: Vec<NestedTarget>,
}

#[derive(Debug, Clone, PartialEq)]
enum NestedTarget {
    Field(usize, Convert),
    Default(Vec<u8>),
}

/// A field of the writer, as this datum has it.
#[derive(Debug, Clone, Copy)]
pub enum FieldValue<'a> {
    Bytes(&'a [u8]),
    /// As if the writer had no such field: the reader's default stands in.
    Absent,
}

/// A value that the reader's schema has no room for. Names the field and the rule, not the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {rule}")]
pub struct Unsatisfied {
    pub field: String,
    pub rule: String,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    #[error("the schema cannot be read")]
    Schema(#[from] SchemaError),
    #[error("{0} is not a record")]
    NotARecord(&'static str),
    #[error("{}", plan::told(.0))]
    Broken(Vec<Break>),
}

enum Failed {
    Wire(WireError),
    Refused(Arc<str>),
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl Projection {
    /// Plans the way from `writer` to `reader`.
    ///
    /// # Errors
    /// [`ProjectionError::Broken`] with every field that could never be read.
    pub fn new(writer: Arc<Schema>, reader: Arc<Schema>) -> Result<Self, ProjectionError> {
        let fields = plan::fields(&writer, &reader)?;
        Ok(Self {
            reader,
            writer,
            fields,
        })
    }

    pub const fn reader(&self) -> &Arc<Schema> {
        &self.reader
    }

    /// For each field of the reader, in its order, the writer's field that it comes from.
    pub fn sources(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        let source = |target: &Target| target.source.as_ref().map(|(field, _)| *field);
        self.fields.iter().map(source)
    }

    /// Appends the reader's datum to `out`. `field` gives the writer's fields by their index.
    ///
    /// # Errors
    /// When a value does not fit the reader; `out` is then as it was.
    pub fn project<'a>(
        &self,
        field: impl Fn(usize) -> FieldValue<'a>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsatisfied> {
        let start = out.len();
        for target in &self.fields {
            self.write(target, &field, out).map_err(|failed| {
                out.truncate(start);
                Unsatisfied {
                    field: target.name.clone(),
                    rule: match failed {
                        Failed::Wire(error) => error.to_string(),
                        Failed::Refused(rule) => rule.to_string(),
                    },
                }
            })?;
        }
        Ok(())
    }

    /// The same for a whole datum of the writer.
    ///
    /// # Errors
    /// When it does not fit the writer, or a value does not fit the reader.
    pub fn project_datum(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), Unsatisfied> {
        let mut wire = Wire::new(datum);
        let mut ends = Vec::new();
        for field in self.writer.record().map_or(&[][..], |record| &record.fields) {
            wire.skip_value(&self.writer, field.type_id)
                .map_err(|error| Unsatisfied {
                    field: field.name.clone(),
                    rule: error.to_string(),
                })?;
            ends.push(wire.offset());
        }
        self.project(|index| FieldValue::Bytes(between(datum, &ends, index)), out)
    }

    fn write<'a>(
        &self,
        target: &Target,
        field: impl Fn(usize) -> FieldValue<'a>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let value = target
            .source
            .as_ref()
            .map(|(index, convert)| (field(*index), convert));
        match (value, &target.default) {
            (Some((FieldValue::Bytes(bytes), Convert::Copy(_))), _) => out.extend_from_slice(bytes),
            (Some((FieldValue::Bytes(bytes), convert)), _) => {
                convert.apply(&self.writer, &mut Wire::new(bytes), out)?;
            }
            (_, Some(default)) => out.extend_from_slice(default),
            (Some((FieldValue::Absent, _)) | None, None) => {
                return Err(Failed::Refused(
                    "the event has no value for it and the contract gives no default".into(),
                ));
            }
        }
        Ok(())
    }
}

/// The `index`-th of the values that end at `ends`.
fn between<'a>(datum: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).copied();
    let end = ends.get(index).copied().unwrap_or_default();
    datum.get(start.unwrap_or_default()..end).unwrap_or_default()
}

impl Convert {
    fn apply(&self, writer: &Schema, wire: &mut Wire<'_>, out: &mut Vec<u8>) -> Result<(), Failed> {
        match self {
            Self::Copy(type_id) => {
                let rest = wire.rest();
                let before = wire.offset();
                wire.skip_value(writer, *type_id)?;
                out.extend_from_slice(rest.get(..wire.offset() - before).unwrap_or_default());
            }
            #[allow(clippy::cast_precision_loss, reason = "what Avro's promotion of a long is")]
            Self::LongToFloat => write::float(out, wire.long()? as f32),
            #[allow(clippy::cast_precision_loss, reason = "what Avro's promotion of a long is")]
            Self::LongToDouble => write::double(out, wire.long()? as f64),
            Self::FloatToDouble => write::double(out, wire.float()?.into()),
            Self::BytesToString => write::text(out, wire.text()?),
            Self::Enum(symbols) => {
                let index = wire.index(symbols.len(), WireError::NoSuchSymbol)?;
                match symbols.get(index).copied().flatten() {
                    Some(index) => write::count(out, index),
                    None => {
                        return Err(Failed::Refused(
                            "the contract's enum lacks the event's symbol".into(),
                        ));
                    }
                }
            }
            Self::Array(items) => {
                wire.elements(|wire| {
                    write::count(out, 1);
                    items.apply(writer, wire, out)
                })?;
                out.push(0);
            }
            Self::Map(values) => {
                wire.elements(|wire| {
                    write::count(out, 1);
                    write::text(out, wire.text()?);
                    values.apply(writer, wire, out)
                })?;
                out.push(0);
            }
            Self::Record(record) => record.apply(writer, wire, out)?,
            Self::FromUnion(branches) => {
                let index = wire.index(branches.len(), WireError::NoSuchBranch)?;
                let branch = branches.get(index).ok_or(WireError::NoSuchBranch)?;
                branch.apply(writer, wire, out)?;
            }
            Self::IntoUnion(index, convert) => {
                write::count(out, *index);
                convert.apply(writer, wire, out)?;
            }
            Self::Refuse(rule) => return Err(Failed::Refused(Arc::clone(rule))),
        }
        Ok(())
    }
}

impl RecordConvert {
    fn apply(&self, writer: &Schema, wire: &mut Wire<'_>, out: &mut Vec<u8>) -> Result<(), Failed> {
        let datum = wire.rest();
        let start = wire.offset();
        let mut ends = Vec::with_capacity(self.writer_fields.len());
        for type_id in &self.writer_fields {
            wire.skip_value(writer, *type_id)?;
            ends.push(wire.offset() - start);
        }
        for target in &self.targets {
            match target {
                NestedTarget::Field(index, convert) => {
                    convert.apply(writer, &mut Wire::new(between(datum, &ends, *index)), out)?;
                }
                NestedTarget::Default(bytes) => out.extend_from_slice(bytes),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
