//! What happens when one side does not keep up: nothing is hoarded, and nobody else waits.

use std::time::Duration;

use serde_json::json;
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::{PlatformEvent, Simulator, SimulatorSettings, TestEvents};

use super::oracle::assert_each_once_in_order;
use super::records;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::{self, Broker};
use crate::support::topic::unique;
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";

/// Of the routes here.
const MAX_EVENTS: u64 = 100;
/// A full transaction, and what waits beside it.
const IN_HAND_MAX: u64 = MAX_EVENTS + 200;

#[tokio::test]
async fn with_kafka_frozen_a_bounded_number_of_events_is_taken() {
    let kafka = need!("kafka", Broker::start_new(&[]));
    kafka_goes_away(&kafka, Broker::freeze, Broker::thaw).await;
}

#[tokio::test]
async fn with_kafka_stopped_a_bounded_number_of_events_is_taken() {
    let kafka = need!("kafka", Broker::start_new(&[]));
    kafka_goes_away(&kafka, Broker::stop, |kafka| kafka.start().unwrap()).await;
}

async fn kafka_goes_away(kafka: &Broker, leave: fn(&Broker), come_back: fn(&Broker)) {
    const BEFORE: u64 = 50;
    /// Taken all at once they would show: 12 MB.
    const DURING: u64 = 3_000;
    const SLACK_KB: u64 = 8 * 1024;
    let org = Simulator::start(SimulatorSettings {
        // A stream that is owed nothing ends soon: while Kafka is away it must not be opened again.
        idle_limit: Duration::from_secs(1),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let to = unique("accounts");
    let commit = format!("    commit: {{ max_events: {MAX_EVENTS} }}\n");
    let bridge = Bridge::start(&Setup::new(
        &unique("crm"),
        kafka.bootstrap(),
        &org,
        &json_route("accounts", ACCOUNTS, &to, &commit),
    ))
    .await;
    org.emit_test_events(&TestEvents::new(BEFORE)).unwrap();
    records(kafka.bootstrap(), &to, BEFORE as usize).await;
    let counts = || org.topic_counts(ACCOUNTS).unwrap();
    let opened_before = counts().subscriptions;

    leave(kafka);
    org.emit_test_events(&TestEvents {
        bytes: 4_000,
        ..TestEvents::new(DURING)
    })
    .unwrap();
    let bound = BEFORE + IN_HAND_MAX;
    until(PATIENCE, "the stream's end for want of credits", || async {
        (counts().streams_open == 0).then_some(())
    })
    .await;
    assert_eq!(counts().events_delivered, bound, "as much as there is room for");
    let filled_kb = resident_kb(bridge.pid());
    // The transaction is given up, and no run begins before Kafka answers.
    until(PATIENCE, "the end of the run", || async {
        bridge.log().contains("route stopped").then_some(())
    })
    .await;
    let shown = bridge.route("accounts").await.unwrap();
    let why = shown["state"]["why"].as_str().unwrap();
    assert!(
        why.contains("Kafka has not answered"),
        "it says what is missing: {shown}"
    );
    assert_eq!(shown["runs_here"], true, "nobody else runs it: {shown}");
    assert_eq!(counts().events_delivered, bound, "nothing is taken twice");
    assert_eq!(
        counts().subscriptions,
        opened_before,
        "nothing is opened for nothing"
    );
    let later_kb = resident_kb(bridge.pid());
    assert!(
        later_kb < filled_kb + SLACK_KB,
        "memory grew from {filled_kb} KB to {later_kb} KB"
    );

    come_back(kafka);
    let all = BEFORE + DURING;
    let seen = records(kafka.bootstrap(), &to, all as usize).await;
    assert_each_once_in_order(&seen, all);
    assert!(!bridge.log().contains("another instance"), "there is none");
    let repeated = counts().events_delivered - all;
    assert!(
        repeated <= IN_HAND_MAX + 1,
        "{repeated} events were paid for twice: no more than what was in hand, and the last delivered one, may be"
    );
}

/// From `/proc`: what the process really occupies.
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn one_stalled_route_of_fifty_on_a_connection_holds_up_no_other() {
    const ROUTES: usize = 50;
    const EVENTS_EACH: usize = 3;
    /// Together more than what a connection's window is by default (5 MB): unread, they would stall the others.
    const STALLED: usize = 60;
    const STALLED_BYTES: usize = 100_000;
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (stuck, flowing) = (unique("stuck"), unique("flowing"));
    let topics: Vec<String> = (0..ROUTES).map(|n| format!("/event/Load_{n}__e")).collect();
    let mut routes = String::new();
    for (n, topic) in topics.iter().enumerate() {
        org.define_topic(topic, &schema(&format!("Load_{n}__e"))).unwrap();
        let to = if n == 0 { &stuck } else { &flowing };
        routes += &json_route(&format!("load-{n}"), topic, to, "");
    }
    // Its events come, and wait for a schema that cannot be fetched.
    let unavailable = Fault::new(Rpc::GetSchema, Then::error("schema.api.unavailable"))
        .on(&org.schema_id(&topics[0]).unwrap())
        .times(u32::MAX);
    org.fault(unavailable).unwrap();
    let publish = |topic: &String, bytes: usize| {
        let fields = json!({ "Text__c": "x".repeat(bytes) });
        org.publish(&PlatformEvent {
            topic: topic.clone(),
            fields: fields.as_object().unwrap().clone(),
            event_id: None,
        })
        .unwrap();
    };
    for _ in 0..STALLED {
        publish(&topics[0], STALLED_BYTES);
    }
    let bridge = Bridge::start(&Setup::new(&unique("crm"), &kafka, &org, &routes)).await;
    bridge.until_state("load-0", &["waiting"]).await;
    for topic in &topics[1..] {
        for _ in 0..EVENTS_EACH {
            publish(topic, 1_000);
        }
    }
    let expected = (ROUTES - 1) * EVENTS_EACH;
    assert_eq!(records(&kafka, &flowing, expected).await.len(), expected);
    let shown = bridge.route("load-0").await.unwrap();
    assert_eq!(shown["state"]["name"], "waiting", "{shown}");
    assert_eq!(shown["records_written"], 0, "{shown}");
    assert_eq!(
        org.org_counts().connections,
        1,
        "all streams share one connection"
    );
    for topic in &topics {
        let counts = org.topic_counts(topic).unwrap();
        assert_eq!((counts.subscriptions, counts.streams_open), (1, 1), "{topic}");
    }
    org.clear_faults();
    assert_eq!(records(&kafka, &stuck, STALLED).await.len(), STALLED);
}

fn schema(name: &str) -> String {
    let text = json!({ "name": "Text__c", "type": ["null", "string"], "doc": "Data:StringPlusClob", "default": null });
    json!({ "type": "record", "name": name, "namespace": "com.sforce.eventbus", "fields": [
        { "name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime" },
        { "name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId" },
        text,
    ]})
    .to_string()
}
