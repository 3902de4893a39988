//! A real schema registry (Apicurio, in memory, loopback) behind the interface that Confluent's has: one of
//! each release shared by the whole run, and private ones that a test may stop and start again on the same
//! port. What was registered does not survive a stop.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::jars::registry_files;
use super::keeper::{Keeper, free_ports};

/// Five seconds on an idle machine; the tests of several checkouts may share this one.
const START_TIMEOUT: Duration = Duration::from_secs(90);
const CONFLUENT_PATH: &str = "/apis/ccompat/v7";

/// A release of Apicurio and what it needs.
#[derive(Debug)]
struct Release {
    version: &'static str,
    jar: &'static str,
    java_min: u32,
}

/// What most installations run.
const V2: Release = Release {
    version: "2.6.13.Final",
    jar: "apicurio-registry-app-2.6.13.Final-runner.jar",
    java_min: 17,
};

/// A rewrite, whose answers differ here and there.
const V3: Release = Release {
    version: "3.3.3",
    jar: "quarkus-run.jar",
    java_min: 21,
};

/// The registry of the whole run: its base URL for Confluent's clients, or why none.
pub fn shared() -> Result<String, String> {
    static SHARED: OnceLock<Result<Registry, String>> = OnceLock::new();
    url_of(SHARED.get_or_init(|| Registry::of(&V2)))
}

/// The same of release 3. It needs a newer Java than Kafka does: what a test asks for is `registry-v3`.
pub fn shared_v3() -> Result<String, String> {
    static SHARED: OnceLock<Result<Registry, String>> = OnceLock::new();
    url_of(SHARED.get_or_init(|| Registry::of(&V3)))
}

fn url_of(started: &Result<Registry, String>) -> Result<String, String> {
    match started {
        Ok(registry) => Ok(registry.url()),
        Err(reason) => Err(reason.clone()),
    }
}

/// A registry of this test's own.
#[derive(Debug)]
pub struct Registry {
    command_line: Vec<String>,
    port: u16,
    keeper: Keeper,
}

impl Registry {
    /// Starts one of release 2.
    pub fn start_new() -> Result<Self, String> {
        Self::of(&V2)
    }

    fn of(release: &Release) -> Result<Self, String> {
        let java = java(release.java_min)?;
        let jar = registry_files(release.version)?.join(release.jar);
        let [port, management_port] = free_ports()?;
        let mut command_line = vec![java.display().to_string()];
        command_line.extend(
            [
                // A heap, a collector and a compiler for a small machine that runs other things too.
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dquarkus.http.host=127.0.0.1",
                "-Dquarkus.management.host=127.0.0.1",
                &format!("-Dquarkus.http.port={port}"),
                &format!("-Dquarkus.management.port={management_port}"),
                "-jar",
                &jar.display().to_string(),
            ]
            .map(str::to_owned),
        );
        let registry = Self {
            command_line,
            port,
            keeper: Keeper::new("registry")?,
        };
        registry.start()?;
        Ok(registry)
    }

    /// The base URL for Confluent's clients.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{CONFLUENT_PATH}", self.port)
    }

    /// Starts it (again, empty) and waits until it answers.
    pub fn start(&self) -> Result<(), String> {
        self.keeper.start(&self.command_line)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.answers() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!(
            "the registry did not start: {}",
            self.keeper.last_words()
        ))
    }

    /// Ends it; its port refuses connections from here on.
    pub fn stop(&self) {
        self.keeper.end("KILL");
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(START_TIMEOUT))?;
            write!(stream, "GET {CONFLUENT_PATH}/subjects HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| {
            answer
                .split_whitespace()
                .nth(1)
                .is_some_and(|status| status == "200")
        })
    }
}

/// A Java of this release or newer: the one on the path, one that the environment names, or an installed one.
fn java(release_min: u32) -> Result<PathBuf, String> {
    let named = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("JAVA_HOME"))
        .map(|(_, home)| PathBuf::from(home));
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten();
    let homes = named.chain(installed.flatten().map(|entry| entry.path()));
    let mut candidates =
        std::iter::once(PathBuf::from("java")).chain(homes.map(|home| home.join("bin/java")));
    candidates
        .find(|java| release_of(java).is_some_and(|release| release >= release_min))
        .ok_or_else(|| format!("no Java {release_min} or newer runs here"))
}

/// `openjdk version "21.0.4" 2024-07-16` on stderr → 21
fn release_of(java: &PathBuf) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = said.split('"').nth(1)?;
    version
        .split(|char: char| !char.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}
