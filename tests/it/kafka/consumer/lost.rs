//! Where a group begins, and that what it lost is said.

use rdkafka::admin::AdminOptions;
use sfbridge::config::{LostPositionPolicy, StartPolicy};
use sfbridge::kafka::{ConsumerEvent, ConsumerOptions, GroupConsumer, LossReason};

use super::{PATIENCE, Source, admin, ended, event, record, stream, take, values};
use crate::need;
use crate::support::wait::until;
use crate::support::{broker, topic};

fn latest(source: &Source) -> ConsumerOptions {
    ConsumerOptions {
        start: StartPolicy::Latest,
        ..source.options("one")
    }
}

/// Reads and commits the first `count` records of the one partition, and leaves.
async fn read_first(source: &Source, count: usize) {
    let mut consumer = source.join("one").await;
    let mut stream = stream(&mut consumer).await;
    take(&mut stream, count).await;
    stream.commit(i64::try_from(count).expect("few"));
    until_noted(source).await;
    drop(stream);
    consumer.close().await;
}

/// The route's group is noted in the positions topic.
async fn until_noted(source: &Source) {
    until(PATIENCE, "the group is noted", || async {
        let noted = source.positions.read("orders", &|_| ()).await.expect("read");
        noted.filter(|note| String::from_utf8_lossy(note).contains("\"begun\":[0]"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_is_fixed_at_the_first_start() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..5);
    let mut consumer = source.open(latest(&source)).await;
    drop(stream(&mut consumer).await);
    source.until_committed(0, 5).await;
    consumer.close().await;
    source.fill(0, 5..8);
    let mut consumer = source.open(latest(&source)).await;
    let mut stream = stream(&mut consumer).await;
    assert_eq!(values(&take(&mut stream, 3).await), [5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_appears_later_begins_at_its_first_record() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..5);
    let mut consumer = source.open(latest(&source)).await;
    let _first = stream(&mut consumer).await;
    until_noted(&source).await;
    topic::grow(&source.bridge.bootstrap, &source.topic, 2).await;
    until(PATIENCE, "the topic has grown", || async {
        let count = topic::partition_count(&source.bridge.bootstrap, &source.topic).await;
        (count == Some(2)).then_some(())
    })
    .await;
    source.fill(1, 0..3);
    let mut grown = stream(&mut consumer).await;
    assert_eq!(grown.partition(), 1);
    assert_eq!(values(&take(&mut grown, 3).await), [0, 1, 2]);
    assert_eq!(grown.lost(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_before_they_were_read_are_told_of_until_that_is_acknowledged() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..20);
    read_first(&source, 3).await;
    source.delete_before(0, 10).await;
    for _ in 0..2 {
        let mut consumer = source.join("one").await;
        let mut stream = stream(&mut consumer).await;
        let lost = stream.lost().expect("told of").clone();
        assert_eq!((lost.from_offset, lost.to_offset), (Some(3), 10));
        assert_eq!(lost.reason, LossReason::Deleted);
        assert_eq!(record(&mut stream).await.offset, 10);
        drop(stream);
        consumer.close().await;
        assert_eq!(source.committed(0).await, Some(3), "nobody has acknowledged it");
    }
    let mut consumer = source.join("one").await;
    let acknowledged = stream(&mut consumer).await;
    acknowledged.commit(10);
    drop(acknowledged);
    consumer.close().await;
    let mut consumer = source.join("one").await;
    assert_eq!(stream(&mut consumer).await.lost(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_ahead_of_a_slow_reader_end_its_stream_and_a_new_one_tells() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..1000);
    let mut consumer = source.join("one").await;
    let mut slow = stream(&mut consumer).await;
    until(PATIENCE, "its queue is full", || async {
        (slow.waiting() == 100).then_some(())
    })
    .await;
    source.delete_before(0, 900).await;
    let records = take(&mut slow, 100).await;
    assert_eq!(values(&records), (0..100).collect::<Vec<_>>());
    // What is queued comes first, then the end.
    ended(&mut slow).await;
    assert!(!slow.is_revoked(), "the partition is still ours");
    slow.commit(100);
    drop(slow);
    let mut anew = stream(&mut consumer).await;
    let lost = anew.lost().expect("told of");
    assert_eq!((lost.from_offset, lost.to_offset), (Some(100), 900));
    assert_eq!(record(&mut anew).await.offset, 900);
}

/// Kafka forgets the group, as it does with one that nobody uses for a week.
async fn forget_group(source: &Source) {
    let (group, options) = (source.group(), AdminOptions::new());
    until(PATIENCE, "the group is empty and deleted", || async {
        let admin = admin(&source.bridge.bootstrap);
        let answer = admin.delete_groups(&[&group], &options).await;
        answer
            .is_ok_and(|groups| groups.iter().all(Result::is_ok))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_kafka_forgot_are_told_of_and_are_not_a_first_start() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..20);
    read_first(&source, 3).await;
    forget_group(&source).await;
    let mut halting = source
        .open(ConsumerOptions {
            on_lost_position: LostPositionPolicy::Halt,
            ..latest(&source)
        })
        .await;
    let lost = match event(&mut halting).await {
        ConsumerEvent::Halt(lost) => lost,
        other => panic!("{other:?}"),
    };
    assert_eq!((lost.from_offset, lost.reason), (None, LossReason::Expired));
    halting.close().await;
    assert_eq!(source.committed(0).await, None);
    let mut consumer = source.open(latest(&source)).await;
    let mut stream = stream(&mut consumer).await;
    let lost = stream.lost().expect("told of");
    assert_eq!((lost.from_offset, lost.to_offset), (None, 0));
    assert_eq!(lost.reason, LossReason::Expired);
    assert_eq!(record(&mut stream).await.offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_does_not_hide_that_the_old_one_is_gone() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..20);
    read_first(&source, 20).await;
    topic::delete(&source.bridge.bootstrap, &source.topic).await;
    topic::create(&source.bridge.bootstrap, &source.topic, 1, &[]).await;
    source.fill(0, 0..5);
    let mut consumer: GroupConsumer = source.join("one").await;
    let mut stream = stream(&mut consumer).await;
    // Kafka deletes a topic's offsets with it, or keeps them: either way the group was further than the topic is.
    let reason = stream.lost().expect("told of").reason;
    assert!(
        matches!(reason, LossReason::Expired | LossReason::BeyondEnd),
        "{reason:?}"
    );
    assert_eq!(values(&take(&mut stream, 5).await), [0, 1, 2, 3, 4]);
}
