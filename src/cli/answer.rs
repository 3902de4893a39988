//! How commands answer: documents on stdout, a refusal and its remedy on stderr, and the exit code.

use std::io::Write as _;
use std::path::Path;

use crate::app::Exit;
use crate::config::{self, Config};
use crate::error::{Failure, chain};
use crate::runtime::shutdown::Signals;

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    Text,
    Json,
}

/// Why a command has no result: nothing was printed to stdout.
#[derive(Debug)]
pub(super) enum Refused {
    /// The command line or the configuration asks for what there is not.
    Asked(String),
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Loads the configuration and runs a command that connects to something, until it answers or a signal comes.
pub(super) fn configured(file: &Path, command: impl AsyncFnOnce(Config) -> Result<Exit, Refused>) -> Exit {
    match load(file) {
        Ok(config) => until_signal(Exit::Failed, async || command(config).await),
        Err(exit) => exit,
    }
}

/// The same for a command that answers to signals by itself.
pub(super) fn signalled(
    file: &Path,
    command: impl AsyncFnOnce(Config, &mut Signals) -> Result<Exit, Refused>,
) -> Exit {
    match load(file) {
        Ok(config) => super::on_runtime(async |signals| {
            let outcome = command(config, signals).await;
            outcome.unwrap_or_else(|refused| tell(&refused))
        }),
        Err(exit) => exit,
    }
}

fn load(file: &Path) -> Result<Config, Exit> {
    config::load(file)
        .map(|loaded| loaded.config)
        .map_err(|problems| {
            eprintln!("{problems}");
            Exit::Configuration
        })
}

/// Runs a command that connects to something, until it answers or a signal comes; `interrupted` is the answer then.
pub(super) fn until_signal(interrupted: Exit, command: impl AsyncFnOnce() -> Result<Exit, Refused>) -> Exit {
    super::on_runtime(async |signals| {
        tokio::select! {
            outcome = command() => outcome.unwrap_or_else(|refused| tell(&refused)),
            () = signals.next() => interrupted,
        }
    })
}

fn tell(refused: &Refused) -> Exit {
    match refused {
        Refused::Asked(why) => {
            eprintln!("sfbridge: {why}");
            Exit::Configuration
        }
        Refused::Failed(failure) => {
            eprintln!("sfbridge: {}", chain(failure));
            if let Some(remedy) = &failure.remedy {
                eprintln!("sfbridge: {remedy}");
            }
            Exit::Failed
        }
    }
}

/// Prints a document. Whoever reads may have seen enough and closed the pipe.
pub(super) fn print(document: &str) -> Exit {
    let _ = std::io::stdout().lock().write_all(document.as_bytes());
    Exit::Clean
}

/// Pretty JSON with its last line ended.
pub(super) fn pretty(json: &serde_json::Value) -> String {
    format!("{json:#}\n")
}
