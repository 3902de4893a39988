//! A subscription to one Salesforce topic, as a route sees it.
//!
//! In: a topic, a place to start, room in events and bytes. Out: what Salesforce sends, in its order, until the
//! place is lost or access is denied; everything else is waited out and shown as a [`StreamStatus`]. After a
//! break the events of the last replay id may come again, and nothing else does; the route skips them.
//!
//! The room is a route's own as long as no other is busy; those that are share what the process has (`room`).
//!
//! Whatever came counts against the room until the route calls [`Subscription::release`]: that, and never a
//! stream left unread, is how back-pressure reaches Salesforce.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use crate::error::{Failure, FailureView};
use crate::runtime::retry::Tried;
use crate::runtime::task::{self, Task};
use crate::telemetry::metrics::Metrics;

use super::anchor::Start;
use super::client::PubSubClient;
use super::reader::Reader;

/// Keep-alives that may wait for the route; more are not needed, for each says what the one before it said.
pub(super) const KEEP_ALIVES_MAX: usize = 16;

#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    /// As configured: `/data/…` or `/event/…`.
    pub topic: String,
    pub start: Start,
    /// Events that may be asked for and in hand together, while no other stream is busy; at least 200 keep a fast
    /// stream busy (100 on their way, 100 in work).
    pub capacity_events: u32,
    pub capacity_bytes: u64,
    /// The route's name, for metrics and logs.
    pub route: Arc<str>,
}

/// What comes out of a stream, in its order.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    Events(Vec<ReceivedEvent>),
    /// The stream is complete up to here.
    KeepAlive {
        replay_id: Bytes,
    },
}

/// An event as it came: `payload` is a bare Avro datum, written with the schema `schema_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEvent {
    pub replay_id: Bytes,
    pub event_id: String,
    pub schema_id: String,
    pub payload: Bytes,
}

impl ReceivedEvent {
    /// What it counts against the room; [`Subscription::release`] takes the sum back.
    pub fn size_bytes(&self) -> u64 {
        let parts = [
            self.replay_id.len(),
            self.event_id.len(),
            self.schema_id.len(),
            self.payload.len(),
        ];
        parts.iter().map(|part| *part as u64).sum()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamStatus {
    /// Opening; so many tries failed since the last answer.
    Connecting {
        tries: u32,
    },
    Open {
        since_ms: i64,
    },
    /// After a failure that passes, before the next try.
    Waiting {
        failure: FailureView,
        tried: Tried,
        until_ms: i64,
    },
    /// Ended by Salesforce while there was no room; opened again when the route releases some.
    Withheld,
}

/// What route and reader both touch.
#[derive(Debug)]
pub(super) struct Shared {
    released_events: AtomicU64,
    released_bytes: AtomicU64,
    pub(super) wake: Notify,
    withheld: AtomicBool,
    last_answer_ms: AtomicI64,
    pub(super) status: watch::Sender<StreamStatus>,
}

impl Shared {
    fn new() -> Self {
        Self {
            released_events: AtomicU64::new(0),
            released_bytes: AtomicU64::new(0),
            wake: Notify::new(),
            withheld: AtomicBool::new(false),
            last_answer_ms: AtomicI64::new(0),
            status: watch::Sender::new(StreamStatus::Connecting { tries: 0 }),
        }
    }

    fn release(&self, events: u64, bytes: u64) {
        self.released_events.fetch_add(events, Ordering::Relaxed);
        self.released_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Takes what was released since the last call.
    pub(super) fn take_released(&self) -> (u64, u64) {
        let events = self.released_events.swap(0, Ordering::Relaxed);
        (events, self.released_bytes.swap(0, Ordering::Relaxed))
    }

    pub(super) fn withhold(&self, withheld: bool) {
        self.withheld.store(withheld, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, now_ms: i64) {
        self.last_answer_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// An open subscription. Dropping it ends the stream.
#[derive(Debug)]
pub struct Subscription {
    items: mpsc::Receiver<Result<Item, Failure>>,
    shared: Arc<Shared>,
    _reader: Task<()>,
}

impl Subscription {
    pub fn open(client: PubSubClient, options: SubscribeOptions, metrics: Metrics) -> Self {
        // One message a response, and a response has at least one event that was asked for: the credits bound
        // the messages. Beside them stand the keep-alives and the last word.
        let room = options.capacity_events.max(1) as usize + KEEP_ALIVES_MAX + 1;
        let (sender, items) = mpsc::channel(room);
        let shared = Arc::new(Shared::new());
        let reader = Reader::new(client, options, metrics, Arc::clone(&shared), sender);
        Self {
            items,
            shared,
            _reader: task::spawn("subscription", reader.run()),
        }
    }

    /// What came next. After an `Err` (lost position, denied, unknown) the subscription is over: `None`.
    pub async fn next(&mut self) -> Option<Result<Item, Failure>> {
        self.items.recv().await
    }

    /// What is here already, without waiting.
    pub fn try_next(&mut self) -> Option<Result<Item, Failure>> {
        self.items.try_recv().ok()
    }

    /// The route is done with events of so many bytes ([`ReceivedEvent::size_bytes`]): room for others.
    pub fn release(&self, events: u64, bytes: u64) {
        self.shared.release(events, bytes);
    }

    /// Nothing more comes before the route releases some of what it has. It is true by the time the event that
    /// fills the room is here, and may still be true for a moment after a release.
    pub fn is_withheld(&self) -> bool {
        self.shared.withheld.load(Ordering::Relaxed)
    }

    pub fn status(&self) -> watch::Receiver<StreamStatus> {
        self.shared.status.subscribe()
    }

    /// When Salesforce last said anything, in epoch milliseconds.
    pub fn last_answer_ms(&self) -> Option<i64> {
        Some(self.shared.last_answer_ms.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}
