//! A registry that answers and lets nothing be registered: only what would have to be registered stops.

use super::{ACCOUNTS, ONE_PARTITION, an_org, created, emit, names, records, stored_position};
use crate::need;
use crate::support::bridge::{Bridge, Setup, json_route};
use crate::support::registry_front::Front;
use crate::support::topic::{committed, unique};
use crate::support::{broker, registry};

fn avro_route(name: &str, to: &str) -> String {
    format!(
        "  - name: {name}\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {to}, format: avro }}\n"
    )
}

/// A registry's answer to a registration, and what the route that needed it then says.
struct Refusal {
    status: u16,
    code: u32,
    why: &'static str,
    remedy: &'static str,
}

/// A follower, a mirror, or a registry that is being moved.
#[tokio::test]
async fn a_registry_that_is_read_only_halts_the_route_with_a_new_schema_and_no_other() {
    halts_the_route_with_a_new_schema_alone(&Refusal {
        status: 422,
        code: 42_205,
        why: "read-only",
        remedy: "have the schema registered under",
    })
    .await;
}

/// Schemas are registered by a pipeline, and the bridge's user has no right to.
#[tokio::test]
async fn a_user_that_may_not_register_halts_the_route_with_a_new_schema_and_no_other() {
    halts_the_route_with_a_new_schema_alone(&Refusal {
        status: 403,
        code: 40_301,
        why: "does not let sfbridge do this",
        remedy: "what they are allowed",
    })
    .await;
}

async fn halts_the_route_with_a_new_schema_alone(refusal: &Refusal) {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, front, name) = (an_org().await, Front::start(&url).await, unique("crm"));
    let [known, new, plain] = ["known", "new", "plain"].map(unique);
    let setup = |routes: &str| Setup {
        kafka: ONE_PARTITION.to_owned(),
        registry: Some(front.url.clone()),
        ..Setup::new(&name, &kafka, &org, routes)
    };
    emit(&org, &["one"]);
    let first = Bridge::start(&setup(&avro_route("known", &known))).await;
    records(&kafka, &known, 1).await;
    drop(first);

    front.refuse(refusal.status, refusal.code, "Not here");
    emit(&org, &["two"]);
    let routes =
        avro_route("known", &known) + &avro_route("new", &new) + &json_route("plain", ACCOUNTS, &plain, "");
    // It has forgotten what is registered, and asks.
    let bridge = Bridge::start(&setup(&routes)).await;
    let halted = bridge.until_state("new", &["halted"]).await;
    let why = halted["state"]["why"].as_str().unwrap();
    assert!(why.contains(refusal.why), "{why}");
    let remedy = halted["state"]["remedy"].as_str().unwrap();
    assert!(remedy.contains(refusal.remedy), "{remedy}");
    records(&kafka, &known, 2).await;
    assert_eq!(names(&records(&kafka, &plain, 2).await), ["one", "two"]);
    emit(&org, &["three"]);
    records(&kafka, &known, 3).await;
    records(&kafka, &plain, 3).await;
    assert!(committed(&kafka, &new).await.is_empty());
    assert!(stored_position(&kafka, &name, "new").await.is_none());

    front.refuse_no_more();
    assert_eq!(bridge.post("/api/routes/new/restart").await.0, 202);
    assert_eq!(records(&kafka, &new, 3).await.len(), 3, "nothing was lost");
    // What is known is not enough for a field that is new.
    front.refuse(refusal.status, refusal.code, "Not here");
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    org.change(&created("four").field("Added__c", "there")).unwrap();
    for route in ["known", "new"] {
        bridge.until_state(route, &["halted"]).await;
    }
    assert_eq!(records(&kafka, &plain, 4).await.len(), 4);
    assert_eq!(committed(&kafka, &known).await.len(), 3);
}
