//! The main promise: the real process is killed thirty times under load, and a reader sees each event once.
//!
//! A run is made of legs. In each a process starts, delivers, and is killed while events keep coming; what is
//! left of the leg's share is emitted while nobody listens, so the next process starts under load too. Sizes,
//! pauses and the moments of the kills are drawn from a seed, which is printed and can be given as
//! `SFBRIDGE_TEST_SEED`.
//!
//! A kill *hit an open transaction* when, with the process gone and the next one not started, a partition's
//! last stable offset lay before its end, and a record from between the two is hidden from `read_committed`
//! readers for good. Both are needed: a commit that the broker was still carrying out shows the first only, and
//! is no hit. What the broker took from the dead process's socket after the look is not counted.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use super::oracle::{Findings, Oracle};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{Isolation, Seen, ends, read_all, unique};
use crate::support::wait::until;

/// Many enough for several in each transaction, few enough that each key's order is tried often.
const KEYS: u64 = 97;
/// Events of one emission. A stream is owed a hundred at most: from single events to half of that.
const BURST_MAX: u64 = 50;
/// Between two emissions: a debug build falls behind a little, so most kills hit it at work.
const PAUSE_MAX: Duration = Duration::from_millis(6);
/// How many events share a replay id, as drawn for each burst.
const GROUPS: [u64; 6] = [1, 1, 1, 2, 3, 7];

/// What a partition showed right after a kill: offsets from the last stable one up to the end.
type Unstable = Vec<std::ops::Range<i64>>;

struct Chaos {
    rng: StdRng,
    kafka: String,
    org: Simulator,
    setup: Setup,
    to: String,
    oracle: Oracle,
}

impl Chaos {
    async fn new(kafka: &str, delivery: &str) -> Self {
        let seed = std::env::var("SFBRIDGE_TEST_SEED").map_or_else(
            |_| rand::random(),
            |seed| seed.parse().expect("SFBRIDGE_TEST_SEED is a number"),
        );
        eprintln!("{delivery}: SFBRIDGE_TEST_SEED={seed}");
        let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
        let to = unique("accounts");
        let route = json_route(
            "accounts",
            "/data/AccountChangeEvent",
            &to,
            &format!("    delivery: {delivery}\n"),
        );
        Self {
            rng: StdRng::seed_from_u64(seed),
            setup: Setup::new(&unique("chaos"), kafka, &org, &route),
            kafka: kafka.to_owned(),
            org,
            to,
            oracle: Oracle::new(KEYS),
        }
    }

    fn burst(&mut self, at_most: u64) {
        let events = TestEvents {
            keys: KEYS,
            group: GROUPS[self.rng.random_range(0..GROUPS.len())],
            split_groups: self.rng.random(),
            ..TestEvents::new(self.rng.random_range(1..=BURST_MAX).min(at_most))
        };
        self.oracle.emitted(&self.org.emit_test_events(&events).unwrap());
    }

    async fn pause(&mut self) {
        let pause = self.rng.random_range(Duration::ZERO..PAUSE_MAX);
        tokio::time::sleep(pause).await;
    }

    /// Emits until so many events are out in all.
    async fn emit_until(&mut self, count: u64) {
        while self.oracle.count() < count {
            self.burst(count - self.oracle.count());
            self.pause().await;
        }
    }

    /// Starts the process and waits until it has delivered something.
    async fn start(&self) -> Bridge {
        let bridge = Bridge::spawn(&self.setup);
        until(PATIENCE, "the first records since the start", || async {
            let route = bridge.route("accounts").await?;
            (route["records_written"].as_u64()? > 0).then_some(())
        })
        .await;
        bridge
    }

    /// Emits `events` in all while the process is killed so often; gives what each kill left unstable.
    async fn kill_often(&mut self, events: u64, kills: u64) -> Vec<Unstable> {
        let share = events / (kills + 1);
        let mut left = Vec::new();
        for leg in 1..=kills {
            // There is something to deliver before a kill, and something to come after it.
            let killed_at = self.rng.random_range(share / 4..share - BURST_MAX);
            self.emit_until((leg - 1) * share + share / 8).await;
            let bridge = self.start().await;
            self.emit_until((leg - 1) * share + killed_at).await;
            bridge.kill();
            left.push(self.unstable().await);
            self.emit_until(leg * share).await;
        }
        self.emit_until(events).await;
        left
    }

    async fn unstable(&self) -> Unstable {
        let stable = ends(&self.kafka, &self.to, Isolation::ReadCommitted).await;
        let ends = ends(&self.kafka, &self.to, Isolation::ReadUncommitted).await;
        stable.into_iter().zip(ends).map(|(from, to)| from..to).collect()
    }

    /// Lets a last process deliver what is left, and end by itself: what is found then can never change. A
    /// stream is in order, so where its last event is, nothing before it is still to come.
    async fn finish(&self) -> (Findings, Vec<Seen>) {
        let last = self.start().await;
        until(PATIENCE, "the last event", || async {
            let seen = read_all(&self.kafka, &self.to, Isolation::ReadCommitted).await;
            let lost = self.oracle.compare(&seen).lost;
            (lost.last() != Some(&(self.oracle.count() - 1))).then_some(())
        })
        .await;
        last.signal("TERM");
        assert!(last.ended().await.success(), "{}", last.log());
        let seen = read_all(&self.kafka, &self.to, Isolation::ReadCommitted).await;
        (self.oracle.compare(&seen), seen)
    }
}

/// Records that only a `read_uncommitted` reader sees.
fn hidden(all: &[Seen], committed: &[Seen]) -> Vec<(i32, i64)> {
    let place = |seen: &Seen| (seen.partition, seen.offset);
    let visible: std::collections::HashSet<_> = committed.iter().map(place).collect();
    all.iter()
        .map(place)
        .filter(|place| !visible.contains(place))
        .collect()
}

/// The kills that cut off a transaction with records in it.
fn hits(left: &[Unstable], hidden: &[(i32, i64)]) -> usize {
    let cut_off = |unstable: &&Unstable| {
        hidden
            .iter()
            .any(|(partition, offset)| unstable[usize::try_from(*partition).unwrap()].contains(offset))
    };
    left.iter().filter(cut_off).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_events_through_thirty_kills_arrive_exactly_once() {
    let kafka = need!("kafka", broker::shared());
    let mut chaos = Chaos::new(&kafka, "exactly_once").await;
    let left = chaos.kill_often(20_000, 30).await;
    let (findings, committed) = chaos.finish().await;
    let all = read_all(&kafka, &chaos.to, Isolation::ReadUncommitted).await;
    let hidden = hidden(&all, &committed);
    let hits = hits(&left, &hidden);
    eprintln!(
        "exactly_once: {} events compared, {} shared a replay id; {} kills, {hits} hit an open transaction; {} aborted records",
        findings.compared,
        findings.sharing_a_replay_id,
        left.len(),
        hidden.len(),
    );
    findings.assert_exactly_once();
    assert_eq!(findings.compared, 20_000);
    assert!(
        findings.sharing_a_replay_id > 0,
        "no two events shared a replay id"
    );
    assert!(hits > 0, "no kill hit an open transaction: {left:?}");
}

/// The negative control: what this run shows for `exactly_once` it must be able to deny.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_loses_nothing_through_kills_but_shows_doubles() {
    let kafka = need!("kafka", broker::shared());
    let mut chaos = Chaos::new(&kafka, "at_least_once").await;
    chaos.kill_often(8_000, 12).await;
    let (findings, _) = chaos.finish().await;
    eprintln!(
        "at_least_once: {} records compared with {} events, {} doubled",
        findings.compared,
        chaos.oracle.count(),
        findings.doubled.len(),
    );
    findings.assert_at_least_once();
    assert!(
        !findings.doubled.is_empty(),
        "twelve kills doubled nothing: the check is too weak to tell exactly once from at least once"
    );
}
