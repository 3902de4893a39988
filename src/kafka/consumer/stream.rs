//! One partition's records between the member's thread and the caller: a bounded queue, and the offset that the
//! caller has finished.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::PartitionLag;
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
}

impl PartitionStream {
    pub(super) fn new(slot: Arc<Slot>, lost: Option<LostOffsets>) -> Self {
        Self { slot, lost }
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

    /// Records between what is committed and the partition's end; None until the end is known.
    pub fn lag(&self) -> Option<i64> {
        self.slot.lag().lag
    }
}

impl Drop for PartitionStream {
    fn drop(&mut self) {
        self.slot.release();
    }
}
