//! The real program, as a process of its own, with a configuration written for one test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use sfbridge::simulator::Simulator;

use super::wait::until;

/// Enough for a loaded machine; a test that needs it all is wrong somewhere.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What a configuration is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The bridge's name: unique a test, or its internal topics would be shared.
    pub name: String,
    pub instance: String,
    pub bootstrap: String,
    pub pubsub_url: String,
    pub login_url: String,
    pub client_secret: String,
    pub shutdown_timeout: String,
    /// More lines for the section `salesforce`.
    pub salesforce: String,
    /// The same for `kafka`.
    pub kafka: String,
    /// The URL of a schema registry, if there is one.
    pub registry: Option<String>,
    /// More lines for the section `admin`.
    pub admin: String,
    /// `json`, which the tests read, or `text`.
    pub log_format: String,
    /// The list `routes:`, indented by two.
    pub routes: String,
    /// More variables for the process.
    pub environment: Vec<(&'static str, String)>,
}

impl Setup {
    pub fn new(name: &str, bootstrap: &str, org: &Simulator, routes: &str) -> Self {
        Self::with_org_at(name, bootstrap, &org.pubsub_url(), org.login_url(), routes)
    }

    /// With an org in another process.
    pub fn with_org_at(name: &str, bootstrap: &str, pubsub_url: &str, login_url: &str, routes: &str) -> Self {
        Self {
            name: name.to_owned(),
            instance: format!("{name}-1"),
            bootstrap: bootstrap.to_owned(),
            pubsub_url: pubsub_url.to_owned(),
            login_url: login_url.to_owned(),
            client_secret: "simulated-secret".to_owned(),
            shutdown_timeout: "30s".to_owned(),
            salesforce: String::new(),
            kafka: String::new(),
            registry: None,
            admin: String::new(),
            log_format: "json".to_owned(),
            routes: routes.to_owned(),
            environment: Vec::new(),
        }
    }

    /// The configuration file, with the admin listener on this port.
    pub fn yaml(&self, admin_port: u16) -> String {
        let Self {
            name,
            instance,
            bootstrap,
            pubsub_url,
            login_url,
            client_secret,
            shutdown_timeout,
            salesforce,
            kafka,
            registry,
            admin,
            log_format,
            routes,
            environment: _,
        } = self;
        let registry = registry.as_ref().map_or_else(String::new, |url| {
            format!("schema_registry: {{ url: \"{url}\" }}\n")
        });
        format!(
            "bridge:\n  name: {name}\n  instance: {instance}\n  shutdown_timeout: {shutdown_timeout}\n\
             salesforce:\n{salesforce}  login_url: {login_url}\n  pubsub_url: {pubsub_url}\n  auth:\n    flow: client_credentials\n    client_id: 3MVG9.simulated.client\n    client_secret: {client_secret}\n\
             kafka:\n  bootstrap_servers: {bootstrap}\n{kafka}{registry}\
             admin:\n  listen: 127.0.0.1:{admin_port}\n{admin}\
             log: {{ format: {log_format}, level: info }}\n\
             routes:\n{routes}"
        )
    }
}

/// A route from a Salesforce topic to one JSON topic.
pub fn json_route(name: &str, from: &str, to: &str, more: &str) -> String {
    format!(
        "  - name: {name}\n    from: {{ salesforce: {from}, start: earliest }}\n    to: {{ kafka: {to}, format: json }}\n{more}"
    )
}

/// A running bridge. Dropping it kills the process.
#[derive(Debug)]
pub struct Bridge {
    child: Mutex<Child>,
    folder: PathBuf,
    admin: String,
}

impl Bridge {
    /// Starts the process and waits until its admin listener answers.
    pub async fn start(setup: &Setup) -> Self {
        Self::spawn(setup).listening().await
    }

    /// The same, with the admin listener on this port.
    pub async fn start_at(setup: &Setup, port: u16) -> Self {
        Self::spawn_at(setup, port).listening().await
    }

    async fn listening(self) -> Self {
        let bridge = self;
        until(PATIENCE, "the admin listener", || async {
            bridge.get("/live").await.map(|_| ())
        })
        .await;
        bridge
    }

    /// Starts the process and waits for nothing.
    pub fn spawn(setup: &Setup) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self::spawn_at(setup, port)
    }

    fn spawn_at(setup: &Setup, port: u16) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("bridge-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("sfbridge.yaml");
        std::fs::write(&config, setup.yaml(port)).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sfbridge"))
            .arg("run")
            .arg("--config")
            .arg(&config)
            .envs(setup.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child: Mutex::new(child),
            folder,
            admin: format!("http://127.0.0.1:{port}"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    /// `kill -9`, and the process is gone when this returns.
    pub fn kill(&self) {
        let mut child = self.child.lock();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&self) -> ExitStatus {
        until(PATIENCE, "the end of the process", || async {
            self.child.lock().try_wait().unwrap()
        })
        .await
    }

    pub fn is_running(&self) -> bool {
        self.child.lock().try_wait().unwrap().is_none()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn admin_url(&self) -> &str {
        &self.admin
    }

    /// Status and body of a GET; None while nobody answers.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = client().get(format!("{}{path}", self.admin)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub async fn post(&self, path: &str) -> (u16, String) {
        let request = client()
            .post(format!("{}{path}", self.admin))
            .header("X-Sfbridge", "1");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A route as `/api/routes/{name}` shows it.
    pub async fn route(&self, name: &str) -> Option<Value> {
        let (_, body) = self.get(&format!("/api/routes/{name}")).await?;
        serde_json::from_str(&body).ok()
    }

    /// Waits until a route is in a state; gives the route.
    pub async fn until_state(&self, route: &str, states: &[&str]) -> Value {
        let what = format!("route {route} in {states:?}");
        until(PATIENCE, &what, || async {
            let shown = self.route(route).await?;
            states
                .iter()
                .any(|state| shown["state"]["name"] == **state)
                .then_some(shown)
        })
        .await
    }

    /// The sum of a metric's samples whose labels contain `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = self.get("/metrics").await.unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(labels))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap()
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("-- the end of the bridge's log --");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
