//! Records of Kafka as platform events.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::{dead_letters, records};
use crate::need;
use crate::support::bridge::{Bridge, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};

#[tokio::test]
async fn records_are_published_in_order_under_ids_of_their_own() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (from, back) = (unique("orders"), unique("back"));
    topic::create(&kafka, &from, 1, &[]).await;
    let values: Vec<String> = (0..500)
        .map(|n| {
            json!({"order": {"id": format!("O-{n}")}, "total": n, "shipped_at": "2026-11-27T10:00:00+01:00"})
                .to_string()
        })
        .collect();
    let mut rows: Vec<(&str, Option<&str>)> =
        values.iter().map(|value| ("k", Some(value.as_str()))).collect();
    let bad = json!({"order": {"id": "bad"}, "total": 7, "shipped_at": "yesterday"}).to_string();
    rows.push(("k", Some(&bad)));
    topic::produce(&kafka, &from, &rows).await;
    let routes = format!(
        "  - name: order-shipped\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to:\n      salesforce: /event/Order_Shipped__e\n      filter: value.total > 0.0\n      fields: {{ Order_Number__c: value.order.id, Shipped_At__c: value.shipped_at, Weight__c: value.total }}\n\
         \x20 - name: shipped\n    from: {{ salesforce: /event/Order_Shipped__e, start: earliest }}\n    to: {{ kafka: {back}, format: json, key: none }}\n"
    );
    let name = unique("crm");
    let mut setup = Setup::new(&name, &kafka, &org, &routes);
    setup.kafka = "  partitions: 1\n".to_owned();
    let _bridge = Bridge::start(&setup).await;
    let seen = records(&kafka, &back, 499).await;
    let numbers: Vec<Value> = seen
        .iter()
        .map(|record| serde_json::from_str::<Value>(&record.value_text()).unwrap())
        .collect();
    let expected: Vec<String> = (1..500).map(|n| format!("O-{n}")).collect();
    let found: Vec<&str> = numbers
        .iter()
        .map(|value| value["Order_Number__c"].as_str().unwrap())
        .collect();
    assert_eq!(found, expected, "all but the filtered one, in order");
    assert_eq!(numbers[0]["Shipped_At__c"], "2026-11-27T09:00:00.000Z");
    assert_eq!(numbers[0]["Weight__c"], 1.0);
    let ids: BTreeSet<String> = seen
        .iter()
        .map(|record| record.header("ce_id").unwrap())
        .collect();
    assert_eq!(ids.len(), 499);
    let dead = records(&kafka, &dead_letters(&name), 1).await;
    let error = dead[0].header("sfbridge_error").unwrap();
    assert!(error.contains("Shipped_At__c"), "{error}");
}
