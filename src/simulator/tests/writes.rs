//! Writing over REST, as a client without our code sees it, and the change events that tell of it.

use apache_avro::types::Value;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::*;
use crate::simulator::org::encode;
use crate::simulator::rest::{RestFault, RestRefusal};
use crate::simulator::writes::{RecordFault, Trigger, WriteRules};

const CONTACTS: &str = "/data/ContactChangeEvent";
const BY_KEY: &str = "composite/sobjects/Account/Customer_Id__c";

struct Writer<'o> {
    org: &'o Simulator,
    token: String,
    http: reqwest::Client,
}

impl<'o> Writer<'o> {
    fn new(org: &'o Simulator) -> Self {
        Self {
            org,
            token: org.issue_token(),
            http: reqwest::Client::new(),
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Json) -> (u16, Json) {
        let url = format!("{}/services/data/v66.0/{path}", self.org.login_url());
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(&self.token)
            .header("Sforce-Call-Options", "client=sfbridge-a");
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.bytes().await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The results of records that are well formed.
    async fn upsert(&self, records: &Json) -> Json {
        let (status, results) = self
            .send(Method::PATCH, BY_KEY, &json!({"records": records}))
            .await;
        assert_eq!(status, 200, "{results}");
        results
    }

    async fn insert(&self, records: &Json) -> Json {
        let body = json!({"records": records});
        let (status, results) = self.send(Method::POST, "composite/sobjects", &body).await;
        assert_eq!(status, 200, "{results}");
        results
    }

    async fn update(&self, records: &Json) -> Json {
        let body = json!({"records": records});
        let (status, results) = self.send(Method::PATCH, "composite/sobjects", &body).await;
        assert_eq!(status, 200, "{results}");
        results
    }
}

fn account(key: &str, mut fields: Json) -> Json {
    fields["attributes"] = json!({"type": "Account"});
    fields["Customer_Id__c"] = json!(key);
    fields
}

fn of(object: &str, mut fields: Json) -> Json {
    fields["attributes"] = json!({"type": object});
    fields
}

fn id(result: &Json) -> String {
    result["id"].as_str().expect("it was written").to_owned()
}

/// `statusCode` of each result; nothing where it was written.
fn codes(results: &Json) -> Vec<&str> {
    let results = results.as_array().expect("results");
    let code = |result: &Json| result["errors"][0]["statusCode"].as_str().is_some();
    results
        .iter()
        .map(|result| {
            assert_eq!(result["success"], json!(!code(result)));
            result["errors"][0]["statusCode"].as_str().unwrap_or_default()
        })
        .collect()
}

/// The events of a topic as plain JSON: what is null is left out.
fn events(org: &Simulator, topic: &str) -> Vec<Json> {
    let topic = org.org().existing(topic).expect("known");
    let (stored, _) = topic.log.read().read(0, 1_000, usize::MAX);
    stored
        .into_iter()
        .map(|event| {
            let event = event.event.expect("an event");
            let schema = org.org().schemas.get(&event.schema_id).expect("known");
            plain(&encode::read(&schema, &event.payload).expect("it decodes"))
        })
        .collect()
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Union(_, inner) => plain(inner),
        Value::Record(fields) => Json::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .filter(|(_, value)| !value.is_null())
                .collect(),
        ),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::String(text) | Value::Enum(_, text) => json!(text),
        Value::Boolean(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Long(number) => json!(number),
        Value::Double(number) => json!(number),
        _ => Json::Null,
    }
}

#[tokio::test]
async fn an_upsert_creates_updates_and_comes_back_as_events() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let first = json!([
        account(
            "A-1",
            json!({"Name": " Acme ", "Some_Email__c": "A@X.com", "BillingCity": "Bath", "Phone": ""})
        ),
        account("A-2", json!({"Name": "Bolt"})),
    ]);
    let results = writer.upsert(&first).await;
    assert_eq!(codes(&results), ["", ""]);
    assert_eq!(
        (&results[0]["created"], &results[0]["errors"]),
        (&json!(true), &json!([]))
    );
    let second = json!([
        account(
            "a-1",
            json!({"Name": "Acme Two", "BillingCity": null, "BillingStreet": "1 High Street"})
        ),
        account("A-2", json!({"Name": "Bolt"})),
    ]);
    let again = writer.upsert(&second).await;
    assert_eq!(
        (&again[0]["created"], &again[0]["id"]),
        (&json!(false), &results[0]["id"])
    );

    let events = events(&org, ACCOUNTS);
    assert_eq!(
        events.len(),
        3,
        "an update that changes nothing makes no event: {events:?}"
    );
    let header = &events[0]["ChangeEventHeader"];
    assert_eq!(header["changeType"], "CREATE");
    assert_eq!(header["changedFields"], json!([]));
    assert_eq!(
        header["changeOrigin"],
        "com/salesforce/api/rest/66.0;client=sfbridge-a"
    );
    assert_eq!(header["commitUser"], org.user_id());
    assert_eq!(header["recordIds"], json!([id(&results[0])]));
    assert_eq!(events[0]["Name"], "Acme");
    assert_eq!(events[0]["Some_Email__c"], "a@x.com");
    assert_eq!(events[0]["BillingAddress"], json!({"City": "Bath"}));
    assert_eq!(events[0]["CreatedById"], org.user_id());
    assert!(events[0]["Phone"].is_null() && events[0]["LastModifiedDate"].is_i64());
    let other = &events[1]["ChangeEventHeader"];
    assert_eq!(
        (&other["transactionKey"], &other["sequenceNumber"]),
        (&header["transactionKey"], &json!(2))
    );
    let update = &events[2];
    assert_eq!(update["Name"], "Acme Two");
    assert_eq!(update["BillingAddress"], json!({"Street": "1 High Street"}));
    // The key's letters changed their case; LastModifiedById did not change.
    assert_eq!(update["Customer_Id__c"], "a-1");
    let schema = org
        .org()
        .existing(ACCOUNTS)
        .expect("known")
        .schema
        .read()
        .clone()
        .expect("a schema");
    let names = [
        "Name",
        "Customer_Id__c",
        "LastModifiedDate",
        "BillingAddress.Street",
        "BillingAddress.City",
    ];
    let expected = crate::simulator::org::bitmap::encode(&schema, &names.map(str::to_owned)).expect("known");
    assert_eq!(update["ChangeEventHeader"]["changedFields"], json!(expected));
    assert_ne!(
        update["ChangeEventHeader"]["transactionKey"],
        header["transactionKey"]
    );
}

#[tokio::test]
async fn every_record_is_refused_for_its_own_reason_and_the_others_are_written() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    writer
        .upsert(&json!([account("A-1", json!({"Name": "Acme"}))]))
        .await;
    let records = json!([
        account("A-2", json!({"Name": "fine"})),
        account("A-3", json!({})),
        account("twin", json!({"Name": "one"})),
        account("TWIN", json!({"Name": "two"})),
        of("Account", json!({"Name": "no key"})),
        account("A-4", json!({"Name": "x".repeat(256)})),
        account("A-5", json!({"Name": "x", "Some_Email__c": "nobody"})),
        account("A-6", json!({"Name": "x", "ParentId": "it"})),
        account("A-7", json!({"Name": "x", "ParentId": "001SB00000zzzzz"})),
        account(
            "A-8",
            json!({"Name": "x", "CreatedDate": "2026-01-01T00:00:00Z", "BillingAddress": null})
        ),
        account(
            "A-9",
            json!({"Name": "x", "Parent": {"Customer_Id__c": "nowhere"}})
        ),
        account("A-10", json!({"Name": "x", "Id": "001SB0000000001"})),
        account("A-1", json!({"Name": null})),
    ]);
    let results = writer.upsert(&records).await;
    assert_eq!(
        codes(&results),
        [
            "",
            "REQUIRED_FIELD_MISSING",
            "DUPLICATE_VALUE",
            "DUPLICATE_VALUE",
            "MISSING_ARGUMENT",
            "STRING_TOO_LONG",
            "INVALID_EMAIL_ADDRESS",
            "MALFORMED_ID",
            "INVALID_CROSS_REFERENCE_KEY",
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "INVALID_FIELD",
            "INVALID_FIELD",
            "REQUIRED_FIELD_MISSING",
        ]
    );
    assert_eq!(
        results[2]["errors"][0]["message"],
        "Duplicate external id specified: twin"
    );
    assert_eq!(
        results[9]["errors"][0]["fields"],
        json!(["CreatedDate", "BillingAddress"])
    );
    assert_eq!(
        results[10]["errors"][0]["message"],
        "Foreign key external ID: nowhere not found for field Customer_Id__c in entity Account"
    );
    assert_eq!(org.records("Account").len(), 2);

    // By insert: what is unique, and what several records have.
    let twice = json!([
        account("A-2", json!({"Name": "again"})),
        account("B-1", json!({"Name": "b", "GUID__c": "shared"})),
        account("B-2", json!({"Name": "c", "GUID__c": "shared"})),
    ]);
    assert_eq!(codes(&writer.insert(&twice).await), ["DUPLICATE_VALUE", "", ""]);
    let by_guid = json!({"records": [of("Account", json!({"GUID__c": "shared", "Name": "which"}))]});
    let (_, results) = writer
        .send(Method::PATCH, "composite/sobjects/Account/GUID__c", &by_guid)
        .await;
    assert_eq!(codes(&results), ["DUPLICATE_EXTERNAL_ID"]);
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_whole() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let good = account("A-1", json!({"Name": "Acme"}));
    for (wrong, code) in [
        (
            account("A-2", json!({"Name": "x", "Colour__c": "red"})),
            "INVALID_FIELD",
        ),
        (
            account("A-2", json!({"Name": "x", "NumberOfEmployees": "many"})),
            "JSON_PARSER_ERROR",
        ),
        (
            account("A-2", json!({"Name": "x", "Some_Date__c": "soon"})),
            "JSON_PARSER_ERROR",
        ),
        (of("Lead", json!({})), "INVALID_TYPE"),
        (json!({"Name": "no type"}), "INVALID_TYPE"),
    ] {
        let body = json!({"records": [good.clone(), wrong]});
        let (status, refusal) = writer.send(Method::PATCH, BY_KEY, &body).await;
        assert_eq!((status, &refusal[0]["errorCode"]), (400, &json!(code)), "{body}");
    }
    let many: Vec<_> = (0..201)
        .map(|number| account(&number.to_string(), json!({})))
        .collect();
    let (status, refusal) = writer
        .send(Method::PATCH, BY_KEY, &json!({"records": many}))
        .await;
    assert_eq!(
        (status, &refusal[0]["errorCode"]),
        (400, &json!("EXCEEDED_ID_LIMIT"))
    );
    let (status, _) = writer
        .send(
            Method::PATCH,
            "composite/sobjects/Account/Name",
            &json!({"records": []}),
        )
        .await;
    assert_eq!(status, 404);
    assert!(org.records("Account").is_empty());

    org.set_write_rules(WriteRules {
        misfits_cost_one_record: true,
        ..WriteRules::default()
    });
    let misfit = account("A-2", json!({"Name": "x", "NumberOfEmployees": "many"}));
    assert_eq!(
        codes(&writer.upsert(&json!([good, misfit])).await),
        ["", "JSON_PARSER_ERROR"]
    );
}

#[tokio::test]
async fn records_are_inserted_updated_and_deleted_by_id() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let results = writer
        .insert(&json!([
            of("Account", json!({"Name": "Acme", "Customer_Id__c": "A-1"})),
            of(
                "Contact",
                json!({"LastName": "Byron", "Account": {"Customer_Id__c": "A-1"}})
            ),
            of("Contact", json!({"FirstName": "Ada"})),
        ]))
        .await;
    assert_eq!(codes(&results), ["", "", "REQUIRED_FIELD_MISSING"]);
    assert!(results[0]["created"].is_null());
    let (account, contact) = (id(&results[0]), id(&results[1]));
    let stored = org.records("Contact");
    assert_eq!(stored[0].1["AccountId"], account);
    assert_eq!(stored[0].1["Name"], json!({"LastName": "Byron"}));
    let results = writer
        .update(&json!([
            of(
                "Contact",
                json!({"id": contact[..15], "Account": null, "FirstName": "Ada"})
            ),
            of("Contact", json!({"id": "003SB00000zzzzz", "FirstName": "No"})),
            of("Contact", json!({"FirstName": "No"})),
            of("Account", json!({"id": "x"})),
        ]))
        .await;
    assert_eq!(
        codes(&results),
        [
            "",
            "INVALID_CROSS_REFERENCE_KEY",
            "MISSING_ARGUMENT",
            "MALFORMED_ID"
        ]
    );
    let update = &events(&org, CONTACTS)[1];
    assert_eq!(update["Name"], json!({"FirstName": "Ada"}));
    let path = format!("composite/sobjects?ids={account},{contact},{account},x,500SB00000zzzzz");
    let (status, results) = writer.send(Method::DELETE, &path, &Json::Null).await;
    assert_eq!(status, 200);
    assert_eq!(
        codes(&results),
        [
            "",
            "",
            "ENTITY_IS_DELETED",
            "MALFORMED_ID",
            "INVALID_CROSS_REFERENCE_KEY"
        ]
    );
    let deleted = &events(&org, CONTACTS)[2];
    assert_eq!(deleted["ChangeEventHeader"]["changeType"], "DELETE");
    assert_eq!(
        deleted.as_object().map(serde_json::Map::len),
        Some(1),
        "a header alone"
    );
    assert!(org.records("Contact").is_empty());
}

#[tokio::test]
async fn all_or_none_leaves_nothing_of_a_request_that_fails() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    writer
        .upsert(&json!([account("A-1", json!({"Name": "Acme"}))]))
        .await;
    let body = json!({"allOrNone": true, "records": [
        account("A-1", json!({"Name": "Acme Two"})),
        account("A-2", json!({"Name": "Bolt"})),
        account("A-3", json!({})),
    ]});
    let (status, results) = writer.send(Method::PATCH, BY_KEY, &body).await;
    assert_eq!(status, 200);
    let rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK";
    assert_eq!(
        codes(&results),
        [rolled_back, rolled_back, "REQUIRED_FIELD_MISSING"]
    );
    let stored = org.records("Account");
    assert_eq!((stored.len(), &stored[0].1["Name"]), (1, &json!("Acme")));
    assert_eq!(events(&org, ACCOUNTS).len(), 1);
    assert_eq!(
        codes(
            &writer
                .upsert(&json!([account("A-2", json!({"Name": "Bolt"}))]))
                .await
        ),
        [""]
    );
}

#[tokio::test]
async fn one_record_is_written_and_read_by_id_and_by_key() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let writer = &writer;
    let send = |method, path: String, body| async move { writer.send(method, &path, &body).await };
    let by_key = || "sobjects/Account/Customer_Id__c/A%2F1".to_owned();
    let (status, body) = send(Method::PATCH, by_key(), json!({"Name": "Acme"})).await;
    assert_eq!((status, &body["created"]), (201, &json!(true)));
    let account = id(&body);
    let (status, body) = send(Method::PATCH, by_key(), json!({"Name": "Acme Two"})).await;
    assert_eq!((status, &body["created"]), (200, &json!(false)));
    let (status, body) = send(Method::PATCH, by_key(), json!({"Customer_Id__c": "A/1"})).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));
    let (status, body) = send(Method::GET, by_key(), Json::Null).await;
    assert_eq!(
        (status, &body["Name"], &body["Customer_Id__c"]),
        (200, &json!("Acme Two"), &json!("A/1"))
    );
    let by_id = || format!("sobjects/Account/{account}");
    assert_eq!(send(Method::PATCH, by_id(), json!({"Phone": "1"})).await.0, 204);
    let (_, body) = send(Method::GET, format!("{}?fields=Phone", by_id()), Json::Null).await;
    assert_eq!((&body["Phone"], &body["Name"]), (&json!("1"), &Json::Null));
    let (status, body) = send(Method::POST, "sobjects/Account".into(), json!({"Phone": "1"})).await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("REQUIRED_FIELD_MISSING"))
    );
    assert_eq!(body[0]["fields"], json!(["Name"]));
    for _ in 0..2 {
        let twin = json!({"Name": "twin", "GUID__c": "g"});
        assert_eq!(send(Method::POST, "sobjects/Account".into(), twin).await.0, 201);
    }
    let (status, body) = send(
        Method::PATCH,
        "sobjects/Account/GUID__c/g".into(),
        json!({"Phone": "2"}),
    )
    .await;
    assert_eq!((status, body.as_array().map(Vec::len)), (300, Some(2)));
    assert_eq!(send(Method::DELETE, by_id(), Json::Null).await.0, 204);
    assert_eq!(send(Method::DELETE, by_id(), Json::Null).await.0, 404);
    assert_eq!(send(Method::GET, by_key(), Json::Null).await.0, 404);
    let never = format!("{}?updateOnly=true", by_key());
    assert_eq!(send(Method::PATCH, never, json!({"Name": "x"})).await.0, 404);
}

#[tokio::test]
async fn records_are_asked_for_by_their_keys() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let record = |key: &str| {
        account(
            key,
            json!({"Name": format!("Account {key}"), "NumberOfEmployees": 7}),
        )
    };
    writer
        .upsert(&json!([record("A'1"), record("A-2"), record("A-3")]))
        .await;
    let query = async |filter: &str| {
        let soql = format!("SELECT Customer_Id__c FROM Account WHERE {filter}");
        let path = format!("query/?q={}", soql.replace(' ', "+").replace('=', "%3D"));
        let (status, body) = writer.send(Method::GET, &path, &Json::Null).await;
        assert_eq!(status, 200, "{body}");
        let rows = body["records"].as_array().expect("rows").clone();
        rows.iter()
            .map(|row| row["Customer_Id__c"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        query(r"Customer_Id__c IN ('A\'1', 'a-3', 'none')").await,
        ["A'1", "A-3"]
    );
    assert_eq!(query("Name = 'Account A-2'").await, ["A-2"]);
    assert_eq!(query("NumberOfEmployees = 7").await.len(), 3);
}

#[tokio::test]
async fn a_describe_says_what_may_be_written_and_what_is_a_key() {
    let org = start(SimulatorSettings::default()).await;
    org.add_external_id("Contact", "Code__c", FieldRules::key())
        .expect("added");
    let writer = Writer::new(&org);
    let (_, body) = writer
        .send(Method::GET, "sobjects/Contact/describe", &Json::Null)
        .await;
    let field = |name: &str| {
        let fields = body["fields"].as_array().expect("fields");
        fields
            .iter()
            .find(|field| field["name"] == name)
            .expect("known")
            .clone()
    };
    assert_eq!(
        (&body["createable"], &body["deletable"]),
        (&json!(true), &json!(true))
    );
    let key = field("Code__c");
    assert_eq!(
        (&key["externalId"], &key["unique"], &key["length"]),
        (&json!(true), &json!(true), &json!(255))
    );
    let reference = field("AccountId");
    assert_eq!(
        (&reference["relationshipName"], &reference["referenceTo"]),
        (&json!("Account"), &json!(["Account"]))
    );
    assert_eq!(field("LastName")["nillable"], json!(false));
    for (name, written) in [
        ("Name", false),
        ("LastName", true),
        ("CreatedDate", false),
        ("MailingCity", true),
    ] {
        assert_eq!(field(name)["createable"], json!(written), "{name}");
    }
    assert_eq!(field("DoNotCall")["defaultedOnCreate"], json!(true));
    let records = json!({"records": [of("Contact", json!({"LastName": "x", "Code__c": "C-1"}))]});
    let (_, results) = writer
        .send(Method::PATCH, "composite/sobjects/Contact/Code__c", &records)
        .await;
    assert_eq!(codes(&results), [""]);
}

#[tokio::test]
async fn a_record_is_refused_on_demand_as_often_as_was_said() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    org.record_fault(
        RecordFault::new("Account", "UNABLE_TO_LOCK_ROW")
            .key("A-2")
            .times(2),
    );
    let records = json!([
        account("A-1", json!({"Name": "a"})),
        account("A-2", json!({"Name": "b"}))
    ]);
    for expected in ["UNABLE_TO_LOCK_ROW", "UNABLE_TO_LOCK_ROW", ""] {
        assert_eq!(codes(&writer.upsert(&records).await), ["", expected]);
    }
    assert_eq!(org.faults_waiting(), 0);
}

#[tokio::test]
async fn a_trigger_writes_in_the_same_transaction() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let trigger = |field: &str, value: Json, own_event| Trigger {
        sobject: "Account".into(),
        field: field.into(),
        value,
        own_event,
    };
    org.add_trigger(trigger("Rating", json!("Hot"), false))
        .expect("known");
    org.add_trigger(trigger("Sic", json!("42"), true)).expect("known");
    assert!(
        org.add_trigger(trigger("Colour__c", json!("red"), false))
            .is_err()
    );
    writer
        .upsert(&json!([account(
            "A-1",
            json!({"Name": "Acme", "Rating": "Cold"})
        )]))
        .await;
    let events = events(&org, ACCOUNTS);
    assert_eq!(
        (events.len(), &events[0]["Rating"], &events[0]["Sic"]),
        (2, &json!("Hot"), &Json::Null)
    );
    let (one, two) = (&events[0]["ChangeEventHeader"], &events[1]["ChangeEventHeader"]);
    assert_eq!(
        (&two["changeType"], &events[1]["Sic"]),
        (&json!("UPDATE"), &json!("42"))
    );
    assert_eq!(
        (&one["transactionKey"], &two["sequenceNumber"]),
        (&two["transactionKey"], &json!(2))
    );
}

#[tokio::test]
async fn changes_merge_and_lose_the_clients_name_where_told() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    org.set_write_rules(WriteRules {
        collections_name_the_client: false,
        merge_changes: true,
        ..WriteRules::default()
    });
    let records = |phone: &str| {
        let record = |key| account(key, json!({"Name": "Acme", "Phone": phone}));
        json!([record("A-1"), record("A-2")])
    };
    writer.upsert(&records("1")).await;
    writer.upsert(&records("2")).await;
    let events = events(&org, ACCOUNTS);
    let header = &events[2]["ChangeEventHeader"];
    assert_eq!(events.len(), 3, "creations stay apart");
    assert_eq!(header["recordIds"].as_array().map(Vec::len), Some(2));
    assert_eq!(header["changeOrigin"], "com/salesforce/api/rest/66.0");
}

#[tokio::test]
async fn an_answer_is_lost_after_the_write_was_done() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let body = json!({"records": [account("A-1", json!({"Name": "Acme"}))]});
    let fault = RestFault {
        path: Some("composite".into()),
        method: Some("PATCH".into()),
        lose_answer: true,
        ..RestFault::default()
    };
    org.rest_fault(fault.clone());
    let url = format!("{}/services/data/v66.0/{BY_KEY}", org.login_url());
    let request = || writer.http.patch(&url).bearer_auth(&writer.token).json(&body);
    assert!(request().send().await.is_err(), "the connection is gone");
    assert_eq!(org.records("Account").len(), 1);
    org.rest_fault(RestFault {
        refusal: Some(RestRefusal::new(500, "UNKNOWN_EXCEPTION", "lost")),
        ..fault
    });
    assert_eq!(writer.send(Method::PATCH, BY_KEY, &body).await.0, 500);
    org.rest_fault(RestFault {
        cut: true,
        ..RestFault::default()
    });
    assert!(request().send().await.is_err());
    let results = writer.upsert(&body["records"]).await;
    assert_eq!(results[0]["created"], json!(false));
    assert_eq!(events(&org, ACCOUNTS).len(), 1);
}

#[tokio::test]
async fn an_event_comes_before_the_answer_or_long_after_the_write() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    let records = |name: &str| json!([account("A-1", json!({"Name": name}))]);
    org.rest_fault(RestFault {
        answer_delay_ms: 60_000,
        ..RestFault::default()
    });
    let first = records("Acme");
    let slow = writer.upsert(&first);
    let seen = async {
        while events(&org, ACCOUNTS).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = slow => panic!("the answer waits"),
        () = seen => {}
    }
    org.set_write_rules(WriteRules {
        event_delay_ms: 100,
        ..WriteRules::default()
    });
    writer.upsert(&records("Acme Two")).await;
    assert_eq!(org.records("Account")[0].1["Name"], "Acme Two");
    org.set_write_rules(WriteRules::default());
    writer.upsert(&records("Acme Three")).await;
    while events(&org, ACCOUNTS).len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let names: Vec<_> = events(&org, ACCOUNTS)
        .iter()
        .map(|event| event["Name"].clone())
        .collect();
    assert_eq!(names, ["Acme", "Acme Two", "Acme Three"]);
}

#[tokio::test]
async fn a_delayed_request_is_carried_out_when_faults_are_cleared() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    org.rest_fault(RestFault {
        delay_ms: u64::MAX,
        ..RestFault::default()
    });
    let records = json!([account("A-1", json!({"Name": "Acme"}))]);
    let held = writer.upsert(&records);
    let asked = org.org_counts().rest_requests;
    let cleared = async {
        while org.org_counts().rest_requests == asked || org.faults_waiting() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(events(&org, ACCOUNTS).is_empty());
        org.clear_faults();
    };
    let (results, ()) = tokio::join!(held, cleared);
    assert_eq!(results[0]["success"], json!(true));
}

#[tokio::test]
async fn a_days_requests_are_used_up_and_come_back() {
    let org = start(SimulatorSettings::default()).await;
    let writer = Writer::new(&org);
    org.set_daily_requests(100, 99);
    let records = json!([account("A-1", json!({"Name": "Acme"}))]);
    writer.upsert(&records).await;
    let (status, refusal) = writer
        .send(Method::PATCH, BY_KEY, &json!({"records": records}))
        .await;
    assert_eq!(
        (status, &refusal[0]["errorCode"]),
        (403, &json!("REQUEST_LIMIT_EXCEEDED"))
    );
    assert_eq!(refusal[0]["message"], "TotalRequests Limit exceeded.");
    org.set_daily_requests(200, 100);
    let (_, limits) = writer.send(Method::GET, "limits", &Json::Null).await;
    assert_eq!(limits["DailyApiRequests"], json!({"Max": 200, "Remaining": 99}));
}
