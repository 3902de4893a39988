//! The level of the log, changed while the bridge runs.

use serde_json::{Value as Json, json};
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings, TestEvents};

use super::Desk;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;

use crate::support::topic::{self, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";

fn lines(bridge: &Bridge) -> Vec<Json> {
    let log = bridge.log();
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn debug_lines(lines: &[Json]) -> usize {
    lines.iter().filter(|line| line["level"] == "DEBUG").count()
}

async fn change(bridge: &Bridge, headers: &[(&str, &str)], body: String) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(format!("{}/api/log", bridge.admin_url())).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn debug_lines_appear_when_they_are_asked_for_and_stop_again() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", ACCOUNTS, &unique("accounts"), "");
    let setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    let bridge = Bridge::start(&setup).await;
    let desk = Desk::new(&setup);
    let ask = ["log-level", "--url", bridge.admin_url()];
    let written = |count: f64| {
        let (org, bridge) = (&org, &bridge);
        async move {
            org.emit_test_events(&TestEvents::new(1)).unwrap();
            until(PATIENCE, "a record", || async {
                let written = bridge.metric("sfbridge_records_written_total", "written").await;
                (written >= count).then_some(())
            })
            .await;
        }
    };
    written(1.0).await;
    assert_eq!(debug_lines(&lines(&bridge)), 0);
    let (code, shown, _) = desk.said(&ask).await;
    assert_eq!((code, shown.trim()), (Some(0), "info"));

    // The transport of the event stream says something with every event.
    let (code, shown, complaint) = desk.said(&[&ask[..], &["info,h2=debug"]].concat()).await;
    assert_eq!((code, shown.trim()), (Some(0), "info,h2=debug"), "{complaint}");
    written(2.0).await;
    until(PATIENCE, "debug lines", || async {
        (debug_lines(&lines(&bridge)) > 0).then_some(())
    })
    .await;

    let (code, json) = desk
        .json(&[&ask[..], &["info", "--output", "json"]].concat())
        .await;
    assert_eq!((code, &json), (Some(0), &json!({ "level": "info" })));
    written(3.0).await;
    let lines = lines(&bridge);
    let changes: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at]["message"] == "log level changed")
        .collect();
    assert_eq!(changes.len(), 2, "{lines:#?}");
    let [there, back] = [&lines[changes[0]], &lines[changes[1]]];
    assert_eq!(
        [&there["level"], &there["before"], &there["now"]],
        ["INFO", "info", "info,h2=debug"]
    );
    assert_eq!([&back["before"], &back["now"]], ["info,h2=debug", "info"]);
    // One line may be on its way while the level changes.
    let after = debug_lines(&lines[changes[1]..]);
    assert!(after <= 1, "{after} lines after the change back");
}

/// Everything that any crate in the program has to say.
#[tokio::test]
async fn the_loudest_log_holds_no_field_value_and_no_secret() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    topic::create(&kafka, &to, 1, &[]).await;
    let routes = json_route("there", ACCOUNTS, &to, "")
        + &format!(
            "  - name: back\n    from: {{ kafka: {to}, format: json, start: earliest }}\n    to:\n      salesforce: /event/Order_Shipped__e\n      fields: {{ Order_Number__c: value.Name }}\n"
        );
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.environment = vec![("SFBRIDGE_LOG", "trace".to_owned())];
    let bridge = Bridge::start(&setup).await;
    let change = Change::new("Account", ChangeType::Create)
        .records(["001000000000001AAA"])
        .field("Name", "canary-in-a-field");
    org.change(&change).unwrap();
    until(PATIENCE, "the event there and back", || async {
        let published = org.sent("/event/Order_Shipped__e", 0).unwrap().0.len();
        (published > 0).then_some(())
    })
    .await;
    let log = bridge.log();
    assert!(log.contains(r#""level":"TRACE""#));
    let token_begins = format!("{}!", org.organization_id());
    for secret in ["canary-in-a-field", "simulated-secret", &token_begins] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn a_wrong_level_is_refused_with_the_reason_and_changes_nothing() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", ACCOUNTS, &unique("accounts"), "");
    let setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    let bridge = Bridge::start(&setup).await;
    let desk = Desk::new(&setup);
    let operator = [("X-Sfbridge", "1")];
    for body in [
        r#"{"level":"inof"}"#,
        r#"{"level":"info,sfbridge=loud"}"#,
        r#"{"level":""}"#,
        r#"{"level":7}"#,
        r#"{"level":"info","for":"1m"}"#,
        "debug",
    ] {
        let (status, text) = change(&bridge, &operator, body.to_owned()).await;
        assert_eq!(status, 400, "{body}: {text}");
        let told: Json = serde_json::from_str(&text).unwrap();
        assert!(
            told["error"].as_str().is_some_and(|why| why.contains("level")),
            "{text}"
        );
    }
    let (code, _, complaint) = desk
        .said(&["log-level", "inof", "--url", bridge.admin_url()])
        .await;
    assert_eq!(code, Some(1));
    assert!(complaint.contains("must be error, warn, info"), "{complaint}");

    let debug = || r#"{"level":"debug"}"#.to_owned();
    assert_eq!(change(&bridge, &[], debug()).await.0, 403, "a web page");
    let large = json!({ "level": "a".repeat(20_000) }).to_string();
    assert_eq!(change(&bridge, &operator, large).await.0, 413);
    let (status, shown) = bridge.get("/api/log").await.unwrap();
    assert_eq!((status, shown.as_str()), (200, r#"{"level":"info"}"#));
    assert_eq!(change(&bridge, &operator, debug()).await.0, 200);
}
