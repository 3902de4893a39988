//! Where a route stands in the stream, as values only: which events are repeats, and which position may be
//! stored once everything fed so far is committed.
//!
//! ```text
//!  ids seen:      r1 r1 r2 r3 r3 | keep-alive r9
//!  complete:      –  –  r1 r2 r2 | r9            the last id behind which nothing can follow
//!  delivered beyond it (`after`):  the events of the id in progress
//! ```
//!
//! Replay ids are opaque: nothing here compares them but for equality.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

/// How many delivered events are remembered to recognise one that is delivered again: far more than the
/// hundred that may be outstanding, and 128 KiB a route.
const REMEMBERED_MAX: usize = 4096;

/// A stored position names every `ce_id` in progress up to this size; beyond it the first of each event, which
/// is enough to recognise it. Positions must stay far below a topic's record limit of 1 MB.
const AFTER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// It was delivered before, in this run or, by the stored position, in an earlier one.
    Repeat,
}

/// The events of the replay id in progress.
#[derive(Debug, Clone, Default)]
struct InProgress {
    /// None: known from the stored position only, which does not name the id.
    replay_id: Option<Bytes>,
    /// The first `ce_id` of each event: what recognises it.
    first_ids: HashSet<String>,
    /// All `ce_id`s, as stored.
    all_ids: Vec<String>,
    bytes: usize,
}

#[derive(Debug)]
pub struct Tracker {
    complete: Option<Bytes>,
    in_progress: InProgress,
    remembered: HashSet<u128>,
    remembered_order: VecDeque<u128>,
    hashers: (RandomState, RandomState),
}

impl Tracker {
    /// From a stored position: its complete id and the events delivered beyond it.
    pub fn new(complete: Option<Bytes>, after: Vec<String>) -> Self {
        let in_progress = InProgress {
            replay_id: None,
            first_ids: after.iter().cloned().collect(),
            bytes: after.iter().map(String::len).sum(),
            all_ids: after,
        };
        Self {
            complete,
            in_progress,
            remembered: HashSet::new(),
            remembered_order: VecDeque::new(),
            hashers: (RandomState::new(), RandomState::new()),
        }
    }

    /// Whether an event is a repeat. Nothing moves: an event whose delivery fails must come again.
    pub fn verdict(&self, replay_id: &Bytes, ce_ids: &[String]) -> Verdict {
        let Some(first) = ce_ids.first() else {
            return Verdict::New;
        };
        let current = self.in_progress.replay_id.as_ref();
        let is_in_progress = current.is_none_or(|current| current == replay_id);
        if self.remembered.contains(&self.fingerprint(replay_id, first))
            || is_in_progress && self.in_progress.first_ids.contains(first)
        {
            Verdict::Repeat
        } else {
            Verdict::New
        }
    }

    /// Feeds one event: its place and the `ce_id`s of its records (one at least).
    pub fn event(&mut self, replay_id: &Bytes, ce_ids: &[String]) -> Verdict {
        let Some(first) = ce_ids.first() else {
            return Verdict::New;
        };
        let seen = self.fingerprint(replay_id, first);
        if self.remembered.contains(&seen) {
            return Verdict::Repeat;
        }
        match &self.in_progress.replay_id {
            Some(current) if current == replay_id => {}
            Some(current) => {
                self.complete = Some(current.clone());
                self.in_progress = InProgress {
                    replay_id: Some(replay_id.clone()),
                    ..InProgress::default()
                };
            }
            // The first event of the run: what the stored position names beyond its id belongs to this one.
            None => self.in_progress.replay_id = Some(replay_id.clone()),
        }
        self.remember(seen);
        if self.in_progress.first_ids.contains(first) {
            return Verdict::Repeat;
        }
        self.in_progress.first_ids.insert(first.clone());
        let bytes: usize = ce_ids.iter().map(String::len).sum();
        if self.in_progress.bytes + bytes <= AFTER_BYTES_MAX {
            self.in_progress.all_ids.extend_from_slice(ce_ids);
            self.in_progress.bytes += bytes;
        } else {
            self.in_progress.all_ids.push(first.clone());
            self.in_progress.bytes += first.len();
        }
        Verdict::New
    }

    /// Feeds an empty response: everything up to its id has been delivered.
    pub fn keep_alive(&mut self, replay_id: &Bytes) {
        self.complete = Some(replay_id.clone());
        self.in_progress = InProgress::default();
    }

    /// What may be stored once all that was fed is committed: the complete id and the `ce_id`s beyond it.
    pub fn position(&self) -> (Option<&Bytes>, &[String]) {
        (self.complete.as_ref(), &self.in_progress.all_ids)
    }

    fn fingerprint(&self, replay_id: &Bytes, first: &str) -> u128 {
        let (a, b) = (&self.hashers.0, &self.hashers.1);
        u128::from(a.hash_one((replay_id, first))) << 64 | u128::from(b.hash_one((replay_id, first)))
    }

    fn remember(&mut self, seen: u128) {
        if self.remembered_order.len() == REMEMBERED_MAX
            && let Some(oldest) = self.remembered_order.pop_front()
        {
            self.remembered.remove(&oldest);
        }
        self.remembered.insert(seen);
        self.remembered_order.push_back(seen);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n; 10])
    }

    fn ids(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    #[test]
    fn an_id_is_complete_when_a_later_one_is_seen() {
        let mut tracker = Tracker::new(None, vec![]);
        tracker.event(&id(1), &ids("a"));
        assert_eq!(tracker.position(), (None, &["a".to_owned()][..]));
        tracker.event(&id(1), &ids("b"));
        assert_eq!(tracker.position(), (None, &["a".to_owned(), "b".to_owned()][..]));
        tracker.event(&id(2), &ids("c"));
        assert_eq!(tracker.position(), (Some(&id(1)), &["c".to_owned()][..]));
    }

    #[test]
    fn a_keep_alive_completes_everything_before_it() {
        let mut tracker = Tracker::new(None, vec![]);
        tracker.event(&id(1), &ids("a"));
        tracker.keep_alive(&id(9));
        assert_eq!(tracker.position(), (Some(&id(9)), &[][..]));
    }

    #[test]
    fn a_restart_skips_what_was_delivered_beyond_the_complete_id() {
        let mut tracker = Tracker::new(Some(id(1)), ids("b"));
        assert_eq!(tracker.event(&id(2), &ids("b")), Verdict::Repeat);
        assert_eq!(tracker.event(&id(2), &ids("c")), Verdict::New);
        assert_eq!(
            tracker.position(),
            (Some(&id(1)), &["b".to_owned(), "c".to_owned()][..])
        );
    }

    #[test]
    fn an_event_delivered_again_in_the_same_run_is_a_repeat_and_moves_nothing() {
        let mut tracker = Tracker::new(None, vec![]);
        tracker.event(&id(1), &ids("a"));
        tracker.event(&id(2), &ids("b"));
        assert_eq!(tracker.event(&id(1), &ids("a")), Verdict::Repeat);
        assert_eq!(tracker.position(), (Some(&id(1)), &["b".to_owned()][..]));
    }

    #[test]
    fn the_same_event_under_another_place_is_new() {
        let mut tracker = Tracker::new(None, vec![]);
        tracker.event(&id(1), &ids("a"));
        assert_eq!(tracker.event(&id(2), &ids("a")), Verdict::New);
    }

    #[test]
    fn a_merged_event_of_very_many_records_keeps_the_position_small() {
        let mut tracker = Tracker::new(None, vec![]);
        let many: Vec<String> = (0..20_000)
            .map(|n| format!("key/1/Account/UPDATE/{n:018}"))
            .collect();
        tracker.event(&id(1), &many);
        assert_eq!(tracker.position().1, &many[..1]);
        assert_eq!(tracker.event(&id(1), &many), Verdict::Repeat);
    }

    impl Tracker {
        fn clone_for_test(&self) -> Self {
            Self {
                complete: self.complete.clone(),
                in_progress: self.in_progress.clone(),
                remembered: self.remembered.clone(),
                remembered_order: self.remembered_order.clone(),
                hashers: self.hashers.clone(),
            }
        }
    }

    /// A model stream: (replay id, event) pairs in order, several events an id.
    fn stream() -> impl Strategy<Value = Vec<(u8, String)>> {
        prop::collection::vec(1usize..4, 1..20).prop_map(|sizes| {
            let mut events = Vec::new();
            for (place, size) in sizes.into_iter().enumerate() {
                for n in 0..size {
                    events.push((u8::try_from(place).unwrap(), format!("{place}-{n}")));
                }
            }
            events
        })
    }

    proptest! {
        /// Crash after any number of delivered events, as often as one likes: each is delivered exactly once.
        #[test]
        fn restarts_anywhere_deliver_each_event_once(events in stream(), crashes in prop::collection::vec(0usize..12, 0..8)) {
            let mut delivered = Vec::new();
            let (mut complete, mut after): (Option<Bytes>, Vec<String>) = (None, vec![]);
            let runs = crashes.into_iter().map(Some).chain([None]);
            for budget in runs {
                let mut tracker = Tracker::new(complete.clone(), after.clone());
                let start = complete.as_ref().map_or(0, |id| {
                    events.iter().rposition(|(place, _)| *place == id[0]).map_or(0, |at| at + 1)
                });
                for (fed, (place, name)) in events[start..].iter().enumerate() {
                    let told = tracker.verdict(&id(*place), &ids(name));
                    prop_assert_eq!(told, tracker.verdict(&id(*place), &ids(name)), "asking moves nothing");
                    if budget.is_some_and(|budget| fed >= budget) {
                        break;
                    }
                    prop_assert_eq!(told, tracker.clone_for_test().event(&id(*place), &ids(name)));
                    if tracker.event(&id(*place), &ids(name)) == Verdict::New {
                        delivered.push(name.clone());
                    }
                }
                let (id, beyond) = tracker.position();
                (complete, after) = (id.cloned(), beyond.to_vec());
            }
            let all: Vec<String> = events.into_iter().map(|(_, name)| name).collect();
            prop_assert_eq!(delivered, all);
        }
    }
}
