//! `sfbridge check`.

use std::time::Duration;

use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};
use tokio::time::Instant;

use super::Desk;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::{self, Broker};
use crate::support::kafka_tools::deny_transactional_id;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:9";

fn order_route(from: &str, fields: &str) -> String {
    format!(
        "  - name: orders\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to:\n      salesforce: /event/Order_Shipped__e\n      fields: {fields}\n"
    )
}

#[tokio::test]
async fn a_bridge_that_can_run_passes_and_nothing_is_written() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (to, from, name) = (unique("accounts"), unique("orders"), unique("crm"));
    topic::create(&kafka, &from, 2, &[]).await;
    let dead = unique("dead");
    topic::create(&kafka, &dead, 1, &[("retention.ms", "3600000")]).await;
    let more = format!("    dead_letter: {{ kafka: {dead} }}\n");
    let routes =
        json_route("accounts", ACCOUNTS, &to, &more) + &order_route(&from, "{ Order_Number__c: value.id }");
    let desk = Desk::new(&Setup::new(&name, &kafka, &org, &routes));
    let before = topic::names(&kafka).await.len();
    let (code, shown, complaint) = desk.said(&["check"]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    for line in [
        format!("✓ salesforce: logged in to org {} (", org.organization_id()),
        format!("✓ kafka: reached at {kafka}"),
        format!("✓ kafka: topic _sfbridge.{name}.positions is missing and will be created"),
        format!(
            "✓ kafka: topic _sfbridge.{name}.redriven is missing and will be created by the first redrive"
        ),
        format!("✓ kafka: group sfbridge.{name} may be used"),
        format!(
            "✓ kafka: transactional ids sfbridge.{name}.* may be used (asked with sfbridge.{name}.@check)"
        ),
        format!("✓ route accounts: {ACCOUNTS} can be read, schema "),
        format!("✓ route accounts → {to}: topic {to} is missing and will be created"),
        format!("! route accounts: topic {dead} keeps records for 1 h"),
        "✓ route orders → /event/Order_Shipped__e: publishing is allowed, and the mapping fits schema "
            .to_owned(),
        format!("✓ route orders: {from} can be read, 2 partitions"),
        format!("✓ route orders: group sfbridge.{name}.orders may be used"),
    ] {
        assert!(
            shown.lines().any(|shown| shown.starts_with(&line)),
            "{line}\n{shown}"
        );
    }
    assert!(shown.contains("warnings: 1, broken: 0"), "{shown}");
    assert_eq!(topic::partition_count(&kafka, &to).await, None);
    let mine = topic::names(&kafka).await;
    assert!(!mine.iter().any(|topic| topic.contains(&name)), "{mine:?}");
    assert!(before > 0);
}

#[tokio::test]
async fn each_thing_that_is_wrong_has_its_line_and_its_remedy() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.set_permitted(ACCOUNTS, false).unwrap();
    let (to, missing, name) = (unique("accounts"), unique("missing"), unique("crm"));
    let routes =
        json_route("accounts", ACCOUNTS, &to, "") + &order_route(&missing, "{ Nothing__c: value.id }");
    let mut setup = Setup::new(&name, &kafka, &org, &routes);
    setup.kafka = "  create_topics: false\n".to_owned();
    let (code, report) = Desk::new(&setup).json(&["check", "--output", "json"]).await;
    assert_eq!(code, Some(1), "{report:#}");
    let lines = report["lines"].as_array().unwrap();
    let broken = |about: &str, part: &str| {
        lines.iter().any(|line| {
            line["verdict"] == "broken"
                && line["about"] == about
                && line["message"].as_str().unwrap().contains(part)
                && !line["remedy"].as_str().unwrap().is_empty()
        })
    };
    let output = format!("route accounts → {to}");
    for (about, part) in [
        ("route accounts", ACCOUNTS),
        (&output, "does not exist"),
        ("route orders → /event/Order_Shipped__e", "Nothing__c"),
        ("route orders", missing.as_str()),
        ("kafka", "positions does not exist"),
    ] {
        assert!(broken(about, part), "{about}: {part}\n{report:#}");
    }
}

/// A running bridge goes on: its own transactional ids are left alone.
#[tokio::test]
async fn a_check_beside_a_running_bridge_fences_nobody() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (to, name) = (unique("accounts"), unique("crm"));
    let setup = Setup::new(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""));
    let bridge = Bridge::start(&setup).await;
    org.emit_test_events(&TestEvents::new(1)).unwrap();
    let written = async |count: u64| {
        until(PATIENCE, "the records", || async {
            let route = bridge.route("accounts").await?;
            (route["records_written"].as_u64() == Some(count)).then_some(route)
        })
        .await
    };
    let before = written(1).await;
    let desk = Desk::new(&setup);
    let (code, shown, complaint) = desk.said(&["check"]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    org.emit_test_events(&TestEvents::new(1)).unwrap();
    let after = written(2).await;
    assert_eq!(after["state"]["since"], before["state"]["since"], "{after}");
    assert!(!bridge.log().contains("fenced"), "{}", bridge.log());
}

#[tokio::test]
async fn transactional_ids_that_are_denied_are_told_with_the_rule_that_is_missing() {
    let broker = need!(
        "kafka",
        Broker::start_new(&[
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found=true",
        ])
    );
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let name = unique("crm");
    let prefix = format!("sfbridge.{name}.");
    deny_transactional_id(broker.bootstrap(), &prefix, "prefixed").await;
    let lines_of = async |route: &str| {
        let setup = Setup::new(&name, broker.bootstrap(), &org, route);
        let (code, report) = Desk::new(&setup).json(&["check", "--output", "json"]).await;
        let lines = report["lines"].as_array().unwrap().clone();
        let told: Vec<_> = lines
            .into_iter()
            .filter(|line| line["message"].as_str().unwrap().contains("transactional ids"))
            .collect();
        assert_eq!(told.len(), 1, "{report:#}");
        (code, told[0].clone())
    };
    let route = json_route("accounts", ACCOUNTS, &unique("accounts"), "");
    let (code, line) = lines_of(&route).await;
    assert_eq!((code, &line["verdict"]), (Some(1), &"broken".into()), "{line}");
    let message = line["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("transactional ids {prefix}* may not be used")),
        "{line}"
    );
    let remedy = line["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("Write") && remedy.contains(&format!("begin with {prefix}")),
        "{line}"
    );

    // Routes that need none run without.
    let (code, line) = lines_of(&format!("{route}    delivery: at_least_once\n")).await;
    assert_eq!((code, &line["verdict"]), (Some(0), &"warning".into()), "{line}");
}

#[tokio::test]
async fn a_refused_login_is_told_with_its_remedy() {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", ACCOUNTS, "accounts", "");
    let mut setup = Setup::new("crm", NOWHERE, &org, &routes);
    setup.client_secret = "wrong-secret-of-this-test".to_owned();
    let (code, shown, complaint) = Desk::new(&setup).said(&["check"]).await;
    assert_eq!(code, Some(1), "{shown}{complaint}");
    let line = shown.lines().position(|line| line.starts_with("✗ salesforce: "));
    let remedy = shown.lines().nth(line.expect("the line") + 1).unwrap();
    assert!(remedy.contains("client_secret"), "{shown}");
    assert!(!shown.contains("wrong-secret"), "{shown}");
}

#[tokio::test]
async fn with_everything_down_each_line_says_so_within_bounded_time() {
    let yaml = format!(
        "bridge: {{ name: crm }}\nsalesforce:\n  login_url: http://{NOWHERE}\n  pubsub_url: http://{NOWHERE}\n  auth: {{ flow: client_credentials, client_id: a, client_secret: b }}\n\
         kafka: {{ bootstrap_servers: \"{NOWHERE}\" }}\nschema_registry: {{ url: \"http://{NOWHERE}\" }}\nroutes:\n{}{}",
        json_route("accounts", ACCOUNTS, "accounts", ""),
        order_route("orders", "{ Order_Number__c: value.id }")
    );
    let desk = Desk::with(&yaml);
    let began = Instant::now();
    let (code, shown, complaint) = desk.said(&["check"]).await;
    // A bound, not a measurement: each side is asked once, side by side.
    assert!(began.elapsed() < Duration::from_secs(60), "{shown}");
    assert_eq!(code, Some(1), "{shown}{complaint}");
    for about in [
        "salesforce",
        "kafka",
        "schema registry",
        "route accounts",
        "route orders",
    ] {
        assert!(shown.contains(&format!("✗ {about}: ")), "{about}\n{shown}");
    }
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_lines_too() {
    let desk = Desk::with("bridge: { nome: crm }\n");
    let (code, shown, _) = desk.said(&["check"]).await;
    assert_eq!(code, Some(64), "{shown}");
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("✗ configuration: ") && line.contains("nome")),
        "{shown}"
    );
}
