//! Positions: true whatever other routes have open, and never silently lost with their topic.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sfbridge::error::ErrorKind;
use sfbridge::kafka::{PositionStore, RouteProducer, Timing, Topics, partition_of};

use super::{Bridge, no_wait};
use crate::need;
use crate::support::broker;
use crate::support::topic::{self, Isolation};
use crate::support::wait::until;

async fn open(bridge: &Bridge) -> Result<PositionStore, sfbridge::error::Failure> {
    PositionStore::open(&Topics::new(&bridge.connection)?).await
}

async fn halted(bridge: &Bridge) -> (String, String) {
    let failure = open(bridge).await.expect_err("not usable");
    assert_eq!(failure.kind, ErrorKind::Denied, "{failure:?}");
    (failure.message, failure.remedy.expect("a remedy"))
}

/// Another route's producer, by hand, with a position written and its transaction left open.
fn open_transaction(bridge: &Bridge, route: &str, partition: i32) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &bridge.bootstrap)
        .set("transactional.id", bridge.transactional_id(route))
        .create()
        .expect("a producer");
    producer
        .init_transactions(Duration::from_secs(20))
        .expect("initialised");
    producer.begin_transaction().expect("begun");
    let positions = bridge.internal("positions");
    producer
        .send(
            BaseRecord::<str, str>::to(&positions)
                .partition(partition)
                .key(route)
                .payload("open"),
        )
        .map_err(|(error, _)| error)
        .expect("sent");
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(10));
    }
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_reads_its_true_position_past_another_routes_open_transaction() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let positions = Arc::new(open(&bridge).await.expect("positions"));
    let partition = partition_of("mine", 16);
    let mut mine = RouteProducer::transactional(
        &bridge.connection,
        &bridge.transactional_id("mine"),
        Timing::DEFAULT,
    )
    .await
    .expect("an owner");
    mine.write(Vec::new(), positions.record("mine", "stale"))
        .await
        .expect("written");
    let other = tokio::task::block_in_place(|| open_transaction(&bridge, "other", partition));
    mine.write(Vec::new(), positions.record("mine", "true"))
        .await
        .expect("written");

    let announced: Arc<Mutex<Vec<String>>> = Arc::default();
    let reading = sfbridge::runtime::task::spawn("reading", {
        let (positions, announced) = (positions.clone(), announced.clone());
        async move {
            let note = move |reason| announced.lock().push(reason);
            positions.read("mine", &note).await
        }
    });
    until(Duration::from_secs(20), "the wait is announced", || async {
        let said = announced.lock().first().cloned()?;
        said.contains(&bridge.internal("positions")).then_some(())
    })
    .await;
    assert!(
        !reading.is_finished(),
        "what is committed behind the open transaction is not read yet"
    );
    tokio::task::block_in_place(|| other.commit_transaction(Duration::from_secs(20))).expect("committed");
    let read = reading.join().await.expect("it ends").expect("read");
    assert_eq!(read.as_deref(), Some(&b"true"[..]));
    assert_eq!(positions.read("other", &no_wait).await.expect("read"), {
        (partition_of("other", 16) == partition).then(|| b"open".to_vec())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_routes_read_their_positions_at_once() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let positions = Arc::new(open(&bridge).await.expect("positions"));
    let mut producer = RouteProducer::transactional(
        &bridge.connection,
        &bridge.transactional_id("all"),
        Timing::DEFAULT,
    )
    .await
    .expect("an owner");
    let stored: Vec<_> = (0..200)
        .map(|route| positions.record(&format!("route-{route}"), format!("at {route}")))
        .collect();
    producer
        .write(stored, positions.record("all", "x"))
        .await
        .expect("written");
    let started = std::time::Instant::now();
    let reads = (0..200).map(|route| {
        let positions = positions.clone();
        async move {
            let read = positions.read(&format!("route-{route}"), &no_wait).await;
            (route, read.expect("read"))
        }
    });
    let reads = futures_util::future::join_all(reads).await;
    eprintln!("200 positions read in {:?}", started.elapsed());
    assert_eq!(reads.len(), 200);
    for (route, read) in reads {
        assert_eq!(read, Some(format!("at {route}").into_bytes()));
    }
    assert_eq!(positions.read("unknown", &no_wait).await.expect("read"), None);
}

#[tokio::test]
async fn the_first_start_makes_a_compacted_topic_and_later_ones_find_it() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    open(&bridge).await.expect("made");
    let name = bridge.internal("positions");
    assert_eq!(topic::partition_count(&bridge.bootstrap, &name).await, Some(16));
    for (key, value) in [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "4194304"),
        ("segment.ms", "600000"),
    ] {
        assert_eq!(
            topic::config(&bridge.bootstrap, &name, key).await.as_deref(),
            Some(value)
        );
    }
    open(&bridge).await.expect("found");
    let notes = topic::read_all(
        &bridge.bootstrap,
        &bridge.internal("routes"),
        Isolation::ReadCommitted,
    )
    .await;
    assert_eq!(notes.len(), 1, "noted once");
    assert_eq!(notes[0].value_text(), r#"{"partitions":16}"#);
}

#[tokio::test]
async fn a_deleted_positions_topic_halts_with_the_remedy_until_a_person_makes_it_anew() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let running = open(&bridge).await.expect("made");
    let name = bridge.internal("positions");
    topic::delete(&bridge.bootstrap, &name).await;

    let failure = running.read("r", &|_| ()).await.expect_err("gone");
    assert_eq!(failure.kind, ErrorKind::Denied, "{failure:?}");
    assert!(failure.message.contains(&name), "{failure}");

    let (message, remedy) = halted(&bridge).await;
    assert!(
        message.contains(&name) && message.contains("is gone"),
        "{message}"
    );
    assert!(
        remedy.contains("--partitions 16") && remedy.contains("cleanup.policy=compact"),
        "{remedy}"
    );
    assert_eq!(
        topic::partition_count(&bridge.bootstrap, &name).await,
        None,
        "nothing made it in passing"
    );

    topic::create(&bridge.bootstrap, &name, 16, &[("cleanup.policy", "compact")]).await;
    open(&bridge).await.expect("as told");
}

#[tokio::test]
async fn a_positions_topic_with_another_partition_count_halts_with_the_remedy() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let running = open(&bridge).await.expect("made");
    let name = bridge.internal("positions");
    topic::grow(&bridge.bootstrap, &name, 17).await;
    let (message, remedy) = until(Duration::from_secs(10), "the new count shows", || async {
        let failure = open(&bridge).await.err()?;
        Some((failure.message, failure.remedy?))
    })
    .await;
    assert!(message.contains("has 17 partitions and had 16"), "{message}");
    assert!(remedy.contains("16 partitions"), "{remedy}");
    let failure = running.read("r", &|_| ()).await.expect_err("changed under us");
    assert_eq!(failure.kind, ErrorKind::Denied, "{failure:?}");
}

#[tokio::test]
async fn a_positions_topic_that_deletes_halts_with_the_remedy() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let name = bridge.internal("positions");
    topic::create(&bridge.bootstrap, &name, 16, &[("cleanup.policy", "delete")]).await;
    let (message, remedy) = halted(&bridge).await;
    assert!(message.contains("cleanup.policy=delete"), "{message}");
    assert!(
        remedy.contains("kafka-configs") && remedy.contains(&name),
        "{remedy}"
    );
}

#[tokio::test]
async fn without_create_topics_a_missing_positions_topic_is_named_with_its_command() {
    let bridge = Bridge::that_makes_no_topics(&need!("kafka", broker::shared()));
    let (message, remedy) = halted(&bridge).await;
    assert!(message.contains(&bridge.internal("routes")), "{message}");
    assert!(remedy.contains("--partitions 64"), "{remedy}");
    topic::create(
        &bridge.bootstrap,
        &bridge.internal("routes"),
        64,
        &[("cleanup.policy", "compact")],
    )
    .await;
    let (message, remedy) = halted(&bridge).await;
    assert!(message.contains(&bridge.internal("positions")), "{message}");
    assert!(remedy.contains("--partitions 16"), "{remedy}");
    topic::create(
        &bridge.bootstrap,
        &bridge.internal("positions"),
        16,
        &[("cleanup.policy", "compact")],
    )
    .await;
    open(&bridge).await.expect("made by hand");
}
