//! Where a route's records go that Salesforce will never take, and the reports of what the group lost.
//!
//! What is handed in is stored when this returns: only then may an offset move past it.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::error::{ErrorKind, Failure};
use crate::kafka::{ConsumedRecord, LostOffsets, Record, RouteProducer, Timing, WriteError};
use crate::routes::dead_letter::{self, Reason};
use crate::routes::gap::{self, GapKind, GapReport, LostRange};
use crate::routes::route::Shared;

/// The producer of one route's own records. Made when first needed: most routes have no dead letters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    route: Arc<str>,
    topic: Arc<str>,
    shared: Shared,
    producer: Mutex<Option<RouteProducer>>,
}

impl DeadLetters {
    pub(super) fn new(route: Arc<str>, topic: &str, shared: Shared) -> Self {
        Self {
            route,
            topic: topic.into(),
            shared,
            producer: Mutex::default(),
        }
    }

    /// Stores dead letters in the order given; answers with their times, epoch milliseconds.
    ///
    /// # Errors
    /// When Kafka does not take them: none counts as stored, some may be.
    pub(super) async fn store(&self, dead: &[(&ConsumedRecord, &Reason)]) -> Result<Vec<i64>, Failure> {
        self.shared.topics.ensure_dead_letter(&self.topic).await?;
        let records: Vec<Record> = dead
            .iter()
            .map(|(record, reason)| dead_letter::from_kafka(&self.topic, &self.route, record, reason))
            .collect();
        let times = records.iter().map(|record| record.timestamp_ms).collect();
        self.write(records).await?;
        Ok(times)
    }

    /// Reports what the group lost.
    ///
    /// # Errors
    /// When Kafka does not take the report.
    pub(super) async fn report(&self, lost: &LostOffsets, resolution: &str) -> Result<(), Failure> {
        let topic = gap::topic(&self.shared.bridge);
        self.shared.topics.ensure_gaps(&topic).await?;
        let mut report = GapReport::new(&self.route, &lost.topic, GapKind::LostPosition, resolution);
        report.offsets = Some(LostRange {
            partition: lost.partition,
            from_offset: lost.from_offset,
            to_offset: Some(lost.to_offset),
        });
        self.write(vec![report.record(&topic)]).await
    }

    /// Stores records of the bridge's own.
    ///
    /// # Errors
    /// When Kafka does not take them all.
    pub(super) async fn write(&self, records: Vec<Record>) -> Result<(), Failure> {
        let topic = records.last().map(|record| Arc::clone(&record.topic));
        let mut slot = self.producer.lock().await;
        let mut producer = match slot.take() {
            Some(producer) => producer,
            None => RouteProducer::idempotent(&self.shared.connection, Timing::DEFAULT).await?,
        };
        match producer.write_records(records).await {
            Ok(_) => {
                *slot = Some(producer);
                Ok(())
            }
            Err(WriteError::Refused(refusal)) => {
                *slot = Some(producer);
                let topic = &refusal.topic;
                let message = format!("topic {topic} refuses a record: {}", refusal.reason);
                let remedy = if refusal.too_large {
                    format!("raise max.message.bytes of {topic}, then restart the route")
                } else {
                    format!(
                        "compare the configuration of {topic} with the one the bridge gives it, then restart the route"
                    )
                };
                Err(Failure::new(ErrorKind::Denied, message).remedy(remedy))
            }
            Err(WriteError::Aborted(mut failure) | WriteError::Lost(mut failure)) => {
                self.shared.topics.forget(&self.topic);
                if let Some(topic) = topic.filter(|topic| !failure.message.contains(&**topic)) {
                    failure.message = format!("topic {topic}: {}", failure.message);
                }
                Err(failure)
            }
        }
    }
}
