//! What the member's thread, the keeper beside it and the caller tell each other. Bounded by the partitions that
//! this member has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::consumer::BaseConsumer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ConsumerEvent;
use super::context::MemberContext;
use super::start::LostOffsets;
use super::stream::{Begin, PartitionStream, Slot};
use crate::error::Failure;
use crate::kafka::fences::Membership;

/// Topic and partition.
pub(super) type Key = (Arc<str>, i32);

pub(super) type Member = BaseConsumer<MemberContext>;

/// Who has trouble: each clears its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The membership of the group and the reading.
    Member,
    /// The look for topics.
    Topics,
    /// Finding out where partitions begin.
    Place,
    Commit,
}

/// Where a given partition begins.
#[derive(Debug)]
pub(super) enum Placed {
    At {
        key: Key,
        begin: Begin,
        lost: Option<LostOffsets>,
    },
    Halt {
        key: Key,
        lost: LostOffsets,
    },
}

impl Placed {
    pub(super) const fn key(&self) -> &Key {
        match self {
            Self::At { key, .. } | Self::Halt { key, .. } => key,
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    /// Topics to subscribe to.
    pub(super) topics: Vec<String>,
    /// Given by the group; where they begin is not known yet.
    pub(super) placing: BTreeSet<Key>,
    pub(super) placed: Vec<Placed>,
    /// A broker refused an offset: which partitions it concerns is to be found out.
    pub(super) check: bool,
    pub(super) out_of_range: Vec<Key>,
    /// A partition's first offset was stored: the route's note is to say so.
    pub(super) note_due: bool,
    pub(super) slots: BTreeMap<Key, Arc<Slot>>,
    pub(super) streams: VecDeque<PartitionStream>,
    pub(super) halts: VecDeque<LostOffsets>,
    pub(super) membership: Membership,
    trouble: BTreeMap<Part, Arc<Failure>>,
    /// The trouble that the caller was told of last.
    told: Option<Arc<Failure>>,
    pub(super) member: Option<Arc<Member>>,
}

#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something for the caller.
    news: Notify,
    /// Something for the keeper.
    asked: Notify,
    pub(super) stop: CancellationToken,
    /// The thread has ended.
    pub(super) ended: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
    }

    pub(super) fn tell_caller(&self) {
        self.news.notify_one();
    }

    pub(super) fn ask_keeper(&self) {
        self.asked.notify_one();
    }

    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(super) fn trouble(&self, part: Part, failure: Failure) {
        let new = self.with(|state| {
            let old = state.trouble.get(&part);
            if old.is_some_and(|old| old.kind == failure.kind && old.message == failure.message) {
                return false;
            }
            tracing::warn!(why = %crate::error::chain(&failure), remedy = failure.remedy, "consuming has trouble");
            state.trouble.insert(part, Arc::new(failure));
            true
        });
        if new {
            self.tell_caller();
        }
    }

    /// Takes back the trouble of a part, where it is one that `over` speaks of.
    pub(super) fn recovered(&self, part: Part, over: impl FnOnce(&Failure) -> bool) {
        let cleared = self.with(|state| match state.trouble.get(&part) {
            Some(failure) if over(failure) => state.trouble.remove(&part).is_some(),
            _ => false,
        });
        if cleared {
            self.tell_caller();
        }
    }

    /// Cancel-safe: what is not taken stays.
    pub(super) async fn next_event(&self) -> ConsumerEvent {
        loop {
            let news = self.news.notified();
            if let Some(event) = self.with(State::next_event) {
                return event;
            }
            news.await;
        }
    }
}

impl State {
    fn next_event(&mut self) -> Option<ConsumerEvent> {
        if let Some(lost) = self.halts.pop_front() {
            return Some(ConsumerEvent::Halt(lost));
        }
        if let Some(stream) = self.streams.pop_front() {
            return Some(ConsumerEvent::Assigned(stream));
        }
        let now = self.trouble.values().next().cloned();
        match (now, self.told.take()) {
            (None, None) => None,
            (None, Some(_)) => Some(ConsumerEvent::Recovered),
            (Some(now), told) => {
                self.told = Some(now.clone());
                let is_new = told.is_none_or(|told| !Arc::ptr_eq(&told, &now));
                is_new.then_some(ConsumerEvent::Trouble(now))
            }
        }
    }

    /// The group takes partitions away: what was not handed to the caller yet never is.
    pub(super) fn take(&mut self, keys: &[Key]) {
        let taken = |topic: &str, partition: i32| {
            keys.iter()
                .any(|(of, number)| &**of == topic && *number == partition)
        };
        self.placing
            .retain(|(topic, partition)| !taken(topic, *partition));
        self.placed
            .retain(|placed| !taken(&placed.key().0, placed.key().1));
        self.halts.retain(|lost| !taken(&lost.topic, lost.partition));
        self.streams
            .retain(|stream| !taken(stream.topic(), stream.partition()));
    }
}
