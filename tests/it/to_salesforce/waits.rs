//! What passes by itself: the route waits, says why and until when, goes on, and nothing is lost.

use std::time::Duration;

use serde_json::json;
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::{Pair, an_org, by_key, customers, finished, published, records, shipped, until_waiting};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

const SHIPPED: &str = "/event/Order_Shipped__e";

/// Both routes, and ten records through each.
async fn started(kafka: &str, org: &Simulator) -> Pair {
    let both = Pair::start(kafka, org, shipped).await;
    both.produce(0..10).await;
    all_finished(&both).await;
    both
}

async fn all_finished(both: &Pair) {
    for route in ["customers", "shipped"] {
        both.finished(route).await;
        let route = both.bridge.route(route).await.unwrap();
        assert_ne!(route["state"]["name"], "halted", "{route}");
    }
}

/// Unless the org has so many customers, and so many orders were published, each once.
fn assert_all(org: &Simulator, count: usize) {
    assert_eq!(by_key(org, "Account", "Customer_Id__c").len(), count);
    assert_eq!(org.org_counts().records_saved, count as u64, "each once");
    assert_eq!(published(org, SHIPPED).len(), count, "each once");
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_nothing_is_lost() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = started(&kafka, &org).await;
    let tokens = org.org_counts().tokens_issued;
    org.expire_tokens();
    both.produce(10..20).await;
    all_finished(&both).await;
    assert_all(&org, 20);
    assert_eq!(
        org.org_counts().tokens_issued,
        tokens + 1,
        "one refresh for both routes"
    );
}

#[tokio::test]
async fn used_up_limits_are_waited_for_and_the_routes_go_on_by_themselves() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = started(&kafka, &org).await;
    org.set_daily_requests(15_000, 15_000);
    org.set_hourly_publishes(5, 0);
    both.produce(10..20).await;
    until_waiting(&both.bridge, "customers", "limit").await;
    let state = until_waiting(&both.bridge, "shipped", "allocation").await;
    assert!(state["why"].to_string().contains(SHIPPED), "{state}");
    assert_eq!(published(&org, SHIPPED).len(), 15, "five were left");
    // Below the reserve, the bridge does not use them up.
    org.set_daily_requests(15_000, 14_000);
    until_waiting(&both.bridge, "customers", "api_reserve").await;
    assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), 10);
    org.set_daily_requests(15_000, 0);
    org.set_hourly_publishes(250_000, 0);
    all_finished(&both).await;
    assert_all(&org, 20);
}

#[tokio::test]
async fn salesforce_that_does_not_work_is_waited_for() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = started(&kafka, &org).await;
    let refusal = RestRefusal::new(503, "SERVER_UNAVAILABLE", "The server is down for maintenance");
    org.rest_fault(RestFault {
        times: u32::MAX,
        refusal: Some(refusal),
        ..RestFault::default()
    });
    let fault = Fault::new(Rpc::Publish, Then::error("service.unavailable"));
    org.fault(fault.times(u32::MAX)).unwrap();
    both.produce(10..20).await;
    until_waiting(&both.bridge, "customers", "").await;
    until_waiting(&both.bridge, "shipped", "").await;
    org.clear_faults();
    all_finished(&both).await;
    assert_all(&org, 20);
}

/// For a minute nobody listens; then another org does that knows nothing of the tokens of the first.
#[tokio::test]
async fn salesforce_that_is_gone_is_waited_for_and_gets_what_came_meanwhile() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = started(&kafka, &org).await;
    let settings = SimulatorSettings {
        pubsub: org.pubsub_address(),
        http: org.http_address(),
        ..SimulatorSettings::default()
    };
    drop(org);
    // The minute is a part of the promise: by its end the pauses are as long as they get. Records keep coming.
    for tenth in 1..=6 {
        both.produce(tenth * 10..(tenth + 1) * 10).await;
        until_waiting(&both.bridge, "customers", "").await;
        until_waiting(&both.bridge, "shipped", "").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let org = until(PATIENCE, "the ports", || async {
        Simulator::start(settings.clone()).await.ok()
    })
    .await;
    all_finished(&both).await;
    assert_all(&org, 60);
}

/// A backlog is under way: every request is late, so that each change of the schema meets one, and more behind it.
#[tokio::test]
async fn a_schema_that_changes_under_way_loses_nothing() {
    const COUNT: usize = 3_000;
    const ANSWER_MS: u64 = 300;
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let (name, back) = (unique("crm"), unique("back"));
    let topics = ["customers", "orders"].map(unique);
    for topic in &topics {
        topic::create(&kafka, topic, 1, &[]).await;
    }
    let rows = |value: &dyn Fn(&str) -> serde_json::Value| -> Vec<(String, String)> {
        let keys = (0..COUNT).map(|n| format!("c{n}"));
        keys.map(|key| (value(&key).to_string(), key)).collect()
    };
    let customers_of = |key: &str| json!({"Customer_Id__c": key, "Name": "x", "Fax": "1", "Phone": "2"});
    let orders_of = |key: &str| json!({"Order_Number__c": key, "Carrier__c": "DHL", "Gift__c": "yes"});
    for (topic, rows) in topics.iter().zip([rows(&customers_of), rows(&orders_of)]) {
        let rows: Vec<(&str, Option<&str>)> = rows
            .iter()
            .map(|(value, key)| (key.as_str(), Some(value.as_str())))
            .collect();
        topic::produce(&kafka, topic, &rows).await;
    }
    org.rest_fault(RestFault {
        path: Some("composite".to_owned()),
        times: u32::MAX,
        delay_ms: ANSWER_MS,
        ..RestFault::default()
    });
    let late = Fault::new(Rpc::Publish, Then::Proceed).times(u32::MAX);
    org.fault(late.delayed(ANSWER_MS)).unwrap();
    let routes = customers(&topics[0])
        + &shipped(&topics[1])
        + &format!(
            "  - name: back\n    from: {{ salesforce: {SHIPPED}, start: earliest }}\n    to: {{ kafka: {back}, format: json, key: none }}\n"
        );
    let mut setup = Setup::new(&name, &kafka, &org, &routes);
    setup.kafka = "  partitions: 1\n".to_owned();
    let _bridge = Bridge::start(&setup).await;
    // So many, and not yet all.
    let under_way = async |count: usize, done: &dyn Fn() -> u64| {
        let enough = || async { (done() >= count as u64).then(done) };
        let done = until(PATIENCE, "a part of it", enough).await;
        assert!(done < COUNT as u64, "nothing is left");
    };
    let written = || org.org_counts().records_saved;
    let events = || org.topic_counts(SHIPPED).unwrap().events_stored;
    under_way(200, &events).await;
    org.add_field(SHIPPED, "Gift__c", "string").unwrap();
    under_way(200, &written).await;
    org.remove_field("/data/AccountChangeEvent", "Fax").unwrap();
    let with_fax = org
        .records("Account")
        .iter()
        .filter(|(_, fields)| fields.contains_key("Fax"))
        .count();
    // A second change right after the first.
    under_way(800, &written).await;
    org.remove_field("/data/AccountChangeEvent", "Phone").unwrap();
    under_way(1_400, &events).await;
    org.remove_field(SHIPPED, "Carrier__c").unwrap();
    for (route, topic) in ["customers", "shipped"].into_iter().zip(&topics) {
        finished(&kafka, &name, route, topic).await;
    }

    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), COUNT);
    assert_eq!(written(), COUNT as u64, "each once");
    let events: Vec<serde_json::Value> = records(&kafka, &back, COUNT)
        .await
        .iter()
        .map(|record| serde_json::from_str(&record.value_text()).unwrap())
        .collect();
    let numbers: Vec<&str> = events
        .iter()
        .map(|event| event["Order_Number__c"].as_str().unwrap())
        .collect();
    let all: Vec<String> = (0..COUNT).map(|n| format!("c{n}")).collect();
    assert_eq!(numbers, all, "each once, in order");
    // From one event on each.
    let gifts = events.iter().skip_while(|event| event["Gift__c"].is_null());
    let with_gift = gifts.clone().count();
    assert!(gifts.into_iter().all(|event| event["Gift__c"] == "yes"));
    let with_carrier = events
        .iter()
        .take_while(|event| event["Carrier__c"] == "DHL")
        .count();
    assert!(
        events[with_carrier..]
            .iter()
            .all(|event| event.get("Carrier__c").is_none())
    );
    assert!((1..COUNT).contains(&with_fax), "{with_fax}");
    assert!(
        (1..=COUNT - 200).contains(&with_gift),
        "a field that came is filled: {with_gift}"
    );
    assert!(
        (COUNT - with_gift + 1..COUNT).contains(&with_carrier),
        "{with_carrier}"
    );
}
