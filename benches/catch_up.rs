//! What the bridge costs and delivers: `sfbridge run` between `sfbridge simulate` and a real Kafka broker, each a
//! process of its own, against a bare transactional producer in the same run.
//!
//! `cargo bench --bench catch_up` measures everything (some seven minutes); `-- throughput latency` just those,
//! `-- --help` tells the rest. Needs Java and, the first time, Maven; a broker may be named in `KAFKA_BOOTSTRAP`, the
//! schema registry for Avro is always this run's own. `docs/benchmarks.md` has the numbers and what they were taken on. Ratios of one run mean something on any
//! machine, absolute numbers only on the one they were taken on.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "a benchmark has no outside, prints its result, and ends when what it measures does not work"
)]

mod support;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use support::broker;
use support::measures::throughput::Format;
use support::measures::{distance, latency, memory, throughput};
use support::table::Table;

#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything, unless told
    #[arg(value_enum)]
    measures: Vec<Measure>,
    /// Events that a catch-up reads
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Pairs of a bridge's and a bare producer's run, in turns; rounds of the latency measure
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// What the throughput's records are; each of them in turns, unless told
    #[arg(long, value_enum)]
    format: Vec<Format>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Events a second and CPU an event, catching up from the earliest event
    Throughput,
    /// From an event's emission until a reader sees its record, at 200 events a second
    Latency,
    /// Events a second over a line with a delay
    Distance,
    /// Memory and CPU of one idle route, ten busy ones, two hundred idle ones
    Memory,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {
        mut measures,
        events,
        pairs,
        mut format,
        ..
    } = Arguments::parse();
    if format.is_empty() {
        format = Format::value_variants().to_vec();
    }
    if measures.is_empty() {
        measures = Measure::value_variants().to_vec();
    }
    let kafka = match broker::shared() {
        Ok(kafka) => kafka,
        Err(reason) => {
            eprintln!("no broker: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let mut table = Table::default();
    for measure in measures {
        match measure {
            Measure::Throughput => throughput::run(&kafka, &format, events, pairs, &mut table).await,
            Measure::Latency => latency::run(&kafka, pairs, &mut table).await,
            Measure::Distance => distance::run(&kafka, &mut table).await,
            Measure::Memory => memory::run(&kafka, events, &mut table).await,
        }
    }
    println!("\n{}", support::conditions());
    println!("{table}");
    ExitCode::SUCCESS
}
