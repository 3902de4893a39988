//! The loop guard against writes over REST: what the simulated org makes of them, and how it tells of them.

use serde_json::{Map, Value, json};
use sfbridge::config::Operation;
use sfbridge::routes::loop_guard::{Intent, OwnWrites, Settled};
use sfbridge::simulator::writes::{Trigger, WriteRules};
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::loop_guard::{arrived, config, start, writer};
use crate::need;
use crate::support::broker;
use crate::support::topic::unique;

const ROUNDS: usize = 12;
const RECORDS: usize = 10;

/// Who writes, and under which name.
struct Rest<'o> {
    org: &'o Simulator,
    token: String,
    http: reqwest::Client,
}

impl Rest<'_> {
    async fn upsert(&self, client: &str, records: Vec<Map<String, Value>>) -> Vec<Settled> {
        let url = format!(
            "{}/services/data/v66.0/composite/sobjects/Account/Customer_Id__c",
            self.org.login_url()
        );
        let records: Vec<Value> = records
            .into_iter()
            .map(|mut record| {
                record.insert("attributes".to_owned(), json!({"type": "Account"}));
                Value::Object(record)
            })
            .collect();
        let answer = self
            .http
            .patch(url)
            .bearer_auth(&self.token)
            .header("Sforce-Call-Options", format!("client={client}"))
            .json(&json!({"allOrNone": false, "records": records}))
            .send()
            .await
            .unwrap();
        let results: Vec<Value> = answer.json().await.unwrap();
        let settled = |result: &Value| {
            assert_eq!(result["success"], true, "{result}");
            Settled::Written {
                record_id: result["id"].as_str().map(str::to_owned),
                created: result["created"].as_bool(),
            }
        };
        results.iter().map(settled).collect()
    }
}

fn record(key: &str, fields: Value) -> Map<String, Value> {
    let mut record = fields.as_object().unwrap().clone();
    record.insert("Customer_Id__c".to_owned(), json!(key));
    record
}

fn intents(records: &[Map<String, Value>]) -> Vec<Intent> {
    records
        .iter()
        .map(|record| {
            Intent::new("customers", "Account", Operation::Upsert, record)
                .of_external_id("Customer_Id__c", &record["Customer_Id__c"])
        })
        .collect()
}

/// A request of the bridge; the answer is settled before or after its events are there.
async fn write(own: &OwnWrites, rest: &Rest<'_>, late: bool, records: Vec<Map<String, Value>>) {
    let announced = own.announce(&intents(&records)).await.unwrap();
    let answers = rest.upsert(own.client(), records).await;
    if late {
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    own.settle(announced, &answers).await;
}

async fn mirrored(rules: WriteRules) {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.set_write_rules(rules);
    let to = unique("accounts");
    let config = config(&unique("rest"), &kafka, &org, &to);
    let own = writer(&config);
    let reading = start(config).await;
    let rest = Rest {
        org: &org,
        token: org.issue_token(),
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let key = |record: usize| format!("C-{record}");
    let mut written = 0;
    for round in 0..ROUNDS {
        let records: Vec<_> = (0..RECORDS)
            .map(|n| match round % 3 {
                // A new value each, one value for all, and nothing new at all.
                0 => record(
                    &key(n),
                    json!({"Name": format!(" own {round} {n} "), "Phone": "", "AnnualRevenue": 12.50}),
                ),
                1 => record(&key(n), json!({"Phone": format!("{round}")})),
                _ => record(&key(n), json!({"Phone": format!("{}", round - 1)})),
            })
            .collect();
        written += records.len() as u64;
        write(&own, &rest, round % 2 == 0, records).await;
        // Somebody who is logged in as the bridge's user.
        let by_hand = vec![record(
            &key(round % RECORDS),
            json!({"Name": format!("by hand {round}")}),
        )];
        rest.upsert("somebody", by_hand).await;
    }
    own.flush().await;
    let names: Vec<String> = arrived(&kafka, &to, ROUNDS)
        .await
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    let by_hand: Vec<String> = (0..ROUNDS).map(|round| format!("by hand {round}")).collect();
    assert_eq!(names, by_hand);
    assert!(reading.filtered_so_far() <= written);

    // What a trigger changes on top flows, in the event of the write or in one of its own.
    for (more, own_event) in [(1, false), (2, true)] {
        org.add_trigger(Trigger {
            sobject: "Account".to_owned(),
            field: "Rating".to_owned(),
            value: json!(if own_event { "Warm" } else { "Hot" }),
            own_event,
        })
        .unwrap();
        write(
            &own,
            &rest,
            false,
            vec![record(&key(0), json!({"Name": format!("on top {more}")}))],
        )
        .await;
        org.remove_triggers();
        let seen = arrived(&kafka, &to, ROUNDS + more).await;
        let name = if own_event { "" } else { "on top 1" };
        assert_eq!((seen.len(), &*seen[ROUNDS + more - 1].1), (ROUNDS + more, name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_without_the_clients_name_come_back_and_are_left_out() {
    mirrored(WriteRules {
        collections_name_the_client: false,
        ..WriteRules::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_with_the_clients_name_come_back_and_are_left_out() {
    mirrored(WriteRules {
        event_delay_ms: 20,
        ..WriteRules::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_writes_come_back_and_are_left_out() {
    mirrored(WriteRules {
        collections_name_the_client: false,
        merge_changes: true,
        ..WriteRules::default()
    })
    .await;
}
