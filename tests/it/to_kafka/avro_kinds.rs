//! Avro of every kind: events without a header, contracts that halt, names of subjects, a contract's successor.

use apache_avro::types::Value as Avro;
use serde_json::{Value, json};
use sfbridge::simulator::PlatformEvent;

use super::avro::{Reader, contract, field, optional, setup, text, wanted};
use super::{ACCOUNTS, ONE_PARTITION, an_org, committed, created, now_ms, records};
use crate::need;
use crate::support::bridge::{Bridge, Setup};
use crate::support::topic::unique;
use crate::support::{broker, registry};

const SHIPPED: &str = "/event/Order_Shipped__e";
const USER: &str = "005SB000009990001A";

fn shipped(fields: &Value) -> PlatformEvent {
    PlatformEvent {
        topic: SHIPPED.to_owned(),
        fields: fields.as_object().unwrap().clone(),
        event_id: None,
    }
}

/// A value that may be null, and is not.
fn some(value: Avro) -> Avro {
    Avro::Union(1, Box::new(value))
}

fn none() -> Avro {
    Avro::Union(0, Box::new(Avro::Null))
}

fn owned<const N: usize>(record: [(&str, Avro); N]) -> Vec<(String, Avro)> {
    record.map(|(name, value)| (name.to_owned(), value)).into()
}

/// They have no header to rewrite: all that the schema names is the body.
#[tokio::test]
async fn platform_events_are_read_by_the_registered_schema_as_they_were_published() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader) = (an_org().await, Reader::of(&url));
    let [whole, part] = ["shipped", "part"].map(unique);
    let routes = format!(
        "  - name: shipped\n    from: {{ salesforce: {SHIPPED}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {whole}, format: avro }}\n\
         \x20     - {{ kafka: {part}, format: avro, fields: {{ include: [CreatedById, Weight__c] }} }}\n"
    );
    let _bridge = Bridge::start(&setup(&unique("events"), &kafka, &url, &org, &routes)).await;
    let (at, shipped_at, due) = (now_ms(), now_ms() - 3_600_000, 86_400_000_i64);
    let every_field = json!({
        "CreatedDate": at, "CreatedById": USER, "Order_Number__c": "O-1", "Carrier__c": "", "Weight__c": 12.25,
        "Express__c": true, "Shipped_At__c": shipped_at, "Due_Date__c": due, "Notes__c": "Größe ≥ 2\n".repeat(99),
    });
    org.publish(&shipped(&every_field)).unwrap();
    org.publish(&shipped(&json!({ "CreatedDate": at + 1, "CreatedById": USER })))
        .unwrap();
    org.add_field(SHIPPED, "Gift__c", "boolean").unwrap();
    org.publish(&shipped(
        &json!({ "CreatedDate": at + 2, "CreatedById": USER, "Gift__c": false }),
    ))
    .unwrap();

    let published = [
        owned([
            ("CreatedDate", Avro::TimestampMillis(at)),
            ("CreatedById", Avro::String(USER.to_owned())),
            ("Order_Number__c", some(Avro::String("O-1".to_owned()))),
            ("Carrier__c", some(Avro::String(String::new()))),
            ("Weight__c", some(Avro::Double(12.25))),
            ("Express__c", some(Avro::Boolean(true))),
            ("Shipped_At__c", some(Avro::TimestampMillis(shipped_at))),
            ("Due_Date__c", some(Avro::Long(due))),
            ("Notes__c", some(Avro::String("Größe ≥ 2\n".repeat(99)))),
        ]),
        owned([
            ("CreatedDate", Avro::TimestampMillis(at + 1)),
            ("CreatedById", Avro::String(USER.to_owned())),
            ("Order_Number__c", none()),
            ("Carrier__c", none()),
            ("Weight__c", none()),
            ("Express__c", none()),
            ("Shipped_At__c", none()),
            ("Due_Date__c", none()),
            ("Notes__c", none()),
        ]),
    ];
    let seen = records(&kafka, &whole, 3).await;
    assert_eq!(seen.len(), 3);
    for (record, published) in seen.iter().zip(published) {
        assert_eq!(record.header("content-type").unwrap(), "application/avro");
        assert_eq!(record.key_text(), record.header("ce_id").unwrap());
        assert_eq!(reader.value(record).await.1, published);
    }
    let (_, later) = reader.value(&seen[2]).await;
    assert_eq!(later.len(), 10, "the new field is one more");
    assert_eq!(field(&later, "CreatedDate"), &Avro::TimestampMillis(at + 2));
    assert_eq!(field(&later, "Gift__c"), &Avro::Boolean(false));
    assert_eq!(reader.versions(&format!("{whole}-value")).await, 2);

    let seen = records(&kafka, &part, 3).await;
    for (record, weight) in seen.iter().zip([some(Avro::Double(12.25)), none(), none()]) {
        let selected = owned([
            ("CreatedById", Avro::String(USER.to_owned())),
            ("Weight__c", weight),
        ]);
        assert_eq!(reader.value(record).await.1, selected);
    }
    assert_eq!(
        reader.versions(&format!("{part}-value")).await,
        1,
        "what is not selected makes no version"
    );
}

#[tokio::test]
async fn a_pinned_contract_that_breaks_halts_the_route_until_its_file_is_mended() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader) = (an_org().await, Reader::of(&url));
    let [sole, one_of_two, beside, dead] = ["sole", "halts", "beside", "dead"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let fields = json!([optional("Name"), wanted("Industry")]);
    let file = contract(folder.path(), "account.v1.avsc", &fields);
    // A sole output halts by default, one of several where it is told to.
    let routes = format!(
        "  - name: sole\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n\
         \x20   to: {{ kafka: {sole}, format: avro, contract: {{ file: {file} }} }}\n    dead_letter: {{ kafka: {dead} }}\n\
         \x20 - name: several\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {one_of_two}, format: avro, contract: {{ file: {file}, on_break: halt }} }}\n\
         \x20     - {{ kafka: {beside}, format: avro, fields: {{ include: [Name] }} }}\n    dead_letter: {{ kafka: {dead} }}\n"
    );
    let bridge = Bridge::start(&setup(&unique("halts"), &kafka, &url, &org, &routes)).await;
    let topics = [&sole, &one_of_two, &beside];
    org.change(&created("one").field("Industry", "Energy")).unwrap();
    for topic in topics {
        records(&kafka, topic, 1).await;
    }
    // The break may come in one batch with what is still whole.
    org.change(&created("two").field("Industry", "Retail")).unwrap();
    org.remove_field(ACCOUNTS, "Industry").unwrap();
    org.change(&created("three")).unwrap();
    org.change(&created("four")).unwrap();
    for (route, topic) in [("sole", &sole), ("several", &one_of_two)] {
        let halted = bridge.until_state(route, &["halted"]).await;
        let why = halted["state"]["why"].as_str().unwrap();
        for part in [
            topic,
            "account.v1.avsc",
            "field Industry: AccountChangeEvent has no such field, and the contract gives no default",
        ] {
            assert!(why.contains(part), "{part}: {why}");
        }
        let remedy = halted["state"]["remedy"].as_str().unwrap();
        assert!(remedy.contains("default"), "{remedy}");
    }
    for topic in topics {
        let mut names = Vec::new();
        for record in committed(&kafka, topic).await {
            names.push(text(field(&reader.value(&record).await.1, "Name")));
        }
        assert_eq!(names, ["one", "two"], "{topic}");
    }
    assert!(committed(&kafka, &dead).await.is_empty());

    let fields = json!([optional("Name"), optional("Industry")]);
    contract(folder.path(), "account.v1.avsc", &fields);
    for (route, topic) in [("sole", &sole), ("several", &one_of_two)] {
        assert_eq!(bridge.post(&format!("/api/routes/{route}/restart")).await.0, 202);
        let seen = records(&kafka, topic, 4).await;
        assert_eq!(seen.len(), 4);
        for (record, name) in seen[2..].iter().zip(["three", "four"]) {
            let expected = owned([
                ("Name", some(Avro::String(name.to_owned()))),
                ("Industry", none()),
            ]);
            assert_eq!(reader.value(record).await.1, expected);
        }
    }
    assert_eq!(records(&kafka, &beside, 4).await.len(), 4);
}

#[tokio::test]
async fn subjects_are_named_after_the_record_or_after_topic_and_record_where_that_is_configured() {
    let kafka = need!("kafka", broker::shared());
    // Names of records are the same in every test.
    let server = need!("registry", registry::Registry::start_new());
    let (org, reader) = (an_org().await, Reader::of(&server.url()));
    let folder = tempfile::tempdir().unwrap();
    let file = contract(folder.path(), "account.avsc", &json!([optional("Name")]));
    let named = |naming: &str, routes: &str| Setup {
        kafka: format!(
            "{ONE_PARTITION}schema_registry: {{ url: \"{}\", subject: {naming} }}\n",
            server.url()
        ),
        ..Setup::new(&unique("named"), &kafka, &org, routes)
    };
    let mut expected = Vec::new();
    for naming in ["record", "topic_record"] {
        let [followed, pinned] = ["followed", "pinned"].map(unique);
        let routes = format!(
            "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
             \x20     - {{ kafka: {followed}, format: avro }}\n\
             \x20     - {{ kafka: {pinned}, format: avro, contract: {{ file: {file} }} }}\n"
        );
        let bridge = Bridge::start(&named(naming, &routes)).await;
        org.change(&created(naming)).unwrap();
        for (topic, record) in [
            (followed, "com.sforce.eventbus.AccountChangeEvent"),
            (pinned, "com.acme.crm.Account"),
        ] {
            let subject = match naming {
                "record" => record.to_owned(),
                _ => format!("{topic}-{record}"),
            };
            let seen = records(&kafka, &topic, 1).await;
            let (id, _) = reader.value(&seen[0]).await;
            let version = reader.get(&format!("/subjects/{subject}/versions/latest")).await;
            assert_eq!(version["id"], id, "{subject}: {version}");
            let shown = bridge.route("accounts").await.unwrap();
            let contracts = shown["contracts"].as_array().unwrap();
            assert!(
                contracts.iter().any(|contract| contract["subject"] == subject),
                "{shown}"
            );
            expected.push(subject);
        }
        expected.sort();
        let mut subjects: Vec<String> = serde_json::from_value(reader.get("/subjects").await).unwrap();
        subjects.sort();
        assert_eq!(subjects, expected, "and no others");
    }
}

/// The recipe: the successor of a contract beside it, while readers move.
#[tokio::test]
async fn a_contract_and_its_successor_are_subjects_of_their_own_from_one_subscription() {
    let (kafka, url) = (
        need!("kafka", broker::shared()),
        need!("registry", registry::shared()),
    );
    let (org, reader) = (an_org().await, Reader::of(&url));
    let [v1, v2, dead] = ["v1", "v2", "dead"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let time = json!(["null", { "type": "long", "logicalType": "timestamp-millis" }]);
    let first = contract(
        folder.path(),
        "account.v1.avsc",
        &json!([optional("Name"), optional("Phone"), wanted("Fax")]),
    );
    let second = contract(
        folder.path(),
        "account.v2.avsc",
        &json!([
            optional("Name"),
            { "name": "telephone", "aliases": ["Phone"], "type": ["null", "string"], "default": null },
            { "name": "LastModifiedDate", "type": time, "default": null },
        ]),
    );
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {v1}, format: avro, contract: {{ file: {first} }} }}\n\
         \x20     - {{ kafka: {v2}, format: avro, contract: {{ file: {second} }} }}\n\
         \x20   dead_letter: {{ kafka: {dead} }}\n"
    );
    let _bridge = Bridge::start(&setup(&unique("retired"), &kafka, &url, &org, &routes)).await;
    let at = now_ms();
    let named = |name: &str| created(name).field("Phone", "1").field("LastModifiedDate", at);
    let text = |text: &str| some(Avro::String(text.to_owned()));
    let successor = |name: &str| {
        owned([
            ("Name", text(name)),
            ("telephone", text("1")),
            ("LastModifiedDate", some(Avro::TimestampMillis(at))),
        ])
    };
    org.change(&named("Acme").field("Fax", "2")).unwrap();
    let old = records(&kafka, &v1, 1).await;
    let (first_id, value) = reader.value(&old[0]).await;
    let both = owned([("Name", text("Acme")), ("Phone", text("1")), ("Fax", text("2"))]);
    assert_eq!(value, both);
    let new = records(&kafka, &v2, 1).await;
    let (second_id, value) = reader.value(&new[0]).await;
    assert_eq!(value, successor("Acme"));
    assert_eq!(old[0].header("ce_id"), new[0].header("ce_id"), "the same event");
    assert_ne!(first_id, second_id);
    for (topic, id) in [(&v1, first_id), (&v2, second_id)] {
        let subject = format!("{topic}-value");
        assert_eq!(reader.versions(&subject).await, 1);
        let version = reader.get(&format!("/subjects/{subject}/versions/latest")).await;
        assert_eq!(version["id"], id);
    }
    let counts = org.topic_counts(ACCOUNTS).unwrap();
    assert_eq!((counts.subscriptions, counts.events_delivered), (1, 1));

    // The org breaks the old contract: its readers miss what the dead letters hold, the others nothing.
    org.remove_field(ACCOUNTS, "Fax").unwrap();
    org.change(&named("later")).unwrap();
    let new = records(&kafka, &v2, 2).await;
    assert_eq!(reader.value(&new[1]).await.1, successor("later"));
    let dead = records(&kafka, &dead, 1).await;
    assert_eq!(dead[0].header("sfbridge_error_kind").unwrap(), "contract");
    let error = dead[0].header("sfbridge_error").unwrap();
    assert!(error.contains("field Fax") && error.contains(&v1), "{error}");
    assert_eq!(committed(&kafka, &v1).await.len(), 1);
}
