//! `sfbridge demo`: the whole bridge against a simulated org and an embedded Kafka, for whoever wants to see it.
//!
//! ```text
//!  simulator ──▶ the real bridge (two routes) ──▶ Kafka (mock, or --kafka) ──▶ reader
//!      └──────────────── what was sent ────────────────▶ ledger ◀── what was read ──┘
//! ```
//!
//! The end is in this order: the generator stops, the bridge delivers what was sent, the bridge drains, the
//! reader reads to the end of every topic. Only then the ledger is asked. Exit code 0 when every record arrived
//! once and in order; 70 when not.

mod board;
mod cluster;
mod ledger;
mod plan;
mod reader;
mod screen;
mod session;
mod view;

use std::path::PathBuf;

use super::answer::{Output, shape};
use crate::app::Exit;
use crate::config::{LogConfig, LogFormat};
use crate::telemetry::logging;

use self::screen::{LogLines, Screen};
use self::session::Session;

const EXAMPLES: &str = "Examples:
  sfbridge demo                                  until Ctrl-C, with a summary
  sfbridge demo --seconds 30 --rate 200          livelier, and it ends by itself
  sfbridge demo --kafka localhost:9092           a real broker: transactions, fencing and isolation are its own
  sfbridge demo --kafka localhost:9092 --keep-topics
  sfbridge demo --write-config demo.yaml         the configuration that runs, to start your own from
  sfbridge demo --seconds 10 | cat               lines in place of a table

While it runs, make the org misbehave (the address stands in the first lines) and see that nothing is lost:
  curl -X POST http://127.0.0.1:PORT/control/end-streams -H 'content-type: application/json' -d '{\"with\":\"reset\"}'
  curl -X POST http://127.0.0.1:PORT/control/expire-tokens
  sfbridge simulate --help                       lists all of it

The embedded Kafka is librdkafka's mock cluster. It takes transactions, but hides no aborted record from a
reader and fences no second owner; --kafka shows both.

Exit codes:
  0 every record that was sent arrived once and in order
  64 an argument is wrong
  69 the Kafka of --kafka does not answer
  70 a record is missing, came twice or out of order, or that could not be checked
  75 a second Ctrl-C cut the check off";

/// Steps a second that the generator is good for.
const RATE_MAX: f64 = 10_000.0;

const JSON: &str = r#"As JSON, the summary at the end; what happens meanwhile goes to stderr:
  {"seconds": 30.1, "events_sent": 612, "records_written": 640, "records_read": 640,
   "dead_letters": 0, "lost": 0, "duplicated": 0, "out_of_order": 0, "never_sent": 0,
   "unchecked": null, "topics": null, "routes": [
     {"name": "crm-changes", "direction": "to_kafka", "state": "streaming",
      "events": 580, "records": 580, "p50_ms": 4, "p99_ms": 19}, …]}

`unchecked`: why the check does not cover everything; `topics`: what became of those on a real Kafka."#;

#[derive(Debug, clap::Args)]
#[command(mut_arg("output", shape(JSON)), after_help = EXAMPLES)]
pub(super) struct Args {
    /// A real Kafka in place of the embedded one; topics named after this run are made, and deleted at the end
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Leave the topics on the real Kafka
    #[arg(long, requires = "kafka")]
    keep_topics: bool,
    /// End after so many seconds; until Ctrl-C without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Things that happen in the org a second
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// Write the configuration that runs to a file
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.1..=RATE_MAX).contains(rate))
        .ok_or_else(|| format!("give a number from 0.1 to {RATE_MAX}"))
}

pub(super) fn run(arguments: &Args) -> Exit {
    let screen = if arguments.output.is_json() {
        Screen::of_stderr()
    } else {
        Screen::of_stdout()
    };
    if let Err(why) = install_logging(&screen) {
        eprintln!("sfbridge: {why}");
        return Exit::Configuration;
    }
    super::on_runtime(async |signals| {
        let session = tokio::select! {
            session = Session::open(arguments, screen) => session,
            () = signals.next() => return Exit::Clean,
        };
        let outcome = match session {
            Ok(session) => session.run(signals).await,
            Err(stopped) => Err(stopped),
        };
        outcome.unwrap_or_else(|stopped| crate::app::report(&Err(stopped)))
    })
}

/// Warnings only: the table is what there is to see. On a terminal they go above it, not through it.
fn install_logging(screen: &Screen) -> Result<(), String> {
    let config = LogConfig {
        format: LogFormat::Text,
        level: "warn".to_owned(),
    };
    let on_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    match screen.log_lines() {
        Some(lines) if on_terminal => logging::install_to(&config, false, move || LogLines::clone(&lines)),
        _ => logging::install(&config),
    }
}
