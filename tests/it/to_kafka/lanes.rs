//! The second producer of a route, in the real process: when it is there.

use sfbridge::simulator::TestEvents;

use super::oracle::Oracle;
use super::{ACCOUNTS, ONE_PARTITION, an_org, committed};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::transactions::commits;
use crate::support::wait::until;

/// With transactions of so few events a route that has something to deliver writes one after the other.
const SMALL: &str = "    commit: { max_events: 4 }\n";
const KEYS: u64 = 7;
/// At least as many events as the debug build delivers meanwhile.
const AT_ONCE: u64 = 100;

/// Threads of the process that are producers of the bridge's.
fn producers(bridge: &Bridge) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", bridge.pid())).unwrap();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "kafka-producer").count()
}

struct Stage {
    kafka: String,
    org: sfbridge::simulator::Simulator,
    to: String,
    setup: Setup,
    second_id: String,
    oracle: Oracle,
}

impl Stage {
    async fn set(kafka: String) -> Self {
        let (org, name, to) = (an_org().await, unique("turns"), unique("accounts"));
        let setup = Setup {
            kafka: ONE_PARTITION.to_owned(),
            ..Setup::new(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, SMALL))
        };
        Self {
            second_id: format!("sfbridge.{name}.accounts@2"),
            oracle: Oracle::new(KEYS),
            kafka,
            org,
            to,
            setup,
        }
    }

    fn emit(&mut self) {
        let events = TestEvents {
            keys: KEYS,
            ..TestEvents::new(AT_ONCE)
        };
        self.oracle.emitted(&self.org.emit_test_events(&events).unwrap());
    }

    async fn seen(&self) -> usize {
        committed(&self.kafka, &self.to).await.len()
    }

    /// Emits until the second producer has committed since `before`.
    async fn until_taking_turns(&mut self, before: usize) {
        while commits(&self.kafka, &self.second_id).await <= before {
            assert!(
                self.oracle.count() < 100_000,
                "the second producer never had its turn"
            );
            self.emit();
            let all = usize::try_from(self.oracle.count()).unwrap();
            let behind = usize::try_from(AT_ONCE).unwrap();
            until(PATIENCE, "what was emitted, nearly all", || async {
                (self.seen().await + behind >= all).then_some(())
            })
            .await;
        }
    }

    async fn assert_exactly_once(&self) {
        let all = usize::try_from(self.oracle.count()).unwrap();
        until(PATIENCE, "the last event", || async {
            (self.seen().await >= all).then_some(())
        })
        .await;
        let findings = self.oracle.compare(&committed(&self.kafka, &self.to).await);
        findings.assert_exactly_once();
        assert_eq!(findings.compared, all);
    }
}

#[tokio::test]
async fn a_busy_route_with_small_transactions_has_a_second_producer_until_it_is_idle() {
    let mut stage = Stage::set(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&stage.setup).await;
    bridge.until_state("accounts", &["streaming", "idle"]).await;
    until(PATIENCE, "one producer, the one of the takeover gone", || async {
        (producers(&bridge) == 1).then_some(())
    })
    .await;
    assert_eq!(commits(&stage.kafka, &stage.second_id).await, 0);
    stage.until_taking_turns(0).await;
    assert_eq!(producers(&bridge), 2);
    bridge.until_state("accounts", &["idle"]).await;
    until(PATIENCE, "the end of the second", || async {
        (producers(&bridge) == 1).then_some(())
    })
    .await;
    stage.assert_exactly_once().await;
}
