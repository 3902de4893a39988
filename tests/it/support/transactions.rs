//! What the broker's coordinator keeps about transactions: its topic `__transaction_state`, read from outside.

use super::topic::{Isolation, partition_count, read_partition};

const TOPIC: &str = "__transaction_state";
/// Place of the status in a value: after its version (2), the producer's id (8) and epoch (2), and the time-out (4).
/// Source: `TransactionLogValue.json` of Apache Kafka 4.3.
const STATUS_AT: usize = 16;

/// A transaction's status, of those that are told apart here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ongoing,
    /// Committed for certain; markers may be missing.
    Decided,
    Committed,
    Other,
}

/// Every status that the transactions of an id have had, oldest first.
pub async fn history(bootstrap: &str, transactional_id: &str) -> Vec<Status> {
    let Some(partitions) = partition_count(bootstrap, TOPIC).await else {
        return Vec::new();
    };
    let partition = i32::try_from(java_hash(transactional_id).unsigned_abs()).unwrap_or(0) % partitions;
    let all = read_partition(bootstrap, TOPIC, partition, Isolation::ReadUncommitted).await;
    all.iter()
        // A key is its version and the id with its length.
        .filter(|record| {
            record
                .key
                .as_ref()
                .is_some_and(|key| key[4..] == *transactional_id.as_bytes())
        })
        .filter_map(|record| record.value.as_ref())
        .map(|value| match value[STATUS_AT] {
            1 => Status::Ongoing,
            2 => Status::Decided,
            4 => Status::Committed,
            _ => Status::Other,
        })
        .collect()
}

/// How many transactions of an id are committed.
pub async fn commits(bootstrap: &str, transactional_id: &str) -> usize {
    let history = history(bootstrap, transactional_id).await;
    history
        .iter()
        .filter(|status| **status == Status::Decided)
        .count()
}

/// `String.hashCode` of Java, for text of one byte a character: the coordinator's partition follows from it.
fn java_hash(text: &str) -> i32 {
    text.bytes().fold(0, |hash: i32, byte| {
        hash.wrapping_mul(31).wrapping_add(i32::from(byte))
    })
}
