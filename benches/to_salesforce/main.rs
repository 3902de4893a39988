//! Kafka → Salesforce: how fast `sfbridge run` empties a topic into `sfbridge simulate`, each a process of its own, a
//! broker beside them.
//!
//! `cargo bench --bench to_salesforce`; `-- --help` tells the rest. Needs Java and, the first time, Maven; a broker may
//! be named in `KAFKA_BOOTSTRAP`. Salesforce's rules allow a partition one request of two hundred under way, so where
//! an answer takes its time, partitions × 200 / answer time is the ceiling. Where it takes none, the ceiling is what a
//! bare client gets out of the same simulator in the same run, with ready-made requests and nothing behind them.
//! `docs/benchmarks.md` has numbers and what they were taken on.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a benchmark has no outside, prints its result, and ends when what it measures does not work"
)]

mod bare;
#[allow(
    dead_code,
    reason = "shared with the other direction's benchmark, which uses all of it"
)]
#[path = "../support/mod.rs"]
mod support;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

use bare::Bare;
use support::bridge::Setup;
use support::org::Org;
use support::progress::{Progress, Sample};
use support::statistics::{median, micros_each, rate};
use support::table::Table;
use support::topic::{self, unique};
use support::{PARTITIONS, broker};

/// Records of one request, as the APIs take them.
pub const REQUEST: u64 = 200;

#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; both, unless told
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// Records in the topic
    #[arg(long, default_value_t = 120_000)]
    records: u64,
    /// How long Salesforce takes for an answer, milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0,20,100")]
    answer_ms: Vec<u64>,
    /// Turns; medians are told
    #[arg(long, default_value_t = 1)]
    turns: usize,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Records upserted by an external id
    Upsert,
    /// Platform events
    Publish,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upsert => "upsert",
            Self::Publish => "publish",
        })
    }
}

impl Target {
    fn route(self, from: &str) -> String {
        let to = match self {
            Self::Upsert => {
                "salesforce: Order__c, operation: upsert, external_id: Order_Number__c, via: collections"
            }
            Self::Publish => "salesforce: /event/Order_Shipped__e",
        };
        format!(
            "  - name: {self}\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to: {{ {to} }}\n"
        )
    }

    /// A record of some 250 bytes. Every order that is upserted comes twice.
    pub fn record(self, number: u64, records: u64) -> Value {
        let notes = "a customer of long standing, to be called before noon, ".repeat(2);
        match self {
            Self::Upsert => json!({
                "Order_Number__c": format!("O-{:08}", number % (records / 2).max(1)),
                "Name": format!("Order {number}"),
                "Total__c": 99.5,
                "Items__c": null,
                "Notes__c": notes,
            }),
            Self::Publish => json!({
                "Order_Number__c": format!("O-{number:08}"),
                "Carrier__c": "DHL",
                "Weight__c": 1.5,
                "Express__c": true,
                "Notes__c": notes,
            }),
        }
    }
}

/// One run of the bridge.
struct Run {
    per_second: f64,
    bare: f64,
    cpu_micros: f64,
    half_mb: f64,
    end_mb: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let targets = if arguments.targets.is_empty() {
        Target::value_variants().to_vec()
    } else {
        arguments.targets.clone()
    };
    let kafka = match broker::shared() {
        Ok(kafka) => kafka,
        Err(reason) => {
            eprintln!("no broker: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let mut table = Table::default();
    for target in targets {
        let from = unique("bench");
        fill(&kafka, &from, target, arguments.records).await;
        for answer_ms in &arguments.answer_ms {
            let mut runs = Vec::new();
            for _ in 0..arguments.turns.max(1) {
                let run = run(&kafka, &from, target, arguments.records, *answer_ms).await;
                println!(
                    "{target}, {answer_ms} ms: {:.0}/s, bare {:.0}/s, {:.1} µs of CPU each, {:.0} and {:.0} MB",
                    run.per_second, run.bare, run.cpu_micros, run.half_mb, run.end_mb
                );
                runs.push(run);
            }
            tell(target, *answer_ms, &runs, &mut table);
        }
        topic::delete(&kafka, &from).await;
    }
    println!("\n{}", support::conditions());
    println!("{table}");
    ExitCode::SUCCESS
}

async fn fill(kafka: &str, topic: &str, target: Target, records: u64) {
    topic::create(kafka, topic, PARTITIONS, &[]).await;
    for from in (0..records).step_by(10_000) {
        let rows: Vec<(String, String)> = (from..records.min(from + 10_000))
            .map(|number| {
                let record = target.record(number, records);
                let key = record["Order_Number__c"].as_str().unwrap().to_owned();
                (key, record.to_string())
            })
            .collect();
        topic::produce_values(kafka, topic, &rows).await;
    }
}

/// An org that answers after so many milliseconds, and has no other limits.
async fn org(answer_ms: u64) -> Org {
    let org = Org::start(0, 0);
    org.control("daily-requests", &json!({"max": 100_000_000, "used": 0}))
        .await;
    if answer_ms > 0 {
        let late = json!({"path": "composite", "times": u32::MAX, "answer_delay_ms": answer_ms});
        org.control("rest-fault", &late).await;
        let late = json!({"rpc": "Publish", "times": u32::MAX, "delay_ms": answer_ms});
        org.control("fault", &late).await;
    }
    org
}

async fn run(kafka: &str, from: &str, target: Target, records: u64, answer_ms: u64) -> Run {
    let bare = {
        let org = org(answer_ms).await;
        let started = std::time::Instant::now();
        Bare::send_all(&org, target, records).await;
        rate(records, started.elapsed())
    };
    let org = org(answer_ms).await;
    let running = Progress::of(&Setup::with_org_at(
        &unique("bench"),
        kafka,
        &org.pubsub_url,
        &org.login_url,
        &target.route(from),
    ));
    let first = running.until_written(1).await;
    let half = running.until_written(records / 2).await;
    let last = running.until_written(records).await;
    let (counted, took) = (last.written - first.written, last.at - first.at);
    assert!(counted > records / 2, "too few records to measure: give more");
    assert_eq!(last.written, records, "each once");
    let settled = settled(&running).await;
    Run {
        per_second: rate(counted, took),
        bare,
        cpu_micros: micros_each(counted, last.usage.cpu - first.usage.cpu),
        half_mb: half.usage.resident_mb,
        end_mb: last.usage.resident_mb.max(settled.usage.resident_mb),
    }
}

/// A moment after the last record, when its offset is committed too.
async fn settled(running: &Progress) -> Sample {
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.sample().await
}

fn tell(target: Target, answer_ms: u64, runs: &[Run], table: &mut Table) {
    let of = |value: fn(&Run) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
    let (per_second, bare) = (of(|run| run.per_second), of(|run| run.bare));
    let what = format!("{target}, answers after {answer_ms} ms");
    table.note(what.clone(), format!("{per_second:.0}/s"));
    table.note(format!("{what}: bare client"), format!("{bare:.0}/s"));
    if answer_ms > 0 {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        let ceiling = f64::from(PARTITIONS) * REQUEST as f64 * 1_000.0 / answer_ms as f64;
        table.note(
            format!("{what}: against the {ceiling:.0}/s that the rules allow"),
            format!("{:.2} ×", per_second / ceiling),
        );
    }
    table.note(
        format!("{what}: against the bare client"),
        format!("{:.2} ×", of(|run| run.per_second / run.bare)),
    );
    table.note(
        format!("{what}: CPU of the bridge"),
        format!("{:.1} µs each", of(|run| run.cpu_micros)),
    );
    table.note(
        format!("{what}: resident half-way and at the end"),
        format!("{:.0} and {:.0} MB", of(|run| run.half_mb), of(|run| run.end_mb)),
    );
}
