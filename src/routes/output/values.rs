//! One event as the outputs of a route want it: what several of them need is made once, when the first asks.

use std::cell::OnceCell;

use bytes::Bytes;

use super::KafkaFraming;
use crate::salesforce::event::{
    DecodeError, DecodedEvent, EventSchema, EventView, FieldIndex, json_values, write_datum, write_header,
};

/// One event, with what was made of it so far.
pub(super) struct EventValues<'a> {
    pub(super) schema: &'a EventSchema,
    payload: &'a [u8],
    event: &'a DecodedEvent,
    index: OnceCell<FieldIndex>,
    json: OnceCell<Vec<Bytes>>,
    headers: OnceCell<Vec<Vec<u8>>>,
    /// The datum behind the framing of one schema id: outputs of one contract share it.
    framed: OnceCell<(u32, Vec<Bytes>)>,
}

impl<'a> EventValues<'a> {
    pub(super) const fn new(schema: &'a EventSchema, payload: &'a [u8], event: &'a DecodedEvent) -> Self {
        Self {
            schema,
            payload,
            event,
            index: OnceCell::new(),
            json: OnceCell::new(),
            headers: OnceCell::new(),
            framed: OnceCell::new(),
        }
    }

    /// How many records the event becomes: one for each record id, one where it names none.
    pub(super) fn records(&self) -> usize {
        self.event.record_ids().len().max(1)
    }

    /// The event, ready to be looked into. The proof that it decodes to its last byte.
    pub(super) fn view(&self) -> Result<EventView<'_>, DecodeError> {
        let index = match self.index.get() {
            Some(index) => index,
            None => {
                let made = FieldIndex::new(self.schema, self.payload, self.event)?;
                self.index.get_or_init(|| made)
            }
        };
        Ok(EventView {
            schema: self.schema,
            payload: self.payload,
            event: self.event,
            index,
        })
    }

    /// The whole event as JSON, by record.
    pub(super) fn json(&self) -> Result<&[Bytes], DecodeError> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let made = json_values(self.schema, self.payload, self.event)?;
        Ok(self
            .json
            .get_or_init(|| made.into_iter().map(Bytes::from).collect()))
    }

    /// The whole event as Salesforce's Avro, its header readable, framed for readers of this schema id.
    pub(super) fn avro(&self, schema_id: u32) -> Result<Vec<Bytes>, DecodeError> {
        if let Some((_, values)) = self.framed.get().filter(|(of, _)| *of == schema_id) {
            return Ok(values.clone());
        }
        self.view()?;
        let names: usize = self.event.header().map_or(0, |header| {
            let fields = header.changed_fields.iter().chain(&header.nulled_fields);
            fields.map(|name| name.len() + 1).sum()
        });
        let make = |record| {
            let mut value = Vec::with_capacity(KafkaFraming::BYTES + self.payload.len() + names);
            KafkaFraming(schema_id).write(&mut value);
            write_datum(
                self.schema,
                self.payload,
                self.event,
                self.record(record),
                &mut value,
            );
            Bytes::from(value)
        };
        let values: Vec<Bytes> = (0..self.records()).map(make).collect();
        // Another schema id's values may be kept already: these are then made once more for a third.
        let _ = self.framed.set((schema_id, values.clone()));
        Ok(values)
    }

    /// The header's value in the datum of one record; empty for a platform event.
    pub(super) fn header(&self, record: usize) -> &[u8] {
        let headers = self.headers.get_or_init(|| {
            let make = |record| {
                let mut header = Vec::new();
                write_header(self.schema, self.event, self.record(record), &mut header);
                header
            };
            (0..self.records()).map(make).collect()
        });
        headers.get(record).map_or(&[], Vec::as_slice)
    }

    /// A change that names no record has no id to hold alone.
    fn record(&self, record: usize) -> Option<usize> {
        (!self.event.record_ids().is_empty()).then_some(record)
    }
}
