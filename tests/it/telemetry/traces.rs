//! Traces, as a receiver sees them that nobody here wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value as Json, json};
use sfbridge::runtime::task::{Task, spawn};
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::topic::{self, Seen, records as records_of, unique};
use crate::support::wait::until;
use crate::support::{broker, foreign};

/// The service classes and the server.
const PACKAGES: [&str; 3] = [
    "opentelemetry-proto==1.45.2",
    "grpcio==1.85.3",
    "protobuf==7.36.2",
];

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const SHIPPED: &str = "/event/Order_Shipped__e";
const CANARY: &str = "canary-in-a-field";
/// Of another system.
const FOREIGN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A receiver, and the spans that it has printed so far.
pub(super) struct Receiver {
    pub(super) port: u16,
    pub(super) spans: Arc<Mutex<Vec<Json>>>,
    _reading: Task<()>,
    _process: Child,
}

impl Receiver {
    async fn start() -> Result<Self, String> {
        Self::given(&json!({})).await
    }

    pub(super) async fn given(given: &Json) -> Result<Self, String> {
        let home = foreign::home("otlp-receiver");
        foreign::pypi(&home, &PACKAGES).await?;
        let mut process = Command::new(home.join("bin/python"))
            .arg(foreign::script("otlp_receiver.py"))
            .arg(given.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("the port");
        let first: Json = serde_json::from_str(&first).unwrap();
        let spans: Arc<Mutex<Vec<Json>>> = Arc::default();
        let received = Arc::clone(&spans);
        let reading = spawn("receiver", async move {
            while let Ok(Some(line)) = lines.next_line().await {
                received.lock().push(serde_json::from_str(&line).unwrap());
            }
        });
        Ok(Self {
            port: first["port"].as_u64().unwrap().try_into().unwrap(),
            spans,
            _reading: reading,
            _process: process,
        })
    }

    pub(super) fn environment(&self, delay_ms: u32) -> Vec<(&'static str, String)> {
        vec![
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=team%20a".to_owned()),
            ("OTEL_SERVICE_NAME", "crm-bridge".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", delay_ms.to_string()),
        ]
    }

    /// The spans of a route, by their contexts.
    pub(super) fn of(&self, route: &str) -> BTreeMap<String, Json> {
        let spans = self.spans.lock();
        let of_route = spans
            .iter()
            .filter(|span| span["attributes"]["sfbridge.route"] == route);
        of_route.map(|span| (context(span), span.clone())).collect()
    }
}

fn context(span: &Json) -> String {
    let text = |name: &str| span[name].as_str().unwrap().to_owned();
    format!("{}-{}", text("trace_id"), text("span_id"))
}

/// The context that a record carries, as a link names it.
fn carried(record: &Seen) -> Option<String> {
    let header = record.header("traceparent")?;
    let parts: Vec<&str> = header.split('-').collect();
    assert!(matches!(parts[..], ["00", _, _, "01"]), "{header}");
    Some(format!("{}-{}", parts[1], parts[2]))
}

/// Another system's record, with its own context.
async fn produce(kafka: &str, topic: &str, value: &str, traceparent: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()
        .unwrap();
    let header = Header {
        key: "traceparent",
        value: Some(traceparent),
    };
    let headers = OwnedHeaders::new().insert(header);
    let record = FutureRecord::to(topic).key("k").payload(value).headers(headers);
    let sent = producer.send_result(record).expect("room in the producer");
    sent.await.unwrap().expect("an acknowledged record");
}

pub(super) fn create(org: &Simulator, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let id = format!("0010000000{n:05}AAA");
        let change = Change::new("Account", ChangeType::Create)
            .records([id.as_str()])
            .field("Name", format!("{CANARY} {n}"));
        org.change(&change).unwrap();
    }
}

/// A route there, and one that publishes what it wrote, and what others wrote.
pub(super) fn there_and_back(to: &str, from: &[&str]) -> String {
    format!(
        "  - name: there\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {to}, format: json }}\n\
         \x20 - name: back\n    from: {{ kafka: [{}], format: json, start: earliest }}\n    to:\n      salesforce: {SHIPPED}\n      fields: {{ Order_Number__c: value.Name }}\n",
        from.join(", ")
    )
}

fn published(org: &Simulator) -> usize {
    org.sent(SHIPPED, 0).unwrap().0.len()
}

#[tokio::test]
async fn batches_both_ways_are_spans_that_the_records_headers_join() {
    let receiver = need!("foreign", Receiver::start().await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let [to, others] = ["traced", "others"].map(unique);
    topic::create(&kafka, &to, 1, &[]).await;
    topic::create(&kafka, &others, 1, &[]).await;
    let mut setup = Setup::new(
        &unique("crm"),
        &kafka,
        &org,
        &there_and_back(&to, &[&to, &others]),
    );
    setup.environment = receiver.environment(100);
    let bridge = Bridge::start(&setup).await;
    create(&org, 0..40);
    records_of(&kafka, &to, 40).await;
    create(&org, 40..45);
    let records = records_of(&kafka, &to, 45).await;
    let theirs = json!({ "Name": CANARY }).to_string();
    produce(&kafka, &others, &theirs, FOREIGN).await;
    produce(&kafka, &others, &theirs, "00-zz-canary-in-a-field-01").await;
    produce(&kafka, &others, "no JSON, a canary-in-a-field", FOREIGN).await;
    until(PATIENCE, "47 events", || async {
        (published(&org) >= 47).then_some(())
    })
    .await;

    let carried: Vec<String> = records.iter().map(|record| carried(record).unwrap()).collect();
    let contexts: BTreeSet<String> = carried.iter().cloned().collect();
    assert!(contexts.len() >= 2, "two batches at least");
    let sent = until(PATIENCE, "a span a transaction", || async {
        let sent = receiver.of("there");
        contexts
            .iter()
            .all(|context| sent.contains_key(context))
            .then_some(sent)
    })
    .await;
    assert_eq!(sent.len(), contexts.len(), "none but the records' own");
    for (context, span) in &sent {
        let count = carried.iter().filter(|carried| *carried == context).count();
        assert_eq!(
            span["attributes"],
            json!({
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": to,
                "messaging.batch.message_count": count,
                "sfbridge.route": "there",
                "sfbridge.events": count,
            })
        );
        assert_eq!(span["name"], format!("send {to}"));
        assert_eq!(
            (&span["kind"], &span["parent"]),
            (&json!("SPAN_KIND_PRODUCER"), &json!(""))
        );
        assert_eq!(
            (&span["status"], &span["links"]),
            (&json!("STATUS_CODE_UNSET"), &json!([]))
        );
        assert!(span["nanoseconds"].as_i64().unwrap() > 0);
        assert_eq!(span["metadata"]["x-tenant"], "team a");
        let resource = &span["resource"];
        assert_eq!(resource["service.name"], "crm-bridge");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(resource["service.instance.id"], setup.instance);
        assert_eq!(resource["sfbridge.bridge"], setup.name);
    }

    let mut wanted = contexts;
    wanted.insert(FOREIGN[3..52].to_owned());
    let linked = |spans: &BTreeMap<String, Json>| -> BTreeSet<String> {
        let links = spans.values().flat_map(|span| span["links"].as_array().unwrap());
        links.map(|link| link.as_str().unwrap().to_owned()).collect()
    };
    let count = |spans: &BTreeMap<String, Json>| -> u64 {
        let counts = spans
            .values()
            .map(|span| &span["attributes"]["messaging.batch.message_count"]);
        counts.map(|count| count.as_u64().unwrap()).sum()
    };
    let requests = until(PATIENCE, "a span a request", || async {
        let requests = receiver.of("back");
        (linked(&requests) == wanted && count(&requests) == 47).then_some(requests)
    })
    .await;
    for span in requests.values() {
        let attributes = &span["attributes"];
        let from = attributes["messaging.destination.name"].as_str().unwrap();
        assert!(from == to || from == others, "{from}");
        assert_eq!(span["name"], format!("process {from}"));
        assert_eq!(
            (&span["kind"], &span["parent"]),
            (&json!("SPAN_KIND_CONSUMER"), &json!(""))
        );
        assert_eq!(span["status"], "STATUS_CODE_UNSET");
        assert_eq!(attributes["messaging.operation.type"], "process");
        assert_eq!(attributes["messaging.destination.partition.id"], "0");
        assert_eq!(
            attributes["messaging.consumer.group.name"],
            format!("sfbridge.{}.back", setup.name)
        );
        assert_eq!(attributes["sfbridge.salesforce.target"], SHIPPED);
        assert_eq!(attributes["sfbridge.salesforce.operation"], "publish");
    }
    let dead = records_of(&kafka, &format!("sfbridge.{}.dead-letters", setup.name), 1).await;
    assert_eq!(
        dead[0].header("traceparent").as_deref(),
        Some(FOREIGN),
        "as it came"
    );
    assert!(
        receiver
            .spans
            .lock()
            .iter()
            .all(|span| !span.to_string().contains(CANARY))
    );
    assert!(!bridge.log().contains(CANARY));
}

#[tokio::test]
async fn a_request_that_fails_is_an_error_with_its_kind() {
    let receiver = need!("foreign", Receiver::start().await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let [to, from] = ["traced", "orders"].map(unique);
    topic::create(&kafka, &from, 1, &[]).await;
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &there_and_back(&to, &[&from]));
    setup.environment = receiver.environment(100);
    let _bridge = Bridge::start(&setup).await;
    org.fault(Fault::new(Rpc::Publish, Then::error("service.unavailable")))
        .unwrap();
    produce(&kafka, &from, &json!({ "Name": CANARY }).to_string(), FOREIGN).await;
    let statuses = until(PATIENCE, "a failed request and one that is through", || async {
        let requests = receiver.of("back");
        (requests.len() == 2).then(|| {
            let told = |span: &Json| {
                let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
                [
                    &span["status"],
                    &span["message"],
                    &span["attributes"]["error.type"],
                ]
                .map(text)
            };
            requests.values().map(told).collect::<BTreeSet<_>>()
        })
    })
    .await;
    let failed = ["STATUS_CODE_ERROR", "transient", "transient"];
    let through = ["STATUS_CODE_UNSET", "", ""];
    assert_eq!(
        statuses,
        [failed, through].map(|told| told.map(str::to_owned)).into()
    );
}

#[tokio::test]
async fn writes_and_deletes_of_records_are_spans_that_name_object_and_operation() {
    let receiver = need!("foreign", Receiver::start().await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    let one = json!({ "Customer_Id__c": "c1", "Name": CANARY }).to_string();
    topic::produce(&kafka, &from, &[("c1", Some(&one)), ("c1", None)]).await;
    let routes = format!(
        "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n      on_tombstone: delete\n"
    );
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.environment = receiver.environment(100);
    let _bridge = Bridge::start(&setup).await;
    let spans = until(PATIENCE, "both spans", || async {
        Some(receiver.of("customers")).filter(|spans| spans.len() == 2)
    })
    .await;
    let operations: BTreeSet<&str> = spans
        .values()
        .map(|span| {
            let attributes = &span["attributes"];
            assert_eq!(attributes["sfbridge.salesforce.target"], "Account");
            assert_eq!(attributes["messaging.batch.message_count"], 1);
            assert_eq!(
                (&span["status"], &span["links"]),
                (&json!("STATUS_CODE_UNSET"), &json!([]))
            );
            assert!(!span.to_string().contains(CANARY));
            attributes["sfbridge.salesforce.operation"].as_str().unwrap()
        })
        .collect();
    assert_eq!(operations, ["delete", "upsert"].into());
}

#[tokio::test]
async fn what_is_queued_is_sent_at_the_end_and_without_the_variable_records_have_no_header() {
    let receiver = need!("foreign", Receiver::start().await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let [to, none] = ["traced", "none"].map(unique);
    topic::create(&kafka, &none, 1, &[]).await;
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &there_and_back(&to, &[&none]));
    // Ten minutes: nothing goes out by itself.
    setup.environment = receiver.environment(600_000);
    let bridge = Bridge::start(&setup).await;
    create(&org, 0..1);
    let records = records_of(&kafka, &to, 1).await;
    assert!(receiver.spans.lock().is_empty());
    bridge.signal("TERM");
    assert!(bridge.ended().await.success());
    let sent = until(PATIENCE, "the span of the record", || async {
        Some(receiver.of("there")).filter(|sent| !sent.is_empty())
    })
    .await;
    assert!(sent.contains_key(&carried(&records[0]).unwrap()));

    setup.environment.clear();
    let _bridge = Bridge::start(&setup).await;
    create(&org, 1..2);
    let records = records_of(&kafka, &to, 2).await;
    assert_eq!(
        records
            .iter()
            .filter(|record| record.header("traceparent").is_some())
            .count(),
        1
    );
    assert_eq!(receiver.of("there").len(), sent.len());
}
