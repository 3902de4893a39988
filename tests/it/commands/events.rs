//! `sfbridge tail` and `sfbridge publish`: no Kafka is there.

use std::process::Stdio;

use serde_json::Value as Json;
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Desk, text};
use crate::support::bridge::{Setup, json_route};

const SHIPPED: &str = "/event/Order_Shipped__e";

async fn org_and_desk() -> (Simulator, Desk) {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", "/data/AccountChangeEvent", "accounts", "");
    let desk = Desk::new(&Setup::new("crm", "127.0.0.1:9", &org, &routes));
    (org, desk)
}

async fn publish_lines(desk: &Desk, lines: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .args(["publish", "Order_Shipped__e", "-", "--output", "json", "--config"])
        .arg(desk.path("sfbridge.yaml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_is_published_is_tailed_in_its_order_and_a_line_that_is_no_event_is_told() {
    let (_org, desk) = org_and_desk().await;
    let event =
        r#"{"Order_Number__c": "O-0", "Weight__c": 0.5, "Shipped_At__c": "2026-11-27T10:00:00+01:00"}"#;
    let (code, id, complaint) = desk.said(&["publish", SHIPPED, event]).await;
    assert_eq!(code, Some(0), "{complaint}");
    let mut lines: String = (1..300)
        .map(|n| format!("{{\"Order_Number__c\": \"O-{n}\", \"Weight__c\": {n}}}\n"))
        .collect();
    lines.push_str("{\"Order_Number\": \"typo\"}\nnonsense\n");
    let (code, ids, complaint) = publish_lines(&desk, &lines).await;
    assert_eq!(code, Some(1));
    assert_eq!(ids.lines().count(), 299, "{complaint}");
    assert!(
        complaint.contains("line 300")
            && complaint.contains("has no field Order_Number; did you mean Order_Number__c?"),
        "{complaint}"
    );
    assert!(complaint.contains("line 301"), "{complaint}");

    let tail = ["tail", SHIPPED, "--replay", "earliest", "--limit", "300"];
    let (code, shown, complaint) = desk.said(&tail).await;
    assert_eq!(code, Some(0), "{complaint}");
    let events: Vec<Json> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<&str> = events
        .iter()
        .map(|event| event["Order_Number__c"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..300).map(|n| format!("O-{n}")).collect();
    assert_eq!(numbers, expected);
    assert_eq!(events[0]["Shipped_At__c"], "2026-11-27T09:00:00.000Z");
    assert_eq!(events[0]["_meta"]["replay_id"], id.trim());
    let second: Json = serde_json::from_str(ids.lines().next().unwrap()).unwrap();
    assert_eq!(second["line"], 1);
    assert_eq!(events[1]["_meta"]["replay_id"], second["replay_id"]);
    assert!(events[1]["_meta"]["schema_id"].is_string());

    let after = [
        "tail",
        SHIPPED,
        "--replay",
        id.trim(),
        "--limit",
        "1",
        "--filter",
        "event.Weight__c >= 290.0",
    ];
    let (code, shown, complaint) = desk.said(&after).await;
    assert_eq!(code, Some(0), "{complaint}");
    assert!(shown.contains("\"O-290\""), "{shown}");
}

#[tokio::test]
async fn change_events_are_a_line_a_record_with_readable_field_names() {
    let (org, desk) = org_and_desk().await;
    org.emit_test_events(&TestEvents::new(2)).unwrap();
    let tail = [
        "tail",
        "/data/AccountChangeEvent",
        "--replay",
        "earliest",
        "--limit",
        "2",
    ];
    let (code, shown, complaint) = desk.said(&tail).await;
    assert_eq!(code, Some(0), "{complaint}");
    for line in shown.lines() {
        let event: Json = serde_json::from_str(line).unwrap();
        assert_eq!(event["ChangeEventHeader"]["entityName"], "Account");
        assert_eq!(
            event["ChangeEventHeader"]["recordIds"].as_array().unwrap().len(),
            1
        );
        assert!(event["_meta"]["time"].is_string(), "{event}");
    }
    assert_eq!(shown.lines().count(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_or_published_is_told_with_the_remedy() {
    let (org, desk) = org_and_desk().await;
    org.set_permitted(SHIPPED, false).unwrap();
    for command in [&["tail", SHIPPED][..], &["publish", SHIPPED, "{}"]] {
        let (code, shown, complaint) = desk.said(command).await;
        assert_eq!(code, Some(1), "{command:?}");
        assert!(shown.is_empty(), "{shown}");
        assert!(
            complaint.contains(SHIPPED) && complaint.lines().count() == 2,
            "{complaint}"
        );
    }
    for wrong in [
        &["tail", SHIPPED, "--replay", "yesterday"][..],
        &["tail", SHIPPED, "--filter", "event."],
    ] {
        assert_eq!(desk.said(wrong).await.0, Some(64), "{wrong:?}");
    }
}
