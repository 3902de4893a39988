//! Salesforce → Kafka, end to end: the real program between the simulator and a real broker.

mod avro;
mod avro_kinds;
mod back_pressure;
mod delivery;
mod exactly_once;
mod failures;
mod first_start;
mod gaps;
mod gaps_avro;
mod lanes;
mod lost_position;
mod oracle;
mod ownership;
mod positions;
mod quiet;
mod read_only_registry;
mod records;
mod refused;
mod removed_route;
mod shutdown;
mod transactions;

use serde_json::Value;
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};

use crate::support::bridge::PATIENCE;
use crate::support::topic::{Seen, committed, records};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// One partition shows the order of a whole topic.
const ONE_PARTITION: &str = "  partitions: 1\n";

async fn an_org() -> Simulator {
    Simulator::start(SimulatorSettings::default()).await.unwrap()
}

fn json(record: &Seen) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap()
}

/// The accounts' names in the order of the records.
fn names(records: &[Seen]) -> Vec<String> {
    records
        .iter()
        .map(|record| json(record)["Name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The stored position of a route and the partition it lies in.
async fn stored_position(kafka: &str, bridge: &str, route: &str) -> Option<(Value, i32)> {
    let all = committed(kafka, &format!("_sfbridge.{bridge}.positions")).await;
    let last = all.iter().rfind(|record| record.key_text() == route)?;
    Some((json(last), last.partition))
}

/// The gap reports of a route.
async fn gap_reports(kafka: &str, bridge: &str, route: &str) -> Vec<Value> {
    let all = committed(kafka, &format!("sfbridge.{bridge}.gaps")).await;
    let mine = all.iter().filter(|record| record.key_text() == route);
    mine.map(json).collect()
}

/// An account of this name comes into being.
fn created(name: &str) -> Change {
    Change::new("Account", ChangeType::Create).field("Name", name)
}

/// The same, committed so many milliseconds ago.
fn created_ago(name: &str, ago_ms: i64) -> Change {
    Change {
        commit_timestamp: Some(now_ms() - ago_ms),
        ..created(name)
    }
}

fn now_ms() -> i64 {
    sfbridge::runtime::clock::now_ms()
}

/// Emits accounts of these names.
fn emit(org: &Simulator, names: &[&str]) {
    for name in names {
        org.change(&created(name)).unwrap();
    }
}

/// Waits until Salesforce has seen so many subscriptions to a topic.
async fn subscriptions(org: &Simulator, topic: &str, count: u64) {
    until(PATIENCE, &format!("{count} subscriptions to {topic}"), || async {
        (org.topic_counts(topic).unwrap().subscriptions >= count).then_some(())
    })
    .await;
}
