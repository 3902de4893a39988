//! What Salesforce's refusals lead to: another try, a wait, a halt, or one dead letter.

use serde_json::{Value, json};
use sfbridge::simulator::Simulator;
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::writes::RecordFault;

use super::{Pair, an_org, by_key, committed, dead_letters, finished, orders, records, until_waiting};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

/// Stands in Salesforce's sentences, which hold field values.
const SECRET: &str = "Secret Value";

fn refused(sobject: &str, code: &str, key: &str) -> RecordFault {
    let mut fault = RecordFault::new(sobject, code).key(key);
    fault.message = format!("{code} of '{SECRET}'");
    fault
}

fn assert_secret(route: &Value, bridge: &Bridge) {
    assert!(!route.to_string().contains(SECRET), "{route}");
    assert!(!bridge.log().contains(SECRET), "{}", bridge.log());
}

/// Unless the org has so many of both, and there are no dead letters.
async fn assert_all(both: &Pair, org: &Simulator, count: usize) {
    assert_eq!(by_key(org, "Account", "Customer_Id__c").len(), count);
    assert_eq!(by_key(org, "Order__c", "Order_Number__c").len(), count);
    let dead = topic::committed(&both.kafka, &dead_letters(&both.name)).await;
    assert!(dead.is_empty(), "{dead:?}");
}

#[tokio::test]
async fn what_breaks_inside_salesforce_is_tried_again_and_costs_no_record() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    org.record_fault(refused("Account", "UNKNOWN_EXCEPTION", "c3").times(3));
    org.record_fault(refused("Order__c", "ALL_OR_NONE_OPERATION_ROLLED_BACK", "O-4").times(2));
    let both = Pair::start(&kafka, &org, orders).await;
    both.produce(0..10).await;
    both.finished("customers").await;
    both.finished("orders").await;
    assert_eq!(org.faults_waiting(), 0, "it was tried so often");
    assert_all(&both, &org, 10).await;
    assert_eq!(org.org_counts().records_saved, 20, "each once");
}

/// Twenty more of both from this number on, while accounts may not be written: until the route halts for this reason
/// with so much committed, and again once they may.
async fn halts_and_goes_on(both: &Pair, org: &Simulator, first: usize, why: &str, place: i64) {
    both.produce(first..first + 10).await;
    let halted = both.bridge.until_state("customers", &["halted"]).await;
    let state = &halted["state"];
    assert!(state["why"].to_string().contains(why), "{halted}");
    assert!(
        state["remedy"].to_string().contains("Create and Edit"),
        "{halted}"
    );
    assert_secret(&halted, &both.bridge);
    assert_eq!(both.bridge.get("/ready").await.unwrap().0, 503);
    // What comes meanwhile waits; the other route goes on.
    both.produce(first + 10..first + 20).await;
    both.finished("orders").await;
    let committed = committed(&both.kafka, &both.name, "customers", &both.topics[0]).await;
    assert_eq!(committed, [Some(place)], "nothing past it");

    org.clear_faults();
    assert_eq!(both.bridge.post("/api/routes/customers/restart").await.0, 202);
    both.finished("customers").await;
    assert_all(both, org, first + 20).await;
}

/// A record's verdict that holds for every record, and a request's.
#[tokio::test]
async fn what_may_not_be_written_halts_its_route_alone_and_a_restart_after_the_fix_delivers_everything() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let both = Pair::start(&kafka, &org, orders).await;
    org.record_fault(refused("Account", "INVALID_TYPE", "c3").times(u32::MAX));
    let why = "Salesforce does not let Account be written (INVALID_TYPE)";
    halts_and_goes_on(&both, &org, 0, why, 3).await;

    let refusal = RestRefusal::new(403, "INSUFFICIENT_ACCESS", &format!("of '{SECRET}'"));
    org.rest_fault(RestFault {
        path: Some("composite/sobjects/Account".to_owned()),
        times: u32::MAX,
        refusal: Some(refusal),
        ..RestFault::default()
    });
    halts_and_goes_on(&both, &org, 20, "may not write Account", 20).await;
}

#[tokio::test]
async fn a_limit_that_one_record_meets_is_waited_for_and_costs_no_record() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    org.record_fault(refused("Account", "STORAGE_LIMIT_EXCEEDED", "c3").times(u32::MAX));
    org.record_fault(refused("Order__c", "LIMIT_EXCEEDED", "O-3").times(u32::MAX));
    let both = Pair::start(&kafka, &org, orders).await;
    both.produce(0..10).await;
    let storage = until_waiting(&both.bridge, "customers", "data storage is full").await;
    assert!(
        storage["remedy"].to_string().contains("delete records"),
        "{storage}"
    );
    assert!(
        storage["why"]
            .to_string()
            .contains(&format!("{}[0]", both.topics[0])),
        "{storage}"
    );
    let limit = until_waiting(
        &both.bridge,
        "orders",
        "a limit of the org is used up (LIMIT_EXCEEDED)",
    )
    .await;
    for state in [&storage, &limit] {
        assert_secret(state, &both.bridge);
    }
    for (route, topic) in ["customers", "orders"].into_iter().zip(&both.topics) {
        until(PATIENCE, "the commit of what stands before it", || async {
            (committed(&kafka, &both.name, route, topic).await == [Some(3)]).then_some(())
        })
        .await;
    }
    org.clear_faults();
    both.finished("customers").await;
    both.finished("orders").await;
    assert_all(&both, &org, 10).await;
    assert_eq!(org.org_counts().records_saved, 20, "each once");
}

/// A parent may be named by an external id alone; what else names it stops Salesforce's parser.
#[tokio::test]
async fn a_request_that_is_refused_for_two_of_its_records_is_halved_until_they_stand_alone() {
    const COUNT: usize = 200;
    const BAD: [usize; 2] = [57, 133];
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("people"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let rows: Vec<(String, String)> = (0..COUNT)
        .map(|n| {
            let mut person = json!({"id": format!("p{n}"), "name": "N"});
            if BAD.contains(&n) {
                person["employer"] = json!("4711");
            }
            (format!("p{n}"), person.to_string())
        })
        .collect();
    topic::produce_values(&kafka, &from, &rows).await;
    let routes = format!(
        "  - name: people\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to:\n      salesforce: Contact\n      operation: upsert\n      external_id: Person_Id__c\n      fields: {{ Person_Id__c: value.id, LastName: value.name, Account.AccountNumber: value.employer }}\n"
    );
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &routes)).await;
    finished(&kafka, &name, "people", &from).await;
    let dead = records(&kafka, &dead_letters(&name), BAD.len()).await;
    let dead: Vec<(String, String)> = dead
        .iter()
        .map(|letter| (letter.key_text(), letter.header("sfbridge_error").unwrap()))
        .collect();
    assert_eq!(dead.len(), BAD.len(), "{dead:?}");
    for ((key, reason), bad) in dead.iter().zip(BAD) {
        assert_eq!(*key, format!("p{bad}"));
        assert!(
            reason.contains("AccountNumber does not match an External ID"),
            "{reason}"
        );
    }
    let people = by_key(&org, "Contact", "Person_Id__c");
    assert_eq!(people.len(), COUNT - BAD.len());
    let counts = org.org_counts();
    assert_eq!(counts.records_saved, people.len() as u64, "each once");
    // Down to each of them, and once more for what was cut off on the way.
    let halvings = u64::from(COUNT.ilog2() + 1);
    let calls = counts.collections_calls;
    assert!(calls <= 5 * halvings, "{calls} requests");
}
