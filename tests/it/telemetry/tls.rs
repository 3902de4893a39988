//! Spans over TLS: to a collector whose certificate is vouched for, and to no other.

use serde_json::json;
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::traces::{Receiver, create, there_and_back};
use super::without_collector::{AWAY, stops_cleanly, until_warned};
use crate::need;
use crate::support::authority::{Authority, Signed};
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

async fn receiver(signed: &Signed) -> Result<Receiver, String> {
    Receiver::given(&json!({ "certificate": signed.certificate, "key": signed.key })).await
}

/// A bridge with an event to tell of, which is told that this authority vouches for the receiver.
async fn bridge(kafka: &str, org: &Simulator, receiver: &Receiver, authority: Option<&Authority>) -> Bridge {
    let folder = tempfile::tempdir().unwrap();
    let [to, none] = ["traced", "none"].map(unique);
    topic::create(kafka, &none, 1, &[]).await;
    let mut setup = Setup::new(&unique("crm"), kafka, org, &there_and_back(&to, &[&none]));
    setup.environment = receiver.environment(100);
    let endpoint = format!("https://localhost:{}", receiver.port);
    setup
        .environment
        .push(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint));
    if let Some(authority) = authority {
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        let file = file.display().to_string();
        setup.environment.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", file));
    }
    // It has read the file when it listens.
    let bridge = Bridge::start(&setup).await;
    create(org, 0..1);
    bridge
}

#[tokio::test]
async fn spans_go_over_tls_to_a_collector_with_an_authority_of_its_own() {
    let authority = Authority::new();
    let receiver = need!("foreign", receiver(&authority.sign("localhost")).await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let _bridge = bridge(&kafka, &org, &receiver, Some(&authority)).await;
    until(PATIENCE, "a span", || async {
        (!receiver.of("there").is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_nobody_vouches_for_or_of_another_name_gets_no_span() {
    let authority = Authority::new();
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let another = Authority::new();
    for (host, vouches) in [
        ("localhost", None),
        ("localhost", Some(&another)),
        ("elsewhere.example", Some(&authority)),
    ] {
        let receiver = need!("foreign", receiver(&authority.sign(host)).await);
        let bridge = bridge(&kafka, &org, &receiver, vouches).await;
        until_warned(&bridge, AWAY).await;
        stops_cleanly(&bridge).await;
        assert!(receiver.spans.lock().is_empty(), "{host}");
    }
}
