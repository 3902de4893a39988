//! `sfbridge contracts export`: a contract for other tools.

use super::outputs::{chosen, registered};
use super::{Entities, Out, Refused, pretty, write, yaml};
use crate::app::Exit;
use crate::config::Config;
use crate::contracts::json_schema;
use crate::contracts::odcs::{Place, odcs};
use crate::contracts::written::{Contract, Written};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sfbridge contracts export account-changes --topic crm.accounts.v1 > account.avsc\n  sfbridge contracts export account-changes --format odcs --out account-changes.odcs.yaml"
)]
pub(super) struct Args {
    /// The route's name
    route: String,
    /// What to write: an Avro schema, an Open Data Contract Standard 3.1 document, or a JSON Schema
    #[arg(long, value_enum, default_value_t = Form::Avsc)]
    format: Form,
    /// The Kafka topic, where the route writes several
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    #[command(flatten)]
    entities: Entities,
    #[command(flatten)]
    out: Out,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    Avsc,
    Odcs,
    JsonSchema,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes = chosen(config, Some(&arguments.route))?;
    let mut written = registered(config, &routes, &arguments.entities).await?;
    if let Some(topic) = &arguments.topic {
        written.retain(|written| written.topic == *topic);
    }
    if written.is_empty() {
        let topic = arguments.topic.as_deref().unwrap_or_default();
        return Err(Refused::Asked(format!(
            "route {} does not write to {topic}",
            arguments.route
        )));
    }
    let document = match arguments.format {
        Form::Odcs => {
            let place = Place {
                bridge: &config.bridge.name,
                bootstrap_servers: &config.kafka.bootstrap_servers,
            };
            yaml(&odcs(place, &arguments.route, &written))?
        }
        Form::Avsc => {
            let (_, contract) = only(&arguments.route, &written)?;
            // What was parsed before is JSON.
            let schema = serde_json::from_str(&contract.json).unwrap_or_default();
            pretty(&schema)
        }
        Form::JsonSchema => {
            let (written, contract) = only(&arguments.route, &written)?;
            pretty(&json_schema::document(contract, written.event.as_ref()))
        }
    };
    write(&arguments.out, &document)
}

/// The one contract that was meant.
fn only<'a>(route: &str, written: &'a [Written]) -> Result<(&'a Written, &'a Contract), Refused> {
    match written {
        [one] => match &one.contract {
            Some(contract) => Ok((one, contract)),
            None => Err(Refused::Asked(format!(
                "the events of {} are learnt at run time; name one with --entity",
                one.salesforce_topic
            ))),
        },
        several => {
            let mut topics: Vec<&str> = several.iter().map(|written| written.topic.as_str()).collect();
            topics.dedup();
            let hint = if topics.len() > 1 {
                format!("choose a topic with --topic: {}", topics.join(", "))
            } else {
                "choose an event with --entity".to_owned()
            };
            Err(Refused::Asked(format!(
                "route {route} has several contracts; {hint}"
            )))
        }
    }
}
