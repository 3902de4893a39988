//! The dashboard: Grafana's types, Prometheus' queries, the bridge's metrics.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::alerts::prometheus;
use super::types::{complaints, npm};
use super::{list, read, said, text, unknown_metrics};
use crate::need;

pub(super) fn dashboard() -> Json {
    serde_json::from_str(&read("config/grafana/dashboards/sfbridge.json")).expect("JSON")
}

/// As Grafana sends them: its own variables filled in.
pub(super) fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let queries: Vec<String> = list(&dashboard, "/panels")
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
        .map(|target| {
            text(target, "/expr")
                .replace("$__rate_interval", "1m")
                .replace("$job", ".*")
                .replace("$route", ".*")
        })
        .collect();
    assert!(queries.len() > 20, "they are found");
    queries
}

#[tokio::test]
async fn the_dashboard_is_one_by_grafanas_own_types() {
    let npm = need!("foreign", npm().await);
    let mut dashboard = dashboard();
    let kind = || "Dashboard".to_owned();
    let told = complaints(&npm, "dashboard", &[("@grafana/schema", kind(), &dashboard)]).await;
    assert_eq!(told, "");
    dashboard["panels"][1]["gridpos"] = json!({});
    let told = complaints(&npm, "no-dashboard", &[("@grafana/schema", kind(), &dashboard)]).await;
    assert!(told.contains("gridpos"), "{told}");
}

#[test]
fn every_panel_has_its_own_id_its_own_place_and_the_chosen_data_source() {
    let dashboard = dashboard();
    let panels = list(&dashboard, "/panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{panel:#}");
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "two panels at {x}, {y}: {panel:#}");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{panel:#}");
            assert!(!text(panel, "/description").is_empty(), "{panel:#}");
        }
    }
    let variables = list(&dashboard, "/templating/list").iter();
    let names: Vec<&str> = variables.map(|variable| text(variable, "/name")).collect();
    assert_eq!(names, ["datasource", "job", "route"]);
}

#[test]
fn every_metric_of_the_dashboard_is_one_of_the_bridge() {
    for query in queries() {
        assert!(unknown_metrics(&query).is_empty(), "{query}");
    }
    // What is worth a metric is worth a look.
    let all = queries().join(" ");
    let unseen: Vec<String> = sfbridge::telemetry::metrics::DEFINITIONS
        .iter()
        .map(sfbridge::telemetry::metrics::Definition::full_name)
        .filter(|name| !all.contains(name.as_str()))
        .collect();
    assert_eq!(unseen, Vec::<String>::new(), "no panel shows them");
}

#[tokio::test]
async fn every_query_of_the_dashboard_is_promql() {
    let promtool = need!("prometheus", prometheus("promtool").await);
    let rules: Vec<Json> = queries()
        .iter()
        .enumerate()
        .map(|(n, query)| json!({"record": format!("panel:{n}"), "expr": query}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    // JSON is YAML.
    std::fs::write(
        &file,
        json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string(),
    )
    .unwrap();
    said(Command::new(promtool).args(["check", "rules"]).arg(&file)).await;
}
