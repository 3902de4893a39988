//! `sfbridge contracts …` as a person or a pipeline runs it: the real program against a simulated org, a real schema
//! registry, and the validators that others wrote for the documents.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use sfbridge::simulator::{Simulator, SimulatorSettings};
use tokio::process::Command;
use tokio::time::timeout;

use crate::need;
use crate::support::bridge::Setup;
use crate::support::{foreign, registry, topic};

/// A command takes a second; on a loaded machine more.
const RUN_LIMIT: Duration = Duration::from_secs(60);
const ASYNCAPI_PACKAGES: [&str; 2] = ["@asyncapi/parser@3.6.6", "@asyncapi/avro-schema-parser@3.1.0"];
const ODCS_PACKAGES: [&str; 1] = ["datacontract-cli==1.2.8"];

const HEADER: &str = r#"{"name":"ChangeEventHeader","type":{"type":"record","name":"ChangeEventHeader","fields":[
    {"name":"recordIds","type":{"type":"array","items":"string"}}]}}"#;

/// An org, a folder, and a configuration in it.
struct Desk {
    org: Simulator,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        Self {
            org: Simulator::start(SimulatorSettings::default())
                .await
                .expect("the org starts"),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, routes: &str, registry: Option<&str>) {
        let mut setup = Setup::new("crm", "127.0.0.1:9092", &self.org, routes);
        setup.registry = registry.map(str::to_owned);
        std::fs::write(self.path("sfbridge.yaml"), setup.yaml(9400)).unwrap();
    }

    /// A contract file with the header and these fields; its path.
    fn contract(&self, name: &str, fields: &str) -> String {
        let path = self.path(name);
        let json = format!(r#"{{"type":"record","name":"Account","fields":[{HEADER},{fields}]}}"#);
        std::fs::write(&path, json).unwrap();
        path.display().to_string()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
        command
            .arg("contracts")
            .args(arguments)
            .arg("--config")
            .arg(self.path("sfbridge.yaml"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        timeout(RUN_LIMIT, command.output())
            .await
            .expect("it ends")
            .expect("it runs")
    }

    /// Stdout of a run that went well.
    async fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    async fn report(&self) -> (Option<i32>, Json) {
        let output = self.run(&["check", "--output", "json"]).await;
        let shown = text(&output.stdout);
        let report = serde_json::from_str(&shown)
            .unwrap_or_else(|_| panic!("no JSON: {shown}{}", text(&output.stderr)));
        (output.status.code(), report)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn route(from: &str, outputs: &str) -> String {
    format!("  - name: accounts\n    from: {{ salesforce: {from} }}\n    to:\n{outputs}")
}

/// A JSON output with a contract file and more keys.
fn output(topic: &str, more: &str) -> String {
    format!("      - {{ kafka: '{topic}', format: json{more} }}\n")
}

fn broken(report: &Json) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["verdict"] == "broken")
        .map(|finding| finding["message"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_passes_where_every_contract_holds() {
    let desk = Desk::new().await;
    let file = desk.contract(
        "account.v1.avsc",
        r#"{"name":"Phone","type":["null","string"],"default":null}"#,
    );
    let more = format!(", key: field:Phone, filter: 'event.Phone == \"1\"', contract: {{ file: '{file}' }}");
    desk.configure(
        &route("/data/AccountChangeEvent", &output("crm.accounts", &more)),
        None,
    );
    let shown = desk.good(&["check"]).await;
    for line in [
        "✓ accounts: /data/AccountChangeEvent can be read, schema ",
        "✓ accounts → crm.accounts: contract account.v1.avsc: the schema of record Account",
        "✓ accounts → crm.accounts: key field Phone is a field of AccountChangeEvent",
        "✓ accounts → crm.accounts: filter: fits AccountChangeEvent",
        "✓ accounts → crm.accounts: contract account.v1.avsc: AccountChangeEvent (schema ",
        "holds: 5, warnings: 0, broken: 0",
    ] {
        assert!(
            shown.lines().any(|shown| shown.starts_with(line)),
            "{line}\n{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_every_broken_field_and_exits_with_one() {
    let desk = Desk::new().await;
    let fields = r#"{"name":"Gone__c","type":["null","string"]},{"name":"Fax","type":"string"},
        {"name":"Name","type":["null","string"],"default":null}"#;
    let file = desk.contract("account.v2.avsc", fields);
    let outputs = output(
        "crm.fields",
        ", fields: { include: [Phonne] }, key: field:Nowhere",
    ) + &output("crm.pinned", &format!(", contract: {{ file: '{file}' }}"))
        + &output("crm.absent", ", contract: { file: nowhere.avsc }")
        + &output("crm.filtered", ", filter: 'event.Nothing == 1'");
    desk.configure(&route("/data/AccountChangeEvent", &outputs), None);
    let (code, report) = desk.report().await;
    assert_eq!(code, Some(1));
    let broken = broken(&report);
    for rule in [
        "fields.include names Phonne",
        "key field Nowhere: AccountChangeEvent has no such field",
        "field Gone__c: AccountChangeEvent has no such field",
        "nowhere.avsc: the file cannot be read",
        "filter: event.Nothing",
    ] {
        assert!(
            broken.iter().any(|said| said.contains(rule)),
            "{rule}: {broken:#?}"
        );
    }
    assert!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["verdict"] == "broken")
            .all(|finding| finding["remedy"].is_string())
    );

    // The nullability is told once the fields are all there.
    desk.contract(
        "account.v2.avsc",
        r#"{"name":"Fax","type":"string"},{"name":"Name","type":["null","string"],"default":null}"#,
    );
    let (_, report) = desk.report().await;
    let broken = self::broken(&report);
    assert!(
        broken
            .iter()
            .any(|said| said.contains("field Fax must be nullable")),
        "{broken:#?}"
    );
    assert_eq!(report["warnings"], 1, "a person's name: {report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_without_its_org_still_reads_the_files() {
    let mut desk = Desk::new().await;
    let file = desk.contract(
        "account.v1.avsc",
        r#"{"name":"Phone","type":["null","string"],"default":null}"#,
    );
    let more = format!(", contract: {{ file: '{file}' }}");
    desk.configure(
        &route("/data/AccountChangeEvent", &output("crm.accounts", &more)),
        None,
    );
    // The address stays in the file; nobody is there any more.
    desk.org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (code, report) = desk.report().await;
    assert_eq!(code, Some(1));
    assert_eq!(
        (&report["holds"], &report["broken"]),
        (&json!(1), &json!(1)),
        "{report:#}"
    );
    let output = desk.run(&["show"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    assert!(text(&output.stderr).starts_with("sfbridge: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_checked_for_the_entities_that_are_named() {
    let desk = Desk::new().await;
    desk.configure(
        &route(
            "/data/ChangeEvents",
            &output("cdc.{entity}", ", fields: { include: [Phone] }"),
        ),
        None,
    );
    let shown = desk.good(&["check"]).await;
    assert!(shown.contains("/data/ChangeEvents is a channel"), "{shown}");
    let shown = desk
        .good(&["check", "--entity", "Account", "--entity", "Order__c"])
        .await;
    assert!(
        shown.contains("✓ accounts: /data/AccountChangeEvent can be read"),
        "{shown}"
    );
    assert!(
        shown.contains(
            "! accounts → cdc.{entity}: fields.include names Phone: Order__ChangeEvent has no such field"
        ),
        "{shown}"
    );
    let shown: Json = serde_json::from_str(&desk.good(&["show", "--entity", "Order__c"]).await).unwrap();
    assert_eq!(shown[0]["topic"], "cdc.Order__c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_contract_is_written_once_and_holds() {
    let desk = Desk::new().await;
    desk.configure(
        &route("/data/AccountChangeEvent", &output("crm.accounts", "")),
        None,
    );
    let init = ["init", "accounts", "--fields", "Phone,BillingAddress"];
    let lines = desk.good(&init).await;
    assert!(
        lines.contains("contract: { file: config/contracts/account.v1.avsc, on_break: halt }"),
        "{lines}"
    );
    let file = desk.path("config/contracts/account.v1.avsc");
    let contract: Json = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let names: Vec<_> = contract["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| &field["name"])
        .collect();
    assert_eq!(names, ["ChangeEventHeader", "BillingAddress", "Phone"]);

    let again = desk.run(&init).await;
    assert_eq!(again.status.code(), Some(64));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
    desk.good(&["init", "accounts", "--fields", "Phone", "--force"])
        .await;
    let unknown = desk
        .run(&["init", "accounts", "--fields", "Phonne", "--out", "x.avsc"])
        .await;
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).contains("AccountChangeEvent has no field Phonne; did you mean Phone?"));
    assert!(!desk.path("x.avsc").exists());

    let more = ", contract: { file: config/contracts/account.v1.avsc }";
    desk.configure(
        &route("/data/AccountChangeEvent", &output("crm.accounts", more)),
        None,
    );
    desk.good(&["check"]).await;
    // Against its file, the contract lacks what the team has not picked.
    let shown = desk.good(&["diff", "accounts"]).await;
    assert!(
        shown.starts_with("--- account.v1.avsc\n+++ /data/AccountChangeEvent schema "),
        "{shown}"
    );
    assert!(shown.contains("\n+ Industry: [null, string]\n"), "{shown}");
    assert!(!shown.contains(" Phone:"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_are_what_readers_decode_with() {
    let desk = Desk::new().await;
    let outputs =
        output("crm.accounts", ", fields: { include: [Phone, LastModifiedDate] }") + &output("crm.all", "");
    desk.configure(&route("/data/AccountChangeEvent", &outputs), None);
    let ambiguous = desk.run(&["export", "accounts"]).await;
    assert_eq!(ambiguous.status.code(), Some(64));
    assert!(text(&ambiguous.stderr).contains("--topic: crm.accounts, crm.all"));
    let one = ["export", "accounts", "--topic", "crm.accounts"];
    let schema: Json = serde_json::from_str(&desk.good(&one).await).unwrap();
    assert_eq!(schema["fields"][2]["type"][1]["logicalType"], "timestamp-millis");
    let path = desk.path("account.json");
    let path = path.to_str().unwrap();
    let printed = desk
        .good(&[&one[..], &["--format", "json-schema", "--out", path]].concat())
        .await;
    assert!(printed.is_empty(), "{printed}");
    let schema: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(schema["properties"]["LastModifiedDate"]["format"], "date-time");
    let nowhere = desk.run(&["export", "nowhere"]).await;
    assert!(
        nowhere.status.code() == Some(64) && text(&nowhere.stderr).contains("there are accounts"),
        "{}",
        text(&nowhere.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_contract_is_compared_with_what_the_org_has_now() {
    let url = need!("registry", registry::shared());
    let desk = Desk::new().await;
    let name = topic::unique("contracts");
    let avro = |more: &str| {
        let outputs = format!("      - {{ kafka: {name}, format: avro{more} }}\n");
        route("/data/AccountChangeEvent", &outputs)
    };
    desk.configure(&avro(", fields: { include: [Phone, Fax] }"), Some(&url));
    let shown = desk.good(&["check"]).await;
    assert!(
        shown.contains(&format!(
            "subject {name}-value: will be registered as its first version"
        )),
        "{shown}"
    );
    let shown = desk.good(&["diff", "accounts"]).await;
    assert!(shown.contains("no earlier version"), "{shown}");
    let schema = desk.good(&["export", "accounts"]).await;
    let schema: Json = serde_json::from_str(&schema).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |method: reqwest::Method, path: String, body: Json| {
        let request = client
            .request(method, format!("{url}{path}"))
            .header("Content-Type", "application/vnd.schemaregistry.v1+json")
            .body(body.to_string());
        async move {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        }
    };
    post(
        reqwest::Method::POST,
        format!("/subjects/{name}-value/versions"),
        json!({"schema": schema.to_string()}),
    )
    .await;
    post(
        reqwest::Method::PUT,
        format!("/config/{name}-value"),
        json!({"compatibility": "FORWARD"}),
    )
    .await;
    let shown: Json = serde_json::from_str(&desk.good(&["show", "accounts"]).await).unwrap();
    assert_eq!(
        (&shown[0]["version"], &shown[0]["contract"]),
        (&json!(1), &json!("followed"))
    );
    let shown = desk.good(&["check"]).await;
    assert!(shown.contains("-value: registered, version 1, id "), "{shown}");

    // A field that is gone breaks old readers only where they have no default for it: Phone has one.
    desk.configure(&avro(", fields: { include: [Phone] }"), Some(&url));
    let shown = desk.good(&["diff", "accounts"]).await;
    assert!(
        shown.starts_with(&format!("--- {name}-value version 1\n")),
        "{shown}"
    );
    assert!(shown.ends_with("\n- Fax: [null, string]\n"), "{shown}");
    let (code, report) = desk.report().await;
    assert_eq!(code, Some(0), "{report:#}");

    let file = desk.contract(
        "account.v2.avsc",
        r#"{"name":"Phone","type":["null","string"],"default":null},
        {"name":"Fax","type":["null","string","long"],"default":null}"#,
    );
    let more = format!(", contract: {{ file: '{file}' }}");
    desk.configure(&avro(&more), Some(&url));
    let (code, report) = desk.report().await;
    assert_eq!(code, Some(1), "{report:#}");
    let broken = broken(&report);
    assert!(
        broken
            .iter()
            .any(|said| said.contains("FORWARD refuses the schema: ") && said.contains("field Fax: ")),
        "{broken:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_is_told_and_the_org_still_checked() {
    let desk = Desk::new().await;
    let outputs = "      - { kafka: crm.accounts, format: avro }\n";
    desk.configure(
        &route("/data/AccountChangeEvent", outputs),
        Some("http://127.0.0.1:9"),
    );
    let (code, report) = desk.report().await;
    assert_eq!(code, Some(1));
    assert_eq!(
        (&report["holds"], &report["broken"]),
        (&json!(1), &json!(1)),
        "{report:#}"
    );
    assert!(broken(&report)[0].contains("does not answer"), "{report:#}");
    // A document is no worse without versions.
    let shown: Json = serde_json::from_str(&desk.good(&["show"]).await).unwrap();
    assert_eq!(shown[0]["version"], Json::Null);
}

/// Two routes with outputs of every kind.
fn everything(desk: &Desk) -> String {
    let file = desk.contract(
        "account.v1.avsc",
        r#"{"name":"Phone","type":["null","string"],"default":null}"#,
    );
    format!(
        "{}      - {{ kafka: crm.accounts.v1, format: avro, contract: {{ file: '{file}' }} }}\n      - {{ kafka: crm.json, format: json, tombstones: true }}\n{}",
        route(
            "/data/AccountChangeEvent",
            "      - { kafka: 'cdc.{entity}', format: avro }\n"
        ),
        "  - name: shipped\n    from: { salesforce: /event/Order_Shipped__e }\n    to: { kafka: crm.shipped, format: avro }\n  - name: all\n    from: { salesforce: /data/ChangeEvents }\n    to: { kafka: 'all.{entity}', format: json }\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_parser_accepts_the_asyncapi_document() {
    let home = foreign::home("asyncapi");
    need!("foreign", foreign::npm(&home, &ASYNCAPI_PACKAGES).await);
    let desk = Desk::new().await;
    let to_salesforce = "  - name: orders\n    from: { kafka: crm.orders, format: json }\n    to: { salesforce: /event/Order_Shipped__e }\n";
    desk.configure(&(everything(&desk) + to_salesforce), Some("http://127.0.0.1:9"));
    // Node looks for packages beside the script.
    let script = home.join("asyncapi.mjs");
    std::fs::copy(foreign::script("asyncapi.mjs"), &script).expect("the script can be copied");
    for format in ["yaml", "json"] {
        let file = desk.path(&format!("asyncapi.{format}"));
        desk.good(&["docs", "--format", format, "--out", file.to_str().unwrap()])
            .await;
        let seen = parsed(&script, &file).await;
        assert_eq!(seen["problems"], json!([]), "{seen:#}");
        assert_eq!(seen["version"], "3.0.0");
        assert_eq!(
            seen["servers"],
            json!([["127.0.0.1:9092", "kafka", {"schemaRegistryUrl": "http://127.0.0.1:9"}]])
        );
        let channels = seen["channels"].as_array().unwrap();
        let addresses: Vec<_> = channels.iter().map(|channel| &channel["address"]).collect();
        assert_eq!(
            addresses,
            [
                "cdc.Account",
                "crm.accounts.v1",
                "crm.json",
                "crm.shipped",
                "all.{entity}",
                "sfbridge.crm.dead-letters",
                "sfbridge.crm.gaps"
            ]
        );
        assert_eq!(seen["actions"], json!(vec!["receive"; 7]));
        for channel in channels {
            let address = channel["address"].as_str().unwrap();
            let mut kafka = json!({"topic": address, "partitions": 6});
            if address.contains('{') {
                kafka.as_object_mut().unwrap().remove("topic");
            }
            assert_eq!(channel["kafka"], kafka, "{address}");
        }
        assert_messages(channels);
    }
}

/// What the parser understood of the messages: content, key, headers, and the fields of Avro payloads.
fn assert_messages(channels: &[Json]) {
    let message = |address: &str, name: &str| {
        let channel = channels.iter().find(|channel| channel["address"] == address);
        &channel.unwrap()["messages"][name]
    };
    let avro = json!({"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"});
    let record_id = "The 18-character id of the record that changed";
    let event_id = "The event's id, the same as the header ce_id";
    for (address, name, content_type, key) in [
        ("cdc.Account", "AccountChangeEvent", "avro", record_id),
        ("crm.accounts.v1", "Account", "avro", record_id),
        ("crm.json", "AccountChangeEvent", "json", record_id),
        ("crm.shipped", "Order_Shipped__e", "avro", event_id),
        ("all.{entity}", "event", "json", record_id),
    ] {
        let seen = message(address, name);
        assert_eq!(seen["contentType"], format!("application/{content_type}"));
        let mut kafka = json!({"key": {"type": "string", "description": key}});
        if content_type == "avro" {
            kafka
                .as_object_mut()
                .unwrap()
                .extend(avro.as_object().unwrap().clone());
        }
        assert_eq!(seen["kafka"], kafka, "{address}");
        assert_eq!(
            seen["headers"],
            json!([
                "ce_specversion",
                "ce_id",
                "ce_source",
                "ce_type",
                "ce_time",
                "ce_subject",
                "content-type",
                "ce_sfreplayid",
                "ce_sfschemaid",
                "ce_sfroute",
                "ce_sfreplayed",
                "ce_sfasof",
                "ce_sfsuperseded",
                "traceparent"
            ]),
            "{address}"
        );
        let required: Vec<_> = seen["required"].as_array().unwrap().iter().collect();
        assert!(
            ["ce_id", "ce_source", "ce_type"]
                .iter()
                .all(|name| required.contains(&&json!(name)))
        );
    }
    assert_eq!(
        message("crm.accounts.v1", "Account")["fields"],
        json!(["ChangeEventHeader", "Phone"]),
        "the Avro payload is understood"
    );
    let letters = "sfbridge.crm.dead-letters";
    let (from_salesforce, from_kafka) = (
        message(letters, "dead-letter"),
        message(letters, "dead-letter-from-kafka"),
    );
    assert_eq!(from_salesforce["contentType"], "avro/binary");
    assert_eq!(from_kafka["contentType"], Json::Null, "its own");
    for (letter, name) in [
        (from_salesforce, "ce_sfreplayid"),
        (from_salesforce, "sfbridge_output"),
        (from_salesforce, "sfbridge_error"),
        (from_kafka, "sfbridge_error"),
        (from_kafka, "sfbridge_source_timestamp"),
    ] {
        assert!(
            letter["headers"].as_array().unwrap().contains(&json!(name)),
            "{name}"
        );
    }
    let gap = message("sfbridge.crm.gaps", "gap");
    assert_eq!(gap["kafka"]["key"]["description"], "The route's name");
    assert_eq!(
        gap["fields"].as_array().unwrap()[9..],
        ["partition", "from_offset", "to_offset"]
    );
}

async fn parsed(script: &Path, file: &Path) -> Json {
    let mut command = Command::new("node");
    command
        .arg(script)
        .arg(file)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(RUN_LIMIT, command.output())
        .await
        .expect("the parser ends")
        .expect("node runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datacontract_cli_accepts_the_odcs_document() {
    let home = foreign::home("odcs");
    need!("foreign", foreign::pypi(&home, &ODCS_PACKAGES).await);
    let desk = Desk::new().await;
    desk.configure(&everything(&desk), Some("http://127.0.0.1:9"));
    let file = desk.path("accounts.odcs.yaml");
    let document = desk.good(&["export", "accounts", "--format", "odcs"]).await;
    std::fs::write(&file, document).unwrap();
    let lint = |file: PathBuf| {
        let mut command = Command::new(home.join("bin/datacontract"));
        command
            .arg("lint")
            .arg(file)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        async move {
            timeout(RUN_LIMIT, command.output())
                .await
                .expect("the linter ends")
                .expect("the linter runs")
        }
    };
    let accepted = lint(file.clone()).await;
    assert!(
        accepted.status.success(),
        "{}{}",
        text(&accepted.stdout),
        text(&accepted.stderr)
    );
    // The linter does look.
    let bad = std::fs::read_to_string(&file)
        .unwrap()
        .replace("apiVersion", "apiVersions");
    std::fs::write(&file, bad).unwrap();
    assert!(!lint(file).await.status.success());
}
