//! A record that the broker refuses, among good ones: it is found, kept as a dead letter with the reason, and
//! the others arrive once and in order.

use serde_json::Value;
use sfbridge::simulator::{Change, ChangeType};

use super::{
    ACCOUNTS, ONE_PARTITION, an_org, committed, created, created_ago, emit, gap_reports, json, names, now_ms,
    records,
};
use crate::need;
use crate::support::bridge::{Bridge, Setup};
use crate::support::broker;
use crate::support::topic::{self, Seen, unique};

fn route(name: &str, to: &str, dead: &str, max_consecutive: u32) -> String {
    format!(
        "  - name: {name}\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {to}, format: json }}\n    dead_letter: {{ kafka: {dead}, max_consecutive: {max_consecutive} }}\n"
    )
}

fn without<'a>(all: &[&'a str], culprit: &str) -> Vec<&'a str> {
    all.iter().copied().filter(|name| *name != culprit).collect()
}

fn assert_reason(dead: &Seen, route: &str, topic: &str) {
    let header = |name: &str| {
        dead.header(name)
            .unwrap_or_else(|| panic!("{name}: {:?}", dead.headers))
    };
    assert_eq!(header("sfbridge_error_kind"), "poison");
    assert!(
        header("sfbridge_error").contains(topic),
        "{}",
        header("sfbridge_error")
    );
    assert_eq!(
        (header("sfbridge_route"), header("ce_sfroute")),
        (route.to_owned(), route.to_owned())
    );
    assert_eq!(
        header("sfbridge_source"),
        format!("{ACCOUNTS}@{}", header("ce_sfreplayid"))
    );
    assert_eq!(dead.key_text(), header("ce_sfreplayid"));
    assert!(header("sfbridge_failed_at").ends_with('Z'));
    assert!(header("sfbridge_attempts").parse::<u32>().unwrap() >= 2);
    for name in [
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "ce_sfschemaid",
        "ce_specversion",
        "content-type",
    ] {
        header(name);
    }
}

/// Pain: an event that Kafka does not take is dropped inside the connector while its cursor moves on, or stops
/// the connector for good.
#[tokio::test]
async fn the_one_record_that_a_broker_refuses_is_dead_lettered_and_the_others_arrive_once_in_order() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("refused"));
    let [small, second, strict, dead, dead_small] =
        ["small", "second", "strict", "dead", "dead-small"].map(unique);
    for small in [&small, &second] {
        topic::create(&kafka, small, 1, &[("max.message.bytes", "30000")]).await;
    }
    topic::create(&kafka, &strict, 1, &[("message.timestamp.after.max.ms", "60000")]).await;
    topic::create(&kafka, &dead_small, 1, &[("max.message.bytes", "20000")]).await;
    let routes = [
        route("large", &small, &dead, 100),
        route("ahead", &strict, &dead, 100),
        route("hopeless", &second, &dead_small, 100),
    ]
    .concat();
    let mut all: Vec<&str> = vec!["0", "1", "2", "3", "4", "large", "5", "6", "ahead", "7"];
    for name in &all {
        let change = match *name {
            "ahead" => created_ago("ahead", -120_000),
            "large" => created("large").field("Description", "x".repeat(31_000)),
            other => created(other),
        };
        org.change(&change).unwrap();
    }
    let setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(&name, &kafka, &org, &routes)
    };
    let bridge = Bridge::start(&setup).await;
    for to in [&small, &second, &strict] {
        records(&kafka, to, 9).await;
    }
    emit(&org, &["8"]);
    all.push("8");
    for to in [&small, &second] {
        assert_eq!(names(&records(&kafka, to, 10).await), without(&all, "large"));
    }
    assert_eq!(names(&records(&kafka, &strict, 10).await), without(&all, "ahead"));

    let kept = records(&kafka, &dead, 2).await;
    assert_eq!(kept.len(), 2);
    for (route, to) in [("large", &small), ("ahead", &strict)] {
        let letter = kept
            .iter()
            .find(|record| record.header("sfbridge_route").as_deref() == Some(route))
            .unwrap();
        assert_reason(letter, route, to);
        assert!(
            letter.value.as_ref().is_some_and(|value| !value.is_empty()),
            "the payload is kept"
        );
    }
    let bare = records(&kafka, &dead_small, 1).await;
    assert_eq!(bare.len(), 1);
    assert_reason(&bare[0], "hopeless", &second);
    assert_eq!(bare[0].value, None, "too large even for the dead letters");
    let reports = gap_reports(&kafka, &name, "hopeless").await;
    assert_eq!(
        (reports.len(), &reports[0]["kind"]),
        (1, &Value::from("too_large")),
        "{reports:?}"
    );
    assert_eq!(reports[0]["from_replay_id"], bare[0].key_text());
    assert_eq!(
        bridge
            .metric("sfbridge_dead_letters_total", "kind=\"poison\"")
            .await,
        3.0
    );
    assert_eq!(
        bridge
            .metric("sfbridge_gaps_total", "route=\"hopeless\",kind=\"too_large\"")
            .await,
        1.0
    );
}

/// What Salesforce says is missing is reported even where its event is refused.
#[tokio::test]
async fn a_gap_event_that_a_broker_refuses_still_leaves_its_gap_report() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("refused-gap"));
    let [strict, dead] = ["strict", "dead"].map(unique);
    topic::create(&kafka, &strict, 1, &[("message.timestamp.after.max.ms", "60000")]).await;
    let gap = Change {
        commit_timestamp: Some(now_ms() + 120_000),
        ..Change::new("Account", ChangeType::GapUpdate).records(["001000000000001AAA"])
    };
    org.change(&gap).unwrap();
    let setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(&name, &kafka, &org, &route("gap", &strict, &dead, 100))
    };
    let _bridge = Bridge::start(&setup).await;
    assert_eq!(records(&kafka, &dead, 1).await.len(), 1);
    let reports = gap_reports(&kafka, &name, "gap").await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(
        (&reports[0]["kind"], &reports[0]["resolution"]),
        (&Value::from("gap"), &Value::from("dead_letter"))
    );
}

/// A topic that refuses everything is a wrong topic, not a row of bad events.
#[tokio::test]
async fn a_topic_that_refuses_every_record_halts_the_route_after_the_allowed_dead_letters() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    let [tiny, dead] = ["tiny", "dead"].map(unique);
    topic::create(&kafka, &tiny, 1, &[("max.message.bytes", "500")]).await;
    emit(&org, &["1", "2", "3", "4", "5"]);
    let setup = Setup::new(&unique("tiny"), &kafka, &org, &route("accounts", &tiny, &dead, 2));
    let bridge = Bridge::start(&setup).await;
    let halted = bridge.until_state("accounts", &["halted"]).await;
    assert!(halted["state"]["remedy"].to_string().contains(&dead), "{halted}");
    assert_eq!(
        committed(&kafka, &dead).await.len(),
        2,
        "the last one is stored, too"
    );
    assert!(bridge.is_running());
    // The operator mends the topic: what was dead-lettered stays so, the rest is delivered.
    topic::delete(&kafka, &tiny).await;
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    let seen = records(&kafka, &tiny, 3).await;
    assert_eq!(names(&seen), ["3", "4", "5"]);
    assert_eq!(json(&seen[0])["ChangeEventHeader"]["entityName"], "Account");
}
