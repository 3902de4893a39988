//! A pair of routes that mirror Account both ways settles.

use std::collections::BTreeSet;

use serde_json::json;
use sfbridge::simulator::writes::WriteRules;
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};

use super::{by_key, records};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

/// Of each side.
const EDITS: usize = 1_000;

/// Salesforce → Kafka and Kafka → Salesforce, of the same records.
fn mirror(out: &str, back: &str) -> String {
    format!(
        "  - name: changes\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest, skip_own_writes: true }}\n    to: {{ kafka: {out}, format: json }}\n\
         \x20 - name: customers\n    from: {{ kafka: {back}, format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n"
    )
}

#[tokio::test]
async fn a_thousand_edits_from_each_side_reach_the_other_once_and_traffic_stops() {
    mirrored(false).await;
}

/// Both routes are shared by two instances, and one of them is killed while both sides edit.
#[tokio::test]
async fn the_mirror_settles_with_two_instances_of_which_one_is_killed() {
    mirrored(true).await;
}

async fn mirrored(with_a_kill: bool) {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    // The header that carries the client's name is not documented for Collections.
    org.set_write_rules(WriteRules {
        collections_name_the_client: false,
        ..WriteRules::default()
    });
    let (out, back) = (unique("out"), unique("back"));
    topic::create(&kafka, &back, 4, &[]).await;
    let name = unique("crm");
    let setup = Setup::new(&name, &kafka, &org, &mirror(&out, &back));
    let other = Setup {
        instance: format!("{name}-2"),
        ..setup.clone()
    };
    let _bridge = Bridge::start(&setup).await;
    let mut second = with_a_kill.then(|| Bridge::spawn(&other));
    until(PATIENCE, "the stream", || async {
        let streams = org.topic_counts("/data/AccountChangeEvent").unwrap().streams_open;
        (streams == 1).then_some(())
    })
    .await;
    let keys: Vec<String> = (0..EDITS).map(|n| format!("k{}", n % 250)).collect();
    let values: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| json!({"Customer_Id__c": key, "Name": format!("theirs {n}")}).to_string())
        .collect();
    let rows: Vec<(&str, Option<&str>)> = keys
        .iter()
        .zip(&values)
        .map(|(key, value)| (key.as_str(), Some(value.as_str())))
        .collect();
    // People's edits, while the bridge writes.
    for (batch, rows) in rows.chunks(100).enumerate() {
        topic::produce(&kafka, &back, rows).await;
        for n in batch * 100..(batch + 1) * 100 {
            let change = Change::new("Account", ChangeType::Create).field("Name", format!("people's {n}"));
            org.change(&change).unwrap();
        }
        match batch {
            4 => drop(second.take()),
            6 if with_a_kill => second = Some(Bridge::spawn(&other)),
            _ => {}
        }
    }
    let newest = |key: &str| {
        let n: usize = key[1..].parse().unwrap();
        format!("theirs {}", EDITS - 250 + n)
    };
    until(PATIENCE, "the last version of each record in the org", || async {
        let accounts = by_key(&org, "Account", "Customer_Id__c");
        (accounts.len() == 250 && accounts.iter().all(|(key, fields)| fields["Name"] == newest(key)))
            .then_some(())
    })
    .await;
    // An edit behind all others: once it is through, so is everything before it, and nothing has come of it.
    let stored = || {
        org.topic_counts("/data/AccountChangeEvent")
            .unwrap()
            .events_stored
    };
    let before = stored();
    let last = Change::new("Account", ChangeType::Create).field("Name", "people's last");
    org.change(&last).unwrap();
    let seen = until(PATIENCE, "the last edit", || async {
        let seen = records(&kafka, &out, EDITS).await;
        seen.iter()
            .any(|record| record.value_text().contains("people's last"))
            .then_some(seen)
    })
    .await;
    assert_eq!(stored(), before + 1, "the traffic has stopped");
    assert!(before as usize >= EDITS + 250, "{before} events");
    let own = seen
        .iter()
        .filter(|record| record.value_text().contains("theirs"))
        .count();
    let ids: BTreeSet<String> = seen
        .iter()
        .map(|record| record.header("ce_id").unwrap())
        .collect();
    assert_eq!(ids.len(), seen.len(), "nothing twice");
    assert_eq!(seen.len() - own, EDITS + 1, "each edit of a person once");
    assert_eq!(own, 0, "and nothing that the bridge wrote");
}
