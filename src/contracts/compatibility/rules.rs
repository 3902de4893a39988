//! Avro's schema resolution for one pair of types: what is wrong with the pair itself, and which pairs of inner
//! types it comes down to. Where the specification leaves room, it is as in Java's `SchemaCompatibility`:
//!
//! * Names are compared without their namespace; aliases with it.
//! * A reader's field that matches several of the writer's, by its name and aliases, is refused.
//! * Logical types do not count: they change no byte.
//! * An enum's default does not stand in for the default of the field.

use crate::avro::{Kind, Name, Record, Schema, TypeId};

/// A type of the reader's and a type of the writer's.
pub(super) type Pair = (TypeId, TypeId);

/// What keeps the reader from reading, in the pair itself.
#[derive(Debug, Clone)]
pub(super) enum Fault<'a> {
    /// The types differ and none is promoted to the other.
    Type,
    /// The reader's type has neither the name of the writer's nor an alias for it.
    Name { reader: &'a Name, writer: &'a Name },
    Size {
        name: &'a Name,
        reader: usize,
        writer: usize,
    },
    /// Symbols that the reader's enum lacks, and its default too.
    Symbols { name: &'a Name, missing: Vec<&'a str> },
    /// The writer has no such field, and the reader no default.
    FieldAbsent { field: &'a str, type_id: TypeId },
    /// The writer has several fields for this one.
    FieldAmbiguous { field: &'a str, matches: Vec<&'a str> },
    /// No branch of the reader's union reads the type.
    Branch,
}

/// From a type to a type within it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// A union's branch: the same place.
    Branch,
    Field(&'a str),
    Items,
    Values,
}

/// What a pair comes down to: it can be read if it has no fault, every pair of `all` can, and, where there is
/// `any`, at least one of those.
#[derive(Debug, Default)]
pub(super) struct Comparison<'a> {
    pub(super) faults: Vec<Fault<'a>>,
    pub(super) all: Vec<(Step<'a>, Pair)>,
    pub(super) any: Option<Vec<Pair>>,
}

pub(super) fn compare<'a>(reader: &'a Schema, writer: &'a Schema, pair: Pair) -> Comparison<'a> {
    let mut comparison = Comparison::default();
    let Comparison { faults, all, any } = &mut comparison;
    match (reader.kind(pair.0), writer.kind(pair.1)) {
        (_, Kind::Union(branches)) => {
            all.extend(branches.iter().map(|branch| (Step::Branch, (pair.0, *branch))));
        }
        (Kind::Union(branches), _) => {
            *any = Some(branches.iter().map(|branch| (*branch, pair.1)).collect());
        }
        (Kind::Array(reads), Kind::Array(wrote)) => all.push((Step::Items, (*reads, *wrote))),
        (Kind::Map(reads), Kind::Map(wrote)) => all.push((Step::Values, (*reads, *wrote))),
        (Kind::Record(reads), Kind::Record(wrote)) => {
            faults.extend(name(&reads.name, &reads.aliases, &wrote.name));
            fields(reads, wrote, &mut comparison);
        }
        (
            Kind::Enum {
                name: reads,
                aliases,
                symbols: known,
                default,
            },
            Kind::Enum {
                name: wrote, symbols, ..
            },
        ) => {
            faults.extend(name(reads, aliases, wrote));
            let unknown = symbols.iter().filter(|symbol| !known.contains(symbol));
            let missing: Vec<_> = unknown.map(String::as_str).collect();
            if !missing.is_empty() && default.is_none() {
                faults.push(Fault::Symbols { name: reads, missing });
            }
        }
        (
            Kind::Fixed {
                name: reads,
                aliases,
                size: reader,
            },
            Kind::Fixed {
                name: wrote,
                size: writer,
                ..
            },
        ) => {
            faults.extend(name(reads, aliases, wrote));
            if reader != writer {
                faults.push(Fault::Size {
                    name: reads,
                    reader: *reader,
                    writer: *writer,
                });
            }
        }
        (reads, wrote) if is_same(reads, wrote) || is_promoted(reads, wrote) => {}
        _ => faults.push(Fault::Type),
    }
    comparison
}

/// Of the reader's branches, the one to explain by why the writer's type cannot be read: of the same kind and,
/// if there are several such, of the same name.
pub(super) fn nearest(reader: &Schema, writer: &Schema, branches: &[Pair]) -> Option<Pair> {
    let alike = |pair: &&Pair| is_same(reader.kind(pair.0), writer.kind(pair.1));
    let mut candidates: Vec<_> = branches.iter().filter(alike).copied().collect();
    if candidates.len() > 1 {
        candidates.retain(|pair| !compare(reader, writer, *pair).faults.iter().any(is_of_name));
    }
    match candidates[..] {
        [only] => Some(only),
        _ => None,
    }
}

const fn is_of_name(fault: &Fault<'_>) -> bool {
    matches!(fault, Fault::Name { .. })
}

fn is_same(reads: &Kind, wrote: &Kind) -> bool {
    std::mem::discriminant(reads) == std::mem::discriminant(wrote)
}

const fn is_promoted(reads: &Kind, wrote: &Kind) -> bool {
    matches!(
        (reads, wrote),
        (Kind::Long, Kind::Int)
            | (Kind::Float, Kind::Int | Kind::Long)
            | (Kind::Double, Kind::Int | Kind::Long | Kind::Float)
            | (Kind::Bytes, Kind::String)
            | (Kind::String, Kind::Bytes)
    )
}

fn name<'a>(reader: &'a Name, aliases: &[String], writer: &'a Name) -> Option<Fault<'a>> {
    let known = reader.name == writer.name || aliases.contains(&writer.to_string());
    (!known).then_some(Fault::Name { reader, writer })
}

fn fields<'a>(reader: &'a Record, writer: &'a Record, comparison: &mut Comparison<'a>) {
    for reads in &reader.fields {
        let field = reads.name.as_str();
        let names = std::iter::once(&reads.name).chain(&reads.aliases);
        let matches: Vec<_> = names
            .filter_map(|name| writer.fields.iter().find(|wrote| wrote.name == *name))
            .collect();
        match matches[..] {
            [wrote] => comparison
                .all
                .push((Step::Field(field), (reads.type_id, wrote.type_id))),
            [] if reads.default.is_some() => {}
            [] => comparison.faults.push(Fault::FieldAbsent {
                field,
                type_id: reads.type_id,
            }),
            [..] => comparison.faults.push(Fault::FieldAmbiguous {
                field,
                matches: matches.iter().map(|wrote| wrote.name.as_str()).collect(),
            }),
        }
    }
}
