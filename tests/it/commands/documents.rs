//! `--output json`: one document on stdout that parses, and refusals on stderr as ever.

use serde_json::{Value as Json, json};
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use super::Desk;
use crate::need;
use crate::support::bridge::{Setup, json_route};
use crate::support::terminal::{self, Terminal};

const ACCOUNTS: &str = "/data/AccountChangeEvent";

async fn org_and_desk() -> (Simulator, Desk) {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", ACCOUNTS, "crm.accounts", "");
    let desk = Desk::new(&Setup::new("crm", "127.0.0.1:9", &org, &routes));
    (org, desk)
}

#[tokio::test]
async fn the_effective_configuration_is_a_document_with_its_secrets_masked() {
    let (_org, desk) = org_and_desk().await;
    let (code, shown) = desk.json(&["config", "show", "--output", "json"]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown["bridge"]["name"], "crm");
    assert_eq!(shown["bridge"]["shutdown_timeout"], "30s");
    assert_eq!(shown["salesforce"]["auth"]["client_secret"], "***");
    assert_eq!(shown["kafka"]["create_topics"], true);
    assert_eq!(shown["routes"][0]["from"]["salesforce"], ACCOUNTS);
    assert!(!shown.to_string().contains("simulated-secret"), "{shown}");
    // The same keys as the text.
    let (_, text, _) = desk.said(&["config", "show"]).await;
    for section in shown.as_object().unwrap().keys() {
        assert!(
            text.contains(&format!("\n{section}:")) || text.starts_with(&format!("{section}:")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn contracts_are_shown_compared_and_begun_for_programs_and_for_people() {
    let (_org, desk) = org_and_desk().await;
    let (code, shown) = desk.json(&["contracts", "show"]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown[0]["topic"], "crm.accounts");
    let (_, text, _) = desk.said(&["contracts", "show", "--output", "text"]).await;
    assert_eq!(
        text,
        "accounts → crm.accounts  AccountChangeEvent  json  followed  no subject\n"
    );

    let (code, compared) = desk
        .json(&["contracts", "diff", "accounts", "--output", "json"])
        .await;
    assert_eq!(code, Some(0), "{compared}");
    assert_eq!(compared[0]["changes"], Json::Null);
    assert!(
        compared[0]["why"]
            .as_str()
            .unwrap()
            .contains("no earlier version"),
        "{compared}"
    );

    let init = [
        "contracts",
        "init",
        "accounts",
        "--fields",
        "Phone",
        "--output",
        "json",
    ];
    let (code, begun) = desk.json(&init).await;
    assert_eq!(code, Some(0), "{begun}");
    let file = "config/contracts/account.v1.avsc";
    assert_eq!(
        begun,
        json!({ "file": file, "route": "accounts", "event": "AccountChangeEvent" })
    );
    let pinned = std::fs::read_to_string(desk.path("sfbridge.yaml"))
        .unwrap()
        .replace(
            "format: json }",
            &format!("format: json, contract: {{ file: {file} }} }}"),
        );
    std::fs::write(desk.path("sfbridge.yaml"), pinned).unwrap();
    let (_, compared) = desk
        .json(&["contracts", "diff", "accounts", "--output", "json"])
        .await;
    let industry = json!({ "change": "added", "field": "Industry", "type": "[null, string]" });
    assert!(
        compared[0]["changes"].as_array().unwrap().contains(&industry),
        "{compared:#}"
    );
    let (_, text, _) = desk.said(&["contracts", "show", "--output", "text"]).await;
    assert!(text.contains("pinned by account.v1.avsc"), "{text}");
}

#[tokio::test]
async fn events_are_lines_for_programs_and_spread_for_people() {
    let (org, desk) = org_and_desk().await;
    org.emit_test_events(&TestEvents::new(1)).unwrap();
    let tail = [
        "tail", ACCOUNTS, "--replay", "earliest", "--limit", "1", "--output",
    ];
    let (code, line, complaint) = desk.said(&[&tail[..], &["json"]].concat()).await;
    assert_eq!((code, line.lines().count()), (Some(0), 1), "{line}{complaint}");
    let by_name = [
        "tail", "Account", "--replay", "earliest", "--limit", "1", "--output", "text",
    ];
    let (code, spread, complaint) = desk.said(&by_name).await;
    assert_eq!(code, Some(0), "{complaint}");
    assert!(spread.lines().count() > 10, "{spread}");
    let parsed = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    assert_eq!(parsed(&line), parsed(&spread));
}

#[tokio::test]
async fn a_demonstration_ends_with_a_document_and_tells_its_story_on_stderr() {
    let desk = Desk::with("");
    let (code, summary, story) = desk.said(&["demo", "--seconds", "3", "--output", "json"]).await;
    let summary: Json = serde_json::from_str(&summary).unwrap_or_else(|_| panic!("{summary}{story}"));
    assert_eq!(code, Some(0), "{summary:#}{story}");
    assert!(summary["events_sent"].as_u64().unwrap() > 0, "{summary:#}");
    assert_eq!(summary["records_written"], summary["records_read"]);
    for bad in ["lost", "duplicated", "out_of_order", "never_sent"] {
        assert_eq!(summary[bad], 0, "{summary:#}");
    }
    assert_eq!(summary["unchecked"], Json::Null);
    let directions = summary["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| &route["direction"]);
    assert!(
        directions
            .into_iter()
            .any(|direction| direction == "to_salesforce"),
        "{summary:#}"
    );
    assert!(
        story.contains("/api/routes") && story.contains("reader: "),
        "{story}"
    );
}

#[tokio::test]
async fn a_kafka_that_is_not_reached_is_told_soon_and_with_the_remedy() {
    let (_org, desk) = org_and_desk().await;
    for command in [
        &["positions", "list"][..],
        &["positions", "set", "accounts", "earliest"],
        &["dead-letters", "list"],
        &["dead-letters", "redrive", "--route", "accounts", "--yes"],
    ] {
        let (code, shown, complaint) = desk.said(&[command, &["--output", "json"]].concat()).await;
        assert_eq!((code, &*shown), (Some(1), ""), "{command:?}: {complaint}");
        assert!(
            complaint.contains("127.0.0.1:9") && complaint.contains("kafka.bootstrap_servers"),
            "{command:?}: {complaint}"
        );
    }
}

#[tokio::test]
async fn who_watches_a_terminal_is_told_what_is_waited_for() {
    need!("script", terminal::is_there());
    let (_org, desk) = org_and_desk().await;
    // Kafka is asked for ten seconds.
    let file = desk.path("sfbridge.yaml");
    let listing = Terminal::run(&format!("positions list --config {}", file.display()));
    let (code, shown) = listing.ended().await;
    assert_eq!(code, Some(1), "{shown}");
    let (_, after) = shown.split_once("asking Kafka …\r\u{1b}[2K").expect(&shown);
    assert!(after.contains("kafka.bootstrap_servers"), "{shown}");
}

/// Whatever asks for JSON can read stdout, and sees the code.
#[tokio::test]
async fn a_refusal_leaves_stdout_to_documents_alone() {
    let mistaken = Desk::with("bridge: { nome: crm }\n");
    let commands: [&[&str]; 13] = [
        &["check"],
        &["status"],
        &["positions", "list"],
        &["positions", "set", "accounts", "earliest"],
        &["positions", "reset", "accounts"],
        &["publish", "Order_Shipped__e", "{}"],
        &["tail", ACCOUNTS],
        &["config", "show"],
        &["contracts", "check"],
        &["contracts", "diff", "accounts"],
        &["dead-letters", "list"],
        &["dead-letters", "show", "dead[0]@1"],
        &["dead-letters", "redrive", "--route", "accounts", "--yes"],
    ];
    for command in commands {
        let asked = [command, &["--output", "json"]].concat();
        let (code, shown, complaint) = mistaken.said(&asked).await;
        assert_eq!(code, Some(64), "{command:?}: {shown}{complaint}");
        if shown.is_empty() {
            assert!(complaint.contains("nome"), "{command:?}: {complaint}");
        } else {
            let verdict: Json = serde_json::from_str(&shown).unwrap();
            assert_eq!(verdict["lines"][0]["verdict"], "broken", "{command:?}: {shown}");
        }
    }

    let (_org, desk) = org_and_desk().await;
    for command in [
        &["positions", "reset", "acounts"][..],
        &["positions", "set", "acounts", "earliest"],
        &["contracts", "diff", "acounts"],
        &["dead-letters", "redrive", "--route", "acounts", "--yes"],
    ] {
        let asked = [command, &["--output", "json"]].concat();
        let (code, shown, complaint) = desk.said(&asked).await;
        assert_eq!((code, &*shown), (Some(64), ""), "{command:?}: {complaint}");
        assert!(
            complaint.contains("did you mean accounts?"),
            "{command:?}: {complaint}"
        );
    }
}
