//! Catching up: the bridge from the earliest event, then the bare producer with the very records that the bridge
//! wrote, in turns.

use std::time::Duration;

use clap::ValueEnum;

use crate::support::PARTITIONS;
use crate::support::bare::Bare;
use crate::support::bridge::Setup;
use crate::support::org::{ACCOUNTS, Org};
use crate::support::progress::Progress;
use crate::support::registry::Registry;
use crate::support::statistics::{median, micros_each, rate};
use crate::support::table::Table;
use crate::support::topic::{self, Isolation, Seen, read_all, unique};

use super::one_of_each;

/// The bridge's largest transaction, by default.
const BATCH: usize = 1_000;
/// A whole batch stands ready at once: to wait a little longer for it makes fewer and larger requests.
const BARE_LINGER_MS: u32 = 5;

/// What the records' values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Avro,
    Json,
}

impl Format {
    /// As configured.
    const fn name(self) -> &'static str {
        match self {
            Self::Avro => "avro",
            Self::Json => "json",
        }
    }

    /// Events a second against the bare producer's, at least.
    const fn rate_target(self) -> f64 {
        match self {
            Self::Avro => 0.8,
            Self::Json => 0.5,
        }
    }
}

struct CaughtUp {
    events_per_second: f64,
    cpu_micros: f64,
    peak_mb: f64,
    batch: f64,
    value_bytes: f64,
    records: Vec<Seen>,
}

/// A bridge's run and the bare producer's with its records.
struct Pair {
    bridge: CaughtUp,
    bare_rate: f64,
    bare_cpu_micros: f64,
}

/// Where the runs find what they need.
struct Place<'a> {
    kafka: &'a str,
    org: &'a Org,
    /// None where nobody needs one.
    registry: Option<Registry>,
}

/// Each pair of each format, in turns.
pub async fn run(kafka: &str, formats: &[Format], events: u64, pairs: usize, table: &mut Table) {
    let org = Org::start(events, 0);
    let registry = formats
        .contains(&Format::Avro)
        .then(|| Registry::start_new().unwrap());
    let place = Place {
        kafka,
        org: &org,
        registry,
    };
    let mut taken: Vec<(Format, Vec<Pair>)> = formats.iter().map(|format| (*format, Vec::new())).collect();
    for _ in 0..pairs {
        for (format, taken) in &mut taken {
            taken.push(pair(&place, *format, events).await);
        }
    }
    for (format, pairs) in taken {
        tell(format, &pairs, table);
    }
}

async fn pair(place: &Place<'_>, format: Format, events: u64) -> Pair {
    let mut bridge = catch_up(place, format, events).await;
    let (bare_rate, bare_cpu_micros) = send_bare(place.kafka, &bridge.records).await;
    bridge.records = Vec::new();
    println!(
        "{}: {:.0} events/s in batches of {:.0}, {:.1} µs of CPU an event, peak {:.0} MB; bare: {bare_rate:.0} events/s, {bare_cpu_micros:.1} µs",
        format.name(),
        bridge.events_per_second,
        bridge.batch,
        bridge.cpu_micros,
        bridge.peak_mb,
    );
    Pair {
        bridge,
        bare_rate,
        bare_cpu_micros,
    }
}

fn tell(format: Format, pairs: &[Pair], table: &mut Table) {
    let of = |value: fn(&Pair) -> f64| median(&pairs.iter().map(value).collect::<Vec<_>>());
    let name = format.name();
    table.note(
        format!(
            "catch-up, {name} of {:.0} bytes, exactly once",
            of(|pair| pair.bridge.value_bytes)
        ),
        format!(
            "{:.0} events/s, transactions of {:.0}",
            of(|pair| pair.bridge.events_per_second),
            of(|pair| pair.bridge.batch)
        ),
    );
    table.note(
        format!("bare producer, the same {name}, transactions of {BATCH}"),
        format!("{:.0} events/s", of(|pair| pair.bare_rate)),
    );
    table.at_least(
        format!("catch-up against bare, {name}"),
        of(|pair| pair.bridge.events_per_second / pair.bare_rate),
        format.rate_target(),
        "×",
    );
    table.note(
        format!("CPU of the bridge, {name}"),
        format!("{:.1} µs an event", of(|pair| pair.bridge.cpu_micros)),
    );
    table.note(
        format!("CPU of the bare producer, {name}"),
        format!("{:.1} µs an event", of(|pair| pair.bare_cpu_micros)),
    );
    let cpu = of(|pair| pair.bridge.cpu_micros / pair.bare_cpu_micros);
    let what = format!("CPU against bare, {name}");
    match format {
        Format::Avro => table.at_most(what, cpu, 3.0, "×"),
        Format::Json => table.note(what, format!("{cpu:.2} ×")),
    }
    table.note(
        format!("peak memory, one route catching up, {name}"),
        format!("{:.0} MB", of(|pair| pair.bridge.peak_mb)),
    );
}

async fn catch_up(place: &Place<'_>, format: Format, events: u64) -> CaughtUp {
    let kafka = place.kafka;
    let to = unique("catch-up");
    topic::create(kafka, &to, PARTITIONS, &[]).await;
    let route = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {to}, format: {} }}\n",
        format.name()
    );
    let (pubsub_url, login_url) = (&place.org.pubsub_url, &place.org.login_url);
    let mut setup = Setup::with_org_at(&unique("bench"), kafka, pubsub_url, login_url, &route);
    setup.registry = place.registry.as_ref().map(Registry::url);
    let running = Progress::of(&setup);
    let first = running.until_written(1).await;
    let last = running.until_written(events).await;
    let commits = running
        .bridge
        .metric("sfbridge_batch_commit_seconds_count", "")
        .await;
    drop(running);
    let records = one_of_each(read_all(kafka, &to, Isolation::ReadCommitted).await, events);
    topic::delete(kafka, &to).await;
    let (counted, took) = (last.written - first.written, last.at - first.at);
    assert!(counted > events / 2, "too few events to measure: give more");
    let bytes: usize = records
        .iter()
        .map(|record| record.value.as_ref().map_or(0, Vec::len))
        .sum();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (batch, value_bytes) = (events as f64 / commits, bytes as f64 / events as f64);
    CaughtUp {
        events_per_second: rate(counted, took),
        cpu_micros: micros_each(counted, last.usage.cpu - first.usage.cpu),
        peak_mb: last.usage.peak_mb,
        batch,
        value_bytes,
        records,
    }
}

/// Events a second and microseconds of CPU an event.
async fn send_bare(kafka: &str, records: &[Seen]) -> (f64, f64) {
    let to = unique("bare");
    topic::create(kafka, &to, PARTITIONS, &[]).await;
    let bare = Bare::new(kafka, BARE_LINGER_MS).await;
    // What connects and looks up is not measured: nor is it of the bridge.
    bare.commit(&to, &records[..BATCH.min(records.len())]);
    let cost = bare.send_all(&to, records, BATCH);
    topic::delete(kafka, &to).await;
    let count = records.len() as u64;
    (
        rate(count, cost.took),
        micros_each(count, cost.cpu.max(Duration::from_millis(1))),
    )
}
