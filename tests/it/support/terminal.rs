//! A terminal for programs that look whether they have one: `script` of util-linux opens it. It says nothing of its
//! size.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::bridge::PATIENCE;

/// Control-C, as a keyboard sends it.
pub const INTERRUPT: &str = "\u{3}";

/// # Errors
/// There is no `script`.
pub fn is_there() -> Result<(), String> {
    let asked = std::process::Command::new("script").arg("--version").output();
    asked.map(drop).map_err(|error| format!("script: {error}"))
}

/// A program in a terminal, and what it has shown so far.
#[derive(Debug)]
pub struct Terminal {
    script: Child,
    shown: String,
}

impl Terminal {
    /// Runs the real program with these words of a shell.
    pub fn run(words: &str) -> Self {
        let line = format!("exec {} {words}", env!("CARGO_BIN_EXE_sfbridge"));
        let script = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env_remove("SFBRIDGE_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("script runs");
        Self {
            script,
            shown: String::new(),
        }
    }

    pub async fn type_in(&mut self, keys: &str) {
        let keyboard = self.script.stdin.as_mut().expect("a keyboard");
        keyboard.write_all(keys.as_bytes()).await.expect("it is read");
    }

    /// Waits until `is_there` holds of what it has shown.
    pub async fn until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) {
        let reading = async {
            while !is_there(&self.shown) {
                assert!(self.read().await, "it ended before {what}: {}", self.shown);
            }
        };
        if timeout(PATIENCE, reading).await.is_err() {
            panic!("waited in vain for {what}: {}", self.shown);
        }
    }

    /// Waits for its end: the exit code, and all that it has shown.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let ending = async {
            while self.read().await {}
            self.script.wait().await.expect("it ends")
        };
        let status = timeout(PATIENCE, ending).await.expect("it ends in time");
        (status.code(), self.shown)
    }

    /// False at the end.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let screen = self.script.stdout.as_mut().expect("a screen");
        let count = screen.read(&mut bytes).await.expect("it can be read");
        // A character cut in two shows as another; nobody looks for it.
        self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}
