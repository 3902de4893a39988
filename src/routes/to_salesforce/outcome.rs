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
    use tokio::time::Instant;

    use super::*;
    use crate::routes::to_salesforce::window::{Kind, Next, Rules, Window};
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

    /// A worker's tries of a record that is refused each time: how many there were, and how long they took. Before
    /// the one of this number, Salesforce is away for ten minutes.
    async fn tries_of_a_child_without_parent(away_before: Option<u32>) -> (u32, Duration) {
        let mut window = Window::new(Rules {
            records_max: 1,
            bytes_max: 1,
            is_strict: false,
        });
        window.push(0, Kind::Write, None, 1, ());
        let (start, action) = (
            Instant::now(),
            RowAction::RetryBounded(BoundedReason::ParentMissing),
        );
        loop {
            match window.next(Instant::now()) {
                Next::Send(places) => assert_eq!(places, [0]),
                Next::Wait(until) => {
                    tokio::time::sleep_until(until).await;
                    continue;
                }
                Next::Empty => panic!("it is open"),
            }
            let now = Instant::now();
            let item = window.item(0).unwrap();
            let (tries, since) = (item.tries, item.failing_for(now));
            assert!(tries < 100, "for ever");
            match of_row(&refusal(), action, "Contact", tries, since) {
                Outcome::Again(pause) => window.again(0, now, pause),
                Outcome::DeadLetter(_) => return (tries + 1, start.elapsed()),
                other => panic!("{other:?}"),
            }
            if away_before == Some(tries + 1) {
                let time = Duration::from_secs(600);
                tokio::time::sleep(time).await;
                window.waited(time);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_whose_parent_never_comes_is_a_dead_letter_after_two_minutes_of_tries() {
        let (tries, time) = tries_of_a_child_without_parent(None).await;
        assert!((10..20).contains(&tries), "{tries}");
        let longest = BOUNDED_FOR + PAUSE_CAP;
        assert!(time >= BOUNDED_FOR && time <= longest, "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn while_salesforce_is_away_a_childs_time_does_not_pass() {
        let (tries, _) = tries_of_a_child_without_parent(None).await;
        let (with_outage, time) = tries_of_a_child_without_parent(Some(3)).await;
        // The pause of the third try was over when Salesforce came back.
        assert!((tries..=tries + 1).contains(&with_outage), "{with_outage}");
        assert!(time >= Duration::from_secs(600) + BOUNDED_FOR, "{time:?}");
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
