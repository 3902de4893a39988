//! A reader that others wrote: Confluent's Python client with its `AvroDeserializer`, at the topics that the bridge
//! fills. What it prints is what was sent to the org.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};
use tokio::process::Command;
use tokio::time::timeout;

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::topic::{Isolation, partition_count, read_all, unique};
use crate::support::wait::until;
use crate::support::{broker, foreign, registry};

const PACKAGES: [&str; 2] = ["confluent-kafka[avro,schemaregistry]==2.16.1", "fastavro==1.13.1"];
/// Three topics of five records; the interpreter's start is most of it.
const RUN_LIMIT: Duration = Duration::from_secs(60);

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const ONE: &str = "001SB000009990001A";
const TWO: &str = "001SB000009990002A";
const PERSON: &str = "001SB000009990003A";
const LATER: &str = "001SB000009990004A";
const CONTACT: &str = "003SB000009990005A";
/// Beyond 2⁵³, and odd.
const COMMIT_NUMBER: i64 = 9_007_199_254_740_993;
const MODIFIED_MS: i64 = 1_764_000_000_123;
const ACCOUNT_EVENT: &str = "com.sforce.eventbus.AccountChangeEvent";

/// Pain: a topic that only the program that wrote it can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confluents_python_client_reads_followed_pinned_and_mixed_topics() {
    let home = foreign::home("avro-reader");
    need!("foreign", foreign::pypi(&home, &PACKAGES).await);
    let url = need!("registry", registry::shared());
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let [followed, pinned, mixed] = ["followed", "pinned", "mixed"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let contract = folder.path().join("v1.avsc");
    std::fs::write(&contract, V1).unwrap();
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {followed}, format: avro }}\n\
         \x20     - {{ kafka: {pinned}, format: avro, contract: {{ file: {} }} }}\n\
         \x20 - name: all\n    from: {{ salesforce: /data/ChangeEvents, start: earliest }}\n    to: {{ kafka: {mixed}, format: avro }}\n",
        contract.display()
    );
    let setup = Setup {
        kafka: "  partitions: 1\n".to_owned(),
        registry: Some(url.clone()),
        ..Setup::new(&unique("read-by-others"), &kafka, &org, &routes)
    };
    let _bridge = Bridge::start(&setup).await;
    send(&org);
    for (topic, count) in [(&followed, 4), (&pinned, 4), (&mixed, 5)] {
        until(PATIENCE, &format!("{count} records in {topic}"), || async {
            partition_count(&kafka, topic).await?;
            let seen = read_all(&kafka, topic, Isolation::ReadCommitted).await;
            (seen.len() >= count).then_some(())
        })
        .await;
    }
    let given = json!({"bootstrap_servers": kafka, "registry": url, "topics": [followed, pinned, mixed]});
    let seen = read(&home, &given).await;
    let of = |topic: &str| -> Vec<&Json> { seen.iter().filter(|record| record["topic"] == *topic).collect() };
    let (followed, pinned, mixed) = (of(&followed), of(&pinned), of(&mixed));
    assert_eq!(seen.len(), followed.len() + pinned.len() + mixed.len());

    assert_accounts(&followed);
    let ids: Vec<_> = followed.iter().map(|record| &record["schema_id"]).collect();
    assert!(
        ids[0] == ids[1] && ids[0] == ids[2] && ids[0] != ids[3],
        "the new field has a schema of its own: {ids:?}"
    );
    assert_eq!(followed[0]["value"].get("Added__c"), None);

    let values: Vec<_> = pinned.iter().map(|record| record["value"].clone()).collect();
    let v1 = |industry: Json, employees: Json, at: Json| json!({"segment": industry, "NumberOfEmployees": employees, "tier": "none", "LastModifiedDate": at});
    let (energy, modified) = (json!("Energy"), json!(MODIFIED_MS));
    assert_eq!(
        values,
        [
            v1(energy.clone(), Json::Null, modified.clone()),
            v1(energy, Json::Null, modified.clone()),
            v1(Json::Null, json!(42), modified.clone()),
            v1(Json::Null, Json::Null, modified),
        ]
    );
    assert!(
        pinned
            .iter()
            .all(|record| record["record"] == "com.acme.crm.Account")
    );

    assert_accounts(&mixed[..4]);
    let contact = mixed[4];
    assert_eq!(contact["record"], "com.sforce.eventbus.ContactChangeEvent");
    assert_eq!(
        (&contact["key"], &contact["value"]["Title"]),
        (&json!(CONTACT), &json!("Dr"))
    );
}

const V1: &str = r#"{"type":"record","name":"Account","namespace":"com.acme.crm","fields":[
    {"name":"segment","aliases":["Industry"],"type":["null","string"],"default":null},
    {"name":"NumberOfEmployees","type":["null","long"],"default":null},
    {"name":"tier","type":"string","default":"none"},
    {"name":"LastModifiedDate","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null}]}"#;

/// Two records in one change, a person, a field that comes in mid-stream, and another object.
fn send(org: &Simulator) {
    let change = |kind, id: &str| {
        Change::new("Account", kind)
            .records([id])
            .field("LastModifiedDate", MODIFIED_MS)
    };
    let mut merged = change(ChangeType::Update, ONE)
        .records([ONE, TWO])
        .field("Industry", "Energy")
        .field("BillingAddress", json!({"Street": "1 High Street"}));
    merged.nulled = vec!["Phone".to_owned()];
    org.change(&merged).unwrap();
    let name = json!({"FirstName": "Ada", "LastName": "Byron"});
    let person = change(ChangeType::Create, PERSON)
        .field("Name", name)
        .field("NumberOfEmployees", 42)
        .field("AnnualRevenue", 0.1);
    org.change(&person).unwrap();
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    let mut later = change(ChangeType::Create, LATER)
        .field("Name", "Åcme")
        .field("Added__c", "there");
    later.commit_number = Some(COMMIT_NUMBER);
    org.change(&later).unwrap();
    let contact = Change::new("Contact", ChangeType::Create).records([CONTACT]);
    org.change(&contact.field("Title", "Dr")).unwrap();
}

/// The four records of accounts as they were sent.
fn assert_accounts(seen: &[&Json]) {
    assert_eq!(seen.len(), 4);
    for (record, id) in seen.iter().zip([ONE, TWO, PERSON, LATER]) {
        assert_eq!(record["key"], id);
        assert_eq!(record["record"], ACCOUNT_EVENT);
        let value = &record["value"];
        assert_eq!(value["ChangeEventHeader"]["recordIds"], json!([id]));
        assert_eq!(
            value["LastModifiedDate"], MODIFIED_MS,
            "a timestamp, and to the millisecond"
        );
    }
    let value = |record: usize| &seen[record]["value"];
    let header = |record: usize, name: &str| &value(record)["ChangeEventHeader"][name];
    for merged in [0, 1] {
        assert_eq!(header(merged, "changeType"), "UPDATE");
        assert_eq!(
            header(merged, "changedFields"),
            &json!(["Phone", "Industry", "LastModifiedDate", "BillingAddress.Street"])
        );
        assert_eq!(header(merged, "nulledFields"), &json!(["Phone"]));
        assert_eq!(value(merged)["Industry"], "Energy");
        assert_eq!(value(merged)["BillingAddress"]["Street"], "1 High Street");
        assert_eq!(value(merged)["Name"], Json::Null);
    }
    let person = value(2);
    assert_eq!(person["Name"]["FirstName"], "Ada");
    assert_eq!(person["Name"]["LastName"], "Byron");
    assert_eq!(
        (&person["NumberOfEmployees"], &person["AnnualRevenue"]),
        (&json!(42), &json!(0.1))
    );
    assert_eq!(
        (&value(3)["Name"], &value(3)["Added__c"]),
        (&json!("Åcme"), &json!("there"))
    );
    assert_eq!(header(3, "commitNumber"), COMMIT_NUMBER);
}

/// What the client sees, a line a record.
async fn read(home: &Path, given: &Json) -> Vec<Json> {
    let mut command = Command::new(home.join("bin/python"));
    command
        .arg(foreign::script("avro_reader.py"))
        .arg(given.to_string());
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output();
    let output = timeout(RUN_LIMIT, output)
        .await
        .expect("the client ends")
        .expect("the client runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
