//! A record as a platform event's payload.

use std::sync::Arc;

use super::{Decoded, Program, Refusal};
use crate::salesforce::event::EventSchema;

/// A platform event with one version of its schema.
#[derive(Debug)]
pub struct EventTarget {}

impl EventTarget {
    /// `user_id` becomes `CreatedById`.
    ///
    /// # Errors
    /// Every field of the mapping that the event does not have or that sfbridge fills in: at the start, and when
    /// Salesforce shows another schema.
    pub fn new(
        _program: Arc<Program>,
        _schema: Arc<EventSchema>,
        _user_id: &str,
    ) -> Result<Self, Vec<Refusal>> {
        Ok(Self {})
    }

    /// The event as a bare Avro datum; `now_ms` becomes `CreatedDate` (milliseconds since the epoch).
    ///
    /// # Errors
    /// A tombstone, a value that its field cannot hold, a required field without a value.
    pub fn payload(&self, _record: &Decoded, _now_ms: i64) -> Result<Vec<u8>, Refusal> {
        Ok(Vec::new())
    }
}
