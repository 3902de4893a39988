//! Publishing against a server that the tests play.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use crate::config::SalesforceConfig;
use crate::error::{ErrorKind, chain};
use crate::proto::{Error, ProducerEvent, PublishRequest, PublishResponse, PublishResult, TopicInfo};
use crate::salesforce::auth::scripted::LoginHost;
use crate::telemetry::metrics::Metrics;

use super::scripted::{Org, id, refusal};
use super::{
    EventRefusalKind, OutgoingEvent, PUBLISH_BYTES_MAX, PubSubClient, PublishAnswer, PublishError,
    PublishOutcome,
};

const TOPIC: &str = "/event/Shipped__e";

fn event(id: &str, payload_bytes: usize) -> OutgoingEvent {
    OutgoingEvent {
        id: id.to_owned(),
        schema_id: Arc::from("schema-1"),
        payload: vec![7; payload_bytes].into(),
    }
}

fn taken(at: u64) -> PublishResult {
    PublishResult {
        replay_id: id(at),
        error: None,
        correlation_key: String::new(),
    }
}

fn refused(code: i32, message: &str) -> PublishResult {
    PublishResult {
        error: Some(Error {
            code,
            msg: message.to_owned(),
        }),
        ..PublishResult::default()
    }
}

fn answer(results: Vec<PublishResult>) -> PublishResponse {
    PublishResponse {
        results,
        schema_id: "schema-2".to_owned(),
        rpc_id: "rpc".to_owned(),
    }
}

async fn publish_one(org: &Org) -> Result<PublishAnswer, PublishError> {
    org.client.publish(TOPIC, &[event("a", 3)]).await
}

fn failed(answer: Result<PublishAnswer, PublishError>) -> (crate::error::Failure, PublishOutcome) {
    match answer {
        Err(PublishError::Failed { failure, outcome }) => (failure, outcome),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_event_has_its_own_result_in_order() {
    let org = Org::start().await;
    let results = vec![taken(4), refused(1, "Secret Value is no date"), taken(5)];
    org.calls.publishes.lock().push_back(Ok(answer(results)));
    let events = [event("a", 3), event("b", 0), event("c", 9)];
    let answer = org.client.publish(TOPIC, &events).await.expect("an answer");
    assert_eq!(answer.schema_id, "schema-2");
    let replay_ids: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.as_ref().ok().map(|published| published.replay_id.clone()))
        .collect();
    assert_eq!(replay_ids, [Some(id(4)), None, Some(id(5))]);
    let refusal = answer.results[1].as_ref().expect_err("refused");
    assert_eq!(
        (refusal.code, refusal.kind),
        ("PUBLISH", EventRefusalKind::Rejected)
    );
    assert_eq!(refusal.message, "Secret Value is no date");
    assert!(!format!("{:?}", answer.results).contains("Secret"), "{refusal:?}");

    let sent = org.calls.published.lock()[0].clone();
    assert_eq!(sent.topic_name, TOPIC);
    let ids: Vec<_> = sent.events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert!(sent.events.iter().all(|event| event.schema_id == "schema-1"));
    assert_eq!(sent.events[2].payload, vec![7; 9]);
}

#[tokio::test]
async fn no_events_make_no_call() {
    let org = Org::start().await;
    let answer = org.client.publish(TOPIC, &[]).await.expect("nothing to do");
    assert!(answer.results.is_empty() && org.calls.published.lock().is_empty());
}

#[tokio::test]
async fn an_events_refusal_says_what_can_be_done_about_it() {
    let org = Org::start().await;
    let sentences = [
        (
            1,
            "LIMIT_EXCEEDED: You have exceeded your event publishing limit.",
            EventRefusalKind::Throttled,
        ),
        (
            1,
            "The hourly publishing limit is used up.",
            EventRefusalKind::Throttled,
        ),
        (
            1,
            "The event message exceeds the maximum size of 1 MB.",
            EventRefusalKind::Rejected,
        ),
        (
            1,
            "The event's schema ID is not known.",
            EventRefusalKind::StaleSchema,
        ),
        (
            0,
            "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE",
            EventRefusalKind::Transient,
        ),
        (9, "something else", EventRefusalKind::Rejected),
    ];
    let results = sentences
        .iter()
        .map(|(code, text, _)| refused(*code, text))
        .collect();
    org.calls.publishes.lock().push_back(Ok(answer(results)));
    let events: Vec<_> = sentences.iter().map(|(_, text, _)| event(text, 1)).collect();
    let answer = org.client.publish(TOPIC, &events).await.expect("an answer");
    for ((_, text, kind), result) in sentences.iter().zip(answer.results) {
        assert_eq!(result.expect_err("refused").kind, *kind, "{text}");
    }
}

#[tokio::test]
async fn a_refused_session_is_renewed_and_the_events_sent_once_more() {
    let org = Org::start().await;
    let answers = [Err(refusal("service.auth.error")), Ok(answer(vec![taken(1)]))];
    org.calls.publishes.lock().extend(answers);
    publish_one(&org).await.expect("the second try");
    assert_eq!(org.login.posted().len(), 2);
    assert_eq!(org.calls.published.lock().len(), 2);
}

#[tokio::test]
async fn what_is_known_of_the_events_of_a_failed_call() {
    let org = Org::start().await;
    let cases = [
        (
            refusal("service.unavailable"),
            ErrorKind::Transient,
            PublishOutcome::Unknown,
        ),
        (
            tonic::Status::unavailable("reset"),
            ErrorKind::Transient,
            PublishOutcome::Unknown,
        ),
        (
            tonic::Status::data_loss("?"),
            ErrorKind::Unknown,
            PublishOutcome::Unknown,
        ),
        (
            refusal("service.protection.triggered"),
            ErrorKind::Throttled,
            PublishOutcome::Refused,
        ),
        (
            refusal("publish.limit.exceeded"),
            ErrorKind::Throttled,
            PublishOutcome::Refused,
        ),
        (
            tonic::Status::resource_exhausted("slow down"),
            ErrorKind::Throttled,
            PublishOutcome::Refused,
        ),
        (
            refusal("topic.meta.permission"),
            ErrorKind::Denied,
            PublishOutcome::Refused,
        ),
        (
            refusal("publish.event.count.invalid"),
            ErrorKind::Unknown,
            PublishOutcome::Refused,
        ),
    ];
    for (status, kind, outcome) in cases {
        let case = format!("{status:?}");
        org.calls.publishes.lock().push_back(Err(status));
        let (failure, known) = failed(publish_one(&org).await);
        assert_eq!((failure.kind, known), (kind, outcome), "{case}");
    }
    org.calls.publishes.lock().push_back(Ok(answer(Vec::new())));
    let (failure, known) = failed(publish_one(&org).await);
    assert_eq!(
        (failure.kind, known),
        (ErrorKind::Transient, PublishOutcome::Unknown)
    );
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_the_outcome_open() {
    let org = Org::start().await;
    let client = org.client.clone();
    let call =
        crate::runtime::task::spawn(
            "publish",
            async move { client.publish(TOPIC, &[event("a", 3)]).await },
        );
    while org.calls.published.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    let (failure, known) = failed(call.join().await.expect("no panic"));
    assert_eq!(
        (failure.kind, known),
        (ErrorKind::Transient, PublishOutcome::Unknown)
    );
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let login = LoginHost::start().await;
    let config = SalesforceConfig {
        // Nothing listens there.
        pubsub_url: "http://127.0.0.1:1".to_owned(),
        ..login.client_credentials()
    };
    let tokens = crate::salesforce::auth::TokenSource::new(&config, Metrics::new()).expect("usable");
    let client = PubSubClient::new(&config, tokens).expect("usable");
    let (failure, known) = failed(client.publish(TOPIC, &[event("a", 3)]).await);
    assert_eq!(
        (failure.kind, known),
        (ErrorKind::Transient, PublishOutcome::NotSent),
        "{}",
        chain(&failure)
    );
}

#[tokio::test]
async fn a_schema_that_is_no_longer_the_topics_is_a_case_of_its_own() {
    let org = Org::start().await;
    org.calls
        .publishes
        .lock()
        .push_back(Err(refusal("schema.validation.failed")));
    let error = publish_one(&org).await.expect_err("refused");
    assert!(matches!(error, PublishError::StaleSchema(_)), "{error:?}");
    let failure = error.into_failure();
    assert_eq!(failure.kind, ErrorKind::Poison);
    assert!(failure.message.contains(TOPIC), "{failure}");
}

#[tokio::test]
async fn a_topic_that_may_not_be_published_to_is_denied_with_the_permission_to_give() {
    let org = Org::start().await;
    let answers = [true, false].map(|can_publish| {
        Ok(TopicInfo {
            can_publish,
            ..TopicInfo::default()
        })
    });
    org.calls.topics.lock().extend(answers);
    assert!(org.client.get_publishable_topic(TOPIC).await.is_ok());
    let failure = org.client.get_publishable_topic(TOPIC).await.expect_err("denied");
    assert_eq!(failure.kind, ErrorKind::Denied);
    assert!(
        failure
            .remedy
            .expect("a remedy")
            .contains("\"Create\" on Shipped__e")
    );
    org.calls
        .publishes
        .lock()
        .push_back(Err(refusal("topic.meta.permission")));
    let (failure, _) = failed(publish_one(&org).await);
    assert!(failure.message.contains("may not publish to"), "{failure}");
    assert!(
        failure
            .remedy
            .expect("a remedy")
            .contains("\"Create\" on Shipped__e")
    );
}

#[test]
fn an_events_bytes_are_those_of_the_wire() {
    let sizes = [0, 1, 127, 128, 300, 20_000, 2_000_000];
    let mut request = PublishRequest::default();
    let mut counted = 0;
    for size in sizes {
        let event = event("0b0f9d3e-0000-5000-8000-000000000000", size);
        counted += event.request_bytes();
        request.events.push(ProducerEvent {
            id: event.id.clone(),
            schema_id: event.schema_id.to_string(),
            payload: event.payload.clone(),
            headers: Vec::new(),
        });
        assert_eq!(request.encoded_len(), counted, "{size}");
        assert_eq!(event.is_too_large(), size > 1_048_576);
    }
    assert_eq!(PUBLISH_BYTES_MAX, 3_145_728);
}
