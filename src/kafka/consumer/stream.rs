//! One partition's records between the member's thread and the caller: a bounded queue, and the offset that the
//! caller has finished.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::PartitionLag;
use super::board::Key;
use super::start::LostOffsets;

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch, as its producer or the broker noted it.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    /// None: a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl ConsumedRecord {
    /// What the record takes of memory, but for framing.
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len))
            .sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }
}

/// The records of one partition for as long as this member has it. Dropping it says that nothing of it is in hand
/// any more; a partition whose stream is dropped while it is still ours stands still.
#[derive(Debug)]
pub struct PartitionStream {
    slot: Arc<Slot>,
    lost: Option<LostOffsets>,
    inherited: Option<i64>,
}

impl PartitionStream {
    pub(super) fn new(slot: Arc<Slot>, lost: Option<LostOffsets>) -> Self {
        let inherited = slot.inner.lock().stored;
        Self {
            slot,
            lost,
            inherited,
        }
    }

    pub fn topic(&self) -> &Arc<str> {
        &self.slot.topic
    }

    pub fn partition(&self) -> i32 {
        self.slot.partition
    }

    /// What was lost before the first record of this stream. It is told again, whoever has the partition, until
    /// something is committed: write the gap report, then commit [`LostOffsets::to_offset`].
    pub fn lost(&self) -> Option<&LostOffsets> {
        self.lost.as_ref()
    }

    /// The offset from which an earlier owner may have records in hand still: the group had begun with the partition.
    pub fn inherited(&self) -> Option<i64> {
        self.inherited
    }

    /// The next record. Cancel-safe. None: the partition is taken away (or the consumer closed) and nothing more
    /// comes. Finish or give up what is in hand, commit, and drop the stream.
    pub async fn next(&mut self) -> Option<ConsumedRecord> {
        loop {
            let ready = self.slot.ready.notified();
            if self.slot.ended.is_cancelled() {
                return None;
            }
            if let Some(record) = self.slot.take() {
                return Some(record);
            }
            if self.slot.is_sealed() {
                return None;
            }
            tokio::select! {
                () = ready => {}
                () = self.slot.ended.cancelled() => return None,
            }
        }
    }

    /// The next record if one waits already.
    pub fn try_next(&mut self) -> Option<ConsumedRecord> {
        if self.slot.ended.is_cancelled() {
            return None;
        }
        self.slot.take()
    }

    /// How many records wait to be taken.
    pub fn waiting(&self) -> usize {
        self.slot.waiting()
    }

    /// Resolves when the partition is being taken away.
    pub async fn revoked(&self) {
        self.slot.ended.cancelled().await;
    }

    pub fn is_revoked(&self) -> bool {
        self.slot.ended.is_cancelled()
    }

    /// Everything before `next_offset` is finished. It is sent to Kafka within half a second, and again until it is
    /// taken; trouble with it is a [`ConsumerEvent::Trouble`](super::ConsumerEvent). Goes nowhere once the
    /// partition was given up. An offset before the last one changes nothing.
    pub fn commit(&self, next_offset: i64) {
        self.slot.finish(next_offset);
    }

    /// Records between what is committed and the partition's end, as last heard of it.
    pub fn lag(&self) -> i64 {
        self.slot.lag().lag
    }
}

impl Drop for PartitionStream {
    fn drop(&mut self) {
        self.slot.release();
    }
}

/// The stream as the member's thread sees it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    capacity: Capacity,
    inner: Mutex<Inner>,
    /// Something changed for whoever waits for a record.
    ready: Notify,
    /// The partition is taken away.
    ended: CancellationToken,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    pub(super) offset: i64,
    /// What the group has committed.
    pub(super) stored: Option<i64>,
    /// The partition's end.
    pub(super) end: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Inner {
    queue: VecDeque<ConsumedRecord>,
    queued_bytes: usize,
    /// The offset after the last one queued.
    read: i64,
    /// What the caller has finished.
    finished: i64,
    /// Where this stream began may be committed: nothing was lost before, or the caller knows.
    acknowledged: bool,
    /// What Kafka has taken of that; None: nothing is stored of this partition, or not where it begins.
    stored: Option<i64>,
    end: i64,
    /// Nothing more comes after what is queued.
    sealed: bool,
    /// The stream was dropped.
    released: bool,
    /// Commits go nowhere any more.
    given_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Left,
    Full,
}

impl Slot {
    /// Where a partition begins is stored at once, but for one that begins after a loss (`is_lost`): that is the
    /// caller's to acknowledge.
    pub(super) fn new((topic, partition): Key, capacity: Capacity, begin: Begin, is_lost: bool) -> Self {
        Self {
            topic,
            partition,
            capacity,
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                queued_bytes: 0,
                read: begin.offset,
                finished: begin.offset,
                acknowledged: !is_lost,
                stored: begin.stored,
                end: begin.end,
                sealed: false,
                released: false,
                given_up: false,
            }),
            ready: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// A record that was read. One that came before is left out: fetching anew may repeat it.
    pub(super) fn push(&self, record: ConsumedRecord) -> Room {
        let mut inner = self.inner.lock();
        if record.offset < inner.read {
            return Room::Left;
        }
        inner.read = record.offset + 1;
        if inner.released || inner.sealed || self.ended.is_cancelled() {
            return Room::Full;
        }
        inner.queued_bytes += record.bytes();
        inner.queue.push_back(record);
        let full = inner.queue.len() >= self.capacity.records || inner.queued_bytes >= self.capacity.bytes;
        drop(inner);
        self.ready.notify_one();
        if full { Room::Full } else { Room::Left }
    }

    fn take(&self) -> Option<ConsumedRecord> {
        let mut inner = self.inner.lock();
        let record = inner.queue.pop_front()?;
        inner.queued_bytes -= record.bytes();
        Some(record)
    }

    fn waiting(&self) -> usize {
        self.inner.lock().queue.len()
    }

    /// Whether a paused partition is worth reading on: half of the queue is empty, so that it is not paused again
    /// at once (a pause throws away what was fetched ahead).
    pub(super) fn wants_more(&self) -> bool {
        let inner = self.inner.lock();
        !inner.released
            && !inner.sealed
            && inner.queue.len() <= self.capacity.records / 2
            && inner.queued_bytes <= self.capacity.bytes / 2
    }

    /// Takes the partition away from the caller.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.queue.clear();
        inner.queued_bytes = 0;
        drop(inner);
        self.ended.cancel();
    }

    /// The stream ends after what is queued.
    pub(super) fn seal(&self) {
        self.inner.lock().sealed = true;
        self.ready.notify_one();
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.inner.lock().sealed
    }

    /// From here on commits go nowhere.
    pub(super) fn give_up(&self) {
        self.inner.lock().given_up = true;
    }

    fn release(&self) {
        let mut inner = self.inner.lock();
        inner.released = true;
        inner.queue.clear();
        inner.queued_bytes = 0;
    }

    pub(super) fn is_released(&self) -> bool {
        self.inner.lock().released
    }

    fn finish(&self, next_offset: i64) {
        let mut inner = self.inner.lock();
        if !inner.given_up {
            // What was never read cannot be finished.
            inner.finished = inner.finished.max(next_offset.min(inner.read));
            inner.acknowledged = true;
        }
    }

    /// What is to be committed, if Kafka does not have it yet.
    pub(super) fn unstored(&self) -> Option<i64> {
        let inner = self.inner.lock();
        (inner.acknowledged && inner.stored != Some(inner.finished)).then_some(inner.finished)
    }

    /// Kafka has taken a commit. Whether it is the partition's first one.
    pub(super) fn stored(&self, offset: i64) -> bool {
        self.inner.lock().stored.replace(offset).is_none()
    }

    /// The offset after the last one read.
    pub(super) fn read(&self) -> i64 {
        self.inner.lock().read
    }

    pub(super) fn ends_at(&self, end: i64) {
        self.inner.lock().end = end;
    }

    pub(super) fn lag(&self) -> PartitionLag {
        let inner = self.inner.lock();
        PartitionLag {
            topic: self.topic.clone(),
            partition: self.partition,
            next_offset: inner.finished,
            lag: (inner.end - inner.finished).max(0),
        }
    }
}
