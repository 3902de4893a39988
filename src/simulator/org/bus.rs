//! The org-wide bus: it numbers events, of whatever topic, in one ascending sequence with gaps, and puts each into
//! its topic's log and those of the channels that carry it.
//!
//! One lock covers numbering and storing, so a log is always in the order of its positions, and a position that
//! was read as the tip has no event before it that is still on its way.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::proto::{ConsumerEvent, EventHeader, ProducerEvent};

use super::replay_id::{self, Position};
use super::topics::{Stored, Topic};

/// Where a new org's bus begins: a real org has a past, and an id of zero would hide mistakes.
pub(crate) const FIRST_POSITION: Position = 1_100_000;

/// An event that is not on the bus yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewEvent {
    pub(crate) id: String,
    pub(crate) schema_id: String,
    pub(crate) payload: Bytes,
    pub(crate) headers: Vec<EventHeader>,
    /// It takes the position of the event before it in the same call.
    pub(crate) shares_position: bool,
    /// It never shares a response with the one before it.
    pub(crate) starts_response: bool,
}

#[derive(Debug)]
pub(crate) struct Bus {
    last: Mutex<Position>,
    retained_max: usize,
}

impl Bus {
    pub(crate) fn new(retained_max: usize) -> Self {
        Self {
            last: Mutex::new(FIRST_POSITION),
            retained_max,
        }
    }

    /// Stores events of one topic and says at which positions.
    pub(crate) fn append(&self, topic: &Topic, events: impl IntoIterator<Item = NewEvent>) -> Vec<Position> {
        let channels: Vec<Arc<Topic>> = topic.channels.read().clone();
        let mut last = self.last.lock();
        let mut logs: Vec<_> = std::iter::once(topic)
            .chain(channels.iter().map(AsRef::as_ref))
            .map(|topic| (topic, topic.log.write()))
            .collect();
        let mut positions = Vec::new();
        for new in events {
            if !new.shares_position || positions.is_empty() {
                *last += step(*last);
            }
            let event = ProducerEvent {
                id: new.id,
                schema_id: new.schema_id,
                payload: new.payload,
                headers: new.headers,
            };
            let stored = Arc::new(Stored {
                position: *last,
                event: ConsumerEvent {
                    event: Some(event),
                    replay_id: replay_id::encode(*last),
                },
                starts_response: new.starts_response,
            });
            for (_, log) in &mut logs {
                log.push(stored.clone(), self.retained_max);
            }
            positions.push(*last);
        }
        for (topic, log) in logs {
            topic.grown.send_replace(log.end());
        }
        positions
    }

    /// The last position given out.
    pub(crate) fn tip(&self) -> Position {
        *self.last.lock()
    }

    /// The position up to which a stream at `cursor` has seen everything of the topic: the bus's tip when its log
    /// is drained, else just before its next event.
    pub(crate) fn seen_by(&self, topic: &Topic, cursor: u64) -> Position {
        let last = self.last.lock();
        topic.log.read().position_before(cursor).unwrap_or(*last)
    }

    /// What the org does elsewhere: positions pass that no topic of ours has.
    pub(crate) fn pass(&self, positions: u64) -> Position {
        let mut last = self.last.lock();
        *last += positions;
        *last
    }

    /// Puts a topic's past out of retention, the tip included; ids given out so far are then corrupted.
    pub(crate) fn forget(&self, topic: &Topic) {
        let mut last = self.last.lock();
        *last += 1;
        topic.log.write().raise_floor(*last);
    }
}

/// The distance to the next position: 1 to 3 in a pattern that depends on the position alone, so that runs repeat.
fn step(last: Position) -> u64 {
    1 + (last.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62) % 3
}

#[cfg(test)]
mod tests {
    use super::super::topics::Kind;
    use super::*;

    #[test]
    fn positions_rise_with_gaps_and_are_shared_where_asked() {
        let bus = Bus::new(1_000);
        let topic = Topic::new("/event/A__e", Kind::Platform, None, FIRST_POSITION);
        let positions = bus.append(&topic, vec![NewEvent::default(); 100]);
        assert!(positions.is_sorted_by(|a, b| a < b));
        assert!(
            positions.windows(2).any(|pair| pair[1] - pair[0] > 1),
            "gaps are normal"
        );
        let shared = NewEvent {
            shares_position: true,
            ..NewEvent::default()
        };
        let group = bus.append(&topic, vec![NewEvent::default(), shared.clone(), shared]);
        assert!(group.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(*topic.grown.borrow(), 103);
    }

    #[test]
    fn a_channel_has_its_members_events_at_the_same_positions() {
        let bus = Bus::new(1_000);
        let channel = Arc::new(Topic::new("/event/All__chn", Kind::Channel, None, FIRST_POSITION));
        let topics =
            ["/event/A__e", "/event/B__e"].map(|name| Topic::new(name, Kind::Platform, None, FIRST_POSITION));
        for topic in &topics {
            topic.channels.write().push(channel.clone());
        }
        let first = bus.append(&topics[0], vec![NewEvent::default(); 2]);
        let second = bus.append(&topics[1], vec![NewEvent::default()]);
        assert_eq!(channel.log.read().end(), 3);
        assert_eq!(channel.log.read().after(first[1]), Some(2));
        assert_eq!(
            bus.seen_by(&topics[0], 2),
            second[0],
            "drained: the tip, ahead of its own last event"
        );
        assert_eq!(
            bus.seen_by(&channel, 2),
            second[0] - 1,
            "an event is owed: not past it"
        );
    }

    #[test]
    fn forgetting_puts_every_id_so_far_out_of_retention() {
        let bus = Bus::new(1_000);
        let topic = Topic::new("/event/A__e", Kind::Platform, None, FIRST_POSITION);
        let last = bus.append(&topic, vec![NewEvent::default(); 3])[2];
        assert!(topic.log.read().after(last).is_some());
        bus.forget(&topic);
        assert_eq!(topic.log.read().after(last), None);
        let tip = bus.tip();
        assert!(
            topic.log.read().after(tip).is_some(),
            "what a keep-alive says from now on is good"
        );
    }
}
