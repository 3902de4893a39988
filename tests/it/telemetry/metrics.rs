//! The metrics as they are documented, and as a running bridge has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sfbridge::error::ErrorKind;
use sfbridge::routes::gap::GapKind;
use sfbridge::routes::state::StateName;
use sfbridge::simulator::faults::Then;
use sfbridge::simulator::{Change, ChangeType, RawEvent, Simulator, SimulatorSettings, TestEvents};
use sfbridge::telemetry::metrics::{DEFINITIONS, Definition, MetricKind, Values};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::topic::{self, unique};
use crate::support::wait::until;
use crate::support::{broker, registry};

const ACCOUNTS: &str = "/data/AccountChangeEvent";

const HEAD: &str = "<!-- Made from src/telemetry/metrics/table.rs by tests/it/telemetry/metrics.rs: change them there. -->\n\n\
# Metrics\n\n\
`GET /metrics` of the admin listener answers in the OpenMetrics text format, which Prometheus scrapes. Labels are few and\n\
bounded: no payload, key or field value is ever one. A metric is absent until there is something to say: a route to Kafka\n\
has no `sfbridge_consumer_lag`, and one without a dead letter no `sfbridge_dead_letters_total`.\n\n\
A histogram `h` has `h_bucket{le}`, `h_sum` and `h_count`; buckets go from a millisecond to an hour.\n\n";

fn values_text(values: Values) -> String {
    match values {
        Values::Any(what) => what.to_owned(),
        Values::OneOf(values) => {
            let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            quoted.join(", ")
        }
    }
}

/// `docs/metrics.md`.
fn document() -> String {
    let mut text = HEAD.to_owned();
    text.push_str(
        "| metric | type | unit | labels | meaning | what to look at |\n|---|---|---|---|---|---|\n",
    );
    for metric in DEFINITIONS {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .zip(metric.values)
            .map(|(label, values)| format!("`{label}`: {}", values_text(*values)))
            .collect();
        let Definition {
            unit,
            meaning,
            look_at,
            ..
        } = metric;
        let (name, kind, labels) = (metric.full_name(), metric.kind.name(), labels.join("; "));
        writeln!(
            text,
            "| `{name}` | {kind} | {unit} | {labels} | {meaning} | {look_at} |"
        )
        .unwrap();
    }
    text
}

/// `SFBRIDGE_UPDATE_EXPECTED=1` writes it.
#[test]
fn the_metrics_page_is_fresh() {
    let wanted = document();
    if std::env::var_os("SFBRIDGE_UPDATE_EXPECTED").is_some() {
        std::fs::write("docs/metrics.md", &wanted).unwrap();
    }
    let committed = std::fs::read_to_string("docs/metrics.md").unwrap_or_default();
    assert!(
        committed == wanted,
        "docs/metrics.md is stale: SFBRIDGE_UPDATE_EXPECTED=1 cargo test --test it the_metrics_page_is_fresh"
    );
}

fn definition(name: &str) -> &'static Definition {
    let found = DEFINITIONS.iter().find(|metric| metric.full_name() == name);
    found.unwrap_or_else(|| panic!("{name} is not in the table"))
}

fn allowed(metric: &str, label: &str) -> BTreeSet<&'static str> {
    let metric = definition(metric);
    let at = metric.labels.iter().position(|name| *name == label).unwrap();
    match metric.values[at] {
        Values::OneOf(values) => values.iter().copied().collect(),
        Values::Any(what) => panic!("{what}"),
    }
}

#[test]
fn the_table_knows_every_state_kind_and_gap() {
    let states = StateName::ALL.map(StateName::as_str).into();
    assert_eq!(allowed("sfbridge_route_state", "state"), states);
    assert_eq!(
        allowed("sfbridge_gaps_total", "kind"),
        GapKind::ALL.map(GapKind::name).into()
    );
    let dead = [ErrorKind::Poison, ErrorKind::Contract]
        .map(ErrorKind::name)
        .into();
    assert_eq!(allowed("sfbridge_dead_letters_total", "kind"), dead);
}

/// What design promises: names with their labels.
const PROMISED: [(&str, &[&str]); 16] = [
    ("sfbridge_events_received_total", &["route", "kind"]),
    ("sfbridge_records_written_total", &["route", "outcome"]),
    ("sfbridge_bytes_total", &["route"]),
    ("sfbridge_end_to_end_seconds", &["route"]),
    ("sfbridge_batch_commit_seconds", &["route"]),
    ("sfbridge_position_age_seconds", &["route"]),
    ("sfbridge_retention_left_seconds", &["route"]),
    ("sfbridge_consumer_lag", &["route", "topic", "partition"]),
    ("sfbridge_route_state", &["route", "state"]),
    ("sfbridge_dead_letters_total", &["route", "kind"]),
    ("sfbridge_gaps_total", &["route", "kind"]),
    ("sfbridge_reconnects_total", &["route", "cause"]),
    ("sfbridge_token_refreshes_total", &["outcome"]),
    ("sfbridge_salesforce_limit_remaining", &["limit"]),
    ("sfbridge_contract_versions", &["route", "subject"]),
    ("sfbridge_build_info", &["version"]),
];

/// A sample's name without a histogram's suffix, and its labels without `le`.
fn sample(line: &str) -> (String, BTreeMap<String, String>) {
    let (name, rest) = line.split_once(['{', ' ']).unwrap();
    let mut name = name.to_owned();
    for suffix in ["_bucket", "_sum", "_count"] {
        let bare = name.strip_suffix(suffix).unwrap_or_default();
        let is_histogram =
            |metric: &&Definition| metric.kind == MetricKind::Histogram && metric.full_name() == bare;
        if DEFINITIONS.iter().any(|metric| is_histogram(&metric)) {
            name = bare.to_owned();
            break;
        }
    }
    let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
    // No label of these holds a comma or a quotation mark.
    let labels = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(label, _)| *label != "le")
        .map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()));
    (name, labels.collect())
}

/// Traffic of every sort, so that each metric has something to say.
#[tokio::test]
async fn a_running_bridge_has_every_metric_with_its_labels_and_none_that_is_not_documented() {
    let kafka = need!("kafka", broker::shared());
    let url = need!("registry", registry::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let [to, from] = ["accounts", "customers"].map(unique);
    topic::create(&kafka, &from, 1, &[]).await;
    topic::produce(
        &kafka,
        &from,
        &[("k", Some(r#"{"Customer_Id__c":"c1","Name":"one"}"#))],
    )
    .await;
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {to}, format: avro }}\n\
         \x20 - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n"
    );
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.registry = Some(url);
    let bridge = Bridge::start(&setup).await;
    org.emit_test_events(&TestEvents::new(3)).unwrap();
    let gap = Change::new("Account", ChangeType::GapUpdate).records(["001000000000001AAA"]);
    org.change(&gap).unwrap();
    until(PATIENCE, "a record of the stream that is to end", || async {
        let labels = r#"route="accounts",outcome="written""#;
        let written = bridge.metric("sfbridge_records_written_total", labels).await;
        (written > 0.0).then_some(())
    })
    .await;
    org.end_streams(None, Then::Reset).unwrap();
    org.emit_raw(RawEvent {
        topic: ACCOUNTS.to_owned(),
        payload: vec![0xff; 4],
        schema_id: None,
        event_id: None,
    })
    .unwrap();
    let promised: BTreeSet<String> = PROMISED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let text = until(PATIENCE, "every metric", || async {
        let (_, text) = bridge.get("/metrics").await?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let there: BTreeSet<String> = lines.map(|line| sample(line).0).collect();
        promised.is_subset(&there).then_some(text)
    })
    .await;
    for (name, labels) in PROMISED {
        assert_eq!(definition(name).labels, labels, "{name}");
    }
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = sample(line);
        let metric = definition(&name);
        let names: Vec<&str> = metric.labels.to_vec();
        assert_eq!(
            labels.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            names.iter().copied().collect()
        );
        for (label, values) in metric.labels.iter().zip(metric.values) {
            let value = labels[*label].as_str();
            match values {
                Values::OneOf(allowed) => assert!(allowed.contains(&value), "{line}"),
                Values::Any(_) => assert!(!value.is_empty(), "{line}"),
            }
        }
        samples += 1;
    }
    assert!(samples > PROMISED.len(), "{samples} samples");
    // One that has nothing to say yet, as a trend, is not there at all.
    let there = |metric: &&Definition| text.contains(&format!("\n{}", metric.full_name()));
    for metric in DEFINITIONS.iter().filter(there) {
        let name = metric.full_name();
        let bare = name.trim_end_matches("_total");
        assert!(
            text.contains(&format!("# HELP {bare} {}", metric.meaning)),
            "{name}"
        );
    }
}
