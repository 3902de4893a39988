//! The first start with `start: latest`, cut off by `kill -9`: what was published meanwhile is not lost.
//! Bridges without a stored place begin at the tip again after such a crash and skip what came in between.

use super::{
    ACCOUNTS, ONE_PARTITION, an_org, created_ago, emit, names, records, stored_position, subscriptions,
};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::wait::until;

fn latest(name: &str, kafka: &str, org: &sfbridge::simulator::Simulator, to: &str) -> Setup {
    let route = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: latest }}\n    to: {{ kafka: {to}, format: json }}\n"
    );
    Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(name, kafka, org, &route)
    }
}

/// Pain: a bridge that keeps no position of its own starts over at the tip, or from the beginning.
#[tokio::test]
async fn a_crash_before_the_first_event_loses_nothing_and_brings_nothing_older() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("first"), unique("accounts"));
    let setup = latest(&name, &kafka, &org, &to);
    for old in ["old 1", "old 2", "old 3"] {
        org.change(&created_ago(old, 10_000)).unwrap();
    }
    let bridge = Bridge::start(&setup).await;
    subscriptions(&org, ACCOUNTS, 1).await;
    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert!(
        position["since"].is_string() && position.get("replay_id").is_none(),
        "stored before the first subscription: {position}"
    );
    assert_eq!(
        (position["topic"].as_str(), position["org_id"].as_str()),
        (Some(ACCOUNTS), Some(&*org.organization_id()))
    );
    bridge.kill();
    emit(&org, &["while down 1", "while down 2"]);
    let bridge = Bridge::start(&setup).await;
    emit(&org, &["after"]);
    let seen = records(&kafka, &to, 3).await;
    assert_eq!(names(&seen), ["while down 1", "while down 2", "after"]);
    let route = until(PATIENCE, "the route's numbers", || async {
        let route = bridge.route("accounts").await?;
        (route["records_written"] == 3).then_some(route)
    })
    .await;
    assert_eq!(route["filtered"], 3, "the older ones are counted: {route}");
    assert!(
        bridge
            .metric("sfbridge_records_written_total", "outcome=\"filtered\"")
            .await
            >= 3.0
    );
}

#[tokio::test]
async fn a_crash_right_after_the_first_event_loses_nothing_and_doubles_nothing() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("first"), unique("accounts"));
    let setup = latest(&name, &kafka, &org, &to);
    let bridge = Bridge::start(&setup).await;
    subscriptions(&org, ACCOUNTS, 1).await;
    emit(&org, &["first"]);
    let seen = records(&kafka, &to, 1).await;
    bridge.kill();
    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert_eq!(
        position["after"][0],
        seen[0].header("ce_id").unwrap(),
        "{position}"
    );
    assert!(
        position.get("replay_id").is_none(),
        "one event does not complete its id: {position}"
    );
    emit(&org, &["while down"]);
    let _bridge = Bridge::start(&setup).await;
    emit(&org, &["after"]);
    assert_eq!(
        names(&records(&kafka, &to, 3).await),
        ["first", "while down", "after"]
    );
    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert!(
        position["replay_id"].is_string() && position["event_time"].is_string(),
        "{position}"
    );
    assert!(
        position["updated_at"].as_str().unwrap().ends_with('Z'),
        "{position}"
    );
}
