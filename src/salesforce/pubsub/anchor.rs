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
    /// With the next event. Once the stream was open this way and broke before any id was complete, nobody can
    /// tell what came meanwhile: it is opened again from the earliest event, and the route filters what is older
    /// than its start.
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
}

impl Anchor {
    pub(super) const fn new(start: Start) -> Self {
        Self {
            start,
            complete: None,
            last: None,
        }
    }

    /// Where to open the stream, the first time and every other.
    pub(super) fn open(&mut self) -> Start {
        match (&self.complete, &self.start) {
            (Some(complete), _) => Start::After(complete.clone()),
            (None, start) => {
                // What follows begins anew, so the id in progress is not completed by an older one.
                self.last = None;
                let now = start.clone();
                if now == Start::Latest {
                    self.start = Start::Earliest;
                }
                now
            }
        }
    }

    /// An event came.
    pub(super) fn event(&mut self, replay_id: &Bytes) {
        if self.last.as_ref() != Some(replay_id)
            && let Some(last) = self.last.replace(replay_id.clone())
        {
            self.complete = Some(last);
        }
    }

    /// An empty response came: everything up to its id is complete. Only an empty one says so.
    pub(super) fn keep_alive(&mut self, latest: &Bytes) {
        if !latest.is_empty() {
            self.complete = Some(latest.clone());
            self.last = None;
        }
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
    fn latest_is_asked_for_once_and_then_everything_since_the_start_of_the_stream() {
        let mut anchor = Anchor::new(Start::Latest);
        assert_eq!(anchor.open(), Start::Latest);
        assert_eq!(anchor.open(), Start::Earliest);
        anchor.event(&id(5));
        assert_eq!(anchor.open(), Start::Earliest);
        anchor.keep_alive(&id(7));
        assert_eq!(anchor.open(), Start::After(id(7)));
    }

    #[test]
    fn an_id_is_complete_only_when_a_later_one_was_seen() {
        let mut anchor = Anchor::new(Start::After(id(1)));
        anchor.event(&id(5));
        anchor.event(&id(5));
        assert_eq!(anchor.open(), Start::After(id(1)));
        anchor.event(&id(5));
        anchor.event(&id(9));
        assert_eq!(anchor.open(), Start::After(id(5)));
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
            let from_the_tip = start == Start::Latest;
            let mut anchor = Anchor::new(start);
            let mut got: Vec<(u64, usize)> = Vec::new();
            for (events, keep_alive) in openings.into_iter().chain([(usize::MAX, true)]) {
                let place = anchor.open();
                let first = match &place {
                    Start::Earliest => 0,
                    Start::Latest => begin_id,
                    Start::After(at) => u64::from_be_bytes(at[..].try_into().expect("8 bytes")) + 1,
                };
                let shown: Vec<_> = stream.iter().filter(|(at, _)| *at >= first).collect();
                let last = got.last().map_or(0, |(at, _)| *at);
                for event in shown.iter().take(events) {
                    anchor.event(&id(event.0));
                    // After an id nothing older than the last one comes again.
                    prop_assert!(from_the_tip || !matches!(place, Start::After(_)) || event.0 >= last);
                    if !got.contains(event) && event.0 >= from { got.push(**event); }
                }
                // The server owes nothing more to say before it sends an empty response.
                if keep_alive && events >= shown.len() {
                    anchor.keep_alive(&id(stream.last().map_or(0, |(at, _)| *at) + 1));
                }
            }
            let wanted: Vec<_> = stream.iter().filter(|(at, _)| *at >= from).copied().collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
