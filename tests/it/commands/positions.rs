//! `sfbridge positions`.

use serde_json::Value as Json;
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use super::Desk;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{self, Isolation, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";

async fn until_seen(kafka: &str, to: &str, count: usize) {
    until(PATIENCE, &format!("{count} records"), || async {
        topic::partition_count(kafka, to).await?;
        let seen = read_all(kafka, to, Isolation::ReadCommitted).await.len();
        (seen >= count).then_some(())
    })
    .await;
}

async fn gaps(kafka: &str, bridge: &str) -> Vec<Json> {
    let reports = read_all(
        kafka,
        &format!("sfbridge.{bridge}.gaps"),
        Isolation::ReadCommitted,
    )
    .await;
    let json = reports
        .iter()
        .map(|record| serde_json::from_str(&record.value_text()).unwrap());
    json.collect()
}

#[tokio::test]
async fn a_running_route_is_left_alone_and_with_force_its_owner_begins_again_from_there() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (to, name) = (unique("accounts"), unique("crm"));
    let setup = Setup::new(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""));
    let desk = Desk::new(&setup);
    let (code, listed) = desk.json(&["positions", "list", "--output", "json"]).await;
    assert_eq!(code, Some(0));
    assert!(listed["positions"][0]["position"].is_null(), "{listed}");

    let bridge = Bridge::start(&setup).await;
    org.emit_test_events(&TestEvents::new(3)).unwrap();
    until_seen(&kafka, &to, 3).await;
    bridge.until_state("accounts", &["streaming", "idle"]).await;
    let set = ["positions", "set", "accounts", "earliest"];
    let (code, shown, complaint) = desk.said(&set).await;
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        complaint.contains("pause") && complaint.contains("--force"),
        "{complaint}"
    );
    let (code, shown, complaint) = desk.said(&[&set[..], &["--force"]].concat()).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    // The owner is told with its next transaction that it is one no more.
    org.emit_test_events(&TestEvents::new(1)).unwrap();
    until_seen(&kafka, &to, 7).await;
    let seen = read_all(&kafka, &to, Isolation::ReadCommitted).await;
    let marked = seen
        .iter()
        .filter(|record| record.header("ce_sfreplayed").is_some());
    assert_eq!((seen.len(), marked.count()), (7, 3), "what came again says so");
}

#[tokio::test]
async fn a_paused_route_is_set_to_latest_and_what_it_leaves_out_is_reported() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (to, name) = (unique("accounts"), unique("crm"));
    let setup = Setup::new(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""));
    let desk = Desk::new(&setup);
    let bridge = Bridge::start(&setup).await;
    org.emit_test_events(&TestEvents::new(2)).unwrap();
    until_seen(&kafka, &to, 2).await;
    assert_eq!(bridge.post("/api/routes/accounts/pause").await.0, 202);
    bridge.until_state("accounts", &["paused"]).await;
    let (code, moved) = desk
        .json(&["positions", "set", "accounts", "latest", "--output", "json"])
        .await;
    assert_eq!(code, Some(0), "{moved}");
    assert!(moved["position"]["since"].is_string(), "{moved}");
    assert_eq!(moved["reported"], true);
    let reports = gaps(&kafka, &name).await;
    assert_eq!(reports[0]["kind"], "skipped_by_operator");
    assert_eq!(reports[0]["from_event_time"], moved["before"]["event_time"]);
    let (_, shown, _) = desk.said(&["positions", "list"]).await;
    assert!(shown.starts_with("accounts  events since "), "{shown}");

    let before = moved["before"]["replay_id"].as_str().expect("a replay id");
    let (code, shown, complaint) = desk.said(&["positions", "set", "accounts", before]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    let (_, shown, _) = desk.said(&["positions", "list"]).await;
    assert!(shown.contains(&format!("after {before}")), "{shown}");
    let (code, shown, complaint) = desk.said(&["positions", "reset", "accounts"]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert_eq!(bridge.post("/api/routes/accounts/resume").await.0, 202);
    until_seen(&kafka, &to, 4).await;
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_asked() {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", ACCOUNTS, "accounts", "");
    let desk = Desk::new(&Setup::new("crm", "127.0.0.1:9", &org, &routes));
    let (code, _, complaint) = desk.said(&["positions", "set", "accounts", "yesterday"]).await;
    assert_eq!(code, Some(64), "{complaint}");
    assert!(complaint.contains("replay id in hex"), "{complaint}");
    let (code, _, complaint) = desk.said(&["positions", "reset", "nobody"]).await;
    assert_eq!(code, Some(64), "{complaint}");
    assert!(complaint.contains("accounts"), "{complaint}");
}

#[tokio::test]
async fn the_offsets_of_a_route_to_salesforce_are_set_while_nobody_reads() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (from, name) = (unique("orders"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let rows: Vec<_> = (0..5).map(|_| ("k", Some(r#"{"id":"O"}"#))).collect();
    topic::produce(&kafka, &from, &rows).await;
    let routes = format!(
        "  - name: orders\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to:\n      salesforce: /event/Order_Shipped__e\n      fields: {{ Order_Number__c: value.id }}\n"
    );
    let setup = Setup::new(&name, &kafka, &org, &routes);
    let desk = Desk::new(&setup);
    let at = async || {
        let (_, listed) = desk.json(&["positions", "list", "--output", "json"]).await;
        listed["positions"][0]["offsets"][0]["offset"].clone()
    };
    let set = |place| ["positions", "set", "orders", place];
    let (code, shown, complaint) = desk.said(&set("2:0")).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert_eq!(at().await, 2);
    let (code, _, complaint) = desk.said(&set("9")).await;
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("does not keep"), "{complaint}");
    assert_eq!(desk.said(&set("latest")).await.0, Some(0));
    assert_eq!(at().await, 5);
    let reports = gaps(&kafka, &name).await;
    assert_eq!(reports[0]["from_offset"], 2);
    assert_eq!(reports[0]["to_offset"], 5);
    assert_eq!(desk.said(&["positions", "reset", "orders"]).await.0, Some(0));
    assert_eq!(at().await, 0, "`start: earliest`");

    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "the committed offset", || async {
        (at().await == 5).then_some(())
    })
    .await;
    let (code, _, complaint) = desk.said(&set("earliest")).await;
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("members"), "{complaint}");
    assert_eq!(
        desk.said(&[&set("earliest")[..], &["--force"]].concat()).await.0,
        Some(64)
    );
    drop(bridge);
}

#[tokio::test]
async fn one_topic_of_several_is_moved_alone() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (orders, returns, name) = (unique("orders"), unique("returns"), unique("crm"));
    for topic in [&orders, &returns] {
        topic::create(&kafka, topic, 1, &[]).await;
        let rows: Vec<_> = (0..3).map(|_| ("k", Some(r#"{"id":"O"}"#))).collect();
        topic::produce(&kafka, topic, &rows).await;
    }
    let routes = format!(
        "  - name: orders\n    from: {{ kafka: [{orders}, {returns}], format: json, start: earliest }}\n    to:\n      salesforce: /event/Order_Shipped__e\n      fields: {{ Order_Number__c: value.id }}\n"
    ) + &json_route("accounts", ACCOUNTS, "accounts", "");
    let desk = Desk::new(&Setup::new(&name, &kafka, &org, &routes));
    let at = async || {
        let (_, listed) = desk.json(&["positions", "list", "--output", "json"]).await;
        let offsets = listed["positions"][0]["offsets"].as_array().unwrap().clone();
        let of =
            |topic: &str| offsets.iter().find(|place| place["topic"] == *topic).unwrap()["offset"].clone();
        (of(&orders), of(&returns))
    };
    let set = async |more: &[&str]| {
        let set = [&["positions", "set", "orders"], more].concat();
        desk.said(&set).await
    };
    let (code, _, complaint) = set(&["2"]).await;
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("--topic"), "{complaint}");
    let (code, shown, complaint) = set(&["2", "--topic", &returns]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert_eq!(at().await, (Json::Null, 2.into()));
    let (code, shown, complaint) = set(&["latest", "--topic", &orders]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert_eq!(at().await, (3.into(), 2.into()));
    let reset = [
        "positions",
        "reset",
        "orders",
        "--topic",
        &returns,
        "--output",
        "json",
    ];
    let (code, moved) = desk.json(&reset).await;
    assert_eq!(
        (code, moved["offsets"].as_array().unwrap().len()),
        (Some(0), 1),
        "{moved}"
    );
    assert_eq!(at().await, (3.into(), 0.into()), "`start: earliest`");

    let (code, _, complaint) = set(&["latest", "--topic", "nowhere"]).await;
    assert_eq!(code, Some(64), "{complaint}");
    assert!(
        complaint.contains(&orders) && complaint.contains(&returns),
        "{complaint}"
    );
    let other = ["positions", "set", "accounts", "latest", "--topic", &orders];
    let (code, _, complaint) = desk.said(&other).await;
    assert_eq!(code, Some(64), "{complaint}");
    assert!(complaint.contains("one position"), "{complaint}");
}
