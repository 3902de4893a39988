//! Describe and query, as a client without our code sees them.

use reqwest::StatusCode;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::simulator::rest::{RestFault, RestRefusal};

const ID: &str = "001SB0000000001YAA";

struct Rest<'o> {
    org: &'o Simulator,
    token: String,
    http: reqwest::Client,
}

impl<'o> Rest<'o> {
    fn new(org: &'o Simulator) -> Self {
        Self {
            org,
            token: org.issue_token(),
            http: reqwest::Client::new(),
        }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.org.login_url());
        self.http
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await
            .expect("an answer")
    }

    async fn query(&self, soql: &str) -> (StatusCode, Json) {
        let url = format!("{}/services/data/v66.0/query", self.org.login_url());
        let request = self.http.get(url).query(&[("q", soql)]).bearer_auth(&self.token);
        let response = request.send().await.expect("an answer");
        (response.status(), response.json().await.expect("JSON"))
    }

    async fn refused(&self, soql: &str) -> (u16, String) {
        let (status, body) = self.query(soql).await;
        let code = body[0]["errorCode"].as_str().expect("a code").to_owned();
        (status.as_u16(), code)
    }
}

fn create(id: &str, name: &str) -> Change {
    Change::new("Account", ChangeType::Create)
        .records([id])
        .field("Name", name)
}

#[tokio::test]
async fn a_query_reads_what_changes_left_and_what_was_written_without_one() {
    let org = start(SimulatorSettings::default()).await;
    let rest = Rest::new(&org);
    let mut created = create(ID, "Acme").field("BillingAddress", json!({"City": "Bath"}));
    created.commit_timestamp = Some(1_700_000_000_123);
    org.change(&created).expect("it fits");
    let soql = format!(
        "SELECT Id, Name, BillingCity, SystemModstamp FROM Account WHERE Id = '{}'",
        &ID[..15]
    );
    let (status, body) = rest.query(&soql).await;
    assert_eq!(
        (status.as_u16(), &body["totalSize"], &body["done"]),
        (200, &json!(1), &json!(true))
    );
    assert_eq!(
        body["records"][0],
        json!({
            "attributes": {"type": "Account", "url": format!("/services/data/v66.0/sobjects/Account/{ID}")},
            "Id": ID, "Name": "Acme", "BillingCity": "Bath", "SystemModstamp": "2023-11-14T22:13:20.123+0000",
        })
    );
    let stored = org.topic_counts(ACCOUNTS).expect("known").events_stored;
    let fields = json!({"Name": "Acme Two", "BillingAddress": null});
    let fields = fields.as_object().cloned().expect("an object");
    org.set_record("Account", ID, fields).expect("it fits");
    let row = rest.query(&soql).await.1["records"][0].clone();
    assert_eq!(
        (&row["Name"], &row["BillingCity"]),
        (&json!("Acme Two"), &Json::Null)
    );
    org.delete_record("Account", ID).expect("it is there");
    assert_eq!(rest.query(&soql).await.1["totalSize"], 0);
    assert_eq!(
        org.topic_counts(ACCOUNTS).expect("known").events_stored,
        stored,
        "no event tells of it"
    );
}

#[tokio::test]
async fn a_write_that_no_event_could_hold_is_refused() {
    let org = start(SimulatorSettings::default()).await;
    let fields = |json: Json| json.as_object().cloned().unwrap_or_default();
    let refused = |object, id, values| org.set_record(object, id, fields(values)).is_err();
    assert!(refused("Account", ID, json!({"Colour__c": "red"})));
    assert!(refused("Account", ID, json!({"NumberOfEmployees": "many"})));
    assert!(refused("Account", "it", json!({})));
    assert!(org.set_record("Lead", ID, Map::new()).is_err());
}

#[tokio::test]
async fn describe_shows_compounds_spread_out_and_follows_the_schema() {
    let org = start(SimulatorSettings::default()).await;
    let rest = Rest::new(&org);
    org.add_field(ACCOUNTS, "Colour__c", "string").expect("added");
    let path = "/services/data/v66.0/sobjects/account/describe";
    let body: Json = rest.get(path).await.json().await.expect("JSON");
    assert_eq!(body["name"], "Account");
    let fields = body["fields"].as_array().expect("fields");
    let type_of = |name: &str| {
        let mut named = fields.iter().filter(|field| field["name"] == name);
        let found = named.next().map_or(Json::Null, |field| field["type"].clone());
        assert!(named.next().is_none(), "{name} is there once");
        found
    };
    for (name, rest_type) in [
        ("Id", "id"),
        ("SystemModstamp", "datetime"),
        ("IsDeleted", "boolean"),
        ("IsPersonAccount", "boolean"),
        ("BillingAddress", "address"),
        ("BillingStreet", "textarea"),
        ("BillingLatitude", "double"),
        ("Some_Geolocation__Latitude__s", "double"),
        ("SLAExpirationDate__c", "date"),
        ("OwnerId", "reference"),
        ("Colour__c", "string"),
    ] {
        assert_eq!(type_of(name), rest_type, "{name}");
    }
    assert!(type_of("ChangeEventHeader").is_null());
    org.set_permitted(ACCOUNTS, false).expect("known");
    assert_eq!(rest.get(path).await.status(), 404);
    assert_eq!(
        rest.refused("SELECT Id FROM Account").await,
        (400, "INVALID_TYPE".into())
    );
}

#[tokio::test]
async fn pages_follow_each_other_until_done() {
    let org = start(SimulatorSettings {
        query_page_rows: 2,
        ..SimulatorSettings::default()
    })
    .await;
    let rest = Rest::new(&org);
    for number in 0..5 {
        let id = ids::record_id("001", number);
        org.change(&create(&id, &format!("Account {number}")))
            .expect("it fits");
    }
    let mut page = rest.query("SELECT Name FROM Account").await.1;
    let mut names = Vec::new();
    loop {
        assert_eq!(page["totalSize"], 5);
        names.extend(
            page["records"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|row| row["Name"].clone()),
        );
        match page["nextRecordsUrl"].as_str() {
            Some(next) => page = rest.get(next).await.json().await.expect("JSON"),
            None => break,
        }
    }
    assert_eq!(page["done"], true);
    assert_eq!(names.len(), 5);
    assert_eq!(org.org_counts().query_calls, 3);
    let limited = rest.query("SELECT Id FROM Account LIMIT 1").await.1;
    assert_eq!(
        (&limited["totalSize"], &limited["done"]),
        (&json!(1), &json!(true))
    );
    let lost = rest.get("/services/data/v66.0/query/01gnone-2").await;
    assert_eq!(lost.status(), 400);
}

#[tokio::test]
async fn what_salesforce_refuses_is_refused_with_its_codes() {
    let org = start(SimulatorSettings::default()).await;
    let mut rest = Rest::new(&org);
    for (soql, code) in [
        ("SELECT Id FROM Lead", "INVALID_TYPE"),
        ("SELECT Id, Colour__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name LIKE 'x'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Colour__c = 'x'", "INVALID_FIELD"),
        (
            "SELECT Id FROM Account WHERE Id = 'x'",
            "INVALID_QUERY_FILTER_OPERATOR",
        ),
    ] {
        assert_eq!(rest.refused(soql).await, (400, code.into()), "{soql}");
    }
    let response = rest.get("/services/data/v66.0/sobjects/Lead/describe").await;
    assert_eq!(response.status(), 404);
    let long = format!("/services/data/v66.0/query?q={}", "x".repeat(17_000));
    assert_eq!(rest.get(&long).await.status(), 414);
    rest.token = "wrong".into();
    assert_eq!(
        rest.refused("SELECT Id FROM Account").await,
        (401, "INVALID_SESSION_ID".into())
    );
}

#[tokio::test]
async fn requests_go_wrong_as_told_and_are_counted() {
    let org = start(SimulatorSettings::default()).await;
    let rest = Rest::new(&org);
    org.rest_fault(RestFault {
        path: Some("query".into()),
        times: 2,
        refusal: Some(RestRefusal {
            retry_after_seconds: Some(5),
            ..RestRefusal::new(503, "SERVER_UNAVAILABLE", "busy")
        }),
        ..RestFault::default()
    });
    let describe = "/services/data/v66.0/sobjects/Account/describe";
    let response = rest.get(describe).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sforce-limit-info"], "api-usage=1/1000000");
    let query = "/services/data/v66.0/query?q=SELECT+Id+FROM+Account";
    for expected in [503, 503, 200] {
        let response = rest.get(query).await;
        assert_eq!(response.status(), expected);
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
    }
    let counts = org.org_counts();
    assert_eq!(
        (counts.rest_requests, counts.describe_calls, counts.query_calls),
        (4, 1, 1)
    );
}

#[tokio::test]
async fn test_events_are_of_no_record() {
    let org = start(SimulatorSettings::default()).await;
    let events = TestEvents {
        count: 100,
        keys: 10,
        ..TestEvents::default()
    };
    org.emit_test_events(&events).expect("emitted");
    let rest = Rest::new(&org);
    assert_eq!(rest.query("SELECT Id FROM Account").await.1["totalSize"], 0);
}
