//! The Kafka of the demonstration: librdkafka's mock cluster inside this process, or a real one.
//!
//! The mock answers no request to make a topic, so its topics come from its own handle before anything connects.

use std::mem::ManuallyDrop;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::error::{ErrorKind, Failure};

/// Brokers of the mock: each further one is a line that every client must open before its first record.
const MOCK_BROKERS: i32 = 1;
/// For one request to a real broker when everything is over.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) enum Cluster {
    /// Ends with the process: a client's thread that outlives its handle would complain of a broker that is gone.
    Embedded(ManuallyDrop<MockCluster<'static, DefaultProducerContext>>),
    Real {
        bootstrap_servers: String,
    },
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.bootstrap_servers())
    }
}

impl Cluster {
    pub(super) fn open(real: Option<&str>) -> Result<Self, Failure> {
        Ok(match real {
            Some(servers) => Self::Real {
                bootstrap_servers: servers.to_owned(),
            },
            None => Self::Embedded(ManuallyDrop::new(
                MockCluster::new(MOCK_BROKERS).map_err(mock_failure)?,
            )),
        })
    }

    pub(super) fn bootstrap_servers(&self) -> String {
        match self {
            Self::Embedded(mock) => mock.bootstrap_servers(),
            Self::Real { bootstrap_servers } => bootstrap_servers.clone(),
        }
    }

    pub(super) const fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// Makes the topics with their partition counts, where the bridge cannot.
    pub(super) fn make(&self, topics: impl IntoIterator<Item = (String, i32)>) -> Result<(), Failure> {
        if let Self::Embedded(mock) = self {
            for (topic, partitions) in topics {
                mock.create_topic(&topic, partitions, 1).map_err(mock_failure)?;
            }
        }
        Ok(())
    }

    /// Deletes from a real Kafka every topic that `is_ours`. Answers how many went.
    pub(super) async fn clear_up(&self, is_ours: impl Fn(&str) -> bool) -> Result<usize, KafkaError> {
        let Self::Real { bootstrap_servers } = self else {
            return Ok(0);
        };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap_servers)
            .set("log_level", "0");
        let lookup = config.clone();
        let all = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer = lookup.create()?;
            let metadata = client.fetch_metadata(None, CALL_TIMEOUT)?;
            let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
            Ok::<Vec<String>, KafkaError>(names.collect())
        });
        let all = all.await.map_err(|_| KafkaError::Canceled)??;
        let ours: Vec<&str> = all
            .iter()
            .map(String::as_str)
            .filter(|name| is_ours(name))
            .collect();
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let options = AdminOptions::new().request_timeout(Some(CALL_TIMEOUT));
        let mut deleted = 0;
        for answer in admin.delete_topics(&ours, &options).await? {
            match answer {
                Ok(_) => deleted += 1,
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
        Ok(deleted)
    }
}

fn mock_failure(error: KafkaError) -> Failure {
    Failure::new(ErrorKind::Unknown, "the embedded Kafka did not start")
        .remedy("use a real one: --kafka host:port")
        .caused_by(error)
}
