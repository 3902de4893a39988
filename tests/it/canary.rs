//! Nothing that the bridge says holds a secret or a value. Each secret and each value is a word that occurs nowhere
//! else; the bridge is driven through deliveries, dead letters, refusals that quote values, retries and halts, at the
//! most talkative log level; then all that came out is searched for the words.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use sfbridge::runtime::task::{Task, spawn};
use sfbridge::simulator::faults::{Fault, Rpc, Then};
use sfbridge::simulator::rest::{RestFault, RestRefusal};
use sfbridge::simulator::writes::RecordFault;
use sfbridge::simulator::{Change, ChangeType, RawEvent, Simulator, SimulatorSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::need;
use crate::support::bridge::{PATIENCE, Setup, json_route};
use crate::support::broker::Broker;
use crate::support::topic::{self, Isolation, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// Every word that is searched for begins so. It has a quote's neighbours in no log, no name, no path.
const CANARY: &str = "kanarienvogel";

/// A secret or a value that is nowhere else.
fn canary(what: &str) -> String {
    format!(
        "{CANARY}-{what}-{}",
        &uuid::Uuid::new_v4().simple().to_string()[..8]
    )
}

/// The program, with everything that it writes: what it says, and files in the folders where it could drop some.
struct Watched {
    child: Child,
    folder: tempfile::TempDir,
    admin: String,
    token: String,
}

impl Watched {
    fn start(setup: &Setup, token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        for name in ["cwd", "tmp", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("sfbridge.yaml"), setup.yaml(port)).unwrap();
        let output = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        let child = command(folder.path())
            .arg("run")
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap();
        Self {
            child,
            folder,
            admin: format!("http://127.0.0.1:{port}"),
            token: token.to_owned(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .get(format!("{}{path}", self.admin))
            .bearer_auth(&self.token);
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn route(&self, name: &str) -> Option<Value> {
        let (_, body) = self.get(&format!("/api/routes/{name}")).await?;
        serde_json::from_str(&body).ok()
    }

    async fn until_route(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(PATIENCE, &format!("{name}: {what}"), || async {
            self.route(name).await.filter(|route| is_so(route))
        })
        .await
    }

    /// The first bytes of the stream: it repeats itself.
    async fn streamed(&self) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .get(format!("{}/api/stream", self.admin))
            .bearer_auth(&self.token);
        let mut answer = request.send().await.unwrap();
        let first = answer.chunk().await.unwrap().unwrap();
        String::from_utf8_lossy(&first).into_owned()
    }

    /// What a command says beside the running bridge, with its own talk.
    fn says(&self, arguments: &[&str]) -> String {
        self.ended(arguments).1
    }

    /// The same, and whether it ended well.
    fn ended(&self, arguments: &[&str]) -> (bool, String) {
        let output = command(self.folder.path()).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    }

    /// Files in the folders where a program drops some.
    fn dropped(&self) -> Vec<PathBuf> {
        let files = ["cwd", "tmp", "home"]
            .iter()
            .flat_map(|name| std::fs::read_dir(self.path(name)).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
    command
        .current_dir(folder.join("cwd"))
        .env("SFBRIDGE_CONFIG", folder.join("sfbridge.yaml"))
        .env("SFBRIDGE_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .env("TMPDIR", folder.join("tmp"))
        .env("HOME", folder.join("home"))
        .stdin(Stdio::null());
    command
}

/// A registry that refuses everybody and says with which password they came.
async fn rude_registry() -> (String, Task<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = spawn("rude-registry", async move {
        while let Ok((mut line, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let Ok(length) = line.read(&mut request).await else {
                continue;
            };
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let body = json!({"error_code": 40101, "message": format!("not you: {request}")}).to_string();
            let answer = format!(
                "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // A caller that went away needs no answer.
            let _ = line.write_all(answer.as_bytes()).await;
        }
    });
    (url, serving)
}

/// The topics of the routes, by what they are for.
struct Topics(BTreeMap<&'static str, String>);

impl Topics {
    async fn make(kafka: &str) -> Self {
        let names = ["accounts", "filtered", "contracts", "denied"];
        let mut topics: BTreeMap<_, _> = names.iter().map(|name| (*name, unique(name))).collect();
        for name in ["customers", "orders", "mapped", "stubborn"] {
            let topic = unique(name);
            topic::create(kafka, &topic, 1, &[]).await;
            topics.insert(name, topic);
        }
        Self(topics)
    }

    fn of(&self, name: &str) -> &str {
        &self.0[name]
    }

    /// One route for each way in which values could come to be told.
    fn routes(&self) -> String {
        let t = |name| self.of(name);
        let back = |name: &str, from: &str, to: &str| {
            format!(
                "  - name: {name}\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n{to}"
            )
        };
        [
            json_route("accounts", ACCOUNTS, t("accounts"), ""),
            // A filter that stumbles over the value.
            format!(
                "  - name: filtered\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {}, format: json, filter: 'double(event.Name) > 1.0' }}\n    dead_letter: {{ max_consecutive: 2 }}\n",
                t("filtered")
            ),
            // A registry that refuses the password.
            format!(
                "  - name: contracts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ kafka: {}, format: avro }}\n",
                t("contracts")
            ),
            json_route("denied", "/data/ContactChangeEvent", t("denied"), ""),
            back(
                "customers",
                t("customers"),
                "      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n",
            ),
            back("orders", t("orders"), "      salesforce: /event/Order_Shipped__e\n"),
            back(
                "mapped",
                t("mapped"),
                "      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n      fields: { Customer_Id__c: value.id, NumberOfEmployees: int(value.n) }\n",
            ),
            // Salesforce refuses for a reason that nobody knows: the route halts.
            back(
                "stubborn",
                t("stubborn"),
                "      salesforce: Contact\n      operation: insert\n",
            ),
        ]
        .concat()
    }
}

/// Salesforce quotes values in what it says.
fn make_salesforce_talk(org: &Simulator, value: &str) {
    let quoting = |key: &str, code: &str| RecordFault {
        message: format!("Name: bad value '{value}' (key {key})"),
        fields: vec!["Name".to_owned()],
        ..RecordFault::new("Account", code).key(key)
    };
    org.record_fault(quoting(
        &format!("{value}-1"),
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    ));
    org.record_fault(quoting(&format!("{value}-2"), "A_CODE_THAT_NOBODY_KNOWS"));
    org.record_fault(quoting(&format!("{value}-3"), "UNABLE_TO_LOCK_ROW"));
    org.rest_fault(RestFault {
        path: Some("composite".to_owned()),
        times: 2,
        refusal: Some(RestRefusal::new(
            503,
            "SERVER_UNAVAILABLE",
            &format!("busy with {value}"),
        )),
        ..RestFault::default()
    });
    org.record_fault(RecordFault {
        message: format!("no room for '{value}'"),
        times: 1000,
        ..RecordFault::new("Contact", "INSUFFICIENT_ACCESS_OR_READONLY")
    });
    org.reject_events(1, &format!("the event says {value}"));
    org.fault(Fault::new(Rpc::Subscribe, Then::error("service.unavailable")).times(3))
        .unwrap();
    org.fault(Fault::new(Rpc::Publish, Then::Reset).times(2)).unwrap();
}

async fn feed(kafka: &str, org: &Simulator, topics: &Topics, value: &str) {
    let change = |n: usize| Change::new("Account", ChangeType::Create).field("Name", format!("{value}-{n}"));
    for n in 0..3 {
        org.change(&change(n)).unwrap();
    }
    // Undecodable, with the word in the clear.
    org.emit_raw(RawEvent {
        topic: ACCOUNTS.to_owned(),
        payload: format!("\u{1}{value}").into_bytes(),
        schema_id: None,
        event_id: None,
    })
    .unwrap();
    let key = |n: usize| format!("{value}-{n}");
    let customer = |n: usize| json!({"Customer_Id__c": key(n), "Name": value}).to_string();
    let customers: Vec<(String, String)> = (0..5).map(|n| (key(n), customer(n))).collect();
    let mut records: Vec<(&str, Option<&str>)> = customers
        .iter()
        .map(|(key, record)| (&**key, Some(&**record)))
        .collect();
    let (cut, typed) = (
        format!("{{\"Name\": \"{value}\""),
        json!({"Customer_Id__c": key(9), "NumberOfEmployees": value}).to_string(),
    );
    records.push((value, Some(&cut)));
    records.push((value, Some(&typed)));
    topic::produce(kafka, topics.of("customers"), &records).await;
    let order = json!({"Order_Number__c": value, "Weight__c": 1.0}).to_string();
    let heavy = json!({"Order_Number__c": value, "Weight__c": value}).to_string();
    topic::produce(
        kafka,
        topics.of("orders"),
        &[
            (value, Some(&order)),
            (value, Some(&order)),
            (value, Some(&heavy)),
        ],
    )
    .await;
    let mapped = json!({"id": key(7), "n": value}).to_string();
    topic::produce(kafka, topics.of("mapped"), &[(value, Some(&mapped))]).await;
    let contact = json!({"LastName": value}).to_string();
    topic::produce(kafka, topics.of("stubborn"), &[(value, Some(&contact))]).await;
}

/// Lines that hold one of the words, with where they were found.
fn leaks(said: &BTreeMap<String, String>, words: &[&str]) -> Vec<String> {
    let lines = said
        .iter()
        .flat_map(|(place, text)| text.lines().map(move |line| (place, line)));
    lines
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(place, line)| {
            let short: String = line.chars().take(600).collect();
            format!("{place}: {short}")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_bridge_says_holds_a_secret_or_a_value() {
    let [client, admin, password, registry, value, wrong] =
        ["client", "admin", "password", "registry", "value", "wrong"].map(canary);
    let (broker, port) = need!("kafka", Broker::start_with_password("bridge", &password, &[]));
    let kafka = broker.bootstrap();
    let org = Simulator::start(SimulatorSettings {
        client_secret: client.clone(),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    org.set_permitted("/data/ContactChangeEvent", false).unwrap();
    make_salesforce_talk(&org, &value);
    let topics = Topics::make(kafka).await;
    let name = unique("quiet");
    let (registry_url, _serving) = rude_registry().await;
    let mut setup = Setup::new(&name, &format!("127.0.0.1:{port}"), &org, &topics.routes());
    setup.client_secret = client.clone();
    setup.kafka = format!(
        "  partitions: 1\n  properties: {{ security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: bridge, sasl.password: {password} }}\nschema_registry: {{ url: \"{registry_url}\", username: u, password: {registry} }}\n"
    );
    setup.admin = format!("  token: {admin}\n");
    let bridge = Watched::start(&setup, &admin);
    until(PATIENCE, "the admin listener", || bridge.get("/live")).await;
    feed(kafka, &org, &topics, &value).await;

    let dead = |least: u64| move |route: &Value| route["dead_letters"].as_u64() >= Some(least);
    let is = |state: &'static str| move |route: &Value| route["state"]["name"] == state;
    bridge
        .until_route("accounts", "records and a dead letter", |route| {
            // What the routes back write comes as events, too.
            dead(1)(route) && route["records_written"].as_u64() >= Some(3)
        })
        .await;
    bridge
        .until_route("filtered", "many dead letters", is("halted"))
        .await;
    bridge
        .until_route("contracts", "a registry that refuses", |route| {
            ["waiting", "halted"]
                .iter()
                .any(|state| route["state"]["name"] == **state)
                && route.get("error").is_some()
        })
        .await;
    bridge.until_route("denied", "no permission", is("halted")).await;
    bridge
        .until_route("customers", "dead letters, or the halt", |route| {
            dead(2)(route) || is("halted")(route)
        })
        .await;
    bridge.until_route("orders", "a dead letter", dead(1)).await;
    bridge.until_route("mapped", "a dead letter", dead(1)).await;
    bridge
        .until_route("stubborn", "a refusal", |route| {
            dead(1)(route) || is("halted")(route)
        })
        .await;

    let mut said = BTreeMap::new();
    for path in [
        "/metrics",
        "/ready",
        "/live",
        "/",
        "/page.js",
        "/api/routes",
        "/api/history",
        "/api/log",
    ] {
        said.insert(path.to_owned(), bridge.get(path).await.unwrap().1);
    }
    for route in [
        "accounts",
        "filtered",
        "contracts",
        "denied",
        "customers",
        "orders",
        "mapped",
        "stubborn",
    ] {
        let path = format!("/api/routes/{route}");
        said.insert(path.clone(), bridge.get(&path).await.unwrap().1);
    }
    said.insert("/api/stream".to_owned(), bridge.streamed().await);
    // A token that is not the right one is a secret too, of somewhere else.
    let client_of = reqwest::Client::builder().no_proxy().build().unwrap();
    let guess = client_of
        .get(format!("{}/api/routes", bridge.admin))
        .bearer_auth(&wrong);
    let refused = guess.send().await.unwrap();
    assert_eq!(refused.status(), 401);
    said.insert("a refusal".to_owned(), refused.text().await.unwrap());
    // Refused before it is sent; the value is not said.
    let event = json!({"Order_Number__c": value, "Weight__c": value}).to_string();
    let (ended_well, text) = bridge.ended(&["publish", "Order_Shipped__e", &event]);
    assert!(!ended_well);
    said.insert("publish".to_owned(), text);
    // `dead-letters list` and `redrive --dry-run` show what the letters hold, to whoever may read their topic.
    for arguments in [
        &["config", "show"][..],
        &["check"],
        &["check", "--output", "json"],
        &["status"],
        &["status", "--output", "json"],
        &["positions", "list"],
        &["health"],
        &["health", "--output", "json"],
        &["log-level"],
        &["contracts", "check"],
        &["contracts", "check", "--output", "json"],
        &["contracts", "show"],
        &["contracts", "diff", "contracts"],
    ] {
        said.insert(arguments.join(" "), bridge.says(arguments));
    }
    let token = org.issue_token();
    let token_start = token.split_once('!').map_or("", |(org, _)| org).to_owned() + "!";
    for name in ["stdout", "stderr"] {
        said.insert(
            name.to_owned(),
            std::fs::read_to_string(bridge.path(name)).unwrap(),
        );
    }
    for (place, text) in &said {
        assert!(
            !text.is_empty() || place == "stdout" || place == "stderr",
            "{place} says nothing"
        );
    }
    assert!(said["stderr"].len() > 10_000, "it was not talkative");

    // The words arrived where they belong, so the search can find them.
    let held = |topic: String| async move {
        let seen = read_all(kafka, &topic, Isolation::ReadCommitted).await;
        seen.iter().map(topic::Seen::value_text).collect::<String>()
    };
    assert!(held(topics.of("accounts").to_owned()).await.contains(&value));
    assert!(
        held(format!("sfbridge.{name}.dead-letters"))
            .await
            .contains(&value)
    );

    let leaks = leaks(&said, &[CANARY, &token_start]);
    assert!(leaks.is_empty(), "{} lines:\n{}", leaks.len(), leaks.join("\n"));
    assert_eq!(
        bridge.dropped(),
        Vec::<PathBuf>::new(),
        "it drops nothing on disk"
    );
}

#[test]
fn the_search_finds_a_word_wherever_it_stands() {
    let word = canary("value");
    let said = BTreeMap::from([
        ("quiet".to_owned(), "nothing\nhere".to_owned()),
        ("loud".to_owned(), format!("first\nsays \"{word}\" aloud")),
    ]);
    let found = leaks(&said, &[CANARY]);
    assert_eq!(found, [format!("loud: says \"{word}\" aloud")]);
}
