//! The commands of an operator as a person or a script runs them: the real program, a real broker, a simulated org.

mod access;
mod check;
mod events;
mod log_level;
mod positions;
mod status;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::bridge::Setup;

/// A command takes seconds; on a loaded machine more.
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// A folder with a configuration in it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(setup: &Setup) -> Self {
        Self::with(&setup.yaml(9400))
    }

    fn with(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sfbridge.yaml"), yaml).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("sfbridge.yaml"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        timeout(RUN_LIMIT, command.output())
            .await
            .expect("it ends")
            .expect("it runs")
    }

    /// Exit code, stdout and stderr.
    async fn said(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.run(arguments).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// The JSON document of a run, and its exit code.
    async fn json(&self, arguments: &[&str]) -> (Option<i32>, Json) {
        let (code, shown, complaint) = self.said(arguments).await;
        let json = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("no JSON: {shown}{complaint}"));
        (code, json)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn every_commands_help_shows_an_example() {
    let desk = Desk::with("");
    for command in [
        &["check"][..],
        &["status"],
        &["log-level"],
        &["tail"],
        &["publish"],
        &["positions", "list"],
        &["positions", "set"],
        &["positions", "reset"],
    ] {
        let (code, shown, _) = desk.said(&[command, &["--help"]].concat()).await;
        assert_eq!(code, Some(0), "{command:?}");
        let example = format!("sfbridge {}", command.join(" "));
        let after = shown.split_once("Example").map(|(_, after)| after);
        assert!(after.is_some_and(|after| after.contains(&example)), "{shown}");
        assert!(shown.contains("--config"), "{shown}");
    }
}
