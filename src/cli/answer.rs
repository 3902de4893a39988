//! How commands answer: documents on stdout, for people or as JSON, a refusal and its remedy on stderr, and the exit
//! code. In JSON stdout holds one document, or a document a line where a command goes on.

use std::io::Write as _;
use std::path::Path;

use clap::Arg;
use serde_json::Value as Json;

use crate::app::Exit;
use crate::config::{self, Config};
use crate::error::{Failure, chain};
use crate::runtime::shutdown::Signals;

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    Text,
    Json,
}

/// The option of every command that answers people, and programs with JSON.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// How to print it: for people, or as JSON for programs
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

impl Output {
    pub(super) fn is_json(self) -> bool {
        self.output == Form::Json
    }

    /// Prints what was found, in the form that was asked for.
    pub(super) fn print(self, text: impl FnOnce() -> String, json: impl FnOnce() -> Json) -> Exit {
        print(&match self.output {
            Form::Text => text(),
            Form::Json => pretty(&json()),
        })
    }

    /// Prints a line of something that goes on.
    pub(super) fn print_line(self, text: impl FnOnce() -> String, json: impl FnOnce() -> Json) -> Exit {
        print(&match self.output {
            Form::Text => format!("{}\n", text()),
            Form::Json => format!("{}\n", json()),
        })
    }
}

/// Says in the help of `--output` what a command's JSON is: `#[command(mut_arg("output", shape("…")))]`. Lines that
/// are to stay lines begin with two spaces; a man page and `docs/commands.md` join the others.
pub(super) fn shape(json: &'static str) -> impl FnOnce(Arg) -> Arg {
    move |arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        arg.long_help(format!("{help}\n\n{json}"))
    }
}

/// A JSON array that is written item by item, because it may be long.
#[derive(Debug, Default)]
pub(super) struct JsonArray {
    is_begun: bool,
}

impl JsonArray {
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn add(&mut self, item: &Json) -> std::io::Result<()> {
        let begin = if self.is_begun { "," } else { "[" };
        self.is_begun = true;
        write!(std::io::stdout().lock(), "{begin}\n  {item}")
    }

    pub(super) fn end(&self) {
        print(if self.is_begun { "\n]\n" } else { "[]\n" });
    }
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
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(document.as_bytes()).and_then(|()| out.flush());
    Exit::Clean
}

/// Pretty JSON with its last line ended.
pub(super) fn pretty(json: &Json) -> String {
    format!("{json:#}\n")
}
