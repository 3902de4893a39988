//! `sfbridge config`: what the program makes of its configuration, without connecting to anything.

use std::path::Path;

use clap::Subcommand;

use super::answer::{Output, print, shape};
use crate::app::Exit;
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the effective configuration: defaults filled in, variables resolved, secrets masked
    #[command(
        mut_arg("output", shape(JSON)),
        after_help = "Examples:\n  sfbridge config show --config config/sfbridge.yaml\n  sfbridge config show --output json | jq -r '.routes[].name'"
    )]
    Show(ShowArgs),
    /// Print the JSON Schema of the configuration file, for editors
    #[command(after_help = "Example:\n  sfbridge config schema > config/sfbridge.schema.json")]
    Schema,
    /// Print an example of every key, with explanations
    #[command(after_help = "Example:\n  sfbridge config example > config/sfbridge.yaml")]
    Example,
}

const JSON: &str = r#"The text is a configuration file. As JSON:
  {"bridge": {"name": "crm", …}, "salesforce": {…}, "kafka": {…},
   "routes": [{"name": "…", …}, …], …}

with the keys of the file; durations and percentages are texts, as in the file."#;

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    match &arguments.what {
        What::Schema => print(&config::schema()),
        What::Example => print(&config::example()),
        What::Show(ShowArgs { output }) => match config::load(file) {
            Ok(loaded) => output.print(|| loaded.show(), || loaded.show_json()),
            Err(problems) => {
                eprintln!("{problems}");
                Exit::Configuration
            }
        },
    }
}
