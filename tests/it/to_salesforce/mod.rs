//! Kafka → Salesforce, end to end: the real program between a real broker and the simulator.

mod publish;
mod two_way;
mod write;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sfbridge::simulator::Simulator;

use crate::support::bridge::PATIENCE;
use crate::support::topic::{Isolation, Seen, partition_count, read_all};
use crate::support::wait::until;

/// The records of an object by the value of a field, without those that have none.
fn by_key(org: &Simulator, sobject: &str, key: &str) -> BTreeMap<String, Map<String, Value>> {
    let records = org.records(sobject).into_iter();
    let keyed = records.filter_map(|(_, fields)| {
        let value = fields.get(key)?.as_str()?.to_owned();
        Some((value, fields))
    });
    keyed.collect()
}

/// What a reader sees of a topic once there are `count` records; it may be more.
async fn records(kafka: &str, topic: &str, count: usize) -> Vec<Seen> {
    until(PATIENCE, &format!("{count} records in {topic}"), || async {
        partition_count(kafka, topic).await?;
        let seen = read_all(kafka, topic, Isolation::ReadCommitted).await;
        (seen.len() >= count).then_some(seen)
    })
    .await
}

/// The name of a bridge's dead-letter topic.
fn dead_letters(bridge: &str) -> String {
    format!("sfbridge.{bridge}.dead-letters")
}
