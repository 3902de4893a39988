//! What goes wrong beside the data: sessions, streams, error codes, the broker, credentials.

use std::time::Duration;

use sfbridge::simulator::faults::{Fault, Rpc, StreamMode, Then};
use sfbridge::simulator::{PlatformEvent, Simulator};

use super::{ACCOUNTS, ONE_PARTITION, an_org, created, emit, names, records, subscriptions};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::{self, Broker};
use crate::support::kafka_tools;
use crate::support::topic::unique;
use crate::support::wait::until;

fn setup(name: &str, kafka: &str, org: &Simulator, routes: &str) -> Setup {
    Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(name, kafka, org, routes)
    }
}

/// Pain: a token expires, and the stream stalls, starts over, or logs in once for every subscription.
#[tokio::test]
async fn ten_routes_renew_an_expired_session_once_and_lose_nothing() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, prefix) = (an_org().await, unique("tokens"), unique("accounts"));
    let topic = |n: usize| format!("{prefix}-{n}");
    let routes: String = (0..10)
        .map(|n| json_route(&format!("r{n}"), ACCOUNTS, &topic(n), ""))
        .collect();
    let bridge = Bridge::start(&setup(&name, &kafka, &org, &routes)).await;
    emit(&org, &["1"]);
    for n in 0..10 {
        records(&kafka, &topic(n), 1).await;
    }
    assert_eq!(org.org_counts().tokens_issued, 1, "one login for all");
    let subscribed = org.topic_counts(ACCOUNTS).unwrap().subscriptions;
    org.expire_tokens();
    org.end_streams(None, Then::error("service.auth.error")).unwrap();
    emit(&org, &["2"]);
    for n in 0..10 {
        assert_eq!(names(&records(&kafka, &topic(n), 2).await), ["1", "2"]);
    }
    assert_eq!(org.org_counts().tokens_issued, 2, "one refresh for all");
    assert_eq!(org.topic_counts(ACCOUNTS).unwrap().subscriptions, subscribed + 10);
    assert_eq!(
        bridge.metric("sfbridge_token_refreshes_total", "outcome=").await,
        2.0
    );

    // Streams go on with an expired token; a schema that is needed then is not lost with its event.
    org.expire_tokens();
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    org.change(&created("3").field("Added__c", "x")).unwrap();
    for n in 0..10 {
        assert_eq!(names(&records(&kafka, &topic(n), 3).await), ["1", "2", "3"]);
    }
    assert_eq!(org.org_counts().tokens_issued, 3);
    assert_eq!(
        org.org_counts().get_schema_calls,
        2,
        "each schema once for all routes"
    );
}

/// What a route does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    GoesOn,
    Halts,
    LosesPosition,
}
use Outcome::{GoesOn, Halts, LosesPosition};

/// Every error that a subscription can meet.
const CODES: &[(&str, Outcome)] = &[
    ("service.unavailable", GoesOn),
    ("service.auth.error", GoesOn),
    ("service.auth.headers.invalid", GoesOn),
    ("service.auth.refresh.invalid", GoesOn),
    ("service.protection.stream.limit.triggered", GoesOn),
    ("service.protection.triggered", GoesOn),
    ("service.tenant.license", Halts),
    ("concurrent.client.limit.exceeded", GoesOn),
    ("topic.not.found", Halts),
    ("topic.meta.permission", Halts),
    ("topic.api.unavailable", GoesOn),
    ("topic.validation.empty", Halts),
    ("schema.meta.permission", Halts),
    ("schema.api.unavailable", GoesOn),
    ("schema.validation.failed", Halts),
    ("subscription.fetch.replayid.corrupted", LosesPosition),
    ("subscription.fetch.replayid.validation.failed", LosesPosition),
    ("subscription.fetch.replay.repeated", GoesOn),
    ("subscription.limit.exceeded", GoesOn),
    ("subscription.fetch.overflow", GoesOn),
    ("subscription.fetch.requested.events.invalid", Halts),
    ("subscription.fetch.topic.mismatch", Halts),
    ("subscription.fetch.request.invalid", Halts),
    ("subscription.topic.cannot.subscribe", Halts),
    ("subscription.internal.error", GoesOn),
];

/// Pain: connectors that retry what no retry mends, or give up what the next minute would have mended.
#[tokio::test]
async fn every_error_code_makes_its_route_go_on_or_halt_with_the_object_and_the_remedy() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, prefix) = (an_org().await, unique("codes"), unique("code"));
    let mut routes = String::new();
    let source = |n: usize| format!("/event/Code_{n}__e");
    let event = |n: usize| PlatformEvent {
        topic: source(n),
        fields: serde_json::Map::new(),
        event_id: None,
    };
    for (n, (code, outcome)) in CODES.iter().enumerate() {
        let schema = format!(
            r#"{{"type":"record","name":"Code_{n}__e","namespace":"com.sforce.eventbus","fields":[{{"name":"CreatedDate","type":"long","doc":"CreatedDate:DateTime"}},{{"name":"CreatedById","type":"string","doc":"CreatedBy:EntityId"}}]}}"#
        );
        org.define_topic(&source(n), &schema).unwrap();
        org.publish(&event(n)).unwrap();
        // Refused three times, a replay id is believed to be lost.
        let times = if *outcome == LosesPosition { 3 } else { 1 };
        org.fault(
            Fault::new(Rpc::Subscribe, Then::error(code))
                .on(&source(n))
                .times(times),
        )
        .unwrap();
        routes += &json_route(&format!("r{n}"), &source(n), &format!("{prefix}-{n}"), "");
    }
    let bridge = Bridge::start(&setup(&name, &kafka, &org, &routes)).await;
    for (n, (code, outcome)) in CODES.iter().enumerate() {
        let (route, to) = (format!("r{n}"), format!("{prefix}-{n}"));
        if *outcome == Halts {
            let halted = bridge.until_state(&route, &["halted"]).await;
            let (why, remedy) = (
                halted["state"]["why"].to_string(),
                halted["state"]["remedy"].to_string(),
            );
            assert!(
                why.contains(&source(n)) || why.contains("Pub/Sub API"),
                "{code}: {halted}"
            );
            assert!(why.contains(code), "{code}: {halted}");
            assert!(remedy.len() > 20, "{code}: {halted}");
            // The cause is mended; the operator restarts the route.
            assert_eq!(bridge.post(&format!("/api/routes/{route}/restart")).await.0, 202);
        }
        assert_eq!(records(&kafka, &to, 1).await.len(), 1, "{code}");
        if *outcome == LosesPosition {
            let reports = super::gap_reports(&kafka, &name, &route).await;
            assert_eq!(reports.len(), 1, "{code}: {reports:?}");
        }
    }
    assert_eq!(org.faults_waiting(), 0);
    for cause in ["transient", "throttled", "unauthenticated", "lost_position"] {
        let count = bridge
            .metric("sfbridge_reconnects_total", &format!("cause=\"{cause}\""))
            .await;
        assert!(count >= 1.0, "{cause}: {count}");
    }
    // Each goes on streaming afterwards.
    for n in 0..CODES.len() {
        org.publish(&event(n)).unwrap();
    }
    for n in 0..CODES.len() {
        assert_eq!(records(&kafka, &format!("{prefix}-{n}"), 2).await.len(), 2);
    }
}

/// Pain: a schema that fails to load in the middle of a batch takes its events with it.
#[tokio::test]
async fn a_schema_that_cannot_be_read_is_waited_for_and_one_that_is_denied_halts_the_route() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("schemas"), unique("accounts"));
    for code in [
        "schema.api.unavailable",
        "service.unavailable",
        "service.auth.error",
    ] {
        org.fault(Fault::new(Rpc::GetSchema, Then::error(code))).unwrap();
    }
    emit(&org, &["1", "2"]);
    let bridge = Bridge::start(&setup(
        &name,
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    assert_eq!(names(&records(&kafka, &to, 2).await), ["1", "2"]);
    org.fault(Fault::new(Rpc::GetSchema, Then::error("schema.meta.permission")))
        .unwrap();
    org.add_field(ACCOUNTS, "Added__c", "string").unwrap();
    emit(&org, &["3"]);
    let halted = bridge.until_state("accounts", &["halted"]).await;
    let state = halted["state"].to_string();
    assert!(state.contains(&org.schema_id(ACCOUNTS).unwrap()), "{state}");
    assert!(halted["state"]["remedy"].is_string(), "{state}");
    // The refusal is believed for some seconds, so that routes do not repeat the call one after the other.
    until(PATIENCE, "the schema, once it is asked for again", || async {
        if bridge.route("accounts").await?["state"]["name"] == "halted" {
            assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
        }
        (super::committed(&kafka, &to).await.len() >= 3).then_some(())
    })
    .await;
    assert_eq!(names(&records(&kafka, &to, 3).await), ["1", "2", "3"]);
    assert_eq!(org.faults_waiting(), 0);
}

/// Pain: a stream that "looks connected and gets nothing".
#[tokio::test]
async fn streams_that_end_in_any_way_are_opened_again_and_a_silent_one_shows() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("streams"), unique("accounts"));
    let bridge = Bridge::start(&setup(
        &name,
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    let ways = [
        Then::Reset,
        Then::Disconnect,
        Then::Complete,
        Then::error("subscription.internal.error"),
    ];
    let mut expected = Vec::new();
    for (n, way) in ways.into_iter().enumerate() {
        subscriptions(&org, ACCOUNTS, n as u64 + 1).await;
        for when in ["before", "after"] {
            let event = format!("{when} {n}");
            emit(&org, &[&event]);
            expected.push(event);
            if when == "before" {
                org.end_streams(Some(ACCOUNTS), way.clone()).unwrap();
            }
        }
        assert_eq!(names(&records(&kafka, &to, expected.len()).await), expected);
    }
    assert!(
        bridge
            .metric("sfbridge_reconnects_total", "cause=\"completed\"")
            .await
            >= 1.0
    );
    // A half-open stream: nothing arrives and nothing ends. The age of the last answer is what tells.
    org.set_mode(Some(ACCOUNTS), StreamMode::Silent).unwrap();
    emit(&org, &["in the dark"]);
    let silent = bridge.route("accounts").await.unwrap();
    let answered: jiff::Timestamp = silent["last_answer"].as_str().unwrap().parse().unwrap();
    assert!(answered.as_millisecond() <= super::now_ms(), "{silent}");
    assert_eq!(silent["records_written"], expected.len(), "{silent}");
    org.set_mode(Some(ACCOUNTS), StreamMode::Normal).unwrap();
    expected.push("in the dark".to_owned());
    assert_eq!(names(&records(&kafka, &to, expected.len()).await), expected);
}

/// Pain: after an outage of Kafka a connector stays dead, or repeats, or has dropped what came meanwhile.
#[tokio::test]
async fn a_broker_that_restarts_or_stays_away_costs_time_and_nothing_else() {
    let kafka = need!("kafka", Broker::start_new(&[]));
    // Longer than a transaction may stay open.
    const AWAY: Duration = Duration::from_secs(61);
    let (org, name, to) = (an_org().await, unique("away"), unique("accounts"));
    let bridge = Bridge::start(&setup(
        &name,
        kafka.bootstrap(),
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    emit(&org, &["1"]);
    records(kafka.bootstrap(), &to, 1).await;

    kafka.kill();
    emit(&org, &["2"]);
    kafka.start().unwrap();
    assert_eq!(names(&records(kafka.bootstrap(), &to, 2).await), ["1", "2"]);

    kafka.stop();
    emit(&org, &["3", "4"]);
    let shown = until(PATIENCE, "what the route waits for", || async {
        let route = bridge.route("accounts").await?;
        route["state"]["why"].as_str()?.contains("Kafka").then_some(route)
    })
    .await;
    assert_ne!(shown["state"]["name"], "halted", "{shown}");
    // The outage itself is what is tested.
    tokio::time::sleep(AWAY).await;
    kafka.start().unwrap();
    assert_eq!(
        names(&records(kafka.bootstrap(), &to, 4).await),
        ["1", "2", "3", "4"]
    );

    // Connections stay open and nothing is answered: longer than a write may take.
    kafka.freeze();
    emit(&org, &["5"]);
    until(PATIENCE, "the write given up", || async {
        let route = bridge.route("accounts").await?;
        (route["state"]["name"] == "waiting" || route["state"]["name"] == "starting").then_some(())
    })
    .await;
    kafka.thaw();
    emit(&org, &["6"]);
    assert_eq!(
        names(&records(kafka.bootstrap(), &to, 6).await),
        ["1", "2", "3", "4", "5", "6"]
    );
    assert!(bridge.is_running());
}

#[tokio::test]
async fn wrong_credentials_are_named_and_never_shown() {
    let kafka = need!("kafka", broker::shared());
    let (org, to) = (an_org().await, unique("accounts"));
    let setup = Setup {
        client_secret: "a-secret-that-is-wrong".to_owned(),
        ..setup(
            &unique("secret"),
            &kafka,
            &org,
            &json_route("accounts", ACCOUNTS, &to, ""),
        )
    };
    let bridge = Bridge::start(&setup).await;
    let shown = until(PATIENCE, "the refused login", || async {
        let route = bridge.route("accounts").await?;
        route["state"]["remedy"].is_string().then_some(route)
    })
    .await;
    let state = shown["state"].to_string();
    assert!(
        state.contains("client_secret") || state.contains("client_id"),
        "{state}"
    );
    assert!(bridge.is_running());
    let told = format!("{state}{}", bridge.log());
    assert!(!told.contains("a-secret-that-is-wrong"), "{told}");
}

/// A password that is wrong, for Kafka: the start waits (it may be mended), and says what to look at.
#[tokio::test]
async fn a_wrong_password_for_kafka_is_named_and_never_shown() {
    let (kafka, port) = need!(
        "kafka",
        Broker::start_with_password("bridge", "right-password", &[])
    );
    let org = an_org().await;
    let to = unique("accounts");
    let sasl = |password: &str| {
        format!(
            "{ONE_PARTITION}  properties: {{ security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: bridge, sasl.password: {password} }}\n"
        )
    };
    let wrong = Setup {
        kafka: sasl("wrong-password"),
        ..Setup::new(
            &unique("password"),
            &format!("127.0.0.1:{port}"),
            &org,
            &json_route("accounts", ACCOUNTS, &to, ""),
        )
    };
    let bridge = Bridge::start(&wrong).await;
    let shown = until(PATIENCE, "the refused password", || async {
        let route = bridge.route("accounts").await?;
        let why = route["state"].to_string();
        why.contains("sasl.password").then_some(route)
    })
    .await;
    assert!(!format!("{shown}{}", bridge.log()).contains("wrong-password"));
    drop(bridge);
    let right = Setup {
        kafka: sasl("right-password"),
        ..wrong
    };
    let _bridge = Bridge::start(&right).await;
    emit(&org, &["1"]);
    assert_eq!(names(&records(kafka.bootstrap(), &to, 1).await), ["1"]);
}

/// What managed clusters ask for, and what topics are compressed with, is built in.
#[tokio::test]
async fn a_bridge_logs_in_by_each_mechanism_and_compresses_with_each_codec() {
    let scram = |number| {
        format!(
            "listener.name.sasl_plaintext.scram-sha-{number}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
        )
    };
    let lines = [
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        scram(256),
        scram(512),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (kafka, port) = need!("kafka", Broker::start_with_password("bridge", "secret", &lines));
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let credential = format!("{mechanism}=[password=secret]");
        let user = ["--alter", "--entity-type", "users", "--entity-name", "bridge"];
        let arguments = [user.as_slice(), &["--add-config", &credential]].concat();
        kafka_tools::run("kafka-configs", kafka.bootstrap(), &arguments).await;
    }
    let org = an_org().await;
    emit(&org, &["1"]);
    for (mechanism, codec) in [
        ("SCRAM-SHA-256", "zstd"),
        ("SCRAM-SHA-512", "lz4"),
        ("SCRAM-SHA-512", "snappy"),
        ("PLAIN", "gzip"),
    ] {
        let to = unique("accounts");
        let setup = Setup {
            kafka: format!(
                "{ONE_PARTITION}  properties: {{ security.protocol: SASL_PLAINTEXT, sasl.mechanism: {mechanism}, sasl.username: bridge, sasl.password: secret, compression.type: {codec} }}\n"
            ),
            ..Setup::new(
                &unique("login"),
                &format!("127.0.0.1:{port}"),
                &org,
                &json_route("accounts", ACCOUNTS, &to, ""),
            )
        };
        let _bridge = Bridge::start(&setup).await;
        let seen = records(kafka.bootstrap(), &to, 1).await;
        assert_eq!(names(&seen), ["1"], "{mechanism}, {codec}");
    }
}

#[tokio::test]
async fn kafka_that_is_not_reached_within_a_minute_ends_the_start_with_69() {
    let org = an_org().await;
    // Nothing listens on this port.
    let routes = json_route("accounts", ACCOUNTS, "accounts", "");
    let bridge = Bridge::start(&Setup::new(&unique("nobody"), "127.0.0.1:9", &org, &routes)).await;
    let shown = until(PATIENCE, "what it waits for", || async {
        let route = bridge.route("accounts").await?;
        route["state"]["why"]
            .as_str()?
            .contains("127.0.0.1:9")
            .then_some(route)
    })
    .await;
    assert_eq!(shown["state"]["name"], "waiting");
    assert_eq!(bridge.ended().await.code(), Some(69));
    let log = bridge.log();
    assert!(log.contains("sfbridge: ") && log.contains("127.0.0.1:9"), "{log}");
}
