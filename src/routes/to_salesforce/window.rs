//! The records of one partition that are in work: which go into the next request, and what is finished.
//!
//! Pure. Records enter in the order of their offsets. A request takes them in that order; what waits for another
//! try lets the records behind it pass, but never a later version of its own key. Where the order is strict
//! (published events) it lets nobody pass. The offset to commit moves only past what is finished.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// What a request is made of: records of one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Publish,
    Write,
    /// That no Bulk job can hold as it is.
    WriteApart,
    Delete,
}

/// How much one request holds, and whether order is strict.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) records_max: usize,
    pub(super) bytes_max: usize,
    pub(super) is_strict: bool,
}

/// A record that waits for its answer.
#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) content: T,
    offset: i64,
    pub(super) kind: Kind,
    /// What two versions of one record have in common. None: nothing else is the same record.
    key: Option<String>,
    bytes: usize,
    /// It may be under way already: it goes again without waiting for itself.
    is_in_doubt: bool,
    /// Tries so far that ended with a verdict about this record.
    pub(super) tries: u32,
    /// When it first failed by itself.
    failed_first: Option<Instant>,
    not_before: Option<Instant>,
    /// A row that failed by itself is tried alone: it must not hold the others' locks.
    is_alone: bool,
    /// Of a request that was refused as a whole: at most so many with it.
    with_at_most: usize,
}

impl<T> Item<T> {
    /// Since it first failed by itself; what was waited for meanwhile set aside.
    pub(super) fn failing_for(&self, now: Instant) -> Duration {
        let since = |first| now.saturating_duration_since(first);
        self.failed_first.map_or(Duration::ZERO, since)
    }
}

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// Not meant for Salesforce: the filter or the mapping left it out.
    LeftOut,
    DeadLetter,
}

#[derive(Debug)]
enum Slot<T> {
    Open(Item<T>),
    Done(Fate),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send these, by their places in the window.
    Send(Vec<usize>),
    /// Nothing may go before then.
    Wait(Instant),
    /// Nothing is open.
    Empty,
}

#[derive(Debug)]
pub(super) struct Window<T> {
    rules: Rules,
    slots: VecDeque<Slot<T>>,
    /// Just past the last record that entered.
    end: Option<i64>,
    bytes: usize,
    open: usize,
    /// Keys whose last attempt may still be under way, and until when a later version waits for it.
    in_doubt: HashMap<String, Instant>,
    /// What an earlier owner may have under way still.
    inherited: Option<Inherited>,
}

/// Records before this offset may be under way until then: nobody knows which.
#[derive(Debug, Clone, Copy)]
struct Inherited {
    before: i64,
    until: Instant,
}

/// Slots of a window, in requests.
const REQUESTS_KEPT: usize = 8;
/// What a worker has in hand beyond the offset that Kafka has of it: a window, and what it finished since the last
/// commit, which is half a second back.
const REQUESTS_AHEAD_OF_THE_OFFSET: usize = 2 * REQUESTS_KEPT;

impl<T> Window<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            slots: VecDeque::new(),
            end: None,
            bytes: 0,
            open: 0,
            in_doubt: HashMap::new(),
            inherited: None,
        }
    }

    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// An earlier owner began at this offset or behind it, and a request of it may be under way until then. The first
    /// version of each record goes again at once, with the same values; a later one waits.
    pub(super) fn inherit(&mut self, offset: i64, until: Instant) {
        let records = self
            .rules
            .records_max
            .saturating_mul(REQUESTS_AHEAD_OF_THE_OFFSET);
        let before = offset.saturating_add(i64::try_from(records).unwrap_or(i64::MAX));
        self.inherited = Some(Inherited { before, until });
    }

    /// Whether the record may be under way already, as the first of its key: later ones wait for it.
    fn is_inherited(&mut self, offset: i64, key: Option<&str>) -> bool {
        let (Some(Inherited { before, until }), Some(key)) = (self.inherited, key) else {
            return false;
        };
        if offset >= before || until <= Instant::now() {
            self.inherited = None;
            return false;
        }
        match self.in_doubt.entry(key.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(until);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// A record to send.
    pub(super) fn push(&mut self, offset: i64, kind: Kind, key: Option<String>, bytes: usize, content: T) {
        let is_inherited = self.is_inherited(offset, key.as_deref());
        self.end = Some(offset + 1);
        self.bytes += bytes;
        self.open += 1;
        self.slots.push_back(Slot::Open(Item {
            content,
            offset,
            kind,
            key,
            bytes,
            tries: 0,
            is_in_doubt: is_inherited,
            failed_first: None,
            not_before: None,
            is_alone: false,
            with_at_most: usize::MAX,
        }));
    }

    /// A record that needs no answer.
    pub(super) fn pass(&mut self, offset: i64, fate: Fate) {
        self.end = Some(offset + 1);
        self.slots.push_back(Slot::Done(fate));
    }

    /// Whether more records may enter: enough for the request after the next one.
    pub(super) fn has_room(&self) -> bool {
        let (records, bytes) = (self.rules.records_max, self.rules.bytes_max);
        self.open < records.saturating_mul(2)
            && self.slots.len() < records.saturating_mul(REQUESTS_KEPT)
            && self.bytes < bytes.saturating_mul(2)
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Everything before this offset is finished. None: nothing has entered yet.
    pub(super) fn committable(&self) -> Option<i64> {
        let first_open = self.slots.iter().find_map(|slot| match slot {
            Slot::Open(item) => Some(item.offset),
            Slot::Done(_) => None,
        });
        first_open.or(self.end)
    }

    pub(super) fn peek(&self, place: usize) -> Option<&Item<T>> {
        match self.slots.get(place) {
            Some(Slot::Open(item)) => Some(item),
            _ => None,
        }
    }

    pub(super) fn item(&mut self, place: usize) -> Option<&mut Item<T>> {
        match self.slots.get_mut(place) {
            Some(Slot::Open(item)) => Some(item),
            _ => None,
        }
    }

    /// The places of what is open.
    pub(super) fn places(&self) -> Vec<usize> {
        let open = |(place, slot): (usize, &Slot<T>)| matches!(slot, Slot::Open(_)).then_some(place);
        self.slots.iter().enumerate().filter_map(open).collect()
    }

    /// What goes next. Places stay valid until something is finished.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.in_doubt.retain(|_, until| *until > now);
        let mut chosen: Vec<usize> = Vec::new();
        let mut kind = None;
        let mut bytes = 0;
        let mut most = self.rules.records_max;
        let mut earliest: Option<Instant> = None;
        let mut taken: HashSet<&str> = HashSet::new();
        for (place, slot) in self.slots.iter().enumerate() {
            let Slot::Open(item) = slot else { continue };
            let waits_until = item.not_before.filter(|at| *at > now).max(self.doubt(item));
            if let Some(at) = waits_until {
                earliest = Some(earliest.map_or(at, |known| known.min(at)));
                if self.rules.is_strict {
                    break;
                }
                taken.extend(item.key.as_deref());
                continue;
            }
            if item.key.as_deref().is_some_and(|key| taken.contains(key)) {
                // An earlier version goes first. Nothing behind it goes either: requests keep the order.
                if chosen.is_empty() {
                    continue;
                }
                break;
            }
            if chosen.is_empty() {
                kind = Some(item.kind);
                most = most.min(item.with_at_most);
            }
            let fits = bytes + item.bytes <= self.rules.bytes_max || chosen.is_empty();
            let is_apart = item.is_alone && !chosen.is_empty();
            if Some(item.kind) != kind || !fits || is_apart || chosen.len() >= most.min(item.with_at_most) {
                break;
            }
            bytes += item.bytes;
            chosen.push(place);
            taken.extend(item.key.as_deref());
            if item.is_alone {
                break;
            }
        }
        match (chosen.is_empty(), earliest) {
            (false, _) => Next::Send(chosen),
            (true, Some(at)) => Next::Wait(at),
            (true, None) => Next::Empty,
        }
    }

    /// Until when a later version than the one in doubt waits.
    fn doubt(&self, item: &Item<T>) -> Option<Instant> {
        let key = item.key.as_deref()?;
        // The one in doubt itself goes again: the same values once more do no harm.
        (!item.is_in_doubt)
            .then(|| self.in_doubt.get(key).copied())
            .flatten()
    }

    /// The record is finished.
    pub(super) fn finish(&mut self, place: usize, fate: Fate) -> Option<Item<T>> {
        let slot = self.slots.get_mut(place)?;
        if matches!(slot, Slot::Done(_)) {
            return None;
        }
        let Slot::Open(item) = std::mem::replace(slot, Slot::Done(fate)) else {
            return None;
        };
        self.bytes = self.bytes.saturating_sub(item.bytes);
        self.open = self.open.saturating_sub(1);
        Some(item)
    }

    /// The record failed by itself and is tried again, alone.
    pub(super) fn again(&mut self, place: usize, now: Instant, pause: Duration) {
        if let Some(item) = self.item(place) {
            item.tries += 1;
            item.is_alone = true;
            item.failed_first.get_or_insert(now);
            item.not_before = Some(now + pause);
        }
    }

    /// For so long nothing went at all: what a record waits for had no chance to come either.
    pub(super) fn waited(&mut self, time: Duration) {
        for slot in &mut self.slots {
            if let Slot::Open(Item {
                failed_first: Some(first),
                ..
            }) = slot
            {
                *first += time;
            }
        }
    }

    /// The request with these records was refused for its content: halves of it are tried. True: it was one record
    /// alone, which is at fault.
    pub(super) fn split(&mut self, places: &[usize]) -> bool {
        if places.len() <= 1 {
            return true;
        }
        let half = places.len().div_ceil(2);
        for place in places {
            if let Some(item) = self.item(*place) {
                item.with_at_most = half;
            }
        }
        false
    }

    /// Nobody knows whether the request with these records was carried out: they go again, and later versions of them
    /// only after `until`.
    pub(super) fn in_doubt(&mut self, places: &[usize], until: Instant) {
        for place in places {
            let Some(item) = self.item(*place) else { continue };
            item.is_in_doubt = true;
            if let Some(key) = item.key.clone() {
                self.in_doubt.insert(key, until);
            }
        }
    }

    /// Forgets what is finished at the front, and tells how it ended, in the order of the offsets. Call it when no
    /// places are held.
    pub(super) fn shrink(&mut self) -> Vec<Fate> {
        let mut fates = Vec::new();
        while let Some(Slot::Done(fate)) = self.slots.front() {
            fates.push(*fate);
            self.slots.pop_front();
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        records_max: 3,
        bytes_max: 100,
        is_strict: false,
    };

    fn window(rules: Rules, keys: &[&str]) -> Window<()> {
        let mut window = Window::new(rules);
        for (offset, key) in (10..).zip(keys) {
            let kind = if key.starts_with('-') {
                Kind::Delete
            } else {
                Kind::Write
            };
            window.push(
                offset,
                kind,
                Some((*key).trim_start_matches('-').to_owned()),
                10,
                (),
            );
        }
        window
    }

    fn send(places: &[usize]) -> Next {
        Next::Send(places.to_vec())
    }

    fn finish_all(window: &mut Window<()>, places: &[usize]) {
        for place in places {
            window.finish(*place, Fate::Delivered);
        }
        window.shrink();
    }

    #[tokio::test(start_paused = true)]
    async fn how_records_ended_is_told_in_the_order_of_their_offsets() {
        let mut window = window(RULES, &["a", "b"]);
        window.pass(12, Fate::DeadLetter);
        window.pass(13, Fate::LeftOut);
        window.finish(1, Fate::DeadLetter);
        assert_eq!(window.shrink(), [], "the first is not finished");
        assert_eq!(window.committable(), Some(10));
        window.finish(0, Fate::Delivered);
        assert!(window.finish(0, Fate::DeadLetter).is_none(), "once");
        let fates = [Fate::Delivered, Fate::DeadLetter, Fate::DeadLetter, Fate::LeftOut];
        assert_eq!(window.shrink(), fates);
        assert_eq!(window.committable(), Some(14));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_records_in_order_up_to_its_limits() {
        let mut many = window(RULES, &["a", "b", "c", "d"]);
        assert_eq!(many.next(Instant::now()), send(&[0, 1, 2]));
        finish_all(&mut many, &[0, 1, 2]);
        assert_eq!(many.committable(), Some(13));
        assert_eq!(many.next(Instant::now()), send(&[0]));
        let small = Rules {
            bytes_max: 25,
            ..RULES
        };
        assert_eq!(
            window(small, &["a", "b", "c"]).next(Instant::now()),
            send(&[0, 1])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_larger_than_a_request_goes_by_itself() {
        let small = Rules {
            bytes_max: 5,
            ..RULES
        };
        assert_eq!(window(small, &["a", "b"]).next(Instant::now()), send(&[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_version_of_a_record_waits_for_the_next_request() {
        let mut window = window(RULES, &["a", "b", "a", "c"]);
        assert_eq!(window.next(Instant::now()), send(&[0, 1]));
        finish_all(&mut window, &[0, 1]);
        assert_eq!(window.next(Instant::now()), send(&[0, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_holds_one_kind_only() {
        let mut window = window(RULES, &["a", "-b", "-c", "d"]);
        assert_eq!(window.next(Instant::now()), send(&[0]));
        finish_all(&mut window, &[0]);
        assert_eq!(window.next(Instant::now()), send(&[0, 1]));
        finish_all(&mut window, &[0, 1]);
        assert_eq!(window.next(Instant::now()), send(&[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_locked_record_lets_others_pass_but_no_later_version_of_itself() {
        let mut window = window(RULES, &["a", "b", "a", "c"]);
        let now = Instant::now();
        window.next(now);
        window.again(0, now, Duration::from_secs(1));
        window.finish(1, Fate::Delivered);
        assert_eq!(window.committable(), Some(10), "the locked one is not finished");
        assert_eq!(
            window.next(now),
            send(&[3]),
            "neither the locked one nor its later version"
        );
        window.finish(3, Fate::Delivered);
        assert_eq!(window.next(now), Next::Wait(now + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(window.next(Instant::now()), send(&[0]), "alone");
        window.finish(0, Fate::Delivered);
        assert_eq!(window.next(Instant::now()), send(&[2]));
    }

    #[tokio::test(start_paused = true)]
    async fn where_order_is_strict_a_record_that_is_tried_again_lets_nobody_pass() {
        let strict = Rules {
            is_strict: true,
            ..RULES
        };
        let mut window = window(strict, &["a", "b", "c"]);
        let now = Instant::now();
        window.again(1, now, Duration::from_secs(1));
        assert_eq!(window.next(now), send(&[0]));
        window.finish(0, Fate::Delivered);
        assert_eq!(window.next(now), Next::Wait(now + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(window.next(Instant::now()), send(&[1]));
        window.finish(1, Fate::Delivered);
        assert_eq!(window.next(Instant::now()), send(&[2]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_request_is_halved_until_the_culprit_is_found() {
        let rules = Rules {
            records_max: 8,
            bytes_max: 1000,
            ..RULES
        };
        let mut window = window(rules, &["a", "b", "c", "d", "e"]);
        let mut tried = Vec::new();
        while let Next::Send(places) = window.next(Instant::now()) {
            tried.push(places.len());
            // The fourth is at fault.
            if !places.contains(&3) || window.split(&places) {
                for place in &places {
                    window.finish(*place, Fate::Delivered);
                }
            }
        }
        assert_eq!(
            tried,
            [5, 3, 2, 1, 1],
            "the whole, its halves, and the culprit alone"
        );
        assert_eq!(window.committable(), Some(15));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_holds_a_later_version_back_and_not_the_same_one() {
        let mut window = window(RULES, &["a", "b", "a"]);
        let now = Instant::now();
        let until = now + Duration::from_secs(5);
        assert_eq!(window.next(now), send(&[0, 1]));
        window.in_doubt(&[0, 1], until);
        assert_eq!(window.next(now), send(&[0, 1]), "the same once more");
        window.finish(0, Fate::Delivered);
        window.finish(1, Fate::Delivered);
        assert_eq!(window.next(now), Next::Wait(until));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(window.next(Instant::now()), send(&[2]));
    }

    #[test]
    fn what_an_earlier_owner_may_have_under_way_goes_again_and_later_versions_wait() {
        let until = Instant::now() + Duration::from_secs(20);
        let mut inheriting = Window::new(RULES);
        inheriting.inherit(10, until);
        let beyond = 10 + i64::try_from(RULES.records_max * REQUESTS_AHEAD_OF_THE_OFFSET).unwrap();
        for (offset, key) in [(10, "a"), (11, "b"), (12, "a"), (beyond, "c"), (beyond + 1, "c")] {
            inheriting.push(offset, Kind::Write, Some(key.to_owned()), 10, ());
        }
        let now = Instant::now();
        assert_eq!(inheriting.next(now), send(&[0, 1, 3]));
        finish_all(&mut inheriting, &[0, 1, 3]);
        // Its place, now that what stood before is gone.
        let second_of_c = [2];
        assert_eq!(
            inheriting.next(now),
            send(&second_of_c),
            "nobody else can have had its first"
        );
        finish_all(&mut inheriting, &second_of_c);
        assert_eq!(inheriting.next(now), Next::Wait(until));
        assert_eq!(inheriting.committable(), Some(12));
        assert_eq!(inheriting.next(until), send(&[0]));
    }

    #[test]
    fn what_needs_no_answer_is_committed_once_everything_before_it_is_finished() {
        let mut window = window(RULES, &["a"]);
        window.pass(11, Fate::LeftOut);
        assert_eq!(window.committable(), Some(10));
        window.finish(0, Fate::Delivered);
        assert_eq!(window.committable(), Some(12));
        window.pass(14, Fate::LeftOut);
        assert_eq!(window.committable(), Some(15), "offsets may have holes");
    }
}
