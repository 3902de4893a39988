//! Transactions that do not end well, of the real process: cut off, given up, or committed without an answer.
//!
//! The way between bridge and broker loses the end of a transaction. So one stays open with records in it,
//! for as long as the test wants to look at it; or it is committed, and the bridge is not told.

use serde_json::Value;
use sfbridge::simulator::faults::StreamMode;
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::Broker;
use crate::support::relay::{Commits, Relay};
use crate::support::topic::{self, Isolation, Seen, ends, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// Events of the transaction that goes wrong.
const AT_STAKE: u64 = 10;

struct Stage {
    relay: Relay,
    _broker: Broker,
    org: Simulator,
    setup: Setup,
    to: String,
}

impl Stage {
    async fn set() -> Result<Self, String> {
        let relay = Relay::start().await;
        let line = relay.advertised();
        let broker = tokio::task::spawn_blocking(move || Broker::start_new(&[&line]))
            .await
            .unwrap()?;
        relay.lead_to(broker.bootstrap());
        let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
        let to = unique("accounts");
        let route = json_route("accounts", ACCOUNTS, &to, "");
        let setup = Setup::new(&unique("transactions"), &relay.address(), &org, &route);
        topic::create(&setup.bootstrap, &to, 1, &[]).await;
        Ok(Self {
            relay,
            _broker: broker,
            org,
            setup,
            to,
        })
    }

    /// Starts the bridge and lets it deliver one event, so that it has a position.
    async fn start(&self) -> (Bridge, Value) {
        let bridge = Bridge::start(&self.setup).await;
        self.emit(1);
        let position = until(PATIENCE, "the first position", || {
            self.position(Isolation::ReadCommitted)
        })
        .await;
        (bridge, position)
    }

    fn emit(&self, count: u64) {
        self.org.emit_test_events(&TestEvents::new(count)).unwrap();
    }

    /// The route's newest position record.
    async fn position(&self, isolation: Isolation) -> Option<Value> {
        let topic = format!("_sfbridge.{}.positions", self.setup.name);
        topic::partition_count(&self.setup.bootstrap, &topic).await?;
        let records = read_all(&self.setup.bootstrap, &topic, isolation).await;
        let newest = records.iter().rfind(|record| record.key_text() == "accounts")?;
        Some(serde_json::from_str(&newest.value_text()).unwrap())
    }

    /// The numbers of the events in Kafka, as they stand there.
    async fn numbers(&self, isolation: Isolation) -> Vec<u64> {
        let seen = read_all(&self.setup.bootstrap, &self.to, isolation).await;
        seen.iter().map(number).collect()
    }

    async fn until_numbers(&self, isolation: Isolation, wanted: u64) {
        let what = format!("events 0 to {wanted} for {isolation:?}");
        until(PATIENCE, &what, || async {
            let numbers = self.numbers(isolation).await;
            numbers.contains(&(wanted - 1)).then_some(())
        })
        .await;
    }

    /// Readers stop before the end of the topic: a transaction is open.
    async fn is_open(&self) -> bool {
        let stable = ends(&self.setup.bootstrap, &self.to, Isolation::ReadCommitted).await;
        stable != ends(&self.setup.bootstrap, &self.to, Isolation::ReadUncommitted).await
    }

    /// Lets a transaction with [`AT_STAKE`] events be filled whose end the broker does not hear of. No event
    /// comes after it, so that whatever ends it is not followed by another.
    async fn hold_a_transaction(&self) {
        self.relay.commits(Commits::RequestLost);
        self.emit(AT_STAKE);
        self.until_numbers(Isolation::ReadUncommitted, 1 + AT_STAKE).await;
        self.org.set_mode(Some(ACCOUNTS), StreamMode::Silent).unwrap();
        assert!(self.is_open().await);
    }

    /// What holds after an abort. That the position was in the transaction too is there to be seen.
    async fn assert_aborted(&self, position_before: &Value) {
        until(PATIENCE, "the abort", || async {
            (!self.is_open().await).then_some(())
        })
        .await;
        assert_eq!(self.numbers(Isolation::ReadCommitted).await, [0]);
        let all = self.numbers(Isolation::ReadUncommitted).await;
        assert_eq!(all, (0..=AT_STAKE).collect::<Vec<_>>());
        let position = self.position(Isolation::ReadCommitted).await;
        assert_eq!(position.as_ref(), Some(position_before));
        let aborted = self.position(Isolation::ReadUncommitted).await;
        assert_ne!(aborted.as_ref(), Some(position_before));
    }

    /// Once commits pass and events come, everything arrives, once.
    async fn assert_goes_on(&self) {
        self.relay.commits(Commits::Pass);
        self.org.set_mode(Some(ACCOUNTS), StreamMode::Normal).unwrap();
        self.emit(1);
        self.until_numbers(Isolation::ReadCommitted, 2 + AT_STAKE).await;
        let mut numbers = self.numbers(Isolation::ReadCommitted).await;
        numbers.sort_unstable();
        assert_eq!(numbers, (0..2 + AT_STAKE).collect::<Vec<_>>());
    }
}

fn number(record: &Seen) -> u64 {
    let value: Value = serde_json::from_str(&record.value_text()).unwrap();
    value["GUID__c"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_cut_off_by_a_kill_is_aborted_by_the_next_start() {
    let stage = need!("kafka", Stage::set().await);
    let (bridge, position) = stage.start().await;
    stage.hold_a_transaction().await;
    bridge.kill();
    assert!(stage.is_open().await, "nobody is there to end it");
    let _next = Bridge::start(&stage.setup).await;
    stage.assert_aborted(&position).await;
    stage.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_the_bridge_gives_up_is_aborted_by_its_next_run() {
    let stage = need!("kafka", Stage::set().await);
    let (bridge, position) = stage.start().await;
    stage.hold_a_transaction().await;
    stage.assert_aborted(&position).await;
    assert!(bridge.is_running());
    stage.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_not_repeated() {
    let stage = need!("kafka", Stage::set().await);
    let (bridge, _) = stage.start().await;
    stage.relay.commits(Commits::AnswerLost);
    stage.emit(AT_STAKE);
    stage.until_numbers(Isolation::ReadCommitted, 1 + AT_STAKE).await;
    bridge.until_state("accounts", &["waiting"]).await;
    stage.assert_goes_on().await;
    // Not even sent again and aborted: the stored position told the next run that all was through.
    let all = stage.numbers(Isolation::ReadUncommitted).await;
    assert_eq!(all, (0..2 + AT_STAKE).collect::<Vec<_>>());
}
