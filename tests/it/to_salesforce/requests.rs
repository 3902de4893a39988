//! What goes in a request, and by which way: Salesforce's limits, Bulk for a backlog, and where reading begins.

use serde_json::json;
use sfbridge::simulator::Simulator;
use sfbridge::simulator::faults::{Fault, Rpc, Then};

use super::oracle::Publications;
use super::{
    an_org, by_key, cluster_id, committed, dead_letters, finished, orders, produce_customers, produce_orders,
    published, records, shipped,
};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, Isolation, read_all, unique};
use crate::support::wait::until;

const SHIPPED: &str = "/event/Order_Shipped__e";
const EVENT_BYTES_MAX: usize = 1024 * 1024;
const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
const REQUEST_EVENTS_MAX: u64 = 200;

/// Three of these fit in a request.
const LARGE: usize = 900_000;

/// Orders that carry so many bytes each.
async fn produce_large(kafka: &str, topic: &str, sizes: &[usize]) {
    let rows: Vec<(&str, String)> = sizes
        .iter()
        .map(|bytes| {
            let value = json!({"Order_Number__c": "O-1", "Notes__c": "x".repeat(*bytes)});
            ("k", value.to_string())
        })
        .collect();
    topic::produce_values(kafka, topic, &rows).await;
}

/// While Salesforce takes nothing, the bridge gathers so many records: as many as a request holds, or more. Then they go.
async fn gathered_and_sent(org: &Simulator, bridge: &Bridge, count: u64) {
    until(PATIENCE, &format!("{count} records in hand"), || async {
        let in_hand = bridge.route("shipped").await?["in_hand"].as_u64()?;
        (in_hand >= count).then_some(())
    })
    .await;
    org.clear_faults();
}

fn take_nothing(org: &Simulator) {
    let fault = Fault::new(Rpc::Publish, Then::error("service.unavailable"));
    org.fault(fault.times(u32::MAX)).unwrap();
}

#[tokio::test]
async fn no_request_is_larger_than_salesforce_takes_and_an_event_that_is_becomes_a_dead_letter() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("orders"), unique("crm"));
    topic::create(&kafka, &from, 1, &[("max.message.bytes", "2000000")]).await;
    let mut sizes = vec![LARGE; 13];
    sizes[6] = EVENT_BYTES_MAX;
    produce_large(&kafka, &from, &sizes).await;
    take_nothing(&org);
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &shipped(&from))).await;
    gathered_and_sent(&org, &bridge, 6).await;
    finished(&kafka, &name, "shipped", &from).await;
    let largest = org.org_counts().largest_publish_bytes;
    assert!(
        (3 * LARGE as u64..=REQUEST_BYTES_MAX).contains(&largest),
        "{largest}"
    );

    take_nothing(&org);
    produce_orders(&kafka, &from, 0..700).await;
    gathered_and_sent(&org, &bridge, REQUEST_EVENTS_MAX).await;
    finished(&kafka, &name, "shipped", &from).await;
    assert_eq!(org.org_counts().largest_publish_events, REQUEST_EVENTS_MAX);

    let dead = records(&kafka, &dead_letters(&name), 1).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].header("sfbridge_source").unwrap(), format!("{from}[0]@6"));
    let error = dead[0].header("sfbridge_error").unwrap();
    assert!(
        error.contains(&format!("Salesforce takes {EVENT_BYTES_MAX}")),
        "{error}"
    );
    let mut wanted = read_all(&kafka, &from, Isolation::ReadCommitted).await;
    wanted.remove(6);
    let wanted = Publications::of(&cluster_id(&kafka).await, &from, &wanted);
    let findings = wanted.compare(&published(&org, SHIPPED));
    findings.assert_at_least_once_in_order();
    assert_eq!((findings.compared, findings.repeated), (712, 0));
}

/// The backlog is a partition's own, as it really is.
#[tokio::test]
async fn auto_takes_bulk_for_a_backlog_from_the_threshold_on_and_never_for_inserts() {
    let kafka = need!("kafka", broker::shared());
    let upsert = "upsert, external_id: Customer_Id__c";
    for (operation, count, is_bulk) in [
        (upsert, 2_500, true),
        (upsert, 900, false),
        ("insert", 2_500, false),
    ] {
        let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
        topic::create(&kafka, &from, 1, &[]).await;
        produce_customers(&kafka, &from, 0..count, "one").await;
        let routes = format!(
            "  - name: customers\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to: {{ salesforce: Account, via: auto, operation: {operation} }}\n"
        );
        let setup = Setup {
            salesforce: "  bulk_threshold: 1000\n".to_owned(),
            ..Setup::new(&name, &kafka, &org, &routes)
        };
        let _bridge = Bridge::start(&setup).await;
        finished(&kafka, &name, "customers", &from).await;
        assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), count);
        let counts = org.org_counts();
        assert_eq!(
            counts.bulk_jobs > 0,
            is_bulk,
            "{operation} of {count}: {counts:?}"
        );
    }
}

/// `start` is about what was there at the first start; what a producer puts into a new partition before the group
/// has seen it is no history.
#[tokio::test]
async fn with_start_latest_topics_and_partitions_that_appear_later_begin_at_their_first_record() {
    let kafka = need!("kafka", broker::shared());
    let (org, mark, name) = (an_org().await, unique("orders"), unique("crm"));
    let [old, new] = ["old", "new"].map(|end| format!("{mark}.{end}"));
    topic::create(&kafka, &old, 1, &[]).await;
    produce_orders(&kafka, &old, 0..10).await;
    let route = orders(&format!("^{mark}.*")).replace("earliest", "latest");
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &route)).await;
    until(PATIENCE, "a note of what the group began with", || async {
        let notes = topic::committed(&kafka, &format!("_sfbridge.{name}.positions")).await;
        let is_meant = notes.iter().any(|note| note.value_text().contains(&old));
        is_meant.then_some(())
    })
    .await;
    assert_eq!(committed(&kafka, &name, "orders", &old).await, [Some(10)]);

    topic::create(&kafka, &new, 1, &[]).await;
    produce_orders(&kafka, &new, 10..20).await;
    topic::grow(&kafka, &old, 2).await;
    until(PATIENCE, "both partitions", || async {
        (topic::partition_count(&kafka, &old).await == Some(2)).then_some(())
    })
    .await;
    produce_orders(&kafka, &old, 20..60).await;
    let ends = topic::ends(&kafka, &old, Isolation::ReadCommitted).await;
    assert!(ends[1] > 0, "the new partition has some: {ends:?}");
    for topic in [&old, &new] {
        finished(&kafka, &name, "orders", topic).await;
    }
    let written = by_key(&org, "Order__c", "Order_Number__c");
    let wanted = (10..60).map(|n| format!("O-{n}"));
    assert!(
        wanted.eq(written.into_keys()),
        "all that came since, and nothing from before"
    );
}
