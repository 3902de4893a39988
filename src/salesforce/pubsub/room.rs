//! How much of the process's memory a stream may fill, in events and in bytes.
//!
//! No stream may have more in hand than three quarters of what the others leave (switches share their buffers so,
//! and call it a dynamic threshold): one busy stream gets all that it is configured for, ten get a tenth each, and
//! one that stands still with its part takes that from the others and no more. Each is always granted a
//! minimum, so none ever waits for another. Sums beyond the size come only of the minima and of what was
//! asked for while there was room.

use std::sync::Arc;

use parking_lot::Mutex;

/// Of all streams together. An event of 1 KB is some 11 KB while it is in hand (as JSON with its headers, in
/// librdkafka's queue, in its request): a process with ten busy routes peaks at 71 to 76 MB. Filled with 3,600 it is 84 MB.
const SHARED: Room = Room {
    events: 2_700,
    bytes: 16 * 1024 * 1024,
};
/// Always granted: a hundred events on their way and a hundred in work keep a stream busy, and 1 MB is the
/// largest event.
const GRANTED: Room = Room {
    events: 200,
    bytes: 1024 * 1024,
};

/// A number of events, and of the bytes they came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// What one stream may have of the room that the others leave: quarters. With three, ten busy streams fill 30/31 of
/// the room; with two, a lone one could fill half of it only, and ten 10/11.
const QUARTERS: u64 = 3;

/// The room that all streams of a client share.
#[derive(Debug)]
pub(super) struct SharedRoom {
    size: Room,
    taken: Room,
}

impl Default for SharedRoom {
    fn default() -> Self {
        Self {
            size: SHARED,
            taken: Room::default(),
        }
    }
}

impl SharedRoom {
    /// A stream that may fill `most` must be able to while it is alone.
    fn admit(&mut self, most: Room) {
        let alone = |most: u64| most.saturating_mul(4).div_ceil(QUARTERS);
        self.size = Room {
            events: self.size.events.max(alone(most.events)),
            bytes: self.size.bytes.max(alone(most.bytes)),
        };
    }

    fn change(&mut self, before: Room, now: Room) {
        self.taken = Room {
            events: (self.taken.events + now.events).saturating_sub(before.events),
            bytes: (self.taken.bytes + now.bytes).saturating_sub(before.bytes),
        };
    }

    /// What a stream that holds so much may have asked for and in hand.
    fn limit(&self, held: Room) -> Room {
        let part = |size: u64, taken: u64, held: u64| {
            let others = taken.saturating_sub(held);
            size.saturating_sub(others).saturating_mul(QUARTERS) / 4
        };
        Room {
            events: part(self.size.events, self.taken.events, held.events).max(GRANTED.events),
            bytes: part(self.size.bytes, self.taken.bytes, held.bytes).max(GRANTED.bytes),
        }
    }
}

/// One stream's part of the shared room; what it holds is given back with it.
#[derive(Debug)]
pub(super) struct Part {
    shared: Arc<Mutex<SharedRoom>>,
    held: Room,
}

impl Part {
    /// `most` is what the stream may fill while no other is busy.
    pub(super) fn of(shared: &Arc<Mutex<SharedRoom>>, most: Room) -> Self {
        shared.lock().admit(most);
        Self {
            shared: Arc::clone(shared),
            held: Room::default(),
        }
    }

    /// Notes what the stream has in hand and tells how much that may be, with what it is owed.
    pub(super) fn limit(&mut self, in_hand: Room) -> Room {
        let mut shared = self.shared.lock();
        shared.change(self.held, in_hand);
        self.held = in_hand;
        shared.limit(in_hand)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.lock().change(self.held, Room::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Room = Room {
        events: 2_000,
        bytes: 8 * 1024 * 1024,
    };

    fn parts(count: usize, most: Room) -> Vec<Part> {
        let shared = Arc::default();
        (0..count).map(|_| Part::of(&shared, most)).collect()
    }

    fn events(events: u64) -> Room {
        Room {
            events,
            bytes: events * 1_000,
        }
    }

    /// Each in turn takes what it may, by hundreds, until none takes more: what each has then.
    fn fill(parts: &mut [Part], most: Room) -> Vec<u64> {
        let mut held = vec![0; parts.len()];
        loop {
            let before = held.clone();
            for (part, held) in parts.iter_mut().zip(&mut held) {
                let limit = part.limit(events(*held)).events.min(most.events);
                *held += limit.saturating_sub(*held).min(100);
                part.limit(events(*held));
            }
            if held == before {
                return held;
            }
        }
    }

    #[test]
    fn one_busy_stream_gets_all_that_it_is_configured_for() {
        assert_eq!(fill(&mut parts(1, MOST), MOST), [MOST.events]);
        let large = events(50_000);
        assert_eq!(
            fill(&mut parts(1, large), large),
            [large.events],
            "larger than the room by default"
        );
    }

    #[test]
    fn ten_busy_streams_share_the_room_evenly_and_never_exceed_it() {
        let held = fill(&mut parts(10, MOST), MOST);
        assert!(held.iter().sum::<u64>() <= SHARED.events, "{held:?}");
        assert!(held.iter().all(|held| (200..=300).contains(held)), "{held:?}");
    }

    #[test]
    fn each_is_granted_the_minimum_however_many_are_busy() {
        let held = fill(&mut parts(100, MOST), MOST);
        assert!(held.iter().all(|held| *held >= GRANTED.events), "{held:?}");
        let spent = SHARED.events + 100 * GRANTED.events;
        assert!(held.iter().sum::<u64>() <= spent, "{held:?}");
    }

    #[test]
    fn large_events_are_shared_by_their_bytes() {
        let mut parts = parts(2, MOST);
        let [one, other] = &mut parts[..] else {
            unreachable!("two")
        };
        let in_hand = Room {
            events: 10,
            bytes: 8 * 1024 * 1024,
        };
        one.limit(in_hand);
        let left = SHARED.bytes - in_hand.bytes;
        assert_eq!(other.limit(Room::default()).bytes, left / 4 * 3);
    }

    #[test]
    fn what_a_stream_held_is_given_back_with_it() {
        let mut parts = parts(2, MOST);
        fill(&mut parts, MOST);
        drop(parts.remove(0));
        assert_eq!(parts[0].limit(Room::default()).events, SHARED.events / 4 * 3);
    }
}
