//! What arrives, and how it looks.

use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{self, Isolation, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";

#[tokio::test]
async fn every_event_arrives_once_in_order_with_its_headers() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    let bridge = Bridge::start(&Setup::new(
        &unique("crm"),
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    org.emit_test_events(&TestEvents {
        keys: 7,
        ..TestEvents::new(500)
    })
    .unwrap();
    let seen = until(PATIENCE, "500 records", || async {
        topic::partition_count(&kafka, &to).await?;
        let seen = read_all(&kafka, &to, Isolation::ReadCommitted).await;
        (seen.len() >= 500).then_some(seen)
    })
    .await;
    assert_eq!(seen.len(), 500);
    let first = &seen[0];
    let value: serde_json::Value = serde_json::from_slice(first.value.as_deref().unwrap()).unwrap();
    assert_eq!(value["ChangeEventHeader"]["recordIds"][0], first.key_text());
    for name in [
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "ce_subject",
        "content-type",
        "ce_sfreplayid",
        "ce_sfschemaid",
        "ce_sfroute",
    ] {
        assert!(first.header(name).is_some(), "{name}: {:?}", first.headers);
    }
    eprintln!(
        "{:?}",
        first
            .headers
            .iter()
            .map(|(k, v)| (k.clone(), String::from_utf8_lossy(v).into_owned()))
            .collect::<Vec<_>>()
    );
    eprintln!("{:?}", bridge.route("accounts").await);
}
