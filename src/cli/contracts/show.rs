//! `sfbridge contracts show`: the effective contracts.

use serde_json::{Value as Json, json};

use super::outputs::{chosen, registered};
use super::{Entities, Output, Refused, shape};
use crate::app::Exit;
use crate::config::{Config, Format};
use crate::contracts::written::Written;

const JSON: &str = r#"As JSON, which is the default here:
  [{"route": "account-changes", "salesforce_topic": "/data/AccountChangeEvent",
    "event": "AccountChangeEvent", "salesforce_schema_id": "…",
    "topic": "crm.accounts.v1", "format": "avro",
    "contract": "pinned", "file": "account.v1.avsc",
    "subject": "crm.accounts.v1-value", "version": 1, "id": 7, "schema": {…}}, …]

What is not known, or does not apply, is null. `contract` is pinned or followed."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", |arg| shape(JSON)(arg).default_value("json")),
    after_help = "Examples:\n  sfbridge contracts show account-changes --config config/sfbridge.yaml\n  sfbridge contracts show --output text"
)]
pub(super) struct Args {
    /// A route's name; without it, all routes
    route: Option<String>,
    #[command(flatten)]
    entities: Entities,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes = chosen(config, arguments.route.as_deref())?;
    let written = registered(config, &routes, &arguments.entities).await?;
    let json = || written.iter().map(shown).collect();
    Ok(arguments
        .output
        .print(|| written.iter().map(line).collect(), json))
}

fn line(written: &Written) -> String {
    let contract = written.contract.as_ref();
    let file = contract.and_then(|contract| contract.label.as_deref());
    let event = written.event.as_ref().map_or("-", |event| &event.name);
    let registered = match (&written.subject, written.registered) {
        (Some(subject), Some((version, id))) => format!("{subject} version {version} (id {id})"),
        (Some(subject), None) => format!("{subject} is not registered"),
        (None, _) => "no subject".to_owned(),
    };
    format!(
        "{} → {}  {event}  {}  {}  {registered}\n",
        written.route,
        written.topic,
        format(written),
        file.map_or_else(|| "followed".to_owned(), |file| format!("pinned by {file}")),
    )
}

const fn format(written: &Written) -> &'static str {
    match written.format {
        Format::Avro => "avro",
        Format::Json => "json",
    }
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
        "format": format(written),
        "contract": if file.is_some() { "pinned" } else { "followed" },
        "file": file,
        "subject": written.subject,
        "version": written.registered.map(|(version, _)| version),
        "id": written.registered.map(|(_, id)| id),
        // What was parsed before is JSON.
        "schema": contract.and_then(|contract| serde_json::from_str::<Json>(&contract.json).ok()),
    })
}
