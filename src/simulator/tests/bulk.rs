//! Bulk API 2.0, ingest, as a client without our code sees it.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::*;
use crate::simulator::bulk::{BulkFault, BulkRules};
use crate::simulator::writes::RecordFault;

const JOBS: &str = "jobs/ingest";

struct Bulk<'o> {
    org: &'o Simulator,
    token: String,
    http: reqwest::Client,
}

impl<'o> Bulk<'o> {
    fn new(org: &'o Simulator) -> Self {
        Self {
            org,
            token: org.issue_token(),
            http: reqwest::Client::new(),
        }
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: String) -> (u16, String) {
        let url = format!("{}/services/data/v66.0/{path}", self.org.login_url());
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = request
            .header("Sforce-Call-Options", "client=sfbridge-a")
            .header("Content-Type", content_type)
            .body(body);
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }

    async fn json(&self, method: Method, path: &str, body: Json) -> (u16, Json) {
        let (status, text) = self
            .send(method, path, "application/json", body.to_string())
            .await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn create(&self, order: Json) -> String {
        let (status, job) = self.json(Method::POST, JOBS, order).await;
        assert_eq!((status, &job["state"]), (200, &json!("Open")), "{job}");
        job["id"].as_str().expect("an id").to_owned()
    }

    async fn upload(&self, id: &str, content: &str) -> u16 {
        let path = format!("{JOBS}/{id}/batches");
        self.send(Method::PUT, &path, "text/csv", content.to_owned())
            .await
            .0
    }

    async fn set_state(&self, id: &str, state: &str) -> (u16, Json) {
        self.json(Method::PATCH, &format!("{JOBS}/{id}"), json!({"state": state}))
            .await
    }

    async fn read(&self, id: &str) -> Json {
        self.json(Method::GET, &format!("{JOBS}/{id}"), json!({})).await.1
    }

    async fn until(&self, id: &str, state: &str) -> Json {
        loop {
            let job = self.read(id).await;
            if job["state"] == state {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The lines of a result, without its head.
    async fn results(&self, id: &str, which: &str) -> Vec<String> {
        let path = format!("{JOBS}/{id}/{which}");
        let (status, text) = self
            .send(Method::GET, &path, "application/json", String::new())
            .await;
        assert_eq!(status, 200);
        text.lines().skip(1).map(str::to_owned).collect()
    }
}

fn upsert() -> Json {
    json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Customer_Id__c",
        "contentType": "CSV", "lineEnding": "LF"})
}

#[tokio::test]
async fn a_job_writes_its_rows_and_says_what_became_of_each() {
    let org = start(SimulatorSettings::default()).await;
    let bulk = Bulk::new(&org);
    let id = bulk.create(upsert()).await;
    let content = "Customer_Id__c,Name,Phone,AnnualRevenue,ParentId\n\
        A-1,Acme,1,1.5,\nA-2,,2,,\nA-3,Bolt,,many,\nA-4,Core,,,\n";
    assert_eq!(bulk.upload(&id, content).await, 201);
    assert_eq!(bulk.upload(&id, content).await, 400, "one upload a job");
    org.record_fault(RecordFault::new("Account", "UNABLE_TO_LOCK_ROW").key("A-4"));
    let (status, job) = bulk.set_state(&id, "UploadComplete").await;
    assert_eq!((status, &job["state"]), (200, &json!("UploadComplete")));
    let job = bulk.until(&id, "JobComplete").await;
    assert_eq!(
        (
            &job["numberRecordsProcessed"],
            &job["numberRecordsFailed"],
            &job["apiVersion"]
        ),
        (&json!(4), &json!(3), &json!(66.0))
    );
    let stored = org.records("Account");
    assert_eq!((stored.len(), &stored[0].1["AnnualRevenue"]), (1, &json!(1.5)));
    assert_eq!(
        bulk.results(&id, "successfulResults/").await,
        [format!(
            "\"{}\",\"true\",\"A-1\",\"Acme\",\"1\",\"1.5\",\"\"",
            stored[0].0
        )]
    );
    let failed = bulk.results(&id, "failedResults").await;
    let error_of = |key: &str| {
        failed
            .iter()
            .find(|line| line.contains(key))
            .expect("it failed")
            .clone()
    };
    assert!(error_of("A-2").contains("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"));
    assert!(error_of("A-3").contains("INVALID_TYPE_ON_FIELD_IN_RECORD:"));
    assert!(
        error_of("A-4")
            .contains("\"UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--\"")
    );
    assert!(bulk.results(&id, "unprocessedrecords").await.is_empty());

    let (sent, _) = org.sent(ACCOUNTS, 0).expect("known");
    let SentContent::Change(change) = &sent[0].content else {
        panic!("{sent:?}")
    };
    assert_eq!(
        change.change_origin,
        "com/salesforce/api/bulkapi/66.0;client=sfbridge-a"
    );

    // Empty leaves alone, #N/A clears.
    let id = bulk.create(upsert()).await;
    bulk.upload(
        &id,
        "Customer_Id__c,Name,Phone,Parent.Customer_Id__c\nA-1,,#N/A,A-1\n",
    )
    .await;
    bulk.set_state(&id, "UploadComplete").await;
    bulk.until(&id, "JobComplete").await;
    let (own, fields) = &org.records("Account")[0];
    assert_eq!(
        (&fields["Name"], &fields["ParentId"]),
        (&json!("Acme"), &json!(own))
    );
    assert!(!fields.contains_key("Phone"));
    assert_eq!(org.org_counts().bulk_jobs, 2);
}

#[tokio::test]
async fn a_job_that_ends_early_leaves_rows_unprocessed() {
    let org = start(SimulatorSettings::default()).await;
    let bulk = Bulk::new(&org);
    let rows: String = (0..500)
        .map(|number| format!("A-{number},Account {number}\n"))
        .collect();
    let content = format!("Customer_Id__c,Name\n{rows}");
    org.bulk_fault(BulkFault {
        sobject: None,
        error_message: "TooManyLockFailure : Too many lock failure".into(),
        after_rows: 300,
        times: 1,
    });
    let id = bulk.create(upsert()).await;
    bulk.upload(&id, &content).await;
    bulk.set_state(&id, "UploadComplete").await;
    let job = bulk.until(&id, "Failed").await;
    assert_eq!(job["errorMessage"], "TooManyLockFailure : Too many lock failure");
    let (done, left) = (
        bulk.results(&id, "successfulResults").await,
        bulk.results(&id, "unprocessedrecords").await,
    );
    assert_eq!(
        (done.len(), left.len(), org.records("Account").len()),
        (400, 100, 400)
    );
    assert!(
        !left[0].contains("A-400"),
        "results are in an order of their own: {}",
        left[0]
    );

    org.set_bulk_rules(BulkRules {
        queued_ms: 60_000,
        ..BulkRules::default()
    });
    let id = bulk.create(upsert()).await;
    bulk.upload(&id, &content).await;
    bulk.set_state(&id, "UploadComplete").await;
    assert_eq!(bulk.set_state(&id, "Aborted").await.1["state"], "Aborted");
    assert_eq!(bulk.results(&id, "unprocessedrecords").await.len(), 500);
    let (status, refusal) = bulk.set_state(&id, "Aborted").await;
    assert_eq!(
        (status, &refusal[0]["errorCode"]),
        (400, &json!("INVALIDJOBSTATE"))
    );
    let path = format!("{JOBS}/{id}");
    assert_eq!(bulk.json(Method::DELETE, &path, json!({})).await.0, 204);
    assert_eq!(bulk.json(Method::GET, &path, json!({})).await.0, 404);
}

#[tokio::test]
async fn jobs_that_cannot_work_are_refused_or_fail() {
    let org = start(SimulatorSettings::default()).await;
    let bulk = Bulk::new(&org);
    for (change, code) in [
        (json!({"object": "Lead"}), "INVALIDENTITY"),
        (json!({"externalIdFieldName": "Phone"}), "INVALIDJOB"),
        (json!({"externalIdFieldName": null}), "INVALIDJOB"),
        (json!({"operation": "hardDelete"}), "FEATURENOTENABLED"),
        (json!({"contentType": "XML"}), "INVALIDJOB"),
    ] {
        let mut order = upsert();
        for (name, value) in change.as_object().expect("an object") {
            order[name] = value.clone();
        }
        let (status, refusal) = bulk.json(Method::POST, JOBS, order).await;
        assert_eq!((status, &refusal[0]["errorCode"]), (400, &json!(code)));
    }
    let fails_with = async |content: &str| {
        let id = bulk.create(upsert()).await;
        bulk.upload(&id, content).await;
        bulk.set_state(&id, "UploadComplete").await;
        let job = bulk.until(&id, "Failed").await;
        job["errorMessage"].as_str().expect("a message").to_owned()
    };
    assert_eq!(
        fails_with("Customer_Id__c,Colour__c\nA-1,red\n").await,
        "InvalidBatch : Field name not found : Colour__c"
    );
    assert!(
        fails_with("Customer_Id__c,Name\nA-1\n")
            .await
            .starts_with("InvalidBatch")
    );
    org.set_daily_batches(1, 1);
    assert!(
        fails_with("Customer_Id__c,Name\nA-1,x\n")
            .await
            .starts_with("ExceededQuota")
    );
    let open = bulk.create(upsert()).await;
    let (status, _) = bulk
        .json(Method::DELETE, &format!("{JOBS}/{open}"), json!({}))
        .await;
    assert_eq!(status, 400, "an open job is not deleted");
}
