//! Two Salesforce clients that others wrote, writing to the simulator over REST and Bulk API 2.0: what they take for
//! Salesforce's answers is what it answers, and what they wrote comes back as change events under their name.
//!
//! The packages are installed below `target/foreign`, at pinned versions. Where their registries cannot be reached
//! the test is skipped with its reason, and fails if `SFBRIDGE_TESTS_PROMISED` names `foreign`.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sfbridge::simulator::{SentContent, Simulator, SimulatorSettings};
use tokio::process::Command;

use crate::need;
use crate::support::foreign;

const NPM_PACKAGES: [&str; 1] = ["jsforce@3.10.16"];
const PYPI_PACKAGES: [&str; 1] = ["simple-salesforce==1.12.9"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_npm_client_writes_records_in_all_its_ways() {
    let home = foreign::home("npm-writer");
    need!("foreign", foreign::npm(&home, &NPM_PACKAGES).await);
    let org = Simulator::start(SimulatorSettings::default())
        .await
        .expect("the org starts");
    // Node looks for packages beside the script.
    let script = home.join("writer.mjs");
    std::fs::copy(foreign::script("writer.mjs"), &script).expect("the script can be copied");
    let given = json!({"instanceUrl": org.instance_url(), "accessToken": org.issue_token()});
    let seen = foreign::run(Command::new("node").arg(script).arg(given.to_string())).await;

    assert_eq!(seen["created"]["success"], true);
    assert_eq!(
        (&seen["upserts"][0]["created"], &seen["upserts"][1]["created"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(seen["updated"]["success"], true);
    assert_eq!(
        (&seen["read"]["Name"], &seen["read"]["Phone"]),
        (&json!("Acme Two"), &json!("1"))
    );
    assert_eq!(seen["refused"], "REQUIRED_FIELD_MISSING");
    assert_eq!(seen["inserted"][0]["success"], true);
    assert_eq!(
        seen["inserted"][1]["errors"][0]["statusCode"],
        "REQUIRED_FIELD_MISSING"
    );
    assert_eq!(seen["changed"][0]["success"], true);
    assert_eq!(seen["collection"][0]["created"], false);
    assert_eq!(seen["fields"], json!(["GUID__c", "Customer_Id__c"]));
    let results = &seen["results"];
    assert_eq!(results["successfulResults"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        (&results["failedResults"], &results["unprocessedRecords"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(seen["deleted"][0]["success"], true);
    assert_eq!(seen["deleted"][1][0]["success"], true);
    assert_eq!(
        names(&seen["rows"]),
        BTreeMap::from([
            key("J-2", "Bolt"),
            key("J-5", "Account 5"),
            key("J-6", "Account 6"),
            key("J-7", "Account 7"),
            key("J-8", "Account 8"),
            key("J-9", "Account 9"),
        ])
    );
    assert_eq!(
        origins(&org),
        BTreeMap::from([
            ("com/salesforce/api/bulkapi/66.0;client=jsforce".to_owned(), 5),
            ("com/salesforce/api/rest/66.0;client=jsforce".to_owned(), 9),
        ])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_writes_records_in_all_its_ways() {
    let home = foreign::home("python-writer");
    need!("foreign", foreign::pypi(&home, &PYPI_PACKAGES).await);
    let org = Simulator::start(SimulatorSettings::default())
        .await
        .expect("the org starts");
    let given = json!({"instance_url": org.instance_url(), "access_token": org.issue_token()});
    let seen = foreign::run(
        Command::new(home.join("bin/python"))
            .arg(foreign::script("writer.py"))
            .arg(given.to_string()),
    )
    .await;

    assert_eq!(seen["created"]["success"], true);
    assert_eq!(seen["upserts"], json!([200, 201]));
    assert_eq!(seen["updated"], 204);
    assert_eq!(
        (&seen["read"]["Name"], &seen["read"]["Phone"]),
        (&json!("Acme Two"), &json!("1"))
    );
    assert_eq!(seen["refused"][0]["errorCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!(seen["collection"][0]["created"], true);
    assert_eq!(
        seen["collection"][1]["errors"][0]["statusCode"],
        "REQUIRED_FIELD_MISSING"
    );
    assert_eq!(seen["fields"], json!(["GUID__c", "Customer_Id__c"]));
    assert_eq!(
        (
            &seen["job"]["numberRecordsProcessed"],
            &seen["job"]["numberRecordsFailed"]
        ),
        (&json!(5), &json!(0))
    );
    let results = &seen["results"];
    assert_eq!(results["successfulRecords"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        (&results["failedRecords"], &results["unprocessedRecords"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(seen["deleted"], 204);
    assert_eq!(names(&seen["rows"]).len(), 7);
    assert_eq!(
        names(&seen["rows"]).get("P-9").map(String::as_str),
        Some("Account 9")
    );
    assert_eq!(
        origins(&org),
        BTreeMap::from([
            ("com/salesforce/api/bulkapi/66.0;client=simple".to_owned(), 5),
            ("com/salesforce/api/rest/66.0;client=simple".to_owned(), 6),
        ])
    );
}

fn key(key: &str, name: &str) -> (String, String) {
    (key.to_owned(), name.to_owned())
}

/// Names by external id.
fn names(rows: &Json) -> BTreeMap<String, String> {
    let rows = rows.as_array().expect("rows").iter();
    let text = |row: &Json, field: &str| row[field].as_str().expect("text").to_owned();
    rows.map(|row| (text(row, "Customer_Id__c"), text(row, "Name")))
        .collect()
}

/// How many change events name each origin.
fn origins(org: &Simulator) -> BTreeMap<String, usize> {
    let (sent, _) = org
        .sent("/data/AccountChangeEvent", 0)
        .expect("the topic is there");
    let mut origins = BTreeMap::new();
    for event in sent {
        let SentContent::Change(change) = event.content else {
            panic!("{event:?}")
        };
        *origins.entry(change.change_origin).or_default() += 1;
    }
    origins
}
