//! `sfbridge contracts`: what the readers of the topics rely on, compared with the org and the registry, shown,
//! exported and documented. Reads only; `init` alone writes, one new file.

pub(super) mod check;
mod diff;
mod docs;
mod export;
mod init;
pub(super) mod org;
mod outputs;
pub(super) mod registry;
mod show;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::answer::{Output, Refused, configured, pretty, print, shape};
use crate::app::Exit;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compare every contract with the org and the registry; exits with 1 when one is broken
    Check(check::Args),
    /// Show the contracts as they are now: subject, version, id and schema, as JSON
    Show(show::Args),
    /// Show field by field what the org has changed since the contract's last version
    Diff(diff::Args),
    /// Print a contract as an Avro schema, a JSON Schema or a data contract (ODCS)
    Export(export::Args),
    /// Print an AsyncAPI 3 document of every topic that the bridge writes
    Docs(docs::Args),
    /// Write a first contract file from the org's schema
    Init(init::Args),
}

/// Events of a channel are not known before they come; whoever knows them names them.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Entities {
    /// An object or event that a channel carries; may be given several times
    #[arg(long = "entity", value_name = "NAME")]
    names: Vec<String>,
}

/// A document goes to stdout, or where it is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Out {
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    configured(file, async |config| work(&arguments.what, &config).await)
}

async fn work(what: &What, config: &Config) -> Result<Exit, Refused> {
    match what {
        What::Check(arguments) => check::run(arguments, config).await,
        What::Show(arguments) => show::run(arguments, config).await,
        What::Diff(arguments) => diff::run(arguments, config).await,
        What::Export(arguments) => export::run(arguments, config).await,
        What::Docs(arguments) => docs::run(arguments, config).await,
        What::Init(arguments) => init::run(arguments, config).await,
    }
}

fn write(out: &Out, document: &str) -> Result<Exit, Refused> {
    match &out.out {
        None => Ok(print(document)),
        Some(path) => std::fs::write(path, document)
            .map(|()| Exit::Clean)
            .map_err(|error| Refused::Asked(format!("{} cannot be written: {error}", path.display()))),
    }
}

fn yaml(json: &serde_json::Value) -> Result<String, Refused> {
    serde_saphyr::to_string(json)
        .map_err(|error| Refused::Asked(format!("the document cannot be written as YAML: {error}")))
}
