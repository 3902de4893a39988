//! The REST client against the simulated org.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sfbridge::avro::Schema;
use sfbridge::error::{ErrorKind, Failure, chain};
use sfbridge::salesforce::rest::RestClient;
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings, test_record_id};

use crate::support::org::clients;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const ID: &str = "001SB0000000001YAA";

async fn an_org(settings: SimulatorSettings) -> (Simulator, RestClient) {
    let org = Simulator::start(settings).await.unwrap();
    let client = client_of(&org);
    (org, client)
}

fn client_of(org: &Simulator) -> RestClient {
    clients(org).rest
}

fn account() -> Schema {
    Schema::parse(include_str!("../fixtures/salesforce/AccountChangeEvent.avsc")).unwrap()
}

fn created(id: &str, name: impl Into<Value>) -> Change {
    Change::new("Account", ChangeType::Create)
        .records([id])
        .field("Name", name)
}

fn ids<const N: usize>(ids: [&str; N]) -> Vec<String> {
    ids.map(str::to_owned).to_vec()
}

fn object(json: Value) -> Map<String, Value> {
    json.as_object().cloned().unwrap()
}

fn fault(status: u16, code: &str) -> RestFault {
    RestFault {
        path: Some("query".into()),
        refusal: Some(RestRefusal::new(status, code, "of 'Secret Value'")),
        ..RestFault::default()
    }
}

async fn failure(org: &Simulator, client: &RestClient, fault: RestFault) -> Failure {
    org.rest_fault(fault);
    let read = client.records_by_id("Account", &ids([ID]), &["Name"]).await;
    let failure = read.unwrap_err();
    assert!(!format!("{failure:?} {}", chain(&failure)).contains("Secret"));
    failure
}

#[tokio::test]
async fn a_gap_is_read_again_as_the_record_is_now() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    let address = json!({"Street": "1 High Street", "City": "Bath", "Latitude": 51.5});
    let mut change = created(ID, "Acme").field("BillingAddress", address.clone());
    change = change
        .field("Some_Time__c", 36_672_013)
        .field("CreatedDate", 1_700_000_000_123_i64);
    org.change(&change).unwrap();
    org.set_record(
        "Account",
        ID,
        object(json!({"Name": "Acme Two", "SLAExpirationDate__c": 1_700_006_400_000_i64})),
    )
    .unwrap();
    org.change(&Change::new("Account", ChangeType::GapUpdate).records([ID]))
        .unwrap();
    let schema = account();
    let read = client.current("Account", &ids([ID]), &schema).await.unwrap();
    let record = read[0].as_ref().unwrap();
    assert_eq!(record.id, ID);
    assert!(record.system_modstamp_ms > 1_700_000_000_123);
    let body = record.body.json();
    assert_eq!(body["Name"], "Acme Two");
    assert_eq!(body["BillingAddress"]["City"], "Bath");
    assert_eq!(body["BillingAddress"]["Latitude"], 51.5);
    assert_eq!(body["SLAExpirationDate__c"], 1_700_006_400_000_i64);
    assert_eq!(body["Some_Time__c"], 36_672_013);
    assert_eq!(body["CreatedDate"], 1_700_000_000_123_i64);
    assert!(body["Phone"].is_null());
    assert_eq!(
        body.len(),
        schema.record().unwrap().fields.len() - 1,
        "every field but the header"
    );
}

#[tokio::test]
async fn a_person_accounts_name_comes_in_its_parts() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    let name = json!({"Salutation": null, "FirstName": "Ada", "LastName": "Byron"});
    org.change(&created(ID, name.clone())).unwrap();
    let business = test_record_id(7, 10);
    org.change(&created(&business, "Acme")).unwrap();
    let read = client
        .current("Account", &[ID.to_owned(), business], &account())
        .await
        .unwrap();
    let names: Vec<_> = read
        .iter()
        .map(|record| record.as_ref().unwrap().body.json()["Name"].clone())
        .collect();
    assert_eq!(names, [name, json!("Acme")]);
}

#[tokio::test]
async fn a_record_that_is_gone_is_none_in_its_place() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    org.change(&created(ID, "Acme")).unwrap();
    org.delete_record("Account", ID).unwrap();
    let other = test_record_id(7, 10);
    org.change(&created(&other, "Other")).unwrap();
    let asked = [
        ID.to_owned(),
        other.clone(),
        ID[..15].to_owned(),
        other[..15].to_owned(),
    ];
    let read = client.records_by_id("Account", &asked, &["Name"]).await.unwrap();
    let found: Vec<_> = read
        .iter()
        .map(|row| row.as_ref().map(|row| row.id.as_str()))
        .collect();
    assert_eq!(found, [None, Some(other.as_str()), None, Some(other.as_str())]);
    assert_eq!(read[1].as_ref().unwrap().fields["Name"], "Other");
}

#[tokio::test]
async fn three_thousand_records_come_in_chunks_and_pages() {
    let (org, client) = an_org(SimulatorSettings {
        query_page_rows: 50,
        ..SimulatorSettings::default()
    })
    .await;
    let asked: Vec<String> = (0..3_000).map(|number| test_record_id(number, 3_000)).collect();
    for (number, id) in asked.iter().enumerate() {
        org.change(&created(id, format!("Account {number}"))).unwrap();
    }
    let read = client.current("Account", &asked, &account()).await.unwrap();
    for (number, (id, record)) in asked.iter().zip(&read).enumerate() {
        let record = record.as_ref().unwrap();
        assert_eq!(&record.id, id);
        assert_eq!(record.body.json()["Name"], format!("Account {number}"));
    }
    let counts = org.org_counts();
    assert!(counts.query_calls >= 3_000 / 50, "{counts:?}");
    assert_eq!((counts.describe_calls, counts.token_requests), (1, 1));
}

#[tokio::test]
async fn an_object_of_very_many_fields_is_read_in_several_queries() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    let names: Vec<String> = (0..300)
        .map(|n| format!("A_Long_Name_Of_A_Custom_Field_{n:03}__c"))
        .collect();
    let mut schema: Value =
        serde_json::from_str(include_str!("../fixtures/salesforce/AccountChangeEvent.avsc")).unwrap();
    for name in &names {
        let field = json!({"name": name, "type": ["null", "string"], "doc": "Data:Text", "default": null});
        schema["fields"].as_array_mut().unwrap().push(field);
    }
    org.define_topic(ACCOUNTS, &schema.to_string()).unwrap();
    let change = created(ID, "Acme")
        .field(&names[0], "first")
        .field(&names[299], "last");
    org.change(&change).unwrap();
    let schema = Schema::from_json(&schema).unwrap();
    let read = client.current("Account", &ids([ID]), &schema).await.unwrap();
    let body = read[0].as_ref().unwrap().body.json();
    assert_eq!(
        (&body[&names[0]], &body[&names[299]]),
        (&json!("first"), &json!("last"))
    );
    assert!(org.org_counts().query_calls > 1);
}

#[tokio::test]
async fn an_expired_session_is_renewed_once_for_all_readers() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    org.change(&created(ID, "Acme")).unwrap();
    let asked = ids([ID]);
    let read = || client.records_by_id("Account", &asked, &["Name"]);
    read().await.unwrap();
    org.expire_tokens();
    for row in futures_util::future::join_all((0..10).map(|_| read())).await {
        assert!(row.unwrap()[0].is_some());
    }
    assert_eq!(org.org_counts().token_requests, 2);
}

#[tokio::test]
async fn a_session_refused_twice_is_told_and_not_tried_for_ever() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    let refused = RestFault {
        times: 2,
        ..fault(401, "INVALID_SESSION_ID")
    };
    let failure = failure(&org, &client, refused).await;
    assert_eq!(failure.kind, ErrorKind::Unauthenticated);
    let counts = org.org_counts();
    assert_eq!((counts.rest_requests, counts.token_requests), (2, 2));
}

#[tokio::test]
async fn limits_and_outages_are_told_from_refusals() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    let used_up = failure(&org, &client, fault(403, "REQUEST_LIMIT_EXCEEDED")).await;
    assert_eq!(used_up.kind, ErrorKind::Throttled);
    let mut busy = fault(503, "SERVER_UNAVAILABLE");
    busy.refusal.as_mut().unwrap().retry_after_seconds = Some(5);
    let busy = failure(&org, &client, busy).await;
    assert_eq!(
        (busy.kind, busy.retry_after),
        (ErrorKind::Transient, Some(Duration::from_secs(5)))
    );
    let malformed = failure(&org, &client, fault(400, "MALFORMED_QUERY")).await;
    assert_eq!(malformed.kind, ErrorKind::Unknown);
    assert_eq!(org.faults_waiting(), 0);
}

#[tokio::test]
async fn an_object_that_the_user_may_not_read_names_user_and_remedy() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    org.set_permitted(ACCOUNTS, false).unwrap();
    for denied in [
        client.describe("Account").await.unwrap_err(),
        client
            .records_by_id("Account", &ids([ID]), &[])
            .await
            .unwrap_err(),
    ] {
        assert_eq!(denied.kind, ErrorKind::Denied);
        assert!(
            denied.message.contains("the user integration@simulated.example")
                || denied.message.contains("the user 005"),
            "{}",
            denied.message
        );
        assert!(denied.remedy.unwrap().contains("\"View All\" on Account"));
    }
}

#[tokio::test]
async fn a_field_that_is_not_there_is_named() {
    let (_org, client) = an_org(SimulatorSettings::default()).await;
    let denied = client
        .records_by_id("Account", &ids([ID]), &["Name", "Colour__c"])
        .await
        .unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
    assert!(denied.message.ends_with(": Colour__c"), "{}", denied.message);
}

#[tokio::test]
async fn a_field_that_went_away_is_seen_with_the_next_describe() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    let whole = include_str!("../fixtures/salesforce/AccountChangeEvent.avsc");
    org.change(&created(ID, "Acme")).unwrap();
    client.describe("Account").await.unwrap();
    let mut less: Value = serde_json::from_str(whole).unwrap();
    less["fields"]
        .as_array_mut()
        .unwrap()
        .retain(|field| field["name"] != "Phone");
    org.define_topic(ACCOUNTS, &less.to_string()).unwrap();
    // The event may still be of the older schema: what is gone is null.
    let read = client.current("Account", &ids([ID]), &account()).await.unwrap();
    let body = read[0].as_ref().unwrap().body.json();
    assert_eq!((&body["Name"], &body["Phone"]), (&json!("Acme"), &Value::Null));
    assert_eq!(org.org_counts().describe_calls, 2);
}

#[tokio::test]
async fn what_is_no_id_is_refused_before_anything_is_asked() {
    let (org, client) = an_org(SimulatorSettings::default()).await;
    for id in ["001SB0000000'1AAAA", "001*", "' OR Id != '"] {
        let failure = client
            .records_by_id("Account", &ids([id]), &["Name"])
            .await
            .unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Poison, "{id}");
    }
    assert_eq!(org.org_counts().rest_requests, 0);
}
