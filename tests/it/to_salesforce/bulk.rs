//! Backlogs through Bulk API 2.0: each operation, and where something goes wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sfbridge::simulator::Simulator;
use sfbridge::simulator::bulk::{BulkFault, BulkRules};
use sfbridge::simulator::rest::RestFault;

use super::{an_org, by_key, customers, dead_letters, finished, produce_customers, until_waiting};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, records, unique};
use crate::support::wait::until;

const RECORDS: usize = 1_000;

fn route(from: &str) -> String {
    format!("{}      via: bulk\n", customers(from))
}

/// Whether every customer is of this version.
fn are(accounts: &BTreeMap<String, Map<String, Value>>, version: &str) -> bool {
    let name = |fields: &Map<String, Value>| fields["Name"].as_str().map(str::to_owned);
    accounts
        .values()
        .all(|fields| name(fields).is_some_and(|name| name.starts_with(version)))
}

async fn all_are(org: &Simulator, version: &str) {
    until(PATIENCE, "every customer in the org", || async {
        let accounts = by_key(org, "Account", "Customer_Id__c");
        (accounts.len() == RECORDS && are(&accounts, version)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_failed_job_did_not_come_to_goes_record_by_record_and_what_is_behind_by_jobs_again() {
    // More than a window holds: two jobs' records.
    const BACKLOG: usize = 22_000;
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    org.bulk_fault(BulkFault {
        sobject: None,
        error_message: "TooManyLockFailure : too many lock failures".to_owned(),
        after_rows: 200,
        times: 1,
    });
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    produce_customers(&kafka, &from, 0..BACKLOG, "first").await;
    let bridge = Bridge::start(&Setup::new(&unique("crm"), &kafka, &org, &route(&from))).await;
    until(PATIENCE, "an answer for each", || async {
        let written = bridge.metric("sfbridge_records_written_total", "outcome=\"written\"");
        (written.await >= BACKLOG as f64).then_some(())
    })
    .await;
    assert_eq!(by_key(&org, "Account", "Customer_Id__c").len(), BACKLOG);
    assert!(bridge.log().contains("bulk job ended early"));
    let counts = org.org_counts();
    assert!(counts.collections_calls > 0, "the rest went through Collections");
    assert!(counts.bulk_jobs >= 2, "and the last ones by a job again");
}

#[tokio::test]
async fn updates_and_deletions_go_as_jobs_by_the_ids_that_are_looked_up() {
    const DELETED: usize = 600;
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    for n in 0..RECORDS {
        let fields = json!({"Customer_Id__c": format!("c{n}"), "Name": "first"});
        let fields = fields.as_object().cloned().unwrap();
        org.set_record("Account", &format!("001SB{n:010}"), fields)
            .unwrap();
    }
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    // The last one names no record.
    produce_customers(&kafka, &from, 0..RECORDS + 1, "second").await;
    let gone: Vec<String> = (0..DELETED).map(|n| format!("c{n}")).collect();
    let mut tombstones: Vec<(&str, Option<&str>)> = gone.iter().map(|key| (key.as_str(), None)).collect();
    tombstones.push(("nobody", None));
    topic::produce(&kafka, &from, &tombstones).await;
    let name = unique("crm");
    let route = route(&from).replace("operation: upsert", "operation: update");
    let _bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &route)).await;
    finished(&kafka, &name, "customers", &from).await;
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), RECORDS - DELETED);
    assert!(are(&accounts, "second"));
    assert!(!accounts.contains_key("c599") && accounts.contains_key("c600"));
    let dead = records(&kafka, &dead_letters(&name), 1).await;
    assert_eq!(
        dead[0].header("sfbridge_source").unwrap(),
        format!("{from}[0]@{RECORDS}")
    );
    let counts = org.org_counts();
    assert_eq!((counts.bulk_jobs, counts.collections_calls), (2, 0));
}

/// With another `via` than the job's owner had.
#[tokio::test]
async fn the_job_of_a_killed_owner_is_settled_before_a_later_version_is_written() {
    let kafka = need!("kafka", broker::shared());
    let org = an_org().await;
    org.set_bulk_rules(BulkRules {
        queued_ms: 500,
        processing_ms: 25_000,
        seed: 1,
    });
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    produce_customers(&kafka, &from, 0..RECORDS, "first").await;
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
    produce_customers(&kafka, &from, 0..RECORDS, "second").await;
    let setup = Setup {
        routes: setup.routes.replace("via: bulk", "via: collections"),
        ..setup
    };
    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "the settlement", || async {
        bridge
            .log()
            .contains("a bulk job of an earlier run is settled first")
            .then_some(())
    })
    .await;
    let state = until_waiting(&bridge, "customers", "InProgress").await;
    assert!(
        state["remedy"].as_str().unwrap().contains("Bulk Data Load Jobs"),
        "{state}"
    );
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
    let org = an_org().await;
    org.rest_fault(RestFault {
        path: Some("jobs/ingest".to_owned()),
        method: Some("PATCH".to_owned()),
        times: u32::MAX,
        cut: true,
        ..RestFault::default()
    });
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    produce_customers(&kafka, &from, 0..RECORDS, "first").await;
    let setup = Setup::new(&unique("crm"), &kafka, &org, &route(&from));
    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "a job that may not run", || async {
        let shown = bridge.route("customers").await?;
        (shown["state"]["name"] == "waiting").then_some(())
    })
    .await;
    let log = bridge.log();
    let line = log.lines().find(|line| line.contains(r#""message":"bulk job""#));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
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
    let answer: Value = asked.json().await.unwrap();
    answer["state"].as_str().unwrap_or_default().to_owned()
}
