//! The alert rules, by Prometheus' own tool.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value as Json;
use tokio::process::Command;

use super::{heard, list, python, read, repository, said, text, unknown_metrics, yaml};
use crate::need;
use crate::support::foreign;

const RULES: &str = "config/prometheus/alerts.yaml";
const TESTS: &str = "config/prometheus/alerts.test.yaml";

/// A program of Prometheus: the installed one, or Debian's.
pub(super) async fn prometheus(program: &str) -> Result<PathBuf, String> {
    let (found, path) = heard(Command::new("sh").args(["-c", "command -v \"$0\"", program])).await;
    if found {
        return Ok(PathBuf::from(path.trim()));
    }
    let home = foreign::home("prometheus");
    foreign::debian(&home, "prometheus").await?;
    Ok(home.join("usr/bin").join(program))
}

#[tokio::test]
async fn the_alert_rules_are_what_prometheus_takes_and_fire_when_they_should() {
    let promtool = need!("prometheus", prometheus("promtool").await);
    said(
        Command::new(&promtool)
            .args(["check", "rules"])
            .arg(repository(RULES)),
    )
    .await;
    said(
        Command::new(&promtool)
            .args(["test", "rules"])
            .arg(repository(TESTS)),
    )
    .await;
    // The tool says so when one does not fire.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("alerts.yaml"),
        read(RULES).replace("> 3600", "> 360000"),
    )
    .unwrap();
    let tests = folder.path().join("alerts.test.yaml");
    std::fs::copy(repository(TESTS), &tests).unwrap();
    let (good, said) = heard(Command::new(&promtool).args(["test", "rules"]).arg(&tests)).await;
    assert!(!good && said.contains("SfbridgePositionOld"), "{said}");
}

#[tokio::test]
async fn the_configuration_of_prometheus_is_one() {
    let promtool = need!("prometheus", prometheus("promtool").await);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "x").unwrap();
    std::fs::copy(repository(RULES), folder.path().join("alerts.yaml")).unwrap();
    let text = read("config/prometheus/prometheus.yaml");
    let there = text.replace("/prometheus/admin_token", &token.display().to_string());
    assert_ne!(there, text, "the token's place in the container");
    let file = folder.path().join("prometheus.yaml");
    std::fs::write(&file, there).unwrap();
    said(Command::new(&promtool).args(["check", "config"]).arg(&file)).await;
}

#[tokio::test]
async fn each_alert_says_what_it_is_and_where_the_runbook_goes_on() {
    let python = need!("foreign", python().await);
    let rules = yaml(&python, RULES).await;
    let runbook = anchors(&read("docs/operations.md"));
    for rule in list(&rules[0], "/groups/0/rules") {
        let alert = text(rule, "/alert");
        for annotation in ["summary", "description"] {
            assert!(
                !text(rule, &format!("/annotations/{annotation}")).is_empty(),
                "{alert}"
            );
        }
        assert!(
            matches!(text(rule, "/labels/severity"), "warning" | "critical"),
            "{alert}"
        );
        let (page, anchor) = text(rule, "/annotations/runbook")
            .split_once('#')
            .expect("an anchor");
        assert_eq!(page, "docs/operations.md", "{alert}");
        assert!(runbook.contains(anchor), "{alert}: no section #{anchor}");
        assert!(
            unknown_metrics(text(rule, "/expr")).is_empty(),
            "{alert}: {:?}",
            unknown_metrics(text(rule, "/expr"))
        );
    }
    assert!(
        unknown_metrics(&read(TESTS)).is_empty(),
        "{:?}",
        unknown_metrics(&read(TESTS))
    );
}

#[tokio::test]
async fn each_alert_has_a_case_in_which_it_fires() {
    let python = need!("foreign", python().await);
    let (rules, tests) = (yaml(&python, RULES).await, yaml(&python, TESTS).await);
    let expected: Vec<&Json> = list(&tests[0], "/tests")
        .iter()
        .flat_map(|case| list(case, "/promql_expr_test"))
        .flat_map(|asked| list(asked, "/exp_samples"))
        .collect();
    for rule in list(&rules[0], "/groups/0/rules") {
        let label = format!("alertname=\"{}\"", text(rule, "/alert"));
        assert!(
            expected
                .iter()
                .any(|sample| text(sample, "/labels").contains(&label)),
            "no case for {label}"
        );
    }
}

/// The sections of a page, as links name them.
fn anchors(page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|title| {
            let title = title.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
            kept.map(|char| if char == ' ' { '-' } else { char }).collect()
        })
        .collect()
}
