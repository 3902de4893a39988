//! How a simulated org is set up. Every default is what Salesforce does, as far as it is known.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::faults::Then;

#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// Port 0 takes a free one.
    pub pubsub: SocketAddr,
    pub http: SocketAddr,
    /// Certificate chain and key in PEM. Without them the Pub/Sub server speaks plaintext.
    pub tls: Option<TlsFiles>,
    /// Changes a second that the generator makes; 0 is none.
    pub rate: f64,
    /// Of the generator.
    pub seed: u64,
    /// Account change events of about 1 KB that stand ready at the start.
    pub prepared: u64,
    /// How long a stream that is owed events hears nothing before it gets a keep-alive. Observed: 120 s.
    pub keep_alive: Duration,
    /// How long a stream that is owed nothing lives. Documented: 60 s.
    pub idle_limit: Duration,
    /// What it then ends with.
    pub idle_end: Then,
    /// The same for a `PublishStream` without requests. Documented as 70 s in one place, 1,800 s in another.
    pub publish_idle_limit: Duration,
    /// How long after a `LATEST` subscription opens its position is taken; what is published before is not
    /// delivered. About 3 s were measured.
    pub latest_settles: Duration,
    /// Response headers wait for the first message, as with Salesforce's server; a client that waits for the call
    /// to "connect" before it listens waits as long as the topic is quiet.
    pub hold_headers: bool,
    /// Events a topic keeps, in place of three days.
    pub retained_events: usize,
    /// Rows of a query's page. Salesforce makes pages shorter than its 2,000 where rows are wide.
    pub query_page_rows: usize,
    pub token_lifetime: Duration,
    /// Access tokens that are good from the start, for clients that bring one.
    pub access_tokens: Vec<String>,
    /// The client and user that the token endpoint knows.
    pub client_id: String,
    pub client_secret: String,
    pub refresh_token: String,
    pub username: String,
    /// The key that JWT assertions are checked with; without one their signature is not.
    pub jwt_public_key_pem: Option<String>,
    /// False is `login.salesforce.com`: no client credentials there.
    pub my_domain: bool,
    /// A missing topic is refused as `PERMISSION_DENIED`; both answers were observed.
    pub missing_topic_is_forbidden: bool,
    /// Of the org's clock against the machine's.
    pub clock_offset_ms: i64,
    /// Network delay each way between a client and the Pub/Sub server; throughput is not limited.
    pub delay: Duration,
    /// `organization_id`, 15 characters.
    pub organization_id: String,
}

#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            pubsub: any,
            http: any,
            tls: None,
            rate: 0.0,
            seed: 1,
            prepared: 0,
            keep_alive: Duration::from_secs(120),
            idle_limit: Duration::from_secs(60),
            idle_end: Then::Complete,
            publish_idle_limit: Duration::from_secs(70),
            latest_settles: Duration::ZERO,
            hold_headers: true,
            retained_events: 2_000_000,
            query_page_rows: 2_000,
            token_lifetime: Duration::from_secs(2 * 60 * 60),
            access_tokens: Vec::new(),
            client_id: "3MVG9.simulated.client".into(),
            client_secret: "simulated-secret".into(),
            refresh_token: "5Aep861.simulated.refresh".into(),
            username: "integration@simulated.example".into(),
            jwt_public_key_pem: None,
            my_domain: true,
            missing_topic_is_forbidden: false,
            clock_offset_ms: 0,
            delay: Duration::ZERO,
            organization_id: "00DSB0000000001".into(),
        }
    }
}
