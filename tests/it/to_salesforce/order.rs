//! Which record goes before which, where one of them cannot go yet.

use serde_json::json;
use sfbridge::simulator::rest::RestFault;
use sfbridge::simulator::writes::RecordFault;

use super::{an_org, by_key, committed, customers, finished};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

async fn produce(kafka: &str, topic: &str, rows: &[(&str, serde_json::Value)]) {
    let rows: Vec<(&str, String)> = rows
        .iter()
        .map(|(key, value)| (*key, value.to_string()))
        .collect();
    topic::produce_values(kafka, topic, &rows).await;
}

fn customer(id: &str, name: &str) -> serde_json::Value {
    json!({"Customer_Id__c": id, "Name": name})
}

#[tokio::test]
async fn a_locked_record_is_tried_alone_while_others_pass_and_its_later_version_stays_behind() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    // As long as the others need, whatever the machine does meanwhile.
    org.record_fault(
        RecordFault::new("Account", "UNABLE_TO_LOCK_ROW")
            .key("c1")
            .times(u32::MAX),
    );
    topic::create(&kafka, &from, 1, &[]).await;
    let mut rows = vec![("c1", customer("c1", "first")), ("c2", customer("c2", "x"))];
    rows.push(("c1", customer("c1", "second")));
    let others: Vec<String> = (10..300).map(|n| format!("c{n}")).collect();
    rows.extend(others.iter().map(|id| (id.as_str(), customer(id, "x"))));
    produce(&kafka, &from, &rows).await;
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &customers(&from))).await;
    until(PATIENCE, "the others", || async {
        (by_key(&org, "Account", "Customer_Id__c").len() == 291).then_some(())
    })
    .await;
    assert!(!by_key(&org, "Account", "Customer_Id__c").contains_key("c1"));
    let before = committed(&kafka, &name, "customers", &from).await;
    assert!(
        matches!(before[..], [None | Some(0)]),
        "nothing is committed past it"
    );
    org.clear_faults();
    finished(&kafka, &name, "customers", &from).await;
    assert_eq!(by_key(&org, "Account", "Customer_Id__c")["c1"]["Name"], "second");
    let changes = org
        .topic_counts("/data/AccountChangeEvent")
        .unwrap()
        .events_stored;
    assert_eq!(changes, 293, "both versions, each once");
}

/// A process that died may have a request on its way still, which nobody will hear the answer of.
#[tokio::test]
async fn what_a_dead_owner_has_under_way_never_overwrites_a_later_version() {
    /// More than a restart takes.
    const ON_ITS_WAY_MS: u64 = 8_000;
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let setup = Setup::new(&name, &kafka, &org, &customers(&from));
    let bridge = Bridge::start(&setup).await;
    produce(&kafka, &from, &[("c0", customer("c0", "x"))]).await;
    finished(&kafka, &name, "customers", &from).await;
    org.rest_fault(RestFault {
        path: Some("composite".into()),
        delay_ms: ON_ITS_WAY_MS,
        ..RestFault::default()
    });
    let requests = org.org_counts().rest_requests;
    produce(&kafka, &from, &[("c1", customer("c1", "first"))]).await;
    until(PATIENCE, "the request", || async {
        let in_hand = bridge.route("customers").await?["in_hand"].as_u64()?;
        (in_hand == 1 && org.org_counts().rest_requests > requests).then_some(())
    })
    .await;
    bridge.kill();
    produce(&kafka, &from, &[("c1", customer("c1", "second"))]).await;
    let _next = Bridge::start(&setup).await;
    finished(&kafka, &name, "customers", &from).await;
    until(PATIENCE, "all four requests carried out", || async {
        (org.org_counts().collections_calls == 4).then_some(())
    })
    .await;
    assert_eq!(by_key(&org, "Account", "Customer_Id__c")["c1"]["Name"], "second");
}

#[tokio::test]
async fn a_child_that_comes_before_its_parent_arrives_once_the_parent_is_there() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("crm"));
    let [people, accounts] = ["people", "accounts"].map(unique);
    for topic in [&people, &accounts] {
        topic::create(&kafka, topic, 1, &[]).await;
    }
    let routes = format!(
        "  - name: people\n    from: {{ kafka: {people}, format: json, start: earliest }}\n    to:\n      salesforce: Contact\n      operation: upsert\n      external_id: Person_Id__c\n      fields: {{ Person_Id__c: value.id, LastName: value.name, Account.Customer_Id__c: value.employer }}\n"
    ) + &customers(&accounts);
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &routes)).await;
    let person = |id: &str, employer: &str| json!({"id": id, "name": "N", "employer": employer});
    produce(&kafka, &accounts, &[("c0", customer("c0", "there"))]).await;
    finished(&kafka, &name, "customers", &accounts).await;
    produce(
        &kafka,
        &people,
        &[("p1", person("p1", "c1")), ("p2", person("p2", "c0"))],
    )
    .await;
    until(PATIENCE, "the one whose parent is there", || async {
        (by_key(&org, "Contact", "Person_Id__c").len() == 1).then_some(())
    })
    .await;
    produce(&kafka, &accounts, &[("c1", customer("c1", "late"))]).await;
    finished(&kafka, &name, "people", &people).await;
    let contacts = by_key(&org, "Contact", "Person_Id__c");
    let parents: Vec<&str> = ["p1", "p2"]
        .iter()
        .map(|id| contacts[*id]["AccountId"].as_str().unwrap())
        .collect();
    assert_ne!(parents[0], parents[1]);
    assert_eq!(
        bridge.metric("sfbridge_dead_letters_total", "people").await,
        0.0,
        "{}",
        bridge.log()
    );
}
