//! What is asked beside the member's thread: which topics there are, where a given partition begins, and that the
//! route's note in the positions topic says what has begun.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::ConsumerOptions;
use super::board::{Key, Member, Part, Placed, Shared};
use super::start::{Decision, Held, LostOffsets, Note, decide, standing, start_offset};
use super::stream::Begin;
use super::topics::{Layout, Selection, next_look};
use crate::error::{ErrorKind, Failure};
use crate::kafka::client::{CALL_TIMEOUT, Connection, blocking};
use crate::kafka::error::failure;
use crate::kafka::positions::{PositionStore, store};
use crate::runtime::retry::RetryPolicy;

/// Partitions wait for the answers: asked again soon, however long the brokers are away.
const ASK_AGAIN: RetryPolicy = RetryPolicy {
    first: Duration::from_millis(200),
    cap: Duration::from_secs(5),
};
/// A member that joins anew and a coordinator that moves refuse an answer once or twice, which is no news.
const SILENT_TRIES: u32 = 3;

pub(super) struct Keeper {
    pub(super) connection: Connection,
    pub(super) positions: Arc<PositionStore>,
    pub(super) options: ConsumerOptions,
    pub(super) group: String,
    pub(super) selection: Selection,
    pub(super) shared: Arc<Shared>,
    pub(super) layout: Layout,
}

type Offsets = BTreeMap<Key, Option<i64>>;

impl Keeper {
    /// Never ends; aborted with the consumer.
    pub(super) async fn keep(mut self) {
        let mut look_at = Instant::now();
        let mut delays = ASK_AGAIN.delays();
        loop {
            if Instant::now() >= look_at {
                let is_well = self.look().await;
                look_at = Instant::now() + is_well.map_or(ASK_AGAIN.first, |is_well| next_look(!is_well));
            }
            let again_at = match self.answer().await {
                Ok(()) => {
                    delays.reset();
                    self.shared.recovered(Part::Place, |_| true);
                    look_at
                }
                Err(failure) => {
                    let pause = delays.next(failure.retry_after);
                    if failure.kind != ErrorKind::Transient || delays.tries() > SILENT_TRIES {
                        self.shared.trouble(Part::Place, failure);
                    }
                    look_at.min(Instant::now() + pause)
                }
            };
            tokio::select! {
                () = self.shared.asked() => {}
                () = tokio::time::sleep_until(again_at) => {}
            }
        }
    }

    /// Whether all is as it should be. None: the member's thread has not begun, there is nobody to ask.
    async fn look(&mut self) -> Option<bool> {
        let selection = self.selection.clone();
        let found = match self.member() {
            Some(member) => blocking(move || selection.look(&member)).await,
            None => return None,
        };
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                self.shared.trouble(Part::Topics, failure);
                return Some(false);
            }
        };
        // The brokers answer.
        self.shared
            .recovered(Part::Member, |failure| failure.kind == ErrorKind::Transient);
        self.layout.seen(&found);
        let names = self.layout.names();
        self.shared.with(|state| state.topics = names);
        let servers = &self.connection.config().bootstrap_servers;
        let is_well = match self.selection.missing(&found, servers) {
            Some(missing) => {
                self.shared.trouble(Part::Topics, missing);
                false
            }
            None => {
                self.shared.recovered(Part::Topics, |_| true);
                true
            }
        };
        Some(is_well)
    }

    fn member(&self) -> Option<Arc<Member>> {
        self.shared.with(|state| state.member.clone())
    }

    async fn answer(&self) -> Result<(), Failure> {
        self.check().await?;
        self.place().await?;
        self.note().await
    }

    /// Finds the partitions whose next record is no longer, or not, in the topic.
    async fn check(&self) -> Result<(), Failure> {
        let reading = self.shared.with(|state| {
            std::mem::take(&mut state.check).then(|| {
                let slots = state.slots.iter();
                slots
                    .map(|(key, slot)| (key.clone(), slot.clone()))
                    .collect::<Vec<_>>()
            })
        });
        let (Some(reading), Some(member)) = (reading, self.member()) else {
            return Ok(());
        };
        let checked = blocking(move || {
            let mut out_of_range = Vec::new();
            for (key, slot) in reading {
                let held = held(&member, &key)?;
                if !(held.low..=held.high).contains(&slot.read()) {
                    out_of_range.push(key);
                }
            }
            Ok(out_of_range)
        })
        .await;
        self.shared.with(|state| match checked {
            Ok(keys) => {
                state.out_of_range = keys;
                Ok(())
            }
            Err(failure) => {
                state.check = true;
                Err(failure)
            }
        })
    }

    /// Finds where the given partitions begin.
    async fn place(&self) -> Result<(), Failure> {
        let keys: Vec<Key> = self.shared.with(|state| {
            let is_placed = |key: &&Key| !state.placed.iter().any(|placed| placed.key() == *key);
            state.placing.iter().filter(is_placed).cloned().collect()
        });
        let Some(member) = self.member() else {
            return Ok(());
        };
        if keys.is_empty() {
            return Ok(());
        }
        let note = self.read_note().await?;
        let asked = self.partitions(&keys);
        let group = self.group.clone();
        let wanted = keys.clone();
        let (committed, held) = blocking(move || {
            let committed = committed(&member, &group, &asked)?;
            let held = wanted.iter().map(|key| held(&member, key));
            Ok((committed, held.collect::<Result<Vec<Held>, Failure>>()?))
        })
        .await?;
        let group_has_offsets = committed.values().any(Option::is_some);
        let mut placed = Vec::new();
        for (key, held) in keys.into_iter().zip(held) {
            let stored = committed.get(&key).copied().flatten();
            let standing = standing(stored, note.as_ref(), group_has_offsets, &key.0, key.1);
            let decision = decide(standing, held, self.options.start, self.options.on_lost_position);
            tracing::info!(group = %self.group, topic = %key.0, partition = key.1, ?standing, ?held, ?decision, "a partition is given");
            let lost = |from_offset, to_offset, reason| LostOffsets {
                topic: key.0.clone(),
                partition: key.1,
                from_offset,
                to_offset,
                reason,
            };
            let begin = |offset| Begin {
                offset,
                stored,
                end: held.high,
            };
            placed.push(match decision {
                Decision::Start(offset) => Placed::At {
                    begin: begin(offset),
                    lost: None,
                    key,
                },
                Decision::Lost { from, to, reason } => Placed::At {
                    begin: begin(to),
                    lost: Some(lost(from, to, reason)),
                    key,
                },
                Decision::Halt { from, to, reason } => Placed::Halt {
                    lost: lost(from, to, reason),
                    key,
                },
            });
        }
        self.shared.with(|state| {
            state.placed.append(&mut placed);
            // Offsets that nothing was noted of: the note was lost, or its writing cut off.
            state.note_due |= group_has_offsets && note.is_none();
        });
        Ok(())
    }

    /// Brings the note up to what is committed.
    async fn note(&self) -> Result<(), Failure> {
        let due = self.shared.with(|state| std::mem::take(&mut state.note_due));
        let (true, Some(member)) = (due, self.member()) else {
            return Ok(());
        };
        let noted = self.renew_note(member).await;
        if noted.is_err() {
            self.shared.with(|state| state.note_due = true);
        }
        noted
    }

    async fn renew_note(&self, member: Arc<Member>) -> Result<(), Failure> {
        let old = self.read_note().await?;
        let asked = self.partitions(&[]);
        let group = self.group.clone();
        let (start, is_first) = (self.options.start, old.is_none());
        let (committed, starts) = blocking(move || {
            let committed = committed(&member, &group, &asked)?;
            let mut starts = BTreeMap::new();
            if is_first {
                for (key, _) in committed.iter().filter(|(_, offset)| offset.is_none()) {
                    starts.insert(key.clone(), start_offset(start, held(&member, key)?));
                }
            }
            Ok((committed, starts))
        })
        .await?;
        let start_of = |topic: &str, partition| starts.get(&(Arc::from(topic), partition)).copied();
        let note = Note::renewed(old.as_ref(), &self.group, &committed, start_of);
        if old.as_ref() != Some(&note) {
            let value = serde_json::to_vec(&note).unwrap_or_default();
            let record = self.positions.record(&self.options.route, value);
            store(&self.connection, vec![record]).await?;
        }
        Ok(())
    }

    async fn read_note(&self) -> Result<Option<Note>, Failure> {
        let route = &self.options.route;
        let Some(stored) = self.positions.read(route, &|_| ()).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&stored).map(Some).map_err(|error| {
            Failure::new(
                ErrorKind::Denied,
                format!("route {route}: what is noted about its group in the positions topic cannot be read"),
            )
            .remedy(format!(
                "if a route from Salesforce had this name, give this one another; else write a null value for the \
                 key {route} to that topic, and the group counts as new where it has no offsets"
            ))
            .caused_by(error)
        })
    }

    /// All partitions of the route's topics, and `keys`.
    fn partitions(&self, keys: &[Key]) -> Vec<Key> {
        let all = self
            .layout
            .partitions()
            .map(|(topic, partition)| (Arc::from(topic), partition));
        let mut all: Vec<Key> = all.chain(keys.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Blocking.
fn held(member: &Member, (topic, partition): &Key) -> Result<Held, Failure> {
    member
        .fetch_watermarks(topic, *partition, CALL_TIMEOUT)
        .map(|(low, high)| Held { low, high })
        .map_err(|error| failure(&error, &format!("topic {topic}")))
}

/// Blocking. What the group has committed of each.
fn committed(member: &Member, group: &str, keys: &[Key]) -> Result<Offsets, Failure> {
    let object = format!("group {group}");
    let mut list = TopicPartitionList::with_capacity(keys.len());
    for (topic, partition) in keys {
        list.add_partition(topic, *partition);
    }
    let answer = member
        .committed_offsets(list, CALL_TIMEOUT)
        .map_err(|error| failure(&error, &object))?;
    let mut offsets = Offsets::new();
    for element in answer.elements() {
        element.error().map_err(|error| failure(&error, &object))?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        offsets.insert((Arc::from(element.topic()), element.partition()), offset);
    }
    Ok(offsets)
}
