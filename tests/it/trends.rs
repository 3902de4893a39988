//! What is left of the org's limits, as a running bridge keeps up with it.

use serde_json::Value;
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::wait::until;

async fn start(kafka: &str, org: &Simulator) -> Bridge {
    let route = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    Bridge::start(&Setup::new(&unique("crm"), kafka, org, &route)).await
}

async fn overview(bridge: &Bridge) -> Option<Value> {
    serde_json::from_str(&bridge.get("/api/routes").await?.1).ok()
}

#[tokio::test]
async fn a_bridge_that_only_reads_events_tells_what_is_left_of_the_orgs_limits() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.set_daily_deliveries(50_000, 49_000);
    org.set_daily_requests(15_000, 5_000);
    let bridge = start(&kafka, &org).await;
    let shown = until(PATIENCE, "the limits", || async {
        let shown = overview(&bridge).await?;
        let limits = shown["salesforce_limits"].as_array()?;
        (limits.len() >= 4).then_some(shown)
    })
    .await;
    let left = |name: &str| {
        let limits = shown["salesforce_limits"].as_array().unwrap();
        let limit = limits.iter().find(|limit| limit["name"] == name);
        let limit = limit.unwrap_or_else(|| panic!("no {name} in {shown}"));
        (
            limit["max"].as_u64().unwrap(),
            limit["remaining"].as_u64().unwrap(),
        )
    };
    assert_eq!(left("DailyDeliveredPlatformEvents"), (50_000, 1_000));
    let (max, remaining) = left("DailyApiRequests");
    assert_eq!(max, 15_000);
    assert!(
        (9_000..10_000).contains(&remaining),
        "it costs some itself: {remaining}"
    );
    assert_eq!(shown["trends"], serde_json::json!([]), "nothing can be said yet");
    let label = r#"limit="DailyDeliveredPlatformEvents""#;
    let gauge = bridge.metric("sfbridge_salesforce_limit_remaining", label).await;
    assert_eq!(gauge, 1_000.0);
    let (_, metrics) = bridge.get("/metrics").await.unwrap();
    assert!(
        metrics
            .lines()
            .all(|line| line.starts_with('#') || !line.contains("exhausted_seconds")),
        "absent while nothing can be said"
    );
}

#[tokio::test]
async fn limits_that_the_user_may_not_see_are_remarked_on_once_and_stop_no_route() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.rest_fault(RestFault {
        path: Some("limits".to_owned()),
        times: u32::MAX,
        refusal: Some(RestRefusal::new(403, "INSUFFICIENT_ACCESS", "no")),
        ..RestFault::default()
    });
    let bridge = start(&kafka, &org).await;
    let remark = "View Setup and Configuration";
    until(PATIENCE, "the remark", || async {
        bridge.log().contains(remark).then_some(())
    })
    .await;
    org.emit_test_events(&TestEvents::new(3)).unwrap();
    until(PATIENCE, "events that pass", || async {
        let route = bridge.route("accounts").await?;
        (route["records_written"] == 3).then_some(())
    })
    .await;
    assert_eq!(bridge.log().matches(remark).count(), 1);
    let route = bridge.route("accounts").await.unwrap();
    assert!(route.get("error").is_none(), "{route}");
}
