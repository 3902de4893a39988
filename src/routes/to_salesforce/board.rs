//! What the workers of a route's partitions do, as one state of the route: one that waits shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Failure, FailureView};
use crate::routes::state::RouteStatus;
use crate::runtime::retry::Tried;

/// A partition, by topic and number.
pub(super) type Place = (Arc<str>, i32);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Doing {
    Flowing,
    Quiet,
    Waiting {
        failure: FailureView,
        tried: Tried,
        until_ms: i64,
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

    pub(super) fn waits(&self, place: &Place, failure: &Failure, tried: Tried, until_ms: i64) {
        let mut failure = FailureView::from(failure);
        failure.message = format!("{}[{}]: {}", place.0, place.1, failure.message);
        tracing::warn!(kind = failure.kind.name(), "{}", failure.text());
        let doing = Doing::Waiting {
            failure,
            tried,
            until_ms,
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
                failure,
                tried,
                until_ms,
            } => Some((failure, *tried, *until_ms)),
            _ => None,
        });
        match waiting {
            Some((failure, tried, until_ms)) => self.status.fails(failure.clone(), tried, Some(until_ms)),
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
            Tried { times: 2, logins: 0 },
            1,
        );
        board.flows(&one);
        let state = status.state();
        assert_eq!(state.name, StateName::Waiting);
        assert!(state.why.unwrap().contains("t[1]: the limit is used up"));
        assert!(state.until.is_some());
        assert_eq!(status.trouble(0).unwrap().tries, Some(2));
        board.flows(&two);
        assert_eq!(status.state_name(), StateName::Streaming);
        board.is_quiet(&one);
        board.is_quiet(&two);
        assert_eq!(status.state_name(), StateName::Idle);
        board.waits(
            &two,
            &Failure::new(ErrorKind::Transient, "away"),
            Tried::default(),
            1,
        );
        board.left(&two);
        assert_eq!(status.state_name(), StateName::Idle);
    }
}
