//! A collector that is away, or takes nothing: the data path does not notice.

use std::net::TcpListener;

use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::wait::until;

async fn start(kafka: &str, org: &Simulator, environment: Vec<(&'static str, String)>) -> Bridge {
    let routes = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let mut setup = Setup::new(&unique("crm"), kafka, org, &routes);
    setup.environment = environment;
    Bridge::start(&setup).await
}

/// Events through the bridge, a transaction each.
async fn events(bridge: &Bridge, org: &Simulator, count: u32) {
    let written = || bridge.metric("sfbridge_records_written_total", "written");
    for _ in 0..count {
        let before = written().await;
        org.emit_test_events(&TestEvents::new(1)).unwrap();
        until(PATIENCE, "the event in Kafka", || async {
            (written().await > before).then_some(())
        })
        .await;
    }
}

fn warnings(bridge: &Bridge, words: &str) -> usize {
    bridge.log().lines().filter(|line| line.contains(words)).count()
}

pub(super) async fn until_warned(bridge: &Bridge, words: &str) {
    until(PATIENCE, words, || async {
        (warnings(bridge, words) > 0).then_some(())
    })
    .await;
}

pub(super) async fn stops_cleanly(bridge: &Bridge) {
    bridge.signal("TERM");
    assert!(bridge.ended().await.success());
}

pub(super) const AWAY: &str = "traces cannot be exported";

#[tokio::test]
async fn a_collector_that_is_away_is_told_once_and_the_bridge_flows() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    // Bound and let go: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nobody}")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "200".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
    ];
    let bridge = start(&kafka, &org, environment).await;
    events(&bridge, &org, 1).await;
    until_warned(&bridge, AWAY).await;
    events(&bridge, &org, 10).await;
    stops_cleanly(&bridge).await;
    assert_eq!(warnings(&bridge, AWAY), 1, "{}", bridge.log());
    assert_eq!(
        warnings(&bridge, "traces that could not be exported"),
        1,
        "{}",
        bridge.log()
    );
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    // Connections wait in its queue for ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let environment = vec![
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", silent.local_addr().unwrap()),
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2".to_owned()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1".to_owned()),
    ];
    let bridge = start(&kafka, &org, environment).await;
    events(&bridge, &org, 12).await;
    until_warned(&bridge, "SpanDroppingStarted").await;
    stops_cleanly(&bridge).await;
    assert_eq!(warnings(&bridge, "SpanDroppingStarted"), 1, "{}", bridge.log());
}

#[tokio::test]
async fn what_cannot_be_followed_of_the_environment_turns_traces_off_with_the_reason() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
    ];
    let bridge = start(&kafka, &org, environment).await;
    events(&bridge, &org, 1).await;
    assert_eq!(warnings(&bridge, "only grpc is spoken"), 1, "{}", bridge.log());
    stops_cleanly(&bridge).await;
}
