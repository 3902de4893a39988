//! `sfbridge dead-letters …` as a person runs it, beside the running bridge: the real program, a real broker, the
//! simulator.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use sfbridge::simulator::writes::RecordFault;
use sfbridge::simulator::{Change, ChangeType, RawEvent, Simulator, SimulatorSettings};
use tokio::process::Command;
use tokio::time::timeout;

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, Seen, committed, records, unique};
use crate::support::wait::until;

/// A command takes a few seconds; on a loaded machine more.
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// The configuration that the commands read, which may differ from the running bridge's.
pub struct Desk(tempfile::TempDir);

impl Desk {
    pub fn new(setup: &Setup) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.configure(setup);
        desk
    }

    fn configure(&self, setup: &Setup) {
        std::fs::write(self.file(), setup.yaml(9400)).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("sfbridge.yaml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sfbridge"));
        command
            .arg("dead-letters")
            .args(arguments)
            .arg("--config")
            .arg(self.file())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        timeout(RUN_LIMIT, self.command(arguments).output())
            .await
            .expect("it ends")
            .expect("it runs")
    }

    /// Exit code, stdout, stderr.
    async fn told(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.run(arguments).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Stdout of a run that went well.
    pub async fn good(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.told(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {out}\n{err}");
        out
    }

    async fn list(&self, arguments: &[&str]) -> Vec<Json> {
        let all = [&["list", "--output", "json"], arguments].concat();
        let shown = self.good(&all).await;
        let list: Json = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("no JSON: {shown}"));
        list.as_array().unwrap().clone()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn dead_letters(bridge: &str) -> String {
    format!("sfbridge.{bridge}.dead-letters")
}

fn upsert_route(from: &str, fields: &str) -> String {
    format!(
        "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n{fields}"
    )
}

fn accounts(org: &Simulator) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = org
        .records("Account")
        .into_iter()
        .filter_map(|(_, fields)| {
            let text = |name: &str| Some(fields.get(name)?.as_str()?.to_owned());
            Some((text("Customer_Id__c")?, text("Name")?))
        })
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_is_listed_explained_and_redriven_once_after_the_fix() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let fault = RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("c1");
    org.record_fault(fault.times(u32::MAX));
    let (from, name) = (unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let customer = |id: &str| json!({"Customer_Id__c": id, "Name": format!("N {id}")}).to_string();
    let (c0, c1, c2) = (customer("c0"), customer("c1"), customer("c2"));
    topic::produce(
        &kafka,
        &from,
        &[("c0", Some(&c0)), ("c1", Some(&c1)), ("c2", Some(&c2))],
    )
    .await;
    let setup = Setup::new(&name, &kafka, &org, &upsert_route(&from, ""));
    let bridge = Bridge::start(&setup).await;
    let letters = dead_letters(&name);
    records(&kafka, &letters, 1).await;
    let desk = Desk::new(&setup);

    let listed = desk.list(&["--route", "customers", "--since", "1h"]).await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let told = until(PATIENCE, "the dead letter on the page", || async {
        let shown = bridge.route("customers").await?;
        shown["recent_dead_letters"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (&told["place"], &told["at"], told.get("error")),
        (&json!(format!("{from}[0]@1")), &listed[0]["time"], None),
        "without Salesforce's sentence"
    );
    let command = told["command"].as_str().unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let ["sfbridge", "dead-letters", "list", chosen @ ..] = &*words else {
        panic!("{command}")
    };
    assert_eq!(desk.list(chosen).await, listed, "the command finds it: {command}");
    let address = listed[0]["address"].as_str().unwrap().to_owned();
    assert_eq!(
        (
            &listed[0]["route"],
            &listed[0]["kind"],
            &listed[0]["attempts"],
            &listed[0]["redriven"]
        ),
        (&json!("customers"), &json!("poison"), &json!(1), &Json::Null)
    );
    assert_eq!(listed[0]["source"], format!("{from}[0]@1"));
    let shown = desk.good(&["list"]).await;
    for part in [
        &*address,
        "customers",
        "poison",
        "not redriven",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for nothing in [
        &["--until", "1h"][..],
        &["--kind", "contract"],
        &["--route", "others"],
        &["--limit", "0"],
    ] {
        let (code, out, err) = desk.told(&[&["list"], nothing].concat()).await;
        assert_eq!((code, &*out), (Some(0), ""), "{nothing:?}: {err}");
        assert!(err.contains("there are no such dead letters"), "{err}");
    }

    let shown = desk.good(&["show", &address]).await;
    let redrive = format!("sfbridge dead-letters redrive --route customers '{address}' --config ");
    for part in [
        "a validation rule of the object",
        &redrive,
        "\"Name\": \"N c1\"",
        "sfbridge_source: ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, _, err) = desk.told(&["show", &format!("{letters}[0]@999999")]).await;
    assert_eq!(code, Some(64), "{err}");

    // Nobody says yes in a pipe, and a rehearsal sends nothing.
    let (code, _, err) = desk.told(&["redrive", "--route", "customers"]).await;
    assert_eq!(code, Some(64), "{err}");
    assert!(err.contains("1 dead letters"), "{err}");
    let shown = desk.good(&["redrive", "--route", "customers", "--dry-run"]).await;
    assert!(shown.starts_with(&format!("✓ {address}: a record: ")), "{shown}");
    let rehearsed = ["redrive", "--route", "customers", "--dry-run", "--output", "json"];
    let rehearsed: Json = serde_json::from_str(&desk.good(&rehearsed).await).unwrap();
    assert_eq!(rehearsed[0]["address"], *address);
    assert_eq!(rehearsed[0]["verdict"], "goes");
    assert_eq!(accounts(&org).len(), 2);

    // Still refused: a new letter that counts, and the old one is through.
    let (code, out, err) = desk.told(&["redrive", "--route", "customers", "--yes"]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("dead letters again: 1"), "{out}");
    let listed = desk.list(&[]).await;
    assert_eq!(listed.len(), 2, "{listed:#?}");
    assert_eq!(listed[0]["redriven"]["outcome"], "dead_letter");
    let pending = desk.list(&["--pending"]).await;
    assert_eq!(
        (pending.len(), &pending[0]["attempts"]),
        (1, &json!(2)),
        "{pending:#?}"
    );
    assert_eq!(pending[0]["source"], format!("{from}[0]@1"));

    org.clear_faults();
    let out = desk
        .good(&[
            "redrive",
            "--route",
            "customers",
            "--yes",
            "--rate",
            "100",
            "--output",
            "json",
        ])
        .await;
    let out: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(
        out,
        json!({"route": "customers", "sent": 1, "filtered": 0, "dead_letters": 0, "left": 0, "ended": "done"})
    );
    let all = |id: &str| (id.to_owned(), format!("N {id}"));
    assert_eq!(accounts(&org), [all("c0"), all("c1"), all("c2")]);
    let sent = org.sent("/data/AccountChangeEvent", 0).unwrap().0;
    assert_eq!(sent.len(), 3, "three creations: {sent:?}");
    assert!(desk.list(&["--pending"]).await.is_empty());
    let (code, _, err) = desk.told(&["redrive", "--route", "customers", "--yes"]).await;
    assert_eq!(code, Some(0));
    assert!(err.contains("has no such dead letters"), "{err}");
    assert_eq!(org.sent("/data/AccountChangeEvent", 0).unwrap().0.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_that_was_corrected_takes_the_records_that_it_refused() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (from, name) = (unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let values: Vec<String> = (0..5)
        .map(|n| {
            let id = if n % 2 == 0 {
                json!(format!("c{n}"))
            } else {
                json!({"id": format!("c{n}")})
            };
            json!({"customer": id, "name": format!("N c{n}")}).to_string()
        })
        .collect();
    let mut rows: Vec<(&str, Option<&str>)> = values.iter().map(|value| ("k", Some(&**value))).collect();
    rows.push(("k", Some("{no json")));
    topic::produce(&kafka, &from, &rows).await;
    let mapping = |id: &str| {
        upsert_route(
            &from,
            &format!("      fields: {{ Customer_Id__c: '{id}', Name: value.name }}\n"),
        )
    };
    let mut setup = Setup::new(&name, &kafka, &org, &mapping("value.customer"));
    let _bridge = Bridge::start(&setup).await;
    records(&kafka, &dead_letters(&name), 3).await;
    let desk = Desk::new(&setup);

    let redrive = ["redrive", "--route", "customers"];
    let (code, out, _) = desk.told(&[&redrive[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, out.matches('✗').count()), (Some(1), 3), "{out}");
    setup.routes = mapping("has(value.customer.id) ? value.customer.id : value.customer");
    desk.configure(&setup);
    let (code, out, err) = desk.told(&[&redrive[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, out.matches('✓').count()), (Some(1), 2), "{out}{err}");
    assert!(
        err.contains("would go: 2, left out: 0, would fail again: 1"),
        "{err}"
    );

    // One by its address, and then the others.
    let last = desk.list(&[]).await[1]["address"].as_str().unwrap().to_owned();
    let out = desk.good(&[&redrive[..], &["--yes", &last]].concat()).await;
    assert!(out.starts_with("sent: 1,"), "{out}");
    assert_eq!(desk.list(&["--pending"]).await.len(), 2);
    let (code, out, err) = desk.told(&[&redrive[..], &["--yes"]].concat()).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains("sent: 1,") && out.contains("dead letters again: 1"),
        "{out}"
    );
    let ids: Vec<String> = accounts(&org).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["c0", "c1", "c2", "c3", "c4"]);
    let sent = org.sent("/data/AccountChangeEvent", 0).unwrap().0;
    assert_eq!(sent.len(), 5, "each once: {sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_goes_to_the_one_output_that_could_not_have_it() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let name = unique("crm");
    let [whole, pinned] = ["whole", "pinned"].map(unique);
    let folder = tempfile::tempdir().unwrap();
    let contract = folder.path().join("account.avsc");
    let write = |fields: &str| {
        let schema =
            format!(r#"{{"type":"record","name":"Account","namespace":"com.acme.crm","fields":[{fields}]}}"#);
        std::fs::write(&contract, schema).unwrap();
    };
    let name_field = r#"{"name":"Name","type":["null","string"],"default":null}"#;
    write(&format!(
        r#"{name_field},{{"name":"Gone__c","type":["null","string"]}}"#
    ));
    let routes = format!(
        "  - name: accounts\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest }}\n    to:\n\
         \x20     - {{ kafka: {whole}, format: json }}\n\
         \x20     - {{ kafka: {pinned}, format: json, contract: {{ file: {} }} }}\n",
        contract.display()
    );
    let setup = Setup::new(&name, &kafka, &org, &routes);
    let bridge = Bridge::start(&setup).await;
    for n in 0..3 {
        let change = Change::new("Account", ChangeType::Create).field("Name", format!("Acme {n}"));
        org.change(&change).unwrap();
    }
    let dead = records(&kafka, &dead_letters(&name), 3).await;
    assert_eq!(dead[0].header("sfbridge_output").as_deref(), Some(&*pinned));
    assert_eq!(records(&kafka, &whole, 3).await.len(), 3);
    let desk = Desk::new(&setup);
    let listed = desk.list(&["--kind", "contract"]).await;
    assert_eq!(listed.len(), 3, "{listed:#?}");
    let address = listed[0]["address"].as_str().unwrap();
    let shown = desk.good(&["show", address]).await;
    for part in [
        "write a new version of the contract file",
        "decoded",
        "\"Name\": \"Acme ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, out, _) = desk.told(&["redrive", "--route", "accounts", "--dry-run"]).await;
    assert_eq!((code, out.matches('✗').count()), (Some(1), 3), "{out}");

    write(name_field);
    let out = desk.good(&["redrive", "--route", "accounts", "--dry-run"]).await;
    assert!(out.contains(&format!("records of topic {pinned}: 1")), "{out}");
    let out = desk.good(&["redrive", "--route", "accounts", "--yes"]).await;
    assert!(out.starts_with("sent: 3,"), "{out}");
    let seen = committed(&kafka, &pinned).await;
    let mut names: Vec<String> = seen.iter().map(Seen::value_text).collect();
    names.sort();
    assert_eq!(names, [0, 1, 2].map(|n| format!(r#"{{"Name":"Acme {n}"}}"#)));
    assert_eq!(committed(&kafka, &whole).await.len(), 3, "not again");
    assert!(desk.list(&["--pending"]).await.is_empty());
    let (_, _, err) = desk.told(&["redrive", "--route", "accounts", "--yes"]).await;
    assert!(err.contains("has no such dead letters"), "{err}");
    assert_eq!(committed(&kafka, &pinned).await.len(), 3);
    // The running route was not disturbed.
    let route = bridge.route("accounts").await.unwrap();
    assert_ne!(route["state"]["name"], "halted", "{route}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_published_from_a_dead_letter_has_the_id_of_its_source() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (from, name) = (unique("orders"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let bad = json!({"id": "O-1", "shipped_at": "yesterday"}).to_string();
    topic::produce(&kafka, &from, &[("k", Some(&bad))]).await;
    let route = |fields: &str| {
        format!(
            "  - name: shipped\n    from: {{ kafka: {from}, format: json, start: earliest }}\n    to:\n      salesforce: /event/Order_Shipped__e\n      fields: {{ Order_Number__c: value.id{fields} }}\n"
        )
    };
    let mut setup = Setup::new(&name, &kafka, &org, &route(", Shipped_At__c: value.shipped_at"));
    let bridge = Bridge::start(&setup).await;
    records(&kafka, &dead_letters(&name), 1).await;
    let desk = Desk::new(&setup);
    let letter = desk.list(&[]).await[0].clone();
    let shown = desk.good(&["show", letter["address"].as_str().unwrap()]).await;
    assert!(shown.contains("the value does not fit the field"), "{shown}");
    setup.routes = route("");
    desk.configure(&setup);
    // What the source itself would have been published as: the same record, never a dead letter.
    let redrive = ["redrive", "--route", "shipped"];
    let shown = desk.good(&[&redrive[..], &["--dry-run"]].concat()).await;
    let id = shown.trim_end().rsplit(' ').next().unwrap().to_owned();
    desk.good(&[&redrive[..], &["--yes"]].concat()).await;
    let published = || org.sent("/event/Order_Shipped__e", 0).unwrap().0;
    assert_eq!(published().len(), 1);
    assert_eq!(published()[0].id, id);
    desk.good(&[&redrive[..], &["--yes"]].concat()).await;
    assert_eq!(published().len(), 1, "a second redrive sends nothing");
    // A new group reads the source again, under a mapping that takes it: the same id.
    drop(bridge);
    setup.routes = route("").replace("name: shipped", "name: again");
    let _bridge = Bridge::start(&setup).await;
    until(PATIENCE, "the source's own event", || async {
        (published().len() == 2).then_some(())
    })
    .await;
    assert_eq!(published()[1].id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_interrupted_goes_on_where_it_stopped() {
    const LETTERS: usize = 12;
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.record_fault(RecordFault::new("Account", "REQUIRED_FIELD_MISSING").times(u32::MAX));
    let (from, name) = (unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let values: Vec<String> = (0..LETTERS)
        .map(|n| json!({"Customer_Id__c": format!("c{n:02}"), "Name": "N"}).to_string())
        .collect();
    let rows: Vec<(&str, Option<&str>)> = values.iter().map(|value| ("k", Some(&**value))).collect();
    topic::produce(&kafka, &from, &rows).await;
    let setup = Setup::new(&name, &kafka, &org, &upsert_route(&from, ""));
    let _bridge = Bridge::start(&setup).await;
    records(&kafka, &dead_letters(&name), LETTERS).await;
    org.clear_faults();
    let desk = Desk::new(&setup);
    let redrive = ["redrive", "--route", "customers", "--yes"];
    let slow = desk
        .command(&[&redrive[..], &["--rate", "2"]].concat())
        .spawn()
        .unwrap();
    until(PATIENCE, "the first ones", || async {
        (accounts(&org).len() >= 2).then_some(())
    })
    .await;
    let pid = slow.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let stopped = timeout(RUN_LIMIT, slow.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stopped.status.code(), Some(75), "{}", text(&stopped.stderr));
    let sent = accounts(&org).len();
    assert!((2..LETTERS).contains(&sent), "{sent}");
    assert_eq!(
        desk.list(&["--pending"]).await.len(),
        LETTERS - sent,
        "what went is marked"
    );
    let out = desk.good(&redrive).await;
    assert!(out.starts_with(&format!("sent: {},", LETTERS - sent)), "{out}");
    assert_eq!(accounts(&org).len(), LETTERS);
    let changes = org.sent("/data/AccountChangeEvent", 0).unwrap().0;
    assert_eq!(changes.len(), LETTERS, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_or_the_decoder_refuses_again_is_a_dead_letter_again() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let (to, name) = (unique("small"), unique("crm"));
    topic::create(&kafka, &to, 1, &[("max.message.bytes", "30000")]).await;
    let route = format!(
        "  - name: accounts\n    from: {{ salesforce: /data/AccountChangeEvent, start: earliest }}\n    to: {{ kafka: {to}, format: json }}\n"
    );
    let setup = Setup::new(&name, &kafka, &org, &route);
    let bridge = Bridge::start(&setup).await;
    let created = |name: &str| Change::new("Account", ChangeType::Create).field("Name", name);
    org.change(&created("large").field("Description", "x".repeat(31_000)))
        .unwrap();
    org.emit_raw(RawEvent {
        topic: "/data/AccountChangeEvent".to_owned(),
        payload: vec![1, 2, 3],
        schema_id: None,
        event_id: None,
    })
    .unwrap();
    records(&kafka, &dead_letters(&name), 2).await;
    let desk = Desk::new(&setup);
    let redrive = ["redrive", "--route", "accounts", "--yes"];
    let (code, out, err) = desk.told(&redrive).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(
        out.contains("sent: 0,") && out.contains("dead letters again: 2"),
        "{out}{err}"
    );
    let pending = desk.list(&["--pending"]).await;
    let errors: Vec<&str> = pending
        .iter()
        .map(|letter| letter["error"].as_str().unwrap())
        .collect();
    assert_eq!(pending.len(), 2, "{errors:?}");
    let large = pending
        .iter()
        .find(|letter| letter["error"].as_str().unwrap().contains("refuses the record"))
        .unwrap();
    assert_eq!(large["attempts"], 3, "two of the route, one of the redrive");
    assert!(pending.iter().all(|letter| {
        letter["source"]
            .as_str()
            .unwrap()
            .starts_with("/data/AccountChangeEvent@")
    }));

    // The route is stopped while its topic is made anew with room.
    drop(bridge);
    topic::delete(&kafka, &to).await;
    topic::create(&kafka, &to, 1, &[]).await;
    let (code, out, err) = desk.told(&redrive).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(
        out.contains("sent: 1,") && out.contains("dead letters again: 1"),
        "{out}{err}"
    );
    let seen = records(&kafka, &to, 1).await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].value_text().contains("\"Name\":\"large\""));
    assert!(
        seen[0]
            .header("ce_id")
            .is_some_and(|id| id.contains("/Account/CREATE/"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_redrive_of_a_route_ends_the_one_before_it() {
    const LETTERS: usize = 30;
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    org.record_fault(RecordFault::new("Account", "STRING_TOO_LONG").times(u32::MAX));
    let (from, name) = (unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 1, &[]).await;
    let values: Vec<String> = (0..LETTERS)
        .map(|n| json!({"Customer_Id__c": format!("c{n:02}"), "Name": "N"}).to_string())
        .collect();
    let rows: Vec<(&str, Option<&str>)> = values.iter().map(|value| ("k", Some(&**value))).collect();
    topic::produce(&kafka, &from, &rows).await;
    let setup = Setup::new(&name, &kafka, &org, &upsert_route(&from, ""));
    let _bridge = Bridge::start(&setup).await;
    records(&kafka, &dead_letters(&name), LETTERS).await;
    org.clear_faults();
    let desk = Desk::new(&setup);
    let listed = desk.list(&["--limit", "7"]).await;
    assert_eq!(listed.len(), 7);
    let shown = desk
        .good(&["show", listed[3]["address"].as_str().unwrap(), "--output", "json"])
        .await;
    let shown: Json = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["value"]["Customer_Id__c"], "c03");
    assert_eq!((&shown["key"], &shown["redriven"]), (&json!("k"), &Json::Null));
    assert_eq!(shown["headers"]["sfbridge_route"], "customers");
    assert!(
        shown["remedy"]
            .as_str()
            .unwrap()
            .contains("make the field longer"),
        "{shown}"
    );

    let redrive = ["redrive", "--route", "customers", "--yes"];
    let first = desk
        .command(&[&redrive[..], &["--rate", "1"]].concat())
        .spawn()
        .unwrap();
    until(PATIENCE, "the first ones", || async {
        (accounts(&org).len() >= 2).then_some(())
    })
    .await;
    desk.good(&redrive).await;
    assert_eq!(accounts(&org).len(), LETTERS);
    let first = timeout(RUN_LIMIT, first.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let told = text(&first.stderr);
    assert_eq!(first.status.code(), Some(1), "{told}");
    assert!(
        told.contains("another redrive holds the transactional id"),
        "{told}"
    );
    assert!(desk.list(&["--pending"]).await.is_empty());
}
