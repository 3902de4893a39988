//! An event's fields in place: where each stands, and what a change event carries.
//!
//! A change event names all fields of its object but carries few of them: what did not change in an UPDATE, and
//! the whole body of a DELETE or a GAP, is null on the wire and absent in meaning. A field is **carried** when
//! the event came with its value: it stands in `changedFields`, the event is a CREATE or an UNDELETE, or it is
//! filled (enriched). A platform event carries everything.

use std::ops::Range;

use super::decode::DecodedEvent;
use super::error::{DecodeError, Problem};
use super::header::{ChangeEventHeader, ChangeType};
use super::schema::{EventSchema, Field};
use crate::avro::{Wire, WireError};

/// Where each field's value stands in the payload. Field 0 of a change event is its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldIndex {
    ends: Vec<usize>,
    start: usize,
}

impl FieldIndex {
    /// Reads the whole event once: what is indexed decodes to its last byte.
    ///
    /// # Errors
    /// When the payload does not fit the schema to its last byte.
    pub fn new(schema: &EventSchema, payload: &[u8], event: &DecodedEvent) -> Result<Self, DecodeError> {
        let fail = |problem| DecodeError::new(schema, problem);
        let body_offset = event.body_offset();
        let mut wire = Wire::new(payload.get(body_offset..).unwrap_or_default());
        let mut ends = Vec::with_capacity(schema.fields().len());
        let header_fields = usize::from(schema.is_change_event());
        ends.extend((0..header_fields).map(|_| body_offset));
        for (index, type_id) in schema.body_types().enumerate() {
            // Most fields of a change event are null, a zero byte each: no need to descend into their unions.
            if wire.rest().first() == Some(&0) && schema.avro().null_branch(type_id) == Some(0) {
                wire.skip(1);
            } else {
                wire.skip_value(schema.avro(), type_id)
                    .map_err(|_: WireError| fail(Problem::in_body(schema, index)))?;
            }
            ends.push(body_offset + wire.offset());
        }
        match wire.rest().len() {
            0 => Ok(Self {
                ends,
                start: body_offset,
            }),
            bytes => Err(fail(Problem::Trailing { bytes })),
        }
    }

    /// Of the field at this index; of the header, nothing (it is written anew, never copied).
    pub fn range(&self, field: usize) -> Range<usize> {
        let end = self.ends.get(field).copied().unwrap_or(self.start);
        let before = field.checked_sub(1).and_then(|before| self.ends.get(before));
        before.copied().unwrap_or(self.start).min(end)..end
    }
}

/// One event, ready to be looked into.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    pub schema: &'a EventSchema,
    pub payload: &'a [u8],
    pub event: &'a DecodedEvent,
    pub index: &'a FieldIndex,
}

impl<'a> EventView<'a> {
    pub fn header(&self) -> Option<&'a ChangeEventHeader> {
        self.event.header()
    }

    /// The bytes of a field's value, by its index in [`EventSchema::fields`]; of the header, none.
    pub fn value(&self, field: usize) -> &'a [u8] {
        self.payload.get(self.index.range(field)).unwrap_or_default()
    }

    /// Whether the value is null: the union's branch says so.
    pub fn is_null(&self, field: usize) -> bool {
        let avro = self.schema.avro();
        let type_id = self.schema.field_type(field);
        let branch = Wire::new(self.value(field)).long().ok();
        type_id
            .and_then(|type_id| avro.null_branch(type_id))
            .is_some_and(|null| branch.and_then(|branch| usize::try_from(branch).ok()) == Some(null))
    }

    /// Whether the value is a diff against the field's former text, not the text.
    pub fn is_diff(&self, field: usize) -> bool {
        let (Some(header), Some(field)) = (self.header(), self.schema.fields().get(field)) else {
            return false;
        };
        header.diff_fields.iter().any(|name| name == field.name())
    }

    /// Whether the event came with this field's value, or with any of its children's.
    pub fn carries(&self, field: usize) -> bool {
        let (Some(header), Some(known)) = (self.header(), self.schema.fields().get(field)) else {
            return true;
        };
        self.carries_all(header) || !self.is_null(field) || names_field(header, known)
    }

    /// Whether the event came with a compound field's child: `BillingAddress`, `City`. `is_filled` says whether
    /// the child has a value.
    pub fn carries_child(&self, field: usize, child: &str, is_filled: bool) -> bool {
        let (Some(header), Some(known)) = (self.header(), self.schema.fields().get(field)) else {
            return true;
        };
        let named = |name: &std::sync::Arc<str>| {
            name == known.name()
                || name
                    .strip_prefix(&**known.name())
                    .and_then(|rest| rest.strip_prefix('.'))
                    == Some(child)
        };
        self.carries_all(header) || is_filled || header.changed_fields.iter().any(named)
    }

    fn carries_all(&self, header: &ChangeEventHeader) -> bool {
        matches!(
            header.change_type,
            ChangeType::Create | ChangeType::Undelete | ChangeType::Snapshot
        )
    }
}

/// Whether `changedFields` names the field or one of its children.
fn names_field(header: &ChangeEventHeader, field: &Field) -> bool {
    header
        .changed_fields
        .iter()
        .any(|name| name == field.name() || field.children().contains(name))
}
