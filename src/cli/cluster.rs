//! The configured Kafka, for the commands that ask it: reached, or told within seconds.

use std::time::Duration;

use super::progress::waiting;
use crate::config::Config;
use crate::error::Failure;
use crate::kafka::{Connection, Topics};

/// A broker that is there answers within it.
pub(super) const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const REACH_KAFKA: &str =
    "check that kafka.bootstrap_servers can be reached from here, then run the command again";

/// # Errors
/// When no broker answers, or the properties are wrong.
pub(super) async fn reached(config: &Config) -> Result<(Connection, Topics), Failure> {
    let connection = Connection::new(config.kafka.clone(), &config.bridge.name);
    let asked = waiting("asking Kafka", connection.check(KAFKA_TIMEOUT)).await;
    asked.map_err(|failure| match failure.remedy {
        Some(_) => failure,
        None => failure.remedy(REACH_KAFKA),
    })?;
    let topics = Topics::new(&connection)?;
    Ok((connection, topics))
}
