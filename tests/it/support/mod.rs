//! What the tests stand on: a real broker, readers of its topics, waiting for states.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

pub mod authority;
pub mod bridge;
pub mod broker;
pub mod browser;
pub mod foreign;
pub mod jars;
pub mod kafka_tools;
pub mod keeper;
pub mod members;
pub mod org;
pub mod registry;
pub mod registry_front;
pub mod relay;
pub mod terminal;
pub mod topic;
pub mod transactions;
pub mod wait;

/// Ends a test that needs what this machine lacks: says so and returns, or fails where the environment
/// promised it (`SFBRIDGE_TESTS_PROMISED`, a comma-separated list of words such as `kafka`).
#[macro_export]
macro_rules! need {
    ($what:literal, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => {
                $crate::support::skipped($what, &reason);
                return;
            }
        }
    };
}

pub fn skipped(what: &str, reason: &str) {
    let promised = std::env::var("SFBRIDGE_TESTS_PROMISED").unwrap_or_default();
    assert!(
        !promised.split(',').any(|word| word.trim() == what),
        "{what} was promised, but: {reason}"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // One line a test: they are counted.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("SKIPPED: {test}: no {what}: {reason}\n");
    eprint!("{line}");
    // For whoever counts: cargo shows nothing of a test that ended well.
    let report = std::env::var_os("SFBRIDGE_TEST_REPORT").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../test-skips.txt"),
        PathBuf::from,
    );
    let mut report = OpenOptions::new()
        .create(true)
        .append(true)
        .open(report)
        .expect("the report of skipped tests");
    report
        .write_all(line.as_bytes())
        .expect("the report of skipped tests");
}
