//! A topic on which nothing happens: its position stays young, and its silence is noticed.

use std::time::Duration;

use serde_json::Value;
use sfbridge::app::{App, Timings};
use sfbridge::runtime::shutdown::Signals;
use sfbridge::simulator::faults::StreamMode;
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use super::oracle::assert_each_once_in_order;
use super::records;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{Isolation, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";

async fn org() -> Simulator {
    Simulator::start(SimulatorSettings {
        // Salesforce takes its time (two minutes); the test does not.
        keep_alive: Duration::from_millis(500),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap()
}

/// The stored position, as the next owner of the route would read it.
async fn stored(kafka: &str, bridge: &str) -> Option<Value> {
    let topic = format!("_sfbridge.{bridge}.positions");
    let all = read_all(kafka, &topic, Isolation::ReadCommitted).await;
    let last = all.iter().rev().find(|record| record.key_text() == "accounts")?;
    serde_json::from_str(&last.value_text()).ok()
}

#[tokio::test]
async fn the_position_of_a_quiet_topic_follows_keep_alives_and_a_restart_resumes_there() {
    let kafka = need!("kafka", broker::shared());
    let org = org().await;
    let to = unique("accounts");
    let setup = Setup::new(
        &unique("crm"),
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    );
    let bridge = Bridge::start(&setup).await;
    let last_event = org.emit_test_events(&TestEvents::new(3)).unwrap().replay_id;
    records(&kafka, &to, 3).await;
    let replay_id = |position: &Value| position["replay_id"].as_str().map(str::to_owned);
    let mut last = hex::encode(last_event);
    for _ in 0..3 {
        last = until(PATIENCE, "a later position without an event", || async {
            replay_id(&stored(&kafka, &setup.name).await?).filter(|id| *id != last)
        })
        .await;
    }
    let position = stored(&kafka, &setup.name).await.unwrap();
    assert_eq!(
        position["after"],
        serde_json::json!([]),
        "a keep-alive's id is complete"
    );
    bridge.kill();
    let counts = || org.topic_counts(ACCOUNTS).unwrap();
    let before = counts();
    assert_eq!(before.events_delivered, 3);

    let again = Bridge::start(&setup).await;
    until(PATIENCE, "keep-alives of the new stream", || async {
        let now = counts();
        (now.subscriptions > before.subscriptions && now.keep_alives > before.keep_alives + 1).then_some(())
    })
    .await;
    assert_eq!(counts().events_delivered, 3, "nothing is delivered again");
    org.emit_test_events(&TestEvents::new(2)).unwrap();
    let seen = records(&kafka, &to, 5).await;
    assert_each_once_in_order(&seen, 5);
    assert_eq!(counts().events_delivered, 5);
    drop(again);
}

#[tokio::test]
async fn ready_fails_while_the_other_side_is_silent_and_names_the_route() {
    let kafka = need!("kafka", broker::shared());
    let org = org().await;
    let setup = Setup::new(
        &unique("crm"),
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &unique("accounts"), ""),
    );
    // In this process: how long silence may last is a constant of the program, which only its library can set.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), setup.yaml(0)).unwrap();
    let loaded = sfbridge::config::load(file.path()).unwrap();
    let timings = Timings {
        silence_max: Duration::from_secs(3),
    };
    let app = App::open(loaded.config, timings).await.unwrap();
    let address = app.admin_address;
    let running =
        sfbridge::runtime::task::spawn("bridge", async move { app.run(&mut Signals::never()).await });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = || async {
        let answer = client.get(format!("http://{address}/ready")).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    let counts = || org.topic_counts(ACCOUNTS).unwrap();
    until(PATIENCE, "keep-alives", || async {
        (counts().keep_alives > 1).then_some(())
    })
    .await;
    assert_eq!(ready().await.unwrap().0, 200);

    org.set_mode(None, StreamMode::Silent).unwrap();
    let said = until(PATIENCE, "an unready bridge", || async {
        let (status, body) = ready().await?;
        (status == 503).then_some(body)
    })
    .await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["ready"], false);
    let reason = said["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with("route accounts has had no answer for"),
        "{reason}"
    );
    assert_eq!(counts().streams_open, 1, "the stream itself looks healthy");

    org.set_mode(None, StreamMode::Normal).unwrap();
    until(PATIENCE, "a ready bridge", || async {
        (ready().await?.0 == 200).then_some(())
    })
    .await;
    // Its owner's end is the bridge's.
    drop(running);
}
