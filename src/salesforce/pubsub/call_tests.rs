//! Unary calls and the schema cache against a server that the tests play.

use std::time::Duration;

use tonic::transport::Identity;

use crate::config::SalesforceConfig;
use crate::error::{ErrorKind, Failure, chain};
use crate::proto::TopicInfo;
use crate::salesforce::auth::scripted::LoginHost;

use super::SchemaCache;
use super::scripted::{Org, refusal};

const TOPIC: &str = "/data/AccountChangeEvent";

async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_schema_is_fetched_once_for_all_routes() {
    let org = Org::start().await;
    let cache = SchemaCache::new(org.client.clone(), |id, json| {
        Ok::<_, Failure>(format!("{id} {json}"))
    });
    let all = futures_util::future::try_join_all((0..20).map(|_| cache.get("abc")))
        .await
        .expect("schemas");
    assert!(all.iter().all(|schema| **schema == "abc \"string\""));
    assert!(cache.peek("abc").is_some() && cache.peek("other").is_none());
    assert_eq!(*org.calls.schema_ids.lock(), ["abc"]);
}

#[tokio::test]
async fn a_schema_that_cannot_be_fetched_with_an_expired_token_is_fetched_with_a_new_one() {
    let org = Org::start().await;
    org.calls
        .schemas
        .lock()
        .push_back(Err(refusal("service.auth.error")));
    let cache = SchemaCache::new(org.client.clone(), |_, json| Ok::<_, Failure>(json.to_owned()));
    assert_eq!(**cache.get("abc").await.expect("the second try"), *"\"string\"");
    assert_eq!(org.login.posted().len(), 2);
}

#[tokio::test]
async fn a_refused_or_unreadable_schema_is_asked_for_again_later() {
    let org = Org::start().await;
    let cache = SchemaCache::new(org.client.clone(), |_, json| serde_json::from_str::<String>(json));
    org.calls
        .schemas
        .lock()
        .push_back(Err(refusal("schema.meta.permission")));
    assert_eq!(
        cache.get("abc").await.expect_err("denied").kind,
        ErrorKind::Denied
    );
    skip(Duration::from_secs(5)).await;
    org.calls.schemas.lock().push_back(Ok("no schema".to_owned()));
    assert_eq!(
        cache.get("abc").await.expect_err("unreadable").kind,
        ErrorKind::Poison
    );
    assert_eq!(
        cache.get("abc").await.expect_err("shared").kind,
        ErrorKind::Poison
    );
    skip(Duration::from_secs(5)).await;
    assert_eq!(*cache.get("abc").await.expect("readable"), "string");
    assert_eq!(org.calls.schema_ids.lock().len(), 3);
}

#[tokio::test]
async fn a_topic_that_may_be_seen_but_not_read_is_denied_with_the_permission_to_give() {
    let org = Org::start().await;
    let answers = [true, false].map(|can_subscribe| {
        Ok(TopicInfo {
            can_subscribe,
            ..TopicInfo::default()
        })
    });
    org.calls.topics.lock().extend(answers);
    assert!(org.client.get_readable_topic(TOPIC).await.is_ok());
    let failure = org.client.get_readable_topic(TOPIC).await.expect_err("denied");
    assert_eq!(failure.kind, ErrorKind::Denied);
    assert!(
        failure
            .remedy
            .expect("a remedy")
            .contains("\"View All\" on Account")
    );
    let missing = org.client.get_topic(TOPIC).await.expect_err("none");
    assert!(missing.message.contains(TOPIC), "{missing}");
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_the_configuration_names_it() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), made.cert.pem()).expect("written");
    for trusted in [true, false] {
        let login = LoginHost::start().await;
        let config = SalesforceConfig {
            ca_file: trusted.then(|| file.path().to_owned()),
            ..login.client_credentials()
        };
        let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
        let org = Org::with(login, config, Some(identity)).await;
        let answer = org.client.get_topic(TOPIC).await.expect_err("refused either way");
        let expected = if trusted {
            ErrorKind::Denied
        } else {
            ErrorKind::Transient
        };
        assert_eq!(answer.kind, expected, "{}", chain(&answer));
    }
}
