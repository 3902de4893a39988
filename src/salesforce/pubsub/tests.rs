//! Subscriptions against a server that the tests play.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use crate::config::{AuthConfig, SalesforceConfig, Secret};
use crate::error::{ErrorKind, Failure};
use crate::proto::ReplayPreset;
use crate::salesforce::auth::TokenSource;
use crate::salesforce::auth::scripted::{LoginHost, ORG_18};
use crate::telemetry::metrics::{CauseLabels, Metrics};

use super::scripted::{Opened, Org, id, refusal};
use super::{Item, PubSubClient, Start, StreamStatus, SubscribeOptions, Subscription};

const TOPIC: &str = "/data/AccountChangeEvent";

fn options(start: Start, capacity_events: u32) -> SubscribeOptions {
    SubscribeOptions {
        topic: TOPIC.to_owned(),
        start,
        capacity_events,
        capacity_bytes: 16 * 1024 * 1024,
        route: Arc::from("accounts"),
    }
}

fn subscribe(org: &Org, start: Start) -> (Subscription, Metrics) {
    let metrics = Metrics::new();
    let subscription = Subscription::open(org.client.clone(), options(start, 1000), metrics.clone());
    (subscription, metrics)
}

fn reconnects(metrics: &Metrics, cause: &str) -> u64 {
    let label = CauseLabels {
        route: "accounts".into(),
        cause: cause.into(),
    };
    metrics.reconnects.get_or_create(&label).get()
}

async fn next_ids(subscription: &mut Subscription) -> Vec<bytes::Bytes> {
    match subscription.next().await {
        Some(Ok(Item::Events(events))) => events.into_iter().map(|event| event.replay_id).collect(),
        other => panic!("no events but {other:?}"),
    }
}

async fn failure(subscription: &mut Subscription) -> Failure {
    subscription
        .next()
        .await
        .expect("a last word")
        .expect_err("a failure")
}

async fn until(subscription: &Subscription, wanted: impl Fn(&StreamStatus) -> bool) -> StreamStatus {
    let mut status = subscription.status();
    let seen = tokio::time::timeout(Duration::from_secs(20), status.wait_for(wanted)).await;
    seen.expect("in time").expect("the reader lives").clone()
}

async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn is_waiting(status: &StreamStatus) -> bool {
    matches!(status, StreamStatus::Waiting { .. })
}

#[tokio::test]
async fn the_first_request_names_topic_and_place_and_asks_for_the_cap() {
    let mut org = Org::start().await;
    let (subscription, _) = subscribe(&org, Start::After(id(7)));
    let mut stream = org.opened().await;
    let first = stream.ask().await;
    assert_eq!((&*first.topic_name, first.num_requested), (TOPIC, 100));
    assert_eq!(
        (first.replay_preset(), first.replay_id),
        (ReplayPreset::Custom, id(7))
    );
    let told = |key: &str| {
        stream
            .metadata
            .get(key)
            .expect("told")
            .to_str()
            .expect("ascii")
            .to_owned()
    };
    assert_eq!(told("accesstoken"), "token-1");
    assert_eq!(told("instanceurl"), org.login.url);
    assert_eq!(told("tenantid"), ORG_18);
    assert_eq!(told("x-client-trace-id").len(), 36);
    until(&subscription, |status| {
        matches!(status, StreamStatus::Open { .. })
    })
    .await;
    assert_eq!(subscription.last_answer_ms(), None);
}

#[tokio::test]
async fn events_and_keep_alives_come_in_the_order_of_the_stream() {
    let mut org = Org::start().await;
    let (mut subscription, _) = subscribe(&org, Start::Earliest);
    let stream = org.opened().await;
    stream.events(&[1, 2], 10).await;
    stream.keep_alive(5).await;
    stream.events(&[6], 10).await;
    assert_eq!(next_ids(&mut subscription).await, [id(1), id(2)]);
    let keep_alive = subscription.next().await.expect("open").expect("no failure");
    assert_eq!(keep_alive, Item::KeepAlive { replay_id: id(5) });
    assert_eq!(next_ids(&mut subscription).await, [id(6)]);
    assert!(subscription.last_answer_ms().is_some());
}

#[tokio::test]
async fn every_response_is_answered_with_one_top_up() {
    let mut org = Org::start().await;
    let (_subscription, _) = subscribe(&org, Start::Earliest);
    let mut stream = org.opened().await;
    assert_eq!(stream.ask().await.num_requested, 100);
    stream.events(&[1, 2, 3], 10).await;
    let top_up = stream.ask().await;
    assert_eq!((&*top_up.topic_name, top_up.num_requested), (TOPIC, 3));
}

#[tokio::test]
async fn a_full_hand_withholds_requests_until_the_route_releases() {
    let mut org = Org::start().await;
    let mut subscription =
        Subscription::open(org.client.clone(), options(Start::Earliest, 50), Metrics::new());
    let mut stream = org.opened().await;
    assert_eq!(stream.ask().await.num_requested, 50);
    stream.events(&(1..=50).collect::<Vec<_>>(), 10).await;
    assert_eq!(next_ids(&mut subscription).await.len(), 50);
    let asked = tokio::time::timeout(Duration::from_millis(50), stream.asks.message()).await;
    assert!(asked.is_err(), "asked for more than there is room for");
    assert!(
        subscription.is_withheld(),
        "known with the event that fills the room"
    );
    subscription.release(20, 0);
    assert_eq!(stream.ask().await.num_requested, 20);
    stream.events(&[51], 10).await;
    next_ids(&mut subscription).await;
    assert!(!subscription.is_withheld(), "nineteen are owed");
}

#[tokio::test]
async fn streams_that_are_busy_at_once_share_the_room_of_the_process() {
    const MB: usize = 1024 * 1024;
    let mut org = Org::start().await;
    let client = org.client.clone();
    let open = || {
        let options = SubscribeOptions {
            capacity_bytes: 8 * MB as u64,
            ..options(Start::Earliest, 1000)
        };
        Subscription::open(client.clone(), options, Metrics::new())
    };
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut subscription = open();
        let mut stream = org.opened().await;
        assert_eq!(stream.ask().await.num_requested, 100, "by a guess of their size");
        stream.events(&(1..=7).collect::<Vec<_>>(), MB).await;
        next_ids(&mut subscription).await;
        busy.push((subscription, stream));
    }
    let mut third = open();
    let mut stream = org.opened().await;
    let first = stream.ask().await.num_requested;
    assert!(
        (1..50).contains(&first),
        "asked for {first} though little room is left"
    );
    drop(busy);
    // What they held is free once their readers are gone; the next response asks for all that is missing.
    let mut asked = first;
    for place in 1.. {
        stream.events(&[place], 10).await;
        next_ids(&mut third).await;
        third.release(1, 0);
        asked += stream.ask().await.num_requested - 1;
        if asked == 100 {
            return;
        }
        assert!(place < 1000, "only {asked} are asked for with all the room free");
    }
}

#[tokio::test]
async fn a_stream_that_ended_with_nothing_owed_is_not_reopened_without_room() {
    let mut org = Org::start().await;
    let mut subscription =
        Subscription::open(org.client.clone(), options(Start::Earliest, 10), Metrics::new());
    let stream = org.opened().await;
    stream.events(&(1..=10).collect::<Vec<_>>(), 10).await;
    next_ids(&mut subscription).await;
    drop(stream);
    until(&subscription, |status| *status == StreamStatus::Withheld).await;
    assert!(org.none_opened());
    subscription.release(10, 0);
    let mut stream = org.opened().await;
    let first = stream.ask().await;
    assert_eq!((first.num_requested, first.replay_id), (10, id(9)));
}

#[tokio::test]
async fn a_break_goes_on_from_the_last_id_known_complete() {
    let mut org = Org::start().await;
    let (mut subscription, metrics) = subscribe(&org, Start::After(id(1)));
    let stream = org.opened().await;
    stream.events(&[5, 8, 8], 10).await;
    next_ids(&mut subscription).await;
    stream
        .fail(Status::unavailable(
            "RST_STREAM closed stream. HTTP/2 error code: NO_ERROR",
        ))
        .await;
    let mut stream = org.opened().await;
    assert_eq!(stream.ask().await.replay_id, id(5));
    stream.events(&[8, 8, 8], 10).await;
    assert_eq!(next_ids(&mut subscription).await.len(), 3);
    stream.keep_alive(20).await;
    subscription.next().await.expect("open").expect("a keep-alive");
    drop(stream);
    assert_eq!(org.opened().await.ask().await.replay_id, id(20));
    assert_eq!(reconnects(&metrics, "transient"), 1);
    assert_eq!(reconnects(&metrics, "completed"), 1);
}

#[tokio::test]
async fn a_break_after_the_first_event_of_latest_loses_nothing() {
    let mut org = Org::start().await;
    let (mut subscription, _) = subscribe(&org, Start::Latest);
    let mut stream = org.opened().await;
    assert_eq!(stream.ask().await.replay_preset(), ReplayPreset::Latest);
    stream.events(&[5], 10).await;
    next_ids(&mut subscription).await;
    drop(stream);
    let mut stream = org.opened().await;
    assert_eq!(stream.ask().await.replay_preset(), ReplayPreset::Earliest);
    // The route filters what is older than its start.
    stream.events(&[4, 5, 6], 10).await;
    assert_eq!(next_ids(&mut subscription).await, [id(4), id(5), id(6)]);
}

#[tokio::test]
async fn silence_while_events_are_owed_reopens_the_stream() {
    let mut org = Org::start().await;
    let (mut subscription, metrics) = subscribe(&org, Start::Earliest);
    let stream = org.opened().await;
    stream.events(&[1, 2], 10).await;
    next_ids(&mut subscription).await;
    skip(Duration::from_secs(301)).await;
    assert_eq!(org.opened().await.ask().await.replay_id, id(1));
    stream.closed().await;
    assert_eq!(reconnects(&metrics, "silent"), 1);
}

#[tokio::test]
async fn silence_is_allowed_while_nothing_is_owed() {
    let mut org = Org::start().await;
    let mut subscription =
        Subscription::open(org.client.clone(), options(Start::Earliest, 2), Metrics::new());
    let mut stream = org.opened().await;
    stream.ask().await;
    stream.events(&[1, 2], 10).await;
    next_ids(&mut subscription).await;
    skip(Duration::from_secs(301)).await;
    subscription.release(2, 0);
    assert_eq!(stream.ask().await.num_requested, 2, "on the same stream");
    assert!(org.none_opened());
}

#[tokio::test]
async fn a_lost_position_is_believed_after_three_tries() {
    for suffix in [
        "subscription.fetch.replayid.corrupted",
        "subscription.fetch.replayid.validation.failed",
    ] {
        let mut org = Org::start().await;
        let (mut subscription, metrics) = subscribe(&org, Start::After(id(1)));
        for _ in 0..2 {
            org.opened().await.fail(refusal(suffix)).await;
            until(&subscription, is_waiting).await;
            skip(Duration::from_secs(5)).await;
        }
        org.opened().await.fail(refusal(suffix)).await;
        assert_eq!(failure(&mut subscription).await.kind, ErrorKind::LostPosition);
        assert!(subscription.next().await.is_none());
        assert_eq!(reconnects(&metrics, "lost_position"), 2);
    }
}

#[tokio::test]
async fn what_a_person_must_settle_ends_the_subscription_at_once() {
    let cases = [
        ("topic.not.found", ErrorKind::Denied),
        ("topic.meta.permission", ErrorKind::Denied),
        ("topic.validation.empty", ErrorKind::Denied),
        ("subscription.topic.cannot.subscribe", ErrorKind::Denied),
        ("service.tenant.license", ErrorKind::Denied),
        ("subscription.fetch.requested.events.invalid", ErrorKind::Unknown),
        ("subscription.fetch.topic.mismatch", ErrorKind::Unknown),
        ("subscription.fetch.request.invalid", ErrorKind::Unknown),
        ("never.seen.before", ErrorKind::Unknown),
    ];
    let mut org = Org::start().await;
    for (suffix, kind) in cases {
        let (mut subscription, _) = subscribe(&org, Start::Earliest);
        org.opened().await.fail(refusal(suffix)).await;
        assert_eq!(failure(&mut subscription).await.kind, kind, "{suffix}");
        assert!(subscription.next().await.is_none());
    }
}

#[tokio::test]
async fn an_unknown_invalid_argument_is_no_lost_position() {
    let mut org = Org::start().await;
    let (mut subscription, _) = subscribe(&org, Start::After(id(1)));
    org.opened()
        .await
        .fail(Status::invalid_argument("Replay ID validation failed"))
        .await;
    assert_eq!(failure(&mut subscription).await.kind, ErrorKind::Unknown);
}

#[tokio::test]
async fn what_passes_is_waited_out_and_the_stream_goes_on() {
    let cases = [
        ("service.unavailable", "transient"),
        ("topic.api.unavailable", "transient"),
        ("subscription.internal.error", "transient"),
        ("subscription.fetch.replay.repeated", "transient"),
        ("service.protection.triggered", "throttled"),
        ("service.protection.stream.limit.triggered", "throttled"),
        ("concurrent.client.limit.exceeded", "throttled"),
        ("subscription.limit.exceeded", "throttled"),
        ("subscription.fetch.overflow", "throttled"),
    ];
    let mut org = Org::start().await;
    for (suffix, cause) in cases {
        let (mut subscription, metrics) = subscribe(&org, Start::Earliest);
        org.opened().await.fail(refusal(suffix)).await;
        if cause == "throttled" {
            let status = until(&subscription, is_waiting).await;
            let StreamStatus::Waiting { failure, .. } = status else {
                unreachable!()
            };
            let why = failure.text();
            assert!(why.contains(suffix), "{why}");
            skip(Duration::from_secs(8)).await;
        }
        let stream = org.opened().await;
        stream.events(&[1], 10).await;
        assert_eq!(next_ids(&mut subscription).await, [id(1)], "{suffix}");
        assert_eq!(reconnects(&metrics, cause), 1, "{suffix}");
    }
}

#[tokio::test]
async fn ten_routes_with_a_refused_session_share_one_login() {
    let mut org = Org::start().await;
    let subscriptions: Vec<_> = (0..10).map(|_| subscribe(&org, Start::Earliest)).collect();
    let mut refused: Vec<Opened> = Vec::new();
    for _ in 0..10 {
        refused.push(org.opened().await);
    }
    for stream in refused {
        stream.fail(refusal("service.auth.error")).await;
    }
    for _ in 0..10 {
        let stream = org.opened().await;
        assert_eq!(stream.metadata.get("accesstoken").expect("told"), "token-2");
    }
    assert_eq!(org.login.posted().len(), 2);
    drop(subscriptions);
}

#[tokio::test]
async fn a_session_that_is_refused_again_and_again_is_waited_for() {
    let mut org = Org::start().await;
    let (subscription, _) = subscribe(&org, Start::Earliest);
    while !is_waiting(&subscription.status().borrow()) {
        let refused = tokio::time::timeout(Duration::from_millis(500), org.opened()).await;
        if let Ok(stream) = refused {
            stream.fail(Status::unauthenticated("expired")).await;
        }
    }
    assert!(org.login.posted().len() >= 3);
}

#[tokio::test]
async fn a_given_token_that_is_refused_is_tried_again_and_says_what_to_do() {
    let login = LoginHost::start().await;
    let config = login.config(AuthConfig::AccessToken {
        access_token: Secret::new("given"),
        instance_url: "http://127.0.0.1:1".to_owned(),
        organization_id: ORG_18.to_owned(),
    });
    let mut org = Org::with(login, config, None).await;
    let (subscription, _) = subscribe(&org, Start::Earliest);
    let mut status = subscription.status();
    loop {
        tokio::select! {
            stream = org.opened() => stream.fail(refusal("service.auth.error")).await,
            waiting = status.wait_for(is_waiting) => {
                let waiting = waiting.expect("the reader lives").clone();
                let StreamStatus::Waiting { failure, tried, .. } = waiting else { unreachable!() };
                assert!(failure.remedy.is_some());
                assert!(tried.logins >= 2, "{tried:?}");
                return;
            }
        }
    }
}

#[tokio::test]
async fn dropping_the_subscription_ends_its_stream() {
    let mut org = Org::start().await;
    let (subscription, _) = subscribe(&org, Start::Earliest);
    let stream = org.opened().await;
    drop(subscription);
    tokio::time::timeout(Duration::from_secs(5), stream.closed())
        .await
        .expect("closed");
}

#[tokio::test]
async fn keep_alives_never_crowd_out_events_of_a_route_that_does_not_read() {
    let mut org = Org::start().await;
    let mut subscription =
        Subscription::open(org.client.clone(), options(Start::Earliest, 3), Metrics::new());
    let mut stream = org.opened().await;
    stream.ask().await;
    for at in 1..=100 {
        stream.keep_alive(at).await;
    }
    stream.events(&[200], 10).await;
    stream.events(&[201], 10).await;
    stream.events(&[202], 10).await;
    drop(stream);
    // The reader came to the end of the stream though nobody read what it took.
    until(&subscription, |status| *status == StreamStatus::Withheld).await;
    let (mut keep_alives, mut events) = (0, 0);
    while let Some(item) = subscription.try_next() {
        match item.expect("no failure") {
            Item::KeepAlive { .. } => keep_alives += 1,
            Item::Events(_) => events += 1,
        }
    }
    assert_eq!(events, 3);
    assert!((1..=16).contains(&keep_alives), "{keep_alives}");
}

#[tokio::test]
async fn a_host_that_is_away_is_waited_for_and_shown() {
    let login = LoginHost::start().await;
    let config = SalesforceConfig {
        pubsub_url: "http://127.0.0.1:1".to_owned(),
        ..login.client_credentials()
    };
    let tokens = TokenSource::new(&config, Metrics::new()).expect("usable");
    let client = PubSubClient::new(&config, tokens).expect("usable");
    let subscription = Subscription::open(client, options(Start::Earliest, 10), Metrics::new());
    let status = until(&subscription, is_waiting).await;
    let StreamStatus::Waiting { failure, .. } = status else {
        unreachable!()
    };
    let why = failure.text();
    assert!(
        why.contains(TOPIC) && why.to_lowercase().contains("refused"),
        "{why}"
    );
}
