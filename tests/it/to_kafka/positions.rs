//! The topic of the positions is not what it must be: the routes halt and say what to do, and go on once it is
//! mended. A bridge that made the topic anew by itself would lose every position without a word.

use super::{ACCOUNTS, ONE_PARTITION, an_org, emit, names, records};
use crate::need;
use crate::support::bridge::{Bridge, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{self, unique};

const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact")];

/// Starts the bridge against the topic as it is, and gives what it halts with.
async fn halt_text(setup: &Setup) -> (Bridge, String) {
    let bridge = Bridge::start(setup).await;
    let halted = bridge.until_state("accounts", &["halted"]).await;
    assert!(bridge.is_running());
    (bridge, halted["state"].to_string())
}

/// Pain: a light tool's store of positions goes missing, and the tool starts over as if nothing had been.
#[tokio::test]
async fn a_positions_topic_that_was_deleted_or_altered_halts_the_routes_with_the_remedy() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("positions"), unique("accounts"));
    let setup = Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""))
    };
    let positions = format!("_sfbridge.{name}.positions");
    let bridge = Bridge::start(&setup).await;
    emit(&org, &["1"]);
    records(&kafka, &to, 1).await;
    assert_eq!(
        topic::config(&kafka, &positions, "cleanup.policy")
            .await
            .as_deref(),
        Some("compact")
    );
    let partitions = topic::partition_count(&kafka, &positions).await.unwrap();

    // Under the running bridge.
    topic::delete(&kafka, &positions).await;
    emit(&org, &["2"]);
    let halted = bridge.until_state("accounts", &["halted"]).await;
    assert!(halted["state"].to_string().contains(&positions), "{halted}");
    drop(bridge);

    let (_bridge, said) = halt_text(&setup).await;
    assert!(
        said.contains(&positions) && said.contains("is gone") && said.contains("--create"),
        "{said}"
    );
    drop(_bridge);

    topic::create(&kafka, &positions, partitions, &[("cleanup.policy", "delete")]).await;
    let (_bridge, said) = halt_text(&setup).await;
    assert!(
        said.contains(&positions) && said.contains("cleanup.policy=compact"),
        "{said}"
    );
    drop(_bridge);

    topic::delete(&kafka, &positions).await;
    topic::create(&kafka, &positions, partitions + 1, COMPACT).await;
    let (bridge, said) = halt_text(&setup).await;
    assert!(
        said.contains(&positions) && said.contains(&format!("has {} partitions", partitions + 1)),
        "{said}"
    );

    // Mended: the same process goes on by itself. The position is gone with the topic, and `start` decides.
    topic::delete(&kafka, &positions).await;
    topic::create(&kafka, &positions, partitions, COMPACT).await;
    let seen = records(&kafka, &to, 3).await;
    assert_eq!(names(&seen), ["1", "1", "2"]);
    assert!(bridge.is_running());
}

#[tokio::test]
async fn without_create_topics_a_missing_topic_is_named_with_the_command_that_makes_it() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("create"), unique("accounts"));
    let mut setup = Setup {
        kafka: "  create_topics: false\n".to_owned(),
        ..Setup::new(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""))
    };
    let (bridge, said) = halt_text(&setup).await;
    let routes = format!("_sfbridge.{name}.routes");
    assert!(
        said.contains(&routes) && said.contains("kafka-topics") && said.contains("--create"),
        "{said}"
    );
    drop(bridge);
    // With its internal topics there, the data topic is the next to be missed.
    setup.kafka.clear();
    let bridge = Bridge::start(&setup).await;
    crate::support::wait::until(
        crate::support::bridge::PATIENCE,
        "the internal topics",
        || async { topic::partition_count(&kafka, &format!("_sfbridge.{name}.positions")).await },
    )
    .await;
    drop(bridge);
    setup.kafka = "  create_topics: false\n".to_owned();
    emit(&org, &["1"]);
    let (bridge, said) = halt_text(&setup).await;
    assert!(
        said.contains(&to) && said.contains("--create") && said.contains("create_topics"),
        "{said}"
    );
    let all = topic::names(&kafka).await;
    assert!(!all.contains(&to), "nothing is made in passing: {all:?}");
    topic::create(&kafka, &to, 1, &[]).await;
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    assert_eq!(names(&records(&kafka, &to, 1).await), ["1"]);
}
