//! Where the pages' commands run: a simulated org with data, a real broker, a schema registry and a bridge with the routes
//! that the pages speak of. A page has one to itself, and its blocks run in their order, as somebody who reads it would
//! run them.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use sfbridge::simulator::writes::RecordFault;
use sfbridge::simulator::{Simulator, SimulatorSettings};
use tokio::process::Command;
use tokio::time::timeout;

use super::page::{self, Block};
use super::{Class, class, shell};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::topic::{self, unique};
use crate::support::wait::until;
use crate::support::{broker, kafka_tools, keeper, registry};

/// A block takes seconds; on a loaded machine more.
const BLOCK_LIMIT: Duration = Duration::from_secs(180);

/// The routes that the pages speak of.
const ROUTES: &str = r#"  - name: account-changes
    from: { salesforce: /data/AccountChangeEvent, start: earliest }
    to: { kafka: "salesforce.cdc.{entity}", format: json }
  - name: accounts
    from: { salesforce: /data/AccountChangeEvent, start: earliest }
    to: { kafka: crm.accounts, format: avro }
  - name: order-shipped
    from: { salesforce: /event/Order_Shipped__e, start: earliest }
    to: { kafka: salesforce.order-shipped, format: json }
"#;
const PAGES: Scenery = Scenery {
    routes: ROUTES,
    names: &["account-changes", "accounts", "order-shipped", "customers"],
    topics: &[(CUSTOMERS, 1)],
    flowing: "accounts",
};
/// The route that all stages have: it writes to the object Account.
const CUSTOMERS_ROUTE: &str = r#"  - name: customers
    from: { kafka: crm.customers, format: json, start: earliest }
    to:
      salesforce: Account
      operation: upsert
      external_id: Customer_Id__c
      fields: { Customer_Id__c: value.id, Name: value.name, Phone: value.phone }
"#;
/// What it reads.
const CUSTOMERS: &str = "crm.customers";

/// What a stage is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenery {
    /// As a configuration lists them, but for `customers`.
    pub(super) routes: &'static str,
    pub(super) names: &'static [&'static str],
    /// Topics with their partitions that are there from the beginning, under names of their own.
    pub(super) topics: &'static [(&'static str, i32)],
    /// The route that has written something when the stage is open.
    pub(super) flowing: &'static str,
}

/// Where a dead letter lies on the pages.
const ADDRESS: &str = "sfbridge.crm.dead-letters[3]@17";

/// Waits for an answer of a server that a block has started, stops it as a person would, and asks for a good end.
/// `-q`: any answer will do.
pub(super) const SERVES: &str = r#"
server=$!
until curl -q -so /dev/null "$STAGE_ADMIN/live" || curl -q -so /dev/null "$STAGE_CONTROL/"; do
  kill -0 $server 2>/dev/null || break
  sleep 0.1
done
kill -TERM $server
wait $server
"#;

pub(super) struct Stage {
    scenery: Scenery,
    pub(super) org: Simulator,
    pub(super) setup: Setup,
    pub(super) desk: tempfile::TempDir,
    admin_port: u16,
    /// A port for a simulator that a page starts.
    control_port: u16,
    /// A text of the pages, and what stands for it here.
    pub(super) stands_for: Vec<(String, String)>,
    bridge: Option<Bridge>,
}

impl Stage {
    pub(super) async fn new(kafka: &str, registry: &str, scenery: Scenery) -> Self {
        let settings = SimulatorSettings {
            rate: 10.0,
            ..SimulatorSettings::default()
        };
        let org = Simulator::start(settings).await.unwrap();
        let name = unique("crm");
        let mut routes = [scenery.routes, CUSTOMERS_ROUTE].concat();
        let mut topics = Vec::new();
        for (topic, partitions) in scenery.topics {
            let own = unique(topic);
            topic::create(kafka, &own, *partitions, &[]).await;
            routes = routes.replace(topic, &own);
            topics.push(((*topic).to_owned(), own));
        }
        let mut setup = Setup::new(&name, kafka, &org, &routes);
        setup.registry = Some(registry.to_owned());
        let [admin_port, control_port] = keeper::free_ports().unwrap();
        let host = |url: &str| url.trim_start_matches("http://").to_owned();
        let registry_host = registry.trim_end_matches("/apis/ccompat/v7");
        let pairs = [
            ("kafka:9092".to_owned(), kafka.to_owned()),
            ("127.0.0.1:8081".to_owned(), host(registry_host)),
            ("schema-registry:8081".to_owned(), host(registry)),
            ("sfbridge.crm.".to_owned(), format!("sfbridge.{name}.")),
        ];
        let desk = tempfile::tempdir().unwrap();
        let stage = Self {
            scenery,
            org,
            setup,
            desk,
            admin_port,
            control_port,
            stands_for: pairs.into_iter().chain(topics).collect(),
            bridge: None,
        };
        stage.furnish();
        stage
    }

    /// The files that commands find: the configuration where the pages have it, and the program on the path.
    pub(super) fn furnish(&self) {
        let path = |name: &str| self.desk.path().join(name);
        for folder in ["bin", "config", "config/contracts"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        std::fs::write(path("config/sfbridge.yaml"), self.setup.yaml(self.admin_port)).unwrap();
        std::fs::write(path(".curlrc"), "fail\nsilent\nshow-error\n").unwrap();
        let program = env!("CARGO_BIN_EXE_sfbridge");
        // Ports of its own for an org that a page starts.
        let script = format!(
            "#!/bin/sh\necho $$ > \"$HOME/program.pid\"\nif [ \"$1\" = simulate ]; then exec '{program}' \"$@\" --pubsub 127.0.0.1:0 --http 127.0.0.1:{}; fi\nexec '{program}' \"$@\"\n",
            self.control_port
        );
        // What would be built is built; the demo ends when somebody has seen enough.
        let cargo = format!(
            "#!/bin/sh\n[ \"$1\" = run ] || exit 1\nwhile [ \"$1\" != -- ]; do shift; done\nshift\n[ \"$1\" = demo ] && set -- \"$@\" --seconds 2\nexec '{program}' \"$@\"\n"
        );
        for (name, script) in [("sfbridge", script), ("cargo", cargo)] {
            let file = path("bin").join(name);
            std::fs::write(&file, script).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Starts the bridge; there is a dead letter when this returns, at the address that the pages show.
    pub(super) async fn open(&mut self) {
        let bridge = Bridge::start_at(&self.setup, self.admin_port).await;
        self.stands_for.push((
            "127.0.0.1:9400".to_owned(),
            format!("127.0.0.1:{}", self.admin_port),
        ));
        self.stands_for.push((
            "127.0.0.1:7012".to_owned(),
            self.org.login_url().replace("http://", ""),
        ));
        let flowing = self.scenery.flowing;
        until(PATIENCE, &format!("records of route {flowing}"), || async {
            let shown = bridge.route(flowing).await?;
            (shown["records_written"].as_u64()? > 0).then_some(())
        })
        .await;
        self.bridge = Some(bridge);
        self.refuse_a_record().await;
        self.settle().await;
    }

    /// A dead letter more, which takes the address that the pages show.
    pub(super) async fn refuse_a_record(&mut self) {
        let bridge = self.bridge.as_ref().expect("it is open");
        let dead_letters = async || bridge.route("customers").await?["dead_letters"].as_u64();
        let before = dead_letters().await.unwrap_or_default();
        // Refused once: it can be sent again.
        let key = unique("stage");
        let refused = RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key(&key);
        self.org.record_fault(refused);
        let record = format!(r#"{{"id": "{key}", "name": "x", "phone": "0123"}}"#);
        topic::produce(
            &self.setup.bootstrap,
            &self.here(CUSTOMERS),
            &[(&key, Some(&record))],
        )
        .await;
        until(PATIENCE, "a dead letter of route customers", || async {
            (dead_letters().await? > before).then_some(())
        })
        .await;
        let listed = self
            .said("sfbridge dead-letters list --route customers --pending --output json")
            .await;
        let letters: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let address = letters[0]["address"].as_str().expect("an address").to_owned();
        self.stands_for.retain(|(of_the_page, _)| of_the_page != ADDRESS);
        self.stands_for.insert(0, (ADDRESS.to_owned(), address));
    }

    /// Ends the bridge as a person would.
    pub(super) async fn close(&mut self) {
        let bridge = self.bridge.take().expect("it is open");
        bridge.signal("TERM");
        assert!(bridge.ended().await.success());
    }

    /// Every route runs: what the block before has done is undone.
    pub(super) async fn settle(&self) {
        let bridge = self.bridge.as_ref().expect("it is open");
        for topic in ["/data/AccountChangeEvent", "/event/Order_Shipped__e"] {
            self.org.set_permitted(topic, true).unwrap();
        }
        for route in self.scenery.names {
            let shown = bridge.route(route).await.unwrap_or_default();
            if let Some("paused" | "halted") = shown["state"]["name"].as_str() {
                bridge.post(&format!("/api/routes/{route}/resume")).await;
            }
        }
        for route in self.scenery.names {
            bridge.until_state(route, &["streaming", "idle"]).await;
        }
    }

    /// A text of the pages, with what stands for it here.
    pub(super) fn here(&self, text: &str) -> String {
        let pairs = self.stands_for.iter();
        pairs.fold(text.to_owned(), |text, (of_the_page, here)| {
            text.replace(of_the_page, here)
        })
    }

    async fn said(&self, command: &str) -> String {
        let output = self.bash(&format!("{command}\n")).await.expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// # Errors
    /// It did not end within the limit.
    pub(super) async fn bash(&self, script: &str) -> Result<std::process::Output, String> {
        let mut folders = vec![self.desk.path().join("bin")];
        folders.extend(tool_folders());
        let paths = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&paths));
        let path = std::env::join_paths(folders).expect("no folder has a colon in its name");
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(script)
            .current_dir(self.desk.path())
            .env("PATH", path)
            .env("HOME", self.desk.path())
            .env("STAGE_ADMIN", format!("http://127.0.0.1:{}", self.admin_port))
            .env("STAGE_CONTROL", format!("http://127.0.0.1:{}", self.control_port))
            .env_remove("SFBRIDGE_CONFIG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match timeout(BLOCK_LIMIT, command.output()).await {
            Ok(output) => Ok(output.expect("bash is there")),
            Err(_) => Err(format!("no end within {BLOCK_LIMIT:?}")),
        }
    }

    /// The script that runs a block and names the line that fails.
    fn script(&self, block: &Block) -> String {
        if block.language == "sh" {
            return format!("set -eo pipefail\n{}", self.here(&block.joined()));
        }
        let mut script = "set -o pipefail\n".to_owned();
        let commands = shell::commands(block);
        for (index, command) in commands.iter().enumerate() {
            script.push_str(&self.here(&command.text));
            if block.is("serves") && index + 1 == commands.len() {
                let _ = write!(script, " &{SERVES}");
            }
            let _ = write!(
                script,
                "\ncode=$?; [ $code = 0 ] || {{ echo '{}:{}: exit code '$code >&2; exit 1; }}\n",
                block.page, command.line
            );
        }
        script
    }

    /// What is wrong with a block.
    async fn run(&self, block: &Block) -> Option<String> {
        let output = match self.bash(&self.script(block)).await {
            Ok(output) => output,
            Err(why) => return Some(format!("{}: {why}", block.place())),
        };
        if output.status.success() {
            return None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(format!(
            "{}:\n{}{}",
            block.place(),
            text(&output.stdout),
            text(&output.stderr)
        ))
    }
}

/// Folders with programs of others that the pages' commands need and that no machine has by itself.
fn tool_folders() -> Vec<PathBuf> {
    kafka_tools::folder().into_iter().collect()
}

/// What of the machine the pages' commands need beside the program.
pub(super) fn tools() -> Result<(), String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |tool: &str| std::env::split_paths(&paths).any(|folder: PathBuf| folder.join(tool).is_file());
    match ["bash", "curl", "openssl"].iter().find(|tool| !is_there(tool)) {
        Some(tool) => Err(format!("there is no {tool}")),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_pages_does_what_it_says() {
    need!("foreign", tools());
    let kafka = need!("kafka", broker::shared());
    let registry = need!("registry", registry::shared());
    let (mut count, mut wrong) = (0, Vec::new());
    for page in page::all() {
        let of = |class_wanted: Class| {
            let blocks = page.blocks();
            blocks
                .into_iter()
                .filter(move |block| class(block) == Ok(class_wanted))
                .collect::<Vec<_>>()
        };
        let (servers, commands) = (of(Class::Server), of(Class::Commands));
        if servers.is_empty() && commands.is_empty() {
            continue;
        }
        let mut stage = Stage::new(&kafka, &registry, PAGES).await;
        for block in &servers {
            wrong.extend(stage.run(block).await);
        }
        if !commands.is_empty() {
            stage.open().await;
        }
        for block in &commands {
            stage.settle().await;
            wrong.extend(stage.run(block).await);
        }
        count += servers.len() + commands.len();
        println!("{}: {} blocks run", page.name, servers.len() + commands.len());
    }
    assert!(count > 5, "{count} blocks");
    super::assert_none(&wrong);
}

#[tokio::test]
async fn a_command_that_fails_is_named_by_its_line() {
    need!("foreign", tools());
    let page = page::Page::of(
        "x.md",
        "```console\n$ true\nfine\n$ false\n```\n```console\n$ sfbridge --version | \\\n    grep -q sfbridge\n```\n",
    );
    let stage = Stage {
        scenery: PAGES,
        org: Simulator::start(SimulatorSettings::default()).await.unwrap(),
        setup: Setup::with_org_at(
            "crm",
            "127.0.0.1:9",
            "http://127.0.0.1:9",
            "http://127.0.0.1:9",
            ROUTES,
        ),
        desk: tempfile::tempdir().unwrap(),
        admin_port: 9,
        control_port: 9,
        stands_for: Vec::new(),
        bridge: None,
    };
    stage.furnish();
    let blocks = page.blocks();
    let wrong = stage.run(&blocks[0]).await.expect("it fails");
    assert!(wrong.contains("x.md:4: exit code 1"), "{wrong}");
    assert_eq!(stage.run(&blocks[1]).await, None);
}
