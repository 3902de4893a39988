//! No line to the outside goes below TLS 1.2: what each client of the program offers in its first words.

use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use sfbridge::runtime::task::{Task, spawn};
use sfbridge::simulator::{Simulator, SimulatorSettings, TestEvents};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::unique;
use crate::support::wait::until;

/// As TLS numbers it.
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;
const SUPPORTED_VERSIONS: u16 = 43;

/// Listens on loopback and keeps the first TLS record that anybody sends.
struct Ear {
    port: u16,
    heard: Arc<Mutex<Option<Vec<u8>>>>,
    _listening: Task<()>,
}

impl Ear {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&heard);
        let listening = spawn("ear", async move {
            while let Ok((mut line, _)) = listener.accept().await {
                let mut head = [0; 5];
                if line.read_exact(&mut head).await.is_err() {
                    continue;
                }
                assert_eq!(head[0], 22, "a handshake, and nothing in the clear before it");
                let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                if line.read_exact(&mut record).await.is_ok() {
                    keep.lock().get_or_insert(record);
                }
            }
        });
        Self {
            port,
            heard,
            _listening: listening,
        }
    }

    /// What is offered here are TLS 1.2 and 1.3, and nothing else.
    async fn hears_no_older_versions(&self, whose: &str) {
        let hello = until(PATIENCE, whose, || async { self.heard.lock().clone() }).await;
        let versions = offered(&hello).unwrap_or_else(|| panic!("{whose} says no versions: {hello:x?}"));
        // Some offer values that mean nothing, to keep servers tolerant (RFC 8701): both bytes end with an `a`.
        let meant = versions.into_iter().filter(|version| version & 0x0f0f != 0x0a0a);
        let mut meant: Vec<u16> = meant.collect();
        meant.sort_unstable();
        assert_eq!(meant, [TLS_1_2, TLS_1_3], "{whose}");
    }
}

/// What stands in the extension `supported_versions` of a ClientHello (RFC 8446, 4.1.2 and 4.2.1). A client without it
/// could be talked down.
fn offered(hello: &[u8]) -> Option<Vec<u16>> {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    // Type, length, legacy version, random.
    let mut at = 1 + 3 + 2 + 32;
    at += 1 + number(hello.get(at..=at)?);
    at += 2 + number(hello.get(at..at + 2)?);
    at += 1 + number(hello.get(at..=at)?);
    at += 2;
    while at < hello.len() {
        let kind = number(hello.get(at..at + 2)?);
        let length = number(hello.get(at + 2..at + 4)?);
        let content = hello.get(at + 4..at + 4 + length)?;
        if kind == usize::from(SUPPORTED_VERSIONS) {
            let pairs = content.get(1..)?.chunks_exact(2);
            return Some(pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect());
        }
        at += 4 + length;
    }
    None
}

fn run(folder: &tempfile::TempDir, yaml: &str, arguments: &[&str]) -> Child {
    let file = folder.path().join("sfbridge.yaml");
    std::fs::write(&file, yaml).unwrap();
    Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .args(arguments)
        .arg("--config")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn every_line_to_the_outside_offers_tls_1_2_and_1_3_and_nothing_older() {
    let [login, kafka, registry, pubsub] = [
        Ear::open().await,
        Ear::open().await,
        Ear::open().await,
        Ear::open().await,
    ];
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let yaml = |login: u16, auth: &str| {
        format!(
            "bridge: {{ name: crm }}\nsalesforce:\n  login_url: https://127.0.0.1:{login}\n  pubsub_url: https://127.0.0.1:{}\n  auth: {{ {auth} }}\n\
             kafka: {{ bootstrap_servers: \"127.0.0.1:{}\", properties: {{ security.protocol: SSL }} }}\n\
             schema_registry: {{ url: \"https://127.0.0.1:{}\" }}\n\
             routes:\n  - name: accounts\n    from: {{ salesforce: /data/AccountChangeEvent }}\n    to: {{ kafka: accounts, format: avro }}\n",
            pubsub.port, kafka.port, registry.port
        )
    };
    let client = "flow: client_credentials, client_id: a, client_secret: b";
    let _check = run(&ours, &yaml(login.port, client), &["check"]);
    let token = format!(
        "flow: access_token, access_token: a, instance_url: \"https://127.0.0.1:{}\", organization_id: 00D000000000001AAA",
        login.port
    );
    let tail = ["tail", "/data/AccountChangeEvent"];
    let _tail = run(&theirs, &yaml(login.port, &token), &tail);
    for (whose, ear) in [
        ("the login", &login),
        ("Kafka's client", &kafka),
        ("the registry's client", &registry),
        ("the Pub/Sub client", &pubsub),
    ] {
        ear.hears_no_older_versions(whose).await;
    }
}

#[tokio::test]
async fn the_exporter_of_traces_offers_nothing_older_either() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let ear = Ear::open().await;
    let route = json_route("accounts", "/data/AccountChangeEvent", &unique("accounts"), "");
    let mut setup = Setup::new(&unique("crm"), &kafka, &org, &route);
    let endpoint = format!("https://127.0.0.1:{}", ear.port);
    setup.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
    ];
    let _bridge = Bridge::start(&setup).await;
    // Something to tell of.
    org.emit_test_events(&TestEvents::new(1)).unwrap();
    ear.hears_no_older_versions("the exporter of traces").await;
}
