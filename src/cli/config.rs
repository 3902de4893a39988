//! `sfbridge config`: what the program makes of its configuration, without connecting to anything.

use std::io::Write;
use std::path::Path;

use clap::Subcommand;

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
    #[command(after_help = "Example:\n  sfbridge config show --config config/sfbridge.yaml")]
    Show,
    /// Print the JSON Schema of the configuration file, for editors
    #[command(after_help = "Example:\n  sfbridge config schema > config/sfbridge.schema.json")]
    Schema,
    /// Print an example of every key, with explanations
    #[command(after_help = "Example:\n  sfbridge config example > config/sfbridge.yaml")]
    Example,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    let document = match arguments.what {
        What::Schema => config::schema(),
        What::Example => config::example(),
        What::Show => match config::load(file) {
            Ok(loaded) => loaded.show(),
            Err(problems) => {
                eprintln!("{problems}");
                return Exit::Configuration;
            }
        },
    };
    // Whoever reads may have seen enough and closed the pipe.
    let _ = std::io::stdout().lock().write_all(document.as_bytes());
    Exit::Clean
}
