//! Avro records under a contract of the registry: what a reader of the topic gets, whatever Salesforce does.

use std::path::Path;

use apache_avro::types::Value as Avro;
use serde_json::{Value, json};
use sfbridge::simulator::{Change, ChangeType, Simulator};

use super::{ACCOUNTS, ONE_PARTITION, an_org, created, records, stored_position};
use crate::need;
use crate::registry::against_both;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::topic::{Seen, unique};
use crate::support::wait::until;
use crate::support::{broker, registry};

const ONE: &str = "001SB000009990001A";
const TWO: &str = "001SB000009990002A";

/// What a reader needs of a registry, asked for without a word of the bridge's code.
pub(super) struct Reader {
    url: String,
    http: reqwest::Client,
}

impl Reader {
    pub(super) fn of(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            url: url.to_owned(),
            http,
        }
    }

    pub(super) async fn get(&self, path: &str) -> serde_json::Value {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn put_level(&self, subject: &str, level: &str) {
        let body = json!({ "compatibility": level }).to_string();
        let request = self.http.put(format!("{}/config/{subject}", self.url)).body(body);
        let answer = request
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(super) async fn versions(&self, subject: &str) -> usize {
        let versions = self.get(&format!("/subjects/{subject}/versions")).await;
        versions.as_array().map_or(0, Vec::len)
    }

    /// The registry's id and the value that a record holds.
    pub(super) async fn value(&self, record: &Seen) -> (u32, Vec<(String, Avro)>) {
        let value = record.value.as_deref().unwrap();
        assert_eq!(value[0], 0, "the framing's magic byte");
        let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
        let answer = self.get(&format!("/schemas/ids/{id}")).await;
        let schema = apache_avro::Schema::parse_str(answer["schema"].as_str().unwrap()).unwrap();
        let mut datum = &value[5..];
        let read = apache_avro::from_avro_datum(&schema, &mut datum, None).unwrap();
        assert!(datum.is_empty(), "nothing behind the datum");
        match read {
            Avro::Record(fields) => (id, fields),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn field<'v>(record: &'v [(String, Avro)], name: &str) -> &'v Avro {
    let found = record.iter().find(|(field, _)| field == name);
    let value = &found.unwrap_or_else(|| panic!("no field {name}")).1;
    match value {
        Avro::Union(_, inner) => inner,
        other => other,
    }
}

pub(super) fn header<'v>(record: &'v [(String, Avro)], name: &str) -> &'v Avro {
    match field(record, "ChangeEventHeader") {
        Avro::Record(header) => field(header, name),
        other => panic!("{other:?}"),
    }
}

pub(super) fn texts(value: &Avro) -> Vec<String> {
    match value {
        Avro::Array(items) => items.iter().map(text).collect(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn text(value: &Avro) -> String {
    match value {
        Avro::String(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn setup(name: &str, kafka: &str, registry: &str, org: &Simulator, routes: &str) -> Setup {
    Setup {
        kafka: ONE_PARTITION.to_owned(),
        registry: Some(registry.to_owned()),
        ..Setup::new(name, kafka, org, routes)
    }
}

/// A contract file with these fields, where the bridge finds it.
pub(super) fn contract(folder: &Path, name: &str, fields: &Value) -> String {
    let schema =
        json!({ "type": "record", "name": "Account", "namespace": "com.acme.crm", "fields": fields });
    let path = folder.join(name);
    std::fs::write(&path, schema.to_string()).unwrap();
    path.display().to_string()
}

/// A field of text that may be null, and is where nothing is there.
pub(super) fn optional(name: &str) -> Value {
    json!({ "name": name, "type": ["null", "string"], "default": null })
}

/// A field of text that the contract has no default for.
pub(super) fn wanted(name: &str) -> Value {
    json!({ "name": name, "type": ["null", "string"] })
}

/// A route of account changes to one output.
fn route(output: &str) -> String {
    format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ {output} }}\n"
    )
}

against_both!(
    a_followed_contract_is_salesforces_own_schema_and_a_new_field_a_new_version,
    a_refused_version_halts_the_route_and_names_the_field_or_takes_a_subject_of_its_own,
);

/// Pains: bitmaps left undecoded; a new field that breaks the pipeline.
async fn a_followed_contract_is_salesforces_own_schema_and_a_new_field_a_new_version(url: &str) {
    let kafka = need!("kafka", broker::shared());
    let (org, reader, to) = (an_org().await, Reader::of(url), unique("avro"));
    let routes = route(&format!("kafka: {to}, format: avro"));
    let bridge = Bridge::start(&setup(&unique("followed"), &kafka, url, &org, &routes)).await;
    org.change(&Change {
        nulled: vec!["Phone".to_owned()],
        ..Change::new("Account", ChangeType::Update)
            .records([ONE, TWO])
            .field("Industry", "Energy")
            .field("BillingAddress", json!({"Street": "1 High Street"}))
    })
    .unwrap();
    org.change(&created("").field("Name", json!({"FirstName": "Ada", "LastName": "Byron"})))
        .unwrap();
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    org.change(&created("later").field("Added__c", "there")).unwrap();
    let seen = records(&kafka, &to, 4).await;

    let (first_id, update) = reader.value(&seen[0]).await;
    assert_eq!(seen[0].header("content-type").unwrap(), "application/avro");
    assert_eq!(seen[0].key_text(), ONE);
    for (record, id) in seen.iter().zip([ONE, TWO]) {
        let (_, value) = reader.value(record).await;
        assert_eq!(texts(header(&value, "recordIds")), [id]);
    }
    assert_eq!(
        texts(header(&update, "changedFields")),
        ["Phone", "Industry", "LastModifiedDate", "BillingAddress.Street"]
    );
    assert_eq!(texts(header(&update, "nulledFields")), ["Phone"]);
    assert_eq!(text(field(&update, "Industry")), "Energy");
    assert!(
        matches!(field(&update, "LastModifiedDate"), Avro::TimestampMillis(_)),
        "a DateTime says what it is"
    );
    let (_, person) = reader.value(&seen[2]).await;
    assert!(matches!(field(&person, "Name"), Avro::Record(name) if text(field(name, "LastName")) == "Byron"));
    let (later_id, later) = reader.value(&seen[3]).await;
    assert_eq!(text(field(&later, "Added__c")), "there");
    assert_ne!(first_id, later_id);
    assert_eq!(reader.versions(&format!("{to}-value")).await, 2);
    let labels = format!("route=\"accounts\",subject=\"{to}-value\"");
    assert_eq!(bridge.metric("sfbridge_contract_versions", &labels).await, 2.0);
    let shown = bridge.route("accounts").await.unwrap();
    let contracts = shown["contracts"].as_array().unwrap();
    assert!(
        contracts
            .iter()
            .all(|contract| contract["subject"] == format!("{to}-value"))
    );
    let mut ids: Vec<_> = contracts
        .iter()
        .map(|contract| contract["schema_id"].clone())
        .collect();
    ids.sort_by_key(serde_json::Value::as_u64);
    let mut both = [first_id, later_id].map(serde_json::Value::from);
    both.sort_by_key(serde_json::Value::as_u64);
    assert_eq!(ids, both);

    // What is there already is looked up, and the answer tells its version.
    let again = Bridge::start(&setup(&unique("again"), &kafka, url, &org, &routes)).await;
    let mut versions = until(PATIENCE, "both contracts", || async {
        let shown = again.route("accounts").await?;
        let contracts = shown["contracts"].as_array()?.clone();
        (contracts.len() == 2).then(|| {
            contracts
                .iter()
                .map(|one| one["version"].clone())
                .collect::<Vec<_>>()
        })
    })
    .await;
    versions.sort_by_key(serde_json::Value::as_u64);
    assert_eq!(versions, [1, 2]);
}

async fn a_refused_version_halts_the_route_and_names_the_field_or_takes_a_subject_of_its_own(url: &str) {
    let kafka = need!("kafka", broker::shared());
    let (org, reader) = (an_org().await, Reader::of(url));
    let [halts, goes_on] = ["refused", "renewed"].map(unique);
    let routes = format!(
        "  - name: halts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {halts}, format: avro }}\n\
         \x20 - name: goes-on\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {goes_on}, format: avro, contract: {{ on_break: new_subject }} }}\n"
    );
    let name = unique("breaks");
    let setup = setup(&name, &kafka, url, &org, &routes);
    let bridge = Bridge::start(&setup).await;
    org.change(&created("before")).unwrap();
    records(&kafka, &halts, 1).await;
    records(&kafka, &goes_on, 1).await;
    // FULL lets optional fields come and go; another type it does not.
    for topic in [&halts, &goes_on] {
        reader.put_level(&format!("{topic}-value"), "FULL").await;
    }
    org.change_field(ACCOUNTS, "Fax", "double").unwrap();
    org.change(&created("after").field("Fax", 1.5)).unwrap();
    let halted = bridge.until_state("halts", &["halted"]).await;
    let why = halted["state"]["why"].as_str().unwrap();
    assert!(
        why.contains("Fax") && why.contains(&format!("{halts}-value")),
        "{why}"
    );
    assert!(halted["state"]["remedy"].is_string());
    let seen = records(&kafka, &goes_on, 2).await;
    assert_eq!(reader.versions(&format!("{goes_on}-value.v2")).await, 1);
    assert_eq!(field(&reader.value(&seen[1]).await.1, "Fax"), &Avro::Double(1.5));
    assert_eq!(
        records(&kafka, &halts, 1).await.len(),
        1,
        "what breaks the contract is not written"
    );
    let (position, _) = stored_position(&kafka, &name, "halts").await.unwrap();
    assert_eq!(
        position["after"].as_array().unwrap().len(),
        1,
        "and the position stays before it"
    );
}

/// A registry that is down stops who needs it, until it is back, and nobody else.
#[tokio::test]
async fn a_registry_that_is_down_is_waited_for_by_those_who_need_it_alone() {
    let kafka = need!("kafka", broker::shared());
    let server = need!("registry", registry::Registry::start_new());
    let org = an_org().await;
    let [avro, plain] = ["needs", "plain"].map(unique);
    let routes = format!(
        "  - name: needs\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {avro}, format: avro }}\n\
         \x20 - name: plain\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {plain}, format: json }}\n"
    );
    server.stop();
    let bridge = Bridge::start(&setup(&unique("down"), &kafka, &server.url(), &org, &routes)).await;
    org.change(&created("one")).unwrap();
    records(&kafka, &plain, 1).await;
    let waiting = bridge.until_state("needs", &["waiting"]).await;
    assert!(
        waiting["state"]["why"]
            .as_str()
            .unwrap()
            .contains("schema registry"),
        "{waiting}"
    );
    server.start().unwrap();
    records(&kafka, &avro, 1).await;
    // What is registered needs no registry.
    server.stop();
    org.change(&created("two")).unwrap();
    let seen = records(&kafka, &avro, 2).await;
    assert_eq!(seen.len(), 2);
}

/// What is whole does not wait for what a later event's schema needs; and when the wait is over, it is not shown.
#[tokio::test]
async fn events_before_a_new_schema_do_not_wait_with_it_for_the_registry() {
    let kafka = need!("kafka", broker::shared());
    let server = need!("registry", registry::Registry::start_new());
    let (org, to) = (an_org().await, unique("avro"));
    // Long enough for all that follows to come into one batch.
    let routes = format!(
        "{}    commit: {{ linger_ms: 3000 }}\n",
        route(&format!("kafka: {to}, format: avro"))
    );
    let bridge = Bridge::start(&setup(&unique("whole"), &kafka, &server.url(), &org, &routes)).await;
    org.change(&created("one")).unwrap();
    records(&kafka, &to, 1).await;
    server.stop();
    org.change(&created("two")).unwrap();
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    org.change(&created("three").field("Added__c", "there")).unwrap();
    bridge.until_state("accounts", &["waiting"]).await;
    assert_eq!(records(&kafka, &to, 2).await.len(), 2);
    server.start().unwrap();
    assert_eq!(records(&kafka, &to, 3).await.len(), 3);
    bridge.until_state("accounts", &["streaming", "idle"]).await;
}

/// A contract is retired without a big bang: both versions, from one subscription, in one transaction.
#[tokio::test]
async fn two_versions_of_a_contract_are_served_side_by_side_and_one_that_breaks_stops_no_other() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader, name) = (an_org().await, Reader::of(&url), unique("pinned"));
    let [v1, v2, plain, dead] = ["v1", "v2", "whole", "dead"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let first = contract(
        folder.path(),
        "v1.avsc",
        &json!([optional("Name"), optional("Phone")]),
    );
    let time = json!(["null", { "type": "long", "logicalType": "timestamp-millis" }]);
    let second = contract(
        folder.path(),
        "v2.avsc",
        &json!([
            optional("Name"),
            { "name": "telephone", "aliases": ["Phone"], "type": ["null", "string"], "default": null },
            wanted("Colour__c"),
            { "name": "tier", "type": "string", "default": "none" },
            { "name": "LastModifiedDate", "type": time, "default": null },
        ]),
    );
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {v1}, format: avro, contract: {{ file: {first} }} }}\n\
         \x20     - {{ kafka: {v2}, format: json, contract: {{ file: {second} }} }}\n\
         \x20     - {{ kafka: {plain}, format: json }}\n\
         \x20   dead_letter: {{ kafka: {dead}, max_consecutive: 2 }}\n"
    );
    org.add_field(ACCOUNTS, "Colour__c", "string").unwrap();
    let bridge = Bridge::start(&setup(&name, &kafka, &url, &org, &routes)).await;
    org.change(&created("Acme").field("Phone", "1").field("Colour__c", "red"))
        .unwrap();
    let seen = records(&kafka, &v1, 1).await;
    let (_, value) = reader.value(&seen[0]).await;
    assert_eq!(value.len(), 2);
    assert_eq!(
        (text(field(&value, "Name")), text(field(&value, "Phone"))),
        ("Acme".to_owned(), "1".to_owned())
    );
    let seen = records(&kafka, &v2, 1).await;
    let whole = super::json(&records(&kafka, &plain, 1).await[0]);
    assert_eq!(
        super::json(&seen[0]),
        json!({"Name": "Acme", "telephone": "1", "Colour__c": "red", "tier": "none", "LastModifiedDate": whole["LastModifiedDate"]})
    );
    // The second version's field without a default goes away: its events are kept, the others flow.
    org.remove_field(ACCOUNTS, "Colour__c").unwrap();
    for n in 0..4 {
        org.change(&created(&format!("after {n}"))).unwrap();
    }
    assert_eq!(records(&kafka, &v1, 5).await.len(), 5);
    records(&kafka, &plain, 5).await;
    let dead = records(&kafka, &dead, 4).await;
    assert_eq!(dead[0].header("sfbridge_error_kind").unwrap(), "contract");
    let error = dead[0].header("sfbridge_error").unwrap();
    assert!(
        error.contains("field Colour__c") && error.contains("v2.avsc") && error.contains(&v2),
        "{error}"
    );
    let route = bridge.route("accounts").await.unwrap();
    assert_ne!(
        route["state"]["name"], "halted",
        "max_consecutive is of events that nobody got"
    );
    let counted = bridge
        .metric("sfbridge_dead_letters_total", "kind=\"contract\"")
        .await;
    assert!(counted >= 4.0, "{counted}");
}

#[tokio::test]
async fn fields_keys_and_tombstones_in_avro_and_in_json() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader) = (an_org().await, Reader::of(&url));
    let [avro, json_topic, compact] = ["some", "fewer", "compact"].map(unique);
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {avro}, format: avro, fields: {{ include: [Name, BillingAddress.City] }} }}\n\
         \x20     - {{ kafka: {json_topic}, format: json, fields: {{ include: [Name, LastModifiedDate] }}, key: \"field:Name\" }}\n\
         \x20     - {{ kafka: {compact}, format: avro, tombstones: true }}\n"
    );
    let bridge = Bridge::start(&setup(&unique("fields"), &kafka, &url, &org, &routes)).await;
    org.change(
        &created("Acme")
            .records([ONE])
            .field("Phone", "1")
            .field("LastModifiedDate", super::now_ms())
            .field("BillingAddress", json!({"Street": "s", "City": "c"})),
    )
    .unwrap();
    org.change(&Change::new("Account", ChangeType::Delete).records([ONE]))
        .unwrap();
    let seen = records(&kafka, &avro, 2).await;
    let (_, value) = reader.value(&seen[0]).await;
    let names: Vec<&str> = value.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ChangeEventHeader", "Name", "BillingAddress"]);
    assert!(
        matches!(field(&value, "BillingAddress"), Avro::Record(address) if address.len() == 1 && text(field(address, "City")) == "c")
    );
    let seen = records(&kafka, &json_topic, 1).await;
    assert_eq!(seen[0].key_text(), "Acme");
    let value = super::json(&seen[0]);
    assert_eq!(value.as_object().unwrap().len(), 3);
    assert_eq!(value["ChangeEventHeader"]["recordIds"], json!([ONE]));
    assert!(value["LastModifiedDate"].as_str().unwrap().ends_with('Z'));
    let seen = records(&kafka, &compact, 3).await;
    assert!(
        seen[1].value.is_some() && seen[2].value.is_none(),
        "the DELETE, then its tombstone"
    );
    assert_eq!(
        (seen[1].key_text(), seen[2].key_text()),
        (ONE.to_owned(), ONE.to_owned())
    );
    // The DELETE carries no name to be the key: it is kept, with the reason.
    until(PATIENCE, "the dead letter", || async {
        (bridge.metric("sfbridge_dead_letters_total", "accounts").await > 0.0).then_some(())
    })
    .await;
}

/// A channel's events share a fixed topic: each under a contract of its own.
#[tokio::test]
async fn a_topic_of_several_records_has_a_subject_for_each() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry-v3", registry::shared_v3()),
    );
    let (org, reader) = (an_org().await, Reader::of(&url));
    let to = unique("channel");
    let routes = format!(
        "  - name: all\n    from: {{ salesforce: /data/ChangeEvents, start: earliest }}\n    to: {{ kafka: {to}, format: avro }}\n"
    );
    let _bridge = Bridge::start(&setup(&unique("mixed"), &kafka, &url, &org, &routes)).await;
    org.change(&created("a")).unwrap();
    org.change(&Change::new("Contact", ChangeType::Create).field("Title", "t"))
        .unwrap();
    let seen = records(&kafka, &to, 2).await;
    assert_eq!(text(field(&reader.value(&seen[1]).await.1, "Title")), "t");
    for event in ["AccountChangeEvent", "ContactChangeEvent"] {
        assert_eq!(
            reader
                .versions(&format!("{to}-com.sforce.eventbus.{event}"))
                .await,
            1
        );
    }
}

/// A channel of several objects, split by filters: a contract need only fit what its filter lets through.
#[tokio::test]
async fn a_contract_is_not_broken_by_what_its_filter_leaves_out() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, to) = (an_org().await, unique("choosy"));
    let folder = tempfile::tempdir().unwrap();
    let file = contract(folder.path(), "account.avsc", &json!([wanted("Industry")]));
    let routes = format!(
        "  - name: all\n    from: {{ salesforce: /data/ChangeEvents, start: earliest }}\n    to: {{ kafka: {to}, format: json, filter: 'header.entityName == \"Account\"', contract: {{ file: {file} }} }}\n"
    );
    let _bridge = Bridge::start(&setup(&unique("split"), &kafka, &url, &org, &routes)).await;
    org.change(&Change::new("Contact", ChangeType::Create).field("Title", "t"))
        .unwrap();
    org.change(&created("a").field("Industry", "Energy")).unwrap();
    let seen = records(&kafka, &to, 1).await;
    assert_eq!(super::json(&seen[0]), json!({"Industry": "Energy"}));
}
