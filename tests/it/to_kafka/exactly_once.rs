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

use apache_avro::types::Value as Avro;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use super::avro::{Reader, field, text};
use super::oracle::{Findings, Oracle};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::topic::{Isolation, Seen, ends, read_all, unique};
use crate::support::transactions::{Status, commits, history};
use crate::support::wait::until;
use crate::support::{broker, registry};

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
    /// One output, of JSON.
    async fn new(kafka: &str, delivery: &str) -> Self {
        let to = unique("accounts");
        let more = format!("    delivery: {delivery}\n");
        let route = json_route("accounts", "/data/AccountChangeEvent", &to, &more);
        Self::of_route(kafka, delivery, to, &route).await
    }

    /// `to` is the topic at which the kills are watched.
    async fn of_route(kafka: &str, what: &str, to: String, route: &str) -> Self {
        let seed = std::env::var("SFBRIDGE_TEST_SEED").map_or_else(
            |_| rand::random(),
            |seed| seed.parse().expect("SFBRIDGE_TEST_SEED is a number"),
        );
        eprintln!("{what}: SFBRIDGE_TEST_SEED={seed}");
        let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
        Self {
            rng: StdRng::seed_from_u64(seed),
            setup: Setup::new(&unique("chaos"), kafka, &org, route),
            kafka: kafka.to_owned(),
            org,
            to,
            oracle: Oracle::new(KEYS),
        }
    }

    fn burst(&mut self, at_most: u64) {
        let count = self.rng.random_range(1..=BURST_MAX).min(at_most);
        self.emit(count);
    }

    fn emit(&mut self, count: u64) {
        let events = TestEvents {
            keys: KEYS,
            group: GROUPS[self.rng.random_range(0..GROUPS.len())],
            split_groups: self.rng.random(),
            ..TestEvents::new(count)
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

    /// Emits so many events, a few at a time, and no more than the process has nearly delivered.
    async fn keep_busy(&mut self, bridge: &Bridge, events: u64) {
        const AT_ONCE: u64 = 10;
        const BEHIND_MAX: u64 = 40;
        for _ in 0..events / AT_ONCE {
            self.emit(AT_ONCE);
            until(PATIENCE, "little in hand", || async {
                let in_hand = bridge.route("accounts").await?["in_hand"].as_u64()?;
                (in_hand < BEHIND_MAX).then_some(())
            })
            .await;
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

    /// What is found in the end, and can never change.
    async fn finish(&self) -> (Findings, Vec<Seen>) {
        let committed = async || read_all(&self.kafka, &self.to, Isolation::ReadCommitted).await;
        self.deliver_the_rest(async || {
            let lost = self.oracle.compare(&committed().await).lost;
            lost.last() != Some(&(self.oracle.count() - 1))
        })
        .await;
        let seen = committed().await;
        (self.oracle.compare(&seen), seen)
    }

    /// Lets a last process deliver what is left, and end by itself. A stream is in order, so where its last event
    /// is, nothing before it is still to come.
    async fn deliver_the_rest(&self, is_last_there: impl AsyncFn() -> bool) {
        let last = self.start().await;
        until(PATIENCE, "the last event", || async {
            is_last_there().await.then_some(())
        })
        .await;
        last.signal("TERM");
        assert!(last.ended().await.success(), "{}", last.log());
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

/// Small transactions one after the other, which two producers write in turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_producers_that_take_turns_deliver_exactly_once_through_kills() {
    const KILLS_MIN: usize = 10;
    const KILLS_MAX: usize = 60;
    let kafka = need!("kafka", broker::shared());
    let to = unique("accounts");
    let route = json_route(
        "accounts",
        "/data/AccountChangeEvent",
        &to,
        "    commit: { max_events: 4 }\n",
    );
    let mut chaos = Chaos::of_route(&kafka, "two producers", to, &route).await;
    let ids = ["accounts", "accounts@2"].map(|route| format!("sfbridge.{}.{route}", chaos.setup.name));
    let mut open = [0, 0];
    let mut kills = 0;
    while kills < KILLS_MIN || (open.contains(&0) && kills < KILLS_MAX) {
        let before = commits(&kafka, &ids[1]).await;
        chaos.emit(BURST_MAX);
        let bridge = chaos.start().await;
        // Until both take turns, and then for a while.
        while commits(&kafka, &ids[1]).await == before {
            chaos.keep_busy(&bridge, 100).await;
        }
        let more = chaos.rng.random_range(10..100);
        chaos.keep_busy(&bridge, more).await;
        let pause = chaos.rng.random_range(Duration::ZERO..Duration::from_millis(20));
        tokio::time::sleep(pause).await;
        bridge.kill();
        kills += 1;
        for (id, open) in ids.iter().zip(&mut open) {
            *open += usize::from(history(&kafka, id).await.last() == Some(&Status::Ongoing));
        }
    }
    chaos.emit(BURST_MAX);
    let (findings, _) = chaos.finish().await;
    eprintln!(
        "two producers: {} events compared; {kills} kills, {} while the first had a transaction open, {} while the second had",
        findings.compared, open[0], open[1],
    );
    findings.assert_exactly_once();
    assert_eq!(findings.compared as u64, chaos.oracle.count());
    assert!(
        !open.contains(&0),
        "no kill hit an open transaction of each: {open:?}"
    );
}

/// The negative control: what this run shows for `exactly_once` it must be able to deny.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_loses_nothing_through_kills_but_shows_doubles() {
    let kafka = need!("kafka", broker::shared());
    let mut chaos = Chaos::new(&kafka, "at_least_once").await;
    chaos.kill_often(20_000, 30).await;
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
        "thirty kills doubled nothing: the check is too weak to tell exactly once from at least once"
    );
}

/// Avro records as the oracle reads them.
async fn as_json(reader: &Reader, seen: Vec<Seen>) -> Vec<Seen> {
    let id = |record: &Seen| u32::from_be_bytes(record.value.as_ref().unwrap()[1..5].try_into().unwrap());
    let answer = reader.get(&format!("/schemas/ids/{}", id(&seen[0]))).await;
    let schema = apache_avro::Schema::parse_str(answer["schema"].as_str().unwrap()).unwrap();
    let converted = seen.into_iter().map(|mut record| {
        assert_eq!(record.value.as_ref().unwrap()[0], 0, "the framing's magic byte");
        let mut datum = &record.value.as_ref().unwrap()[5..];
        let Avro::Record(value) = apache_avro::from_avro_datum(&schema, &mut datum, None).unwrap() else {
            panic!("no record")
        };
        let number = json!({"GUID__c": text(field(&value, "GUID__c"))});
        record.value = Some(number.to_string().into_bytes());
        record
    });
    converted.collect()
}

/// Every output of a route is written in the same transactions, whatever its form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_outputs_of_one_route_have_each_their_events_exactly_once_through_kills() {
    const EVENTS: u64 = 2_000;
    let kafka = need!("kafka", broker::shared());
    let url = need!("registry", registry::shared());
    let reader = Reader::of(&url);
    let [followed, half, pinned] = ["followed", "half", "pinned"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let contract = folder.path().join("account.avsc");
    let schema = r#"{"type":"record","name":"Account","fields":[{"name":"GUID__c","type":"string"}]}"#;
    std::fs::write(&contract, schema).unwrap();
    let route = format!(
        "  - name: accounts\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {followed}, format: avro }}\n\
         \x20     - {{ kafka: {half}, format: json, filter: 'event.GUID__c.matches(\"[02468]$\")' }}\n\
         \x20     - {{ kafka: {pinned}, format: avro, contract: {{ file: {} }} }}\n",
        contract.display()
    );
    let mut chaos = Chaos::of_route(&kafka, "three outputs", followed.clone(), &route).await;
    chaos.setup.registry = Some(url);
    let left = chaos.kill_often(EVENTS, 6).await;
    let last_number = format!("{:012}", EVENTS - 1);
    chaos
        .deliver_the_rest(async || {
            let seen = read_all(&kafka, &pinned, Isolation::ReadCommitted).await;
            let is_last = |record: &Seen| record.value_text().ends_with(&last_number);
            seen.iter().any(is_last)
        })
        .await;

    for topic in [&followed, &pinned] {
        let seen = read_all(&kafka, topic, Isolation::ReadCommitted).await;
        let findings = chaos.oracle.compare(&as_json(&reader, seen).await);
        findings.assert_exactly_once();
        assert_eq!(findings.compared as u64, EVENTS, "{topic}");
    }
    let seen = read_all(&kafka, &half, Isolation::ReadCommitted).await;
    let findings = chaos.oracle.compare_kept(&seen, |number| number % 2 == 0);
    findings.assert_exactly_once();
    assert_eq!(findings.compared as u64, EVENTS / 2);

    let all = read_all(&kafka, &followed, Isolation::ReadUncommitted).await;
    let committed = read_all(&kafka, &followed, Isolation::ReadCommitted).await;
    let hidden = hidden(&all, &committed);
    eprintln!(
        "three outputs: {} kills, {} hit an open transaction; {} aborted records in the first",
        left.len(),
        hits(&left, &hidden),
        hidden.len(),
    );
}
