//! A topic: what may be done with it, and the log of the events it retains.
//!
//! A log is indexed by a running number that never shrinks: trimming the front keeps the numbers of the rest, so a
//! stream's cursor stays valid. Readers take the lock once a response, not once an event, and are woken by
//! `grown`, which holds the number of the next event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use prost::Message as _;
use tokio::sync::watch;

use crate::proto::ConsumerEvent;
use crate::simulator::counters::TopicCounters;
use crate::simulator::faults::{Ending, StreamMode};

use super::replay_id::Position;
use super::schemas::EventSchema;

/// What a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes of one object.
    Change,
    /// One platform event; may be published to.
    Platform,
    /// Events of several topics, each with its own schema; the topic itself has none.
    Channel,
}

/// An event at its place on the bus; the logs that have it share it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) position: Position,
    pub(crate) event: ConsumerEvent,
    /// This event never shares a response with the one before it.
    pub(crate) starts_response: bool,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) schema: RwLock<Option<Arc<EventSchema>>>,
    pub(crate) can_subscribe: AtomicBool,
    /// Whether the user may see the topic at all.
    pub(crate) permitted: AtomicBool,
    /// The channels that carry this topic's events too.
    pub(crate) channels: RwLock<Vec<Arc<Topic>>>,
    pub(crate) log: RwLock<Log>,
    pub(crate) grown: watch::Sender<u64>,
    pub(crate) mode: watch::Sender<StreamMode>,
    pub(crate) ending: watch::Sender<Ending>,
    pub(crate) counters: TopicCounters,
}

impl Topic {
    pub(crate) fn new(name: &str, kind: Kind, schema: Option<Arc<EventSchema>>, floor: Position) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            schema: RwLock::new(schema),
            can_subscribe: AtomicBool::new(true),
            permitted: AtomicBool::new(true),
            channels: RwLock::default(),
            log: RwLock::new(Log {
                events: VecDeque::new(),
                first: 0,
                floor,
            }),
            grown: watch::Sender::new(0),
            mode: watch::Sender::new(StreamMode::Normal),
            ending: watch::Sender::new(Ending::default()),
            counters: TopicCounters::default(),
        }
    }

    pub(crate) fn may_subscribe(&self) -> bool {
        self.can_subscribe.load(Ordering::Relaxed)
    }

    pub(crate) fn is_permitted(&self) -> bool {
        self.permitted.load(Ordering::Relaxed)
    }
}

/// The retained events, oldest first, in the order of their positions.
#[derive(Debug)]
pub(crate) struct Log {
    events: VecDeque<Arc<Stored>>,
    /// The running number of `events[0]`.
    first: u64,
    /// Replay ids below this are out of retention.
    floor: Position,
}

impl Log {
    /// The running number of the next event to come.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    pub(crate) fn push(&mut self, event: Arc<Stored>, retained_max: usize) {
        self.events.push_back(event);
        while self.events.len() > retained_max {
            self.first += 1;
            self.floor = self.events.pop_front().map_or(self.floor, |gone| gone.position);
        }
    }

    /// Forgets everything before `floor`, as the end of the retention does.
    pub(crate) fn raise_floor(&mut self, floor: Position) {
        self.floor = self.floor.max(floor);
        while self
            .events
            .front()
            .is_some_and(|event| event.position < self.floor)
        {
            self.events.pop_front();
            self.first += 1;
        }
    }

    /// The oldest retained event.
    pub(crate) fn start(&self) -> u64 {
        self.first
    }

    /// The first event after a position; `None` when the position is out of retention.
    pub(crate) fn after(&self, position: Position) -> Option<u64> {
        let index = self.events.partition_point(|event| event.position <= position);
        (position >= self.floor).then_some(self.first + index as u64)
    }

    /// The position just before the event at `cursor`, where that event is already here.
    pub(crate) fn position_before(&self, cursor: u64) -> Option<Position> {
        let index = usize::try_from(cursor.checked_sub(self.first)?).ok()?;
        self.events.get(index).map(|event| event.position - 1)
    }

    /// At most `events_max` events and `bytes_max` bytes from `cursor` on (one at least, however large), and the
    /// cursor behind them.
    pub(crate) fn read(&self, cursor: u64, events_max: usize, bytes_max: usize) -> (Vec<ConsumerEvent>, u64) {
        let cursor = cursor.max(self.first);
        let index = usize::try_from(cursor - self.first).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut taken = Vec::with_capacity(events_max.min(self.events.len().saturating_sub(index)));
        for stored in self.events.range(index.min(self.events.len())..).take(events_max) {
            // The event, its tag and a length of up to four bytes.
            bytes += stored.event.encoded_len() + 5;
            if !taken.is_empty() && (bytes > bytes_max || stored.starts_response) {
                break;
            }
            taken.push(stored.event.clone());
        }
        let cursor = cursor + taken.len() as u64;
        (taken, cursor)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::proto::ProducerEvent;

    fn log(positions: &[Position]) -> Log {
        let mut log = Log {
            events: VecDeque::new(),
            first: 0,
            floor: 10,
        };
        for &position in positions {
            let payload = Bytes::from(vec![0; 100]);
            let event = ProducerEvent {
                payload,
                ..ProducerEvent::default()
            };
            let event = ConsumerEvent {
                event: Some(event),
                replay_id: super::super::replay_id::encode(position),
            };
            let stored = Stored {
                position,
                event,
                starts_response: position % 100 == 0,
            };
            log.push(Arc::new(stored), 1_000);
        }
        log
    }

    #[test]
    fn a_position_starts_behind_every_event_that_shares_it() {
        let log = log(&[11, 13, 13, 13, 17]);
        assert_eq!(log.after(12), Some(1));
        assert_eq!(log.after(13), Some(4));
        assert_eq!(log.after(99), Some(5), "an id ahead of the tip is the tip");
        assert_eq!(log.after(9), None, "before the floor");
    }

    #[test]
    fn a_read_ends_at_the_events_the_bytes_or_a_forced_cut() {
        let log = log(&[11, 13, 100, 101, 102]);
        assert_eq!(log.read(0, 10, usize::MAX).1, 2);
        assert_eq!(log.read(2, 2, usize::MAX).1, 4);
        assert_eq!(log.read(2, 10, 150).1, 3);
        assert_eq!(log.read(2, 10, 1).1, 3, "one event always goes");
        assert_eq!(log.read(5, 10, 1_000), (vec![], 5));
    }

    #[test]
    fn forgetting_the_front_keeps_the_numbers_of_the_rest() {
        let mut log = log(&[11, 13, 17]);
        log.raise_floor(13);
        assert_eq!((log.start(), log.end()), (1, 3));
        assert_eq!(log.after(12), None);
        assert_eq!(
            log.read(0, 10, usize::MAX).1,
            3,
            "a cursor in what is gone goes on with what is left"
        );
        assert_eq!(log.position_before(1), Some(12));
        assert_eq!(log.position_before(3), None);
    }
}
