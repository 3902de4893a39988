//! What passes by itself: the route waits, says why and until when, goes on, and nothing is lost.

use serde_json::json;
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::{
    an_org, by_key, customers, finished, produce_customers, produce_orders, published, records, shipped,
    until_waiting,
};
use crate::need;
use crate::support::bridge::{Bridge, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};

const SHIPPED: &str = "/event/Order_Shipped__e";

/// Both routes, each with a topic of one partition, and ten records through each.
struct Both {
    kafka: String,
    name: String,
    topics: [String; 2],
    bridge: Bridge,
}

impl Both {
    async fn start(kafka: &str, org: &Simulator) -> Self {
        let (name, topics) = (unique("crm"), ["customers", "orders"].map(unique));
        for topic in &topics {
            topic::create(kafka, topic, 1, &[]).await;
        }
        let routes = customers(&topics[0]) + &shipped(&topics[1]);
        let both = Self {
            bridge: Bridge::start(&Setup::new(&name, kafka, org, &routes)).await,
            kafka: kafka.to_owned(),
            name,
            topics,
        };
        both.produce(0..10).await;
        both.finished().await;
        both
    }

    async fn produce(&self, numbers: std::ops::Range<usize>) {
        produce_customers(&self.kafka, &self.topics[0], numbers.clone(), "one").await;
        produce_orders(&self.kafka, &self.topics[1], numbers).await;
    }

    async fn finished(&self) {
        for (route, topic) in ["customers", "shipped"].into_iter().zip(&self.topics) {
            finished(&self.kafka, &self.name, route, topic).await;
            let route = self.bridge.route(route).await.unwrap();
            assert_ne!(route["state"]["name"], "halted", "{route}");
        }
    }

    /// Unless the org has so many customers, and so many orders were published, each once.
    fn assert_all(&self, org: &Simulator, count: usize) {
        assert_eq!(by_key(org, "Account", "Customer_Id__c").len(), count);
        assert_eq!(published(org, SHIPPED).len(), count, "each once");
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_nothing_is_lost() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = Both::start(&kafka, &org).await;
    let tokens = org.org_counts().tokens_issued;
    org.expire_tokens();
    both.produce(10..20).await;
    both.finished().await;
    both.assert_all(&org, 20);
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
    let both = Both::start(&kafka, &org).await;
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
    both.finished().await;
    both.assert_all(&org, 20);
}

#[tokio::test]
async fn salesforce_that_does_not_work_is_waited_for() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = Both::start(&kafka, &org).await;
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
    both.finished().await;
    both.assert_all(&org, 20);
}

/// Nobody listens; then another org does that knows nothing of the tokens of the first.
#[tokio::test]
async fn salesforce_that_is_gone_is_waited_for_and_gets_what_came_meanwhile() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = Both::start(&kafka, &org).await;
    let settings = SimulatorSettings {
        pubsub: org.pubsub_address(),
        http: org.http_address(),
        ..SimulatorSettings::default()
    };
    drop(org);
    both.produce(10..20).await;
    until_waiting(&both.bridge, "customers", "").await;
    until_waiting(&both.bridge, "shipped", "").await;
    let org = crate::support::wait::until(crate::support::bridge::PATIENCE, "the ports", || async {
        Simulator::start(settings.clone()).await.ok()
    })
    .await;
    both.finished().await;
    both.assert_all(&org, 10);
}

#[tokio::test]
async fn a_schema_that_changes_under_way_loses_nothing() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let (name, back) = (unique("crm"), unique("back"));
    let topics = ["customers", "orders"].map(unique);
    for topic in &topics {
        topic::create(&kafka, topic, 1, &[]).await;
    }
    let routes = customers(&topics[0])
        + &shipped(&topics[1])
        + &format!(
            "  - name: back\n    from: {{ salesforce: {SHIPPED}, start: earliest }}\n    to: {{ kafka: {back}, format: json, key: none }}\n"
        );
    let mut setup = Setup::new(&name, &kafka, &org, &routes);
    setup.kafka = "  partitions: 1\n".to_owned();
    let _bridge = Bridge::start(&setup).await;
    let produce = async |numbers: std::ops::Range<usize>| {
        for n in numbers {
            let key = format!("c{n}");
            let customer = json!({"Customer_Id__c": key, "Name": "x", "Fax": "1"}).to_string();
            topic::produce(&kafka, &topics[0], &[(&key, Some(&customer))]).await;
            let order = json!({"Order_Number__c": key, "Carrier__c": "DHL", "Gift__c": "yes"}).to_string();
            topic::produce(&kafka, &topics[1], &[(&key, Some(&order))]).await;
        }
        for (route, topic) in ["customers", "shipped"].into_iter().zip(&topics) {
            finished(&kafka, &name, route, topic).await;
        }
    };
    produce(0..5).await;
    org.add_field(SHIPPED, "Gift__c", "string").unwrap();
    org.remove_field("/data/AccountChangeEvent", "Fax").unwrap();
    produce(5..10).await;
    org.remove_field(SHIPPED, "Carrier__c").unwrap();
    produce(10..15).await;

    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), 15);
    let events: Vec<serde_json::Value> = records(&kafka, &back, 15)
        .await
        .iter()
        .map(|record| serde_json::from_str(&record.value_text()).unwrap())
        .collect();
    assert_eq!(events.len(), 15, "each once");
    let numbers: Vec<String> = events
        .iter()
        .map(|event| event["Order_Number__c"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(numbers, (0..15).map(|n| format!("c{n}")).collect::<Vec<_>>());
    assert_eq!(events[9]["Gift__c"], "yes", "a field that came is filled");
    assert_eq!(events[9]["Carrier__c"], "DHL");
    assert!(events[14].get("Carrier__c").is_none(), "{}", events[14]);
}
