//! Where a broken stream goes on within a run. Pure.
//!
//! Goes by what was *received*, not by what was committed, or everything in hand would come twice. A replay id
//! may belong to several events and a subscription starts *after* an id, so the anchor is the last id known
//! complete: a later one, or an empty response, has been seen. What came beyond it comes again; the route
//! skips it. Replay ids are opaque: equal or not is all that is ever asked of them.

use bytes::Bytes;

/// Where a subscription starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is retained.
    Earliest,
    /// With the next event.
    Latest,
    /// With the first event after this replay id.
    After(Bytes),
}

#[derive(Debug)]
pub(super) struct Anchor {
    start: Start,
    /// The last id of which nothing more can come.
    complete: Option<Bytes>,
    /// The id of the last event; more events may follow with it.
    last: Option<Bytes>,
    /// Events before this one are repeats that the route cannot know.
    skip_until: Option<Bytes>,
}

/// The place that was looked for is not in the stream any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlaceGone;

impl Anchor {
    pub(super) const fn new(start: Start) -> Self {
        Self {
            start,
            complete: None,
            last: None,
            skip_until: None,
        }
    }

    /// Where to open the stream, the first time and every other.
    pub(super) fn open(&mut self) -> Start {
        self.skip_until = None;
        match (&self.complete, &self.start, &self.last) {
            (Some(complete), ..) => Start::After(complete.clone()),
            // The first id after LATEST is not complete and has no id before it. LATEST again would lose the
            // rest of it and what came meanwhile; so everything is read, up to that id for nothing.
            (None, Start::Latest, Some(last)) => {
                self.skip_until = Some(last.clone());
                Start::Earliest
            }
            (None, start, _) => start.clone(),
        }
    }

    /// An event came. False: it is an old one that was never asked for, to be thrown away.
    pub(super) fn admits(&mut self, replay_id: &Bytes) -> bool {
        if let Some(wanted) = &self.skip_until {
            if wanted != replay_id {
                return false;
            }
            self.skip_until = None;
        }
        if self.last.as_ref() != Some(replay_id)
            && let Some(last) = self.last.replace(replay_id.clone())
        {
            self.complete = Some(last);
        }
        true
    }

    /// An empty response came: everything up to its id is complete. Only an empty one says so.
    pub(super) fn keep_alive(&mut self, latest: &Bytes) -> Result<(), PlaceGone> {
        if self.skip_until.is_some() {
            return Err(PlaceGone);
        }
        if !latest.is_empty() {
            self.complete = Some(latest.clone());
            self.last = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u64) -> Bytes {
        Bytes::copy_from_slice(&n.to_be_bytes())
    }

    #[test]
    fn latest_stays_latest_until_something_came() {
        let mut anchor = Anchor::new(Start::Latest);
        assert_eq!(anchor.open(), Start::Latest);
        assert_eq!(anchor.open(), Start::Latest);
        anchor.keep_alive(&id(7)).expect("nothing is looked for");
        assert_eq!(anchor.open(), Start::After(id(7)));
    }

    #[test]
    fn an_id_is_complete_only_when_a_later_one_was_seen() {
        let mut anchor = Anchor::new(Start::After(id(1)));
        assert!(anchor.admits(&id(5)));
        assert!(anchor.admits(&id(5)));
        assert_eq!(anchor.open(), Start::After(id(1)));
        assert!(anchor.admits(&id(5)) && anchor.admits(&id(9)));
        assert_eq!(anchor.open(), Start::After(id(5)));
    }

    #[test]
    fn the_first_id_after_latest_is_looked_for_from_the_beginning() {
        let mut anchor = Anchor::new(Start::Latest);
        anchor.open();
        assert!(anchor.admits(&id(5)));
        assert_eq!(anchor.open(), Start::Earliest);
        assert!(!anchor.admits(&id(3)));
        assert!(anchor.admits(&id(5)) && anchor.admits(&id(6)));
    }

    #[test]
    fn a_place_that_is_not_found_is_lost_and_never_skipped_over() {
        let mut anchor = Anchor::new(Start::Latest);
        assert!(anchor.admits(&id(5)));
        anchor.open();
        assert!(!anchor.admits(&id(8)));
        assert_eq!(anchor.keep_alive(&id(9)), Err(PlaceGone));
    }

    /// What one opening of the stream shows before it breaks: so many events, then perhaps a keep-alive.
    fn openings() -> impl Strategy<Value = Vec<(usize, bool)>> {
        prop::collection::vec((0..12_usize, any::<bool>()), 0..25)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_only_the_last_id_comes_again(
            sizes in prop::collection::vec(1..5_usize, 1..30), openings in openings(), start in 0..3, begin in 0..30_usize
        ) {
            // The stream: (replay id, number within it). Ids are not contiguous.
            let stream: Vec<(u64, usize)> = sizes.iter().enumerate()
                .flat_map(|(n, size)| (0..*size).map(move |k| (10 + 3 * n as u64, k)))
                .collect();
            let begin_id = 10 + 3 * (begin % sizes.len()) as u64;
            let (start, from) = match start {
                0 => (Start::Earliest, 0),
                1 => (Start::After(id(begin_id)), begin_id + 1),
                // The tip, as it was when the stream was first opened.
                _ => (Start::Latest, begin_id),
            };
            let mut tip_seen = false;
            let mut anchor = Anchor::new(start);
            let mut got: Vec<(u64, usize)> = Vec::new();
            let all = openings.into_iter().chain([(usize::MAX, true)]);
            for (events, keep_alive) in all {
                let first = match anchor.open() {
                    Start::Earliest => 0,
                    // A model tip that does not move, so that a second LATEST is not a loss.
                    Start::Latest => { prop_assert!(!tip_seen); begin_id }
                    Start::After(at) => u64::from_be_bytes(at[..].try_into().expect("8 bytes")) + 1,
                };
                let shown: Vec<_> = stream.iter().filter(|(at, _)| *at >= first).collect();
                let before = got.last().copied();
                let mut fresh = Vec::new();
                for event in shown.iter().take(events) {
                    if anchor.admits(&id(event.0)) {
                        tip_seen = true;
                        fresh.push(**event);
                    }
                }
                // What comes again is of the last id only.
                if let Some((last, _)) = before {
                    prop_assert!(fresh.iter().all(|(at, _)| *at >= last));
                }
                for event in fresh {
                    if !got.contains(&event) { got.push(event); }
                }
                // The server owes nothing more to say before it sends an empty response.
                if keep_alive && events >= shown.len() {
                    let tip = stream.last().map_or(0, |(at, _)| *at) + 1;
                    prop_assert_eq!(anchor.keep_alive(&id(tip)), Ok(()));
                    tip_seen = true;
                }
            }
            let wanted: Vec<_> = stream.iter().filter(|(at, _)| *at >= from).copied().collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
