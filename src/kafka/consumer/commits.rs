//! The thread that commits. rdkafka 0.39 tells nothing of what became of an asynchronous commit, and a synchronous
//! one waits for its answer (librdkafka ends it by itself), which the member's thread must not.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::board::{Key, Member};
use super::context::Change;
use crate::error::Failure;
use crate::kafka::error::thread_failure;

pub(super) type Offsets = Vec<(Key, i64)>;

/// Starts the thread; it ends with the sender. One commit at a time is to be sent: its answer comes as a
/// [`Change::Committed`].
pub(super) fn start(member: Arc<Member>) -> Result<SyncSender<Offsets>, Failure> {
    let (offsets, sent) = sync_channel(1);
    std::thread::Builder::new()
        .name("kafka-commits".to_owned())
        .spawn(move || run(&member, &sent))
        .map_err(|error| thread_failure("the consumer's commits").caused_by(error))?;
    Ok(offsets)
}

fn run(member: &Member, sent: &Receiver<Offsets>) {
    while let Ok(offsets) = sent.recv() {
        let result = commit(member, &offsets);
        member.context().push(Change::Committed(result));
    }
}

fn commit(member: &Member, offsets: &Offsets) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    member.commit(&list, CommitMode::Sync)
}
