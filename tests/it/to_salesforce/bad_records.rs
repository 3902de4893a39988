//! Records that can never be written: one alone, and so many in a row that something else must be wrong.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sfbridge::simulator::writes::RecordFault;

use super::oracle::Orders;
use super::{
    an_org, by_key, committed, customers, dead_letters, finished, orders, produce_customers, records, seed,
};
use crate::dead_letters::Desk;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

async fn produce_bad(kafka: &str, topic: &str, count: usize) {
    let rows: Vec<(String, String)> = (0..count)
        .map(|n| (format!("bad{n}"), format!("{{no json {n}")))
        .collect();
    topic::produce_values(kafka, topic, &rows).await;
}

/// Pain: a tool that posts lists drops two hundred records for one that is wrong.
#[tokio::test]
async fn one_bad_record_among_ten_thousand_is_one_dead_letter() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    let fault = RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("c4711");
    org.record_fault(fault.times(u32::MAX));
    topic::create(&kafka, &from, 4, &[]).await;
    produce_customers(&kafka, &from, 0..10_000, "one").await;
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &customers(&from))).await;
    finished(&kafka, &name, "customers", &from).await;
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), 9_999);
    assert!(!accounts.contains_key("c4711"));
    let dead = records(&kafka, &dead_letters(&name), 1).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].key_text(), "c4711");
    let calls = org.org_counts().collections_calls;
    assert!(
        calls < 100,
        "the bad one cost the others nothing: {calls} requests"
    );
}

/// What stands before them is delivered, or a restart would find the same row again.
#[tokio::test]
async fn a_hundred_bad_records_in_a_row_halt_the_route_and_a_restart_goes_on_behind_them() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    produce_customers(&kafka, &from, 0..5, "before").await;
    produce_bad(&kafka, &from, 100).await;
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &customers(&from))).await;
    let halted = bridge.until_state("customers", &["halted"]).await;
    let (why, remedy) = (
        halted["state"]["why"].to_string(),
        halted["state"]["remedy"].to_string(),
    );
    assert!(why.contains("100 records in a row"), "{halted}");
    assert!(
        remedy.contains("dead-letters list") && remedy.contains("restart"),
        "{halted}"
    );
    let dead = records(&kafka, &dead_letters(&name), 100).await;
    assert_eq!(dead.len(), 100, "the hundredth is stored");
    let last = dead
        .iter()
        .map(|letter| letter.header("sfbridge_source").unwrap());
    assert!(last.into_iter().any(|source| source == format!("{from}[0]@104")));
    assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), 5);
    until(PATIENCE, "the commit", || async {
        (committed(&kafka, &name, "customers", &from).await == [Some(105)]).then_some(())
    })
    .await;
    assert_eq!(bridge.get("/ready").await.unwrap().0, 503);

    produce_customers(&kafka, &from, 5..10, "behind").await;
    assert_eq!(bridge.post("/api/routes/customers/restart").await.0, 202);
    finished(&kafka, &name, "customers", &from).await;
    assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), 10);
    assert_eq!(records(&kafka, &dead_letters(&name), 100).await.len(), 100);
}

/// Well-formed ones: newer versions of some stand behind them, of others the redrive alone brings the last one. Of
/// the request that holds the hundredth, others may be dead letters, too; nothing else is committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_refused_in_a_row_halt_the_route_and_a_redrive_after_the_fix_brings_the_org_up_to_date() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("orders"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let mut rng = StdRng::seed_from_u64(seed("refused"));
    let mut made = Orders::new(300);
    let mut produce = async |count: usize| {
        let rows: Vec<(String, Option<String>)> = (0..count).map(|_| made.next(&mut rng)).collect();
        let rows: Vec<(&str, Option<&str>)> = rows
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        topic::produce(&kafka, &from, &rows).await;
    };
    let setup = Setup::new(&name, &kafka, &org, &orders(&from));
    let bridge = Bridge::start(&setup).await;
    produce(200).await;
    finished(&kafka, &name, "orders", &from).await;
    let before = by_key(&org, "Order__c", "Order_Number__c");

    org.record_fault(RecordFault::new("Order__c", "FIELD_CUSTOM_VALIDATION_EXCEPTION").times(u32::MAX));
    produce(400).await;
    let halted = bridge.until_state("orders", &["halted"]).await;
    assert!(
        halted["state"]["why"]
            .to_string()
            .contains("100 records in a row"),
        "{halted}"
    );
    let dead = records(&kafka, &dead_letters(&name), 100).await;
    let sources: BTreeSet<String> = dead
        .iter()
        .map(|letter| letter.header("sfbridge_source").unwrap())
        .collect();
    let is_stored = |offset| sources.contains(&format!("{from}[0]@{offset}"));
    let end = until(PATIENCE, "the commit", || async {
        let end = *committed(&kafka, &name, "orders", &from).await.first()?;
        end.filter(|end| *end >= 300)
    })
    .await;
    assert!((200..end).all(is_stored), "{end}: {sources:?}");
    assert_eq!(
        by_key(&org, "Order__c", "Order_Number__c"),
        before,
        "all were refused"
    );

    // The rule is mended. What was refused goes before what stands behind it.
    org.clear_faults();
    let desk = Desk::new(&setup);
    let out = desk.good(&["redrive", "--route", "orders", "--yes"]).await;
    assert!(out.starts_with(&format!("sent: {},", dead.len())), "{out}");
    assert_eq!(bridge.post("/api/routes/orders/restart").await.0, 202);
    finished(&kafka, &name, "orders", &from).await;
    made.assert_org(&by_key(&org, "Order__c", "Order_Number__c"));
    let after = records(&kafka, &dead_letters(&name), dead.len()).await;
    assert_eq!(after.len(), dead.len());
}

/// Half of everything bad is a bad day, not a wrong configuration.
#[tokio::test]
async fn bad_records_between_good_ones_are_no_row() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let rows: Vec<String> = (0..400)
        .map(|n| match n % 2 {
            0 => "{no json".to_owned(),
            _ => serde_json::json!({"Customer_Id__c": format!("c{n}"), "Name": "x"}).to_string(),
        })
        .collect();
    let rows: Vec<(&str, Option<&str>)> = rows.iter().map(|value| ("k", Some(value.as_str()))).collect();
    topic::produce(&kafka, &from, &rows).await;
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &customers(&from))).await;
    finished(&kafka, &name, "customers", &from).await;
    assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), 200);
    assert_eq!(records(&kafka, &dead_letters(&name), 200).await.len(), 200);
}
