//! `sfbridge run`: the daemon. Refuses what is wrong or not there yet before it connects to anything.

use std::path::Path;
use std::time::Duration;

use crate::app::{self, App, Exit, Timings};
use crate::config;
use crate::runtime::shutdown::Signals;
use crate::telemetry::logging;

/// What still runs on a thread of its own when everything is over is given this long: the outcome is known.
const THREADS_END_WITHIN: Duration = Duration::from_millis(200);

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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sfbridge: the runtime cannot be started: {error}");
            return Exit::Bug;
        }
    };
    let exit = runtime.block_on(async {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                eprintln!("sfbridge: signals cannot be listened to: {error}");
                return Exit::Bug;
            }
        };
        let outcome = match App::open(loaded.config, Timings::default()).await {
            Ok(app) => app.run(&mut signals).await,
            Err(stopped) => Err(stopped),
        };
        app::report(&outcome)
    });
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    exit
}
