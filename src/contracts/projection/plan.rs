//! The plan of a projection: Avro's resolution rules, applied to two schemas once.

use super::{Convert, NestedTarget, ProjectionError, RecordConvert, Target};
use crate::avro::{Field, Kind, Record, Schema, TypeId, write_json_value};

/// Deeper than any contract; a type that contains itself would be resolved for ever.
const DEPTH_MAX: usize = 32;

/// A field of the contract that no value of the event's could ever fill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {rule}")]
pub struct Break {
    /// `Industry`, `BillingAddress.City`.
    pub field: String,
    pub rule: String,
}

pub(super) fn told(breaks: &[Break]) -> String {
    let lines: Vec<String> = breaks.iter().map(Break::to_string).collect();
    lines.join("; ")
}

pub(super) fn fields(writer: &Schema, reader: &Schema) -> Result<Vec<Target>, ProjectionError> {
    let from = writer
        .record()
        .ok_or(ProjectionError::NotARecord("the event's schema"))?;
    let to = reader
        .record()
        .ok_or(ProjectionError::NotARecord("the contract"))?;
    let planner = Planner { writer, reader };
    let mut targets = Vec::with_capacity(to.fields.len());
    let mut breaks = Vec::new();
    for field in &to.fields {
        let default = planner.default(field, &field.name);
        let source = match source_of(from, field) {
            Some((index, source)) => planner
                .resolve(source.type_id, field.type_id, &field.name, DEPTH_MAX)
                .map(|convert| Some((index, convert))),
            None => Ok(None),
        };
        match (default, source) {
            (Ok(None), Ok(None)) => breaks.push(missing(from, &field.name)),
            (Ok(default), Ok(source)) => targets.push(Target {
                name: field.name.clone(),
                source,
                default,
            }),
            (Err(broken), _) | (_, Err(broken)) => breaks.push(broken),
        }
    }
    if breaks.is_empty() {
        Ok(targets)
    } else {
        Err(ProjectionError::Broken(breaks))
    }
}

fn missing(writer: &Record, path: &str) -> Break {
    Break {
        field: path.to_owned(),
        rule: format!(
            "{} has no such field, and the contract gives no default",
            writer.name.name
        ),
    }
}

/// The writer's field of the reader's name, else of one of its aliases.
fn source_of<'w>(writer: &'w Record, reader: &Field) -> Option<(usize, &'w Field)> {
    let named = |name: &str| {
        writer
            .fields
            .iter()
            .enumerate()
            .find(|(_, field)| field.name == name)
    };
    named(&reader.name).or_else(|| reader.aliases.iter().find_map(|alias| named(alias)))
}

struct Planner<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
}

impl Planner<'_> {
    fn default(&self, field: &Field, path: &str) -> Result<Option<Vec<u8>>, Break> {
        let Some(json) = &field.default else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        write_json_value(self.reader, field.type_id, json, &mut bytes).map_err(|misfit| Break {
            field: path.to_owned(),
            rule: format!("the contract's default does not fit {}", misfit.expected),
        })?;
        Ok(Some(bytes))
    }

    fn resolve(&self, from: TypeId, to: TypeId, path: &str, depth: usize) -> Result<Convert, Break> {
        let broken = |rule: String| Break {
            field: path.to_owned(),
            rule,
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(broken(
                "a type that contains itself cannot be projected".to_owned(),
            ));
        };
        let misfit = || {
            let (from, to) = (self.writer.describe(from), self.reader.describe(to));
            broken(format!("is {from} and does not promote to the contract's {to}"))
        };
        let nested = |from, to| self.resolve(from, to, path, depth);
        match (self.writer.kind(from), self.reader.kind(to)) {
            (Kind::Union(branches), _) => {
                let converts: Vec<_> = branches.iter().map(|branch| nested(*branch, to)).collect();
                let is_value = |branch: &TypeId| !matches!(self.writer.kind(*branch), Kind::Null);
                let mut values = branches
                    .iter()
                    .zip(&converts)
                    .filter(|(branch, _)| is_value(branch));
                if let Some(broken) = values.clone().find_map(|(_, convert)| convert.clone().err())
                    && values.all(|(_, convert)| convert.is_err())
                {
                    return Err(broken);
                }
                let refuse = |(branch, convert): (&TypeId, Result<Convert, Break>)| {
                    convert.unwrap_or_else(|_| {
                        let rule = format!(
                            "it is {} here, and the contract takes {} alone",
                            self.writer.describe(*branch),
                            self.reader.describe(to)
                        );
                        Convert::Refuse(rule.into())
                    })
                };
                let converts: Vec<_> = branches.iter().zip(converts).map(refuse).collect();
                let same = |(index, convert): (usize, &Convert)| matches!(convert, Convert::IntoUnion(to, inner) if *to == index && matches!(**inner, Convert::Copy(_)));
                if converts.iter().enumerate().all(same) {
                    return Ok(Convert::Copy(from));
                }
                Ok(Convert::FromUnion(converts))
            }
            (_, Kind::Union(branches)) => {
                let exact = branches.iter().position(|branch| self.is_same(from, *branch));
                let chosen =
                    exact.or_else(|| branches.iter().position(|branch| nested(from, *branch).is_ok()));
                // The one branch that was meant says best what is wrong with it.
                let alike = |branch: &&TypeId| {
                    let kinds =
                        [self.writer.kind(from), self.reader.kind(**branch)].map(std::mem::discriminant);
                    kinds[0] == kinds[1]
                };
                let index = chosen.ok_or_else(|| {
                    let meant = branches.iter().find(alike);
                    meant
                        .and_then(|branch| nested(from, *branch).err())
                        .unwrap_or_else(misfit)
                })?;
                let branch = branches.get(index).ok_or_else(misfit)?;
                Ok(Convert::IntoUnion(index, Box::new(nested(from, *branch)?)))
            }
            (Kind::Null, Kind::Null)
            | (Kind::Boolean, Kind::Boolean)
            | (Kind::Int, Kind::Int | Kind::Long)
            | (Kind::Long, Kind::Long)
            | (Kind::Float, Kind::Float)
            | (Kind::Double, Kind::Double)
            | (Kind::String, Kind::String)
            | (Kind::String | Kind::Bytes, Kind::Bytes) => Ok(Convert::Copy(from)),
            (Kind::Bytes, Kind::String) => Ok(Convert::BytesToString),
            (Kind::Int | Kind::Long, Kind::Float) => Ok(Convert::LongToFloat),
            (Kind::Int | Kind::Long, Kind::Double) => Ok(Convert::LongToDouble),
            (Kind::Float, Kind::Double) => Ok(Convert::FloatToDouble),
            (Kind::Fixed { size, .. }, Kind::Fixed { size: wanted, .. }) if size == wanted => {
                Ok(Convert::Copy(from))
            }
            (
                Kind::Enum { symbols, .. },
                Kind::Enum {
                    symbols: known,
                    default,
                    ..
                },
            ) => {
                let place = |symbol: &String| known.iter().position(|known| known == symbol);
                let fallback = default.as_ref().and_then(place);
                let map: Vec<_> = symbols.iter().map(|symbol| place(symbol).or(fallback)).collect();
                if map.iter().all(Option::is_none) {
                    return Err(misfit());
                }
                let same = map.iter().enumerate().all(|(index, to)| *to == Some(index));
                Ok(if same {
                    Convert::Copy(from)
                } else {
                    Convert::Enum(map)
                })
            }
            (Kind::Array(from_items), Kind::Array(to_items)) => Ok(match nested(*from_items, *to_items)? {
                Convert::Copy(_) => Convert::Copy(from),
                items => Convert::Array(Box::new(items)),
            }),
            (Kind::Map(from_values), Kind::Map(to_values)) => Ok(match nested(*from_values, *to_values)? {
                Convert::Copy(_) => Convert::Copy(from),
                values => Convert::Map(Box::new(values)),
            }),
            (Kind::Record(written), Kind::Record(read)) => self.record(from, written, read, path, depth),
            _ => Err(misfit()),
        }
    }

    fn record(
        &self,
        from: TypeId,
        written: &Record,
        read: &Record,
        path: &str,
        depth: usize,
    ) -> Result<Convert, Break> {
        let mut targets = Vec::with_capacity(read.fields.len());
        for field in &read.fields {
            let path = format!("{path}.{}", field.name);
            targets.push(match source_of(written, field) {
                Some((index, source)) => {
                    NestedTarget::Field(index, self.resolve(source.type_id, field.type_id, &path, depth)?)
                }
                None => NestedTarget::Default(
                    self.default(field, &path)?
                        .ok_or_else(|| missing(written, &path))?,
                ),
            });
        }
        let same = |(at, target): (usize, &NestedTarget)| matches!(target, NestedTarget::Field(index, Convert::Copy(_)) if *index == at);
        if written.fields.len() == read.fields.len() && targets.iter().enumerate().all(same) {
            return Ok(Convert::Copy(from));
        }
        Ok(Convert::Record(Box::new(RecordConvert {
            writer_fields: written.fields.iter().map(|field| field.type_id).collect(),
            targets,
        })))
    }

    /// Whether a union's branch is the writer's very type: by kind, and by name where it has one.
    fn is_same(&self, from: TypeId, to: TypeId) -> bool {
        match (self.writer.kind(from), self.reader.kind(to)) {
            (Kind::Record(from), Kind::Record(to)) => from.name.name == to.name.name,
            (Kind::Enum { name: from, .. }, Kind::Enum { name: to, .. })
            | (Kind::Fixed { name: from, .. }, Kind::Fixed { name: to, .. }) => from.name == to.name,
            (Kind::Array(_), Kind::Array(_)) | (Kind::Map(_), Kind::Map(_)) => true,
            (from, to) => std::mem::discriminant(from) == std::mem::discriminant(to),
        }
    }
}
