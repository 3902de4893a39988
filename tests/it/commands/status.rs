//! `sfbridge status`.

use std::process::Stdio;

use serde_json::Value as Json;
use sfbridge::simulator::{Simulator, SimulatorSettings};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::Desk;
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;

#[tokio::test]
async fn a_running_bridge_shows_its_routes_and_a_halted_one_fails() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &routes);
    setup.admin = "  token: s3cret-of-this-test\n".to_owned();
    let bridge = Bridge::start(&setup).await;
    let desk = Desk::new(&setup);
    let token = desk.path("token");
    std::fs::write(&token, "s3cret-of-this-test\n").unwrap();
    let token = token.display().to_string();
    let ask = ["status", "--url", bridge.admin_url(), "--token-file", &token];
    let (code, shown, complaint) = desk.said(&ask).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
    assert!(
        shown.contains(&setup.name) && shown.contains("accounts") && shown.contains("to Kafka"),
        "{shown}"
    );

    let (code, _, complaint) = desk.said(&ask[..3]).await;
    assert_eq!(code, Some(1));
    assert!(complaint.contains("--token-file"), "{complaint}");

    org.set_permitted("/data/AccountChangeEvent", false).unwrap();
    org.end_streams(None, sfbridge::simulator::faults::Then::Reset)
        .unwrap();
    let shown = crate::support::wait::until(PATIENCE, "exit code 1", || async {
        let (code, shown, _) = desk.said(&ask).await;
        (code == Some(1)).then_some(shown)
    })
    .await;
    assert!(
        shown.contains("halted") && shown.contains("    remedy: "),
        "{shown}"
    );
    let (code, json) = desk.json(&[&ask[..], &["--output", "json"]].concat()).await;
    assert_eq!(code, Some(1));
    assert_eq!(json["routes"][0]["state"]["name"], "halted");
}

/// `status --watch` against a bridge, with its lines as they come.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(bridge: &Bridge, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sfbridge"))
            .args(["status", "--watch", "--url", bridge.admin_url()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on to the first line that is wanted.
    async fn until(&mut self, wanted: impl Fn(&str) -> bool) {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                assert!(!line.contains('\u{1b}'), "a pipe gets no cursor codes: {line:?}");
                if wanted(&line) {
                    return;
                }
            }
            panic!("it ended");
        };
        timeout(PATIENCE, reading).await.expect("the line that is wanted");
    }

    async fn interrupted(mut self) -> Option<i32> {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await;
        assert!(sent.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends").unwrap().code()
    }
}

#[tokio::test]
async fn a_watch_shows_what_changes_until_it_is_interrupted() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let bridge = Bridge::start(&Setup::new(&unique("crm"), &kafka, &org, &routes)).await;
    bridge.until_state("accounts", &["streaming", "idle"]).await;
    let mut json = Watch::start(&bridge, &["--output", "json"]);
    let mut text = Watch::start(&bridge, &[]);
    let is = |line: &str, states: &[&str]| {
        let shown: Json = serde_json::from_str(line).unwrap();
        let state = shown["routes"][0]["state"]["name"].as_str().unwrap();
        states.contains(&state)
    };
    let row = |line: &str| line.starts_with("accounts ");
    json.until(|line| is(line, &["streaming", "idle"])).await;
    text.until(|line| row(line) && !line.contains("paused")).await;
    assert_eq!(bridge.post("/api/routes/accounts/pause").await.0, 202);
    json.until(|line| is(line, &["paused"])).await;
    text.until(|line| row(line) && line.contains("paused")).await;
    assert_eq!(json.interrupted().await, Some(0));
    assert_eq!(text.interrupted().await, Some(0));
}

#[tokio::test]
async fn a_bridge_that_does_not_answer_is_said_with_the_remedy() {
    let desk = Desk::with("");
    let (code, shown, complaint) = desk.said(&["status", "--url", "http://127.0.0.1:9"]).await;
    assert_eq!(code, Some(1));
    assert!(shown.is_empty(), "{shown}");
    assert!(
        complaint.contains("127.0.0.1:9") && complaint.contains("start it"),
        "{complaint}"
    );
}
