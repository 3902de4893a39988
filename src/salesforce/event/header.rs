//! `ChangeEventHeader`: read by hand, because it is the first field of every change event and the only one
//! that every route needs.
//!
//! In: a payload and the header's fields in the order of the event's own schema. Out: the values, owned, with
//! bitmaps already turned into field names, and the offset at which the body begins. A header field that
//! this program does not know is kept as JSON, so that a field which Salesforce adds stops nothing.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeSeed as _;
use serde_avro_fast::Schema;
use serde_avro_fast::de::DeserializerState;
use std::io::BufRead as _;

use super::bitmap::field_names;
use super::error::Problem;
use super::json::JsonValue;
use super::schema::Field;
use crate::avro::{Wire, WireError};

/// What happened to the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChangeType {
    #[default]
    Create,
    Update,
    Delete,
    Undelete,
    /// A change that Salesforce could not describe: the header tells which records, the body is null.
    GapCreate,
    GapUpdate,
    GapDelete,
    GapUndelete,
    /// More changes in one transaction than Salesforce describes: not even the records are told.
    GapOverflow,
    Snapshot,
}

impl ChangeType {
    const ALL: [Self; 10] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Undelete,
        Self::GapCreate,
        Self::GapUpdate,
        Self::GapDelete,
        Self::GapUndelete,
        Self::GapOverflow,
        Self::Snapshot,
    ];

    /// Salesforce's symbol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Undelete => "UNDELETE",
            Self::GapCreate => "GAP_CREATE",
            Self::GapUpdate => "GAP_UPDATE",
            Self::GapDelete => "GAP_DELETE",
            Self::GapUndelete => "GAP_UNDELETE",
            Self::GapOverflow => "GAP_OVERFLOW",
            Self::Snapshot => "SNAPSHOT",
        }
    }

    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|change_type| change_type.name() == symbol)
    }

    /// A change without its data: `GAP_*`, the overflow among them.
    pub const fn is_gap(self) -> bool {
        matches!(
            self,
            Self::GapCreate | Self::GapUpdate | Self::GapDelete | Self::GapUndelete | Self::GapOverflow
        )
    }

    /// An unknown number of changes without data and without record ids.
    pub const fn is_overflow(self) -> bool {
        matches!(self, Self::GapOverflow)
    }
}

/// A change event's header. What a schema does not have is empty here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeEventHeader {
    pub entity_name: String,
    pub record_ids: Vec<String>,
    pub change_type: ChangeType,
    pub change_origin: String,
    pub transaction_key: String,
    pub sequence_number: i64,
    pub commit_timestamp_ms: i64,
    pub commit_number: i64,
    pub commit_user: String,
    /// Names, complete, children as `Parent.Child`; so are the two below.
    pub nulled_fields: Vec<Arc<str>>,
    pub diff_fields: Vec<Arc<str>>,
    pub changed_fields: Vec<Arc<str>>,
    /// Fields that this program does not know, in the schema's order.
    pub(super) unknown: Vec<UnknownField>,
}

/// A header field's value, both as it came and as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UnknownField {
    pub(super) avro: Vec<u8>,
    json: Vec<u8>,
}

/// The header's fields in wire order.
pub(super) struct HeaderSchema {
    pub(super) fields: Vec<HeaderField>,
}

pub(super) struct HeaderField {
    pub(super) name: Arc<str>,
    /// `"name":`, made once: it is written with every event.
    pub(super) json_key: Vec<u8>,
    /// A number of 32 bits: a wider one is no value of the schema, and other readers refuse it.
    pub(super) is_int: bool,
    pub(super) slot: Slot,
}

/// Which value of the header a field is.
#[allow(
    clippy::large_enum_variant,
    reason = "a dozen of them a schema; none is ever moved after parsing"
)]
pub(super) enum Slot {
    EntityName,
    RecordIds,
    /// By index in the schema's enum: the symbol, and what we take it for.
    ChangeType(Vec<(Arc<str>, Option<ChangeType>)>),
    ChangeOrigin,
    TransactionKey,
    SequenceNumber,
    CommitTimestamp,
    CommitNumber,
    CommitUser,
    NulledFields,
    DiffFields,
    ChangedFields,
    Unknown(Schema),
}

impl HeaderSchema {
    /// The header and the offset of the first byte after it.
    pub(super) fn decode(
        &self,
        payload: &[u8],
        event_fields: &[Field],
    ) -> Result<(ChangeEventHeader, usize), Problem> {
        let mut header = ChangeEventHeader::default();
        let mut wire = Wire::new(payload);
        for field in &self.fields {
            header.read(field, &mut wire, event_fields)?;
        }
        Ok((header, wire.offset()))
    }

    /// Appends the header as a JSON object; with `record`, `recordIds` is just the id at that index.
    pub(super) fn write_json(&self, header: &ChangeEventHeader, record: Option<usize>, out: &mut Vec<u8>) {
        let mut unknown = header.unknown.iter();
        out.push(b'{');
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&field.json_key);
            match &field.slot {
                Slot::EntityName => write(out, &header.entity_name),
                Slot::RecordIds => match record.and_then(|record| header.record_ids.get(record)) {
                    Some(id) => write(out, &[id]),
                    None => write(out, &header.record_ids),
                },
                Slot::ChangeType(_) => write(out, header.change_type.name()),
                Slot::ChangeOrigin => write(out, &header.change_origin),
                Slot::TransactionKey => write(out, &header.transaction_key),
                Slot::SequenceNumber => write(out, &header.sequence_number),
                Slot::CommitTimestamp => write(out, &header.commit_timestamp_ms),
                Slot::CommitNumber => write(out, &header.commit_number),
                Slot::CommitUser => write(out, &header.commit_user),
                Slot::NulledFields => write(out, &header.nulled_fields),
                Slot::DiffFields => write(out, &header.diff_fields),
                Slot::ChangedFields => write(out, &header.changed_fields),
                Slot::Unknown(_) => {
                    out.extend_from_slice(unknown.next().map_or(b"null", |unknown| unknown.json.as_slice()))
                }
            }
        }
        out.push(b'}');
    }
}

impl ChangeEventHeader {
    fn read(
        &mut self,
        field: &HeaderField,
        wire: &mut Wire<'_>,
        event_fields: &[Field],
    ) -> Result<(), Problem> {
        let name = || Arc::clone(&field.name);
        let broken = |cause| Problem::Header { field: name(), cause };
        let names = |wire: &mut Wire<'_>| {
            let bitmaps = wire.texts().map_err(broken)?;
            field_names(&bitmaps, event_fields).map_err(|cause| Problem::Bitmap { field: name(), cause })
        };
        let text = |wire: &mut Wire<'_>| wire.text().map(str::to_owned).map_err(broken);
        let number = |wire: &mut Wire<'_>| match field.is_int {
            true => wire.int().map(i64::from).map_err(broken),
            false => wire.long().map_err(broken),
        };
        match &field.slot {
            Slot::EntityName => self.entity_name = text(wire)?,
            Slot::RecordIds => {
                let ids = wire.texts().map_err(broken)?;
                self.record_ids = ids.into_iter().map(str::to_owned).collect();
            }
            Slot::ChangeType(symbols) => {
                let index = usize::try_from(wire.long().map_err(broken)?);
                let symbol = index.ok().and_then(|index| symbols.get(index));
                let (symbol, known) = symbol.ok_or_else(|| broken(WireError::NoSuchSymbol))?;
                self.change_type = known.ok_or_else(|| Problem::ChangeType {
                    field: name(),
                    symbol: Arc::clone(symbol),
                })?;
            }
            Slot::ChangeOrigin => self.change_origin = text(wire)?,
            Slot::TransactionKey => self.transaction_key = text(wire)?,
            Slot::SequenceNumber => self.sequence_number = number(wire)?,
            Slot::CommitTimestamp => self.commit_timestamp_ms = number(wire)?,
            Slot::CommitNumber => self.commit_number = number(wire)?,
            Slot::CommitUser => self.commit_user = text(wire)?,
            Slot::NulledFields => self.nulled_fields = names(wire)?,
            Slot::DiffFields => self.diff_fields = names(wire)?,
            Slot::ChangedFields => self.changed_fields = names(wire)?,
            Slot::Unknown(schema) => {
                let value =
                    transcode(schema, wire).ok_or_else(|| Problem::UnknownHeader { field: name() })?;
                self.unknown.push(value);
            }
        }
        Ok(())
    }
}

/// One value, by its own schema.
fn transcode(schema: &Schema, wire: &mut Wire<'_>) -> Option<UnknownField> {
    let mut json = Vec::new();
    let rest = wire.rest();
    let mut state = DeserializerState::from_slice(rest, schema);
    JsonValue(&mut json).deserialize(state.deserializer()).ok()?;
    let left = state.fill_buf().ok()?.len();
    let avro = rest.get(..rest.len().saturating_sub(left))?.to_vec();
    wire.skip(avro.len());
    Some(UnknownField { avro, json })
}

/// Text, integers and lists of text: JSON can write them all, and a `Vec` takes every byte.
fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}
