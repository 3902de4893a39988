//! `sfbridge log-level`: how much a running bridge logs, shown or changed until it ends.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::answer::{Output, shape, until_signal};
use super::bridge::{Bridge, Place};
use crate::app::Exit;
use crate::error::Failure;

const JSON: &str = r#"As JSON:
  {"level": "info"}"#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge log-level --config config/sfbridge.yaml\n  sfbridge log-level info,sfbridge::kafka=debug --config config/sfbridge.yaml\n  sfbridge log-level info --url http://bridge-2:9400 --token-file /run/secrets/admin_token\n\nExit codes:\n  0 shown, or changed\n  1 the level is wrong, or the bridge does not answer\n  64 configuration"
)]
pub(super) struct Args {
    /// The new level: error, warn, info, debug or trace, or directives such as `info,sfbridge::kafka=debug`;
    /// without it the level in force is shown
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    #[command(flatten)]
    bridge: Bridge,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    match arguments.bridge.place(file) {
        Ok(place) => until_signal(Exit::Failed, async || {
            let told = ask(&place, arguments.level.as_deref()).await?;
            let level = || format!("{}\n", told["level"].as_str().unwrap_or_default());
            Ok(arguments.output.print(level, || told.clone()))
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
