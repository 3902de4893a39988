//! The command line: one file a command, one line here for each. A command answers with its exit code;
//! documents go to stdout, complaints and logs to stderr.

mod config;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What the process tells whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Clean,
    /// The configuration, or the command line, is wrong. Starting again will not help.
    Configuration,
    /// Kafka was not reached within a minute of the start.
    KafkaUnavailable,
    Bug,
    /// The drain deadline cut something off; the next start goes on where it stopped.
    CutOff,
}

impl Exit {
    /// From sysexits.h, as supervisors know them.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Configuration => 64,
            Self::KafkaUnavailable => 69,
            Self::Bug => 70,
            Self::CutOff => 75,
        }
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "sfbridge",
    version,
    about = "Salesforce events to Kafka and back: exactly once, in order",
    after_help = "Example:\n  sfbridge config example > sfbridge.yaml\n  sfbridge config show --config sfbridge.yaml"
)]
struct Cli {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SFBRIDGE_CONFIG",
        default_value = "config/sfbridge.yaml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the effective configuration, its schema or an example
    #[command(after_help = "Example:\n  sfbridge config show --config config/sfbridge.yaml")]
    Config(config::Args),
}

/// Parses the command line (the first argument is the program's name) and runs the command.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for = !error.use_stderr();
            // A closed pipe is nobody's mistake.
            let _ = error.print();
            return if asked_for {
                Exit::Clean
            } else {
                Exit::Configuration
            };
        }
    };
    match cli.command {
        Command::Config(arguments) => config::run(&arguments, &cli.config),
    }
}
