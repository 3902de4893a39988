//! Programs that others wrote, from the registries of npm and PyPI at pinned versions and from Debian, below
//! `target/foreign`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A first installation over a slow line.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// A client's whole run takes a second or two; on a loaded machine more.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Where a package's files are.
pub fn home(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("below the target directory");
    target.join("foreign").join(name)
}

/// A script of ours that drives a package.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/foreign")
        .join(name)
}

/// npm packages, installed once.
pub async fn npm(home: &Path, packages: &[&str]) -> Result<(), String> {
    let mut install = Command::new("npm");
    install
        .args(["install", "--no-audit", "--no-fund", "--prefix"])
        .arg(home)
        .args(packages);
    installed(home, packages, vec![install]).await
}

/// PyPI packages, in an environment of their own: `bin/python` below `home`. Installed once.
pub async fn pypi(home: &Path, packages: &[&str]) -> Result<(), String> {
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(home);
    let mut install = Command::new(home.join("bin/python"));
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages);
    installed(home, packages, vec![create, install]).await
}

/// The files of a Debian package, laid below `home` as they would lie in the root. Nothing is installed or started.
pub async fn debian(home: &Path, package: &str) -> Result<(), String> {
    let mut unpack = Command::new("sh");
    unpack
        .args(["-c", "apt-get -qq download \"$0\" && dpkg-deb -x \"$0\"_*.deb ."])
        .arg(package)
        .current_dir(home);
    installed(home, &[package], vec![unpack]).await
}

async fn installed(home: &Path, packages: &[&str], steps: Vec<Command>) -> Result<(), String> {
    // Several tests use the same packages.
    static INSTALLING: Mutex<()> = Mutex::const_new(());
    let _alone = INSTALLING.lock().await;
    let marker = home.join(".installed");
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&marker).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(home).expect("the target directory is writable");
    for mut step in steps {
        let output = step.kill_on_drop(true).stdin(Stdio::null()).output();
        let reason = match timeout(INSTALL_LIMIT, output).await {
            Ok(Ok(output)) if output.status.success() => continue,
            Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no end after {INSTALL_LIMIT:?}"),
        };
        return Err(format!("{wanted} cannot be installed here: {reason}"));
    }
    std::fs::write(marker, wanted).expect("the target directory is writable");
    Ok(())
}

/// Runs a client and reads the JSON line that it prints.
pub async fn run(command: &mut Command) -> Json {
    run_within(command, RUN_LIMIT).await
}

/// The same for a client that takes longer.
pub async fn run_within(command: &mut Command, limit: Duration) -> Json {
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output();
    let output = timeout(limit, output)
        .await
        .expect("the client ends")
        .expect("the client runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    serde_json::from_str(out.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("no JSON: {out}\n{err}"))
}
