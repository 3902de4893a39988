//! How every Kafka client of the program is configured.
//!
//! Three layers, later ones win: our defaults, `kafka.properties` of the configuration, and what carries the
//! guarantees. librdkafka's log lines become `tracing` events under the target `librdkafka`.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::error::{creation_failure, failure};
use crate::config::KafkaConfig;
use crate::error::{ErrorKind, Failure};

/// The largest record and batch: an event of 1 MB whose every byte is escaped in JSON (six for one), and room
/// for field names, nulls and headers. Topics that the bridge makes take as much.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One blocking question to a broker. Longer than an election of a leader usually takes.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What all clients of one bridge have in common; cheap to clone.
#[derive(Debug, Clone)]
pub struct Connection {
    config: Arc<KafkaConfig>,
    bridge: Arc<str>,
    mock: bool,
}

/// Which records a reader is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    Committed,
    Uncommitted,
}

impl Connection {
    pub fn new(config: KafkaConfig, bridge: &str) -> Self {
        Self {
            config: Arc::new(config),
            bridge: bridge.into(),
            mock: false,
        }
    }

    /// The same, to a mock cluster of librdkafka in this process. It answers no question about settings and
    /// takes no request to make a topic; nobody else reaches it.
    #[must_use]
    pub fn to_mock(mut self) -> Self {
        self.mock = true;
        self
    }

    pub(super) const fn is_mock(&self) -> bool {
        self.mock
    }

    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// The name of the bridge: part of group, transactional id and internal topic names.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Asks a broker for the cluster's metadata: fails when none answers within `deadline`.
    ///
    /// # Errors
    /// What kept it from answering; wrong properties are [`ErrorKind::Misconfigured`](crate::error::ErrorKind).
    pub async fn check(&self, deadline: Duration) -> Result<(), Failure> {
        let connection = self.clone();
        blocking(move || {
            let client = connection.lookup_client()?;
            client.fetch_metadata(None, deadline).map(drop).map_err(|error| {
                let said = refusal(&client).unwrap_or(error);
                failure(&said, &connection.config.bootstrap_servers)
            })
        })
        .await
    }

    /// The cluster's own id: the same for as long as it lives, another one for a cluster made anew.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn cluster_id(&self) -> Result<String, Failure> {
        let connection = self.clone();
        blocking(move || {
            let client = connection.lookup_client()?;
            let id = client.client().fetch_cluster_id(CALL_TIMEOUT);
            id.ok_or_else(|| {
                let message = format!(
                    "{}: no broker told the cluster's id",
                    connection.config.bootstrap_servers
                );
                Failure::new(ErrorKind::Transient, message)
            })
        })
        .await
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.with_defaults(&[
            // A transaction is filled as fast as it can be and then waited for: waiting for more records adds
            // to its time, and saves nothing (0, 0.5, 2 and 5 ms cost the same in a catch-up, here and at the
            // broker).
            ("linger.ms", "0"),
        ]);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Java's clients do, so that all producers of a topic agree where a key belongs.
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            // Topics are looked up before they are written to. A topic made in passing has the broker's
            // default partitions and retention.
            .set("allow.auto.create.topics", "false");
        config
    }

    pub(super) fn consumer(&self, isolation: Isolation) -> ClientConfig {
        let mut config = self.with_defaults(&[]);
        config
            .set("group.id", self.group())
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("allow.auto.create.topics", "false")
            .set(
                "isolation.level",
                match isolation {
                    Isolation::Committed => "read_committed",
                    Isolation::Uncommitted => "read_uncommitted",
                },
            );
        config
    }

    /// For administrative requests.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.with_defaults(&[]);
        config.set("allow.auto.create.topics", "false");
        config
    }

    /// A client that looks topics up and never makes one: a consumer without a group.
    pub(super) fn lookup_client(&self) -> Result<BaseConsumer<Context>, Failure> {
        self.admin()
            // Nobody polls it between two questions, so that its log lines would pile up; the answers to
            // the questions say the same.
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create_with_context(Context)
            .map_err(|error| creation_failure(&error))
    }

    /// The consumer group in which instances share routes. Readers name it too, without joining it, so
    /// that one access rule covers them.
    pub(super) fn group(&self) -> String {
        format!("sfbridge.{}", self.bridge)
    }

    fn with_defaults(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", self.group())
            // Small requests and answers follow each other: never hold one back.
            .set("socket.nagle.disable", "true")
            // The system's certificates where they usually lie. librdkafka's own OpenSSL looks where it was built for,
            // and finds none.
            .set("ssl.ca.location", "probe")
            // A broker that comes back is used within seconds.
            .set("reconnect.backoff.max.ms", "2000")
            // Measurements of its own that librdkafka keeps for brokers that ask for them (KIP-714): more than half of
            // what a client has in memory.
            .set("enable.metrics.push", "false");
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in &self.config.properties {
            config.set(key, value.expose());
        }
        config.set("bootstrap.servers", &self.config.bootstrap_servers);
        config
    }
}

/// Events that may wait before the one that says why a broker hung up: a few for each of its addresses.
const EVENTS_LOOKED_THROUGH: usize = 32;

/// Why a broker refuses to talk to us, if it said so: a call only tells that the connection is gone, the
/// reason (a wrong password, an untrusted certificate) comes as an event.
fn refusal(client: &BaseConsumer<Context>) -> Option<KafkaError> {
    let is_refusal = |error: &KafkaError| {
        let code = error.rdkafka_error_code();
        matches!(
            code,
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)
        )
    };
    (0..EVENTS_LOOKED_THROUGH)
        .filter_map(|_| client.poll(Duration::ZERO)?.err())
        .find(is_refusal)
}

/// Runs a blocking call of librdkafka off the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(ended) => Err(super::error::thread_failure("a Kafka call").caused_by(ended)),
    }
}

/// The context of clients that need no callbacks but logging.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Context {}

/// librdkafka masks secrets in its own lines; what goes through here is connection trouble and protocol news.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Errors that belong to no call. Those that matter come back from the calls too, so here they are news only.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, "{reason}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Secret;

    fn connection(properties: &[(&str, &str)]) -> Connection {
        let properties: BTreeMap<_, _> = properties
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Secret::new(*value)))
            .collect();
        Connection::new(
            KafkaConfig {
                bootstrap_servers: "127.0.0.1:9".into(),
                properties,
                create_topics: true,
                partitions: 6,
                replication_factor: -1,
            },
            "crm",
        )
    }

    #[test]
    fn properties_win_over_defaults_and_never_over_guarantees() {
        let config = connection(&[("linger.ms", "7"), ("acks", "0"), ("sasl.username", "u")]).producer();
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert_eq!(config.get("sasl.username"), Some("u"));
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("partitioner"), Some("murmur2_random"));
        assert_eq!(config.get("allow.auto.create.topics"), Some("false"));
        assert_eq!(config.get("enable.metrics.push"), Some("false"));
        let pushing = connection(&[("enable.metrics.push", "true")]).producer();
        assert_eq!(pushing.get("enable.metrics.push"), Some("true"));
    }

    #[test]
    fn a_wrong_property_is_named_without_its_value() {
        let failure = connection(&[("retry.backoff.ms", "hunter2")])
            .lookup_client()
            .map(drop)
            .expect_err("not a number");
        let said = crate::error::chain(&failure);
        assert!(said.contains("retry.backoff.ms"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
