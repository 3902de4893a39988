//! What is done about one record that failed by itself: again, for how long, or a dead letter. Pure.

use std::time::Duration;

use crate::error::{ErrorKind, Failure};
use crate::salesforce::rest::{RowAction, RowRefusal};

/// A parent may be in another partition or another system's hands: it comes within minutes or is missing.
const BOUNDED_FOR: Duration = Duration::from_secs(120);
/// Between two tries of a record alone: doubled each time, up to the cap.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_CAP: Duration = Duration::from_secs(30);

/// The decision about one record.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    /// Alone, after this pause.
    Again(Duration),
    /// With Salesforce's reason, which may hold field values.
    DeadLetter(String),
    /// Nothing goes on until this has passed; then the record goes again.
    Wait(Failure),
    /// The same for every record.
    Halt(Failure),
}

/// `tries` ended with a verdict about this record before; the first of them `since` ago.
pub(super) fn of_row(
    refusal: &RowRefusal,
    action: RowAction,
    sobject: &str,
    tries: u32,
    since: Duration,
) -> Outcome {
    let code = &refusal.status_code;
    match action {
        RowAction::Done => Outcome::Done,
        RowAction::Retry => Outcome::Again(pause(tries)),
        RowAction::RetryBounded(_) if since < BOUNDED_FOR => Outcome::Again(pause(tries)),
        RowAction::RetryBounded(_) | RowAction::DeadLetter => Outcome::DeadLetter(told(refusal, sobject)),
        RowAction::Wait => {
            let message = format!("a limit of the org is used up ({code})");
            Outcome::Wait(Failure::new(ErrorKind::Throttled, message))
        }
        RowAction::WaitStorage => {
            let message = format!("the org's data storage is full ({code}): {sobject} takes no more records");
            let remedy = "delete records or buy storage; the route goes on by itself";
            Outcome::Wait(Failure::new(ErrorKind::Throttled, message).remedy(remedy))
        }
        RowAction::Halt(remedy) => {
            let message = format!("Salesforce does not let {sobject} be written ({code})");
            Outcome::Halt(Failure::new(ErrorKind::Denied, message).remedy(remedy))
        }
    }
}

/// For the dead letter alone.
pub(super) fn told(refusal: &RowRefusal, sobject: &str) -> String {
    let RowRefusal {
        status_code,
        message,
        fields,
        ..
    } = refusal;
    if fields.is_empty() {
        format!("{sobject}: {status_code}: {message}")
    } else {
        format!(
            "{sobject}: {status_code}: {message} (fields {})",
            fields.join(", ")
        )
    }
}

fn pause(tries: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << tries.min(16)).min(PAUSE_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::rest::BoundedReason;

    fn refusal() -> RowRefusal {
        RowRefusal {
            status_code: "UNABLE_TO_LOCK_ROW".to_owned(),
            message: "m".to_owned(),
            fields: vec!["Name".to_owned()],
            id: None,
        }
    }

    fn outcome(action: RowAction, tries: u32, since_seconds: u64) -> Outcome {
        of_row(
            &refusal(),
            action,
            "Account",
            tries,
            Duration::from_secs(since_seconds),
        )
    }

    #[test]
    fn a_lock_is_retried_for_as_long_as_it_takes_with_growing_pauses() {
        for (tries, pause) in [(0, 200), (1, 400), (3, 1_600), (9, 30_000), (60, 30_000)] {
            let Outcome::Again(told) = outcome(RowAction::Retry, tries, 86_400) else {
                panic!("not again")
            };
            assert_eq!(told, Duration::from_millis(pause));
        }
    }

    #[test]
    fn a_missing_parent_is_waited_for_for_a_bounded_time() {
        let action = RowAction::RetryBounded(BoundedReason::ParentMissing);
        assert!(matches!(outcome(action, 5, 119), Outcome::Again(_)));
        let Outcome::DeadLetter(reason) = outcome(action, 5, 120) else {
            panic!("no dead letter")
        };
        assert_eq!(reason, "Account: UNABLE_TO_LOCK_ROW: m (fields Name)");
    }

    #[test]
    fn a_full_storage_is_waited_for_and_a_missing_permission_halts() {
        let Outcome::Wait(failure) = outcome(RowAction::WaitStorage, 0, 0) else {
            panic!("not waited for")
        };
        assert_eq!(failure.kind, ErrorKind::Throttled);
        assert!(failure.remedy.is_some());
        assert!(
            matches!(outcome(RowAction::Halt("grant it"), 0, 0), Outcome::Halt(failure) if failure.kind == ErrorKind::Denied)
        );
    }
}
