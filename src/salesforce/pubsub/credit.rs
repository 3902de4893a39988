//! How many events to ask for. Pure.
//!
//! `outstanding` is what was asked for and has not come; `in hand` is what came and has not been released.
//! Salesforce caps the first at 100; we cap both together by the route's room, in events and in bytes, and by
//! what of the process's room is left for it.
//! Asking is early (whenever there is room), so that a round trip is never waited for; back-pressure is not
//! asking. Since sizes are not known beforehand, bytes are reserved by an estimate.

use super::room::Room;

/// Salesforce treats more than this as this.
pub(super) const OUTSTANDING_MAX: u32 = 100;
/// A release asks only for this many at least while events are still owed: a route that commits event by event
/// must not send a request for each (Salesforce's stream protection takes offence).
const RELEASE_ASKS_MIN: u32 = 10;
/// What an event is taken for before any has been seen: a full first request then reserves 6 MB.
const SIZE_GUESS_BYTES: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Credits {
    most: Room,
    /// At most `most`, and at times less.
    limit: Room,
    outstanding: u32,
    in_hand: Room,
    /// The running estimate, once anything came.
    event_bytes: Option<u64>,
}

impl Credits {
    /// Room for at least one event is always given, or nothing would ever move.
    pub(super) fn new(most: Room) -> Self {
        let most = Room {
            events: most.events.max(1),
            bytes: most.bytes.max(1),
        };
        Self {
            most,
            limit: most,
            outstanding: 0,
            in_hand: Room::default(),
            event_bytes: None,
        }
    }

    /// From now on the room is no larger than this.
    pub(super) fn limit(&mut self, limit: Room) {
        self.limit = Room {
            events: limit.events.clamp(1, self.most.events),
            bytes: limit.bytes.clamp(1, self.most.bytes),
        };
    }

    /// What there is room for beyond what is outstanding; 0 withholds.
    pub(super) fn room(&self) -> u32 {
        let cap = u64::from(OUTSTANDING_MAX.saturating_sub(self.outstanding));
        if self.outstanding == 0 && self.in_hand.events == 0 {
            // An event may be larger than the whole room. It is asked for alone.
            return self.by_bytes(0).clamp(1, self.limit.events.min(cap)) as u32;
        }
        let taken = u64::from(self.outstanding) + self.in_hand.events;
        let events = self.limit.events.saturating_sub(taken);
        let reserved = self.in_hand.bytes + u64::from(self.outstanding) * self.event_bytes();
        cap.min(self.by_bytes(reserved)).min(events) as u32
    }

    fn by_bytes(&self, reserved: u64) -> u64 {
        self.limit.bytes.saturating_sub(reserved) / self.event_bytes()
    }

    fn event_bytes(&self) -> u64 {
        self.event_bytes.unwrap_or(SIZE_GUESS_BYTES)
    }

    /// What to ask for after a release: nothing while it would be a trifle and more is on its way anyway.
    pub(super) fn room_after_release(&self) -> u32 {
        let room = self.room();
        let trifle = room < RELEASE_ASKS_MIN && self.outstanding >= RELEASE_ASKS_MIN;
        if trifle { 0 } else { room }
    }

    /// A request went out.
    pub(super) fn asked(&mut self, events: u32) {
        self.outstanding = self.outstanding.saturating_add(events);
    }

    /// Events came.
    pub(super) fn received(&mut self, events: u32, bytes: u64) {
        if events == 0 {
            return;
        }
        self.outstanding = self.outstanding.saturating_sub(events);
        self.in_hand.events += u64::from(events);
        self.in_hand.bytes += bytes;
        let mean = bytes.div_ceil(u64::from(events)).max(1);
        // Up at once, down slowly: the estimate guards memory, and large events come in runs.
        let faded = self.event_bytes.map_or(0, |before| before - before / 8);
        self.event_bytes = Some(mean.max(faded));
    }

    /// The route is done with them.
    pub(super) fn released(&mut self, events: u64, bytes: u64) {
        self.in_hand.events = self.in_hand.events.saturating_sub(events);
        self.in_hand.bytes = self.in_hand.bytes.saturating_sub(bytes);
    }

    /// The stream ended, and what it owed with it.
    pub(super) fn stream_ended(&mut self) {
        self.outstanding = 0;
    }

    pub(super) fn is_owed(&self) -> bool {
        self.outstanding > 0
    }

    /// Nothing comes before the route releases something.
    pub(super) fn is_withheld(&self) -> bool {
        self.outstanding == 0 && self.room() == 0
    }

    pub(super) fn most(&self) -> Room {
        self.most
    }

    pub(super) fn in_hand(&self) -> Room {
        self.in_hand
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1024 * 1024;

    fn credits(events: u64, bytes: u64) -> Credits {
        Credits::new(Room { events, bytes })
    }

    #[test]
    fn a_stream_with_room_is_asked_for_the_cap_at_once() {
        assert_eq!(credits(1000, 16 * MB).room(), OUTSTANDING_MAX);
    }

    #[test]
    fn every_response_is_topped_up_to_the_cap() {
        let mut credits = credits(1000, 16 * MB);
        credits.asked(100);
        credits.received(30, 30_000);
        assert_eq!(credits.room(), 30);
    }

    #[test]
    fn a_full_hand_withholds_the_next_fetch_request() {
        let mut credits = credits(100, 16 * MB);
        credits.asked(100);
        credits.received(100, 100_000);
        assert_eq!(credits.room(), 0);
        credits.released(40, 40_000);
        assert_eq!(credits.room_after_release(), 40);
    }

    #[test]
    fn large_events_are_asked_for_only_as_bytes_allow() {
        let mut credits = credits(1000, 10 * MB);
        credits.asked(100);
        credits.received(2, 2 * MB);
        assert_eq!(
            credits.room(),
            0,
            "98 outstanding events of 1 MB fill the room many times"
        );
        credits.stream_ended();
        assert_eq!(credits.room(), 8);
    }

    #[test]
    fn an_event_larger_than_the_whole_room_is_asked_for_alone() {
        let mut credits = credits(1000, MB / 2);
        credits.asked(1);
        credits.received(1, MB);
        assert_eq!(credits.room(), 0);
        credits.released(1, MB);
        assert_eq!(credits.room(), 1);
    }

    #[test]
    fn single_releases_do_not_become_single_requests() {
        let mut credits = credits(100, 16 * MB);
        credits.asked(100);
        credits.received(20, 20_000);
        credits.released(1, 1000);
        assert_eq!(credits.room_after_release(), 0);
        credits.released(9, 9000);
        assert_eq!(credits.room_after_release(), 10);
    }

    #[test]
    fn a_room_that_shrinks_takes_nothing_back_and_withholds_until_enough_is_released() {
        let mut credits = credits(1000, 16 * MB);
        credits.asked(100);
        credits.received(100, 100_000);
        credits.asked(100);
        credits.limit(Room {
            events: 150,
            bytes: 16 * MB,
        });
        assert_eq!(credits.room(), 0);
        assert!(!credits.is_withheld(), "a hundred are owed");
        credits.received(100, 100_000);
        assert!(credits.is_withheld());
        credits.released(100, 100_000);
        assert_eq!(credits.room_after_release(), 50);
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// The server sends up to so many of what it owes, of so many bytes each.
        Serve(u32, u64),
        /// The route releases up to so many events.
        Release(u32),
        Drop,
    }

    fn room() -> impl Strategy<Value = Room> {
        (1..400_u64, 1..(32 * MB)).prop_map(|(events, bytes)| Room { events, bytes })
    }

    /// Each with what others leave of the room by then.
    fn steps() -> impl Strategy<Value = Vec<(Step, Room)>> {
        let step = prop_oneof![
            6 => (0..120_u32, prop_oneof![Just(800_u64), 1..5_000_u64, Just(MB)]).prop_map(|(n, size)| Step::Serve(n, size)),
            6 => (0..200_u32).prop_map(Step::Release),
            1 => Just(Step::Drop),
        ];
        prop::collection::vec((step, room()), 1..200)
    }

    proptest! {
        #[test]
        fn bounds_hold_and_the_stream_never_starves(
            most in room(), steps in steps()
        ) {
            let mut credits = Credits::new(most);
            let mut hand: std::collections::VecDeque<u64> = std::collections::VecDeque::new();
            let mut owed = 0_u32;
            for (step, limit) in steps {
                credits.limit(limit);
                let ask = match step {
                    Step::Serve(n, size) => {
                        let n = n.min(owed);
                        owed -= n;
                        hand.extend(std::iter::repeat_n(size, n as usize));
                        credits.received(n, u64::from(n) * size);
                        credits.room()
                    }
                    Step::Release(n) => {
                        let n = (n as usize).min(hand.len());
                        let bytes: u64 = hand.drain(..n).sum();
                        credits.released(n as u64, bytes);
                        credits.room_after_release()
                    }
                    Step::Drop => {
                        owed = 0;
                        credits.stream_ended();
                        credits.room()
                    }
                };
                if ask > 0 {
                    let reserved: u64 = hand.iter().sum::<u64>() + u64::from(owed + ask) * credits.event_bytes();
                    let alone = hand.is_empty() && owed == 0 && ask == 1;
                    prop_assert!(reserved <= limit.bytes.min(most.bytes) || alone, "asks beyond the bytes");
                    prop_assert!(hand.len() as u64 + u64::from(owed + ask) <= limit.events.min(most.events));
                    credits.asked(ask);
                    owed += ask;
                }
                prop_assert_eq!(owed, credits.outstanding);
                prop_assert!(owed <= OUTSTANDING_MAX);
                prop_assert!(hand.len() as u64 + u64::from(owed) <= most.events);
                // Liveness: with an empty hand something is always on its way.
                prop_assert!(owed > 0 || !hand.is_empty());
                // Nothing on its way although there is room for it: never after a step.
                prop_assert!(owed > 0 || credits.room() == 0);
            }
        }
    }
}
