//! Resident memory and idle CPU: one idle route, ten at full speed, two hundred.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::support::PARTITIONS;
use crate::support::bridge::json_route;
use crate::support::org::{ACCOUNTS, Org};
use crate::support::process::Usage;
use crate::support::progress::Progress;
use crate::support::statistics::rate;
use crate::support::table::Table;
use crate::support::topic::{self, unique};

/// How long idleness is looked at.
const IDLE_FOR: Duration = Duration::from_secs(20);
const BUSY_ROUTES: u64 = 10;
const MANY_ROUTES: usize = 200;

pub async fn run(kafka: &str, events: u64, table: &mut Table) {
    one_idle(kafka, table).await;
    ten_busy(kafka, events, table).await;
    two_hundred(kafka, table).await;
}

async fn one_idle(kafka: &str, table: &mut Table) {
    let org = Org::start(1, 0);
    let running = start(kafka, &org, 1).await;
    running.until_all_flow(1).await;
    let (idle, cpu) = idle(&running).await;
    table.at_most("memory, one idle route", idle.resident_mb, 25.0, "MB");
    table.note("CPU, one idle route", format!("{cpu:.1} ms a second"));
}

async fn ten_busy(kafka: &str, events: u64, table: &mut Table) {
    let each = events / 2;
    let org = Org::start(each, 0);
    let running = start(kafka, &org, usize::try_from(BUSY_ROUTES).unwrap()).await;
    let first = running.until_written(1).await;
    let half = running.until_written(each * BUSY_ROUTES / 2).await;
    let last = running.until_written(each * BUSY_ROUTES).await;
    let speed = rate(last.written - first.written, last.at - first.at);
    table.at_most(
        format!("peak memory, ten routes at full speed ({speed:.0} events/s)"),
        last.usage.peak_mb,
        80.0,
        "MB",
    );
    table.note(
        "resident half-way and at the end",
        format!(
            "{:.0} and {:.0} MB",
            half.usage.resident_mb, last.usage.resident_mb
        ),
    );
}

async fn two_hundred(kafka: &str, table: &mut Table) {
    let org = Org::start(1, 0);
    let running = start(kafka, &org, MANY_ROUTES).await;
    // The process was started just now; what came before it was the topics.
    let started = Instant::now();
    running.until_all_flow(MANY_ROUTES).await;
    table.at_most(
        "start to the first record of each of 200 routes",
        started.elapsed().as_secs_f64(),
        10.0,
        "s",
    );
    let (idle, cpu) = idle(&running).await;
    table.note(
        "memory, 200 idle routes",
        format!(
            "{:.0} MB, {} threads",
            idle.resident_mb,
            Usage::threads(running.bridge.pid())
        ),
    );
    table.note("CPU, 200 idle routes", format!("{cpu:.1} ms a second"));
}

/// Routes that all read the prepared events, each to a topic of its own that is there already.
async fn start(kafka: &str, org: &Org, routes: usize) -> Progress {
    let prefix = unique("memory");
    let mut yaml = String::new();
    for number in 0..routes {
        let to = format!("{prefix}-{number}");
        topic::create(kafka, &to, PARTITIONS, &[]).await;
        // Writing to a string cannot fail.
        let _ = write!(
            yaml,
            "{}",
            json_route(&format!("route-{number}"), ACCOUNTS, &to, "")
        );
    }
    Progress::start(&unique("bench"), kafka, org, &yaml)
}

/// What an idle bridge holds, and milliseconds of CPU that it takes a second.
async fn idle(running: &Progress) -> (Usage, f64) {
    // What was needed for the start is given back within a moment, or never.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = Usage::of(running.bridge.pid());
    tokio::time::sleep(IDLE_FOR).await;
    let after = Usage::of(running.bridge.pid());
    let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e3 / IDLE_FOR.as_secs_f64();
    (after, cpu)
}
