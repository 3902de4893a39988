//! `sfbridge contracts docs`: what the readers of the topics need to know, as one AsyncAPI document.

use super::outputs::{registered, routes};
use super::{Entities, Out, Refused, pretty, write, yaml};
use crate::app::Exit;
use crate::config::{Config, Flow};
use crate::contracts::asyncapi::{Bridge, DeadLetters, asyncapi};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sfbridge contracts docs --config config/sfbridge.yaml > asyncapi.yaml\n  sfbridge contracts docs --format json --out asyncapi.json"
)]
pub(super) struct Args {
    #[arg(long, value_enum, default_value_t = Form::Yaml)]
    format: Form,
    #[command(flatten)]
    entities: Entities,
    #[command(flatten)]
    out: Out,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    Yaml,
    Json,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes: Vec<_> = routes(config).collect();
    let written = registered(config, &routes, &arguments.entities).await?;
    let document = asyncapi(&bridge(config), &written);
    let document = match arguments.format {
        Form::Yaml => yaml(&document)?,
        Form::Json => pretty(&document),
    };
    write(&arguments.out, &document)
}

fn bridge(config: &Config) -> Bridge {
    let mut dead_letters: Vec<DeadLetters> = Vec::new();
    for route in &config.routes {
        let topic = &route.dead_letter.topic;
        let place = dead_letters.iter().position(|known| known.topic == *topic);
        let place = place.unwrap_or_else(|| {
            dead_letters.push(DeadLetters {
                topic: topic.clone(),
                from_salesforce: false,
                from_kafka: false,
            });
            dead_letters.len() - 1
        });
        match route.flow {
            Flow::ToKafka(_) => dead_letters[place].from_salesforce = true,
            Flow::ToSalesforce(_) => dead_letters[place].from_kafka = true,
        }
    }
    let protocol = config.kafka.properties.get("security.protocol");
    let is_plain = protocol.is_none_or(|protocol| protocol.expose().eq_ignore_ascii_case("plaintext"));
    let registry = config.schema_registry.as_ref();
    Bridge {
        name: config.bridge.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bootstrap_servers: config.kafka.bootstrap_servers.clone(),
        is_secured: !is_plain,
        registry_url: registry.and_then(|registry| registry.urls.first().cloned()),
        replication_factor: config.kafka.replication_factor,
        partitions: config.kafka.partitions,
        dead_letters,
    }
}
