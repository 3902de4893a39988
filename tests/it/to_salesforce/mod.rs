//! Kafka → Salesforce, end to end: the real program between a real broker and the simulator.

mod avro;
mod bad_records;
mod bulk;
mod handover;
mod kills;
mod lost_offsets;
mod operations;
mod oracle;
mod order;
mod publish;
mod requests;
mod sharing;
mod two_way;
mod verdicts;
mod waits;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Map, Value, json};
use sfbridge::simulator::{Simulator, SimulatorSettings};

use crate::support::bridge::Bridge;
use crate::support::bridge::{PATIENCE, Setup};
use crate::support::topic::{self, Isolation, records, unique};
use crate::support::wait::until;

/// The records of an object by the value of a field, without those that have none.
fn by_key(org: &Simulator, sobject: &str, key: &str) -> BTreeMap<String, Map<String, Value>> {
    let records = org.records(sobject).into_iter();
    let keyed = records.filter_map(|(_, fields)| {
        let value = fields.get(key)?.as_str()?.to_owned();
        Some((value, fields))
    });
    keyed.collect()
}

/// The name of a bridge's dead-letter topic.
fn dead_letters(bridge: &str) -> String {
    format!("sfbridge.{bridge}.dead-letters")
}

async fn an_org() -> Simulator {
    Simulator::start(SimulatorSettings::default()).await.unwrap()
}

/// A route that upserts accounts from JSON under its usual name.
fn customers(from: &str) -> String {
    format!(
        "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n"
    )
}

/// A route that publishes shipped orders, by equal names.
fn shipped(from: &str) -> String {
    format!(
        "  - name: shipped\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to: {{ salesforce: /event/Order_Shipped__e }}\n"
    )
}

/// A route that upserts orders, and deletes them for tombstones.
fn orders(from: &str) -> String {
    format!(
        "  - name: orders\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to: {{ salesforce: Order__c, operation: upsert, external_id: Order_Number__c }}\n"
    )
}

/// What a test's chance begins with: `SFBRIDGE_TEST_SEED`, or by chance. It is printed.
fn seed(test: &str) -> u64 {
    let seed = std::env::var("SFBRIDGE_TEST_SEED").map_or_else(
        |_| rand::random(),
        |seed| seed.parse().expect("SFBRIDGE_TEST_SEED is a number"),
    );
    eprintln!("{test}: SFBRIDGE_TEST_SEED={seed}");
    seed
}

/// Writes customers of these numbers, named after `version`: a key each.
async fn produce_customers(kafka: &str, topic: &str, numbers: std::ops::Range<usize>, version: &str) {
    let rows: Vec<(String, String)> = numbers
        .map(|n| {
            let id = format!("c{n}");
            let value = json!({"Customer_Id__c": id, "Name": format!("{version} {n}")});
            (id, value.to_string())
        })
        .collect();
    topic::produce_values(kafka, topic, &rows).await;
}

/// Writes shipped orders of these numbers.
async fn produce_orders(kafka: &str, topic: &str, numbers: std::ops::Range<usize>) {
    let rows: Vec<(String, String)> = numbers
        .map(|n| {
            (
                format!("o{n}"),
                json!({"Order_Number__c": format!("O-{n}")}).to_string(),
            )
        })
        .collect();
    topic::produce_values(kafka, topic, &rows).await;
}

/// A bridge with a route of customers and one of orders, each from a topic of one partition.
struct Pair {
    kafka: String,
    name: String,
    topics: [String; 2],
    bridge: Bridge,
}

impl Pair {
    /// `orders`: the second route, from a topic.
    async fn start(kafka: &str, org: &Simulator, orders: fn(&str) -> String) -> Self {
        let (name, topics) = (unique("crm"), ["customers", "orders"].map(unique));
        for topic in &topics {
            topic::create(kafka, topic, 1, &[]).await;
        }
        let routes = customers(&topics[0]) + &orders(&topics[1]);
        Self {
            bridge: Bridge::start(&Setup::new(&name, kafka, org, &routes)).await,
            kafka: kafka.to_owned(),
            name,
            topics,
        }
    }

    async fn produce(&self, numbers: std::ops::Range<usize>) {
        produce_customers(&self.kafka, &self.topics[0], numbers.clone(), "one").await;
        produce_orders(&self.kafka, &self.topics[1], numbers).await;
    }

    async fn finished(&self, route: &str) {
        let topic = &self.topics[usize::from(route != "customers")];
        finished(&self.kafka, &self.name, route, topic).await;
    }
}

/// The ids of all events that were ever published to a topic, in their order.
fn published(org: &Simulator, topic: &str) -> Vec<String> {
    let (mut ids, mut from) = (Vec::new(), 0);
    loop {
        let (events, next) = org.sent(topic, from).unwrap();
        if events.is_empty() {
            return ids;
        }
        ids.extend(events.into_iter().map(|event| event.id));
        from = next;
    }
}

/// The cluster's id, which the ids of events hold.
async fn cluster_id(kafka: &str) -> String {
    let kafka = kafka.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .create()
            .unwrap();
        client.client().fetch_cluster_id(Duration::from_secs(10)).unwrap()
    });
    asked.await.unwrap()
}

/// What a route's group has committed in each partition of a topic; None: nothing.
async fn committed(kafka: &str, bridge: &str, route: &str, topic: &str) -> Vec<Option<i64>> {
    let (kafka, group, topic) = (
        kafka.to_owned(),
        format!("sfbridge.{bridge}.{route}"),
        topic.to_owned(),
    );
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &kafka)
            .set("group.id", &group)
            .set("log_level", "0")
            .create()
            .unwrap();
        let call = Duration::from_secs(10);
        let metadata = client.fetch_metadata(Some(&topic), call).ok()?;
        let mut places = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            places.add_partition(&topic, partition.id());
        }
        let committed = client.committed_offsets(places, call).ok()?;
        let offsets = committed
            .elements()
            .into_iter()
            .map(|place| match place.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        Some(offsets.collect::<Vec<_>>())
    });
    // A broker that is away has told nothing.
    asked.await.unwrap().unwrap_or_default()
}

/// Waits until a route's group has committed everything that is in a topic.
async fn finished(kafka: &str, bridge: &str, route: &str, topic: &str) {
    let ends = topic::ends(kafka, topic, Isolation::ReadCommitted).await;
    until(PATIENCE, &format!("all of {topic} committed"), || async {
        // Each look is a client of its own.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let committed = committed(kafka, bridge, route, topic).await;
        let is_there = |(end, committed): (&i64, &Option<i64>)| committed.unwrap_or(0) >= *end;
        (committed.len() == ends.len() && ends.iter().zip(&committed).all(is_there)).then_some(())
    })
    .await;
}

/// Waits until a route shows that it waits, for a reason with these words, and until when; gives its state.
async fn until_waiting(bridge: &Bridge, route: &str, why: &str) -> Value {
    until(PATIENCE, &format!("{route} waits: {why}"), || async {
        let shown = bridge.route(route).await?;
        let state = &shown["state"];
        let is_meant = state["name"] == "waiting" && state["why"].as_str()?.contains(why);
        (is_meant && state["until"].is_string()).then(|| state.clone())
    })
    .await
}
