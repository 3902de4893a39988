//! `sfbridge simulate` as a process. It ends with its handle.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// The topic of the prepared events.
pub const ACCOUNTS: &str = "/data/AccountChangeEvent";
/// Of one event emitted by hand: what a prepared one has.
const EVENT_BYTES: usize = 1_020;

#[derive(Debug)]
pub struct Org {
    process: Child,
    pub pubsub_url: String,
    pub login_url: String,
    control_url: String,
    client: reqwest::Client,
}

impl Org {
    /// An org with so many prepared events, and a network delay each way in front of its Pub/Sub API.
    pub fn start(prepared: u64, delay_ms: u64) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_sfbridge"))
            .args(["simulate", "--output", "json", "--rate", "0"])
            .args(["--pubsub", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--prepared", &prepared.to_string()])
            .args(["--delay-ms", &delay_ms.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        Self {
            process,
            pubsub_url: text("pubsub_url"),
            login_url: text("login_url"),
            control_url: text("control_url"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// What the control API answers.
    pub async fn control(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/{path}", self.control_url));
        let answer = request.json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        // Some say nothing.
        answer.json().await.unwrap_or_default()
    }

    /// Emits one account change and gives its number.
    pub async fn emit(&self) -> u64 {
        let told = self
            .control("test-events", &json!({"count": 1, "bytes": EVENT_BYTES}))
            .await;
        told["first"].as_u64().unwrap()
    }
}

impl Drop for Org {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The number of a test event, from the record that the bridge made of it: it ends the transaction's key, which
/// is text in JSON and in Avro and stands near the front.
pub fn number_in(value: &[u8]) -> u64 {
    const MARK: &[u8] = b"00000000-0000-4000-8000-";
    let at = value
        .windows(MARK.len())
        .position(|window| window == MARK)
        .expect("a record of a test event");
    let digits = &value[at + MARK.len()..][..12];
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
