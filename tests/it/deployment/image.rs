//! The image: its file, what goes into it, and the program in nothing but what it holds.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use tokio::process::Command;

use super::{output, python, read, repository, said};
use crate::need;

/// `.ci/bare-root` ends so where the machine cannot do it.
const CANNOT: i32 = 69;

#[tokio::test]
async fn the_image_is_written_as_its_linter_asks() {
    let python = need!("foreign", python().await);
    said(Command::new(python.join("bin/hadolint")).arg(repository("Dockerfile"))).await;
}

#[test]
fn what_the_program_is_made_of_goes_into_the_image() {
    let ignored = read(".dockerignore");
    let ignored: BTreeSet<&str> = ignored.lines().collect();
    let mut sources = vec![repository("src"), repository("build.rs")];
    let mut included = 0;
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for file in text.split("include_str!(\"").skip(1) {
            let file = file.split('"').next().unwrap_or_default();
            let file = plain(&path.parent().unwrap().join(file));
            let file = file.strip_prefix(repository("")).unwrap();
            let top = file.components().next().unwrap().as_os_str().to_str().unwrap();
            assert!(!ignored.contains(top), "{}: {}", path.display(), file.display());
            included += 1;
        }
    }
    assert!(included > 5, "they are found");
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "proto",
        "src",
        "tests",
        "benches",
    ] {
        assert!(
            repository(needed).exists() && !ignored.contains(needed),
            "{needed}"
        );
    }
}

/// Without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// The program in the image's bare root. One test: the root is made once.
#[tokio::test]
async fn the_program_needs_nothing_but_what_the_image_holds() {
    let folder = tempfile::tempdir().unwrap();
    // Read by the image's user.
    said(Command::new("chmod").arg("755").arg(folder.path())).await;
    let configuration = read("config/compose.yaml").replace("${ADMIN_TOKEN:?any text}", "any text");
    std::fs::write(folder.path().join("sfbridge.yaml"), configuration).unwrap();
    let inside = |arguments: &[&str]| {
        let mut command = Command::new(repository(".ci/bare-root"));
        command
            .arg(env!("CARGO_BIN_EXE_sfbridge"))
            .arg(folder.path())
            .args(arguments);
        command
    };
    // The root itself may have to be made.
    let made = tokio::time::timeout(
        std::time::Duration::from_secs(900),
        inside(&["/usr/bin/id"]).output(),
    );
    let made = made.await.expect("it ends").expect("it runs");
    let complaint = String::from_utf8_lossy(&made.stderr).into_owned();
    let can = made.status.code() != Some(CANNOT);
    need!("bare-root", can.then_some(()).ok_or_else(|| complaint.clone()));
    assert!(made.status.success(), "{complaint}");
    let user = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(user.contains("uid=10001(sfbridge) gid=10001(sfbridge)"), "{user}");

    let version = said(&mut inside(&["sfbridge", "--version"])).await;
    assert_eq!(version.trim(), concat!("sfbridge ", env!("CARGO_PKG_VERSION")));
    // The image's environment names the file.
    let shown = said(&mut inside(&["sfbridge", "config", "show"])).await;
    assert!(shown.contains("name: compose"), "{shown}");
    let demo = said(&mut inside(&["sfbridge", "demo", "--seconds", "3"])).await;
    assert!(demo.contains("lost 0, duplicated 0, out of order 0"), "{demo}");
    // Nobody listens, and it says so.
    let health = output(&mut inside(&[
        "sfbridge",
        "health",
        "--live",
        "--url",
        "http://127.0.0.1:9",
    ]))
    .await;
    assert_eq!(health.status.code(), Some(1), "{health:?}");
    let complaint = String::from_utf8_lossy(&health.stderr).into_owned();
    assert!(
        complaint.contains("http://127.0.0.1:9/live does not answer"),
        "{complaint}"
    );
    // Whose certificates Salesforce and Kafka may have.
    said(&mut inside(&[
        "/usr/bin/test",
        "-s",
        "/etc/ssl/certs/ca-certificates.crt",
    ]))
    .await;
}
