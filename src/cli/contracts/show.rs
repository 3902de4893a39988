//! `sfbridge contracts show`: the effective contracts.

use serde_json::{Value as Json, json};

use super::outputs::{chosen, registered};
use super::{Entities, Refused, pretty, print};
use crate::app::Exit;
use crate::config::{Config, Format};
use crate::contracts::written::Written;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sfbridge contracts show account-changes --config config/sfbridge.yaml")]
pub(super) struct Args {
    /// A route's name; without it, all routes
    route: Option<String>,
    #[command(flatten)]
    entities: Entities,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes = chosen(config, arguments.route.as_deref())?;
    let written = registered(config, &routes, &arguments.entities).await?;
    let shown: Vec<Json> = written.iter().map(shown).collect();
    Ok(print(&pretty(&Json::Array(shown))))
}

/// What is not known, or does not apply, is null.
fn shown(written: &Written) -> Json {
    let contract = written.contract.as_ref();
    let file = contract.and_then(|contract| contract.label.as_deref());
    json!({
        "route": written.route,
        "salesforce_topic": written.salesforce_topic,
        "event": written.event.as_ref().map(|event| &event.name),
        "salesforce_schema_id": written.event.as_ref().map(|event| &event.schema_id),
        "topic": written.topic,
        "format": match written.format { Format::Avro => "avro", Format::Json => "json" },
        "contract": if file.is_some() { "pinned" } else { "followed" },
        "file": file,
        "subject": written.subject,
        "version": written.registered.map(|(version, _)| version),
        "id": written.registered.map(|(_, id)| id),
        // What was parsed before is JSON.
        "schema": contract.and_then(|contract| serde_json::from_str::<Json>(&contract.json).ok()),
    })
}
