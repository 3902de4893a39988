//! A pair of routes that mirror Account both ways settles.

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
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    // The header that carries the client's name is not documented for Collections.
    org.set_write_rules(WriteRules {
        collections_name_the_client: false,
        ..WriteRules::default()
    });
    let (out, back) = (unique("out"), unique("back"));
    topic::create(&kafka, &back, 3, &[]).await;
    let name = unique("crm");
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &mirror(&out, &back))).await;
    bridge.until_state("changes", &["streaming", "idle"]).await;
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
    }
    until(PATIENCE, "everything in the org", || async {
        let written = bridge.metric("sfbridge_records_written_total", "outcome=\"written\"");
        (written.await >= (2 * EDITS) as f64 && by_key(&org, "Account", "Customer_Id__c").len() == 250)
            .then_some(())
    })
    .await;
    let filtered = "sfbridge_records_written_total";
    until(PATIENCE, "all own writes recognised", || async {
        let own = bridge
            .metric(filtered, "route=\"changes\",outcome=\"filtered\"")
            .await;
        let through = bridge
            .metric(filtered, "route=\"changes\",outcome=\"written\"")
            .await;
        let events = org
            .topic_counts("/data/AccountChangeEvent")
            .unwrap()
            .events_stored;
        (own + through >= events as f64).then_some(())
    })
    .await;
    let seen = records(&kafka, &out, EDITS).await;
    let foreign: Vec<String> = seen
        .iter()
        .map(|record| record.value_text())
        .filter(|text| text.contains("people's"))
        .collect();
    assert_eq!(foreign.len(), EDITS, "each edit of a person once");
    assert_eq!(seen.len(), EDITS, "and nothing that the bridge wrote");
}
