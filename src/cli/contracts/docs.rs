//! `sfbridge contracts docs`: what the readers of the topics need to know, as one AsyncAPI document.

use super::outputs::{registered, routes};
use super::{Entities, Out, Refused, pretty, write, yaml};
use crate::app::Exit;
use crate::config::Config;
use crate::contracts::asyncapi::{Bridge, asyncapi};

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
    let mut dead_letter_topics = Vec::new();
    for route in &config.routes {
        if !dead_letter_topics.contains(&route.dead_letter.topic) {
            dead_letter_topics.push(route.dead_letter.topic.clone());
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
        dead_letter_topics,
    }
}
