//! The member's thread: polls, hands records to their streams, and follows the group. It never waits for anything
//! but the next record.

mod hand_over;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use self::hand_over::HandOver;
use super::board::{Key, Member, Part, Placed, Shared};
use super::commits;
use super::context::Change;
use super::record::record_of;
use super::stream::{Capacity, PartitionStream, Room, Slot};
use crate::error::{ErrorKind, Failure};
use crate::kafka::error::failure;
use crate::kafka::fences::{End, Fences, Membership, REJOIN_PAUSE};

/// How long a poll waits for a record when nothing else is to be done.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// The same while something else is awaited: room in a stream, a hand-over, an answer.
const BUSY_POLL: Duration = Duration::from_millis(5);
/// Between two looks at what else there is to do, while records flow.
const ATTEND_EVERY: Duration = Duration::from_millis(5);
/// Between two commits: often enough that a crash repeats half a second of work, seldom for the coordinator.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// After a commit that was refused.
const COMMIT_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) type Join = Box<dyn Fn() -> Result<Member, Failure> + Send>;

/// Stays in the group until told to stop.
pub(super) fn keep(member: Member, join: &Join, group: &str, capacity: Capacity, shared: &Arc<Shared>) {
    let mut member = Arc::new(member);
    let mut fences = Fences::default();
    loop {
        shared.with(|state| state.member = Some(member.clone()));
        let end = match commits::start(member.clone()) {
            Ok(commits) => Run::new(&member, group, capacity, shared, commits, &mut fences).run(),
            Err(failure) => {
                shared.trouble(Part::Member, failure);
                End::Refused
            }
        };
        shared.with(|state| {
            state.member = None;
            state.membership = Membership::Lost;
            state.placing.clear();
            state.placed.clear();
        });
        member.context().close();
        drop(member);
        if end == End::Refused
            || (end == End::Overtaken && !sleep(REJOIN_PAUSE, shared))
            || end == End::Stopped
        {
            break;
        }
        tracing::info!(group, "joining the group anew");
        member = match join() {
            Ok(member) => Arc::new(member),
            Err(failure) => {
                shared.trouble(Part::Member, failure);
                break;
            }
        };
    }
    shared.ended.cancel();
}

/// Whether the whole time passed without a stop.
fn sleep(time: Duration, shared: &Shared) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until && !shared.stop.is_cancelled() {
        std::thread::sleep(IDLE_POLL);
    }
    !shared.stop.is_cancelled()
}

struct Tracked {
    slot: Arc<Slot>,
    paused: bool,
}

struct Run<'a> {
    member: &'a Arc<Member>,
    group: &'a str,
    capacity: Capacity,
    shared: &'a Arc<Shared>,
    tracked: BTreeMap<Arc<str>, BTreeMap<i32, Tracked>>,
    subscribed: Vec<String>,
    hand_over: Option<HandOver>,
    commits: SyncSender<commits::Offsets>,
    fences: &'a mut Fences,
    /// The commit under way.
    commit: Option<Vec<(Arc<Slot>, i64)>>,
    /// When the next commit may be sent.
    commit_at: Instant,
    /// Reading was in trouble.
    troubled: bool,
    /// Something is awaited that no poll brings.
    busy: bool,
}

impl<'a> Run<'a> {
    fn new(
        member: &'a Arc<Member>,
        group: &'a str,
        capacity: Capacity,
        shared: &'a Arc<Shared>,
        commits: SyncSender<commits::Offsets>,
        fences: &'a mut Fences,
    ) -> Self {
        Self {
            member,
            group,
            capacity,
            shared,
            tracked: BTreeMap::new(),
            subscribed: Vec::new(),
            hand_over: None,
            commits,
            fences,
            commit: None,
            commit_at: Instant::now(),
            troubled: false,
            busy: true,
        }
    }

    fn run(&mut self) -> End {
        let mut attended = Instant::now();
        loop {
            let wait = if self.busy { BUSY_POLL } else { IDLE_POLL };
            let quiet = match self.member.poll(wait) {
                Some(Ok(message)) => {
                    self.deliver(&message);
                    false
                }
                Some(Err(error)) => match self.note_error(&error) {
                    Some(end) => {
                        self.abandon();
                        return end;
                    }
                    None => true,
                },
                None => true,
            };
            if quiet || attended.elapsed() >= ATTEND_EVERY {
                if self.attend() {
                    return End::Stopped;
                }
                attended = Instant::now();
            }
        }
    }

    fn deliver(&mut self, message: &BorrowedMessage<'_>) {
        if std::mem::take(&mut self.troubled) {
            self.shared.recovered(Part::Member, |_| true);
        }
        let partitions = self.tracked.get_mut(message.topic());
        let Some(tracked) = partitions.and_then(|partitions| partitions.get_mut(&message.partition())) else {
            return;
        };
        let room = tracked.slot.push(record_of(&tracked.slot.topic, message));
        if room == Room::Full && !tracked.paused {
            tracked.paused = pause(self.member, &tracked.slot, true);
            self.busy = true;
        }
    }

    /// Ends the run on a fatal error.
    fn note_error(&mut self, error: &KafkaError) -> Option<End> {
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        // The code that a fatal error hides behind `Fatal`.
        let error = match self.member.client().fatal_error() {
            Some((code, _)) => &KafkaError::MessageConsumption(code),
            None => error,
        };
        let said = failure(error, &format!("group {}", self.group));
        let code = error.rdkafka_error_code();
        if is_fatal {
            let membership = self.shared.with(|state| state.membership);
            if code == Some(Code::FencedInstanceId) && self.fences.joins_anew(membership, Instant::now()) {
                tracing::warn!(why = %crate::error::chain(&said), "the group took up a late request of this process, as it seems");
                return Some(End::Overtaken);
            }
            self.shared.trouble(Part::Member, said);
            return Some(End::Refused);
        }
        if said.kind == ErrorKind::Transient {
            self.shared.with(|state| state.membership.troubled());
        }
        match code {
            _ if said.kind == ErrorKind::LostPosition => {
                self.shared.with(|state| state.check = true);
                self.shared.ask_keeper();
            }
            // The keeper's look says which one.
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
                self.shared.ask_keeper();
            }
            // One broker that hangs up is no news, all of them are.
            Some(
                Code::AllBrokersDown | Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL,
            ) => {
                self.troubled = true;
                self.shared.trouble(Part::Member, said);
            }
            _ if matches!(said.kind, ErrorKind::Transient | ErrorKind::Throttled) => {
                tracing::debug!(%error, group = self.group, "reading has a difficulty");
            }
            _ => {
                self.troubled = true;
                self.shared.trouble(Part::Member, said);
            }
        }
        None
    }

    /// Everything but reading. Whether the thread is to end.
    fn attend(&mut self) -> bool {
        for change in self.member.context().changes() {
            match change {
                Change::Given(keys) => self.given(keys),
                Change::Taken { keys, lost } => self.taken(keys, lost, false),
                Change::Committed(result) => self.committed(result),
            }
        }
        if self.shared.stop.is_cancelled() && !self.hand_over.as_ref().is_some_and(|over| over.closing) {
            let all = self.keys();
            self.taken(all, false, true);
        }
        if self.hand_over.is_some() {
            if self.hand_over() {
                return true;
            }
        } else {
            self.subscribe();
            self.begin_placed();
            self.begin_anew();
        }
        self.adjust_flow();
        self.commit_due();
        let waits = self
            .shared
            .with(|state| !state.placing.is_empty() || !state.placed.is_empty());
        self.busy = waits
            || self.hand_over.is_some()
            || self.commit.is_some()
            || self
                .slots()
                .any(|tracked| tracked.paused || tracked.slot.is_sealed());
        false
    }

    fn slots(&self) -> impl Iterator<Item = &Tracked> {
        self.tracked.values().flat_map(BTreeMap::values)
    }

    fn keys(&self) -> Vec<Key> {
        self.slots()
            .map(|tracked| (tracked.slot.topic.clone(), tracked.slot.partition))
            .collect()
    }

    fn slot(&self, (topic, partition): &Key) -> Option<&Arc<Slot>> {
        Some(&self.tracked.get(topic)?.get(partition)?.slot)
    }

    fn subscribe(&mut self) {
        let topics = self.shared.with(|state| state.topics.clone());
        if topics.is_empty() || topics == self.subscribed {
            return;
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        match self.member.subscribe(&names) {
            Ok(()) => self.subscribed = topics,
            Err(error) => self.trouble(&error),
        }
    }

    fn trouble(&mut self, error: &KafkaError) {
        self.troubled = true;
        let said = failure(error, &format!("group {}", self.group));
        self.shared.trouble(Part::Member, said);
    }

    fn given(&mut self, keys: Vec<Key>) {
        self.troubled = false;
        self.shared.recovered(Part::Member, |_| true);
        self.shared.with(|state| {
            state.membership.decided(Instant::now());
            state.placing.extend(keys);
        });
        self.shared.ask_keeper();
    }

    /// Begins the partitions whose place is known.
    fn begin_placed(&mut self) {
        let placed = self.shared.with(|state| {
            let placed = std::mem::take(&mut state.placed);
            // Meanwhile the group may have taken some.
            let mut wanted = Vec::new();
            for placed in placed {
                if state.placing.remove(placed.key()) {
                    wanted.push(placed);
                }
            }
            wanted
        });
        for placed in placed {
            match placed {
                Placed::At { key, begin, lost } => {
                    let is_lost = lost.is_some();
                    let slot = Arc::new(Slot::new(key.clone(), self.capacity, begin, is_lost));
                    if let Err(error) = assign(self.member, &slot, begin.offset) {
                        self.trouble(&error);
                        self.shared.with(|state| state.placing.insert(key));
                        continue;
                    }
                    let stream = PartitionStream::new(slot.clone(), lost);
                    self.track(key, slot, stream);
                }
                Placed::Halt { lost, .. } => self.shared.with(|state| state.halts.push_back(lost)),
            }
        }
        self.shared.tell_caller();
    }

    fn track(&mut self, key: Key, slot: Arc<Slot>, stream: PartitionStream) {
        let tracked = Tracked {
            slot: slot.clone(),
            paused: false,
        };
        self.tracked
            .entry(key.0.clone())
            .or_default()
            .insert(key.1, tracked);
        self.shared.with(|state| {
            state.slots.insert(key, slot);
            state.streams.push_back(stream);
        });
        // Where it begins is stored at once.
        self.commit_at = Instant::now();
    }

    /// Seals the streams whose next record the topic no longer holds, and looks for a new beginning once the caller
    /// has finished what came before.
    fn begin_anew(&mut self) {
        for key in self.shared.with(|state| std::mem::take(&mut state.out_of_range)) {
            if let Some(slot) = self.slot(&key) {
                slot.seal();
            }
        }
        let finished = |slot: &Arc<Slot>| slot.is_sealed() && slot.is_released() && slot.unstored().is_none();
        let finished: Vec<Key> = self
            .slots()
            .filter(|tracked| finished(&tracked.slot))
            .map(|tracked| (tracked.slot.topic.clone(), tracked.slot.partition))
            .collect();
        if !finished.is_empty() {
            self.give_up(&finished);
            self.unassign(&finished);
            self.shared.with(|state| state.placing.extend(finished));
            self.shared.ask_keeper();
        }
    }

    /// Pauses what nobody reads any more, resumes what has room again.
    fn adjust_flow(&mut self) {
        for tracked in self.tracked.values_mut().flat_map(BTreeMap::values_mut) {
            if !tracked.paused && tracked.slot.is_released() {
                tracked.paused = pause(self.member, &tracked.slot, true);
            } else if tracked.paused && tracked.slot.wants_more() {
                tracked.paused = !pause(self.member, &tracked.slot, false);
            }
        }
    }

    fn commit_due(&mut self) {
        let now = Instant::now();
        if self.commit.is_some() || now < self.commit_at {
            return;
        }
        let due = |tracked: &Tracked| Some((tracked.slot.clone(), tracked.slot.unstored()?));
        let due: Vec<(Arc<Slot>, i64)> = self.slots().filter_map(due).collect();
        if due.is_empty() {
            return;
        }
        self.commit_at = now + COMMIT_EVERY;
        let offsets = due
            .iter()
            .map(|(slot, offset)| ((slot.topic.clone(), slot.partition), *offset));
        // Never waits: none is under way. The thread is there as long as this one.
        if self.commits.send(offsets.collect()).is_ok() {
            self.commit = Some(due);
        }
    }

    fn committed(&mut self, result: KafkaResult<()>) {
        let Some(commit) = self.commit.take() else {
            return;
        };
        if let Err(error) = result {
            return self.commit_refused(&error);
        }
        self.shared.recovered(Part::Commit, |_| true);
        let mut begun = false;
        for (slot, offset) in commit {
            begun |= slot.stored(offset);
        }
        if begun {
            self.shared.with(|state| state.note_due = true);
            self.shared.ask_keeper();
        }
    }

    fn commit_refused(&mut self, error: &KafkaError) {
        self.commit_at = Instant::now() + COMMIT_AGAIN_AFTER;
        let said = failure(error, &format!("group {}", self.group));
        if said.kind == ErrorKind::Transient {
            // A rebalance, a coordinator that moves; brokers that are away are told of by the keeper.
            tracing::debug!(%error, group = self.group, "a commit is sent again");
        } else {
            self.shared.trouble(Part::Commit, said);
        }
    }
}

fn assign(member: &Member, slot: &Slot, offset: i64) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&slot.topic, slot.partition, Offset::Offset(offset))?;
    member.incremental_assign(&list)?;
    // A partition that was paused when it was given back stays paused (tried).
    member.resume(&list)
}

/// Pauses or resumes a partition; whether that was done.
fn pause(member: &Member, slot: &Slot, on: bool) -> bool {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&slot.topic, slot.partition);
    let done = if on {
        member.pause(&list)
    } else {
        member.resume(&list)
    };
    done.inspect_err(|error| tracing::debug!(%error, topic = &*slot.topic, on, "a pause was not taken"))
        .is_ok()
}
