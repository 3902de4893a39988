//! What the workers of a route's partitions do, as one state of the route: one that waits shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Failure, chain};
use crate::routes::state::RouteStatus;

/// A partition, by topic and number.
pub(super) type Place = (Arc<str>, i32);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Doing {
    Flowing,
    Quiet,
    Waiting {
        why: String,
        remedy: Option<String>,
        until_ms: Option<i64>,
    },
}

#[derive(Debug)]
pub(super) struct Board {
    status: Arc<RouteStatus>,
    partitions: Mutex<BTreeMap<Place, Doing>>,
}

impl Board {
    pub(super) fn new(status: Arc<RouteStatus>) -> Self {
        Self {
            status,
            partitions: Mutex::default(),
        }
    }

    /// Salesforce answers.
    pub(super) fn flows(&self, place: &Place) {
        self.status.answered();
        self.set(place, Doing::Flowing);
    }

    /// Nothing is there to send.
    pub(super) fn is_quiet(&self, place: &Place) {
        self.set(place, Doing::Quiet);
    }

    pub(super) fn waits(&self, place: &Place, failure: &Failure, until_ms: i64) {
        let why = format!("{}[{}]: {}", place.0, place.1, chain(failure));
        tracing::warn!(kind = failure.kind.name(), "{why}");
        let doing = Doing::Waiting {
            why,
            remedy: failure.remedy.clone(),
            until_ms: Some(until_ms),
        };
        self.set(place, doing);
    }

    /// The partition is not ours any more.
    pub(super) fn left(&self, place: &Place) {
        let mut partitions = self.partitions.lock();
        partitions.remove(place);
        self.show(&partitions);
    }

    pub(super) fn is_waiting(&self) -> bool {
        let partitions = self.partitions.lock();
        partitions
            .values()
            .any(|doing| matches!(doing, Doing::Waiting { .. }))
    }

    /// Shows what the partitions do, after something else was shown.
    pub(super) fn refresh(&self) {
        self.show(&self.partitions.lock());
    }

    fn set(&self, place: &Place, doing: Doing) {
        let mut partitions = self.partitions.lock();
        if partitions.get(place) == Some(&doing) {
            return;
        }
        partitions.insert(place.clone(), doing);
        self.show(&partitions);
    }

    fn show(&self, partitions: &BTreeMap<Place, Doing>) {
        let waiting = partitions.values().find_map(|doing| match doing {
            Doing::Waiting {
                why,
                remedy,
                until_ms,
            } => Some((why, remedy, until_ms)),
            _ => None,
        });
        match waiting {
            Some((why, remedy, until_ms)) => self.status.waiting(why, remedy.as_deref(), *until_ms),
            None if partitions.values().any(|doing| *doing == Doing::Flowing) => self.status.streaming(),
            None => self.status.idle(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::routes::state::StateName;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn one_partition_that_waits_shows_until_it_flows_again() {
        let status = RouteStatus::new("orders", "to_salesforce", Metrics::new());
        let board = Board::new(Arc::clone(&status));
        let (one, two): (Place, Place) = (("t".into(), 0), ("t".into(), 1));
        board.flows(&one);
        assert_eq!(status.state_name(), StateName::Streaming);
        board.waits(
            &two,
            &Failure::new(ErrorKind::Throttled, "the limit is used up"),
            1,
        );
        board.flows(&one);
        let state = status.state();
        assert_eq!(state.name, StateName::Waiting);
        assert!(state.why.unwrap().contains("t[1]: the limit is used up"));
        assert!(state.until.is_some());
        board.flows(&two);
        assert_eq!(status.state_name(), StateName::Streaming);
        board.is_quiet(&one);
        board.is_quiet(&two);
        assert_eq!(status.state_name(), StateName::Idle);
        board.waits(&two, &Failure::new(ErrorKind::Transient, "away"), 1);
        board.left(&two);
        assert_eq!(status.state_name(), StateName::Idle);
    }
}
