//! Writes: whole or not at all, fenced, refused, given up.

use std::time::Duration;

use bytes::Bytes;
use sfbridge::error::ErrorKind;
use sfbridge::kafka::{PositionStore, RouteProducer, Timing, Topics, WriteError};

use super::{Bridge, data, no_wait};
use crate::need;
use crate::support::broker::{self, Broker};
use crate::support::topic::{self, Isolation};

const HOUR_MS: i64 = 3_600_000;

/// A transaction that the broker times out soon, held for as long as it takes.
const HELD: Timing = Timing {
    transaction_timeout: Duration::from_secs(2),
    commit_within: Duration::from_secs(25),
    give_up_within: Duration::from_secs(30),
};

async fn opened(bridge: &Bridge) -> (Topics, PositionStore) {
    let topics = Topics::new(&bridge.connection).expect("topics");
    let positions = PositionStore::open(&topics).await.expect("positions");
    (topics, positions)
}

async fn owner(bridge: &Bridge, route: &str) -> RouteProducer {
    RouteProducer::transactional(
        &bridge.connection,
        &bridge.transactional_id(route),
        Timing::DEFAULT,
    )
    .await
    .expect("an owner")
}

async fn values(bridge: &Bridge, name: &str, isolation: Isolation) -> Vec<String> {
    let seen = topic::read_all(&bridge.bootstrap, name, isolation).await;
    seen.iter().map(topic::Seen::value_text).collect()
}

#[tokio::test]
async fn records_and_position_are_visible_together_with_key_headers_and_timestamp() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("data");
    topics.ensure_data(&name).await.expect("made");
    let mut producer = owner(&bridge, "r").await;
    let mut record = data(&name, "001A", "{}");
    record.timestamp_ms -= 5_000;
    let tombstone = sfbridge::kafka::Record {
        value: None,
        ..record.clone()
    };
    producer
        .write(vec![record.clone(), tombstone], positions.record("r", "p1"))
        .await
        .expect("written");
    let seen = topic::read_all(&bridge.bootstrap, &name, Isolation::ReadCommitted).await;
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].key_text(), "001A");
    assert_eq!(seen[0].value_text(), "{}");
    assert_eq!(seen[0].header("ce_id").as_deref(), Some("1"));
    assert_eq!(seen[0].timestamp_ms, Some(record.timestamp_ms));
    assert_eq!(seen[1].value, None);
    assert_eq!(seen[0].partition, seen[1].partition, "one key, one partition");
    assert_eq!(seen[0].partition, sfbridge::kafka::partition_of("001A", 3));
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p1"[..])
    );
}

#[tokio::test]
async fn an_aborted_write_is_hidden_from_read_committed_and_leaves_the_position() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let (topics, positions) = opened(&bridge).await;
    let (good, strict) = (topic::unique("good"), topic::unique("strict"));
    topics.ensure_data(&good).await.expect("made");
    topic::create(&bridge.bootstrap, &strict, 1, &[]).await;
    let mut producer = owner(&bridge, "r").await;
    producer
        .write(vec![data(&good, "k", "first")], positions.record("r", "p1"))
        .await
        .expect("written");
    let mut ahead = data(&strict, "k", "ahead");
    ahead.timestamp_ms += 2 * HOUR_MS;
    let refused = producer
        .write(
            vec![data(&good, "k", "second"), ahead],
            positions.record("r", "p2"),
        )
        .await
        .expect_err("a timestamp ahead of the broker's clock");
    assert!(matches!(refused, WriteError::Refused(_)), "{refused}");
    assert_eq!(values(&bridge, &good, Isolation::ReadCommitted).await, ["first"]);
    assert_eq!(
        values(&bridge, &good, Isolation::ReadUncommitted).await,
        ["first", "second"]
    );
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p1"[..])
    );
    producer
        .write(vec![data(&good, "k", "third")], positions.record("r", "p3"))
        .await
        .expect("the producer goes on");
    assert_eq!(
        values(&bridge, &good, Isolation::ReadCommitted).await,
        ["first", "third"]
    );
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p3"[..])
    );
}

#[tokio::test]
async fn a_second_owner_fences_the_first() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("data");
    topics.ensure_data(&name).await.expect("made");
    let mut first = owner(&bridge, "r").await;
    first
        .write(
            vec![data(&name, "k", "of the first")],
            positions.record("r", "p1"),
        )
        .await
        .expect("written");
    let mut second = owner(&bridge, "r").await;
    let late = first
        .write(vec![data(&name, "k", "of a zombie")], positions.record("r", "p0"))
        .await
        .expect_err("another owner came");
    let WriteError::Lost(failure) = late else {
        panic!("{late}")
    };
    assert_eq!(failure.kind, ErrorKind::Fenced, "{failure:?}");
    second
        .write(
            vec![data(&name, "k", "of the second")],
            positions.record("r", "p2"),
        )
        .await
        .expect("written");
    assert_eq!(
        values(&bridge, &name, Isolation::ReadCommitted).await,
        ["of the first", "of the second"]
    );
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p2"[..])
    );
}

#[tokio::test]
async fn a_lone_owner_held_past_its_time_out_is_lost_and_a_new_one_goes_on() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let bridge = Bridge::on(broker.bootstrap());
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("data");
    topics.ensure_data(&name).await.expect("made");
    let id = bridge.transactional_id("r");
    let mut producer = RouteProducer::transactional(&bridge.connection, &id, HELD)
        .await
        .expect("an owner");
    producer
        .write(vec![data(&name, "k", "before")], positions.record("r", "p1"))
        .await
        .expect("written");
    broker.freeze();
    let held = async {
        producer
            .write(vec![data(&name, "k", "held")], positions.record("r", "p2"))
            .await
    };
    let thaw = async {
        // Not a wait for a state: the time itself, past the transaction's time-out, is what is tested.
        tokio::time::sleep(2 * HELD.transaction_timeout).await;
        broker.thaw();
    };
    let (outcome, ()) = tokio::join!(held, thaw);
    // The message itself times out with the transaction, or the broker fences the producer: either way
    // nothing of it is visible, and a new owner starts from the stored position.
    let failure = match outcome.expect_err("held too long") {
        WriteError::Lost(failure) | WriteError::Aborted(failure) => failure,
        other @ WriteError::Refused(_) => panic!("{other}"),
    };
    assert!(
        matches!(
            failure.kind,
            ErrorKind::Fenced | ErrorKind::Transient | ErrorKind::Abortable
        ),
        "{failure:?}"
    );
    let mut again = owner(&bridge, "r").await;
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p1"[..])
    );
    again
        .write(vec![data(&name, "k", "after")], positions.record("r", "p3"))
        .await
        .expect("written");
    assert_eq!(
        values(&bridge, &name, Isolation::ReadCommitted).await,
        ["before", "after"]
    );
}

#[tokio::test]
async fn a_producer_outlives_a_restart_of_the_broker() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let bridge = Bridge::on(broker.bootstrap());
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("data");
    topics.ensure_data(&name).await.expect("made");
    let mut producer = owner(&bridge, "r").await;
    producer
        .write(vec![data(&name, "k", "before")], positions.record("r", "p1"))
        .await
        .expect("written");
    broker.stop();
    broker.start().expect("it starts again");
    producer
        .write(vec![data(&name, "k", "after")], positions.record("r", "p2"))
        .await
        .expect("written by the same producer");
    assert_eq!(
        values(&bridge, &name, Isolation::ReadCommitted).await,
        ["before", "after"]
    );
}

#[tokio::test]
async fn a_write_gives_up_in_time_when_the_broker_is_gone() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let bridge = Bridge::on(broker.bootstrap());
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("data");
    topics.ensure_data(&name).await.expect("made");
    let timing = Timing {
        transaction_timeout: Duration::from_secs(8),
        commit_within: Duration::from_secs(1),
        give_up_within: Duration::from_secs(2),
    };
    let id = bridge.transactional_id("r");
    let mut producer = RouteProducer::transactional(&bridge.connection, &id, timing)
        .await
        .expect("an owner");
    broker.kill();
    let began = std::time::Instant::now();
    let outcome = producer
        .write(vec![data(&name, "k", "v")], positions.record("r", "p1"))
        .await
        .expect_err("no broker");
    // Nothing had reached the broker, so the abort may need nobody: either answer is right, and in time.
    let failure = match outcome {
        WriteError::Lost(failure) | WriteError::Aborted(failure) => failure,
        other @ WriteError::Refused(_) => panic!("{other}"),
    };
    assert_eq!(failure.kind, ErrorKind::Transient, "{failure:?}");
    assert!(began.elapsed() < timing.transaction_timeout / 2);
    drop(producer);
    broker.start().expect("it comes back");
    let mut again = owner(&bridge, "r").await;
    again
        .write(vec![data(&name, "k", "v")], positions.record("r", "p1"))
        .await
        .expect("written");
    assert_eq!(values(&bridge, &name, Isolation::ReadCommitted).await, ["v"]);
}

#[tokio::test]
async fn a_record_too_large_for_the_topic_is_refused_by_the_broker_and_one_too_large_for_all_by_us() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("narrow");
    topic::create(&bridge.bootstrap, &name, 1, &[("max.message.bytes", "2000")]).await;
    assert_eq!(topics.max_message_bytes(&name).await.expect("told"), 2000);
    let mut producer = owner(&bridge, "r").await;
    let refused = producer
        .write(
            vec![data(&name, "k", &"x".repeat(5000))],
            positions.record("r", "p1"),
        )
        .await
        .expect_err("too large");
    let WriteError::Refused(refusal) = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (&*refusal.topic, refusal.too_large, refusal.index),
        (name.as_str(), true, None)
    );
    let mut huge = data(&name, "k", "");
    huge.value = Some(Bytes::from(vec![b'x'; sfbridge::kafka::RECORD_BYTES_MAX + 1]));
    let refused = producer
        .write(vec![data(&name, "k", "small"), huge], positions.record("r", "p1"))
        .await
        .expect_err("too large for any topic");
    let WriteError::Refused(refusal) = refused else {
        panic!("{refused}")
    };
    assert_eq!((refusal.too_large, refusal.index), (true, Some(1)));
    assert!(values(&bridge, &name, Isolation::ReadCommitted).await.is_empty());
}

#[tokio::test]
async fn without_transactions_a_refusal_leaves_the_position_and_may_leave_records() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let (topics, positions) = opened(&bridge).await;
    let (good, strict) = (topic::unique("good"), topic::unique("strict"));
    topics.ensure_data(&good).await.expect("made");
    topic::create(&bridge.bootstrap, &strict, 1, &[]).await;
    let mut producer = RouteProducer::idempotent(&bridge.connection, Timing::DEFAULT)
        .await
        .expect("a producer");
    producer
        .write(vec![data(&good, "k", "first")], positions.record("r", "p1"))
        .await
        .expect("written");
    let mut ahead = data(&strict, "k", "ahead");
    ahead.timestamp_ms += 2 * HOUR_MS;
    let refused = producer
        .write(vec![ahead], positions.record("r", "p2"))
        .await
        .expect_err("refused");
    assert!(matches!(refused, WriteError::Refused(_)), "{refused}");
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p1"[..])
    );
    producer
        .write(vec![data(&good, "k", "second")], positions.record("r", "p3"))
        .await
        .expect("the producer goes on");
    assert_eq!(
        positions.read("r", &no_wait).await.expect("read").as_deref(),
        Some(&b"p3"[..])
    );
}

#[tokio::test]
async fn a_write_whose_caller_went_away_makes_the_next_one_read_the_position_first() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let (topics, positions) = opened(&bridge).await;
    let name = topic::unique("data");
    topics.ensure_data(&name).await.expect("made");
    let mut producer = owner(&bridge, "r").await;
    {
        let write = producer.write(vec![data(&name, "k", "v")], positions.record("r", "p1"));
        tokio::select! {
            biased;
            outcome = write => panic!("a commit takes longer than one look: {outcome:?}"),
            () = std::future::ready(()) => {}
        }
    }
    let next = producer.write(Vec::new(), positions.record("r", "p2")).await;
    assert!(matches!(next, Err(WriteError::Lost(_))), "{next:?}");
}
