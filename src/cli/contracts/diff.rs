//! `sfbridge contracts diff`: what the org has changed since the contract's last version.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::outputs::{all, chosen};
use super::registry::Versions;
use super::{Entities, Output, Refused, shape};
use crate::app::Exit;
use crate::avro::Schema;
use crate::config::Config;
use crate::contracts::difference::{Change, difference};
use crate::contracts::written::{Contract, Written};

const JSON: &str = r#"As JSON:
  [{"topic": "crm.accounts.v1", "from": "crm.accounts.v1-value version 1",
    "to": "/data/AccountChangeEvent schema …", "changes": [
      {"change": "added", "field": "Fax", "type": "[null, string]"},
      {"change": "changed", "field": "Name", "from": "string", "to": "int"}]}, …]

`change` is added, removed or changed. With nothing to compare, `from`, `to` and `changes` are null, and `why` says why."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Example:\n  sfbridge contracts diff account-changes --config config/sfbridge.yaml\n\nLines begin with - for a field that is gone, + for a new one, ~ for one of another type."
)]
pub(super) struct Args {
    /// The route's name
    route: String,
    #[command(flatten)]
    entities: Entities,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes = chosen(config, Some(&arguments.route))?;
    let versions = Versions::new(config)?;
    let mut compared = Vec::new();
    for written in all(config, &routes, &arguments.entities).await? {
        compared.push(Compared {
            outcome: compare(&written, &versions).await?,
            topic: written.topic,
        });
    }
    let text = || compared.iter().map(ToString::to_string).collect();
    Ok(arguments
        .output
        .print(text, || compared.iter().map(Compared::json).collect()))
}

/// An output's contract against the org.
struct Compared {
    topic: String,
    outcome: Result<Difference, String>,
}

struct Difference {
    from: String,
    to: String,
    changes: Vec<Change>,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Err(why) => writeln!(f, "# {}: {why}", self.topic),
            Ok(Difference { from, to, changes }) => {
                writeln!(f, "--- {from}\n+++ {to}")?;
                changes.iter().try_for_each(|change| writeln!(f, "{change}"))
            }
        }
    }
}

impl Compared {
    fn json(&self) -> Json {
        let topic = &self.topic;
        match &self.outcome {
            Err(why) => json!({ "topic": topic, "from": null, "to": null, "changes": null, "why": why }),
            Ok(Difference { from, to, changes }) => {
                let changes: Vec<Json> = changes.iter().map(change).collect();
                json!({ "topic": topic, "from": from, "to": to, "changes": changes })
            }
        }
    }
}

fn change(change: &Change) -> Json {
    match change {
        Change::Added { field, type_ } => json!({ "change": "added", "field": field, "type": type_ }),
        Change::Removed { field, type_ } => json!({ "change": "removed", "field": field, "type": type_ }),
        Change::Changed { field, from, to } => {
            json!({ "change": "changed", "field": field, "from": from, "to": to })
        }
    }
}

/// What has changed; or why there is nothing to compare.
async fn compare(written: &Written, versions: &Versions) -> Result<Result<Difference, String>, Refused> {
    let (Some(contract), Some(event)) = (&written.contract, &written.event) else {
        return Ok(Err(format!(
            "the events of {} are learnt at run time; name them with --entity",
            written.salesforce_topic
        )));
    };
    let registered = match &written.subject {
        Some(subject) => versions
            .latest(subject)
            .await?
            .map(|(version, schema)| (format!("{subject} version {version}"), Arc::new(schema))),
        None => None,
    };
    // A pinned contract is compared with all that the org has; a followed one with what would be registered.
    let file = contract
        .label
        .as_ref()
        .map(|label| (label.clone(), Arc::clone(&contract.schema)));
    let now: Arc<Schema> = if contract.label.is_some() {
        let whole = Contract::followed(event, None);
        whole.map_or_else(|_| Arc::clone(&event.schema), |(whole, _)| whole.schema)
    } else {
        Arc::clone(&contract.schema)
    };
    let Some((name, then)) = registered.or(file) else {
        return Ok(Err("there is no earlier version to compare with".to_owned()));
    };
    Ok(Ok(Difference {
        from: name,
        to: format!("{} schema {}", written.salesforce_topic, event.schema_id),
        changes: difference(&then, &now),
    }))
}
