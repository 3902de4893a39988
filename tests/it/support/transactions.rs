//! What the broker's coordinator keeps about transactions: its topic `__transaction_state`, read from outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

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

/// Denies everybody a transactional id, at a broker that has an authorizer. It takes the broker a moment.
///
/// The request is `CreateAcls`, version 1, as in `CreateAclsRequest.json` of Apache Kafka 4.3; our client library has none.
pub fn deny(bootstrap: &str, transactional_id: &str) {
    const CREATE_ACLS: i16 = 30;
    const TRANSACTIONAL_ID: u8 = 5;
    const LITERAL: u8 = 3;
    const WRITE: u8 = 4;
    const DENY: u8 = 2;
    let mut request = Vec::new();
    for number in [CREATE_ACLS, 1] {
        request.extend(number.to_be_bytes());
    }
    request.extend(7_i32.to_be_bytes());
    text(&mut request, "sfbridge-tests");
    request.extend(1_i32.to_be_bytes());
    request.push(TRANSACTIONAL_ID);
    text(&mut request, transactional_id);
    request.push(LITERAL);
    text(&mut request, "User:ANONYMOUS");
    text(&mut request, "*");
    request.extend([WRITE, DENY]);

    let mut broker = TcpStream::connect(bootstrap).unwrap();
    let length = i32::try_from(request.len()).unwrap();
    broker.write_all(&length.to_be_bytes()).unwrap();
    broker.write_all(&request).unwrap();
    let mut length = [0; 4];
    broker.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    broker.read_exact(&mut answer).unwrap();
    // Its number, the throttle's time, the count of results, and the first one's error.
    assert_eq!(answer[12..14], [0, 0], "{answer:?}");
}

fn text(request: &mut Vec<u8>, text: &str) {
    request.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    request.extend(text.as_bytes());
}
