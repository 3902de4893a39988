//! The main promise: two instances are killed, stopped and started, the broker with them, and one answer in twenty is
//! lost after the deed. The org ends as the last versions say, and every event was published, each repeat under the
//! id that it had.
//!
//! A run is made of legs. In each a share of the records comes, the bridge gets some of the way, and a blow falls. Their
//! order, the records and the moments are drawn from a seed, which is printed and can be given as
//! `SFBRIDGE_TEST_SEED`.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sfbridge::simulator::Simulator;
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::rest::RestFault;

use super::oracle::{Orders, Publications};
use super::{
    an_org, by_key, cluster_id, committed, dead_letters, finished, orders, published, seed, shipped,
};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker::Broker;
use crate::support::topic::{self, Isolation, partition_count, read_all, unique};
use crate::support::wait::until;

/// Of each route.
const RECORDS: u64 = 20_000;
/// Some versions each, few enough that a request whose outcome is unknown does not hold everything up behind it.
const KEYS: u64 = 6_000;
const PARTITIONS: i32 = 6;
const ANSWER_LOST_ONE_IN: u32 = 20;
/// Most kills find a request under way.
const ANSWER_MS: u64 = 40;
const CHANGES: &str = "/data/Order__ChangeEvent";
const SHIPPED: &str = "/event/Order_Shipped__e";

#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill(usize),
    KillBoth,
    /// One is away for so long that the other has all partitions, and comes back.
    AwayAfterKill(usize),
    AwayAfterStop(usize),
    BrokerKilled,
    BrokerStopped,
}

const BLOWS: [Blow; 7] = [
    Blow::Kill(0),
    Blow::Kill(1),
    Blow::KillBoth,
    Blow::AwayAfterKill(0),
    Blow::AwayAfterStop(1),
    Blow::BrokerKilled,
    Blow::BrokerStopped,
];

struct Storm {
    rng: StdRng,
    broker: Broker,
    org: Simulator,
    name: String,
    /// Of the upserts and of the publications.
    topics: [String; 2],
    setups: [Setup; 2],
    bridges: [Option<Bridge>; 2],
    orders: Orders,
    events: u64,
    /// Transient failures that the bridges' logs told.
    failures: usize,
}

impl Storm {
    async fn new(broker: Broker) -> Self {
        let seed = seed("kills");
        let org = an_org().await;
        org.set_daily_requests(1_000_000, 0);
        let name = unique("storm");
        let topics = ["orders", "shipped"].map(unique);
        let kafka = broker.bootstrap().to_owned();
        for topic in &topics {
            topic::create(&kafka, topic, PARTITIONS, &[]).await;
        }
        let routes = orders(&topics[0]) + &shipped(&topics[1]);
        let one = Setup::new(&name, &kafka, &org, &routes);
        let two = Setup {
            instance: format!("{name}-2"),
            ..one.clone()
        };
        let mut storm = Self {
            rng: StdRng::seed_from_u64(seed),
            broker,
            org,
            name,
            topics,
            setups: [one, two],
            bridges: [None, None],
            orders: Orders::new(KEYS),
            events: 0,
            failures: 0,
        };
        storm.lose_answers();
        storm
    }

    fn kafka(&self) -> &str {
        self.broker.bootstrap()
    }

    fn lose_answers(&mut self) {
        self.org.rest_fault(RestFault {
            times: u32::MAX,
            one_in: ANSWER_LOST_ONE_IN,
            seed: self.rng.random(),
            lose_answer: true,
            ..RestFault::default()
        });
        let lost = Fault::new(Rpc::Publish, Then::LoseAnswer);
        let lost = lost.one_in(ANSWER_LOST_ONE_IN, self.rng.random());
        self.org.fault(lost).unwrap();
        self.delay_answers();
    }

    /// The others are late.
    fn delay_answers(&self) {
        self.org.rest_fault(RestFault {
            path: Some("composite".into()),
            times: u32::MAX,
            answer_delay_ms: ANSWER_MS,
            ..RestFault::default()
        });
        let late = Fault::new(Rpc::Publish, Then::Proceed).times(u32::MAX);
        self.org.fault(late.delayed(ANSWER_MS)).unwrap();
    }

    /// Puts more records into both topics until there are so many in each.
    async fn produce_until(&mut self, count: u64) {
        let mut rows = Vec::new();
        while self.orders.made() < count {
            rows.push(self.orders.next(&mut self.rng));
        }
        let rows: Vec<_> = rows
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        topic::produce(self.kafka(), &self.topics[0], &rows).await;
        let events = usize::try_from(self.events).unwrap()..usize::try_from(count).unwrap();
        self.events = count;
        super::produce_orders(self.kafka(), &self.topics[1], events).await;
    }

    fn start(&mut self, instance: usize) {
        self.bridges[instance] = Some(Bridge::spawn(&self.setups[instance]));
    }

    fn kill(&mut self, instance: usize) {
        let bridge = self.bridges[instance].take().unwrap();
        bridge.kill();
        self.note(&bridge);
    }

    async fn stop(&mut self, instance: usize) {
        let bridge = self.bridges[instance].take().unwrap();
        bridge.signal("TERM");
        assert!(bridge.ended().await.success(), "{}", bridge.log());
        self.note(&bridge);
    }

    fn note(&mut self, bridge: &Bridge) {
        self.failures += bridge.log().matches("\"kind\":\"transient\"").count();
    }

    /// What has reached the org, repeats with it.
    fn written(&self) -> u64 {
        let changes = self.org.topic_counts(CHANGES).unwrap().events_stored;
        changes + self.org.topic_counts(SHIPPED).unwrap().events_published
    }

    async fn progress(&self, records: u64) {
        let wanted = self.written() + records;
        until(PATIENCE, &format!("{wanted} records in the org"), || async {
            (self.written() >= wanted).then_some(())
        })
        .await;
    }

    async fn blow(&mut self, blow: Blow) {
        match blow {
            Blow::Kill(instance) => {
                self.kill(instance);
                self.start(instance);
            }
            Blow::KillBoth => {
                self.kill(0);
                self.kill(1);
                self.start(0);
                self.start(1);
            }
            Blow::AwayAfterKill(instance) => {
                self.kill(instance);
                self.other_has_all(instance).await;
                self.start(instance);
            }
            Blow::AwayAfterStop(instance) => {
                self.stop(instance).await;
                self.other_has_all(instance).await;
                self.start(instance);
            }
            Blow::BrokerKilled => {
                self.broker.kill();
                tokio::task::block_in_place(|| self.broker.start()).unwrap();
            }
            Blow::BrokerStopped => {
                self.broker.stop();
                tokio::task::block_in_place(|| self.broker.start()).unwrap();
            }
        }
    }

    /// Every partition's offset has moved since `instance` left: the other one works on all of them.
    async fn other_has_all(&self, instance: usize) {
        let kafka = self.kafka();
        let [orders, _] = &self.topics;
        let before = committed(kafka, &self.name, "orders", orders).await;
        let ends = topic::ends(kafka, orders, Isolation::ReadCommitted).await;
        until(
            PATIENCE,
            &format!("all partitions without {instance}"),
            || async {
                let now = committed(kafka, &self.name, "orders", orders).await;
                let of = |offsets: &[Option<i64>], place: usize| offsets.get(place).copied().flatten();
                let all = (0..ends.len()).all(|place| {
                    of(&now, place) > of(&before, place) || of(&now, place) == Some(ends[place])
                });
                all.then_some(())
            },
        )
        .await;
    }

    async fn finish(&mut self) {
        self.org.clear_faults();
        for (route, topic) in ["orders", "shipped"].into_iter().zip(&self.topics) {
            finished(self.kafka(), &self.name, route, topic).await;
        }
        self.stop(0).await;
        self.stop(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_org_ends_as_the_last_versions_say_and_every_event_was_published_through_kills_and_lost_answers()
{
    let broker = need!("kafka", Broker::start_new(&[]));
    let mut storm = Storm::new(broker).await;
    let mut blows = BLOWS;
    blows.shuffle(&mut storm.rng);
    let share = RECORDS / (blows.len() as u64 + 1);
    storm.produce_until(share).await;
    storm.start(0);
    storm.start(1);
    for (leg, blow) in (1..).zip(blows) {
        let before = storm.rng.random_range(share / 4..share * 3 / 4);
        // As much as may be waited for is there, whatever the last blow left.
        storm.produce_until((leg + 1) * share).await;
        storm.progress(before).await;
        storm.blow(blow).await;
    }
    storm.produce_until(RECORDS).await;
    storm.finish().await;

    let org = by_key(&storm.org, "Order__c", "Order_Number__c");
    let compared = storm.orders.assert_org(&org);
    let records = read_all(storm.kafka(), &storm.topics[1], Isolation::ReadCommitted).await;
    let publications = Publications::of(&cluster_id(storm.kafka()).await, &storm.topics[1], &records);
    let findings = publications.compare(&published(&storm.org, SHIPPED));
    eprintln!(
        "kills: {} records into {compared} orders compared; {} events compared, {} repeated; {} failures in the logs",
        storm.orders.made(),
        findings.compared,
        findings.repeated,
        storm.failures,
    );
    findings.assert_at_least_once_in_order();
    assert_eq!(findings.compared - findings.repeated, records.len());
    assert_eq!((storm.orders.made(), storm.events), (RECORDS, RECORDS));
    assert!(findings.repeated > 0, "no answer was lost, no kill hit a request");
    assert!(storm.failures > 0, "no failure was told");
    let dead = partition_count(storm.kafka(), &dead_letters(&storm.name)).await;
    assert_eq!(dead, None, "nothing was refused");
}
