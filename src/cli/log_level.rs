//! `sfbridge log-level`: how much a running bridge logs, shown or changed until it ends.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::answer::{Form, pretty, print, until_signal};
use super::bridge::{Bridge, Place};
use crate::app::Exit;
use crate::error::Failure;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sfbridge log-level --config config/sfbridge.yaml\n  sfbridge log-level info,sfbridge::kafka=debug --config config/sfbridge.yaml\n  sfbridge log-level info --url http://bridge-2:9400 --token-file /run/secrets/admin_token\n\nExit codes:\n  0 shown, or changed\n  1 the level is wrong, or the bridge does not answer\n  64 configuration"
)]
pub(super) struct Args {
    /// The new level: error, warn, info, debug or trace, or directives such as `info,sfbridge::kafka=debug`;
    /// without it the level in force is shown
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    #[command(flatten)]
    bridge: Bridge,
    /// How to print the level
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    match arguments.bridge.place(file) {
        Ok(place) => until_signal(Exit::Failed, async || {
            let told = ask(&place, arguments.level.as_deref()).await?;
            Ok(print(&match arguments.output {
                Form::Json => pretty(&told),
                Form::Text => format!("{}\n", told["level"].as_str().unwrap_or_default()),
            }))
        }),
        Err(problems) => {
            eprintln!("{problems}");
            Exit::Configuration
        }
    }
}

/// What the bridge says its level is, after it was changed where one is given.
async fn ask(place: &Place, level: Option<&str>) -> Result<Json, Failure> {
    match level {
        None => place.get("/api/log").await,
        Some(level) => place.post("/api/log", &json!({ "level": level })).await,
    }
}
