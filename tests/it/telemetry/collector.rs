//! Traces, as the collector of the OpenTelemetry project takes them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::keeper::free_ports;
use crate::support::topic::{Isolation, partition_count, read_all, unique};
use crate::support::wait::until;
use crate::support::{broker, foreign};

/// Some three hundred Go packages, once; `.ci/run` has done it before.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const CANARY: &str = "canary-in-a-field";

/// The collector with a receiver for OTLP and an exporter into a file, from Go modules at pinned versions.
async fn program() -> Result<PathBuf, String> {
    static BUILDING: Mutex<()> = Mutex::const_new(());
    let _alone = BUILDING.lock().await;
    let home = foreign::home("collector");
    std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let program = home.join("collector");
    let build = Command::new("go")
        .args(["build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(foreign::script("collector"))
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(BUILD_LIMIT, build)
        .await
        .map_err(|_| format!("go build: no end after {BUILD_LIMIT:?}"))?
        .map_err(|error| format!("go: {error}"))?;
    if output.status.success() {
        Ok(program)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

struct Collector {
    port: u16,
    folder: tempfile::TempDir,
    _process: Child,
}

impl Collector {
    async fn start() -> Result<Self, String> {
        let program = program().await?;
        let [port, _] = free_ports()?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let spans = folder.path().join("spans.jsonl");
        let config = format!(
            "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: \"127.0.0.1:{port}\" }} }} }} }}\n\
             exporters: {{ file: {{ path: \"{}\", flush_interval: 100ms }} }}\n\
             service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines: {{ traces: {{ receivers: [otlp], exporters: [file] }} }}\n",
            spans.display()
        );
        let file = folder.path().join("collector.yaml");
        std::fs::write(&file, config).map_err(|error| error.to_string())?;
        let process = Command::new(program)
            .arg("--config")
            .arg(format!("file:{}", file.display()))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).map_err(|error| error.to_string())?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let collector = Self {
            port,
            folder,
            _process: process,
        };
        let up = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, up)
            .await
            .map_err(|_| format!("it does not listen: {}", collector.text("log")))?;
        Ok(collector)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The spans so far, with the attributes of the program that sent them.
    fn spans(&self) -> Vec<(Json, Json)> {
        let text = self.text("spans.jsonl");
        let whole = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok());
        let mut found = Vec::new();
        for line in whole {
            for resource in line["resourceSpans"].as_array().unwrap() {
                for scope in resource["scopeSpans"].as_array().unwrap() {
                    let spans = scope["spans"].as_array().unwrap().iter().cloned();
                    found.extend(spans.map(|span| (span, resource["resource"]["attributes"].clone())));
                }
            }
        }
        found
    }
}

fn attribute<'a>(attributes: &'a Json, name: &str) -> &'a Json {
    let mut all = attributes.as_array().unwrap().iter();
    all.find(|attribute| attribute["key"] == name)
        .map_or(&Json::Null, |attribute| &attribute["value"])
}

#[tokio::test]
async fn the_collector_of_the_project_takes_the_spans_that_the_records_name() {
    let collector = need!("collector", Collector::start().await);
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("traced");
    let route = json_route("there", "/data/AccountChangeEvent", &to, "");
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &route);
    setup.environment = vec![
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://127.0.0.1:{}", collector.port),
        ),
        ("OTEL_SERVICE_NAME", "crm-bridge".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
    ];
    let _bridge = Bridge::start(&setup).await;
    let named = until(PATIENCE, "a span that a record names", || async {
        let change = Change::new("Account", ChangeType::Create).field("Name", CANARY);
        org.change(&change).unwrap();
        partition_count(&kafka, &to).await?;
        let records = read_all(&kafka, &to, Isolation::ReadCommitted).await;
        let contexts: Vec<String> = records
            .iter()
            .filter_map(|record| record.header("traceparent"))
            .collect();
        collector.spans().into_iter().find(|(span, _)| {
            let (trace, id) = (
                span["traceId"].as_str().unwrap(),
                span["spanId"].as_str().unwrap(),
            );
            contexts.contains(&format!("00-{trace}-{id}-01"))
        })
    })
    .await;
    let (span, resource) = named;
    assert_eq!(attribute(&resource, "service.name")["stringValue"], "crm-bridge");
    assert_eq!(
        attribute(&span["attributes"], "sfbridge.route")["stringValue"],
        "there"
    );
    assert_eq!(
        attribute(&span["attributes"], "messaging.system")["stringValue"],
        "kafka"
    );
    assert!(!collector.text("spans.jsonl").contains(CANARY));
}
