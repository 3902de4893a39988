//! A route's owner with two producers that take turns: in order, whole, and fenced through both.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sfbridge::error::ErrorKind;
use sfbridge::kafka::{Lanes, PositionStore, RouteProducer, Timing, Topics, WriteError};

use super::{Bridge, data, no_wait};
use crate::need;
use crate::support::bridge::PATIENCE;
use crate::support::broker::{self, Broker};
use crate::support::kafka_tools::deny_transactional_id;
use crate::support::topic::{self, Isolation};
use crate::support::transactions::commits;
use crate::support::wait::until;

const CALL: Duration = Duration::from_secs(30);
/// Between two looks at the coordinator.
const AT_ONCE: usize = 25;
const WRITES_MAX: usize = 10_000;

struct Stage {
    bridge: Bridge,
    positions: PositionStore,
    /// Of one partition: it shows the order.
    topic: String,
    written: Vec<String>,
}

impl Stage {
    async fn set(bootstrap: &str) -> Self {
        let bridge = Bridge::on(bootstrap);
        let topics = Topics::new(&bridge.connection).expect("topics");
        let positions = PositionStore::open(&topics).await.expect("positions");
        let topic = topic::unique("data");
        topic::create(bootstrap, &topic, 1, &[]).await;
        Self {
            bridge,
            positions,
            topic,
            written: Vec::new(),
        }
    }

    fn id(&self) -> String {
        self.bridge.transactional_id("r")
    }

    fn second_id(&self) -> String {
        format!("{}@2", self.id())
    }

    async fn owner(&self) -> Lanes {
        Lanes::take_over(&self.bridge.connection, &self.id(), Timing::DEFAULT)
            .await
            .expect("an owner")
    }

    /// One record, whose value is its number, with a position of the same.
    async fn write(&mut self, owner: &mut Lanes) -> Result<(), WriteError> {
        let value = self.written.len().to_string();
        let record = data(&self.topic, "k", &value);
        let position = self.positions.record("r", value.clone());
        owner.write(vec![record], position).await?;
        self.written.push(value);
        Ok(())
    }

    /// Writes until both producers have committed, and go on taking turns.
    async fn until_taking_turns(&mut self, owner: &mut Lanes) {
        let before = commits(&self.bridge.bootstrap, &self.second_id()).await;
        while commits(&self.bridge.bootstrap, &self.second_id()).await < before + 2 {
            assert!(self.written.len() < WRITES_MAX, "the second never had its turn");
            for _ in 0..AT_ONCE {
                self.write(owner).await.expect("written");
            }
        }
    }

    async fn values(&self, isolation: Isolation) -> Vec<String> {
        let seen = topic::read_all(&self.bridge.bootstrap, &self.topic, isolation).await;
        seen.iter().map(topic::Seen::value_text).collect()
    }

    async fn position(&self) -> Option<String> {
        let stored = self.positions.read("r", &no_wait).await.expect("read");
        stored.map(|value| String::from_utf8(value).expect("a number"))
    }

    /// What was written is there, once and in order, and the position with the last of it.
    async fn assert_whole(&self) {
        assert_eq!(self.values(Isolation::ReadCommitted).await, self.written);
        assert_eq!(self.position().await.as_ref(), self.written.last());
    }

    /// Somebody else under a transactional id, initialised.
    async fn somebody(&self, id: String) -> BaseProducer {
        let bootstrap = self.bridge.bootstrap.clone();
        let made = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = ClientConfig::new()
                .set("bootstrap.servers", bootstrap)
                .set("transactional.id", id)
                .create()
                .expect("a producer");
            producer.init_transactions(CALL).expect("initialised");
            producer
        });
        made.await.expect("somebody")
    }

    /// A zombie: it has a transaction open with a record and a position of the route.
    async fn open(&self, producer: BaseProducer) -> BaseProducer {
        let (to, position) = (
            self.topic.clone(),
            self.positions.record("r", "of a zombie".to_owned()),
        );
        let opened = tokio::task::spawn_blocking(move || {
            producer.begin_transaction().expect("begun");
            let record = BaseRecord::<str, str>::to(&to)
                .partition(0)
                .key("k")
                .payload("of a zombie");
            producer.send(record).map_err(|(error, _)| error).expect("sent");
            let (key, value) = (
                position.key.expect("the route"),
                position.value.expect("a position"),
            );
            let record = BaseRecord::<[u8], [u8]>::to(&position.topic)
                .partition(position.partition.expect("the route's"))
                .key(&key)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("sent");
            producer.flush(CALL).expect("delivered");
            producer
        });
        opened.await.expect("open")
    }
}

async fn commit(producer: BaseProducer) -> Result<(), KafkaError> {
    tokio::task::spawn_blocking(move || producer.commit_transaction(CALL))
        .await
        .expect("an answer")
}

#[track_caller]
fn assert_fenced(outcome: Result<(), WriteError>) {
    let Err(WriteError::Lost(failure)) = outcome else {
        panic!("not lost: {outcome:?}")
    };
    assert_eq!(failure.kind, ErrorKind::Fenced, "{failure:?}");
}

#[tokio::test]
async fn small_transactions_in_close_succession_take_turns_and_stay_in_order() {
    let mut stage = Stage::set(&need!("kafka", broker::shared())).await;
    let mut owner = stage.owner().await;
    stage.until_taking_turns(&mut owner).await;
    stage.assert_whole().await;
    // Without it, and with it again.
    owner.rest();
    stage.until_taking_turns(&mut owner).await;
    stage.assert_whole().await;
}

#[tokio::test]
async fn a_new_owner_aborts_what_the_second_producer_of_the_last_one_had_open() {
    let mut stage = Stage::set(&need!("kafka", broker::shared())).await;
    let mut first = stage.owner().await;
    stage.until_taking_turns(&mut first).await;
    let zombie = stage.open(stage.somebody(stage.second_id()).await).await;
    let mut owner = stage.owner().await;
    // At once: nothing of the zombie's is waited for.
    assert_eq!(stage.position().await.as_ref(), stage.written.last());
    commit(zombie).await.expect_err("it is fenced");
    assert_fenced(stage.write(&mut first).await);
    stage.until_taking_turns(&mut owner).await;
    stage.assert_whole().await;
    let all = stage.values(Isolation::ReadUncommitted).await;
    assert!(
        all.contains(&"of a zombie".to_owned()),
        "it was there and is hidden"
    );
}

#[tokio::test]
async fn what_the_second_producer_of_an_earlier_owner_begins_after_the_takeover_is_refused() {
    let mut stage = Stage::set(&need!("kafka", broker::shared())).await;
    let mut first = stage.owner().await;
    stage.until_taking_turns(&mut first).await;
    let zombie = stage.somebody(stage.second_id()).await;
    let mut owner = stage.owner().await;
    assert_eq!(stage.position().await.as_ref(), stage.written.last());
    let to = stage.topic.clone();
    let late = tokio::task::spawn_blocking(move || {
        zombie.begin_transaction()?;
        let record = BaseRecord::<str, str>::to(&to)
            .partition(0)
            .key("k")
            .payload("late");
        zombie.send(record).map_err(|(error, _)| error)?;
        zombie.commit_transaction(CALL)
    });
    late.await.expect("an answer").expect_err("it is fenced");
    stage.write(&mut owner).await.expect("written");
    stage.assert_whole().await;
}

#[tokio::test]
async fn an_owner_that_is_fenced_on_the_first_id_writes_once_more_at_most() {
    let mut stage = Stage::set(&need!("kafka", broker::shared())).await;
    let mut owner = stage.owner().await;
    stage.until_taking_turns(&mut owner).await;
    let other = stage.open(stage.somebody(stage.id()).await).await;
    let mut outcome = stage.write(&mut owner).await;
    if outcome.is_ok() {
        outcome = stage.write(&mut owner).await;
    }
    assert_fenced(outcome);
    // Lost with both.
    assert!(matches!(stage.write(&mut owner).await, Err(WriteError::Lost(_))));
    let mut again = stage.owner().await;
    commit(other).await.expect_err("it is fenced");
    stage.write(&mut again).await.expect("written");
    stage.assert_whole().await;
}

#[tokio::test]
async fn an_owner_that_is_fenced_on_the_second_id_is_fenced() {
    let mut stage = Stage::set(&need!("kafka", broker::shared())).await;
    let mut owner = stage.owner().await;
    stage.until_taking_turns(&mut owner).await;
    let other = stage.somebody(stage.second_id()).await;
    let mut outcome = Ok(());
    for _ in 0..WRITES_MAX {
        outcome = stage.write(&mut owner).await;
        if outcome.is_err() {
            break;
        }
    }
    assert_fenced(outcome);
    drop(other);
    let mut again = stage.owner().await;
    stage.until_taking_turns(&mut again).await;
    stage.assert_whole().await;
}

#[tokio::test]
async fn a_write_that_was_cut_off_in_its_turn_is_followed_by_none() {
    let mut stage = Stage::set(&need!("kafka", broker::shared())).await;
    let mut owner = stage.owner().await;
    stage.until_taking_turns(&mut owner).await;
    for _ in 0..2 {
        let write = stage.write(&mut owner);
        tokio::select! {
            biased;
            outcome = write => assert!(matches!(outcome, Err(WriteError::Lost(_))), "{outcome:?}"),
            () = std::future::ready(()) => {}
        }
    }
    let next = stage.write(&mut owner).await;
    assert!(matches!(next, Err(WriteError::Lost(_))), "{next:?}");
    let again = stage.owner().await;
    drop(again);
    // The first that was cut off is there or not, and with its position or not; the second is not.
    let seen = stage.values(Isolation::ReadCommitted).await;
    assert_eq!(seen[..stage.written.len()], stage.written);
    assert!(seen.len() <= stage.written.len() + 1, "{seen:?}");
    assert_eq!(stage.position().await.as_ref(), seen.last());
}

/// A principal whose ACL names the route's id, and not its prefix.
#[tokio::test]
async fn without_the_right_to_the_second_id_a_route_writes_with_one_producer() {
    let authorizer = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
    ];
    let broker = need!("kafka", Broker::start_new(&authorizer));
    let mut stage = Stage::set(broker.bootstrap()).await;
    let second_id = stage.second_id();
    deny_transactional_id(broker.bootstrap(), &second_id, "literal").await;
    until(PATIENCE, "the denial", || async {
        let second = RouteProducer::transactional(&stage.bridge.connection, &second_id, Timing::DEFAULT);
        second
            .await
            .err()
            .filter(|failure| failure.kind == ErrorKind::Denied)
    })
    .await;
    let mut owner = stage.owner().await;
    for _ in 0..4 * AT_ONCE {
        stage.write(&mut owner).await.expect("written");
    }
    stage.assert_whole().await;
    assert_eq!(commits(broker.bootstrap(), &second_id).await, 0);
    assert!(commits(broker.bootstrap(), &stage.id()).await >= 4 * AT_ONCE);
}
