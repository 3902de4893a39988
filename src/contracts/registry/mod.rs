//! The schema registry, through the REST interface that Confluent's has and others copy.
//!
//! * In: a subject and a schema's text, or the id that stands in front of a record.
//! * Out: the id to write in front of records, or the schema to read them with.
//! * Kept: ids by subject and text, schemas by id, for ever (neither ever changes); both are asked for once,
//!   however many routes want them. A refusal is shared for a moment and then asked again.
//! * Nothing is tried again here, but at the next of several URLs: whoever calls gets a classified failure and
//!   goes by the policy table.
//! * A schema is looked up before it is registered: a registry that is read-only, or that lets this user read
//!   alone, serves what it has.

mod client;
mod error;
mod http;
mod level;
mod subject;
mod wire;

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{SchemaRegistryConfig, SubjectNaming};
use crate::error::Failure;
use crate::runtime::flight::Kept;

pub use client::RegistryClient;
pub use error::{CallError, CompatibilityError, LookupError, RegisterError, SchemaError};
pub use level::{Level, UnknownLevel};
pub use subject::subject;
pub use wire::{Against, Compatibility, Reference, Registered, RegisteredSchema, Version, WriterSchema};

/// Routes that waited for one refused call share the refusal instead of repeating it one after the other, each
/// for a whole time-out; their back-off is longer than this from the second time on.
const REFUSAL_KEPT: Duration = Duration::from_secs(1);

/// A registry, and what is known from it already. Cheap to clone; all clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    client: RegistryClient,
    naming: SubjectNaming,
    ids: Kept<(Box<str>, Box<str>), Registered, RegisterError>,
    schemas: Kept<u32, WriterSchema, SchemaError>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("client", &self.0.client)
            .field("ids", &self.0.ids.len())
            .field("schemas", &self.0.schemas.len())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Connects with the first call.
    ///
    /// # Errors
    /// `Misconfigured`: a URL or a CA file that cannot be used.
    pub fn new(config: &SchemaRegistryConfig) -> Result<Self, Failure> {
        Ok(Self(Arc::new(Inner {
            client: RegistryClient::new(config)?,
            naming: config.subject,
            ids: Kept::new(REFUSAL_KEPT),
            schemas: Kept::new(REFUSAL_KEPT),
        })))
    }

    /// For operations whose answers change: versions, levels, compatibility.
    pub fn client(&self) -> &RegistryClient {
        &self.0.client
    }

    /// The subject for a record on a topic, as configured.
    pub fn subject(&self, topic: &str, record_full_name: &str) -> String {
        subject(self.0.naming, topic, record_full_name)
    }

    /// The schema's place under the subject; registers it if it is not there. Both texts are copied for each call:
    /// for every new schema, not for every record.
    ///
    /// # Errors
    /// As [`RegistryClient::register`], to this caller or to another one a moment ago.
    pub async fn ensure(&self, subject: &str, schema: &str) -> Result<Registered, RegisterError> {
        let find_or_register = || async {
            let client = &self.0.client;
            if let Some(found) = client.lookup(subject, schema, &[]).await? {
                return Ok(found);
            }
            let registered = client.register(subject, schema, &[]).await?;
            tracing::info!(subject, id = registered.id, "a schema was registered");
            if registered.version.is_some() {
                return Ok(registered);
            }
            // Apicurio's answer leaves the version out. It is for people: records have the id alone.
            Ok(match client.lookup(subject, schema, &[]).await {
                Ok(Some(found)) if found.id == registered.id => found,
                _ => registered,
            })
        };
        let key = (subject.into(), schema.into());
        match self.0.ids.get(key, find_or_register).await {
            Ok(registered) => Ok(*registered),
            Err(refusal) => Err((*refusal).clone()),
        }
    }

    /// The schema that records with this id were written with.
    ///
    /// # Errors
    /// As [`RegistryClient::schema_by_id`], to this caller or to another one a moment ago.
    pub async fn schema(&self, id: u32) -> Result<Arc<WriterSchema>, SchemaError> {
        let fetch = || self.0.client.schema_by_id(id);
        let schema = self.0.schemas.get(id, fetch).await;
        schema.map_err(|refusal| (*refusal).clone())
    }
}
