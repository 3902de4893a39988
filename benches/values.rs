//! What the bridge does with an event's bytes, each beside `apache-avro`'s tree of values doing the same job: the
//! splice (Avro to Avro), the transcode (Avro to JSON), a contract of ten fields, a filter. No broker, no source.
//!
//! `cargo bench --bench values` prints nanoseconds an event, events a second and the ratio of the two, on the real
//! sample event and on one of 1 KB, taken in alternating rounds of one run: a ratio means something on any machine,
//! the numbers only on this one. `-- splice` takes that job alone, for a profiler.

#![allow(
    clippy::disallowed_macros,
    reason = "a benchmark prints its result and ends when what it measures does not work"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apache_avro::types::Value;
use base64::Engine as _;
use sfbridge::avro::Schema;
use sfbridge::contracts::projection::{FieldValue, Projection};
use sfbridge::routes::filter::{Filter, Verdict};
use sfbridge::routes::output::KafkaFraming;
use sfbridge::salesforce::event::{
    DecodedEvent, EventSchema, EventView, FieldIndex, decode, json_values, write_datum,
};

/// Long enough for the clock and the caches, short enough to wait for.
const ROUND: Duration = Duration::from_millis(300);
const ROUNDS: usize = 5;

/// What a team would ask for. Its name is Salesforce's, because the tree insists on it.
const CONTRACT: &str = r#"{"type":"record","name":"AccountChangeEvent","namespace":"com.sforce.eventbus","fields":[
    {"name":"Name","type":["null","string"]},{"name":"Type","type":["null","string"]},
    {"name":"Phone","type":["null","string"]},{"name":"Website","type":["null","string"]},
    {"name":"Industry","type":["null","string"]},{"name":"AnnualRevenue","type":["null","double"]},
    {"name":"NumberOfEmployees","type":["null","int"]},{"name":"Description","type":["null","string"]},
    {"name":"LastModifiedDate","type":["null","long"]},{"name":"GUID__c","type":["null","string"]}]}"#;

const NAME: &str = "Burlington Textiles Corp of Americsg";

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for sample in [Sample::real(), Sample::filled(1_020)] {
        println!(
            "{}: {} bytes of Avro, {} bytes of JSON, {} fields",
            sample.name,
            sample.payload.len(),
            sample.json().len(),
            sample.schema.fields().len(),
        );
        for job in Job::ALL {
            if wanted.is_empty() || wanted.iter().any(|name| name == job.name()) {
                measure(job, &sample);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Job {
    Splice,
    Transcode,
    Contract,
    Filter,
}

impl Job {
    const ALL: [Self; 4] = [Self::Splice, Self::Transcode, Self::Contract, Self::Filter];

    const fn name(self) -> &'static str {
        match self {
            Self::Splice => "splice",
            Self::Transcode => "transcode",
            Self::Contract => "contract",
            Self::Filter => "filter",
        }
    }
}

fn measure(job: Job, sample: &Sample) {
    // Each does its job, or the figures are of something else.
    assert_eq!(sample.contract(), sample.contract_by_tree(), "the same datum");
    assert!(sample.filter() && sample.filter_by_tree(), "the same verdict");
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        let round = match job {
            Job::Splice => [each(|| sample.splice()), each(|| sample.splice_by_tree())],
            Job::Transcode => [each(|| sample.json()), each(|| sample.json_by_tree())],
            Job::Contract => [each(|| sample.contract()), each(|| sample.contract_by_tree())],
            Job::Filter => [each(|| sample.filter()), each(|| sample.filter_by_tree())],
        };
        best = [best[0].min(round[0]), best[1].min(round[1])];
    }
    println!(
        "{:>12}: {:>6.0} ns an event ({:>9.0} events/s), by the tree {:>6.0} ns ({:>8.0} events/s): {:>4.1} times as fast",
        job.name(),
        best[0],
        1e9 / best[0],
        best[1],
        1e9 / best[1],
        best[1] / best[0],
    );
}

/// Nanoseconds an event. The best of several rounds is the one least disturbed by whatever else the machine does.
fn each<T>(work: impl Fn() -> T) -> f64 {
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

/// An event, and everything that is made once a schema.
struct Sample {
    name: &'static str,
    payload: Vec<u8>,
    schema: EventSchema,
    projection: Projection,
    filter: Filter,
    tree_schema: apache_avro::Schema,
    tree_contract: apache_avro::Schema,
}

impl Sample {
    /// The real event and the schema it was written with: the file's without its last two fields.
    fn real() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/salesforce");
        let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).expect("a fixture");
        let mut schema: serde_json::Value =
            serde_json::from_str(&read("AccountChangeEvent.avsc")).expect("the sample's schema");
        let fields = schema["fields"].as_array_mut().expect("fields");
        fields.truncate(85);
        let payload = base64::engine::general_purpose::STANDARD
            .decode(read("AccountChangeEvent.update.base64").trim())
            .expect("base64");
        let json = schema.to_string();
        let writer = Arc::new(Schema::parse(&json).expect("the sample's schema"));
        let contract = Arc::new(Schema::parse(CONTRACT).expect("the contract"));
        Self {
            name: "the real event",
            payload,
            schema: EventSchema::parse("sample", &json).expect("the sample's schema"),
            projection: Projection::new(writer, contract).expect("a contract that fits"),
            filter: Filter::compile(&format!(
                r#"header.changeType == "UPDATE" && event.Name == "{NAME}""#
            ))
            .expect("a filter"),
            tree_schema: apache_avro::Schema::parse_str(&json).expect("the sample's schema"),
            tree_contract: apache_avro::Schema::parse_str(CONTRACT).expect("the contract"),
        }
    }

    /// The same with ten fields filled, up to so many bytes: what the simulator's prepared events have.
    fn filled(bytes: usize) -> Self {
        let mut sample = Self::real();
        let text = |text: &str| Value::String(text.to_owned());
        let mut fill = vec![
            ("Type", text("Customer - Direct")),
            ("Phone", text("+49 30 5550100")),
            ("Website", text("https://prepared.example")),
            ("Industry", text("Energy")),
            ("AnnualRevenue", Value::Double(1_250_000.5)),
            ("NumberOfEmployees", Value::Int(420)),
            ("GUID__c", text("000000000042")),
            ("Description", text("")),
        ];
        sample.fill(&fill);
        let filler = "A long story about an account. ".chars().cycle();
        let missing = bytes.saturating_sub(sample.payload.len());
        fill.push(("Description", Value::String(filler.take(missing).collect())));
        sample.fill(&fill);
        sample.name = "an event of 1 KB";
        sample
    }

    fn fill(&mut self, values: &[(&str, Value)]) {
        let Value::Record(mut fields) = self.tree() else {
            panic!("an event is a record");
        };
        for (name, value) in values {
            let field = fields.iter_mut().find(|(known, _)| known == name);
            field.expect("a field of the sample").1 = Value::Union(1, Box::new(value.clone()));
        }
        self.payload =
            apache_avro::to_avro_datum(&self.tree_schema, Value::Record(fields)).expect("the filled sample");
    }

    fn decoded(&self) -> DecodedEvent {
        decode(&self.schema, &self.payload).expect("the sample")
    }

    fn index(&self, event: &DecodedEvent) -> FieldIndex {
        FieldIndex::new(&self.schema, &self.payload, event).expect("the sample")
    }

    fn tree(&self) -> Value {
        apache_avro::from_avro_datum(&self.tree_schema, &mut &self.payload[..], None).expect("the sample")
    }

    /// As an output of `format: avro` makes its record's value.
    fn splice(&self) -> Vec<u8> {
        let event = self.decoded();
        black_box(self.index(&event));
        let mut value = Vec::with_capacity(KafkaFraming::BYTES + self.payload.len());
        KafkaFraming(7).write(&mut value);
        write_datum(&self.schema, &self.payload, &event, Some(0), &mut value);
        value
    }

    /// Without bitmaps: less work, to the tree's advantage; so are the two below.
    fn splice_by_tree(&self) -> Vec<u8> {
        apache_avro::to_avro_datum(&self.tree_schema, self.tree()).expect("the sample")
    }

    fn json(&self) -> Vec<u8> {
        let event = self.decoded();
        let mut values = json_values(&self.schema, &self.payload, &event).expect("the sample");
        values.swap_remove(0)
    }

    fn json_by_tree(&self) -> Vec<u8> {
        serde_json::to_vec(&to_json(self.tree())).expect("the sample")
    }

    fn contract(&self) -> Vec<u8> {
        let event = self.decoded();
        let index = self.index(&event);
        let mut value = Vec::new();
        self.projection
            .project(
                |field| FieldValue::Bytes(&self.payload[index.range(field)]),
                &mut value,
            )
            .expect("a contract that fits");
        value
    }

    fn contract_by_tree(&self) -> Vec<u8> {
        let contract = &self.tree_contract;
        let value = apache_avro::from_avro_datum(&self.tree_schema, &mut &self.payload[..], Some(contract));
        apache_avro::to_avro_datum(contract, value.expect("a contract that fits"))
            .expect("a contract that fits")
    }

    fn filter(&self) -> bool {
        let event = self.decoded();
        let view = EventView {
            schema: &self.schema,
            payload: &self.payload,
            event: &event,
            index: &self.index(&event),
        };
        matches!(self.filter.evaluate(&view), Ok(Verdict::Keep))
    }

    /// Written out by hand, without an expression to evaluate and without asking what the event carries.
    fn filter_by_tree(&self) -> bool {
        let tree = self.tree();
        let header = field(&tree, "ChangeEventHeader");
        let change_type = header.and_then(|header| field(header, "changeType"));
        matches!(change_type, Some(Value::Enum(_, symbol)) if symbol == "UPDATE")
            && matches!(field(&tree, "Name"), Some(Value::String(name)) if name == NAME)
    }
}

/// A field of a record, past its union's branch.
fn field<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Record(fields) = record else {
        return None;
    };
    match fields.iter().find(|(known, _)| known == name)? {
        (_, Value::Union(_, value)) => Some(value),
        (_, value) => Some(value),
    }
}

/// The tree's way, without bitmaps and dates.
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
