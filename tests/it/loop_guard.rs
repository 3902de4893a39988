//! The loop guard through Kafka: what one instance announces, the route in another one recognises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};
use sfbridge::app::{App, Timings};
use sfbridge::config::{Config, Environment, KafkaConfig, Operation, load_text};
use sfbridge::error::ErrorKind;
use sfbridge::kafka::{Connection, Topics};
use sfbridge::routes::loop_guard::{Intent, OwnWrites, RouteGuard, Settled};
use sfbridge::routes::state::RouteStatus;
use sfbridge::runtime::shutdown::{Signals, Stop, stop_pair};
use sfbridge::runtime::task::{Task, spawn};
use sfbridge::salesforce::event::{ChangeEventHeader, ChangeType as Changed};
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};

use crate::need;
use crate::support::bridge::{PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, Isolation, Seen, read_all, unique};
use crate::support::wait::until;

const ONE: &str = "001SB0000000001YAA";
const TWO: &str = "001SB0000000002YAA";
const USER: &str = "0055Y00000abcdeQAA";

/// A mirror of accounts: one route each way.
pub(super) fn config(name: &str, kafka: &str, org: &Simulator, to: &str) -> Config {
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest, skip_own_writes: true }}\n    to: {{ kafka: {to}, format: json }}\n\
         \x20 - name: customers\n    from: {{ kafka: [crm.customers], format: json }}\n    to: {{ salesforce: Account, operation: upsert, external_id: Ext__c }}\n"
    );
    let setup = Setup {
        kafka: "  partitions: 1\n".to_owned(),
        ..Setup::new(name, kafka, org, &routes)
    };
    load_text("test", setup.yaml(0), &Environment::default())
        .unwrap()
        .config
}

/// The writing half of another instance.
pub(super) fn writer(config: &Config) -> OwnWrites {
    let connection = Connection::new(config.kafka.clone(), &config.bridge.name);
    OwnWrites::new(
        &config.bridge.name,
        &config.routes,
        &Topics::new(&connection).unwrap(),
    )
}

/// The instance that runs the route from Salesforce.
pub(super) struct Reading {
    accounts: Arc<RouteStatus>,
    _stop: Stop,
    _app: Task<()>,
}

pub(super) async fn start(config: Config) -> Reading {
    let app = App::open(config, Timings::default()).await.unwrap();
    let accounts = Arc::clone(&app.routes()[0]);
    let (stop, word) = stop_pair();
    let app = spawn("bridge", async move {
        app.run(&mut Signals::of(word)).await.unwrap();
    });
    Reading {
        accounts,
        _stop: stop,
        _app: app,
    }
}

impl Reading {
    pub(super) fn filtered_so_far(&self) -> u64 {
        self.accounts.counters.filtered.load(Ordering::Relaxed)
    }

    async fn filtered(&self, count: u64) {
        until(PATIENCE, &format!("{count} own changes left out"), || async {
            (self.accounts.counters.filtered.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
        assert_eq!(self.accounts.counters.filtered.load(Ordering::Relaxed), count);
    }
}

fn upsert(external: &str, fields: Value) -> Intent {
    let Value::Object(fields) = fields else {
        panic!("no object")
    };
    Intent::new("customers", "Account", Operation::Upsert, &fields).of_external_id("Ext__c", &json!(external))
}

fn written(record: &str) -> Settled {
    Settled::Written {
        record_id: Some(record.to_owned()),
        created: Some(false),
    }
}

fn update(record: &str) -> Change {
    Change::new("Account", ChangeType::Update).records([record])
}

fn json_of(record: &Seen) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()
}

/// Record id and name of what reached the topic, once there are `count`.
pub(super) async fn arrived(kafka: &str, to: &str, count: usize) -> Vec<(String, String)> {
    let seen = until(PATIENCE, &format!("{count} records"), || async {
        topic::partition_count(kafka, to).await?;
        let seen = read_all(kafka, to, Isolation::ReadCommitted).await;
        (seen.len() >= count).then_some(seen)
    })
    .await;
    seen.iter()
        .map(|record| {
            let name = json_of(record)["Name"].as_str().unwrap_or_default().to_owned();
            (record.key_text(), name)
        })
        .collect()
}

fn of(record: &str, name: &str) -> (String, String) {
    (record.to_owned(), name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_announced_is_left_out_and_every_other_change_flows() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (name, to) = (unique("mirror"), unique("accounts"));
    let config = config(&name, &kafka, &org, &to);
    let writer = writer(&config);
    assert!(writer.is_needed("Account") && !writer.is_needed("Contact"));
    // Before the reading instance is there: it finds what was announced.
    let before = writer
        .announce(&[upsert("1", json!({"Name": " early "}))])
        .await
        .unwrap();
    org.change(&update(ONE).field("Name", "early")).unwrap();
    writer.settle(before, &[written(ONE)]).await;
    writer.flush().await;
    let reading = start(config).await;
    reading.filtered(1).await;

    // The event comes before the answer, and what comes after it waits behind it.
    let open = writer
        .announce(&[upsert("2", json!({"Name": "late"}))])
        .await
        .unwrap();
    org.change(&update(TWO).field("Name", "late")).unwrap();
    org.change(&update(TWO).field("Name", "by hand")).unwrap();
    until(PATIENCE, "the wait is shown", || async {
        let state = reading.accounts.state();
        state.why?.contains("waiting for the answer").then_some(())
    })
    .await;
    assert!(
        topic::partition_count(&kafka, &to).await.is_none(),
        "nothing overtook it"
    );
    writer.settle(open, &[written(TWO)]).await;
    assert_eq!(arrived(&kafka, &to, 1).await, [of(TWO, "by hand")]);
    reading.filtered(2).await;

    // One event of both records: each is judged for itself.
    let one = writer
        .announce(&[upsert("1", json!({"Name": "both"}))])
        .await
        .unwrap();
    writer.settle(one, &[written(ONE)]).await;
    writer.flush().await;
    org.change(
        &Change::new("Account", ChangeType::Update)
            .records([ONE, TWO])
            .field("Name", "both"),
    )
    .unwrap();
    let seen = arrived(&kafka, &to, 2).await;
    assert_eq!(seen[1..], [of(TWO, "both")]);
    reading.filtered(3).await;

    // Somebody changed more in the same transaction.
    let on_top = writer
        .announce(&[upsert("1", json!({"Name": "more"}))])
        .await
        .unwrap();
    writer.settle(on_top, &[written(ONE)]).await;
    writer.flush().await;
    org.change(&update(ONE).field("Name", "more").field("Rating", "Hot"))
        .unwrap();
    let seen = arrived(&kafka, &to, 3).await;
    assert_eq!(seen[2..], [of(ONE, "more")]);

    // What was seen back is ended in the topic: nothing is left that could explain another change.
    until(PATIENCE, "an empty book", || async {
        writer.catch_up().await.unwrap();
        writer.book().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_never_answered_holds_its_record_up_for_a_while_and_loses_nothing() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (name, to) = (unique("lost"), unique("accounts"));
    let config = config(&name, &kafka, &org, &to);
    let writer = writer(&config);
    let lost = writer
        .announce(&[upsert("1", json!({"Name": "lost"}))])
        .await
        .unwrap();
    drop(lost);
    org.change(&update(ONE).field("Name", "lost")).unwrap();
    org.change(&update(ONE).field("Name", "after")).unwrap();
    let reading = start(config).await;
    assert_eq!(arrived(&kafka, &to, 2).await, [of(ONE, "lost"), of(ONE, "after")]);
    reading.filtered(0).await;
}

fn header(records: &[&str]) -> ChangeEventHeader {
    let mut header = ChangeEventHeader::default();
    header.entity_name = "Account".to_owned();
    header.change_type = Changed::Update;
    header.record_ids = records.iter().map(|id| (*id).to_owned()).collect();
    header.commit_user = USER.to_owned();
    header.commit_timestamp_ms = sfbridge::runtime::clock::now_ms();
    header.changed_fields = vec!["Name".into(), "LastModifiedDate".into()];
    header
}

/// What a route of this instance says of an update of both records.
async fn judged(own: &OwnWrites, name: &str) -> (Vec<bool>, bool) {
    let mut guard = RouteGuard::new(own.clone());
    guard.user(Some(USER));
    guard.catch_up().await.unwrap();
    guard.caught_up();
    let body: Map<String, Value> = json!({"Name": name}).as_object().unwrap().clone();
    let verdicts = guard.judge(
        &header(&[ONE, TWO]),
        &body,
        &["1".to_owned(), "2".to_owned()],
        true,
    );
    (verdicts.own, verdicts.waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_see_the_same_writes_in_the_same_state() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let config = config(&unique("store"), &kafka, &org, &unique("accounts"));
    let (here, there) = (writer(&config), writer(&config));
    assert_eq!(
        judged(&there, "a").await,
        (vec![false, false], false),
        "nothing is announced"
    );
    let announced = here
        .announce(&[
            upsert("1", json!({"Name": "a"})),
            upsert("2", json!({"Name": "b"})),
        ])
        .await
        .unwrap();
    assert!(judged(&there, "a").await.1, "an answer could tell");
    here.settle(announced, &[written(ONE), Settled::Refused]).await;
    here.flush().await;
    assert_eq!(judged(&there, "a").await, (vec![true, false], false));
    assert_eq!(judged(&here, "a").await, (vec![true, false], false));
    assert_eq!(judged(&there, "b").await, (vec![false, false], false), "refused");
    // An instance that starts now reads all of it.
    assert_eq!(judged(&writer(&config), "a").await, (vec![true, false], false));
    // An object that no route skips is none of the guard's business.
    let other = Intent::new("customers", "Contact", Operation::Insert, &Map::new());
    assert!(here.announce(&[other]).await.unwrap().is_empty());
    let topic = format!("_sfbridge.{}.writes", config.bridge.name);
    let policy = topic::config(&kafka, &topic, "cleanup.policy").await;
    assert_eq!(policy.as_deref(), Some("compact,delete"));
    let stored = read_all(&kafka, &topic, Isolation::ReadUncommitted).await;
    assert!(stored.len() >= 4, "announced and settled");
}

#[tokio::test]
async fn a_topic_that_is_not_as_it_must_be_is_refused() {
    let kafka = need!("kafka", broker::shared());
    let name = unique("writes");
    topic::create(&kafka, &format!("_sfbridge.{name}.writes"), 2, &[]).await;
    let kafka_config = KafkaConfig {
        bootstrap_servers: kafka.clone(),
        properties: BTreeMap::new(),
        create_topics: true,
        partitions: 1,
        replication_factor: -1,
    };
    let topics = Topics::new(&Connection::new(kafka_config, &name)).unwrap();
    let failure = OwnWrites::new(&name, &[], &topics).catch_up().await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Denied);
    assert!(failure.message.contains("has 2 partitions"), "{failure}");
}
