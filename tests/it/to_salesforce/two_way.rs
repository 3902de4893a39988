//! A pair of routes that mirror Account both ways settles.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sfbridge::simulator::rest::RestFault;
use sfbridge::simulator::writes::WriteRules;
use sfbridge::simulator::{Change, ChangeType, SentContent, Simulator, SimulatorSettings};

use super::{by_key, finished, records};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, Seen, unique};
use crate::support::wait::until;

const CHANGES: &str = "/data/AccountChangeEvent";
/// Of each side.
const EDITS: usize = 1_000;
/// Records that both sides edit.
const RECORDS: usize = 250;
/// Where an instance is killed: that finds a request under way.
const ANSWER_MS: u64 = 40;

/// Salesforce → Kafka and Kafka → Salesforce, of the same records.
fn mirror(out: &str, back: &str) -> String {
    format!(
        "  - name: changes\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest, skip_own_writes: true }}\n    to: {{ kafka: {out}, format: json }}\n\
         \x20 - name: customers\n    from: {{ kafka: {back}, format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n"
    )
}

/// Writes the edits of these numbers: each a version of its own.
async fn produce(kafka: &str, topic: &str, prefix: &str, edits: Range<usize>) {
    let rows: Vec<(String, String)> = edits
        .map(|n| {
            let key = format!("{prefix}{}", n % RECORDS);
            let value = json!({"Customer_Id__c": key, "Name": format!("theirs {n}")});
            (key, value.to_string())
        })
        .collect();
    topic::produce_values(kafka, topic, &rows).await;
}

/// A person's edit: of a record that Kafka edits at the same time, once it is there, and else of a new one. The field
/// is another one or, as long as a version from Kafka comes behind it, the same.
fn edit(n: usize, ids: &BTreeMap<String, String>) -> Change {
    let name = format!("people's {n}");
    let update = |field: &str| {
        let id = ids[&format!("k{}", n % RECORDS)].as_str();
        Change::new("Account", ChangeType::Update)
            .records([id])
            .field(field, name.as_str())
    };
    match n {
        _ if n < RECORDS => Change::new("Account", ChangeType::Create).field("Name", name),
        _ if n.is_multiple_of(2) => update("Phone"),
        _ if n < EDITS - RECORDS => update("Name"),
        _ => Change::new("Account", ChangeType::Create).field("Name", name),
    }
}

/// What a person entered, where a record tells of it.
fn entered(record: &Seen) -> Option<String> {
    let value: Value = serde_json::from_str(&record.value_text()).unwrap();
    let texts = ["Name", "Phone"]
        .into_iter()
        .filter_map(|field| value[field].as_str());
    let mut entered = texts.filter(|text| text.starts_with("people's"));
    entered.next().map(str::to_owned)
}

/// Of the records that both sides edit.
fn ids_by_key(org: &Simulator) -> BTreeMap<String, String> {
    let records = org.records("Account").into_iter();
    let keyed =
        records.filter_map(|(id, fields)| Some((fields.get("Customer_Id__c")?.as_str()?.to_owned(), id)));
    keyed.filter(|(key, _)| key.starts_with('k')).collect()
}

/// Whether each of them holds the last version from Kafka, and what a person entered last.
fn is_up_to_date(org: &Simulator) -> bool {
    let accounts = by_key(org, "Account", "Customer_Id__c");
    (EDITS - RECORDS..EDITS).all(|n| {
        let Some(record) = accounts.get(&format!("k{}", n % RECORDS)) else {
            return false;
        };
        let has = |field: &str, text: String| record.get(field).and_then(Value::as_str) == Some(&text);
        has("Name", format!("theirs {n}")) && (n % 2 == 1 || has("Phone", format!("people's {n}")))
    })
}

/// Unless these are people's edits, each once, and nothing else.
fn assert_each_once(seen: &[Seen]) {
    let own = seen
        .iter()
        .filter(|record| record.value_text().contains("theirs"));
    assert_eq!(own.count(), 0, "nothing that the bridge wrote");
    let ids: BTreeSet<_> = seen.iter().map(|record| record.header("ce_id")).collect();
    assert_eq!(ids.len(), seen.len(), "nothing twice");
    let mut entered: Vec<String> = seen.iter().filter_map(entered).collect();
    entered.sort();
    let mut made: Vec<String> = (0..EDITS).map(|n| format!("people's {n}")).collect();
    made.push("people's last".to_owned());
    made.sort();
    assert_eq!(entered, made, "each edit of a person once");
    assert_eq!(seen.len(), made.len(), "and nothing else");
}

/// Changes that came of requests: people's have another origin.
fn own_changes(org: &Simulator) -> usize {
    let (mut own, mut from) = (0, 0);
    loop {
        let (events, next) = org.sent(CHANGES, from).unwrap();
        if events.is_empty() {
            return own;
        }
        let is_own = |content: &SentContent| match content {
            SentContent::Change(change) => change.change_origin.contains("/api/rest/"),
            _ => false,
        };
        own += events.iter().filter(|event| is_own(&event.content)).count();
        from = next;
    }
}

async fn written(bridge: &Bridge) -> Option<u64> {
    bridge.route("customers").await?["records_written"].as_u64()
}

/// Which of two instances runs the route to Kafka, once one of them does and each writes to Salesforce.
async fn both_take_part(bridges: [&Bridge; 2], kafka: &str, topic: &str) -> usize {
    // Under load until each has its share of the partitions; records of their own.
    let made = AtomicUsize::new(0);
    until(PATIENCE, "both instances write", || async {
        let from = made.fetch_add(40, Ordering::Relaxed);
        produce(kafka, topic, "w", from..from + 40).await;
        let all = [written(bridges[0]).await?, written(bridges[1]).await?];
        all.iter().all(|written| *written > 0).then_some(())
    })
    .await;
    until(PATIENCE, "one runs the route to Kafka", || async {
        let runs = async |bridge: &Bridge| bridge.route("changes").await?["runs_here"].as_bool();
        match (runs(bridges[0]).await?, runs(bridges[1]).await?) {
            (true, false) => Some(0),
            (false, true) => Some(1),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
async fn a_thousand_edits_from_each_side_reach_the_other_once_and_traffic_stops() {
    mirrored(false).await;
}

/// Both instances write, and the one of them that runs the route to Kafka, too, is killed while both sides edit.
#[tokio::test]
async fn the_mirror_settles_with_two_instances_of_which_one_is_killed() {
    mirrored(true).await;
}

async fn mirrored(with_a_kill: bool) {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    // The header that carries the client's name is not documented for Collections.
    org.set_write_rules(WriteRules {
        collections_name_the_client: false,
        ..WriteRules::default()
    });
    let (out, back) = (unique("out"), unique("back"));
    topic::create(&kafka, &back, 4, &[]).await;
    let name = unique("crm");
    let one = Setup::new(&name, &kafka, &org, &mirror(&out, &back));
    let two = Setup {
        instance: format!("{name}-2"),
        ..one.clone()
    };
    let setups = [one, two];
    let mut bridges = [Some(Bridge::start(&setups[0]).await), None];
    until(PATIENCE, "the stream", || async {
        let streams = org.topic_counts(CHANGES).unwrap().streams_open;
        (streams == 1).then_some(())
    })
    .await;
    let mut victim = None;
    if with_a_kill {
        org.rest_fault(RestFault {
            path: Some("composite".to_owned()),
            times: u32::MAX,
            answer_delay_ms: ANSWER_MS,
            ..RestFault::default()
        });
        let second = Bridge::start(&setups[1]).await;
        let first = bridges[0].as_ref().unwrap();
        victim = Some(both_take_part([first, &second], &kafka, &back).await);
        bridges[1] = Some(second);
    }
    // People's edits, while the bridge writes.
    let mut ids = BTreeMap::new();
    for (batch, from) in (0..EDITS).step_by(50).enumerate() {
        if from == RECORDS {
            ids = until(PATIENCE, "the records of both", || async {
                let ids = ids_by_key(&org);
                (ids.len() == RECORDS).then_some(ids)
            })
            .await;
        }
        produce(&kafka, &back, "k", from..from + 50).await;
        for n in from..from + 50 {
            org.change(&edit(n, &ids)).unwrap();
        }
        match (batch, victim) {
            (10, Some(victim)) => {
                let killed = bridges[victim].take().unwrap();
                assert!(written(&killed).await.unwrap() > 0);
                killed.kill();
            }
            (14, Some(victim)) => {
                let other = bridges[1 - victim].as_ref().unwrap();
                until(PATIENCE, "the other one runs the route to Kafka", || async {
                    other.route("changes").await?["runs_here"]
                        .as_bool()?
                        .then_some(())
                })
                .await;
                bridges[victim] = Some(Bridge::spawn(&setups[victim]));
            }
            _ => {}
        }
    }
    finished(&kafka, &name, "customers", &back).await;
    assert!(is_up_to_date(&org));
    // An edit behind all others: once it is through, so is everything before it, and nothing has come of it.
    let stored = || org.topic_counts(CHANGES).unwrap().events_stored;
    let before = stored();
    let last = Change::new("Account", ChangeType::Create).field("Name", "people's last");
    org.change(&last).unwrap();
    let seen = until(PATIENCE, "the last edit", || async {
        let seen = records(&kafka, &out, EDITS).await;
        seen.iter()
            .any(|record| record.value_text().contains("people's last"))
            .then_some(seen)
    })
    .await;
    assert_eq!(stored(), before + 1, "the traffic has stopped");
    assert_each_once(&seen);
    if with_a_kill {
        assert!(own_changes(&org) >= EDITS);
    } else {
        assert_eq!(own_changes(&org), EDITS, "each edit from Kafka once");
        assert_eq!(org.org_counts().records_saved, EDITS as u64, "no doubled write");
        let bridge = bridges[0].as_ref().unwrap();
        assert_eq!(written(bridge).await, Some(EDITS as u64), "and it is counted so");
    }
}
