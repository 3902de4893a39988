//! After an abort: nothing of it for `read_committed`, its records for `read_uncommitted`, the position
//! unchanged. The real process, with a transaction that cannot be completed.
//!
//! The route has two outputs. One takes every record; the other, once told to want more replicas than this
//! cluster has, acknowledges none. So a transaction stays open with records in it until the bridge gives it up,
//! or is killed.

use serde_json::Value;
use sfbridge::simulator::faults::StreamMode;
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, Isolation, Seen, ends, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// Events of the transaction that is aborted.
const ABORTED: usize = 10;

struct Stage {
    kafka: String,
    org: Simulator,
    setup: Setup,
    open: String,
    blocked: String,
}

impl Stage {
    /// A bridge that has delivered its first event, and so has a position.
    async fn set(kafka: &str) -> (Self, Bridge) {
        let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
        let (open, blocked) = (unique("open"), unique("blocked"));
        topic::create(kafka, &open, 1, &[]).await;
        topic::create(kafka, &blocked, 1, &[]).await;
        let routes = format!(
            "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n      \
             - {{ kafka: {open}, format: json }}\n      - {{ kafka: {blocked}, format: json }}\n"
        );
        let stage = Self {
            kafka: kafka.to_owned(),
            setup: Setup::new(&unique("abort"), kafka, &org, &routes),
            org,
            open,
            blocked,
        };
        let bridge = Bridge::start(&stage.setup).await;
        stage.emit(1);
        until(PATIENCE, "the first position", || {
            stage.position(Isolation::ReadCommitted)
        })
        .await;
        (stage, bridge)
    }

    fn emit(&self, count: usize) {
        let events = TestEvents::new(u64::try_from(count).unwrap());
        self.org.emit_test_events(&events).unwrap();
    }

    async fn replicas_wanted(&self, count: &str) {
        topic::configure(&self.kafka, &self.blocked, &[("min.insync.replicas", count)]).await;
    }

    /// The route's newest position record.
    async fn position(&self, isolation: Isolation) -> Option<Value> {
        let topic = format!("_sfbridge.{}.positions", self.setup.name);
        topic::partition_count(&self.kafka, &topic).await?;
        let records = read_all(&self.kafka, &topic, isolation).await;
        let newest = records.iter().rfind(|record| record.key_text() == "accounts")?;
        Some(serde_json::from_str(&newest.value_text()).unwrap())
    }

    /// The numbers of the events in the open output.
    async fn numbers(&self, isolation: Isolation) -> Vec<u64> {
        let seen = read_all(&self.kafka, &self.open, isolation).await;
        seen.iter().map(number).collect()
    }

    /// Lets the second output refuse, emits, and waits until the open transaction has all of it in the first.
    async fn hold_a_transaction(&self) {
        self.replicas_wanted("2").await;
        self.emit(ABORTED);
        until(PATIENCE, "records of an open transaction", || async {
            (self.numbers(Isolation::ReadUncommitted).await.len() > ABORTED).then_some(())
        })
        .await;
    }

    /// No transaction is open in the first output.
    async fn until_settled(&self) {
        until(PATIENCE, "the abort", || async {
            let stable = ends(&self.kafka, &self.open, Isolation::ReadCommitted).await;
            let ends = ends(&self.kafka, &self.open, Isolation::ReadUncommitted).await;
            (stable == ends).then_some(())
        })
        .await;
    }

    /// The three that hold after an abort; the aborted position record itself is there to be seen.
    async fn assert_aborted(&self, position_before: &Value) {
        assert_eq!(
            self.numbers(Isolation::ReadCommitted).await,
            [0],
            "read_committed"
        );
        let all = self.numbers(Isolation::ReadUncommitted).await;
        assert!(all.starts_with(&first(ABORTED + 1)), "read_uncommitted: {all:?}");
        let position = self.position(Isolation::ReadCommitted).await;
        assert_eq!(position.as_ref(), Some(position_before));
        let aborted = self.position(Isolation::ReadUncommitted).await.unwrap();
        assert_ne!(&aborted, position_before, "the transaction held a position too");
    }

    /// Once the second output takes records again, both have each event once.
    async fn assert_goes_on(&self) {
        self.replicas_wanted("1").await;
        for topic in [&self.open, &self.blocked] {
            let numbers = until(PATIENCE, "all events", || async {
                let seen = read_all(&self.kafka, topic, Isolation::ReadCommitted).await;
                (seen.len() > ABORTED).then(|| seen.iter().map(number).collect::<Vec<u64>>())
            })
            .await;
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, first(ABORTED + 1), "{topic}: {numbers:?}");
        }
    }
}

fn first(count: usize) -> Vec<u64> {
    (0..).take(count).collect()
}

fn number(record: &Seen) -> u64 {
    let value: Value = serde_json::from_str(&record.value_text()).unwrap();
    value["GUID__c"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_the_bridge_gives_up_is_hidden_and_leaves_the_position() {
    let kafka = need!("kafka", broker::shared());
    let (stage, bridge) = Stage::set(&kafka).await;
    let position = stage.position(Isolation::ReadCommitted).await.unwrap();
    stage.hold_a_transaction().await;
    let route = bridge.until_state("accounts", &["waiting"]).await;
    let why = route["state"]["why"].as_str().unwrap();
    assert!(why.contains("acknowledge"), "{route}");
    stage.assert_aborted(&position).await;
    stage.assert_goes_on().await;
    assert!(bridge.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_cut_off_by_a_kill_is_aborted_by_the_next_start() {
    let kafka = need!("kafka", broker::shared());
    let (stage, bridge) = Stage::set(&kafka).await;
    let position = stage.position(Isolation::ReadCommitted).await.unwrap();
    stage.hold_a_transaction().await;
    bridge.kill();
    let stable = ends(&kafka, &stage.open, Isolation::ReadCommitted).await;
    assert_eq!(
        stable,
        [2],
        "open: readers stop behind the first event and its commit marker"
    );
    // The next process hears of no event, so that nothing but its start can end the transaction.
    stage.org.set_mode(Some(ACCOUNTS), StreamMode::Silent).unwrap();
    let _next = Bridge::start(&stage.setup).await;
    stage.until_settled().await;
    stage.assert_aborted(&position).await;
    stage.org.set_mode(Some(ACCOUNTS), StreamMode::Normal).unwrap();
    stage.assert_goes_on().await;
}
