//! Backlogs through Bulk API 2.0 where something goes wrong.

use serde_json::json;
use sfbridge::simulator::bulk::{BulkFault, BulkRules};
use sfbridge::simulator::rest::RestFault;
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::by_key;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

const RECORDS: usize = 1_000;

fn route(from: &str) -> String {
    format!(
        "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n      via: bulk\n"
    )
}

/// One version of every customer.
async fn produce(kafka: &str, topic: &str, version: &str) {
    let values: Vec<String> = (0..RECORDS)
        .map(|n| json!({"Customer_Id__c": format!("c{n}"), "Name": version}).to_string())
        .collect();
    let rows: Vec<(&str, Option<&str>)> = values.iter().map(|value| ("k", Some(value.as_str()))).collect();
    topic::produce(kafka, topic, &rows).await;
}

async fn all_are(org: &Simulator, version: &str) {
    until(PATIENCE, "every customer in the org", || async {
        let accounts = by_key(org, "Account", "Customer_Id__c");
        (accounts.len() == RECORDS && accounts.values().all(|fields| fields["Name"] == version)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_failed_job_did_not_come_to_goes_record_by_record() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.bulk_fault(BulkFault {
        sobject: None,
        error_message: "TooManyLockFailure : too many lock failures".to_owned(),
        after_rows: 200,
        times: 1,
    });
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    produce(&kafka, &from, "first").await;
    let bridge = Bridge::start(&Setup::new(&unique("crm"), &kafka, &org, &route(&from))).await;
    all_are(&org, "first").await;
    until(PATIENCE, "an answer for each", || async {
        let written = bridge.metric("sfbridge_records_written_total", "outcome=\"written\"");
        (written.await >= RECORDS as f64).then_some(())
    })
    .await;
    assert!(bridge.log().contains("bulk job ended early"));
    assert!(
        org.org_counts().collections_calls > 0,
        "the rest went through Collections"
    );
}

#[tokio::test]
async fn the_job_of_a_killed_owner_is_settled_before_a_later_version_is_written() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.set_bulk_rules(BulkRules {
        queued_ms: 500,
        processing_ms: 8_000,
        seed: 1,
    });
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    produce(&kafka, &from, "first").await;
    let setup = Setup::new(&unique("crm"), &kafka, &org, &route(&from));
    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "a job that runs", || async {
        (!by_key(&org, "Account", "Customer_Id__c").is_empty()).then_some(())
    })
    .await;
    bridge.kill();
    assert!(
        by_key(&org, "Account", "Customer_Id__c").len() < RECORDS,
        "it runs still"
    );
    org.set_bulk_rules(BulkRules {
        queued_ms: 0,
        processing_ms: 100,
        seed: 1,
    });
    produce(&kafka, &from, "second").await;
    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "the settlement", || async {
        bridge
            .log()
            .contains("a bulk job of an earlier run is settled first")
            .then_some(())
    })
    .await;
    until(PATIENCE, "both versions once more", || async {
        let written = bridge.metric("sfbridge_records_written_total", "outcome=\"written\"");
        (written.await >= 2.0 * RECORDS as f64).then_some(())
    })
    .await;
    all_are(&org, "second").await;
}

/// Killed between the note of a job and the word that lets it run: the job would stay open and write nothing.
#[tokio::test]
async fn a_job_that_its_killed_owner_never_let_run_is_aborted_and_its_records_go_again() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.rest_fault(RestFault {
        path: Some("jobs/ingest".to_owned()),
        method: Some("PATCH".to_owned()),
        times: u32::MAX,
        cut: true,
        ..RestFault::default()
    });
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    produce(&kafka, &from, "first").await;
    let setup = Setup::new(&unique("crm"), &kafka, &org, &route(&from));
    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "a job that may not run", || async {
        let shown = bridge.route("customers").await?;
        (shown["state"]["name"] == "waiting").then_some(())
    })
    .await;
    let log = bridge.log();
    let line = log.lines().find(|line| line.contains(r#""message":"bulk job""#));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    let job = line["job"].as_str().unwrap();
    bridge.kill();
    assert_eq!(job_state(&org, job).await, "Open");
    org.clear_faults();
    let bridge = Bridge::start(&setup).await;
    all_are(&org, "first").await;
    assert!(
        bridge
            .log()
            .contains("a bulk job of an earlier run is settled first")
    );
    assert_eq!(job_state(&org, job).await, "Aborted");
}

async fn job_state(org: &Simulator, job: &str) -> String {
    let url = format!("{}/services/data/v66.0/jobs/ingest/{job}", org.instance_url());
    let asked = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = asked
        .get(url)
        .bearer_auth(org.issue_token())
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = asked.json().await.unwrap();
    answer["state"].as_str().unwrap_or_default().to_owned()
}
