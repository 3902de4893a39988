//! `sfbridge status`.

use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::Desk;
use crate::need;
use crate::support::bridge::{Bridge, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;

#[tokio::test]
async fn a_running_bridge_shows_its_routes_and_a_halted_one_fails() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.admin = "  token: s3cret-of-this-test\n".to_owned();
    let bridge = Bridge::start(&setup).await;
    let desk = Desk::new(&setup);
    let token = desk.path("token");
    std::fs::write(&token, "s3cret-of-this-test\n").unwrap();
    let token = token.display().to_string();
    let ask = ["status", "--url", bridge.admin_url(), "--token-file", &token];
    let (code, shown, complaint) = desk.said(&ask).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert!(
        shown.contains(&setup.name) && shown.contains("accounts") && shown.contains("to Kafka"),
        "{shown}"
    );

    let (code, _, complaint) = desk.said(&ask[..3]).await;
    assert_eq!(code, Some(1));
    assert!(complaint.contains("--token-file"), "{complaint}");

    org.set_permitted("/data/AccountChangeEvent", false).unwrap();
    org.end_streams(None, sfbridge::simulator::faults::Then::Reset)
        .unwrap();
    let shown = crate::support::wait::until(crate::support::bridge::PATIENCE, "exit code 1", || async {
        let (code, shown, _) = desk.said(&ask).await;
        (code == Some(1)).then_some(shown)
    })
    .await;
    assert!(
        shown.contains("halted") && shown.contains("    remedy: "),
        "{shown}"
    );
    let (code, json) = desk.json(&[&ask[..], &["--output", "json"]].concat()).await;
    assert_eq!(code, Some(1));
    assert_eq!(json["routes"][0]["state"]["name"], "halted");
}

#[tokio::test]
async fn a_bridge_that_does_not_answer_is_said_with_the_remedy() {
    let desk = Desk::with("");
    let (code, shown, complaint) = desk.said(&["status", "--url", "http://127.0.0.1:9"]).await;
    assert_eq!(code, Some(1));
    assert!(shown.is_empty(), "{shown}");
    assert!(
        complaint.contains("127.0.0.1:9") && complaint.contains("start it"),
        "{complaint}"
    );
}
