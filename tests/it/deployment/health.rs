//! `sfbridge health`, as a container's health check runs it.

use sfbridge::simulator::{Simulator, SimulatorSettings};
use tokio::process::Command;

use super::{output, repository};
use crate::need;
use crate::support::bridge::{Bridge, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;

/// Exit code, stdout and stderr.
async fn health(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
    command.arg("health").args(arguments);
    let output = output(&mut command).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_with_a_halted_route_lives_and_is_not_ready() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.set_permitted("/data/ContactChangeEvent", false).unwrap();
    let route = json_route("contacts", "/data/ContactChangeEvent", &unique("contacts"), "");
    let bridge = Bridge::start(&Setup::new(&unique("crm"), &kafka, &org, &route)).await;
    bridge.until_state("contacts", &["halted"]).await;
    let (code, said, _) = health(&["--url", bridge.admin_url()]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("route contacts is halted"), "{said}");
    let (code, said, complaint) = health(&["--url", bridge.admin_url(), "--live"]).await;
    assert_eq!((code, said.as_str(), complaint.as_str()), (Some(0), "live\n", ""));
}

#[tokio::test]
async fn a_wrong_configuration_is_no_answer() {
    let nowhere = repository("config/nowhere.yaml").display().to_string();
    let (code, said, complaint) = health(&["--config", &nowhere]).await;
    assert_eq!((code, said.as_str()), (Some(64), ""), "{complaint}");
    assert!(complaint.contains("cannot be read"), "{complaint}");
    let (code, _, complaint) = health(&["--url", "nowhere"]).await;
    assert_eq!(code, Some(64), "{complaint}");
    assert!(complaint.contains("\"nowhere\" is no URL"), "{complaint}");
}
