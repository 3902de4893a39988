//! Logs as text: lines for people, and nothing in them that a log may not hold.

use serde_json::Value as Json;
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{records, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const TOKEN: &str = "kanarienvogel-of-the-listener";
const VALUE: &str = "kanarienvogel-in-a-field";

/// The level of a line that begins with a time, and the rest.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    time.parse::<jiff::Timestamp>().ok()?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    let is_level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
    is_level.then_some((level, rest))
}

#[tokio::test]
async fn text_logs_are_plain_lines_with_the_route_and_what_happened_and_no_secret() {
    let kafka = need!("kafka", broker::shared());
    let settings = SimulatorSettings::default();
    let secret = settings.client_secret.clone();
    let org = Simulator::start(settings).await.unwrap();
    org.set_permitted("/data/ContactChangeEvent", false).unwrap();
    let (accounts, contacts) = (unique("accounts"), unique("contacts"));
    let routes = [
        json_route("accounts", ACCOUNTS, &accounts, ""),
        json_route("contacts", "/data/ContactChangeEvent", &contacts, ""),
    ]
    .concat();
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.admin = format!("  token: {TOKEN}\n");
    setup.log_format = "text".to_owned();
    setup.environment = vec![("SFBRIDGE_LOG", "debug".to_owned())];
    let bridge = Bridge::start(&setup).await;
    let change = Change::new("Account", ChangeType::Create).field("Name", VALUE);
    org.change(&change).unwrap();
    records(&kafka, &accounts, 1).await;
    let halted = until(PATIENCE, "a line of the halted route", || async {
        let log = bridge.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("route halted"));
        line.map(str::to_owned)
    })
    .await;
    bridge.signal("TERM");
    assert!(bridge.ended().await.success());

    let (level, said) = parts(&halted).expect(&halted);
    assert_eq!(level, "ERROR", "{halted}");
    for part in [
        "sfbridge::",
        "route=contacts",
        "may not read /data/ContactChangeEvent",
    ] {
        assert!(said.contains(part), "{part}: {halted}");
    }
    let log = bridge.log();
    assert!(log.lines().any(|line| line.contains("route=accounts")), "{log}");
    for line in log.lines() {
        assert!(parts(line).is_some(), "{line}");
        assert!(serde_json::from_str::<Json>(line).is_err(), "{line}");
    }
    assert!(!log.contains('\u{1b}'), "a file gets no colours: {log}");
    for word in [&*secret, TOKEN, VALUE] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}
