//! What routing needs to know of an event, read without looking at the rest of it.

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_avro_fast::de::DeserializerState;

use super::error::{DecodeError, Problem};
use super::header::ChangeEventHeader;
use super::schema::EventSchema;

/// An event as far as routing needs it.
#[derive(Debug, Clone, PartialEq)]
pub enum DecodedEvent {
    /// A change data capture event. The body begins at `body_offset`.
    Change {
        header: Box<ChangeEventHeader>,
        body_offset: usize,
    },
    /// A platform event, custom or standard; the whole payload is body. Salesforce fills in both values in
    /// every event whose schema has them.
    Platform {
        created_date_ms: Option<i64>,
        created_by: Option<String>,
    },
}

impl DecodedEvent {
    pub fn header(&self) -> Option<&ChangeEventHeader> {
        match self {
            Self::Change { header, .. } => Some(header),
            Self::Platform { .. } => None,
        }
    }

    /// Commit time of a change, `CreatedDate` of a platform event. As it came: it may be any number.
    pub fn event_time_ms(&self) -> Option<i64> {
        match self {
            Self::Change { header, .. } => Some(header.commit_timestamp_ms),
            Self::Platform { created_date_ms, .. } => *created_date_ms,
        }
    }

    /// The object that changed (`Account`). Platform events have none; their name is the schema's.
    pub fn entity(&self) -> Option<&str> {
        self.header().map(|header| header.entity_name.as_str())
    }

    /// The records that changed, each of which becomes a record in Kafka.
    pub fn record_ids(&self) -> &[String] {
        self.header().map_or(&[], |header| &header.record_ids)
    }

    /// Where the fields after the header begin in the payload.
    pub fn body_offset(&self) -> usize {
        match self {
            Self::Change { body_offset, .. } => *body_offset,
            Self::Platform { .. } => 0,
        }
    }

    pub fn is_gap(&self) -> bool {
        self.header().is_some_and(|header| header.change_type.is_gap())
    }

    pub fn is_overflow(&self) -> bool {
        self.header()
            .is_some_and(|header| header.change_type.is_overflow())
    }
}

/// Reads an event's header, or a platform event's creation. The rest of the body is not looked at.
///
/// # Errors
/// When these bytes do not fit the schema, or a bitmap names a field that the schema has not.
pub fn decode(schema: &EventSchema, payload: &[u8]) -> Result<DecodedEvent, DecodeError> {
    let fail = |problem| DecodeError::new(schema, problem);
    if let Some(header_schema) = schema.header() {
        let (header, body_offset) = header_schema.decode(payload, schema.fields()).map_err(fail)?;
        return Ok(DecodedEvent::Change {
            header: Box::new(header),
            body_offset,
        });
    }
    let mut at = 0;
    let creation = Creation { schema, at: &mut at };
    let (created_date_ms, created_by) = DeserializerState::from_slice(payload, schema.body())
        .deserializer()
        .deserialize_map(creation)
        // The cause would quote the value that it met.
        .map_err(|_| fail(Problem::in_body(schema, at)))?;
    Ok(DecodedEvent::Platform {
        created_date_ms,
        created_by,
    })
}

/// Reads the fields up to the later one of `CreatedDate` and `CreatedById`: they come first.
struct Creation<'a> {
    schema: &'a EventSchema,
    at: &'a mut usize,
}

impl<'de> Visitor<'de> for Creation<'_> {
    type Value = (Option<i64>, Option<String>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a platform event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (date, by) = self.schema.creation_fields();
        let mut creation = (None, None);
        let Some(last) = date.max(by) else {
            return Ok(creation);
        };
        for index in 0..=last {
            *self.at = index;
            map.next_key::<IgnoredAny>()?;
            if Some(index) == date {
                creation.0 = map.next_value()?;
            } else if Some(index) == by {
                creation.1 = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(creation)
    }
}
