//! What a command shows a person who watches, and nobody else: bars that are painted over, colours.

use serde_json::{Value as Json, json};
use sfbridge::simulator::writes::RecordFault;
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::Desk;
use crate::need;
use crate::support::bridge::{Bridge, Setup, json_route};
use crate::support::broker;
use crate::support::terminal::{INTERRUPT, Terminal, is_there};
use crate::support::topic::{self, records, unique};

/// Takes what is on the line away.
const WIPE: &str = "\r\u{1b}[2K";

/// The bars that were painted: how many of how many.
fn bars(shown: &str) -> Vec<(usize, usize)> {
    let painted = shown.split(WIPE).filter(|line| line.starts_with(['█', '░']));
    painted
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [bar, done, "of", total, "dead", "letters"] = *words else {
                panic!("{line}")
            };
            assert_eq!(bar.chars().count(), 24, "{line}");
            (done.parse().unwrap(), total.parse().unwrap())
        })
        .collect()
}

/// A bridge whose route `customers` has so many dead letters, which the org would take by now.
async fn with_dead_letters(org: &Simulator, kafka: &str, count: usize) -> (Bridge, Desk) {
    org.record_fault(RecordFault::new("Account", "REQUIRED_FIELD_MISSING").times(u32::MAX));
    let (from, name) = (unique("customers"), unique("crm"));
    topic::create(kafka, &from, 1, &[]).await;
    let value = |n| json!({"Customer_Id__c": format!("c{n}"), "Name": "N"}).to_string();
    let rows: Vec<(&str, String)> = (0..count).map(|n| ("k", value(n))).collect();
    topic::produce_values(kafka, &from, &rows).await;
    let route = format!(
        "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to: {{ salesforce: Account, operation: upsert, external_id: Customer_Id__c }}\n"
    );
    let setup = Setup::new(&name, kafka, org, &route);
    let bridge = Bridge::start(&setup).await;
    records(kafka, &format!("sfbridge.{name}.dead-letters"), count).await;
    org.clear_faults();
    (bridge, Desk::new(&setup))
}

/// A redrive in a terminal, up to its question.
async fn asked(desk: &Desk, more: &str) -> Terminal {
    let file = desk.path("sfbridge.yaml");
    let mut terminal = Terminal::run(&format!(
        "dead-letters redrive --route customers --config {} {more}",
        file.display()
    ));
    let question = " dead letters go through route customers again. Go on? [y/N] ";
    terminal
        .until("the question", |shown| shown.contains(question))
        .await;
    terminal
}

async fn listed(desk: &Desk) -> Vec<Json> {
    let (_, listed) = desk.json(&["dead-letters", "list", "--output", "json"]).await;
    listed.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_shows_how_far_it_is_on_a_terminal_and_a_pipe_gets_the_outcome_alone() {
    need!("script", is_there());
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (_bridge, desk) = with_dead_letters(&org, &kafka, 8).await;
    let letters = listed(&desk).await;
    let addresses = letters
        .iter()
        .take(4)
        .map(|letter| format!("'{}'", letter["address"].as_str().unwrap()));
    let addresses = addresses.collect::<Vec<_>>().join(" ");

    // Two seconds: a bar is for what takes longer than half of one.
    let mut terminal = asked(&desk, &format!("--rate 2 {addresses}")).await;
    terminal.type_in("y\n").await;
    let (code, shown) = terminal.ended().await;
    assert_eq!(code, Some(0), "{shown}");
    let bars = bars(&shown);
    assert!(bars.iter().all(|(_, total)| *total == 4), "{shown}");
    assert!(
        bars.iter().any(|(done, _)| (1..4).contains(done)),
        "half done: {shown}"
    );
    assert!(bars.is_sorted(), "{shown}");
    let (_, last) = shown.rsplit_once(WIPE).expect(&shown);
    assert!(last.starts_with("sent: 4, "), "the bar is gone: {shown}");

    let piped = [
        "dead-letters",
        "redrive",
        "--route",
        "customers",
        "--rate",
        "2",
        "--yes",
    ];
    let (code, shown, complaint) = desk.said(&piped).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert_eq!(
        shown,
        "sent: 4, left out by the route: 0, dead letters again: 0, left as they are: 0\n"
    );
    assert_eq!(complaint, "");
}

#[tokio::test]
async fn an_answer_that_is_not_yes_sends_nothing() {
    need!("script", is_there());
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (_bridge, desk) = with_dead_letters(&org, &kafka, 1).await;
    let mut terminal = asked(&desk, "").await;
    terminal.type_in("\n").await;
    let (code, shown) = terminal.ended().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("sent: 1"), "{shown}");
    let letters = listed(&desk).await;
    assert_eq!((letters.len(), &letters[0]["redriven"]), (1, &Json::Null));
}

#[tokio::test]
async fn a_terminal_gets_log_lines_in_colours() {
    need!("script", is_there());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let route = json_route("accounts", "/data/AccountChangeEvent", "accounts", "");
    let mut setup = Setup::new("crm", "127.0.0.1:9", &org, &route);
    setup.log_format = "text".to_owned();
    let desk = Desk::with(&setup.yaml(0));
    let mut terminal = Terminal::run(&format!("run --config {}", desk.path("sfbridge.yaml").display()));
    terminal
        .until("a line in colours", |shown| shown.contains("\u{1b}[32m INFO"))
        .await;
    terminal.type_in(INTERRUPT).await;
    terminal.ended().await;
}
