//! The commands of an operator as a person or a script runs them: the real program, a real broker, a simulated org.

mod access;
mod check;
mod documents;
mod events;
mod log_level;
mod manual;
mod positions;
mod status;
mod terminal;
mod text_logs;

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
        let (shown, complaint) = (text(&output.stdout), text(&output.stderr));
        assert!(
            !format!("{shown}{complaint}").contains('\u{1b}'),
            "a pipe gets no bars, colours and cursor codes: {shown}{complaint}"
        );
        (output.status.code(), shown, complaint)
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

/// A program of this machine that tells its version.
fn is_there(program: &str) -> Result<(), String> {
    let asked = std::process::Command::new(program).arg("--version").output();
    asked.map(drop).map_err(|error| format!("{program}: {error}"))
}
