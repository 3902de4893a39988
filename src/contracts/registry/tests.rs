//! The client against a registry that the tests script.

use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::future::join_all;
use serde_json::json;

use super::scripted::{Scripted, config};
use super::*;
use crate::config::{RegistryCredentials, Secret};
use crate::error::{ErrorKind, chain};

const SCHEMA: &str = r#"{"type":"string"}"#;
/// A port on which nobody listens: the first connection is refused at once.
const NOBODY: &str = "http://127.0.0.1:1";

fn client(registry: &Scripted) -> RegistryClient {
    RegistryClient::new(&config(&[&registry.url], None)).expect("a usable configuration")
}

fn cached(registry: &Scripted) -> Registry {
    Registry::new(&config(&[&registry.url], None)).expect("a usable configuration")
}

async fn refused_registration(registry: &Scripted) -> RegisterError {
    let answer = client(registry).register("a-value", SCHEMA, &[]).await;
    answer.expect_err("refused")
}

#[tokio::test]
async fn an_incompatible_schema_is_a_broken_contract_with_the_registrys_reason() {
    let registry = Scripted::start().await;
    registry.refuse(409, 409, "io.x.RuleViolationException: Phone at /fields/1");
    let error = refused_registration(&registry).await;
    let RegisterError::Incompatible { subject, reasons } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (subject.as_str(), reasons.as_slice()),
        ("a-value", &["Phone at /fields/1".to_owned()][..])
    );
    let failure = Failure::from(error);
    assert_eq!(failure.kind, ErrorKind::Contract);
    assert!(
        failure.message.contains("a-value") && failure.message.contains("Phone"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_registry_that_takes_no_schemas_is_told_from_one_that_refuses_this_one() {
    let registry = Scripted::start().await;
    for (status, code) in [(422, 42_205), (405, 405), (409, 0)] {
        registry.refuse(status, code, "Storage is in read-only mode.");
        let error = refused_registration(&registry).await;
        assert!(
            matches!(error, RegisterError::ReadOnly { .. }),
            "{status}: {error:?}"
        );
        assert_eq!(Failure::from(error).kind, ErrorKind::Denied);
    }
    registry.refuse(422, 42_201, "no type");
    let error = refused_registration(&registry).await;
    assert!(matches!(error, RegisterError::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn a_proxys_page_in_place_of_a_registry_that_was_there_is_waited_out() {
    let registry = Scripted::start().await;
    let client = client(&registry);
    registry.answer(200, json!({"id": 7}));
    client.register("a-value", SCHEMA, &[]).await.expect("registered");
    for status in [404, 302, 200] {
        registry.answer_with(status, "<html>Not here</html>", HeaderMap::new());
        let error = client.register("b-value", SCHEMA, &[]).await;
        let failure = Failure::from(error.expect_err("no answer of a registry"));
        assert_eq!(failure.kind, ErrorKind::Transient, "{status}: {failure}");
        assert!(failure.message.contains("in place of"), "{failure}");
    }
    registry.answer(200, json!({"id": 8}));
    client.register("b-value", SCHEMA, &[]).await.expect("it is back");
}

#[tokio::test]
async fn every_answer_has_its_kind() {
    let registry = Scripted::start().await;
    for (status, code, kind) in [
        (500, 50_001, ErrorKind::Transient),
        (500, 50_002, ErrorKind::Transient),
        (500, 50_003, ErrorKind::Transient),
        (503, 0, ErrorKind::Transient),
        (401, 40_101, ErrorKind::Denied),
        (403, 40_301, ErrorKind::Denied),
        (301, 0, ErrorKind::Denied),
        (404, 404, ErrorKind::Denied),
        (404, 0, ErrorKind::Denied),
        (418, 41_801, ErrorKind::Unknown),
        (404, 40_499, ErrorKind::Unknown),
    ] {
        registry.refuse(status, code, "no");
        let failure = Failure::from(refused_registration(&registry).await);
        assert_eq!(failure.kind, kind, "{status} {code}: {failure}");
    }
    // A proxy's page.
    registry.answer_with(200, "<html>Log in</html>", HeaderMap::new());
    let failure = Failure::from(refused_registration(&registry).await);
    assert_eq!(failure.kind, ErrorKind::Denied);
    assert!(
        failure
            .remedy
            .is_some_and(|remedy| remedy.contains("schema_registry.url"))
    );
}

#[tokio::test]
async fn a_registry_that_asks_for_patience_says_how_long() {
    let registry = Scripted::start().await;
    registry.ask_to_wait(7);
    let failure = Failure::from(refused_registration(&registry).await);
    assert_eq!(failure.kind, ErrorKind::Throttled);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn refused_credentials_name_the_host_and_the_keys() {
    let registry = Scripted::start().await;
    registry.refuse(401, 401, "Unauthorized");
    let failure = Failure::from(refused_registration(&registry).await);
    let host = registry.url.trim_start_matches("http://");
    let remedy = failure.remedy.clone().unwrap_or_default();
    for word in [host, "schema_registry.username", "schema_registry.bearer_token"] {
        assert!(remedy.contains(word), "{remedy}");
    }
    assert!(failure.message.contains(host), "{failure}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let registry = Scripted::start().await;
    registry.answer_with(200, &"x".repeat(5 * 1024 * 1024), HeaderMap::new());
    let error = client(&registry).subjects().await.expect_err("too long");
    assert!(matches!(error, CallError::NotARegistry { .. }), "{error:?}");
}

#[tokio::test]
async fn the_next_url_is_asked_when_one_is_down_or_unwell_and_is_remembered() {
    let (unwell, well) = (Scripted::start().await, Scripted::start().await);
    let urls = [NOBODY, &unwell.url, &well.url];
    let client = RegistryClient::new(&config(&urls, None)).expect("usable");
    for _ in 0..2 {
        well.answer(200, json!(["a-value"]));
        assert_eq!(client.subjects().await.expect("subjects"), ["a-value"]);
    }
    assert_eq!(unwell.lines().len(), 1, "the one that answered is asked first");
    // Refusals are answers: nobody else is asked.
    well.refuse(404, 40_401, "no subject");
    assert!(client.versions("b").await.expect("versions").is_empty());
    assert_eq!(unwell.lines().len(), 1);
}

#[tokio::test]
async fn a_registry_that_is_down_is_a_transient_failure() {
    let client = RegistryClient::new(&config(&[NOBODY], None)).expect("usable");
    let failure = Failure::from(client.subjects().await.expect_err("nobody listens"));
    assert_eq!(failure.kind, ErrorKind::Transient);
    assert!(failure.message.contains("127.0.0.1:1"), "{failure}");
}

#[tokio::test]
async fn requests_speak_the_registrys_language() {
    let registry = Scripted::start().await;
    registry.answer(200, json!({"id": 4}));
    let registered = client(&registry)
        .register("a/b c", SCHEMA, &[])
        .await
        .expect("registered");
    assert_eq!(registered, Registered { id: 4, version: None });
    let asked = registry.asked().remove(0);
    assert_eq!(asked.line, "POST /subjects/a%2Fb%20c/versions");
    assert_eq!(
        asked.headers[header::CONTENT_TYPE],
        "application/vnd.schemaregistry.v1+json"
    );
    assert_eq!(asked.body, json!({"schema": SCHEMA}).to_string());
    assert!(!asked.headers.contains_key(header::AUTHORIZATION));
}

#[tokio::test]
async fn credentials_travel_in_the_header_and_are_never_shown() {
    let registry = Scripted::start().await;
    let basic = RegistryCredentials::Basic {
        username: "sfbridge".to_owned(),
        password: Secret::new("canary-password"),
    };
    let bearer = RegistryCredentials::Bearer(Secret::new("canary-token"));
    for (credentials, sent) in [
        (basic, "Basic c2ZicmlkZ2U6Y2FuYXJ5LXBhc3N3b3Jk"),
        (bearer, "Bearer canary-token"),
    ] {
        let client = Registry::new(&config(&[&registry.url], Some(credentials))).expect("usable");
        registry.refuse(403, 403, "no");
        let error = client.ensure("a", SCHEMA).await.expect_err("refused");
        let last = registry.asked().pop().expect("a request");
        assert_eq!(last.headers[header::AUTHORIZATION], sent);
        let failure = Failure::from(error.clone());
        let shown = format!("{client:?} {error:?} {failure:?} {}", chain(&failure));
        assert!(!shown.contains("canary") && !shown.contains("c2Zic"), "{shown}");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    let (registry, elsewhere) = (Scripted::start().await, Scripted::start().await);
    let location = HeaderValue::from_str(&elsewhere.url).expect("a header");
    registry.answer_with(302, "", HeaderMap::from_iter([(header::LOCATION, location)]));
    let error = client(&registry).subjects().await.expect_err("redirected");
    assert!(
        matches!(error, CallError::NotARegistry { status: 302, .. }),
        "{error:?}"
    );
    assert!(elsewhere.lines().is_empty());
}

#[tokio::test]
async fn ten_routes_with_one_schema_register_it_once() {
    let registry = Scripted::start().await;
    registry.refuse(404, 40_403, "not found");
    registry.answer(200, json!({"id": 9, "version": 1}));
    let cached = cached(&registry);
    let ids = join_all((0..10).map(|_| cached.ensure("a-value", SCHEMA))).await;
    assert!(
        ids.into_iter()
            .all(|id| id.is_ok_and(|registered| registered.id == 9))
    );
    assert_eq!(cached.ensure("a-value", SCHEMA).await.expect("known").id, 9);
    assert_eq!(
        registry.lines(),
        ["POST /subjects/a-value", "POST /subjects/a-value/versions"]
    );
}

#[tokio::test]
async fn a_version_that_the_registration_does_not_tell_is_asked_for_and_nothing_fails_without_it() {
    for (answered, version) in [
        ((200, json!({"id": 9, "version": 4})), Some(4)),
        ((200, json!({"id": 8, "version": 4})), None),
        ((500, json!({"error_code": 50_001, "message": "no"})), None),
    ] {
        let registry = Scripted::start().await;
        registry.refuse(404, 40_403, "not found");
        registry.answer(200, json!({"id": 9}));
        registry.answer(answered.0, answered.1);
        let registered = cached(&registry).ensure("a-value", SCHEMA).await;
        assert_eq!(registered.expect("registered"), Registered { id: 9, version });
        let [lookup, register] = ["POST /subjects/a-value", "POST /subjects/a-value/versions"];
        assert_eq!(registry.lines(), [lookup, register, lookup]);
    }
}

#[tokio::test]
async fn what_is_known_is_not_registered() {
    let registry = Scripted::start().await;
    registry.answer(
        200,
        json!({"subject": "a-value", "version": 2, "id": 5, "schema": SCHEMA}),
    );
    let known = cached(&registry).ensure("a-value", SCHEMA).await;
    assert_eq!(
        known.expect("known"),
        Registered {
            id: 5,
            version: Some(2)
        }
    );
    assert_eq!(registry.lines(), ["POST /subjects/a-value"]);
}

#[tokio::test]
async fn a_refusal_is_shared_by_those_who_waited_and_not_remembered() {
    let registry = Scripted::start().await;
    let cached = cached(&registry);
    let refused = join_all((0..10).map(|_| cached.ensure("a-value", SCHEMA))).await;
    assert!(
        refused
            .iter()
            .all(|answer| matches!(answer, Err(RegisterError::Call(CallError::Unwell { .. }))))
    );
    assert_eq!(registry.lines().len(), 1);
    tokio::time::sleep(REFUSAL_KEPT).await;
    registry.answer(200, json!({"id": 5}));
    assert_eq!(cached.ensure("a-value", SCHEMA).await.expect("well again").id, 5);
}

#[tokio::test]
async fn a_schema_is_fetched_once_with_all_that_it_uses_in_order() {
    let registry = Scripted::start().await;
    let reference = |subject: &str| json!({"name": subject, "subject": subject, "version": 1});
    let version = |subject: &str, references: serde_json::Value| json!({"subject": subject, "version": 1, "id": 1, "schema": SCHEMA, "references": references});
    registry.answer(
        200,
        json!({"schema": SCHEMA, "references": [reference("leaf"), reference("middle")]}),
    );
    registry.answer(200, version("middle", json!([reference("leaf")])));
    registry.answer(200, version("leaf", json!([])));
    let cached = cached(&registry);
    let both = join_all([cached.schema(3), cached.schema(3)]).await;
    for schema in both {
        let schema = schema.expect("a schema");
        let used: Vec<&str> = schema
            .references
            .iter()
            .map(|used| used.subject.as_str())
            .collect();
        assert_eq!((schema.id, used), (3, vec!["leaf", "middle"]));
    }
    assert_eq!(registry.lines().len(), 3, "the leaf is fetched once");
}

#[tokio::test]
async fn records_of_unknown_or_foreign_schemas_are_poison() {
    let registry = Scripted::start().await;
    let cached = cached(&registry);
    registry.refuse(404, 40_403, "no schema");
    registry.answer(
        200,
        json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"}),
    );
    for id in [1, 2] {
        let error = cached.schema(id).await.expect_err("no Avro schema");
        assert_eq!(Failure::from(error).kind, ErrorKind::Poison);
    }
}

#[tokio::test]
async fn a_subject_without_a_level_has_the_registrys() {
    let registry = Scripted::start().await;
    registry.refuse(404, 40_408, "no level");
    registry.answer(200, json!({"compatibilityLevel": "FULL_TRANSITIVE"}));
    assert_eq!(
        client(&registry).config("a").await.expect("a level"),
        Level::FullTransitive
    );
    assert_eq!(
        registry.lines(),
        ["GET /config/a?defaultToGlobal=true", "GET /config"]
    );
}

#[tokio::test]
async fn with_nothing_registered_everything_is_compatible_but_a_named_version_must_exist() {
    let registry = Scripted::start().await;
    let client = client(&registry);
    for (against, code) in [
        (Against::Latest, 40_402),
        (Against::All, 40_401),
        (Against::Version(1), 40_401),
    ] {
        registry.refuse(404, code, "not found");
        let found = client
            .compatible("a", against, SCHEMA, &[])
            .await
            .expect("an answer");
        assert!(found.is_compatible, "{against:?}");
    }
    registry.refuse(404, 40_402, "not found");
    let error = client.compatible("a", Against::Version(7), SCHEMA, &[]).await;
    assert!(
        matches!(error, Err(CompatibilityError::NoSuchVersion { version: 7, .. })),
        "{error:?}"
    );
    assert_eq!(
        registry.lines()[0],
        "POST /compatibility/subjects/a/versions/latest?verbose=true"
    );
    assert_eq!(
        registry.lines()[1],
        "POST /compatibility/subjects/a/versions?verbose=true"
    );
}

#[test]
fn a_ca_file_that_is_none_is_a_wrong_configuration() {
    let mut config = config(&["https://registry.acme.com"], None);
    config.ca_file = Some("/nonexistent/ca.pem".into());
    let failure = Registry::new(&config).expect_err("no such file");
    assert_eq!(failure.kind, ErrorKind::Misconfigured);
    assert!(failure.message.contains("schema_registry.ca_file"), "{failure}");
}
