//! The Kafka side against a real broker.

mod consumer;
mod lanes;
mod ownership;
mod positions;
mod producer;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sfbridge::config::KafkaConfig;
use sfbridge::kafka::{Connection, Record};

use crate::support::topic::unique;

/// A bridge of its own on the broker: nothing of another test is in its topics and group.
struct Bridge {
    name: String,
    bootstrap: String,
    connection: Connection,
}

impl Bridge {
    fn on(bootstrap: &str) -> Self {
        Self::with(bootstrap, true)
    }

    fn that_makes_no_topics(bootstrap: &str) -> Self {
        Self::with(bootstrap, false)
    }

    fn with(bootstrap: &str, create_topics: bool) -> Self {
        let name = unique("bridge");
        let config = KafkaConfig {
            bootstrap_servers: bootstrap.to_owned(),
            properties: BTreeMap::new(),
            create_topics,
            partitions: 3,
            replication_factor: -1,
        };
        Self {
            connection: Connection::new(config, &name),
            bootstrap: bootstrap.to_owned(),
            name,
        }
    }

    fn internal(&self, topic: &str) -> String {
        format!("_sfbridge.{}.{topic}", self.name)
    }

    fn transactional_id(&self, route: &str) -> String {
        format!("sfbridge.{}.{route}", self.name)
    }
}

/// A record of some data, of now.
fn data(topic: &str, key: &str, value: &str) -> Record {
    Record {
        topic: Arc::from(topic),
        partition: None,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: vec![("ce_id".into(), Bytes::from_static(b"1"))],
        timestamp_ms: sfbridge::runtime::clock::now_ms(),
    }
}

/// For reads that nothing holds up.
fn no_wait(reason: String) {
    panic!("nothing should be waited for: {reason}");
}
