//! Records come in order and completely, and no more of them than there is room for.

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::time::Duration;

use super::{PATIENCE, Source, record, stream, streams, take, values};
use crate::need;
use crate::support::broker;
use crate::support::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_in_order_and_a_partition_that_nobody_reads_holds_up_no_other() {
    const COUNT: usize = 3000;
    let source = Source::new(&need!("kafka", broker::shared()), 3).await;
    for partition in 0..3 {
        source.fill(partition, 0..COUNT);
    }
    let mut consumer = source.join("one").await;
    let mut streams = streams(&mut consumer, 3).await;
    let mut unread = streams.pop().expect("three");
    for stream in &mut streams {
        let records = take(stream, COUNT).await;
        assert_eq!(values(&records), (0..COUNT).collect::<Vec<_>>());
        assert!(records.iter().map(|record| record.offset).is_sorted());
        assert!(unread.waiting() <= 100);
    }
    until(PATIENCE, "the queue of the unread one is full", || async {
        (unread.waiting() == 100).then_some(())
    })
    .await;
    let records = take(&mut unread, COUNT).await;
    assert_eq!(values(&records), (0..COUNT).collect::<Vec<_>>());
    // Nothing was said to be finished.
    for partition in 0..3 {
        assert_eq!(source.committed(partition).await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_bounded_by_bytes_too() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 1000..2000);
    let mut consumer = source
        .open(sfbridge::kafka::ConsumerOptions {
            capacity_bytes: 40,
            ..source.options("one")
        })
        .await;
    let mut stream = stream(&mut consumer).await;
    until(PATIENCE, "ten values of four bytes", || async {
        (stream.waiting() == 10).then_some(())
    })
    .await;
    let records = take(&mut stream, 1000).await;
    assert_eq!(values(&records), (1000..2000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_comes_as_it_was_written_whatever_its_headers() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &source.bridge.bootstrap)
        .create()
        .expect("a producer");
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "a",
            value: Some("1"),
        })
        .insert(Header::<&str> {
            key: "b",
            value: None,
        });
    let tombstone = BaseRecord::<str, str>::to(&source.topic)
        .key("k")
        .headers(headers)
        .timestamp(1_700_000_000_123);
    producer
        .send(tombstone)
        .map_err(|(error, _)| error)
        .expect("queued");
    producer.flush(Duration::from_secs(20)).expect("written");
    let mut consumer = source.join("one").await;
    let record = record(&mut stream(&mut consumer).await).await;
    assert_eq!(&*record.topic, source.topic);
    assert_eq!((record.partition, record.offset), (0, 0));
    assert_eq!(record.timestamp_ms, Some(1_700_000_000_123));
    assert_eq!(record.key, Some(Bytes::from_static(b"k")));
    assert_eq!(record.value, None);
    let one = Some(Bytes::from_static(b"1"));
    assert_eq!(record.headers, [("a".to_owned(), one), ("b".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_stored_and_the_lag_falls() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    source.fill(0, 0..50);
    let mut consumer = source.join("one").await;
    let mut stream = stream(&mut consumer).await;
    assert_eq!(stream.lag(), 50);
    take(&mut stream, 50).await;
    stream.commit(20);
    stream.commit(10);
    assert_eq!(stream.lag(), 30);
    source.until_committed(0, 20).await;
    stream.commit(50);
    source.until_committed(0, 50).await;
    let shown = consumer.partitions();
    assert_eq!((shown[0].next_offset, shown[0].lag), (50, 0));
    source.fill(0, 0..5);
    until(PATIENCE, "the lag is heard of", || async {
        (stream.lag() == 5).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_aborted_is_not_read() {
    let source = Source::new(&need!("kafka", broker::shared()), 1).await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &source.bridge.bootstrap)
        .set("transactional.id", source.bridge.transactional_id("other"))
        .create()
        .expect("a producer");
    let timeout = Duration::from_secs(20);
    producer.init_transactions(timeout).expect("initialised");
    for (value, commits) in [("1", false), ("2", true)] {
        producer.begin_transaction().expect("begun");
        producer
            .send(BaseRecord::<str, str>::to(&source.topic).payload(value))
            .map_err(|(error, _)| error)
            .expect("queued");
        producer.flush(timeout).expect("written");
        let ended = if commits {
            producer.commit_transaction(timeout)
        } else {
            producer.abort_transaction(timeout)
        };
        ended.expect("ended");
    }
    let mut consumer = source.join("one").await;
    let mut stream = stream(&mut consumer).await;
    assert_eq!(values(&[record(&mut stream).await]), [2]);
}
