//! Why an event does not decode. Names of events and fields, never values: these texts reach logs.

use std::sync::Arc;

use super::bitmap::BitmapError;
use super::schema::EventSchema;
use crate::avro::WireError;
use crate::error::{ErrorKind, Failure};

/// An event whose bytes do not fit its schema. It can never be delivered as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} (schema {schema_id}): {problem}")]
pub struct DecodeError {
    event: Arc<str>,
    schema_id: Arc<str>,
    pub(super) problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("header field {field}: {cause}")]
    Header { field: Arc<str>, cause: WireError },
    #[error("header field {field}: the data does not fit the field's type or ends early")]
    UnknownHeader { field: Arc<str> },
    #[error("header field {field}: unknown change type {symbol}")]
    ChangeType { field: Arc<str>, symbol: Arc<str> },
    #[error("header field {field}: {cause}")]
    Bitmap { field: Arc<str>, cause: BitmapError },
    #[error(
        "field {field} ({number} of {count}): the data does not fit the field's type or ends early; \
         it was probably written with another schema"
    )]
    Body {
        field: Arc<str>,
        number: usize,
        count: usize,
    },
    #[error("{bytes} bytes follow the last field; the event was probably written with another schema")]
    Trailing { bytes: usize },
}

impl DecodeError {
    pub(super) fn new(schema: &EventSchema, problem: Problem) -> Self {
        Self {
            event: schema.shared_name(),
            schema_id: schema.shared_id(),
            problem,
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(ErrorKind::Poison, error.to_string())
    }
}
