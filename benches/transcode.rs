//! From a change event's Avro to JSON: this program's way against a tree of values, on a real event.
//!
//! `cargo bench --bench transcode` prints events a second, nanoseconds an event and the ratio of the two, taken
//! in alternating rounds of one run: a ratio means something on any machine, the numbers only on this one.

#![allow(clippy::disallowed_macros, reason = "a benchmark prints its result")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use apache_avro::types::Value;
use base64::Engine as _;
use sfbridge::salesforce::event::{EventSchema, decode, json_values};

/// Long enough for the clock and the caches, short enough to wait for.
const ROUND: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

fn main() {
    let (schema, payload) = sample();
    let prepared = EventSchema::parse("sample", &schema).expect("the sample's schema");
    let tree_schema = apache_avro::Schema::parse_str(&schema).expect("the sample's schema");

    let transcode = || {
        let event = decode(&prepared, &payload).expect("the sample");
        json_values(&prepared, &payload, &event).expect("the sample")
    };
    let tree = || {
        let value = apache_avro::from_avro_datum(&tree_schema, &mut &payload[..], None).expect("the sample");
        serde_json::to_vec(&to_json(value)).expect("the sample")
    };
    let json_bytes = transcode().first().map_or(0, Vec::len);

    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(nanoseconds_each(transcode));
        best[1] = best[1].min(nanoseconds_each(tree));
    }
    println!(
        "event: {} bytes of Avro, {json_bytes} bytes of JSON",
        payload.len()
    );
    for (name, nanoseconds) in ["transcode", "value tree"].into_iter().zip(best) {
        println!(
            "{name:>10}: {nanoseconds:>8.0} ns an event, {:>9.0} events/s",
            1e9 / nanoseconds
        );
    }
    println!("     ratio: {:>8.1} times as fast as the tree", best[1] / best[0]);
}

/// The best of several rounds is the one least disturbed by whatever else the machine does.
fn nanoseconds_each<T>(work: impl Fn() -> T) -> f64 {
    const BATCH: u32 = 200;
    let start = Instant::now();
    let mut events = 0_u32;
    while start.elapsed() < ROUND {
        for _ in 0..BATCH {
            black_box(work());
        }
        events += BATCH;
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(events)
}

/// The real event and the schema it was written with: the file's without its last two fields.
fn sample() -> (String, Vec<u8>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/salesforce");
    let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).expect("a fixture");
    let mut schema: serde_json::Value =
        serde_json::from_str(&read("AccountChangeEvent.avsc")).expect("the sample's schema");
    let fields = schema["fields"].as_array_mut().expect("fields");
    fields.truncate(85);
    let payload = base64::engine::general_purpose::STANDARD
        .decode(read("AccountChangeEvent.update.base64").trim())
        .expect("base64");
    (schema.to_string(), payload)
}

/// The tree's way, without bitmaps and dates: less work than ours, to its advantage.
fn to_json(value: Value) -> serde_json::Value {
    match value {
        Value::Union(_, inner) => to_json(*inner),
        Value::Record(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, to_json(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(to_json).collect(),
        Value::String(text) | Value::Enum(_, text) => text.into(),
        Value::Int(number) => number.into(),
        Value::Long(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        _ => serde_json::Value::Null,
    }
}
