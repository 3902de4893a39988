//! `sfbridge run`: the daemon. Refuses what is wrong or not there yet before it connects to anything.

use std::path::Path;

use crate::app::{self, App, Exit, Timings};
use crate::config;
use crate::telemetry::logging;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sfbridge run --config config/sfbridge.yaml\n\nExit codes:\n  0 clean\n  64 configuration\n  69 Kafka not reached within 60 s of the start\n  70 bug\n  75 the drain deadline cut something off; the next start goes on where it stopped"
)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, file: &Path) -> Exit {
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Configuration;
        }
    };
    let unsupported = loaded.unsupported();
    if !unsupported.is_empty() {
        eprintln!("{unsupported}");
        return Exit::Configuration;
    }
    if let Err(why) = logging::install(&loaded.config.log) {
        eprintln!("{}: {why}", file.display());
        return Exit::Configuration;
    }
    super::on_runtime(async |signals| {
        let outcome = match App::open(loaded.config, Timings::default()).await {
            Ok(app) => app.run(signals).await,
            Err(stopped) => Err(stopped),
        };
        app::report(&outcome)
    })
}
