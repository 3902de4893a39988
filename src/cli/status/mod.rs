//! `sfbridge status`: what a running bridge does, asked of its admin listener.

mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use self::table::Table;
use super::answer::{Output, Refused, shape, until_signal};
use super::bridge::{Bridge, Place};
use crate::app::Exit;
use crate::error::ErrorKind;
use crate::runtime::clock;

/// Often enough for an eye, seldom enough for a log.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

const JSON: &str = r#"As JSON, what the bridge answers on /api/routes; with --watch a line each time:
  {"bridge": "crm", "routes": [{"name": "account-changes", "direction": "to_kafka",
   "state": {"name": "halted", "since": "…", "why": "…", "remedy": "…"}, …}, …]}

A state is starting, streaming, idle, waiting, paused, draining or halted."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge status --config config/sfbridge.yaml --watch\n  sfbridge status --url http://bridge-2:9400 --token-file /run/secrets/admin_token\n  sfbridge status --output json | jq '.routes[] | select(.state.name == \"halted\")'\n\nExit codes:\n  0 no route is halted\n  1 a route is halted, or the bridge does not answer\n  64 configuration"
)]
pub(super) struct Args {
    #[command(flatten)]
    bridge: Bridge,
    /// Show it again every two seconds, until it is interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    let place = match arguments.bridge.place(file) {
        Ok(place) => place,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Configuration;
        }
    };
    // Who watches ends it so.
    let interrupted = if arguments.watch {
        Exit::Clean
    } else {
        Exit::Failed
    };
    until_signal(interrupted, async || status(arguments, &place).await)
}

async fn status(arguments: &Args, place: &Place) -> Result<Exit, Refused> {
    loop {
        match place.get("/api/routes").await {
            Ok(shown) if arguments.watch => {
                if again(arguments.output, &shown).is_err() {
                    return Ok(Exit::Clean);
                }
            }
            Ok(shown) => {
                let is_halted = table::is_halted(&shown);
                let table = || Table::new(&shown, clock::now_ms()).to_string();
                arguments.output.print(table, || shown.clone());
                return Ok(if is_halted { Exit::Failed } else { Exit::Clean });
            }
            // A bridge that starts again is waited for.
            Err(failure) if arguments.watch && failure.kind == ErrorKind::Transient => {
                eprintln!("sfbridge: {}", crate::error::chain(&failure));
            }
            Err(failure) => return Err(failure.into()),
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// What there is now, over what was there before where somebody looks.
///
/// # Errors
/// When whoever reads has seen enough and closed the pipe.
fn again(output: Output, shown: &Json) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let before = if out.is_terminal() { CLEAR } else { "" };
    let text = if output.is_json() {
        format!("{shown}\n")
    } else {
        format!("{before}{}", Table::new(shown, clock::now_ms()))
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}
