//! Catching up: the bridge from the earliest event, then the bare producer with the very records that the bridge
//! wrote, in turns.

use std::time::Duration;

use crate::support::PARTITIONS;
use crate::support::bare::Bare;
use crate::support::bridge::json_route;
use crate::support::org::{ACCOUNTS, Org};
use crate::support::progress::Progress;
use crate::support::statistics::{median, micros_each, rate};
use crate::support::table::Table;
use crate::support::topic::{self, Isolation, Seen, read_all, unique};

use super::one_of_each;

/// The bridge's largest transaction, by default.
const BATCH: usize = 1_000;
/// A whole batch stands ready at once: to wait a little longer for it makes fewer and larger requests.
const BARE_LINGER_MS: u32 = 5;

struct CaughtUp {
    events_per_second: f64,
    cpu_micros: f64,
    peak_mb: f64,
    batch: f64,
    records: Vec<Seen>,
}

pub async fn run(kafka: &str, events: u64, pairs: usize, table: &mut Table) {
    let org = Org::start(events, 0);
    let (mut bridge, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let caught_up = catch_up(kafka, &org, events).await;
        let (floor, floor_cpu) = send_bare(kafka, &caught_up.records).await;
        println!(
            "json: {:.0} events/s in batches of {:.0}, {:.1} µs of CPU an event, peak {:.0} MB; bare: {floor:.0} events/s, {floor_cpu:.1} µs",
            caught_up.events_per_second, caught_up.batch, caught_up.cpu_micros, caught_up.peak_mb,
        );
        ratios.push(caught_up.events_per_second / floor);
        bridge.push(CaughtUp {
            records: Vec::new(),
            ..caught_up
        });
        bare.push((floor, floor_cpu));
    }
    let of_bridge = |value: fn(&CaughtUp) -> f64| median(&bridge.iter().map(value).collect::<Vec<_>>());
    let cpu = of_bridge(|run| run.cpu_micros);
    let bare_cpu = median(&bare.iter().map(|(_, cpu)| *cpu).collect::<Vec<_>>());
    let bare_rate = median(&bare.iter().map(|(rate, _)| *rate).collect::<Vec<_>>());
    table.note(
        "catch-up, json, exactly once",
        format!(
            "{:.0} events/s, transactions of {:.0}",
            of_bridge(|run| run.events_per_second),
            of_bridge(|run| run.batch)
        ),
    );
    table.note(
        "bare producer, the same bytes, transactions of 1,000",
        format!("{bare_rate:.0} events/s"),
    );
    table.at_least("catch-up against bare", median(&ratios), 0.5, "×");
    table.note("CPU of the bridge, json", format!("{cpu:.1} µs an event"));
    table.note("CPU of the bare producer", format!("{bare_cpu:.1} µs an event"));
    table.note("CPU against bare", format!("{:.2} ×", cpu / bare_cpu));
    table.note(
        "peak memory, one route catching up",
        format!("{:.0} MB", of_bridge(|run| run.peak_mb)),
    );
}

async fn catch_up(kafka: &str, org: &Org, events: u64) -> CaughtUp {
    let to = unique("catch-up");
    topic::create(kafka, &to, PARTITIONS, &[]).await;
    let running = Progress::start(
        &unique("bench"),
        kafka,
        org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    );
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
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let batch = events as f64 / commits;
    CaughtUp {
        events_per_second: rate(counted, took),
        cpu_micros: micros_each(counted, last.usage.cpu - first.usage.cpu),
        peak_mb: last.usage.peak_mb,
        batch,
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
