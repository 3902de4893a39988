//! A route that was taken out of the configuration is missed, loudly, until a person says that it is meant.

use sfbridge::simulator::{Simulator, SimulatorSettings};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::wait::until;

#[tokio::test]
async fn a_removed_route_makes_ready_fail_until_it_is_forgotten() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let kept = json_route("kept", "/data/AccountChangeEvent", &unique("kept"), "");
    let removed = json_route("removed", "/data/ContactChangeEvent", &unique("removed"), "");
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &format!("{kept}{removed}"));
    let bridge = Bridge::start(&setup).await;
    bridge.until_state("removed", &["streaming", "idle"]).await;
    bridge.signal("TERM");
    assert!(bridge.ended().await.success());

    setup.routes = kept;
    let bridge = Bridge::start(&setup).await;
    let unready = until(PATIENCE, "a complaint about the removed route", || async {
        let (status, body) = bridge.get("/ready").await?;
        (status == 503).then_some(body)
    })
    .await;
    assert!(
        unready.contains("route removed") && unready.contains("/api/routes/removed/forget"),
        "{unready}"
    );
    let (status, body) = bridge.post("/api/routes/kept/forget").await;
    assert_eq!(status, 409, "a configured route is not forgotten: {body}");
    let (status, body) = bridge.post("/api/routes/removed/forget").await;
    assert_eq!(status, 202, "{body}");
    until(PATIENCE, "readiness", || async {
        (bridge.get("/ready").await?.0 == 200).then_some(())
    })
    .await;
}
