//! One Avro value as a CEL value.
//!
//! `int` and `long` are ints, `float` and `double` doubles, times and days timestamps, enums their symbol,
//! records maps. Texts and bytes are borrowed from the payload.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelTimestamp,
};
use cel::common::value::Val;
use chrono::DateTime;

use crate::avro::{self, Field, Kind, Schema, TypeId, Wire, WireError};
use crate::salesforce::event::DocType;

/// Deeper than any record of Salesforce, as in [`Wire::skip_value`], which has read the value before.
const DEPTH_MAX: usize = 64;

const DAY_MS: i64 = 86_400_000;

/// CEL's timestamps lie in the years 1 to 9999. What Salesforce has outside them compares as their end.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// How a value is to be read.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) schema: &'a Schema,
    pub(super) type_id: TypeId,
    pub(super) doc_type: DocType,
}

impl<'a> Node<'a> {
    /// Salesforce describes the children of a compound field by their Avro type alone.
    pub(super) const fn of_child(schema: &'a Schema, child: &Field) -> Self {
        Self {
            schema,
            type_id: child.type_id,
            doc_type: DocType::Other,
        }
    }

    const fn under(self, type_id: TypeId) -> Self {
        Self { type_id, ..self }
    }
}

pub(super) fn value_of<'a>(node: Node<'a>, wire: &mut Wire<'a>) -> Result<Box<dyn Val + 'a>, WireError> {
    nested(node, wire, DEPTH_MAX)
}

fn nested<'a>(node: Node<'a>, wire: &mut Wire<'a>, depth: usize) -> Result<Box<dyn Val + 'a>, WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let avro::Node { kind, logical, .. } = node.schema.node(node.type_id);
    Ok(match kind {
        Kind::Null => Box::new(CelNull),
        Kind::Boolean => Box::new(CelBool::from(wire.boolean()?)),
        Kind::Int | Kind::Long => {
            let number = wire.long()?;
            match time_ms(node.doc_type, logical.as_deref(), number) {
                Some(ms) => timestamp(ms),
                None => Box::new(CelInt::from(number)),
            }
        }
        Kind::Float => Box::new(CelDouble::from(f64::from(wire.float()?))),
        Kind::Double => Box::new(CelDouble::from(wire.double()?)),
        Kind::Bytes => Box::new(CelBytes::from(wire.bytes()?)),
        Kind::Fixed { size, .. } => Box::new(CelBytes::from(wire.take(*size)?)),
        Kind::String => Box::new(CelString::from(wire.text()?)),
        Kind::Enum { symbols, .. } => {
            let symbol = wire.index(symbols.len(), WireError::NoSuchSymbol)?;
            Box::new(CelString::from(symbols[symbol].as_str()))
        }
        Kind::Array(items) => {
            let mut values = Vec::new();
            wire.elements(|wire| {
                values.push(nested(node.under(*items), wire, depth)?);
                Ok::<_, WireError>(())
            })?;
            Box::new(CelList::from(values))
        }
        Kind::Map(type_id) => {
            let mut values = HashMap::new();
            wire.elements(|wire| {
                let key = wire.text()?;
                values.insert(key.into(), nested(node.under(*type_id), wire, depth)?);
                Ok::<_, WireError>(())
            })?;
            Box::new(CelMap::from(values))
        }
        Kind::Union(branches) => {
            let branch = wire.index(branches.len(), WireError::NoSuchBranch)?;
            nested(node.under(branches[branch]), wire, depth)?
        }
        Kind::Record(record) => {
            let mut values = HashMap::with_capacity(record.fields.len());
            for child in &record.fields {
                let value = nested(Node::of_child(node.schema, child), wire, depth)?;
                values.insert(child.name.as_str().into(), value);
            }
            Box::new(CelMap::from(values))
        }
    })
}

/// Whether a number of this type is a time.
pub(super) fn is_time(doc_type: DocType, logical: Option<&str>) -> bool {
    time_ms(doc_type, logical, 0).is_some()
}

fn time_ms(doc_type: DocType, logical: Option<&str>, number: i64) -> Option<i64> {
    match (logical, doc_type) {
        (Some("timestamp-micros"), _) => Some(number.div_euclid(1000)),
        (Some("date"), _) => Some(number.saturating_mul(DAY_MS)),
        (_, DocType::DateOnly) => Some(number.div_euclid(DAY_MS) * DAY_MS),
        (Some("timestamp-millis"), _) | (_, DocType::DateTime) => Some(number),
        _ => None,
    }
}

fn timestamp<'a>(epoch_ms: i64) -> Box<dyn Val + 'a> {
    let at = DateTime::from_timestamp_millis(epoch_ms.clamp(FIRST_MS, LAST_MS)).unwrap_or_default();
    Box::new(CelTimestamp::from(at.fixed_offset()))
}
