//! `sfbridge contracts init`: a first contract file, and the lines that put it into the route.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::org::{Org, topics};
use super::outputs::{Route, chosen};
use super::{Entities, Output, Refused, shape};
use crate::app::Exit;
use crate::config::suggest::pick;
use crate::config::{Config, Format};
use crate::contracts::first::{FirstError, first_contract};
use crate::error::{ErrorKind, Failure, chain};

const JSON: &str = r#"As JSON:
  {"file": "config/contracts/account.v1.avsc", "route": "account-changes",
   "event": "AccountChangeEvent"}"#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Example:\n  sfbridge contracts init account-changes --fields Name,Phone,BillingAddress --out config/contracts/account.v1.avsc"
)]
pub(super) struct Args {
    /// The route's name
    route: String,
    /// The fields to promise; without it, all
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    fields: Vec<String>,
    /// The file to write [default: config/contracts/<object>.v1.avsc]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    entities: Entities,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let routes = chosen(config, Some(&arguments.route))?;
    let Some(route) = routes.first() else {
        return Ok(Exit::Clean);
    };
    let source = &route.flow.from.topic;
    let topics = topics(source, &arguments.entities.names, None);
    let [topic] = &*topics else {
        return Err(Refused::Asked(format!(
            "{source} is a channel and a contract is for one event; name it with --entity"
        )));
    };
    let event = Org::new(&config.salesforce)?
        .event(topic)
        .await
        .map_err(Failure::from)?
        .event;
    let contract = first_contract(&event, &arguments.fields).map_err(|error| match error {
        FirstError::Unknown { ref names, .. } => {
            let fields = event
                .schema
                .record()
                .into_iter()
                .flat_map(|record| &record.fields);
            let nearest = names
                .first()
                .and_then(|name| pick(name, fields.map(|field| field.name.to_string())));
            let hint = nearest.map(|name| format!("; did you mean {name}?"));
            Refused::Asked(format!("{error}{}", hint.unwrap_or_default()))
        }
        FirstError::Derive(_) => {
            let failure = Failure::new(
                ErrorKind::Contract,
                format!("{topic}: no contract can be made of it"),
            );
            Refused::Failed(failure.caused_by(error))
        }
    })?;
    let default = || format!("config/contracts/{}.v1.avsc", event.entity().to_ascii_lowercase()).into();
    let file = arguments.out.clone().unwrap_or_else(default);
    create(&file, &contract, arguments.force)?;
    let json =
        || json!({ "file": file.display().to_string(), "route": route.config.name, "event": event.name });
    Ok(arguments.output.print(|| lines(*route, &file), json))
}

fn create(file: &Path, contract: &str, force: bool) -> Result<(), Refused> {
    let refused = |error: std::io::Error| {
        Refused::Asked(match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!(
                "{} is there already; give another --out, or --force to overwrite it",
                file.display()
            ),
            _ => format!("{} cannot be written: {}", file.display(), chain(&error)),
        })
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(refused)?;
    }
    let mut options = std::fs::OpenOptions::new();
    // Whoever was first keeps the file: no gap between looking and writing.
    options
        .write(true)
        .create(true)
        .truncate(force)
        .create_new(!force);
    let mut opened = options.open(file).map_err(refused)?;
    std::io::Write::write_all(&mut opened, contract.as_bytes()).map_err(refused)
}

/// What to put into the configuration.
fn lines(route: Route<'_>, file: &Path) -> String {
    let output = route.flow.to.first();
    let topic = output.map_or("", |output| output.topic.as_str());
    let format = match output.map(|output| output.format) {
        Some(Format::Json) => "json",
        _ => "avro",
    };
    format!(
        "# {} is written; put it into the route {}:\n    to:\n      - kafka: {topic}\n        format: {format}\n        contract: {{ file: {}, on_break: halt }}\n",
        file.display(),
        route.config.name,
        file.display()
    )
}
