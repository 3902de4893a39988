//! Writes, lookups and limits against a host that the tests play.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::config::Operation;
use crate::runtime::task::{self, Task};
use crate::salesforce::auth::scripted::LoginHost;
use crate::telemetry::metrics::Metrics;

/// The org's host: answers what the test put down, and keeps what was asked.
pub(super) struct Host {
    pub(super) client: RestClient,
    pub(super) login: LoginHost,
    script: Arc<Script>,
    _server: Task<()>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Asked>>,
}

/// One request.
#[derive(Clone)]
pub(super) struct Asked {
    /// `PATCH /services/…?…`
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

enum Said {
    Answer(u16, String, Option<String>),
    /// Nothing, for ever.
    Silence,
}

impl Host {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let script = Arc::new(Script::default());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let server = task::spawn("org's host", async move {
            axum::serve(listener, app).await.expect("serves until dropped");
        });
        let login = LoginHost::start().await;
        let client = client_at(&login, &url);
        Self {
            client,
            login,
            script,
            _server: server,
        }
    }

    pub(super) fn answer(&self, status: u16, body: impl Into<String>) {
        self.say(Said::Answer(status, body.into(), None));
    }

    fn with_usage(&self, status: u16, body: &Value, usage: &str) {
        self.say(Said::Answer(status, body.to_string(), Some(usage.to_owned())));
    }

    fn silence(&self) {
        self.say(Said::Silence);
    }

    fn say(&self, said: Said) {
        self.script.answers.lock().push_back(said);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().clone()
    }
}

/// A client whose logins lead to the host at `url`, with a new token each.
fn client_at(login: &LoginHost, url: &str) -> RestClient {
    for number in 1..=5 {
        let id = "https://login.salesforce.com/id/00D5e000003TIrB/0055e000001abCD";
        let body = json!({"access_token": format!("token-{number}"), "instance_url": url, "id": id});
        login.answer(crate::salesforce::auth::scripted::Reply::new(200, body));
    }
    let config = login.client_credentials();
    let tokens = TokenSource::new(&config, Metrics::new()).expect("usable");
    RestClient::new(&config, "sfbridge-crm", tokens, Metrics::new()).expect("usable")
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    script.asked.lock().push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        body,
    });
    let said = script.answers.lock().pop_front();
    match said {
        Some(Said::Answer(status, body, usage)) => {
            let mut headers = HeaderMap::new();
            if let Some(usage) = usage {
                headers.insert("sforce-limit-info", HeaderValue::from_str(&usage).expect("ascii"));
            }
            let status = StatusCode::from_u16(status).expect("a status");
            (status, headers, body).into_response()
        }
        Some(Said::Silence) => std::future::pending().await,
        None => (StatusCode::NOT_IMPLEMENTED, "not scripted").into_response(),
    }
}

fn error(code: &str) -> String {
    json!([{"message": "a Secret Value", "errorCode": code}]).to_string()
}

fn target(operation: Operation) -> WriteTarget {
    WriteTarget {
        sobject: "Account".to_owned(),
        operation,
        external_id: (operation == Operation::Upsert).then(|| "Ext__c".to_owned()),
    }
}

fn records(texts: &[&str]) -> Vec<Box<RawValue>> {
    let raw = |text: &&str| RawValue::from_string((*text).to_owned()).expect("JSON");
    texts.iter().map(raw).collect()
}

async fn upsert_one(host: &Host) -> Result<Vec<RowVerdict>, WriteError> {
    let records = records(&[r#"{"Ext__c":"a"}"#]);
    host.client.write(&target(Operation::Upsert), &records).await
}

fn done(id: &str, created: bool) -> RowVerdict {
    RowVerdict::Done {
        id: Some(id.to_owned()),
        created,
    }
}

fn done_body() -> String {
    json!([{"id": "001A", "success": true, "errors": [], "created": false}]).to_string()
}

fn failed<T: std::fmt::Debug>(answer: Result<T, WriteError>) -> (Failure, WriteOutcome) {
    match answer {
        Err(WriteError::Failed { failure, outcome }) => (failure, outcome),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_record_has_its_own_verdict_in_order() {
    let host = Host::start().await;
    let body = json!([
        {"id": "001A", "success": true, "errors": [], "created": true},
        {"success": false, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "m", "fields": []}]},
        {"id": "001C", "success": true, "errors": [], "created": false}]);
    host.answer(200, body.to_string());
    let sent = records(&[
        r#"{"Ext__c":"a"}"#,
        r#"{"Ext__c":"b","N":1.50}"#,
        r#"{"Ext__c":"c"}"#,
    ]);
    let target = target(Operation::Upsert);
    let verdicts = host.client.write(&target, &sent).await.expect("an answer");
    assert_eq!(
        (&verdicts[0], &verdicts[2]),
        (&done("001A", true), &done("001C", false))
    );
    let RowVerdict::Refused(refusal) = &verdicts[1] else {
        panic!()
    };
    assert_eq!(
        row_action(refusal, Operation::Upsert, Some("Ext__c")),
        RowAction::Retry
    );

    let asked = host.asked().remove(0);
    assert_eq!(
        asked.line,
        "PATCH /services/data/v66.0/composite/sobjects/Account/Ext__c"
    );
    assert_eq!(asked.header("sforce-call-options"), Some("client=sfbridge-crm"));
    assert_eq!(asked.header("authorization"), Some("Bearer token-1"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let of = json!({"type": "Account"});
    let expected = json!({"allOrNone": false, "records": [
        {"attributes": of, "Ext__c": "a"}, {"attributes": of, "Ext__c": "b", "N": 1.5},
        {"attributes": of, "Ext__c": "c"}]});
    assert_eq!(asked.json(), expected);
}

#[tokio::test]
async fn each_operation_has_its_request() {
    let host = Host::start().await;
    for operation in [Operation::Insert, Operation::Update] {
        host.answer(
            200,
            json!([{"id": "001A", "success": true, "errors": []}]).to_string(),
        );
        let verdicts = host.client.write(&target(operation), &records(&["{}"])).await;
        assert_eq!(
            verdicts.expect("an answer"),
            [done("001A", operation == Operation::Insert)]
        );
    }
    host.answer(
        200,
        json!([{"id": "001", "success": true, "errors": []},
            {"id": "002", "success": false, "errors": [{"statusCode": "ENTITY_IS_DELETED", "message": "m"}]}])
        .to_string(),
    );
    let ids = ["0015Y00002ZbgP3QAJ", "0015Y00002ZbgP4"].map(str::to_owned);
    let verdicts = host.client.delete("Account", &ids).await.expect("an answer");
    let RowVerdict::Refused(gone) = &verdicts[1] else {
        panic!()
    };
    assert_eq!(row_action(gone, Operation::Delete, None), RowAction::Done);
    let asked = host.asked();
    let base = "/services/data/v66.0/composite/sobjects";
    assert_eq!(asked[0].line, format!("POST {base}"));
    assert_eq!(asked[1].line, format!("PATCH {base}"));
    assert!(
        asked[2]
            .line
            .starts_with(&format!("DELETE {base}?ids=0015Y00002ZbgP3QAJ%2C0015Y00002ZbgP4")),
        "{}",
        asked[2].line
    );
    assert!(asked[2].line.ends_with("&allOrNone=false"), "{}", asked[2].line);
    for asked in asked {
        assert_eq!(asked.header("sforce-call-options"), Some("client=sfbridge-crm"));
    }
}

#[tokio::test]
async fn what_must_not_go_out_makes_no_request() {
    let host = Host::start().await;
    let client = &host.client;
    assert!(
        client
            .write(&target(Operation::Insert), &[])
            .await
            .expect("nothing")
            .is_empty()
    );
    assert!(client.delete("Account", &[]).await.expect("nothing").is_empty());
    let named = WriteTarget {
        sobject: "Account/../x".to_owned(),
        ..target(Operation::Insert)
    };
    let keyless = WriteTarget {
        external_id: None,
        ..target(Operation::Upsert)
    };
    for target in [named, keyless, target(Operation::Delete)] {
        let (failure, outcome) = failed(client.write(&target, &records(&["{}"])).await);
        assert_eq!(
            (failure.kind, outcome),
            (ErrorKind::Unknown, WriteOutcome::NotApplied)
        );
    }
    let (failure, outcome) = failed(client.write(&target(Operation::Insert), &records(&["[]"])).await);
    assert_eq!(
        (failure.kind, outcome),
        (ErrorKind::Unknown, WriteOutcome::NotApplied)
    );
    let (failure, _) = failed(client.delete("Account", &["001*".to_owned()]).await);
    assert_eq!(failure.kind, ErrorKind::Poison);
    assert!(host.asked().is_empty());
}

#[tokio::test]
async fn a_refused_session_is_renewed_and_the_records_sent_once_more() {
    let host = Host::start().await;
    host.answer(401, error("INVALID_SESSION_ID"));
    host.answer(200, done_body());
    upsert_one(&host).await.expect("the second try");
    let asked = host.asked();
    assert_eq!(asked[1].header("authorization"), Some("Bearer token-2"));
    assert_eq!(asked[0].body, asked[1].body);
    for _ in 0..2 {
        host.answer(401, error("INVALID_SESSION_ID"));
    }
    let (failure, outcome) = failed(upsert_one(&host).await);
    assert_eq!(
        (failure.kind, outcome),
        (ErrorKind::Unauthenticated, WriteOutcome::NotApplied)
    );
    assert_eq!(host.asked().len(), 4);
}

#[tokio::test]
async fn what_is_known_of_the_records_of_a_failed_request() {
    use ErrorKind::{Denied, Throttled, Transient, Unknown};
    use WriteOutcome::{NotApplied, Unknown as Open};
    let host = Host::start().await;
    for (status, body, kind, outcome) in [
        (403, error("REQUEST_LIMIT_EXCEEDED"), Throttled, NotApplied),
        (429, String::new(), Throttled, NotApplied),
        (403, error("API_DISABLED_FOR_ORG"), Denied, NotApplied),
        (404, error("NOT_FOUND"), Denied, NotApplied),
        (400, error("INVALID_TYPE"), Denied, NotApplied),
        (400, "<html>".to_owned(), Unknown, NotApplied),
        (500, error("UNKNOWN_EXCEPTION"), Transient, Open),
        (503, error("SERVER_UNAVAILABLE"), Transient, Open),
        (504, "<html>".to_owned(), Transient, Open),
        (408, String::new(), Transient, Open),
        (200, "<html>".to_owned(), Transient, Open),
        (200, "[]".to_owned(), Transient, Open),
    ] {
        host.answer(status, body.clone());
        let (failure, known) = failed(upsert_one(&host).await);
        assert_eq!((failure.kind, known), (kind, outcome), "{status} {body}");
        let shown = format!("{failure:?} {}", crate::error::chain(&failure));
        assert!(!shown.contains("Secret"), "{shown}");
    }
}

#[tokio::test]
async fn refused_content_condemns_nobody_until_one_is_left() {
    let host = Host::start().await;
    for (status, body, code) in [
        (400, error("JSON_PARSER_ERROR"), "JSON_PARSER_ERROR"),
        (400, error("INVALID_FIELD"), "INVALID_FIELD"),
        (413, String::new(), "HTTP_413"),
    ] {
        host.answer(status, body);
        match upsert_one(&host).await {
            Err(WriteError::Rejected(refusal)) => {
                assert_eq!(refusal.status_code, code);
                let said = if status == 400 { "a Secret Value" } else { "" };
                assert_eq!(refusal.message, said, "for the dead letter");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_the_outcome_open() {
    let host = Host::start().await;
    host.silence();
    let client = host.client.clone();
    let write = task::spawn("write", async move {
        let records = records(&[r#"{"Ext__c":"a"}"#]);
        client.write(&target(Operation::Upsert), &records).await
    });
    while host.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(131)).await;
    tokio::time::resume();
    let (failure, outcome) = failed(write.join().await.expect("no panic"));
    assert_eq!(
        (failure.kind, outcome),
        (ErrorKind::Transient, WriteOutcome::Unknown)
    );
}

#[tokio::test]
async fn without_a_connection_nothing_was_applied() {
    let login = LoginHost::start().await;
    // Nothing listens there.
    let client = client_at(&login, "http://127.0.0.1:1");
    let records = records(&["{}"]);
    let (failure, outcome) = failed(client.write(&target(Operation::Insert), &records).await);
    assert_eq!(
        (failure.kind, outcome),
        (ErrorKind::Transient, WriteOutcome::NotApplied)
    );
}

#[tokio::test]
async fn ids_are_found_by_an_external_id_as_the_field_compares_it() {
    let host = Host::start().await;
    let describe = json!({"name": "Account", "fields": [
        {"name": "Ext__c", "type": "string", "externalId": true, "caseSensitive": false},
        {"name": "Number__c", "type": "double", "externalId": true}]});
    host.answer(200, describe.to_string());
    let page = json!({"done": false, "nextRecordsUrl": "/services/data/v66.0/query/01g-2", "records": [
        {"attributes": {}, "Id": "0015Y00002ZbgP3QAJ", "Ext__c": "O'Neil"}]});
    host.answer(200, page.to_string());
    let page = json!({"done": true, "records": [
        {"attributes": {}, "Id": "0015Y00002ZbgP4", "Ext__c": "o'neil"},
        {"attributes": {}, "Id": "0015Y00002ZbgP5", "Ext__c": "B"}]});
    host.answer(200, page.to_string());
    let values = ["O'Neil", "b", "missing"].map(str::to_owned);
    let found = host.client.ids_by_external_id("Account", "Ext__c", &values).await;
    let found = found.expect("ids");
    assert_eq!(found.len(), 2);
    assert_eq!(found["o'neil"].len(), 2);
    assert_eq!(found["b"].len(), 1);
    let query = host.asked().remove(1).line;
    let url = reqwest::Url::parse(&format!("http://h{}", query.trim_start_matches("GET "))).expect("a URL");
    let soql = url.query_pairs().next().expect("q").1.into_owned();
    assert_eq!(
        soql,
        r"SELECT Id,Ext__c FROM Account WHERE Ext__c IN ('O\'Neil','b','missing')"
    );

    let page = json!({"done": true, "records": [
        {"attributes": {}, "Id": "0015Y00002ZbgP3QAJ", "Number__c": 4711.0}]});
    host.answer(200, page.to_string());
    let values = ["4711", "no number"].map(str::to_owned);
    let found = host
        .client
        .ids_by_external_id("Account", "Number__c", &values)
        .await;
    assert_eq!(found.expect("ids")["4711"], ["0015Y00002ZbgP3QAJ"]);
    let line = host.asked().pop().expect("asked").line;
    assert!(line.contains("Number__c+IN+%284711%29"), "{line}");

    let missing = host
        .client
        .ids_by_external_id("Account", "Nothing__c", &values)
        .await;
    assert_eq!(missing.expect_err("no such field").kind, ErrorKind::Denied);
    let none = host.client.ids_by_external_id("Account", "Ext__c", &[]).await;
    assert!(none.expect("nothing to ask").is_empty());
}

#[tokio::test]
async fn every_answer_tells_how_many_requests_are_used() {
    let host = Host::start().await;
    let used = || host.client.usage().map(|usage| (usage.used, usage.max));
    assert_eq!(used(), None);
    let body: Value = serde_json::from_str(&done_body()).expect("JSON");
    host.with_usage(200, &body, "api-usage=90/100");
    upsert_one(&host).await.expect("an answer");
    assert_eq!(used(), Some((90, 100)));
    host.with_usage(
        403,
        &json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED"}]),
        "api-usage=101/100",
    );
    upsert_one(&host).await.expect_err("refused");
    assert_eq!(used(), Some((101, 100)));
    host.answer(200, done_body());
    upsert_one(&host).await.expect("an answer without the header");
    assert_eq!(used(), Some((101, 100)));

    let limits = json!({
        "DailyApiRequests": {"Max": 15000, "Remaining": 14998, "My App": {"Max": 0, "Remaining": 0}},
        "HourlyPublishedPlatformEvents": {"Max": 50000, "Remaining": 7},
        "PermissionSets": {"Max": 1500, "Remaining": -3, "CreateCustom": {"Max": 1000, "Remaining": 999}},
        "Something": {"Else": 1}});
    host.with_usage(200, &limits, "api-usage=1/100");
    let usage = host.client.refresh_usage().await.expect("limits").expect("known");
    assert_eq!((usage.used, usage.max), (2, 15_000), "the body is the later word");
    host.answer(200, limits.to_string());
    let limits = host.client.limits().await.expect("limits");
    let limit = |max, remaining| Limit { max, remaining };
    assert_eq!(limits["HourlyPublishedPlatformEvents"], limit(50_000, 7));
    assert_eq!(limits["PermissionSets"], limit(1_500, 0));
    assert_eq!(limits.len(), 3);

    host.with_usage(
        403,
        &json!([{"errorCode": "INSUFFICIENT_ACCESS"}]),
        "api-usage=5/100",
    );
    let usage = host
        .client
        .refresh_usage()
        .await
        .expect("told by the header")
        .expect("known");
    assert_eq!((usage.used, usage.max), (5, 100));
    assert!(host.login.posted().len() == 1);
}

#[tokio::test]
async fn the_limits_are_asked_for_calmly_and_a_missing_permission_is_remarked_once() {
    let host = Host::start().await;
    let mut remarked = false;
    let limits = json!({
        "DailyApiRequests": {"Max": 15000, "Remaining": 14998},
        "DailyDeliveredPlatformEvents": {"Max": 50000, "Remaining": 49000},
        "MonthlyPlatformEventsUsageEntitlement": {"Max": 1500000, "Remaining": 7}});
    host.answer(200, limits.to_string());
    assert_eq!(host.client.poll_limits(&mut remarked).await, POLL_EVERY);
    let shown = host.client.0.metrics.limits();
    let remaining: Vec<_> = shown.iter().map(|limit| (limit.name, limit.remaining)).collect();
    assert_eq!(
        remaining,
        [
            ("DailyApiRequests", 14_998),
            ("DailyDeliveredPlatformEvents", 49_000),
            ("MonthlyPlatformEventsUsageEntitlement", 7)
        ]
    );
    host.answer(403, json!([{"errorCode": "INSUFFICIENT_ACCESS"}]).to_string());
    assert!(host.client.poll_limits(&mut remarked).await > POLL_EVERY);
    assert!(remarked);
    host.answer(503, "<html>".to_owned());
    assert_eq!(host.client.poll_limits(&mut remarked).await, POLL_EVERY);
}
