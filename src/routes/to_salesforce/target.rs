//! What a route writes to, as Salesforce shows it now, and what one record becomes there.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::window::{Kind, Rules};
use crate::config::{Operation, SalesforceTarget, ToSalesforceConfig, Via};
use crate::error::Failure;
use crate::kafka::ConsumedRecord;
use crate::routes::dead_letter;
use crate::routes::mapping::{
    Decoded, EventTarget, ExternalId, Program, RecordTarget, Refusal, Victim, Write,
};
use crate::routes::route::Shared;
use crate::salesforce::pubsub::{EVENT_BYTES_MAX, OutgoingEvent, PUBLISH_BYTES_MAX, PUBLISH_EVENTS_MAX};
use crate::salesforce::rest::{WRITE_RECORDS_MAX, WriteTarget, fits_bulk};

/// A request's records together. Far below what REST takes (50 MB), far above two hundred usual records: a request
/// is to be answered within seconds.
const WRITE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whom an event is from where the login tells no user: Salesforce does not check it.
const NOBODY: &str = "005000000000000AAA";

/// Of the ids of published events: `Uuid::new_v5` of this and the record's place in Kafka. Never to be changed: a repeat
/// would get another id.
const EVENT_IDS: Uuid = Uuid::from_u128(0x5b1c_2a0e_7d0b_4f43_9c55_3f0d_6e1a_88b7);

/// What is sent for one record.
#[derive(Debug)]
pub(super) enum Outgoing {
    Event(OutgoingEvent),
    Record {
        /// Without an id where an update names the record by an external id: that is looked up.
        body: Box<RawValue>,
        external_id: Option<ExternalId>,
    },
    Delete(Victim),
}

/// A record with its place among the others.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// What versions of one record share.
    pub(super) key: Option<String>,
    pub(super) bytes: usize,
    pub(super) send: Outgoing,
}

#[derive(Debug)]
pub(super) enum Target {
    Event {
        schema_id: Arc<str>,
        event: EventTarget,
        cluster_id: Arc<str>,
    },
    Object {
        record: RecordTarget,
        /// Whether a backlog may go through Bulk.
        may_bulk: bool,
    },
}

impl Target {
    /// Asks Salesforce what the route writes to.
    ///
    /// # Errors
    /// `Denied` where it does not exist or may not be written; naming the fields of the mapping that it does not have.
    pub(super) async fn load(
        route: &str,
        flow: &ToSalesforceConfig,
        program: &Arc<Program>,
        shared: &Shared,
    ) -> Result<Self, Failure> {
        match &flow.to {
            SalesforceTarget::Event { topic } => Self::load_event(route, topic, program, shared).await,
            SalesforceTarget::Object {
                sobject,
                operation,
                external_id,
                on_tombstone,
                via,
            } => {
                // Somebody changed the object, or what the user may do: what was told an hour ago is why this is loaded.
                shared.salesforce.rest.forget_describe(sobject).await;
                let describe = shared.salesforce.rest.describe(sobject).await?;
                let target = RecordTarget::new(
                    Arc::clone(program),
                    &describe,
                    *operation,
                    external_id.as_deref(),
                    *on_tombstone,
                );
                let may_bulk = *via != Via::Collections;
                target
                    .map(|record| Self::Object { record, may_bulk })
                    .map_err(|wrong| Refusal::halt(route, &wrong))
            }
        }
    }

    async fn load_event(
        route: &str,
        topic: &str,
        program: &Arc<Program>,
        shared: &Shared,
    ) -> Result<Self, Failure> {
        let salesforce = &shared.salesforce;
        let info = salesforce.pubsub.get_publishable_topic(topic).await?;
        let schema = salesforce.schemas.get(&info.schema_id).await?;
        let session = salesforce.tokens.session().await?;
        let user = session.user_id.as_deref().unwrap_or(NOBODY);
        let event = EventTarget::new(Arc::clone(program), &schema, user)
            .map_err(|wrong| Refusal::halt(route, &wrong))?;
        Ok(Self::Event {
            schema_id: info.schema_id.into(),
            event,
            cluster_id: shared.connection.cluster_id().await?.into(),
        })
    }

    /// Whether events are written under this schema.
    pub(super) fn is_of_schema(&self, id: &str) -> bool {
        matches!(self, Self::Event { schema_id, .. } if **schema_id == *id)
    }

    /// What goes to Salesforce for a record; None: nothing.
    ///
    /// # Errors
    /// A record that can never be sent.
    pub(super) fn entry(
        &self,
        record: &ConsumedRecord,
        decoded: &Decoded,
        now_ms: i64,
    ) -> Result<Option<Entry>, Refusal> {
        match self {
            Self::Event {
                schema_id,
                event,
                cluster_id,
            } => {
                let event = OutgoingEvent {
                    id: event_id(cluster_id, record),
                    schema_id: Arc::clone(schema_id),
                    payload: Bytes::from(event.payload(decoded, now_ms)?),
                };
                if event.is_too_large() {
                    let bytes = event.payload.len();
                    return Err(Refusal::of_record(format!(
                        "the event has {bytes} bytes; Salesforce takes {EVENT_BYTES_MAX}"
                    )));
                }
                Ok(Some(Entry {
                    kind: Kind::Publish,
                    key: None,
                    bytes: event.request_bytes(),
                    send: Outgoing::Event(event),
                }))
            }
            Self::Object { record, may_bulk } => Ok(match record.write(decoded)? {
                Write::Ignore => None,
                Write::Delete(victim) => Some(Entry {
                    kind: Kind::Delete,
                    key: Some(match &victim {
                        Victim::ExternalId(id) => by_external_id(id),
                        Victim::RecordId(id) => by_record_id(id),
                    }),
                    bytes: 64,
                    send: Outgoing::Delete(victim),
                }),
                Write::Record {
                    external_id,
                    record_id,
                    body,
                } => {
                    let key = external_id.as_ref().map(by_external_id);
                    let kind = if *may_bulk && !fits_bulk(&body) {
                        Kind::WriteApart
                    } else {
                        Kind::Write
                    };
                    let body = text(&body)?;
                    Some(Entry {
                        kind,
                        key: key.or_else(|| record_id.as_ref().map(by_record_id)),
                        bytes: body.get().len(),
                        send: Outgoing::Record { body, external_id },
                    })
                }
            }),
        }
    }
}

fn by_external_id(id: &ExternalId) -> String {
    format!("x{}", id.compare_key())
}

fn by_record_id(id: &ExternalId) -> String {
    format!("i{}", id.compare_key())
}

fn text(body: &Map<String, Json>) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(body).map_err(|_| Refusal::of_record("the record is no JSON"))
}

/// The same for the same record, whoever publishes it and however often; at most 36 characters.
fn event_id(cluster_id: &str, record: &ConsumedRecord) -> String {
    let source = dead_letter::Source::of(record);
    let place = format!(
        "{cluster_id}/{}/{}/{}/{}",
        source.topic,
        source.partition,
        source.offset,
        source.timestamp_ms.unwrap_or(-1)
    );
    Uuid::new_v5(&EVENT_IDS, place.as_bytes()).to_string()
}

/// What one request holds.
pub(super) const fn rules(flow: &ToSalesforceConfig) -> Rules {
    match flow.to {
        SalesforceTarget::Event { .. } => Rules {
            records_max: PUBLISH_EVENTS_MAX,
            bytes_max: PUBLISH_BYTES_MAX,
            is_strict: true,
        },
        SalesforceTarget::Object { .. } => Rules {
            records_max: WRITE_RECORDS_MAX,
            bytes_max: WRITE_BYTES_MAX,
            is_strict: false,
        },
    }
}

/// What the write client is told.
pub(super) fn write_target(flow: &ToSalesforceConfig) -> WriteTarget {
    match &flow.to {
        SalesforceTarget::Object {
            sobject,
            operation,
            external_id,
            ..
        } => WriteTarget {
            sobject: sobject.clone(),
            operation: *operation,
            external_id: external_id.clone(),
        },
        SalesforceTarget::Event { topic } => WriteTarget {
            sobject: topic.clone(),
            operation: Operation::Insert,
            external_id: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, timestamp_ms: Option<i64>) -> ConsumedRecord {
        ConsumedRecord {
            topic: "orders".into(),
            partition: 3,
            offset,
            timestamp_ms,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn an_events_id_is_the_same_for_the_same_record_of_the_same_cluster_alone() {
        let id = event_id("cluster", &record(7, Some(1)));
        assert_eq!(id, event_id("cluster", &record(7, Some(1))));
        assert_eq!(id, "cc9ed2f0-6efe-520f-a8dd-10b64e41201d");
        let mut letter = record(99, Some(5));
        letter.topic = "dead".into();
        for (name, value) in [
            ("sfbridge_source", "orders[3]@7"),
            (dead_letter::SOURCE_TIMESTAMP, "1"),
        ] {
            letter
                .headers
                .push((name.to_owned(), Some(Bytes::from_static(value.as_bytes()))));
        }
        assert_eq!(event_id("cluster", &letter), id, "a dead letter keeps it");
        for other in [
            event_id("cluster", &record(8, Some(1))),
            event_id("cluster", &record(7, Some(2))),
            event_id("another", &record(7, Some(1))),
        ] {
            assert_ne!(id, other);
        }
    }
}
