//! A contract into the registry: looked up first, registered when it is new, and what a refusal leads to.
//!
//! With `on_break: new_subject` a schema that the compatibility level refuses gets the next subject of the row
//! `<subject>`, `<subject>.v2`, `<subject>.v3` … What one of them has already is taken from there, so that events
//! of an older schema, read again, find their old id.

use super::registry::{RegisterError, Registry};
use crate::config::OnBreak;
use crate::error::{ErrorKind, Failure};

/// Where a schema stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub subject: String,
    /// What stands in front of every record.
    pub id: u32,
}

/// More subjects than any contract has had; a registry that answers nonsense must not be asked for ever.
const SUBJECTS_MAX: u32 = 1000;

/// # Errors
/// `Contract` when the compatibility level refuses the schema: the message names fields and rules. Otherwise as
/// the registry's calls.
pub async fn publish(
    registry: Option<&Registry>,
    subject: &str,
    schema: &str,
    on_break: OnBreak,
) -> Result<Published, Failure> {
    let Some(registry) = registry else {
        let failure = Failure::new(
            ErrorKind::Denied,
            "avro needs a schema registry, and none is configured",
        );
        return Err(failure.remedy("add the section schema_registry, then restart sfbridge"));
    };
    let published = |subject: &str, id| Published {
        subject: subject.to_owned(),
        id,
    };
    if on_break != OnBreak::NewSubject {
        return match registry.ensure(subject, schema).await {
            Ok(id) => Ok(published(subject, id)),
            Err(error) => Err(error.into()),
        };
    }
    let client = registry.client();
    let mut latest = subject.to_owned();
    for number in 2..SUBJECTS_MAX {
        if let Some(found) = client.lookup(&latest, schema, &[]).await? {
            return Ok(published(&latest, found.id));
        }
        let next = format!("{subject}.v{number}");
        if !client.versions(&next).await?.is_empty() {
            latest = next;
            continue;
        }
        return match registry.ensure(&latest, schema).await {
            Ok(id) => Ok(published(&latest, id)),
            Err(RegisterError::Incompatible { .. }) => {
                Ok(published(&next, registry.ensure(&next, schema).await?))
            }
            Err(error) => Err(error.into()),
        };
    }
    let message = format!("subject {subject} has {SUBJECTS_MAX} successors");
    Err(Failure::new(ErrorKind::Unknown, message).remedy("remove those that nobody reads"))
}
