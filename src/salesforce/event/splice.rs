//! Avro to Avro: a new header in front, the rest of the datum byte for byte.
//!
//! The record has Salesforce's own schema. What differs from the bytes that came: `changedFields`, `nulledFields`
//! and `diffFields` hold names instead of bitmaps, and `recordIds` just the record's own id.

use super::decode::DecodedEvent;
use super::header::{ChangeEventHeader, HeaderSchema, Slot};
use super::schema::EventSchema;
use crate::avro::write;

/// Appends the event's datum to `out`. With `record`, `recordIds` holds just the id at that index.
///
/// The body is copied unseen: [`super::FieldIndex::new`] is the proof that it decodes.
pub fn write_datum(
    schema: &EventSchema,
    payload: &[u8],
    event: &DecodedEvent,
    record: Option<usize>,
    out: &mut Vec<u8>,
) {
    write_header(schema, event, record, out);
    out.extend_from_slice(payload.get(event.body_offset()..).unwrap_or_default());
}

/// Appends a change event's header as it stands in the record's datum; nothing for a platform event.
pub fn write_header(schema: &EventSchema, event: &DecodedEvent, record: Option<usize>, out: &mut Vec<u8>) {
    if let (Some(header), Some(header_schema)) = (event.header(), schema.header()) {
        header_schema.write_avro(header, record, out);
    }
}

impl HeaderSchema {
    fn write_avro(&self, header: &ChangeEventHeader, record: Option<usize>, out: &mut Vec<u8>) {
        let mut unknown = header.unknown.iter();
        for field in &self.fields {
            match &field.slot {
                Slot::EntityName => write::text(out, &header.entity_name),
                Slot::RecordIds => match record.and_then(|record| header.record_ids.get(record)) {
                    Some(id) => write::texts(out, std::iter::once(id)),
                    None => write::texts(out, header.record_ids.iter()),
                },
                Slot::ChangeType(symbols) => {
                    let known = |(_, known): &(_, Option<_>)| *known == Some(header.change_type);
                    write::count(out, symbols.iter().position(known).unwrap_or_default());
                }
                Slot::ChangeOrigin => write::text(out, &header.change_origin),
                Slot::TransactionKey => write::text(out, &header.transaction_key),
                Slot::SequenceNumber => write::long(out, header.sequence_number),
                Slot::CommitTimestamp => write::long(out, header.commit_timestamp_ms),
                Slot::CommitNumber => write::long(out, header.commit_number),
                Slot::CommitUser => write::text(out, &header.commit_user),
                Slot::NulledFields => write::texts(out, header.nulled_fields.iter()),
                Slot::DiffFields => write::texts(out, header.diff_fields.iter()),
                Slot::ChangedFields => write::texts(out, header.changed_fields.iter()),
                Slot::Unknown(_) => {
                    out.extend_from_slice(unknown.next().map_or(&[], |unknown| unknown.avro.as_slice()));
                }
            }
        }
    }
}
