//! A server of the tests' own, as a process with a folder. None outlives the test process, however that ends:
//! each runs under a small shell that obeys signals written to its stdin and, when stdin closes, kills the
//! server and removes its folder.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// `$1` is the folder, the rest the server's command line. Out of the terminal's process group, so that
/// Ctrl-C reaches the server through the end of stdin alone, in one order.
const SHELL: &str = r#"
folder=$1; shift
"$@" </dev/null >>"$folder/server.log" 2>&1 &
server=$!
while read -r signal; do
  kill -"$signal" "$server"
  case "$signal" in TERM|KILL) wait "$server" 2>/dev/null; exit 0 ;; esac
done
kill -KILL "$server"; wait "$server" 2>/dev/null; rm -rf "$folder"
"#;

#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    shell: Mutex<Option<Child>>,
}

impl Keeper {
    /// Makes the folder, named after `what`. Nothing runs yet.
    pub fn new(what: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{what}-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let shell = Mutex::new(None);
        Ok(Self { folder, shell })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the server (again).
    pub fn start(&self, command_line: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<(), String> {
        let mut shell = self.shell.lock();
        assert!(shell.is_none(), "the server runs already");
        let child = Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .arg(&self.folder)
            .args(command_line)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        *shell = Some(child);
        Ok(())
    }

    /// Ends the server with `TERM` or `KILL` and waits for its end; the folder stays.
    pub fn end(&self, signal: &str) {
        self.signal(signal);
        if let Some(mut shell) = self.shell.lock().take() {
            shell.wait().expect("the server's keeper can be waited for");
        }
    }

    pub fn signal(&self, signal: &str) {
        let mut shell = self.shell.lock();
        let stdin = shell.as_mut().and_then(|child| child.stdin.as_mut());
        writeln!(stdin.expect("the server runs"), "{signal}").expect("the server's keeper listens");
    }

    /// The last that the server said, newest line first.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        tail.join("\n")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        match self.shell.lock().take() {
            Some(mut shell) => {
                drop(shell.stdin.take());
                let _ = shell.wait();
            }
            // Stopped by the test: no shell is left to clear up.
            None => drop(std::fs::remove_dir_all(&self.folder)),
        }
    }
}

/// Two ports that nobody listens on.
pub fn free_ports() -> Result<[u16; 2], String> {
    let free = || TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"));
    // Both are held until both are known, so that they differ.
    let (one, other) = (free()?, free()?);
    let port = |held: &TcpListener| {
        held.local_addr()
            .map(|address| address.port())
            .map_err(|error| format!("no free port: {error}"))
    };
    Ok([port(&one)?, port(&other)?])
}
