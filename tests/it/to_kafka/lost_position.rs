//! A stored position that Salesforce no longer accepts, under each policy, and one of another org.

use sfbridge::simulator::{Change, Simulator, SimulatorSettings};

use super::{
    ACCOUNTS, ONE_PARTITION, an_org, committed, created, created_ago, emit, gap_reports, names, now_ms,
    records, stored_position,
};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::wait::until;

fn route(name: &str, to: &str, policy: &str) -> String {
    format!(
        "  - name: {name}\n    from: {{ salesforce: {ACCOUNTS}, start: earliest, on_lost_position: {policy} }}\n    to: {{ kafka: {to}, format: json }}\n"
    )
}

fn replayed(records: &[crate::support::topic::Seen]) -> Vec<String> {
    let marked: Vec<_> = records
        .iter()
        .filter(|record| record.header("ce_sfreplayed").as_deref() == Some("true"))
        .cloned()
        .collect();
    names(&marked)
}

/// Pain: an expired replay id wedges the consumer, or is replaced by the tip without a word, for weeks. Here
/// each route does what its policy says, and what may be missing stands in a gap report.
#[tokio::test]
async fn a_lost_position_follows_the_policy_of_its_route_and_is_reported() {
    let kafka = need!("kafka", broker::shared());
    let (org, name) = (an_org().await, unique("lost"));
    let [earliest, latest, halt] = ["earliest", "latest", "halt"].map(unique);
    let routes = |halted: &str| {
        [
            route("r-earliest", &earliest, "earliest"),
            route("r-latest", &latest, "latest"),
            route("r-halt", &halt, halted),
        ]
        .concat()
    };
    let mut setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(&name, &kafka, &org, &routes("halt"))
    };
    let bridge = Bridge::start(&setup).await;
    let began = now_ms();
    let change = |event: &str, ago_ms: i64| {
        let change = Change {
            commit_timestamp: Some(began - ago_ms),
            ..created(event)
        };
        org.change(&change).unwrap();
    };
    for (event, ago_ms) in [("1", 22_000), ("2", 21_000), ("3", 20_000)] {
        change(event, ago_ms);
    }
    for to in [&earliest, &latest, &halt] {
        records(&kafka, to, 3).await;
    }
    bridge.kill();
    let (position, _) = stored_position(&kafka, &name, "r-earliest").await.unwrap();
    org.lose_positions(None).unwrap();
    // Still held by Salesforce: one that is no younger than the last delivered event, and two that are.
    let at = position["event_time"].as_str().unwrap().to_owned();
    for (event, ago_ms) in [("4", 20_500), ("5", 19_000), ("6", 18_000)] {
        change(event, ago_ms);
    }
    let bridge = Bridge::start(&setup).await;
    let halted = bridge.until_state("r-halt", &["halted"]).await;
    let (why, remedy) = (
        halted["state"]["why"].to_string(),
        halted["state"]["remedy"].to_string(),
    );
    assert!(
        why.contains(ACCOUNTS) && remedy.contains("on_lost_position"),
        "{halted}"
    );
    assert_eq!(
        bridge
            .metric("sfbridge_gaps_total", "route=\"r-halt\",kind=\"lost_position\"")
            .await,
        1.0
    );
    assert_eq!(
        committed(&kafka, &halt).await.len(),
        3,
        "nothing goes on without the operator"
    );

    let seen = records(&kafka, &earliest, 6).await;
    assert_eq!(names(&seen), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        replayed(&seen),
        ["4"],
        "marked is what may have been delivered before"
    );
    until(PATIENCE, "the route from the tip", || async {
        (gap_reports(&kafka, &name, "r-latest").await.len() == 1).then_some(())
    })
    .await;
    emit(&org, &["7"]);
    assert_eq!(names(&records(&kafka, &latest, 4).await), ["1", "2", "3", "7"]);
    assert_eq!(names(&records(&kafka, &earliest, 7).await).last().unwrap(), "7");
    for (route, resolution) in [("r-earliest", "earliest"), ("r-latest", "latest")] {
        let reports = gap_reports(&kafka, &name, route).await;
        assert_eq!(reports.len(), 1, "{reports:?}");
        let report = &reports[0];
        assert_eq!(
            (&report["kind"], &report["resolution"], &report["topic"]),
            (&"lost_position".into(), &resolution.into(), &ACCOUNTS.into())
        );
        assert_eq!(report["from_event_time"], at, "{report}");
        assert!(
            report["from_replay_id"].is_string() && report["resumed_at"].is_string(),
            "{report}"
        );
    }
    assert!(
        gap_reports(&kafka, &name, "r-halt").await.is_empty(),
        "not before it goes on"
    );

    bridge.kill();
    setup.routes = routes("earliest");
    let _bridge = Bridge::start(&setup).await;
    let seen = records(&kafka, &halt, 7).await;
    assert_eq!((names(&seen).len(), replayed(&seen)), (7, vec!["4".to_owned()]));
    assert_eq!(
        gap_reports(&kafka, &name, "r-halt").await[0]["resolution"],
        "earliest"
    );
}

/// Pain: a bridge pointed at another org (a sandbox refresh, a migration) hands it a replay id of the old one.
#[tokio::test]
async fn another_org_behind_the_same_route_is_a_lost_position() {
    let kafka = need!("kafka", broker::shared());
    let (name, to) = (unique("orgs"), unique("accounts"));
    let first = an_org().await;
    let setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(&name, &kafka, &first, &route("accounts", &to, "earliest"))
    };
    let bridge = Bridge::start(&setup).await;
    first.change(&created_ago("1", 1_000)).unwrap();
    records(&kafka, &to, 1).await;
    bridge.kill();
    let second = Simulator::start(SimulatorSettings {
        organization_id: "00DSB0000000002".to_owned(),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    for (event, ago) in [("2", 9_000), ("3", 0)] {
        second.change(&created_ago(event, ago)).unwrap();
    }
    let setup = Setup {
        pubsub_url: second.pubsub_url(),
        login_url: second.login_url().to_owned(),
        ..setup
    };
    let _bridge = Bridge::start(&setup).await;
    let seen = records(&kafka, &to, 3).await;
    assert_eq!(
        (names(&seen), replayed(&seen)),
        (["1", "2", "3"].map(str::to_owned).to_vec(), vec!["2".to_owned()])
    );
    assert_eq!(gap_reports(&kafka, &name, "accounts").await.len(), 1);
    let (position, _) = stored_position(&kafka, &name, "accounts").await.unwrap();
    assert_eq!(position["org_id"], second.organization_id());
}
