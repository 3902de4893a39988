//! `key: field:<Name>`: a field's value as the record's key.
//!
//! Text stands as it is, numbers and times in their JSON form. A value that the event does not carry (unchanged in
//! an UPDATE, the whole body of a DELETE), that is null, or that is a diff gives no key: a record without its key
//! would lose its place in the order, so such an event is a dead letter.

use std::sync::Arc;

use bytes::Bytes;

use super::form::long_form;
use crate::avro::{Kind, LongForm, Schema, TypeId, Wire, write_value_as_json};
use crate::salesforce::event::{EventSchema, EventView};

/// Where the field stands in one schema.
#[derive(Debug, Clone)]
pub(super) struct KeyField {
    path: Arc<str>,
    field: usize,
    child: Option<(Arc<str>, usize)>,
    form: LongForm,
}

/// Why there is no key. Names the field, not its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("key field {field}: {event} has no such field")]
    NoSuchField { field: Arc<str>, event: String },
    #[error(
        "key field {field}: this event does not carry it; add the field to the event by enrichment, or use `key: record_id`"
    )]
    NotCarried { field: Arc<str> },
    #[error("key field {field}: it is null")]
    Null { field: Arc<str> },
    #[error("key field {field}: its value has no text form")]
    NoText { field: Arc<str> },
}

impl KeyField {
    pub(super) fn new(path: &str, schema: &EventSchema) -> Result<Self, KeyError> {
        let missing = || KeyError::NoSuchField {
            field: path.into(),
            event: schema.name().to_owned(),
        };
        let (name, child) = path
            .split_once('.')
            .map_or((path, None), |(name, child)| (name, Some(child)));
        let field = schema.fields().iter().position(|field| **field.name() == *name);
        let field = field.ok_or_else(missing)?;
        let known = schema.fields().get(field).ok_or_else(missing)?;
        let child = match child {
            None => None,
            Some(child) => {
                let place = known.children().iter().position(|known| **known == *path);
                Some((child.into(), place.ok_or_else(missing)?))
            }
        };
        Ok(Self {
            path: path.into(),
            field,
            child,
            form: long_form(known.doc_type()),
        })
    }

    /// The value of the field in this event.
    pub(super) fn of(&self, view: &EventView<'_>) -> Result<Bytes, KeyError> {
        let field = || Arc::clone(&self.path);
        if !view.carries(self.field) || view.is_diff(self.field) {
            return Err(KeyError::NotCarried { field: field() });
        }
        let avro = view.schema.avro();
        let no_text = || KeyError::NoText { field: field() };
        let mut type_id = view.schema.field_type(self.field).ok_or_else(no_text)?;
        let mut wire = Wire::new(view.value(self.field));
        if let Some((name, place)) = &self.child {
            type_id = value_type(avro, type_id, &mut wire).ok_or_else(no_text)?;
            let filled = match avro.kind(type_id) {
                Kind::Record(record) => {
                    for before in record.fields.iter().take(*place) {
                        wire.skip_value(avro, before.type_id).map_err(|_| no_text())?;
                    }
                    type_id = record.fields.get(*place).ok_or_else(no_text)?.type_id;
                    true
                }
                _ => false,
            };
            if !view.carries_child(self.field, name, filled) {
                return Err(KeyError::NotCarried { field: field() });
            }
            if !filled {
                return Err(KeyError::Null { field: field() });
            }
        }
        let type_id = value_type(avro, type_id, &mut wire).ok_or_else(no_text)?;
        match avro.kind(type_id) {
            Kind::Null => Err(KeyError::Null { field: field() }),
            Kind::String => wire
                .text()
                .map(|text| Bytes::copy_from_slice(text.as_bytes()))
                .map_err(|_| no_text()),
            Kind::Boolean | Kind::Int | Kind::Long | Kind::Float | Kind::Double | Kind::Enum { .. } => {
                let mut json = Vec::new();
                write_value_as_json(avro, type_id, self.form, &mut wire, &mut json).map_err(|_| no_text())?;
                let text = json.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
                Ok(Bytes::copy_from_slice(text.unwrap_or(&json)))
            }
            _ => Err(no_text()),
        }
    }
}

/// The type of the value that `wire` stands at, past its union's branch.
fn value_type(avro: &Schema, type_id: TypeId, wire: &mut Wire<'_>) -> Option<TypeId> {
    match avro.kind(type_id) {
        Kind::Union(branches) => {
            let index = wire
                .index(branches.len(), crate::avro::WireError::NoSuchBranch)
                .ok()?;
            branches.get(index).copied()
        }
        _ => Some(type_id),
    }
}
