//! What this instance holds, as a value: partitions given and taken by the group, and what the routes topic
//! says about the routes in them. A partition counts as owned once its notes are read, so that a paused route
//! is never started in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{ErrorKind, Failure};
use crate::kafka::fences::Membership;
use crate::kafka::record::partition_of;

/// What is noted about a route in the routes topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct RouteNote {
    #[serde(default)]
    pub(super) paused: bool,
}

/// The routes this instance is to run now.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    partitions: i32,
    owned: BTreeSet<i32>,
    /// Owned ones, and those whose notes are still being read.
    given: BTreeSet<i32>,
    /// Whether the group has said who holds what.
    decided: bool,
    noted: BTreeMap<String, RouteNote>,
    registered: BTreeSet<String>,
    /// Why this instance cannot hold any route, when it cannot.
    pub trouble: Option<Arc<Failure>>,
}

impl Assignment {
    /// Whether the route is this instance's to run. `false` until the group has decided.
    pub fn owns(&self, route: &str) -> bool {
        self.owned.contains(&partition_of(route, self.partitions))
    }

    /// Whether the group gave the route to another instance.
    pub fn is_elsewhere(&self, route: &str) -> bool {
        self.decided && !self.given.contains(&partition_of(route, self.partitions))
    }

    /// Whether a person has paused the route. Known for owned routes only.
    pub fn is_paused(&self, route: &str) -> bool {
        self.noted.get(route).is_some_and(|note| note.paused)
    }

    /// The routes that somebody noted in the owned partitions, whether this instance knows them or not.
    pub fn noted_routes(&self) -> impl Iterator<Item = &str> {
        let both: BTreeSet<&String> = self.registered.iter().chain(self.noted.keys()).collect();
        both.into_iter().map(String::as_str)
    }

    /// How many of the routes topic's partitions are owned.
    pub fn owned_count(&self) -> usize {
        self.owned.len()
    }
}

/// The state behind [`Assignment`]s.
#[derive(Debug)]
pub(super) struct View {
    partitions: i32,
    given: BTreeMap<i32, Given>,
    membership: Membership,
}

#[derive(Debug, Default)]
struct Given {
    read_to_end: bool,
    noted: BTreeMap<String, RouteNote>,
    registered: BTreeSet<String>,
}

impl View {
    pub(super) const fn new(partitions: i32) -> Self {
        Self {
            partitions,
            given: BTreeMap::new(),
            membership: Membership::NEW,
        }
    }

    /// The group has decided, whatever it gives.
    pub(super) fn decided(&mut self, now: Instant) {
        self.membership.decided(now);
    }

    /// No broker answers.
    pub(super) fn troubled(&mut self) {
        self.membership.troubled();
    }

    pub(super) const fn membership(&self) -> Membership {
        self.membership
    }

    pub(super) fn lose(&mut self) {
        self.membership = Membership::Lost;
    }

    pub(super) fn give(&mut self, partition: i32) {
        self.given.insert(partition, Given::default());
    }

    pub(super) fn take(&mut self, partition: i32) {
        self.given.remove(&partition);
    }

    pub(super) fn take_all(&mut self) {
        self.given.clear();
    }

    /// A note was read. None deletes it.
    pub(super) fn note(&mut self, partition: i32, route: &str, note: Option<RouteNote>) {
        let Some(given) = self.given.get_mut(&partition) else {
            return;
        };
        match note {
            Some(note) => given.noted.insert(route.to_owned(), note),
            None => given.noted.remove(route),
        };
    }

    /// Some instance has the route in its configuration, or had it until it was forgotten.
    pub(super) fn register(&mut self, partition: i32, route: &str, is_there: bool) {
        let Some(given) = self.given.get_mut(&partition) else {
            return;
        };
        if is_there {
            given.registered.insert(route.to_owned());
        } else {
            given.registered.remove(route);
        }
    }

    pub(super) fn read_to_end(&mut self, partition: i32) {
        if let Some(given) = self.given.get_mut(&partition) {
            given.read_to_end = true;
        }
    }

    pub(super) fn assignment(&self) -> Assignment {
        let owned = || self.given.iter().filter(|(_, given)| given.read_to_end);
        Assignment {
            partitions: self.partitions,
            owned: owned().map(|(partition, _)| *partition).collect(),
            noted: owned().flat_map(|(_, given)| given.noted.clone()).collect(),
            registered: owned().flat_map(|(_, given)| given.registered.clone()).collect(),
            given: self.given.keys().copied().collect(),
            decided: self.membership.is_decided(),
            trouble: (self.membership == Membership::Lost).then(|| {
                let message =
                    "Kafka has not answered the bridge's group for too long: its routes wait until it does";
                Arc::new(Failure::new(ErrorKind::Transient, message))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSED: Option<RouteNote> = Some(RouteNote { paused: true });

    #[test]
    fn a_partition_is_owned_once_its_notes_are_read() {
        let mut view = View::new(64);
        let partition = partition_of("r", 64);
        view.give(partition);
        view.note(partition, "r", PAUSED);
        assert!(!view.assignment().owns("r"));
        view.read_to_end(partition);
        let assignment = view.assignment();
        assert!(assignment.owns("r") && assignment.is_paused("r"));
        assert_eq!(assignment.noted_routes().collect::<Vec<_>>(), ["r"]);
    }

    #[test]
    fn that_a_route_is_there_says_nothing_about_its_pause() {
        let mut view = View::new(1);
        view.give(0);
        view.read_to_end(0);
        view.note(0, "r", PAUSED);
        view.register(0, "r", true);
        view.register(0, "s", true);
        assert!(view.assignment().is_paused("r"), "whichever came later");
        assert_eq!(view.assignment().noted_routes().collect::<Vec<_>>(), ["r", "s"]);
        view.register(0, "s", false);
        assert_eq!(view.assignment().noted_routes().collect::<Vec<_>>(), ["r"]);
    }

    #[test]
    fn what_is_taken_is_gone_at_once_and_read_again_when_given_back() {
        let mut view = View::new(64);
        let partition = partition_of("r", 64);
        view.give(partition);
        view.note(partition, "r", PAUSED);
        view.read_to_end(partition);
        view.take(partition);
        view.note(partition, "r", PAUSED);
        view.read_to_end(partition);
        assert_eq!(view.assignment().owned_count(), 0);
        view.give(partition);
        assert!(!view.assignment().owns("r"));
        view.read_to_end(partition);
        assert!(view.assignment().owns("r") && !view.assignment().is_paused("r"));
    }

    #[test]
    fn a_route_is_elsewhere_only_when_the_group_has_said_so() {
        let mut view = View::new(1);
        assert!(!view.assignment().is_elsewhere("r"), "undecided");
        view.decided(Instant::now());
        assert!(view.assignment().is_elsewhere("r"));
        view.give(0);
        assert!(
            !view.assignment().is_elsewhere("r"),
            "ours, once its notes are read"
        );
        view.lose();
        view.take(0);
        assert!(!view.assignment().is_elsewhere("r"), "nobody has answered");
        assert!(view.assignment().trouble.is_some());
        view.decided(Instant::now());
        assert!(view.assignment().is_elsewhere("r") && view.assignment().trouble.is_none());
    }

    #[test]
    fn the_latest_note_counts() {
        let mut view = View::new(1);
        view.give(0);
        view.read_to_end(0);
        view.note(0, "r", PAUSED);
        view.note(0, "s", PAUSED);
        view.note(0, "r", Some(RouteNote { paused: false }));
        view.note(0, "s", None);
        let assignment = view.assignment();
        assert!(!assignment.is_paused("r") && !assignment.is_paused("s"));
        assert_eq!(assignment.noted_routes().collect::<Vec<_>>(), ["r"]);
    }
}
