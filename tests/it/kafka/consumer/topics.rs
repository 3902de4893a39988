//! Which topics are read: those that appear, and never the bridge's own.

use sfbridge::config::KafkaTopics;
use sfbridge::kafka::{ConsumerEvent, ConsumerOptions};

use super::{Source, event, fill, record, stream};
use crate::need;
use crate::support::broker;
use crate::support::topic::{self, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_regex_takes_up_topics_that_appear_and_never_the_bridges_own() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    let bootstrap = &source.bridge.bootstrap;
    let mark = unique("mark");
    let named = |beginning: &str| format!("{beginning}.{mark}");
    for own in [
        "_sfbridge.x.positions",
        "sfbridge.dead-letters",
        "salesforce.Account",
    ] {
        topic::create(bootstrap, &named(own), 1, &[]).await;
        fill(bootstrap, &named(own), 0, 0..1);
    }
    topic::create(bootstrap, &named("orders.a"), 1, &[]).await;
    fill(bootstrap, &named("orders.a"), 0, 0..1);
    let mut consumer = source
        .open(ConsumerOptions {
            topics: KafkaTopics::Regex(format!("^.*{mark}")),
            except: vec![named("salesforce.{entity}")],
            ..source.options("one")
        })
        .await;
    let mut first = stream(&mut consumer).await;
    assert_eq!(**first.topic(), named("orders.a"));
    record(&mut first).await;
    topic::create(bootstrap, &named("orders.b"), 1, &[]).await;
    fill(bootstrap, &named("orders.b"), 0, 0..1);
    let mut second = stream(&mut consumer).await;
    assert_eq!(**second.topic(), named("orders.b"));
    record(&mut second).await;
    let read: Vec<String> = consumer
        .partitions()
        .iter()
        .map(|partition| partition.topic.to_string())
        .collect();
    assert_eq!(read, [named("orders.a"), named("orders.b")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_asked_for_and_read_once_it_is_there() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    let bootstrap = &source.bridge.bootstrap;
    let missing = unique("missing");
    let mut consumer = source
        .open(ConsumerOptions {
            topics: KafkaTopics::List(vec![missing.clone()]),
            ..source.options("one")
        })
        .await;
    match event(&mut consumer).await {
        ConsumerEvent::Trouble(failure) => {
            assert!(failure.message.contains(&missing), "{failure}");
            let remedy = failure.remedy.as_deref().unwrap_or_default();
            assert!(remedy.contains(&format!("--topic {missing}")), "{remedy}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        topic::partition_count(bootstrap, &missing).await,
        None,
        "it is not made"
    );
    topic::create(bootstrap, &missing, 1, &[]).await;
    fill(bootstrap, &missing, 0, 0..1);
    assert!(matches!(event(&mut consumer).await, ConsumerEvent::Recovered));
    record(&mut stream(&mut consumer).await).await;
}
