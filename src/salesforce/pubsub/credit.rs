//! How many events to ask for. Pure.
//!
//! `outstanding` is what was asked for and has not come; `in hand` is what came and has not been released.
//! Salesforce caps the first at 100; we cap both together by the route's room, in events and in bytes.
//! Asking is early (whenever there is room), so that a round trip is never waited for; back-pressure is not
//! asking. Since sizes are not known beforehand, bytes are reserved by an estimate.

/// Salesforce treats more than this as this.
pub(super) const OUTSTANDING_MAX: u32 = 100;
/// A release asks only for this many at least while events are still owed: a route that commits event by event
/// must not send a request for each (Salesforce's stream protection takes offence).
const RELEASE_ASKS_MIN: u32 = 10;
/// What an event is taken for before any has been seen: a full first request then reserves 6 MB.
const SIZE_GUESS_BYTES: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Credits {
    events_max: u32,
    bytes_max: u64,
    outstanding: u32,
    in_hand_events: u64,
    in_hand_bytes: u64,
    /// The running estimate, once anything came.
    event_bytes: Option<u64>,
}

impl Credits {
    /// Room for at least one event is always given, or nothing would ever move.
    pub(super) fn new(events_max: u32, bytes_max: u64) -> Self {
        Self {
            events_max: events_max.max(1),
            bytes_max: bytes_max.max(1),
            outstanding: 0,
            in_hand_events: 0,
            in_hand_bytes: 0,
            event_bytes: None,
        }
    }

    /// What there is room for beyond what is outstanding; 0 withholds.
    pub(super) fn room(&self) -> u32 {
        if self.outstanding == 0 && self.in_hand_events == 0 {
            // An event may be larger than the whole room. It is asked for alone.
            return self.by_bytes(0).clamp(1, self.events_max.min(OUTSTANDING_MAX));
        }
        let cap = OUTSTANDING_MAX.saturating_sub(self.outstanding);
        let taken = u64::from(self.outstanding) + self.in_hand_events;
        let events = u64::from(self.events_max).saturating_sub(taken);
        let reserved = self.in_hand_bytes + u64::from(self.outstanding) * self.event_bytes();
        u64::from(cap.min(self.by_bytes(reserved))).min(events) as u32
    }

    fn by_bytes(&self, reserved: u64) -> u32 {
        let events = self.bytes_max.saturating_sub(reserved) / self.event_bytes();
        u32::try_from(events).unwrap_or(u32::MAX)
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
        self.in_hand_events += u64::from(events);
        self.in_hand_bytes += bytes;
        let mean = bytes.div_ceil(u64::from(events)).max(1);
        // Up at once, down slowly: the estimate guards memory, and large events come in runs.
        let faded = self.event_bytes.map_or(0, |before| before - before / 8);
        self.event_bytes = Some(mean.max(faded));
    }

    /// The route is done with them.
    pub(super) fn released(&mut self, events: u64, bytes: u64) {
        self.in_hand_events = self.in_hand_events.saturating_sub(events);
        self.in_hand_bytes = self.in_hand_bytes.saturating_sub(bytes);
    }

    /// The stream ended, and what it owed with it.
    pub(super) fn stream_ended(&mut self) {
        self.outstanding = 0;
    }

    pub(super) fn is_owed(&self) -> bool {
        self.outstanding > 0
    }

    pub(super) fn events_max(&self) -> u32 {
        self.events_max
    }

    pub(super) fn in_hand_events(&self) -> u64 {
        self.in_hand_events
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1024 * 1024;

    #[test]
    fn a_stream_with_room_is_asked_for_the_cap_at_once() {
        assert_eq!(Credits::new(1000, 16 * MB).room(), OUTSTANDING_MAX);
    }

    #[test]
    fn every_response_is_topped_up_to_the_cap() {
        let mut credits = Credits::new(1000, 16 * MB);
        credits.asked(100);
        credits.received(30, 30_000);
        assert_eq!(credits.room(), 30);
    }

    #[test]
    fn a_full_hand_withholds_the_next_fetch_request() {
        let mut credits = Credits::new(100, 16 * MB);
        credits.asked(100);
        credits.received(100, 100_000);
        assert_eq!(credits.room(), 0);
        credits.released(40, 40_000);
        assert_eq!(credits.room_after_release(), 40);
    }

    #[test]
    fn large_events_are_asked_for_only_as_bytes_allow() {
        let mut credits = Credits::new(1000, 10 * MB);
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
        let mut credits = Credits::new(1000, MB / 2);
        credits.asked(1);
        credits.received(1, MB);
        assert_eq!(credits.room(), 0);
        credits.released(1, MB);
        assert_eq!(credits.room(), 1);
    }

    #[test]
    fn single_releases_do_not_become_single_requests() {
        let mut credits = Credits::new(100, 16 * MB);
        credits.asked(100);
        credits.received(20, 20_000);
        credits.released(1, 1000);
        assert_eq!(credits.room_after_release(), 0);
        credits.released(9, 9000);
        assert_eq!(credits.room_after_release(), 10);
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// The server sends up to so many of what it owes, of so many bytes each.
        Serve(u32, u64),
        /// The route releases up to so many events.
        Release(u32),
        Drop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..120_u32, prop_oneof![Just(800_u64), 1..5_000_u64, Just(MB)]).prop_map(|(n, size)| Step::Serve(n, size)),
            6 => (0..200_u32).prop_map(Step::Release),
            1 => Just(Step::Drop),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn bounds_hold_and_the_stream_never_starves(
            events_max in 1..400_u32, bytes_max in 1..(32 * MB), steps in steps()
        ) {
            let mut credits = Credits::new(events_max, bytes_max);
            let mut hand: std::collections::VecDeque<u64> = std::collections::VecDeque::new();
            let mut owed = 0_u32;
            for step in steps {
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
                    prop_assert!(reserved <= bytes_max || alone, "asks beyond the bytes");
                    credits.asked(ask);
                    owed += ask;
                }
                prop_assert_eq!(owed, credits.outstanding);
                prop_assert!(owed <= OUTSTANDING_MAX);
                prop_assert!(hand.len() as u64 + u64::from(owed) <= u64::from(events_max));
                // Liveness: with an empty hand something is always on its way.
                prop_assert!(owed > 0 || !hand.is_empty());
                // Nothing on its way although there is room for it: never after a step.
                prop_assert!(owed > 0 || credits.room() == 0);
            }
        }
    }
}
