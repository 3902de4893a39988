//! Event schemas by id, parsed. Each is fetched once however many routes ask for it at the same time, and kept
//! for ever: a schema id names one text. A refusal is shared for some seconds, then asked again.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, Failure};
use crate::runtime::flight::Kept;

use super::client::PubSubClient;

/// Long enough that routes do not repeat a refused call one after the other, short enough that nobody who has
/// just granted the permission has to wait for it.
const REFUSAL_KEPT: Duration = Duration::from_secs(5);

type Parse<S> = dyn Fn(&str, &str) -> Result<S, Box<dyn StdError + Send + Sync>> + Send + Sync;

pub struct SchemaCache<S> {
    client: PubSubClient,
    parse: Box<Parse<S>>,
    kept: Kept<Box<str>, S, Failure>,
}

impl<S> std::fmt::Debug for SchemaCache<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchemaCache")
            .field("ready", &self.kept.len())
            .finish_non_exhaustive()
    }
}

impl<S> SchemaCache<S> {
    /// `parse` takes a schema's id and JSON text.
    pub fn new<E>(
        client: PubSubClient,
        parse: impl Fn(&str, &str) -> Result<S, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self {
            client,
            parse: Box::new(move |id, json| parse(id, json).map_err(Into::into)),
            kept: Kept::new(REFUSAL_KEPT),
        }
    }

    /// The schema, if it is here already.
    pub fn peek(&self, id: &str) -> Option<Arc<S>> {
        self.kept.peek(id)
    }

    /// The schema, fetched if need be.
    ///
    /// # Errors
    /// What GetSchema answered, classified; `Poison` for a text that is no schema: its events cannot be decoded.
    pub async fn get(&self, id: &str) -> Result<Arc<S>, Failure> {
        if let Some(schema) = self.peek(id) {
            return Ok(schema);
        }
        let schema = self.kept.get(id.into(), || self.fetch(id)).await;
        schema.map_err(|failure| Failure::shared(&failure))
    }

    async fn fetch(&self, id: &str) -> Result<S, Failure> {
        let info = self.client.get_schema(id).await?;
        (self.parse)(id, &info.schema_json).map_err(|error| {
            let message = format!("schema {id} is none that sfbridge can read");
            Failure::new(ErrorKind::Poison, message).caused_by(error)
        })
    }
}
