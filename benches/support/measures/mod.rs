//! One module a measure. Each ends when what it measures is not right: every record is there, once.

pub mod distance;
pub mod latency;
pub mod memory;
pub mod throughput;

use std::collections::HashSet;

use super::org::number_in;
use super::topic::Seen;

/// Puts records in the order of their events. Ends the run unless there is one of each event.
pub fn one_of_each(mut records: Vec<Seen>, events: u64) -> Vec<Seen> {
    let number = |record: &Seen| number_in(record.value.as_deref().unwrap());
    let distinct: HashSet<u64> = records.iter().map(number).collect();
    assert_eq!(
        (records.len() as u64, distinct.len() as u64),
        (events, events),
        "exactly once: records, distinct events"
    );
    records.sort_by_key(number);
    records
}
