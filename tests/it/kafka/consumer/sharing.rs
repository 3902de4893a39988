//! Members come and go: nothing is lost, and nothing is committed that was not given.

use std::time::Duration;

use sfbridge::error::ErrorKind;
use sfbridge::kafka::{ConsumerEvent, PartitionStream};

use super::{PATIENCE, Source, ended, event, record, stream, streams, take, values};
use crate::need;
use crate::support::broker::{self, Broker};
use crate::support::members::joins_and_is_gone;
use crate::support::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_partition_is_handed_over_when_its_owner_has_finished_what_it_had_in_hand() {
    let source = Source::new(&need!("kafka", broker::shared()), 2).await;
    for partition in 0..2 {
        source.fill(partition, 0..50);
    }
    let mut first = source.join("first").await;
    let mut held = streams(&mut first, 2).await;
    for stream in &mut held {
        take(stream, 10).await;
    }
    let mut second = source.join("second").await;
    let (mut revoked, mut kept) = one_revoked(held).await;
    ended(&mut revoked).await;
    assert!(
        tokio::time::timeout(Duration::from_secs(2), second.next())
            .await
            .is_err(),
        "its owner still has it in hand"
    );
    revoked.commit(7);
    let partition = revoked.partition();
    drop(revoked);
    let mut given = stream(&mut second).await;
    assert_eq!(given.partition(), partition);
    assert_eq!(
        record(&mut given).await.offset,
        7,
        "what was committed last, and no more"
    );
    // The other one goes on where it was.
    assert_eq!(record(&mut kept).await.offset, 10);
    // A static member does not leave: its partitions move when its session ends.
    drop(given);
    second.close().await;
    let mut back = stream(&mut first).await;
    assert_eq!(back.partition(), partition);
    assert_eq!(record(&mut back).await.offset, 7);
}

/// The stream that is taken away, and the other.
async fn one_revoked(mut held: Vec<PartitionStream>) -> (PartitionStream, PartitionStream) {
    let at = until(PATIENCE, "one partition is taken away", || async {
        held.iter().position(PartitionStream::is_revoked)
    })
    .await;
    held[at].revoked().await;
    let revoked = held.swap_remove(at);
    (revoked, held.pop().expect("two"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_its_own_late_request_fenced_joins_anew_and_reads_on() {
    let kafka = need!("kafka", Broker::start_new(&[]));
    let source = Source::new(kafka.bootstrap(), 1).await;
    source.fill(0, 0..50);
    let mut member = source.join("one").await;
    let mut held = stream(&mut member).await;
    take(&mut held, 50).await;
    held.commit(10);
    source.until_committed(0, 10).await;
    kafka.freeze();
    ended(&mut held).await;
    drop(held);
    kafka.thaw();
    let mut held = stream(&mut member).await;
    take(&mut held, 40).await;
    joins_and_is_gone(kafka.bootstrap(), &source.group(), "sfbridge-one", &source.topic).await;
    ended(&mut held).await;
    held.commit(20);
    drop(held);
    let mut again = stream(&mut member).await;
    assert_eq!(
        record(&mut again).await.offset,
        10,
        "what the fenced membership commits goes nowhere"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_finished_is_read_again_by_the_next_owner() {
    let source = Source::new(&need!("kafka", broker::shared()), 2).await;
    for partition in 0..2 {
        source.fill(partition, 0..50);
    }
    let mut first = source.join("first").await;
    let mut held = streams(&mut first, 2).await;
    for stream in &mut held {
        take(stream, 50).await;
    }
    let mut second = source.join("second").await;
    let (revoked, _kept) = one_revoked(held).await;
    drop(revoked);
    let mut given = stream(&mut second).await;
    let records = take(&mut given, 50).await;
    assert_eq!(values(&records), (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_instance_started_again_goes_on_within_seconds() {
    let source = Source::new(&need!("kafka", broker::shared()), 3).await;
    source.fill(0, 0..50);
    let mut consumer = source.join("one").await;
    let mut held = streams(&mut consumer, 3).await;
    take(&mut held[0], 20).await;
    held[0].commit(15);
    // The last commit is awaited, though nobody waited for a round of them.
    drop(held);
    consumer.close().await;
    assert_eq!(source.committed(0).await, Some(15));
    let mut again = source.join("one").await;
    let assigned = tokio::time::timeout(Duration::from_secs(15), streams(&mut again, 3));
    let mut held = assigned.await.expect("within seconds");
    assert_eq!(record(&mut held[0]).await.offset, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_one_name_takes_over_and_nothing_of_the_first_counts_any_more() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..50);
    let mut first = source.join("one").await;
    let mut held = stream(&mut first).await;
    take(&mut held, 30).await;
    let mut second = source.join("one").await;
    let mut taken = stream(&mut second).await;
    assert_eq!(record(&mut taken).await.offset, 0);
    let over = async { while held.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, over).await.expect("an end");
    held.commit(30);
    let trouble = loop {
        if let ConsumerEvent::Trouble(failure) = event(&mut first).await {
            break failure;
        }
    };
    assert_eq!(trouble.kind, ErrorKind::Denied, "{trouble:?}");
    assert!(
        trouble
            .remedy
            .as_ref()
            .is_some_and(|remedy| remedy.contains("bridge.instance"))
    );
    drop(held);
    first.close().await;
    assert_eq!(source.committed(0).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_go_away_are_told_of_and_reading_goes_on_when_they_are_back() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let source = Source::new(broker.bootstrap(), 1).await;
    source.fill(0, 0..10);
    let mut consumer = source.join("one").await;
    let mut held = stream(&mut consumer).await;
    take(&mut held, 10).await;
    broker.stop();
    let trouble = event(&mut consumer).await;
    assert!(
        matches!(&trouble, ConsumerEvent::Trouble(failure) if failure.kind == ErrorKind::Transient),
        "{trouble:?}"
    );
    held.commit(10);
    broker.start().expect("started again");
    source.fill(0, 10..20);
    // Its session may have run out: then it is given the partition anew.
    let mut records = Vec::new();
    while records.last() != Some(&19) {
        tokio::select! {
            next = held.next() => match next {
                Some(record) => records.extend(values(&[record])),
                None => {
                    held = stream(&mut consumer).await;
                    records.clear();
                }
            },
            event = consumer.next() => if let ConsumerEvent::Assigned(stream) = event { held = stream; records.clear(); },
            () = tokio::time::sleep(PATIENCE) => panic!("no record after the broker came back: {records:?}"),
        }
    }
    assert!(records.ends_with(&(10..20).collect::<Vec<_>>()), "{records:?}");
    held.commit(20);
    source.until_committed(0, 20).await;
}
