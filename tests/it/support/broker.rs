//! A real Apache Kafka broker (KRaft, one node, loopback): one shared by the whole run, and private ones that
//! a test may stop, kill, freeze and start again on the same ports and data.
//!
//! No broker outlives the test process, however that ends: each runs under a small shell that obeys signals
//! written to its stdin and, when stdin closes, kills the broker and removes its folder.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::jars::kafka_jars;

/// Three seconds on an idle machine; the tests of several checkouts may share this one.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// `$1` is the folder, the rest the broker's command line. Out of the terminal's process group, so that
/// Ctrl-C reaches the broker through the end of stdin alone, in one order.
const KEEPER: &str = r#"
folder=$1; shift
"$@" </dev/null >>"$folder/broker.log" 2>&1 &
broker=$!
while read -r signal; do
  kill -"$signal" "$broker"
  case "$signal" in TERM|KILL) wait "$broker" 2>/dev/null; exit 0 ;; esac
done
kill -KILL "$broker"; wait "$broker" 2>/dev/null; rm -rf "$folder"
"#;

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
    folder: PathBuf,
    bootstrap: String,
    keeper: Mutex<Option<Child>>,
}

impl Broker {
    /// Formats and starts one, with `extra` lines in its `server.properties`. `{controller}` and `{client}` in
    /// them are its ports.
    pub fn start_new(extra: &[&str]) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let jars = kafka_jars()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{}-{number}", std::process::id()));
        let [client_port, controller_port] = free_ports()?;
        let broker = Self {
            jars,
            folder,
            bootstrap: format!("127.0.0.1:{client_port}"),
            keeper: Mutex::new(None),
        };
        broker.format(client_port, controller_port, extra)?;
        broker.start()?;
        Ok(broker)
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts it (again) and waits until it answers.
    pub fn start(&self) -> Result<(), String> {
        let mut keeper = self.keeper.lock();
        assert!(keeper.is_none(), "the broker runs already");
        let child = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&self.folder)
            .args(self.java("kafka.Kafka"))
            .arg(self.properties())
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        *keeper = Some(child);
        self.wait_until_up()
    }

    /// An orderly end; the data stays.
    pub fn stop(&self) {
        self.end("TERM");
    }

    /// `kill -9`; the data stays.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Stops the process where it stands: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn end(&self, signal: &str) {
        self.signal(signal);
        if let Some(mut keeper) = self.keeper.lock().take() {
            keeper.wait().expect("the broker's keeper can be waited for");
        }
    }

    fn signal(&self, signal: &str) {
        let mut keeper = self.keeper.lock();
        let stdin = keeper.as_mut().and_then(|child| child.stdin.as_mut());
        writeln!(stdin.expect("the broker runs"), "{signal}").expect("the broker's keeper listens");
    }

    fn format(&self, client_port: u16, controller_port: u16, extra: &[&str]) -> Result<(), String> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let text = server_properties(&self.folder, client_port, controller_port, extra);
        std::fs::write(self.properties(), text)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
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
        self.folder.join("server.properties")
    }

    /// The JVM's command line: a heap and a collector for a small machine that runs other things too.
    fn java(&self, class: &str) -> Vec<String> {
        let classes = format!("{}/*", self.jars.display());
        [
            "java",
            "-Xmx512m",
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
        let log = std::fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        Err(format!("the broker did not start: {}", tail.join("\n")))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        match self.keeper.lock().take() {
            Some(mut keeper) => {
                drop(keeper.stdin.take());
                let _ = keeper.wait();
            }
            // Stopped by the test: no keeper is left to clear up.
            None => drop(std::fs::remove_dir_all(&self.folder)),
        }
    }
}

fn free_ports() -> Result<[u16; 2], String> {
    let free = || TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"));
    // Both are held until both are known, so that they differ.
    let (one, other) = (free()?, free()?);
    let port = |held: &TcpListener| {
        held.local_addr()
            .map(|address| address.port())
            .map_err(|error| format!("no free port: {error}"))
    };
    Ok([port(&one)?, port(&other)?])
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
