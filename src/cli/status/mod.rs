//! `sfbridge status`: what a running bridge does, asked of its admin listener.

mod table;

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use self::table::Table;
use super::answer::{Form, Refused, pretty, print, until_signal};
use super::bridge::{Bridge, Place};
use crate::app::Exit;
use crate::error::ErrorKind;
use crate::runtime::clock;

/// Often enough for an eye, seldom enough for a log.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sfbridge status --config config/sfbridge.yaml --watch\n  sfbridge status --url http://bridge-2:9400 --token-file /run/secrets/admin_token\n  sfbridge status --output json | jq '.routes[] | select(.state.name == \"halted\")'\n\nExit codes:\n  0 no route is halted\n  1 a route is halted, or the bridge does not answer\n  64 configuration"
)]
pub(super) struct Args {
    #[command(flatten)]
    bridge: Bridge,
    /// Show it again every two seconds, until it is interrupted
    #[arg(long)]
    watch: bool,
    /// How to print the routes
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
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
        let shown = place.get("/api/routes").await;
        let clear = if arguments.watch && std::io::stdout().is_terminal() {
            CLEAR
        } else {
            ""
        };
        match shown {
            Ok(shown) => {
                print(&match arguments.output {
                    Form::Json if arguments.watch => format!("{shown}\n"),
                    Form::Json => pretty(&shown),
                    Form::Text => format!("{clear}{}", Table::new(&shown, clock::now_ms())),
                });
                if !arguments.watch {
                    return Ok(if table::is_halted(&shown) {
                        Exit::Failed
                    } else {
                        Exit::Clean
                    });
                }
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
