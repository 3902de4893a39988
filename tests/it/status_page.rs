//! The status page in a real browser, before a running bridge.
//!
//! Where no Chromium is installed the tests are skipped, and fail if `SFBRIDGE_TESTS_PROMISED` names `browser`.

use serde_json::{Value, json};
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::browser::Browser;
use crate::support::topic::{self, unique};
use crate::support::wait::until;
use crate::support::{broker, registry};

const TOKEN: &str = "s3cret-of-the-page";

fn luminance(colour: &str) -> u32 {
    let numbers = colour.split(|c: char| !c.is_ascii_digit());
    numbers
        .filter_map(|number| number.parse::<u32>().ok())
        .take(3)
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_what_flows_and_what_is_stuck_and_acts() {
    let browser = need!("browser", Browser::find().await);
    let kafka = need!("kafka", broker::shared());
    let registry = need!("registry", registry::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.set_permitted("/data/ContactChangeEvent", false).unwrap();
    let (to, never, from) = (unique("accounts"), unique("contacts"), unique("customers"));
    topic::create(&kafka, &from, 1, &[]).await;
    let customer = json!({"Customer_Id__c": "c1", "Name": "One"}).to_string();
    let routes = [
        format!(
            "  - name: account-changes\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest }}\n    to: {{ kafka: {to}, format: avro }}\n"
        ),
        json_route("contact-changes", "/data/ContactChangeEvent", &never, ""),
        format!(
            "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n"
        ),
    ]
    .concat();
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.admin = "  show_payloads: true\n".to_owned();
    setup.registry = Some(registry.clone());
    let bridge = Bridge::start(&setup).await;
    topic::produce(&kafka, &from, &[("c1", Some(&customer)), ("bad", Some("{"))]).await;
    until(PATIENCE, "a dead letter and a record", || async {
        let route = bridge.route("customers").await?;
        (route["records_written"] == 1 && route["dead_letters"] == 1).then_some(())
    })
    .await;
    let given = json!({
        "mode": "operator",
        "url": bridge.admin_url(),
        "routes": {"flowing": "account-changes", "halted": "contact-changes", "back": "customers"},
    });
    let flow = async {
        // Ups and downs, for the charts.
        for n in [1, 2, 4, 6, 5, 3, 2, 3, 7, 9, 6, 4, 2, 1].into_iter().cycle() {
            for _ in 0..24 {
                org.emit_test_events(&TestEvents::new(n)).unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            }
        }
    };
    let seen = tokio::select! {
        seen = browser.look(given) => seen,
        () = flow => unreachable!("it goes round for ever"),
    };
    assert_eq!(
        seen["complaints"],
        json!([]),
        "the browser has nothing against it"
    );
    shown(&seen);
    acted(&seen);
    fits(&seen);
    hostile(&seen["hostile"]);
    let route = bridge.route("account-changes").await.unwrap();
    let subject = format!("{to}-value");
    contract(
        &seen,
        &route["contracts"],
        &in_registry(&registry, &subject).await,
    );
    assert_ne!(
        bridge.route("account-changes").await.unwrap()["state"]["name"],
        "paused"
    );
}

fn text<'v>(value: &'v Value, what: &str) -> &'v str {
    value[what]
        .as_str()
        .unwrap_or_else(|| panic!("no {what} in {value}"))
}

fn shown(seen: &Value) {
    assert!(text(seen, "title").starts_with("(1 halted)"), "{seen}");
    assert!(
        text(seen, "summary").starts_with("3 routes: 1 halted, "),
        "{seen}"
    );
    assert_eq!(seen["first"], "contact-changes", "what is stuck comes first");
    let flowing = &seen["flowing"];
    assert!(["streaming", "idle"].contains(&text(flowing, "state")));
    assert_eq!(flowing["direction"], "Salesforce → Kafka");
    assert!(text(flowing, "path").starts_with("/data/AccountChangeEvent → "));
    let numbers = &flowing["numbers"];
    assert_ne!(numbers["Events/s"], "0", "{numbers}");
    for latency in ["Latency p50", "Latency p99"] {
        assert!(text(numbers, latency).ends_with('s'), "{numbers}");
    }
    let left = text(numbers, "Retention left");
    assert!(left == "3 d 0 h" || left.starts_with("71 h "), "{left}");
    assert_eq!(numbers["Dead letters"], "0");
    assert_eq!(numbers["Gaps"], "0");
    assert!(
        text(flowing, "chart").contains("Events/s, last 2 min: highest "),
        "{flowing}"
    );
    let halted = &seen["halted"];
    assert_eq!(halted["state"], "halted");
    for part in [
        "Why: ",
        "Do: ",
        "Next: Nothing more until a person",
        "ContactChangeEvent",
    ] {
        assert!(text(halted, "story").contains(part), "{part}: {halted}");
    }
    assert_eq!(halted["buttons"], json!(["Pause", "Resume", "Restart"]));
    let back = &seen["back"];
    assert_eq!(back["direction"], "Kafka → Salesforce");
    assert_eq!(back["numbers"]["Lag"], "0 records");
    assert_eq!(back["numbers"]["Dead letters"], "1");
    for route in [flowing, halted, back] {
        assert_eq!(route["hasSymbol"], true, "not by colour alone");
    }
    assert!(text(seen, "limits").contains("API requests, 24 h: "), "{seen}");
    let page = &seen["page"];
    assert!(text(page, "states").contains("paused by an operator"), "{page}");
    assert!(text(page, "deliveries").contains("written"), "{page}");
    assert!(text(page, "dead").contains("None since the start"), "{page}");
    let events = text(page, "events");
    for part in ["Account UPDATE", "/Account/UPDATE/", "written"] {
        assert!(events.contains(part), "{part}: {events}");
    }
    let records = text(page, "records");
    for part in ["[0]@0\tupsert\twritten", "[0]@1\t–\tdead letter"] {
        assert!(records.contains(part), "{part}: {records}");
    }
    let letters = text(page, "letters");
    for part in [
        "poison",
        "[0]@1",
        "in the letter",
        "sfbridge dead-letters list --route customers --since 2",
    ] {
        assert!(letters.contains(part), "{part}: {letters}");
    }
    let commands = text(page, "commands");
    assert!(
        commands.contains("sfbridge dead-letters redrive --route customers"),
        "{commands}"
    );
    let error = text(page, "error");
    for part in [
        "What is wrong",
        "ContactChangeEvent",
        "denied",
        "Since: It began ",
        "Tried: once.",
        "Next: Nothing more until a person",
        "Causes, the nearest first:",
        "topic.",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(text(page, "payloads").contains(r#""Name":"One""#), "{page}");
    let trends = &seen["trends"];
    let org = text(trends, "org");
    for part in [
        "At this pace the daily delivery allocation is used up at ",
        ", in 3 h 0 min.",
        "the daily API requests are used up at ",
    ] {
        assert!(org.contains(part), "{part}: {org}");
    }
    let retention = "At this pace Salesforce drops what this route has yet to read at ";
    assert!(text(trends, "card").starts_with(retention), "{trends}");
    let route = text(trends, "route");
    assert!(
        route.contains(retention) && route.contains("delivery allocation"),
        "{trends}"
    );
}

/// The only version of a subject, as the registry tells it.
async fn in_registry(registry: &str, subject: &str) -> Value {
    let url = format!("{registry}/subjects/{subject}/versions/latest");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    answer.json().await.unwrap()
}

/// The contract that the records stand under: the page, the API and the registry say the same of it.
fn contract(seen: &Value, told: &Value, registered: &Value) {
    let (id, version) = (&registered["id"], &registered["version"]);
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    for (key, of) in [
        ("schema_id", id),
        ("version", version),
        ("subject", &registered["subject"]),
    ] {
        assert_eq!(&told[0][key], of, "{told}: {registered}");
    }
    let numbers = &seen["flowing"]["numbers"];
    assert_eq!(
        numbers["Contract id"],
        format!("{id} (version {version})"),
        "{numbers}"
    );
    assert_eq!(
        seen["halted"]["numbers"].get("Contract id"),
        None,
        "nothing is written"
    );
    let word = |key: &str| told[0][key].as_str().unwrap();
    let row = [
        &id.to_string(),
        &version.to_string(),
        word("subject"),
        word("topic"),
        "AccountChangeEvent",
        word("salesforce_schema"),
    ];
    let contracts = text(&seen["page"], "contracts");
    assert!(contracts.ends_with(&row.join("\t")), "{contracts}");
}

fn acted(seen: &Value) {
    assert_eq!(seen["reached"], true, "the button can be reached by keyboard");
    assert_eq!(seen["outline"], "solid", "and is seen to be");
    let dialog = text(seen, "dialog");
    assert!(
        dialog.contains("Pause account-changes?") && dialog.contains("72 hours"),
        "{dialog}"
    );
    assert_ne!(seen["afterEscape"], "paused");
    assert_eq!(seen["focusAfterEscape"], true);
    assert_eq!(seen["paused"]["buttons"], json!(["Resume"]));
    assert_eq!(seen["refusal"], "Not done: the bridge is still starting");
}

fn fits(seen: &Value) {
    let overflow = seen["overflow"].as_array().unwrap();
    assert_eq!(overflow.len(), 7);
    assert!(
        overflow.iter().all(|pixels| pixels.as_i64() <= Some(0)),
        "nothing stands out to the right: {overflow:?}"
    );
    assert!(luminance(text(seen, "light")) > 600, "{}", seen["light"]);
    assert!(luminance(text(seen, "dark")) < 150, "{}", seen["dark"]);
    assert_eq!(seen["still"], "none");
}

/// What a page of another origin gets in the operator's own browser.
fn hostile(outcome: &Value) {
    assert_eq!(outcome["read"], "blocked");
    assert_eq!(outcome["stream"], "blocked");
    assert_eq!(outcome["withHeader"], "blocked");
    assert_eq!(outcome["script"], "blocked");
    assert!(text(outcome, "form").contains("refused"), "{outcome}");
    let frame = text(outcome, "frame");
    assert!(frame.starts_with("chrome-error:") || frame == "none", "{frame}");
    let statuses = outcome["statuses"].as_array().unwrap();
    assert!(
        !statuses.is_empty() && statuses.iter().all(|status| *status != 202),
        "{outcome}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_the_page_asks_for_it_once() {
    let browser = need!("browser", Browser::find().await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let route = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &route);
    setup.admin = format!("  token: {TOKEN}\n");
    let bridge = Bridge::start(&setup).await;
    let given = json!({
        "mode": "token",
        "url": bridge.admin_url(),
        "token": TOKEN,
        "routes": {"flowing": "accounts"},
    });
    let seen = browser.look(given).await;
    assert_eq!(seen["complaints"], json!([]));
    assert!(text(&seen, "asked").contains("Admin token"), "{seen}");
    assert_eq!(seen["wrong"], "The bridge does not take this token.");
    assert!(!text(&seen, "url").contains(TOKEN));
    assert_eq!(seen["kept"], json!(["", 0]), "in this tab alone");
    assert_eq!(seen["done"], true);
    assert!(!bridge.log().contains(TOKEN));
}
