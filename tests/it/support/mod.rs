//! What the tests stand on: a real broker, readers of its topics, waiting for states.

pub mod bridge;
pub mod broker;
pub mod jars;
pub mod relay;
pub mod topic;
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
    eprintln!("SKIPPED: no {what}: {reason}");
}
