//! From a decoded event to the records of every output of a route. Pure: values in, records out.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::cloud_event::EventHeaders;
use crate::config::{KafkaOutput, KeyConfig};
use crate::kafka::Record;
use crate::salesforce::event::{DecodeError, DecodedEvent, EventSchema, json_values};

const JSON: &str = "application/json";

/// The ids that name an event's records for ever: `<transactionKey>/<sequenceNumber>/<entityName>/<changeType>/
/// <record id>` for each record of a change (one with an empty record id where it names none), the event's own
/// id for a platform event.
pub fn ce_ids(event_id: &str, event: &DecodedEvent) -> Vec<String> {
    let Some(header) = event.header() else {
        return vec![event_id.to_owned()];
    };
    let prefix = format!(
        "{}/{}/{}/{}/",
        header.transaction_key,
        header.sequence_number,
        header.entity_name,
        header.change_type.name()
    );
    if header.record_ids.is_empty() {
        return vec![prefix];
    }
    header
        .record_ids
        .iter()
        .map(|id| format!("{prefix}{id}"))
        .collect()
}

/// What a topic name is filled with.
#[derive(Debug, Clone, Copy)]
struct Names<'a> {
    entity: &'a str,
    event: &'a str,
    route: &'a str,
}

/// One output with the topic names it has made so far: few, as many as there are entities.
#[derive(Debug)]
struct Output {
    template: String,
    key: KeyConfig,
    topics: HashMap<String, Arc<str>>,
}

impl Output {
    fn topic(&mut self, names: Names<'_>) -> Arc<str> {
        // The event's name stands for its entity, too: AccountChangeEvent is of Account alone.
        if let Some(topic) = self.topics.get(names.event) {
            return Arc::clone(topic);
        }
        let topic: Arc<str> = self
            .template
            .replace("{entity}", names.entity)
            .replace("{event}", names.event)
            .replace("{route}", names.route)
            .into();
        self.topics.insert(names.event.to_owned(), Arc::clone(&topic));
        topic
    }

    fn key(&self, ce_id: &Bytes, record_id: Option<&Bytes>) -> Option<Bytes> {
        match self.key {
            KeyConfig::RecordId => record_id.filter(|id| !id.is_empty()).cloned(),
            KeyConfig::EventId => Some(ce_id.clone()),
            // `field:` arrives with contracts; the configuration refuses it until then.
            KeyConfig::Field(_) | KeyConfig::None => None,
        }
    }
}

/// The outputs of one route.
#[derive(Debug)]
pub struct Outputs {
    route: String,
    outputs: Vec<Output>,
}

impl Outputs {
    pub fn new(route: &str, outputs: &[KafkaOutput]) -> Self {
        let outputs = outputs
            .iter()
            .map(|output| Output {
                template: output.topic.clone(),
                key: output.key.clone(),
                topics: HashMap::new(),
            })
            .collect();
        Self {
            route: route.to_owned(),
            outputs,
        }
    }

    /// The records of one event: for every output one a record id, in the order of the outputs. The value is
    /// decoded once and shared.
    ///
    /// # Errors
    /// When the payload does not fit its schema.
    pub fn records(
        &mut self,
        schema: &EventSchema,
        payload: &[u8],
        event: &DecodedEvent,
        ce_ids: &[String],
        headers: &EventHeaders,
        timestamp_ms: i64,
    ) -> Result<Vec<Record>, DecodeError> {
        let names = Names {
            entity: event.entity().unwrap_or_else(|| schema.name()),
            event: schema.name(),
            route: &self.route,
        };
        let values = json_values(schema, payload, event)?;
        let mut records = Vec::with_capacity(values.len() * self.outputs.len());
        let ids: Vec<(Bytes, Option<Bytes>)> = ce_ids
            .iter()
            .enumerate()
            .map(|(index, ce_id)| {
                let record_id = event.record_ids().get(index);
                (
                    Bytes::copy_from_slice(ce_id.as_bytes()),
                    record_id.map(|id| Bytes::copy_from_slice(id.as_bytes())),
                )
            })
            .collect();
        let values: Vec<Bytes> = values.into_iter().map(Bytes::from).collect();
        for output in &mut self.outputs {
            let topic = output.topic(names);
            for (value, (ce_id, record_id)) in values.iter().zip(&ids) {
                records.push(Record {
                    topic: Arc::clone(&topic),
                    partition: None,
                    key: output.key(ce_id, record_id.as_ref()),
                    value: Some(value.clone()),
                    headers: headers.record(Some(ce_id.clone()), record_id.clone(), JSON),
                    timestamp_ms,
                });
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FilterUnknown, Format};
    use crate::salesforce::event::decode;

    const EVENT: &str = r#"{"type":"record","name":"Order_Shipped__e","namespace":"com.sforce.eventbus","fields":[
        {"name":"CreatedDate","type":"long","doc":"CreatedDate:DateTime"},
        {"name":"CreatedById","type":"string","doc":"CreatedBy:EntityId"},
        {"name":"Number__c","type":["null","string"],"doc":"Data:Text:00N","default":null}]}"#;

    fn output(topic: &str, key: KeyConfig) -> KafkaOutput {
        KafkaOutput {
            topic: topic.to_owned(),
            key,
            format: Format::Json,
            tombstones: false,
            filter: None,
            filter_unknown: FilterUnknown::Keep,
            fields: None,
            contract: None,
        }
    }

    fn headers() -> EventHeaders {
        EventHeaders {
            source: Bytes::from_static(b"//acme/event/Order_Shipped__e"),
            route: Bytes::from_static(b"orders"),
            event_type: None,
            schema_id: None,
            time: None,
            replay_id: Bytes::from_static(b"00"),
            replayed: false,
        }
    }

    #[test]
    fn every_output_has_its_own_topic_and_key_and_all_share_one_value() {
        let schema = EventSchema::parse("s", EVENT).unwrap();
        // CreatedDate 1 ms, CreatedById "u", Number__c null.
        let payload = [2, 2, b'u', 0];
        let event = decode(&schema, &payload).unwrap();
        let outputs = [
            output("all.{route}.{event}", KeyConfig::EventId),
            output("entity.{entity}", KeyConfig::None),
        ];
        let ids = ce_ids("e-1", &event);
        let records = Outputs::new("orders", &outputs)
            .records(&schema, &payload, &event, &ids, &headers(), 7)
            .unwrap();
        let shown: Vec<_> = records
            .iter()
            .map(|record| (&*record.topic, record.key.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("all.orders.Order_Shipped__e", Some(&b"e-1"[..])),
                ("entity.Order_Shipped__e", None)
            ]
        );
        let value = records[0].value.clone().unwrap();
        assert_eq!(
            value,
            r#"{"CreatedDate":"1970-01-01T00:00:00.001Z","CreatedById":"u","Number__c":null}"#
        );
        assert_eq!(
            records[1].value.as_ref().unwrap().as_ptr(),
            value.as_ptr(),
            "decoded once"
        );
        assert!(records.iter().all(|record| record.timestamp_ms == 7));
    }

    #[test]
    fn a_payload_that_does_not_fit_its_schema_makes_no_record() {
        let schema = EventSchema::parse("s", EVENT).unwrap();
        let payload = [2, 2, b'u', 0, 99];
        let event = decode(&schema, &payload).unwrap();
        let refused = Outputs::new("orders", &[output("t", KeyConfig::None)]).records(
            &schema,
            &payload,
            &event,
            &["e".to_owned()],
            &headers(),
            7,
        );
        assert!(refused.is_err());
    }
}
