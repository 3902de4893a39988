//! What a write costs on a real broker: time from the first record to the commit's answer by transaction size,
//! and what producers cost that do nothing. `cargo bench --bench commit`.
//!
//! Beware of figures around 100 ms: then the wait for the deliveries has gone back to the crate's own.

#![allow(dead_code, unreachable_pub, reason = "the tests' support is used in part")]
#![allow(clippy::disallowed_macros, reason = "a table for the person who runs it")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sfbridge::config::KafkaConfig;
use sfbridge::kafka::{Connection, PositionStore, Record, RouteProducer, Timing, Topics};

/// As the events of the benchmark of the whole program.
const VALUE_BYTES: usize = 1020;
/// The number of routes that one process is to carry.
const IDLE_PRODUCERS: usize = 200;
const IDLE_FOR: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let bootstrap = need!("kafka", support::broker::shared());
    let config = KafkaConfig {
        bootstrap_servers: bootstrap,
        properties: BTreeMap::new(),
        create_topics: true,
        partitions: 6,
        replication_factor: -1,
    };
    let connection = Connection::new(config, &support::topic::unique("bench"));
    let topics = Topics::new(&connection).expect("topics");
    let positions = PositionStore::open(&topics).await.expect("positions");
    let topic = support::topic::unique("bench-data");
    topics.ensure_data(&topic).await.expect("made");

    println!(
        "{:>8} {:>10} {:>10} {:>12}",
        "records", "p50 ms", "p99 ms", "records/s"
    );
    for (size, rounds) in [(1, 1000), (1, 500), (100, 300), (1000, 100)] {
        transactions(&connection, &positions, &topic, size, rounds).await;
    }
    idle(&connection).await;
}

async fn transactions(
    connection: &Connection,
    positions: &PositionStore,
    topic: &str,
    size: usize,
    rounds: usize,
) {
    let mut producer = RouteProducer::transactional(connection, &format!("bench-{size}"), Timing::DEFAULT)
        .await
        .expect("a producer");
    let topic: Arc<str> = topic.into();
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let records: Vec<Record> = (0..size)
        .map(|number| Record {
            topic: topic.clone(),
            partition: None,
            key: Some(Bytes::from(format!("{number:018}"))),
            value: Some(value.clone()),
            headers: vec![("ce_id".into(), Bytes::from_static(b"0"))],
            timestamp_ms: sfbridge::runtime::clock::now_ms(),
        })
        .collect();
    let mut took = Vec::with_capacity(rounds);
    let started = Instant::now();
    for _ in 0..rounds {
        let written = producer
            .write(records.clone(), positions.record("r", "p"))
            .await
            .expect("written");
        took.push(written.took);
    }
    let all = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let place = (share * (rounds - 1) as f64) as usize;
        took[place].as_secs_f64() * 1000.0
    };
    #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
    let rate = (size * rounds) as f64 / all;
    println!("{size:>8} {:>10.1} {:>10.1} {rate:>12.0}", at(0.5), at(0.99));
}

/// Many producers that wait: how long until all are there, and what they burn.
async fn idle(connection: &Connection) {
    let started = Instant::now();
    let make = (0..IDLE_PRODUCERS).map(|number| {
        let id = format!("idle-{number}");
        async move { RouteProducer::transactional(connection, &id, Timing::DEFAULT).await }
    });
    let producers = futures_util::future::join_all(make).await;
    assert!(producers.iter().all(Result::is_ok), "all are initialised");
    println!(
        "{IDLE_PRODUCERS} producers initialised in {:.1?}",
        started.elapsed()
    );
    let before = cpu_ticks();
    tokio::time::sleep(IDLE_FOR).await;
    // A tick is ten milliseconds wherever Linux runs.
    let burnt_ms = (cpu_ticks() - before) * 10;
    println!(
        "{IDLE_PRODUCERS} idle producers: {} ms of CPU a second, {}",
        burnt_ms / IDLE_FOR.as_secs(),
        resident().unwrap_or_default()
    );
}

/// User and system time of this process, in ticks.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok());
    field(11).unwrap_or(0) + field(12).unwrap_or(0)
}

fn resident() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = |name: &str| status.lines().find(|line| line.starts_with(name));
    Some(format!("{}, {}", line("VmRSS")?, line("Threads")?).replace('\t', " "))
}
