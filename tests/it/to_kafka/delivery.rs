//! What arrives by default, once and in order, and what `delivery: at_least_once` keeps of that.

use sfbridge::simulator::TestEvents;

use super::{ACCOUNTS, an_org, json, records, stored_position};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{self, Isolation, Seen, read_all, unique};
use crate::support::wait::until;

const EVENTS: usize = 500;
const KEYS: u64 = 7;

/// The events' numbers, record by record of each account.
fn numbers(seen: &[Seen], account: &str) -> Vec<u64> {
    seen.iter()
        .filter(|record| record.key_text() == account)
        .map(|record| json(record)["GUID__c"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn every_event_arrives_once_and_each_records_changes_in_order() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("crm"));
    let [exact, relaxed] = ["exact", "relaxed"].map(unique);
    let routes = [
        json_route(
            "exact",
            ACCOUNTS,
            &exact,
            "    commit: { max_events: 64, max_bytes: 100000, linger_ms: 5 }\n",
        ),
        json_route("relaxed", ACCOUNTS, &relaxed, "    delivery: at_least_once\n"),
    ]
    .concat();
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &routes)).await;
    org.emit_test_events(&TestEvents {
        keys: KEYS,
        ..TestEvents::new(EVENTS as u64)
    })
    .unwrap();
    for to in [&exact, &relaxed] {
        let seen = records(&kafka, to, EVENTS).await;
        assert_eq!(seen.len(), EVENTS, "{to}");
        for key in 0..KEYS {
            let account = sfbridge::simulator::test_record_id(key, KEYS);
            let expected: Vec<u64> = (0..EVENTS as u64).filter(|number| number % KEYS == key).collect();
            assert_eq!(numbers(&seen, &account), expected, "{to}, {account}");
        }
        assert_eq!(topic::partition_count(&kafka, to).await, Some(6), "the default");
    }
    let route = until(PATIENCE, "the route's numbers", || async {
        let route = bridge.route("exact").await?;
        (route["records_written"] == EVENTS && route["in_hand"] == 0).then_some(route)
    })
    .await;
    assert_eq!(
        (&route["events_received"], &route["direction"]),
        (&EVENTS.into(), &"to_kafka".into())
    );
    let (position, _) = stored_position(&kafka, &name, "exact").await.unwrap();
    assert_eq!(route["position"]["replay_id"], position["replay_id"], "{route}");
    assert_eq!(route["position"]["event_time"], position["event_time"], "{route}");
    assert_eq!(
        bridge
            .metric("sfbridge_route_state", "route=\"exact\",state=\"streaming\"")
            .await,
        1.0
    );
    assert_eq!(
        bridge
            .metric("sfbridge_route_state", "route=\"exact\",state=\"halted\"")
            .await,
        0.0
    );
    let batches = bridge
        .metric("sfbridge_batch_commit_seconds_count", "route=\"exact\"")
        .await;
    assert!(
        batches >= 500.0 / 64.0,
        "batches end where the configuration says: {batches}"
    );
    // Without transactions there is no marker after the records: they fill their offsets one by one.
    let uncommitted = read_all(&kafka, &relaxed, Isolation::ReadUncommitted).await;
    let dense = uncommitted
        .iter()
        .filter(|record| record.partition == 0)
        .enumerate();
    assert!(
        dense.clone().all(|(at, record)| record.offset == at as i64),
        "at_least_once writes no transactions"
    );
    // A restart by the operator loses and doubles nothing.
    assert_eq!(bridge.post("/api/routes/exact/restart").await.0, 202);
    org.emit_test_events(&TestEvents::new(10)).unwrap();
    assert_eq!(records(&kafka, &exact, EVENTS + 10).await.len(), EVENTS + 10);
}
