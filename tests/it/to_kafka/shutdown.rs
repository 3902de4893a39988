//! How the process ends when it is told to, and what the next start makes of it.

use std::time::{Duration, Instant};

use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use super::oracle::assert_each_once_in_order;
use super::records;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::{self, Broker};
use crate::support::topic::{Isolation, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// Enough that a stop comes in the middle.
const EVENTS: u64 = 6_000;

/// Exit codes of the design: clean, and cut off by the deadline.
const CLEAN: i32 = 0;
const CUT_OFF: i32 = 75;

fn setup(kafka: &str, org: &Simulator, to: &str, shutdown_timeout: &str) -> Setup {
    let route = json_route("accounts", ACCOUNTS, to, "    commit: { max_events: 50 }\n");
    Setup {
        shutdown_timeout: shutdown_timeout.to_owned(),
        ..Setup::new(&unique("crm"), kafka, org, &route)
    }
}

/// Stops a bridge in the middle of many events; gives what it wrote by then and its exit code.
async fn stopped_under_load(kafka: &str, org: &Simulator, to: &str, setup: &Setup) -> (usize, Option<i32>) {
    let bridge = Bridge::start(setup).await;
    org.emit_test_events(&TestEvents::new(EVENTS)).unwrap();
    until(PATIENCE, "some transactions", || async {
        let shown = bridge.route("accounts").await?;
        (shown["records_written"].as_u64()? >= 200 && shown["in_hand"].as_u64()? > 0).then_some(())
    })
    .await;
    bridge.signal("TERM");
    let code = bridge.ended().await.code();
    if code == Some(CLEAN) {
        assert!(bridge.log().contains("stopped cleanly"), "{}", bridge.log());
    }
    let written = read_all(kafka, to, Isolation::ReadCommitted).await.len();
    assert!(written >= 200, "{written} records");
    (written, code)
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_batch_drains_and_the_next_start_goes_on() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    let setup = setup(&kafka, &org, &to, "30s");
    let (written, code) = stopped_under_load(&kafka, &org, &to, &setup).await;
    assert_eq!(code, Some(CLEAN));
    assert!(
        written < EVENTS as usize,
        "the stop came too late to show anything"
    );
    let _again = Bridge::start(&setup).await;
    let seen = records(&kafka, &to, EVENTS as usize).await;
    assert_each_once_in_order(&seen, EVENTS);
}

#[tokio::test]
async fn a_deadline_too_short_is_told_and_loses_nothing() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    let setup = setup(&kafka, &org, &to, "1ms");
    let (written, code) = stopped_under_load(&kafka, &org, &to, &setup).await;
    assert_eq!(code, Some(CUT_OFF));
    assert!(
        written < EVENTS as usize,
        "the stop came too late to show anything"
    );
    let _again = Bridge::start(&setup).await;
    let seen = records(&kafka, &to, EVENTS as usize).await;
    assert_each_once_in_order(&seen, EVENTS);
}

/// A bridge with a transaction on its way to a broker that does not answer.
async fn stuck(kafka: &Broker, org: &Simulator, to: &str, setup: &Setup) -> Bridge {
    let bridge = Bridge::start(setup).await;
    org.emit_test_events(&TestEvents::new(100)).unwrap();
    records(kafka.bootstrap(), to, 100).await;
    kafka.freeze();
    org.emit_test_events(&TestEvents::new(100)).unwrap();
    until(PATIENCE, "events in hand", || async {
        let shown = bridge.route("accounts").await?;
        (shown["in_hand"].as_u64()? == 100).then_some(())
    })
    .await;
    bridge.signal("TERM");
    until(PATIENCE, "the drain", || async {
        bridge.log().contains("stopping: routes drain").then_some(())
    })
    .await;
    bridge
}

#[tokio::test]
async fn a_drain_that_takes_long_says_what_is_left() {
    let kafka = need!("kafka", Broker::start_new(&[]));
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    // One line at five seconds, and the end before the transaction is given up.
    let setup = setup(kafka.bootstrap(), &org, &to, "7s");
    let bridge = stuck(&kafka, &org, &to, &setup).await;
    assert_eq!(bridge.ended().await.code(), Some(CUT_OFF));
    let log = bridge.log();
    for said in ["still draining", "shutdown deadline passed"] {
        let line = log.lines().find(|line| line.contains(said));
        let line = line.unwrap_or_else(|| panic!("no line says {said:?}: {log}"));
        assert!(line.contains("route accounts: 100 events in hand"), "{line}");
    }
    kafka.thaw();
    let _again = Bridge::start(&setup).await;
    let seen = records(kafka.bootstrap(), &to, 200).await;
    assert_each_once_in_order(&seen, 200);
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let kafka = need!("kafka", Broker::start_new(&[]));
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    let setup = setup(kafka.bootstrap(), &org, &to, "10m");
    let bridge = stuck(&kafka, &org, &to, &setup).await;
    let asked = Instant::now();
    bridge.signal("TERM");
    assert_eq!(bridge.ended().await.code(), Some(CUT_OFF));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert!(bridge.log().contains("second signal"), "{}", bridge.log());
}
