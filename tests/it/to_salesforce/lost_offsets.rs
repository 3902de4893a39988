//! Retention overtook the group: what is lost is told before anything goes on.

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::{an_org, by_key, customers, finished, produce_customers, records};
use crate::need;
use crate::support::bridge::{Bridge, Setup};
use crate::support::broker;
use crate::support::topic::{self, partition_count, unique};

/// Deletes the records of a topic's only partition before an offset, as retention does.
async fn forget(kafka: &str, topic: &str, before: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, 0, Offset::Offset(before))
        .unwrap();
    admin
        .delete_records(&offsets, &AdminOptions::new())
        .await
        .unwrap();
}

fn route(from: &str, policy: &str) -> String {
    customers(from).replace(
        "start: earliest",
        &format!("start: earliest, on_lost_position: {policy}"),
    )
}

/// Ten records are written, the bridge is away, ten more come and five of them are deleted.
async fn overtaken(kafka: &str, setup: &Setup, from: &str) {
    topic::create(kafka, from, 1, &[]).await;
    produce_customers(kafka, from, 0..10, "before").await;
    let bridge = Bridge::start(setup).await;
    finished(kafka, &setup.name, "customers", from).await;
    bridge.signal("TERM");
    assert!(bridge.ended().await.success());
    produce_customers(kafka, from, 10..20, "behind").await;
    forget(kafka, from, 15).await;
}

#[tokio::test]
async fn what_retention_deleted_is_reported_and_the_rest_is_written() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    let setup = Setup::new(&name, &kafka, &org, &route(&from, "earliest"));
    overtaken(&kafka, &setup, &from).await;
    let bridge = Bridge::start(&setup).await;
    finished(&kafka, &name, "customers", &from).await;
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), 15);
    assert!(!accounts.contains_key("c14") && accounts.contains_key("c15"));
    let reports = records(&kafka, &format!("sfbridge.{name}.gaps"), 1).await;
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].key_text(), "customers");
    let report: Value = serde_json::from_str(&reports[0].value_text()).unwrap();
    assert_eq!(report["topic"], from.as_str());
    assert_eq!(
        (&report["partition"], &report["from_offset"], &report["to_offset"]),
        (&Value::from(0), &Value::from(10), &Value::from(15))
    );
    assert_eq!(
        bridge
            .metric("sfbridge_gaps_total", "kind=\"lost_position\"")
            .await,
        1.0
    );
}

#[tokio::test]
async fn on_lost_position_halt_halts_and_writes_nothing() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    let setup = Setup::new(&name, &kafka, &org, &route(&from, "halt"));
    overtaken(&kafka, &setup, &from).await;
    let bridge = Bridge::start(&setup).await;
    let halted = bridge.until_state("customers", &["halted"]).await;
    assert!(halted["state"]["why"].to_string().contains(&from), "{halted}");
    assert!(
        halted["state"]["remedy"].to_string().contains("on_lost_position"),
        "{halted}"
    );
    assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), 10);
    let gaps = partition_count(&kafka, &format!("sfbridge.{name}.gaps")).await;
    assert_eq!(gaps, None, "nothing went on, nothing is reported as passed over");
}
