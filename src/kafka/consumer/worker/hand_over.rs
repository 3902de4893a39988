//! Partitions that are taken away: their owners finish, the last offsets are stored, then they are given back.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::Run;
use crate::kafka::consumer::HAND_OVER_WITHIN;
use crate::kafka::consumer::board::Key;
use crate::kafka::fences::Membership;

/// How long the last commit of a partition may take before it is handed over without.
const LAST_COMMIT_WITHIN: Duration = Duration::from_secs(5);

/// Partitions on their way to another member.
pub(super) struct HandOver {
    keys: Vec<Key>,
    phase: Phase,
    until: Instant,
    /// Everything goes, and the thread ends.
    pub(super) closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Their owners finish what they have in hand.
    Draining,
    /// The last offsets are on their way.
    Committing,
}

impl Run<'_> {
    pub(super) fn taken(&mut self, mut keys: Vec<Key>, lost: bool, closing: bool) {
        self.shared.with(|state| state.take(&keys));
        for slot in keys.iter().filter_map(|key| self.slot(key)) {
            slot.end();
        }
        let before = self.hand_over.take();
        let closing = closing || before.as_ref().is_some_and(|over| over.closing);
        for key in before.into_iter().flat_map(|over| over.keys) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if lost {
            return self.lose(&keys);
        }
        self.hand_over = Some(HandOver {
            keys,
            phase: Phase::Draining,
            until: Instant::now() + HAND_OVER_WITHIN,
            closing,
        });
    }

    /// The membership ran out: what is committed from here on goes nowhere.
    fn lose(&mut self, keys: &[Key]) {
        self.shared.with(|state| state.membership = Membership::Lost);
        self.give_up(keys);
        self.unassign(keys);
    }

    pub(super) fn give_up(&self, keys: &[Key]) {
        for slot in keys.iter().filter_map(|key| self.slot(key)) {
            slot.give_up();
        }
    }

    /// Whether the thread is to end.
    pub(super) fn hand_over(&mut self) -> bool {
        let Some(mut over) = self.hand_over.take() else {
            return false;
        };
        if self.member.assignment_lost() {
            self.lose(&over.keys);
            return over.closing;
        }
        let late = Instant::now() >= over.until;
        let mut slots = over.keys.iter().filter_map(|key| self.slot(key));
        match over.phase {
            Phase::Draining => {
                if late || slots.all(|slot| slot.is_released()) {
                    if late {
                        tracing::warn!(
                            group = self.group,
                            "a partition is handed over before what was in hand is finished: it is repeated"
                        );
                    }
                    self.give_up(&over.keys);
                    over.phase = Phase::Committing;
                    over.until = Instant::now() + LAST_COMMIT_WITHIN;
                    self.commit_at = Instant::now();
                }
            }
            Phase::Committing => {
                if late || slots.all(|slot| slot.unstored().is_none()) {
                    self.unassign(&over.keys);
                    return over.closing;
                }
            }
        }
        self.hand_over = Some(over);
        false
    }

    /// Gives back what of `keys` was assigned; the group goes on without them.
    pub(super) fn unassign(&mut self, keys: &[Key]) {
        let mut list = TopicPartitionList::with_capacity(keys.len());
        for (topic, partition) in keys {
            let partitions = self.tracked.get_mut(topic);
            if partitions
                .and_then(|partitions| partitions.remove(partition))
                .is_some()
            {
                list.add_partition(topic, *partition);
            }
        }
        self.shared
            .with(|state| keys.iter().for_each(|key| drop(state.slots.remove(key))));
        if let Err(error) = self.member.incremental_unassign(&list) {
            tracing::warn!(%error, group = self.group, "partitions could not be given back");
        }
    }

    /// The membership is over: nothing of it counts any more.
    pub(super) fn abandon(&mut self) {
        let keys = self.keys();
        self.shared.with(|state| state.take(&keys));
        for key in &keys {
            if let Some(slot) = self.slot(key) {
                slot.give_up();
                slot.end();
            }
        }
        self.tracked.clear();
        self.shared.with(|state| state.slots.clear());
    }
}
