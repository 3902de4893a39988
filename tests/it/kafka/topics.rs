//! Topics: made on purpose, never in passing.

use std::time::Duration;

use sfbridge::error::ErrorKind;
use sfbridge::kafka::{Connection, RouteProducer, Timing, Topics, WriteError};

use super::{Bridge, data};
use crate::need;
use crate::support::broker;
use crate::support::topic;

#[tokio::test]
async fn a_missing_topic_is_made_with_room_for_an_event_that_grew() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let topics = Topics::new(&bridge.connection).expect("topics");
    let (name, gaps) = (topic::unique("data"), topic::unique("gaps"));
    assert_eq!(topics.partitions(&name).await.expect("asked"), None);
    topics.ensure_data(&name).await.expect("made");
    topics.ensure_gaps(&gaps).await.expect("made");
    assert_eq!(topics.partitions(&name).await.expect("asked"), Some(3));
    assert_eq!(topics.partitions(&gaps).await.expect("asked"), Some(1));
    assert_eq!(
        topics.max_message_bytes(&name).await.expect("told"),
        8 * 1024 * 1024
    );
    let retention = topic::config(&bridge.bootstrap, &name, "retention.ms").await;
    assert_eq!(retention.as_deref(), Some("604800000"));
}

#[tokio::test]
async fn without_create_topics_a_missing_one_is_named_with_its_command() {
    let bridge = Bridge::that_makes_no_topics(&need!("kafka", broker::shared()));
    let topics = Topics::new(&bridge.connection).expect("topics");
    let name = topic::unique("dead-letters");
    let failure = topics.ensure_dead_letter(&name).await.expect_err("missing");
    assert_eq!(failure.kind, ErrorKind::Denied);
    assert!(failure.message.contains(&name), "{failure}");
    let remedy = failure.remedy.expect("a remedy");
    assert!(
        remedy.contains(&format!(
            "kafka-topics --bootstrap-server {} --create --topic {name}",
            bridge.bootstrap
        )),
        "{remedy}"
    );
}

#[tokio::test]
async fn nothing_makes_a_topic_in_passing() {
    let bridge = Bridge::that_makes_no_topics(&need!("kafka", broker::shared()));
    let topics = Topics::new(&bridge.connection).expect("topics");
    let name = topic::unique("absent");
    assert_eq!(topics.partitions(&name).await.expect("asked"), None);
    assert!(topics.max_message_bytes(&name).await.is_err());
    let mut producer = RouteProducer::transactional(
        &bridge.connection,
        &bridge.transactional_id("r"),
        Timing {
            commit_within: Duration::from_secs(2),
            ..Timing::DEFAULT
        },
    )
    .await
    .expect("a producer");
    let outcome = producer
        .write(vec![data(&name, "k", "v")], data(&name, "r", "p"))
        .await;
    let failure = match outcome.expect_err("no such topic") {
        WriteError::Aborted(failure) | WriteError::Lost(failure) => failure,
        other @ WriteError::Refused(_) => panic!("{other}"),
    };
    assert!(
        matches!(failure.kind, ErrorKind::Denied | ErrorKind::Transient),
        "{failure:?}"
    );
    assert!(!topic::names(&bridge.bootstrap).await.contains(&name));
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_told_within_the_deadline() {
    let config = sfbridge::config::KafkaConfig {
        // The discard port: nothing listens on it.
        bootstrap_servers: "127.0.0.1:9".to_owned(),
        properties: std::collections::BTreeMap::new(),
        create_topics: false,
        partitions: 1,
        replication_factor: -1,
    };
    let failure = Connection::new(config, "lonely")
        .check(Duration::from_millis(500))
        .await
        .expect_err("nobody there");
    assert_eq!(failure.kind, ErrorKind::Transient);
    assert!(failure.message.contains("127.0.0.1:9"), "{failure}");
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    bridge
        .connection
        .check(Duration::from_secs(10))
        .await
        .expect("it answers");
}
