//! From when an event is due, 200 a second, until a `read_committed` reader has its record. The same reader for all,
//! in turns.
//!
//! By hand: the bridge's very records, at the same times, by a loop that puts what has come into a transaction with a
//! position, one transaction after the other. It has to keep up with the events as the bridge has: where the broker
//! stands still for 40 ms (a collection of its garbage), eight events wait, not one.
//!
//! One by one, for comparison with what others tell: from the start of a transaction of one record, the next event not
//! before its end. Nothing ever waits there, so of a stall one event is told.
//!
//! The bridge's figure contains the HTTP request that makes the simulator emit the event.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::PARTITIONS;
use crate::support::bare::Bare;
use crate::support::bridge::json_route;
use crate::support::org::{ACCOUNTS, Org, number_in};
use crate::support::progress::Progress;
use crate::support::statistics::{median, quantile};
use crate::support::table::Table;
use crate::support::topic::{self, Isolation, Seen, read_all, unique};

use super::one_of_each;

const EVERY: Duration = Duration::from_millis(5);
/// Ten seconds a turn: the hundredth part of it is twenty events.
const EVENTS: u64 = 2_000;
/// Connections, caches and code are warm after these; they are not counted.
const WARM_UP: u64 = 200;
/// A record that is not seen by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

pub async fn run(kafka: &str, rounds: usize, table: &mut Table) {
    let (mut bridged, mut bare, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    // A broker that was just started compiles its code: whoever comes first would pay for that.
    through_the_bridge(kafka).await;
    for _ in 0..rounds {
        let (latencies, records) = through_the_bridge(kafka).await;
        bridged.push(Turn::of(&latencies));
        bare.push(Turn::of(&by_hand(kafka, &records, as_they_come).await));
        alone.push(Turn::of(&by_hand(kafka, &records, one_by_one).await));
        println!(
            "bridge {:?}, by hand {:?}, one by one {:?}",
            bridged.last(),
            bare.last(),
            alone.last()
        );
    }
    let median_of =
        |turns: &[Turn], value: fn(&Turn) -> f64| median(&turns.iter().map(value).collect::<Vec<_>>());
    for (name, turns) in [("bridge", &bridged), ("by hand", &bare), ("one by one", &alone)] {
        table.note(
            format!("latency at 200 events/s, {name}"),
            format!(
                "p50 {:.1} ms, p99 {:.1} ms",
                median_of(turns, |turn| turn.p50),
                median_of(turns, |turn| turn.p99)
            ),
        );
    }
    let added = |to: &[Turn], value: fn(&Turn) -> f64| {
        let pairs = bridged.iter().zip(to);
        median(
            &pairs
                .map(|(bridge, to)| value(bridge) - value(to))
                .collect::<Vec<_>>(),
        )
    };
    table.at_most("added latency, p50", added(&bare, |turn| turn.p50), 3.0, "ms");
    table.at_most("added latency, p99", added(&bare, |turn| turn.p99), 10.0, "ms");
    table.note(
        "the same, against one by one".to_owned(),
        format!(
            "p50 {:.1} ms, p99 {:.1} ms",
            added(&alone, |turn| turn.p50),
            added(&alone, |turn| turn.p99)
        ),
    );
}

/// Milliseconds of one turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    p50: f64,
    p99: f64,
}

impl Turn {
    fn of(latencies: &[f64]) -> Self {
        Self {
            p50: quantile(latencies, 0.5),
            p99: quantile(latencies, 0.99),
        }
    }
}

async fn through_the_bridge(kafka: &str) -> (Vec<f64>, Vec<Seen>) {
    let org = Org::start(0, 0);
    let to = unique("latency");
    topic::create(kafka, &to, PARTITIONS, &[]).await;
    let running = Progress::start(
        &unique("bench"),
        kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    );
    let arrivals = read(kafka, &to);
    // The first event opens the stream.
    org.emit().await;
    running.until_written(1).await;
    let mut due = tokio::time::interval(EVERY);
    let mut emitted = vec![Instant::now()];
    for _ in 1..EVENTS {
        let at = due.tick().await.into_std();
        assert_eq!(org.emit().await, emitted.len() as u64, "numbers count on");
        emitted.push(at);
    }
    let latencies = latencies(&emitted, &arrivals);
    let records = read_all(kafka, &to, Isolation::ReadCommitted).await;
    topic::delete(kafka, &to).await;
    (latencies, one_of_each(records, EVENTS))
}

/// What is done with a record when it is due; told is from when its latency counts.
type Hand = Box<dyn FnMut(Instant, &Seen) -> Instant + Send>;

async fn by_hand(kafka: &str, records: &[Seen], hand: fn(Bare, String) -> Hand) -> Vec<f64> {
    let to = unique("latency-by-hand");
    topic::create(kafka, &to, PARTITIONS, &[]).await;
    let mut hand = hand(Bare::new(kafka, 0).await, to.clone());
    let arrivals = read(kafka, &to);
    let mut due = tokio::time::interval(EVERY);
    let mut from = Vec::with_capacity(records.len());
    for record in records {
        from.push(hand(due.tick().await.into_std(), record));
    }
    let latencies = latencies(&from, &arrivals);
    topic::delete(kafka, &to).await;
    latencies
}

/// Puts what has come into one transaction, then what came meanwhile into the next.
fn as_they_come(bare: Bare, to: String) -> Hand {
    // Room for all: whoever emits events never waits for who writes them.
    let (hand, coming) = sync_channel::<Seen>(usize::try_from(EVENTS).unwrap());
    std::thread::spawn(move || {
        while let Ok(first) = coming.recv() {
            let batch: Vec<Seen> = std::iter::once(first).chain(coming.try_iter()).collect();
            bare.commit(&to, &batch);
        }
    });
    Box::new(move |due, record| {
        hand.send(record.clone()).unwrap();
        due
    })
}

fn one_by_one(bare: Bare, to: String) -> Hand {
    Box::new(move |_, record| {
        let begun = Instant::now();
        bare.commit(&to, std::slice::from_ref(record));
        begun
    })
}

/// Milliseconds from each event to its arrival, but for the first ones.
fn latencies(from: &[Instant], arrivals: &Receiver<(u64, Instant)>) -> Vec<f64> {
    let mut latencies = Vec::with_capacity(from.len());
    for _ in from {
        let (number, at) = arrivals.recv_timeout(LOST_AFTER).expect("every record arrives");
        let index = usize::try_from(number).unwrap();
        if number >= WARM_UP {
            latencies.push((at - from[index]).as_secs_f64() * 1e3);
        }
    }
    latencies
}

/// Reads an empty topic on a thread of its own: number and time of each record. It stands ready when this returns,
/// and ends when its receiver is dropped.
fn read(kafka: &str, to: &str) -> Receiver<(u64, Instant)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", unique("bench-reader"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions
            .add_partition_offset(to, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut ready = 0;
    while ready < PARTITIONS {
        match consumer.poll(LOST_AFTER) {
            Some(Err(KafkaError::PartitionEOF(_))) => ready += 1,
            other => panic!("an empty topic: {:?}", other.map(|message| message.map(drop))),
        }
    }
    let (arrived, arrivals) = sync_channel(usize::try_from(EVENTS).unwrap());
    std::thread::spawn(move || {
        let mut left = EVENTS;
        while left > 0 {
            // Short enough to end soon after the receiver has gone.
            match consumer.poll(Duration::from_millis(500)) {
                Some(Ok(message)) => {
                    let arrival = (number_in(message.payload().unwrap()), Instant::now());
                    if arrived.send(arrival).is_err() {
                        return;
                    }
                    // Counted, not recognised by its number: records of other partitions may come after the
                    // last event's.
                    left -= 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    });
    arrivals
}
