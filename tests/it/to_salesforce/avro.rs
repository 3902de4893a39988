//! Records that others wrote in Avro: read with the schema of each, named by its id in a registry.

use apache_avro::types::Value as Avro;
use apache_avro::{Schema, to_avro_datum};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;

use super::{an_org, by_key, finished, produce_customers};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::topic::{self, unique};
use crate::support::wait::until;
use crate::support::{broker, registry};

/// Registers a schema, without a word of the bridge's code, and gives its id.
async fn register(url: &str, subject: &str, schema: &str) -> u32 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{url}/subjects/{subject}/versions"));
    let answer = request
        .header("content-type", "application/json")
        .body(json!({ "schema": schema }).to_string())
        .send()
        .await
        .unwrap();
    let text = answer.text().await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let id = told["id"].as_u64().unwrap_or_else(|| panic!("no id: {text}"));
    u32::try_from(id).unwrap()
}

/// Confluent's framing around a datum.
fn framed(id: u32, schema: &str, value: Avro) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let mut framed = vec![0];
    framed.extend(id.to_be_bytes());
    framed.extend(to_avro_datum(&schema, value).unwrap());
    framed
}

async fn produce(kafka: &str, topic: &str, key: &[u8], value: Option<&[u8]>) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .create()
        .unwrap();
    let record = FutureRecord::to(topic).key(key);
    let record = match value {
        Some(value) => record.payload(value),
        None => record,
    };
    producer.send_result(record).unwrap().await.unwrap().unwrap();
}

const KEY: &str = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"string"}]}"#;
const ONE: &str = r#"{"type":"record","name":"Customer","fields":[
    {"name":"Customer_Id__c","type":"string"},{"name":"Name","type":"string"}]}"#;
const TWO: &str = r#"{"type":"record","name":"Customer","fields":[
    {"name":"Customer_Id__c","type":"string"},{"name":"Name","type":"string"},
    {"name":"NumberOfEmployees","type":["null","int"],"default":null},{"name":"Unknown","type":"long","default":1}]}"#;

fn text(value: &str) -> Avro {
    Avro::String(value.to_owned())
}

fn field(name: &str, value: Avro) -> (String, Avro) {
    (name.to_owned(), value)
}

#[tokio::test]
async fn avro_values_are_read_with_their_writers_schema_and_avro_keys_name_what_is_deleted() {
    let kafka = need!("kafka", broker::shared());
    let url = need!("registry", registry::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let key_id = register(&url, &format!("{from}-key"), KEY).await;
    let one_id = register(&url, &format!("{from}-value"), ONE).await;
    let two_id = register(&url, &format!("{from}-value"), TWO).await;
    let key = |id: &str| framed(key_id, KEY, Avro::Record(vec![field("id", text(id))]));
    let one = |id: &str| {
        let fields = vec![field("Customer_Id__c", text(id)), field("Name", text("one"))];
        framed(one_id, ONE, Avro::Record(fields))
    };
    let two = |id: &str| {
        let fields = vec![
            field("Customer_Id__c", text(id)),
            field("Name", text("two")),
            field("NumberOfEmployees", Avro::Union(1, Box::new(Avro::Int(1_742)))),
            field("Unknown", Avro::Long(7)),
        ];
        framed(two_id, TWO, Avro::Record(fields))
    };
    for (id, value) in [("c1", one("c1")), ("c2", one("c2")), ("c1", two("c1"))] {
        produce(&kafka, &from, &key(id), Some(&value)).await;
    }
    produce(&kafka, &from, &key("c2"), None).await;
    let routes = format!(
        "  - name: customers\n    from: {{ kafka: {from}, format: avro, start: earliest, key_format: avro, key_field: id }}\n    to: {{ salesforce: Account, operation: upsert, external_id: Customer_Id__c }}\n"
    );
    let setup = Setup {
        registry: Some(url),
        ..Setup::new(&name, &kafka, &org, &routes)
    };
    let bridge = Bridge::start(&setup).await;
    finished(&kafka, &name, "customers", &from).await;
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(
        accounts.keys().collect::<Vec<_>>(),
        ["c1"],
        "the other is deleted"
    );
    assert_eq!(accounts["c1"]["Name"], "two");
    assert_eq!(accounts["c1"]["NumberOfEmployees"], 1_742);
    let changes = org
        .topic_counts("/data/AccountChangeEvent")
        .unwrap()
        .events_stored;
    assert_eq!(changes, 4);
    assert_eq!(bridge.metric("sfbridge_dead_letters_total", "").await, 0.0);
}

#[tokio::test]
async fn a_field_of_a_json_key_names_what_is_deleted() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let key = |id: &str| json!({"tenant": 7, "customer": {"id": id}}).to_string();
    let value = |id: &str| json!({"Customer_Id__c": id, "Name": "x"}).to_string();
    for id in ["c1", "c2"] {
        produce(&kafka, &from, key(id).as_bytes(), Some(value(id).as_bytes())).await;
    }
    produce(&kafka, &from, key("c1").as_bytes(), None).await;
    let routes = format!(
        "  - name: customers\n    from: {{ kafka: {from}, format: json, start: earliest, key_format: json, key_field: customer.id }}\n    to: {{ salesforce: Account, operation: upsert, external_id: Customer_Id__c }}\n"
    );
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &routes)).await;
    finished(&kafka, &name, "customers", &from).await;
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.keys().collect::<Vec<_>>(), ["c2"]);
}

/// A pattern's later topics are found by themselves and read from their first record.
#[tokio::test]
async fn a_pattern_takes_topics_of_now_and_later_and_no_others() {
    let kafka = need!("kafka", broker::shared());
    let (org, prefix, name) = (an_org().await, unique("tenant"), unique("crm"));
    let topics = ["a", "b", "late"].map(|tenant| format!("{prefix}.{tenant}.customers"));
    let other = format!("{prefix}.a.orders");
    for topic in [&topics[0], &topics[1], &other] {
        topic::create(&kafka, topic, 2, &[]).await;
    }
    produce_customers(&kafka, &topics[0], 0..10, "a").await;
    produce_customers(&kafka, &topics[1], 10..20, "b").await;
    produce_customers(&kafka, &other, 90..95, "other").await;
    let routes = format!(
        "  - name: customers\n    from: {{ kafka: \"^{prefix}\\\\..*\\\\.customers$\", format: json, start: earliest }}\n    to: {{ salesforce: Account, operation: upsert, external_id: Customer_Id__c }}\n"
    );
    let mut setup = Setup::new(&name, &kafka, &org, &routes);
    // How soon a client looks for topics that came.
    setup.kafka = "  properties: { topic.metadata.refresh.interval.ms: \"1000\" }\n".to_owned();
    let _bridge = Bridge::start(&setup).await;
    until(PATIENCE, "both topics", || async {
        (by_key(&org, "Account", "Customer_Id__c").len() == 20).then_some(())
    })
    .await;
    topic::create(&kafka, &topics[2], 2, &[]).await;
    produce_customers(&kafka, &topics[2], 20..30, "late").await;
    for topic in &topics {
        finished(&kafka, &name, "customers", topic).await;
    }
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), 30);
    assert!(!accounts.contains_key("c90"));
}
