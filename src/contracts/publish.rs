//! A contract into the registry: looked up first, registered when it is new, and what a refusal leads to.
//!
//! With `on_break: new_subject` a schema that the compatibility level refuses gets the next subject of the row
//! `<subject>`, `<subject>.v2`, `<subject>.v3` … What one of them has already is taken from there, so that events
//! of an older schema, read again, find their old id.

use super::compatibility;
use super::registry::{Level, RegisterError, Registered, Registry};
use crate::avro::Schema;
use crate::config::OnBreak;
use crate::error::{ErrorKind, Failure};

/// Where a schema stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub subject: String,
    /// What stands in front of every record.
    pub id: u32,
    /// Of the subject, where the registry has told it.
    pub version: Option<u32>,
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
    let published = |subject: &str, registered: Registered| Published {
        subject: subject.to_owned(),
        id: registered.id,
        version: registered.version,
    };
    if on_break != OnBreak::NewSubject {
        return match registry.ensure(subject, schema).await {
            Ok(registered) => Ok(published(subject, registered)),
            Err(error) => Err(refusal(registry, subject, schema, error).await),
        };
    }
    let client = registry.client();
    let mut latest = subject.to_owned();
    for number in 2..SUBJECTS_MAX {
        if let Some(found) = client.lookup(&latest, schema, &[]).await? {
            return Ok(published(&latest, found));
        }
        let next = format!("{subject}.v{number}");
        if !client.versions(&next).await?.is_empty() {
            latest = next;
            continue;
        }
        return match registry.ensure(&latest, schema).await {
            Ok(registered) => Ok(published(&latest, registered)),
            Err(RegisterError::Incompatible { .. }) => {
                Ok(published(&next, registry.ensure(&next, schema).await?))
            }
            Err(error) => Err(error.into()),
        };
    }
    let message = format!("subject {subject} has {SUBJECTS_MAX} successors");
    Err(Failure::new(ErrorKind::Unknown, message).remedy("remove those that nobody reads"))
}

/// The registry's no, in our words where ours say more: they name the field and the rule.
async fn refusal(registry: &Registry, subject: &str, schema: &str, error: RegisterError) -> Failure {
    if !matches!(error, RegisterError::Incompatible { .. }) {
        return error.into();
    }
    let told = match explain(registry, subject, schema).await {
        // Not told by us: the registry's own words stay.
        Ok(None) | Err(_) => return error.into(),
        Ok(Some(told)) => told,
    };
    let failure: Failure = error.into();
    let named = Failure::new(failure.kind, told);
    match failure.remedy {
        Some(remedy) => named.remedy(remedy),
        None => named,
    }
}

async fn explain(registry: &Registry, subject: &str, schema: &str) -> Result<Option<String>, Failure> {
    let client = registry.client();
    let level: Level = client.config(subject).await?;
    let parsed: Vec<(String, Schema)> = client
        .every_version(subject)
        .await?
        .iter()
        .filter_map(|found| Some((format!("v{}", found.version), Schema::parse(&found.schema).ok()?)))
        .collect();
    let Ok(new) = Schema::parse(schema) else {
        return Ok(None);
    };
    let labelled: Vec<(&str, &Schema)> = parsed
        .iter()
        .map(|(label, schema)| (label.as_str(), schema))
        .collect();
    let found = compatibility::check(level, &new, &labelled);
    let rules: Vec<String> = found.iter().map(ToString::to_string).collect();
    let message = || {
        format!(
            "subject {subject} (compatibility {level}) refuses the schema: {}",
            rules.join("; ")
        )
    };
    Ok((!rules.is_empty()).then(message))
}
