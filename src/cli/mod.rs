//! The command line: one file a command, one line here for each. A command answers with its exit code;
//! documents go to stdout, complaints and logs to stderr.

mod answer;
mod bridge;
mod check;
mod cluster;
mod config;
mod contracts;
mod dead_letters;
mod demo;
mod health;
mod log_level;
mod manual;
mod named;
mod positions;
mod progress;
mod publish;
mod run;
pub mod simulate;
mod status;
mod tail;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::app::Exit;
use crate::runtime::shutdown::Signals;

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
    /// Run the bridge: the daemon
    Run(run::Args),
    /// Say whether the bridge can run as it is configured: a line each, ✓ or ✗ and the remedy
    Check(check::Args),
    /// Show what a running bridge does: its routes, what is stuck, why, and what to do
    Status(status::Args),
    /// Show how much a running bridge logs, or change it until it ends
    LogLevel(log_level::Args),
    /// Ask a running bridge whether it is well: the health check of a container
    Health(health::Args),
    /// Show where routes stand, and let them go on from elsewhere
    #[command(after_help = "Example:\n  sfbridge positions list --config config/sfbridge.yaml")]
    Positions(positions::Args),
    /// Show the events of a Salesforce topic as JSON lines; needs no Kafka
    Tail(tail::Args),
    /// Publish platform events from JSON, one or a line each
    Publish(publish::Args),
    /// See it work: a simulated org, an embedded Kafka, and a reader that counts what arrives
    Demo(demo::Args),
    /// Run a simulated Salesforce org on loopback: lively data, and faults on demand
    Simulate(simulate::Args),
    /// Show the effective configuration, its schema or an example
    #[command(after_help = "Example:\n  sfbridge config show --config config/sfbridge.yaml")]
    Config(config::Args),
    /// Check, show, compare, export and document the contracts
    #[command(after_help = "Example:\n  sfbridge contracts check --config config/sfbridge.yaml")]
    Contracts(contracts::Args),
    /// List and show what could not be delivered, and send it again
    #[command(
        name = "dead-letters",
        after_help = "Example:\n  sfbridge dead-letters list --route customers --config config/sfbridge.yaml"
    )]
    DeadLetters(dead_letters::Args),
    /// Print what a shell needs to complete commands and options
    Completions(manual::completions::Args),
    /// Print the man page, or write one for each command
    Man(manual::man::Args),
}

/// The page of the documentation about the commands, `docs/commands.md`, made of their definitions.
pub fn reference() -> String {
    manual::reference::page()
}

/// The command line as it is defined: every command, option and value.
pub fn definition() -> clap::Command {
    Cli::command()
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
        Command::Run(arguments) => run::run(&arguments, &cli.config),
        Command::Check(arguments) => check::run(&arguments, &cli.config),
        Command::Status(arguments) => status::run(&arguments, &cli.config),
        Command::LogLevel(arguments) => log_level::run(&arguments, &cli.config),
        Command::Health(arguments) => health::run(&arguments, &cli.config),
        Command::Positions(arguments) => positions::run(&arguments, &cli.config),
        Command::Tail(arguments) => tail::run(&arguments, &cli.config),
        Command::Publish(arguments) => publish::run(&arguments, &cli.config),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Config(arguments) => config::run(&arguments, &cli.config),
        Command::Contracts(arguments) => contracts::run(&arguments, &cli.config),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments, &cli.config),
        Command::Completions(arguments) => manual::completions::run(&arguments),
        Command::Man(arguments) => manual::man::run(&arguments),
    }
}

/// What still runs on a thread of its own when everything is over is given this long: the outcome is known.
const THREADS_END_WITHIN: Duration = Duration::from_millis(200);

/// Runs a command that connects to something: on a runtime, with the signals that end it.
fn on_runtime(command: impl AsyncFnOnce(&mut Signals) -> Exit) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sfbridge: the runtime cannot be started: {error}");
            return Exit::Bug;
        }
    };
    let exit = runtime.block_on(async {
        match Signals::listen() {
            Ok(mut signals) => command(&mut signals).await,
            Err(error) => {
                eprintln!("sfbridge: signals cannot be listened to: {error}");
                Exit::Bug
            }
        }
    });
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    exit
}
