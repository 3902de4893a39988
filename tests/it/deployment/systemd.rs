//! The unit, by systemd's own tool. systemd itself need not run.

use tokio::process::Command;

use super::{heard, read, said};
use crate::need;

/// systemd calls up to 2 OK; what is left above 0 is the network, which a bridge needs.
const EXPOSURE_MAX: f64 = 1.5;

fn analyze() -> Result<(), String> {
    let found = std::process::Command::new("systemd-analyze")
        .arg("--version")
        .output();
    found
        .map(|_| ())
        .map_err(|error| format!("systemd-analyze: {error}"))
}

#[tokio::test]
async fn the_unit_is_one_that_systemd_takes_and_is_closed_off() {
    need!("systemd", analyze());
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("sfbridge.service");
    let text = read("deploy/systemd/sfbridge.service");
    // The tool looks for the program.
    let here = text.replace("/usr/local/bin/sfbridge", env!("CARGO_BIN_EXE_sfbridge"));
    std::fs::write(&unit, &here).unwrap();
    let told = said(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&unit),
    )
    .await;
    assert_eq!(told, "", "no complaint");
    let told = said(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true"])
            .arg(&unit),
    )
    .await;
    let exposure: f64 = told
        .split("exposure level for sfbridge.service: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("{told}"));
    assert!(exposure <= EXPOSURE_MAX, "{told}");

    // The tool does complain.
    std::fs::write(&unit, here.replace("DynamicUser=yes", "DynamicUsr=yes")).unwrap();
    let (_, told) = heard(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&unit),
    )
    .await;
    assert!(told.contains("DynamicUsr"), "{told}");
}

#[test]
fn the_unit_does_not_restart_a_wrong_configuration_gives_a_stop_its_time_and_dumps_no_core() {
    let text = read("deploy/systemd/sfbridge.service");
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key}"))
    };
    assert_eq!(value("RestartPreventExitStatus"), "64");
    assert_eq!(value("Restart"), "on-failure");
    assert_eq!(value("LimitCORE"), "0");
    // The default of bridge.shutdown_timeout is 30 s.
    assert!(value("TimeoutStopSec").parse::<u32>().unwrap() > 30);
}
