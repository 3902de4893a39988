//! `sfbridge demo`, the real program: it ends with a summary that was checked, on the embedded Kafka and on a
//! real one.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::need;
use crate::support::terminal::{self, INTERRUPT, Terminal};
use crate::support::{broker, topic};

fn demo(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .arg("demo")
        .args(arguments)
        .env_remove("SFBRIDGE_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, stdout, stderr.
fn ended(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
}

/// The number behind a word of the summary.
fn told(summary: &str, what: &str) -> u64 {
    let line = summary.lines().find(|line| line.trim_start().starts_with(what));
    line.and_then(|line| {
        line.trim_start()
            .strip_prefix(what)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
    .unwrap_or_else(|| panic!("no number behind {what:?} in:\n{summary}"))
}

fn assert_all_arrived(code: Option<i32>, said: &str, complaints: &str) {
    assert!(
        said.contains("lost 0, duplicated 0, out of order 0"),
        "{said}\n{complaints}"
    );
    assert!(told(said, "events sent") > 0, "{said}");
    assert!(told(said, "published") > 0, "back into Salesforce, too: {said}");
    assert!(
        told(said, "records written") >= told(said, "events sent"),
        "{said}"
    );
    assert_eq!(
        told(said, "records written"),
        told(said, "records read"),
        "{said}"
    );
    assert_eq!(code, Some(0), "{said}\n{complaints}");
}

#[test]
fn the_demonstration_ends_by_itself_with_nothing_lost_and_nothing_doubled() {
    let (code, said, complaints) = ended(demo(&["--seconds", "4"]));
    assert_all_arrived(code, &said, &complaints);
    assert!(said.contains("fences no second owner"), "{said}");
    assert!(
        !said.contains('\u{1b}'),
        "a pipe gets no colours and no cursor: {said}"
    );
    assert_eq!(complaints, "", "a quiet run");
}

#[test]
fn an_interrupt_ends_it_cleanly_with_the_same_check() {
    let mut child = demo(&["--rate", "50"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        said.push_str(&line);
        said.push('\n');
        // Interrupted in full flow.
        if line.contains("reader: ") && !line.contains("reader: 0 of") {
            break;
        }
    }
    interrupt(&child);
    for line in lines {
        said.push_str(&line.unwrap());
        said.push('\n');
    }
    let mut complaints = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaints)
        .unwrap();
    assert_all_arrived(child.wait().unwrap().code(), &said, &complaints);
}

/// What a line in a pipe tells of a route: its name, how many events came, and the rest.
fn flow(line: &str) -> Option<(&str, u64, &str)> {
    let (clock, told) = line.split_once(' ')?;
    let (minutes, seconds) = clock.split_once(':')?;
    minutes.parse::<u64>().and(seconds.parse::<u64>()).ok()?;
    let (route, told) = told.split_once(' ')?;
    let (_state, told) = told.split_once(": ")?;
    let (events, rest) = told.strip_prefix("events ")?.split_once(", ")?;
    Some((route, events.parse().ok()?, rest))
}

#[test]
fn a_pipe_gets_lines_in_which_events_flow() {
    // It ends by itself where nothing is found.
    let mut child = demo(&["--seconds", "60"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let first = lines.by_ref().find(|line| flow(line).is_some()).expect("a line");
    assert_eq!(flow(&first).unwrap().0, "crm-changes", "{first}");
    for route in ["crm-changes", "orders-shipped"] {
        let mut counts = lines.by_ref().filter_map(|line| {
            let (name, events, rest) = flow(&line)?;
            let is_seen = name == route && events > 0 && rest.contains(", last demo.");
            is_seen.then_some(events)
        });
        let before = counts.next().expect("events that the reader has seen");
        assert!(counts.any(|events| events > before), "{route}: more and more");
    }
    interrupt(&child);
    let said = lines.collect::<Vec<_>>().join("\n");
    let (code, _, complaints) = ended(child);
    assert_all_arrived(code, &said, &complaints);
}

/// The counts of events in the table's rows of a route, in the order in which they were painted.
fn painted(shown: &str, route: &str) -> Vec<u64> {
    let whole = shown.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let rows = whole.filter_map(|line| {
        let (_, row) = line.split_once(route)?;
        let mut words = row.split_whitespace();
        let _state = words.next()?;
        words.next()?.parse().ok()
    });
    rows.collect()
}

#[tokio::test]
async fn a_terminal_gets_a_table_that_is_painted_over_as_events_flow() {
    need!("script", terminal::is_there());
    let mut terminal = Terminal::run("demo");
    terminal
        .until("rows with more and more events", |shown| {
            let counts = painted(shown, "crm-changes");
            counts.iter().max() > counts.iter().filter(|count| **count > 0).min()
        })
        .await;
    terminal.type_in(INTERRUPT).await;
    let (code, shown) = terminal.ended().await;
    let counts = painted(&shown, "crm-changes");
    assert!(counts.is_sorted(), "{counts:?}");
    let (before, summary) = shown.rsplit_once("Summary after").expect(&shown);
    assert_all_arrived(code, summary, "");
    for part in [
        "ROUTE",
        "LAST RECORD",
        "Ctrl-C ends it with a summary",
        "orders-shipped",
    ] {
        assert!(before.contains(part), "{part}: {shown}");
    }
    // Hidden while it is painted over, and there again at the end.
    let [hide, show] = ["\u{1b}[?25l", "\u{1b}[?25h"];
    assert!(
        before.contains(hide) && shown.rfind(show) > shown.rfind(hide),
        "{shown}"
    );
    let tables = before.matches("LAST RECORD").count();
    let rows_up = before.split("A\u{1b}[J").filter_map(|before| {
        let (_, rows) = before.rsplit_once("\u{1b}[")?;
        rows.parse::<u16>().ok()
    });
    // A heading, two empty lines, three routes, the reader, the clock.
    let over = rows_up.filter(|rows| *rows >= 8).count();
    assert!(over + 1 >= tables, "{over} of {tables} painted over: {shown}");
    assert!(
        flow(&shown).is_none() && !shown.lines().any(|line| flow(line).is_some()),
        "no lines beside it"
    );
}

#[tokio::test]
async fn a_real_kafka_shows_the_same_and_is_left_as_it_was() {
    let kafka = need!("kafka", broker::shared());
    let servers = kafka.clone();
    let run = tokio::task::spawn_blocking(move || ended(demo(&["--seconds", "4", "--kafka", &servers])));
    let (code, said, complaints) = run.await.unwrap();
    assert_all_arrived(code, &said, &complaints);
    let topics = said.lines().find(|line| line.trim_start().starts_with("topics"));
    let first = topics.unwrap().split_whitespace().nth(1).unwrap();
    let (bridge, _) = first.split_once('.').unwrap();
    assert!(bridge.starts_with("demo-"), "{said}");
    crate::support::wait::until(
        crate::support::bridge::PATIENCE,
        "the end of the run's topics",
        || async {
            let left = topic::names(&kafka).await;
            (!left.iter().any(|name| name.contains(bridge))).then_some(())
        },
    )
    .await;
}

#[test]
fn a_configuration_that_run_would_take_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.yaml");
    let (code, said, complaints) = ended(demo(&[
        "--seconds",
        "2",
        "--write-config",
        file.to_str().unwrap(),
    ]));
    assert_all_arrived(code, &said, &complaints);
    let show = Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .args(["config", "show", "--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    let shown = String::from_utf8(show.stdout).unwrap();
    assert!(show.status.success() && shown.contains("crm-changes"), "{shown}");
}

#[test]
fn a_wrong_address_is_refused_before_anything_runs() {
    let (code, said, complaints) = ended(demo(&["--kafka", "nowhere", "--seconds", "2"]));
    assert_eq!(code, Some(64), "{said}\n{complaints}");
    assert!(complaints.contains("host:port"), "{complaints}");
}

#[test]
fn a_kafka_that_does_not_answer_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, said, complaints) = ended(demo(&["--kafka", &nobody]));
    assert_eq!(code, Some(69), "{said}\n{complaints}");
    assert!(
        complaints.contains(&nobody) && complaints.contains("--kafka"),
        "{complaints}"
    );
}

#[test]
fn whoever_closes_the_pipe_ends_it_quietly() {
    let mut child = demo(&[]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let (code, _, complaints) = ended(child);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
}
