//! A cluster that asks who one is and what one may do: SASL and access rules, as the documentation gives them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Desk, text};
use crate::need;
use crate::support::authority::Authority;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::Broker;
use crate::support::kafka_tools;
use crate::support::keeper::free_ports;
use crate::support::skipped;
use crate::support::topic::{self, Seen, committed, records};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const OUTPUT: &str = "salesforce.accounts";
const SOURCE: &str = "crm.customers";
/// Nine commands, each a Java program.
const SCRIPT_LIMIT: Duration = Duration::from_secs(180);

/// A broker with an authorizer: whoever comes to its own port may do everything, the bridge comes to another one.
struct Guarded {
    broker: Broker,
    bridges_port: u16,
    tools: PathBuf,
    desk: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Result<Self, String> {
        let tools = kafka_tools::folder()?;
        let (broker, bridges_port) = Broker::start_with_password(
            "sfbridge",
            "bridge-secret",
            &[
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users=User:ANONYMOUS",
            ],
        )?;
        Ok(Self {
            broker,
            bridges_port,
            tools,
            desk: tempfile::tempdir().map_err(|error| error.to_string())?,
        })
    }

    fn setup(&self, org: &Simulator) -> Setup {
        let routes = json_route("accounts", ACCOUNTS, OUTPUT, "")
            + &format!(
                "  - name: customers\n    from: {{ kafka: {SOURCE}, format: json, start: earliest }}\n    to: {{ salesforce: Account, operation: upsert, external_id: Customer_Id__c }}\n"
            );
        let sasl = "  properties: { security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: sfbridge, sasl.password: bridge-secret }\n";
        Setup {
            kafka: format!("  partitions: 1\n{sasl}"),
            ..Setup::new("crm", &format!("127.0.0.1:{}", self.bridges_port), org, &routes)
        }
    }

    /// Runs commands as an administrator who follows the documentation.
    async fn administer(&self, script: &str) {
        let path = std::env::var("PATH").unwrap_or_default();
        std::fs::write(self.desk.path().join("admin.properties"), "").unwrap();
        let mut command = Command::new("bash");
        command
            .args(["-euc", script])
            .env("PATH", format!("{}:{path}", self.tools.display()))
            .current_dir(self.desk.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(SCRIPT_LIMIT, command.output()).await.unwrap().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }

    async fn customer(&self, id: &str, value: &str) {
        topic::produce(self.broker.bootstrap(), SOURCE, &[(id, Some(value))]).await;
    }
}

/// A cluster with a certificate of a private authority.
struct Sealed {
    _broker: Broker,
    port: u16,
    folder: tempfile::TempDir,
}

impl Sealed {
    fn start() -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
        let authority = Authority::new();
        let signed = authority.sign("localhost");
        let store = folder.path().join("broker.pem");
        std::fs::write(&store, format!("{}{}", signed.key, signed.certificate))
            .map_err(|error| failed(&error))?;
        std::fs::write(folder.path().join("authority.pem"), &authority.pem)
            .map_err(|error| failed(&error))?;
        let [port, _] = free_ports()?;
        let broker = Broker::start_new(&[
            &format!(
                "listeners=PLAINTEXT://127.0.0.1:{{client}},SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{{controller}}"
            ),
            &format!("advertised.listeners=PLAINTEXT://127.0.0.1:{{client}},SSL://localhost:{port}"),
            "ssl.keystore.type=PEM",
            &format!("ssl.keystore.location={}", store.display()),
        ])?;
        Ok(Self {
            _broker: broker,
            port,
            folder,
        })
    }

    fn setup(&self, org: &Simulator, more: &str) -> Setup {
        let routes = json_route("accounts", ACCOUNTS, OUTPUT, "");
        Setup {
            kafka: format!("  properties: {{ security.protocol: ssl{more} }}\n"),
            ..Setup::new("crm", &format!("localhost:{}", self.port), org, &routes)
        }
    }
}

/// The lines of the documentation that give the bridge its rights.
fn documented(bootstrap: &str) -> String {
    let page =
        std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/connect-kafka.md"))
            .unwrap();
    let lines: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("$ acl"))
        .collect();
    assert!(lines.len() >= 7, "the function and its calls: {lines:?}");
    let lines = lines.iter().map(|line| format!("acl{line}\n"));
    lines.collect::<String>().replace("kafka:9092", bootstrap)
}

fn customer(id: &str) -> String {
    json!({"Customer_Id__c": id, "Name": format!("Customer {id}")}).to_string()
}

fn created(name: &str) -> Change {
    Change::new("Account", ChangeType::Create).field("Name", name)
}

fn names(seen: &[Seen]) -> Vec<String> {
    let name = |seen: &Seen| {
        let value: serde_json::Value = serde_json::from_str(&seen.value_text()).unwrap();
        value["Name"].as_str().unwrap_or_default().to_owned()
    };
    seen.iter().map(name).collect()
}

#[tokio::test]
async fn the_documented_rights_are_enough_and_what_is_missing_is_named() {
    let kafka = need!("kafka", Guarded::start());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    topic::create(kafka.broker.bootstrap(), SOURCE, 1, &[]).await;
    let setup = kafka.setup(&org);
    let desk = Desk::new(&setup);

    let (code, shown, complaint) = desk.said(&["check"]).await;
    assert_eq!(code, Some(1), "without any right: {shown}{complaint}");
    for missing in ["_sfbridge.crm.positions", "sfbridge.crm", SOURCE] {
        let names_it = |line: &str| line.starts_with('✗') && line.contains(missing);
        assert!(shown.lines().any(names_it), "{missing}\n{shown}");
    }

    kafka.administer(&documented(kafka.broker.bootstrap())).await;
    let (code, shown, complaint) = desk.said(&["check"]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");

    let bridge = Bridge::start(&setup).await;
    org.change(&created("first")).unwrap();
    records(kafka.broker.bootstrap(), OUTPUT, 1).await;
    kafka.customer("c1", &customer("c1")).await;
    kafka.customer("bad", "no JSON").await;
    records(kafka.broker.bootstrap(), "sfbridge.crm.dead-letters", 1).await;
    for command in [&["dead-letters", "list"][..], &["positions", "list"]] {
        let (code, shown, complaint) = desk.said(command).await;
        assert_eq!(code, Some(0), "{command:?}: {shown}{complaint}");
    }

    // A right that goes away under way: one route halts and names the topic, the other flows.
    let rule = "--allow-principal User:sfbridge --operation Write --resource-pattern-type prefixed --topic salesforce.";
    let acls = format!("kafka-acls --bootstrap-server {}", kafka.broker.bootstrap());
    kafka.administer(&format!("{acls} --remove --force {rule}")).await;
    org.change(&created("second")).unwrap();
    let halted = bridge.until_state("accounts", &["halted"]).await;
    let why = halted["state"]["why"].as_str().unwrap();
    assert!(why.contains(OUTPUT) && why.contains("authorization"), "{halted}");
    let remedy = halted["state"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("ACL") && remedy.contains(OUTPUT), "{halted}");
    kafka.customer("c2", &customer("c2")).await;
    let accounts = || {
        let of = |record: &serde_json::Map<String, serde_json::Value>| record.get("Customer_Id__c").cloned();
        let ids = org.records("Account").into_iter();
        ids.filter(|(_, fields)| of(fields) == Some("c2".into())).count()
    };
    until(PATIENCE, "the other route's record", || async {
        (accounts() == 1).then_some(())
    })
    .await;

    kafka.administer(&format!("{acls} --add {rule}")).await;
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    until(PATIENCE, "both events", || async {
        let mut arrived = names(&committed(kafka.broker.bootstrap(), OUTPUT).await);
        // What the route back wrote comes as events, too.
        arrived.retain(|name| name == "first" || name == "second");
        (arrived == ["first", "second"]).then_some(())
    })
    .await;

    // What may be described may not be read for that.
    bridge.kill();
    let rule = format!("{acls} --remove --force --allow-principal User:sfbridge --operation Read");
    let reads = format!(
        "{rule} --topic {SOURCE}\n{rule} --resource-pattern-type prefixed --group sfbridge.crm\n\
         {rule} --resource-pattern-type prefixed --topic _sfbridge.crm.\n"
    );
    kafka.administer(&reads).await;
    let (code, shown, _) = desk.said(&["check"]).await;
    assert_eq!(code, Some(1), "{shown}");
    for missing in [
        &format!("topic {SOURCE}"),
        "group sfbridge.crm.customers",
        "topic _sfbridge.crm.positions",
    ] {
        let names_it = |line: &str| line.starts_with('✗') && line.contains(missing);
        assert!(shown.lines().any(names_it), "{missing}\n{shown}");
    }
}

/// `check` where the system trusts `authority.pem` alone: a mount of its own over the usual bundle.
const TRUSTING: &str = "mount --bind authority.pem /etc/ssl/certs/ca-certificates.crt
exec env -u SSL_CERT_FILE -u SSL_CERT_DIR \"$SFBRIDGE\" check --config sfbridge.yaml";

#[tokio::test]
async fn a_broker_whose_authority_the_system_trusts_is_trusted_and_another_is_not() {
    let kafka = need!("kafka", Sealed::start());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();

    let (code, shown, _) = Desk::new(&kafka.setup(&org, "")).said(&["check"]).await;
    assert_eq!(code, Some(1), "{shown}");
    let refused = |line: &str| line.starts_with("✗ kafka:") && line.contains("SSL");
    assert!(shown.lines().any(refused), "{shown}");

    let file = kafka.folder.path().join("authority.pem");
    let named = format!(", ssl.ca.location: {}", file.display());
    let (code, shown, complaint) = Desk::new(&kafka.setup(&org, &named)).said(&["check"]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");

    let desk = Desk::new(&kafka.setup(&org, ""));
    std::fs::copy(file, desk.path("authority.pem")).unwrap();
    let unshare = Command::new("unshare")
        .args(["--mount", "sh", "-euc", TRUSTING])
        .env("SFBRIDGE", env!("CARGO_BIN_EXE_sfbridge"))
        .current_dir(desk.folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(SCRIPT_LIMIT, unshare).await.unwrap();
    let said = output.map(|output| {
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.code(), said)
    });
    match said {
        Ok((code, said)) if said.contains("kafka:") => assert_eq!(code, Some(0), "{said}"),
        other => skipped("mount", &format!("{other:?}")),
    }
}

#[tokio::test]
async fn a_cluster_that_has_seen_no_group_yet_passes() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let routes = json_route("accounts", ACCOUNTS, OUTPUT, "");
    let desk = Desk::new(&Setup::new("crm", broker.bootstrap(), &org, &routes));
    let (code, shown, complaint) = desk.said(&["check"]).await;
    assert_eq!(code, Some(0), "{shown}{complaint}");
}
