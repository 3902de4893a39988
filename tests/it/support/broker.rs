//! A real Apache Kafka broker (KRaft, one node, loopback): one shared by the whole run, and private ones that
//! a test may stop, kill, freeze and start again on the same ports and data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::jars::kafka_jars;
use super::keeper::{Keeper, free_ports};

/// Three seconds on an idle machine; the tests of several checkouts may share this one.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The broker of the whole run (or the one that `KAFKA_BOOTSTRAP` names): its bootstrap servers, or why none.
pub fn shared() -> Result<String, String> {
    static SHARED: OnceLock<Result<(String, Option<Broker>), String>> = OnceLock::new();
    let started = SHARED.get_or_init(|| {
        if let Ok(existing) = std::env::var("KAFKA_BOOTSTRAP") {
            return Ok((existing, None));
        }
        let broker = Broker::start_new(&[])?;
        Ok((broker.bootstrap().to_owned(), Some(broker)))
    });
    match started {
        Ok((bootstrap, _)) => Ok(bootstrap.clone()),
        Err(reason) => Err(reason.clone()),
    }
}

/// A broker of this test's own.
#[derive(Debug)]
pub struct Broker {
    jars: PathBuf,
    bootstrap: String,
    keeper: Keeper,
}

impl Broker {
    /// Formats and starts one, with `extra` lines in its `server.properties`. `{controller}` and `{client}` in
    /// them are its ports.
    pub fn start_new(extra: &[&str]) -> Result<Self, String> {
        let jars = kafka_jars()?;
        let [client_port, controller_port] = free_ports()?;
        let broker = Self {
            jars,
            bootstrap: format!("127.0.0.1:{client_port}"),
            keeper: Keeper::new("kafka")?,
        };
        broker.format(client_port, controller_port, extra)?;
        broker.start()?;
        Ok(broker)
    }

    /// One with a second port, at which a user needs a password; whoever comes to its own port needs none.
    pub fn start_with_password(user: &str, password: &str, extra: &[&str]) -> Result<(Self, u16), String> {
        let [port, _] = free_ports()?;
        let listeners = format!("PLAINTEXT://127.0.0.1:{{client}},SASL_PLAINTEXT://127.0.0.1:{port}");
        let lines = [
            format!("listeners={listeners},CONTROLLER://127.0.0.1:{{controller}}"),
            format!("advertised.listeners={listeners}"),
            "sasl.enabled.mechanisms=PLAIN".to_owned(),
            format!(
                r#"listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";"#
            ),
        ];
        let lines: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .chain(extra.iter().copied())
            .collect();
        Ok((Self::start_new(&lines)?, port))
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts it (again) and waits until it answers.
    pub fn start(&self) -> Result<(), String> {
        let mut command_line = self.java("kafka.Kafka");
        command_line.push(self.properties().display().to_string());
        self.keeper.start(command_line)?;
        self.wait_until_up()
    }

    /// An orderly end; the data stays.
    pub fn stop(&self) {
        self.keeper.end("TERM");
    }

    /// `kill -9`; the data stays.
    pub fn kill(&self) {
        self.keeper.end("KILL");
    }

    /// Stops the process where it stands: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.keeper.signal("STOP");
    }

    pub fn thaw(&self) {
        self.keeper.signal("CONT");
    }

    fn format(&self, client_port: u16, controller_port: u16, extra: &[&str]) -> Result<(), String> {
        let folder = self.keeper.folder();
        let text = server_properties(folder, client_port, controller_port, extra);
        std::fs::write(self.properties(), text).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut java = self.java("kafka.tools.StorageTool").into_iter();
        let output = Command::new(java.next().unwrap_or_default())
            .args(java)
            .args(["format", "--cluster-id", "c2ZicmlkZ2UtdGVzdHMtMQ", "--config"])
            .arg(self.properties())
            .output()
            .map_err(|error| format!("java: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("the broker's storage was not formatted: {said}"))
        }
    }

    fn properties(&self) -> PathBuf {
        self.keeper.folder().join("server.properties")
    }

    /// The JVM's command line: a collector for a small machine, and a heap that holds the topics and transactional ids of the
    /// whole suite (with 512 MB the shared broker ended near the end of it).
    fn java(&self, class: &str) -> Vec<String> {
        let classes = format!("{}/*", self.jars.display());
        [
            "java",
            "-Xmx1536m",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &classes,
            class,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn wait_until_up(&self) -> Result<(), String> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            // Refused connections until it is up are what is waited out here, not news.
            .set("log_level", "0")
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .map_err(|error| error.to_string())?;
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if client
                .fetch_metadata(None, Duration::from_millis(500))
                .is_ok_and(|metadata| !metadata.brokers().is_empty())
            {
                return Ok(());
            }
        }
        Err(format!("the broker did not start: {}", self.keeper.last_words()))
    }
}

/// Everything not named is Kafka's default, automatic topic creation above all: the bridge must cope with it.
fn server_properties(folder: &Path, client_port: u16, controller_port: u16, extra: &[&str]) -> String {
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("controller.quorum.voters=1@127.0.0.1:{controller_port}"),
        format!("listeners=PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}"),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{client_port}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        // For listeners that a test adds.
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT"
            .to_owned(),
        format!("log.dirs={}", folder.join("data").display()),
        // One node holds every replica; few partitions of its own topics, so that it starts fast.
        "offsets.topic.replication.factor=1".to_owned(),
        "offsets.topic.num.partitions=4".to_owned(),
        "transaction.state.log.replication.factor=1".to_owned(),
        "transaction.state.log.min.isr=1".to_owned(),
        "transaction.state.log.num.partitions=4".to_owned(),
        "share.coordinator.state.topic.replication.factor=1".to_owned(),
        "share.coordinator.state.topic.min.isr=1".to_owned(),
        // Tests look at the first assignment: without the pause that gathers members.
        "group.initial.rebalance.delay.ms=0".to_owned(),
        // How often it looks for timed-out transactions: a test waits for one.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=500".to_owned(),
    ];
    let ports = |line: &str| {
        line.replace("{client}", &client_port.to_string())
            .replace("{controller}", &controller_port.to_string())
    };
    lines.extend(extra.iter().map(|line| ports(line)));
    lines.join("\n")
}
