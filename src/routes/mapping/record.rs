//! A record as an sObject's record.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Decoded, Program, Refusal};
use crate::config::{OnTombstone, Operation};
use crate::salesforce::rest::Describe;

/// A value of the external id, or a record id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalId {
    sent: String,
    compared: String,
}

impl ExternalId {
    /// As it is sent.
    pub fn as_sent(&self) -> &str {
        &self.sent
    }

    /// The same for two values that Salesforce takes for the same record.
    pub fn compare_key(&self) -> &str {
        &self.compared
    }
}

/// Which record is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// The one with this value of the route's `external_id`.
    ExternalId(ExternalId),
    /// The one with this record id.
    RecordId(ExternalId),
}

/// What is sent for one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Record {
        /// Where the route has `external_id`.
        external_id: Option<ExternalId>,
        /// Of an update without `external_id`; it stands in the body too, as `id`.
        record_id: Option<ExternalId>,
        /// As sObject Collections takes it, `attributes.type` first.
        body: Map<String, Json>,
    },
    Delete(Victim),
    /// A tombstone that the route ignores.
    Ignore,
}

/// An object and what a route does to its records.
#[derive(Debug)]
pub struct RecordTarget {}

impl RecordTarget {
    /// # Errors
    /// Every field of the mapping that the object does not have, or that this user may not write.
    pub fn new(
        _program: Arc<Program>,
        _object: &Describe,
        _operation: Operation,
        _external_id: Option<&str>,
        _on_tombstone: OnTombstone,
    ) -> Result<Self, Vec<Refusal>> {
        Ok(Self {})
    }

    /// What to do for this record.
    ///
    /// # Errors
    /// A value that its field cannot hold; a record without its external id or id; a tombstone where the route says
    /// `dead_letter`.
    pub fn write(&self, _record: &Decoded) -> Result<Write, Refusal> {
        Ok(Write::Ignore)
    }
}
