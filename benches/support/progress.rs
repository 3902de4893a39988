//! A bridge under measurement: its start, and how far its routes are, asked so rarely that asking costs nothing.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::bridge::{Bridge, Setup};
use super::org::Org;
use super::process::Usage;

/// Between two looks. An answer takes the bridge a tenth of a millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A run that takes longer does not work.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Progress {
    pub bridge: Bridge,
    client: reqwest::Client,
}

/// What a bridge had done at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: Instant,
    pub written: u64,
    pub usage: Usage,
}

impl Progress {
    /// Starts a bridge with these routes.
    pub fn start(name: &str, kafka: &str, org: &Org, routes: &str) -> Self {
        Self::of(&Setup::with_org_at(
            name,
            kafka,
            &org.pubsub_url,
            &org.login_url,
            routes,
        ))
    }

    pub fn of(setup: &Setup) -> Self {
        Self {
            bridge: Bridge::spawn(setup),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub async fn routes(&self) -> Vec<Value> {
        let url = format!("{}/api/routes", self.bridge.admin_url());
        let Ok(answer) = self.client.get(url).send().await else {
            // Not up yet.
            return Vec::new();
        };
        let mut told: Value = answer.json().await.unwrap();
        match told["routes"].take() {
            Value::Array(routes) => routes,
            other => panic!("not a list of routes: {other}"),
        }
    }

    pub async fn sample(&self) -> Sample {
        let routes = self.routes().await;
        Sample {
            at: Instant::now(),
            written: routes
                .iter()
                .map(|route| route["records_written"].as_u64().unwrap())
                .sum(),
            usage: Usage::of(self.bridge.pid()),
        }
    }

    /// Waits until all routes together have written so many records.
    pub async fn until_written(&self, records: u64) -> Sample {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sample = self.sample().await;
            if sample.written >= records {
                return sample;
            }
            assert!(
                Instant::now() < deadline && self.bridge.is_running(),
                "{} of {records} records written\n{}",
                sample.written,
                self.bridge.log(),
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until each route has written something.
    pub async fn until_all_flow(&self, routes: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.routes().await;
            let flow = shown
                .iter()
                .filter(|route| route["records_written"].as_u64() > Some(0));
            let flow = flow.count();
            if flow == routes {
                return;
            }
            assert!(
                Instant::now() < deadline && self.bridge.is_running(),
                "{flow} of {routes} routes flow\n{}",
                self.bridge.log(),
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
