//! Publishing a request's events, and what their results mean.

use super::target::Outgoing;
use super::worker::{End, Worker};
use crate::config::SalesforceTarget;
use crate::error::{ErrorKind, Failure};
use crate::salesforce::pubsub::{EventRefusal, EventRefusalKind, OutgoingEvent, PublishError};

impl Worker {
    /// One request. Events behind the first one that failed by itself are on the bus already; those of later
    /// requests wait for it.
    pub(super) async fn publish(&mut self, places: &[usize]) -> Result<(), End> {
        let events: Vec<OutgoingEvent> = places
            .iter()
            .filter_map(|place| match &self.window.item(*place)?.content.send {
                Outgoing::Event(event) => Some(event.clone()),
                _ => None,
            })
            .collect();
        let parts = std::sync::Arc::clone(&self.parts);
        let SalesforceTarget::Event { topic } = &parts.route.flow.to else {
            return Ok(());
        };
        let span = self.request_span(places, "publish");
        let answer = parts.route.shared.salesforce.pubsub.publish(topic, &events).await;
        span.end(answer.as_ref().err().map(PublishError::kind));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error @ PublishError::StaleSchema(_)) => {
                if !self.window.asks_again(places) {
                    self.wait_after(error.into_failure()).await?;
                }
                return self.renew().await;
            }
            // Whatever is known of its outcome: the same events go again, under the same ids.
            Err(error) => return self.wait_after(error.into_failure()).await,
        };
        let (mut delivered, mut refused) = (Vec::new(), Vec::new());
        for (place, result) in places.iter().zip(answer.results) {
            match result {
                Ok(_) => delivered.push(*place),
                Err(refusal) => refused.push((*place, refusal)),
            }
        }
        if !delivered.is_empty() {
            self.delivered(&delivered);
        }
        self.refused(topic, refused).await?;
        self.notice_schema(answer.schema_id).await
    }

    /// Events under an older schema are taken; what was added since is in the newer one alone.
    async fn notice_schema(&mut self, schema_id: String) -> Result<(), End> {
        let is_known = self.target.is_of_schema(&schema_id) || self.schema_noticed == schema_id;
        if schema_id.is_empty() || is_known {
            return Ok(());
        }
        tracing::info!(schema_id, "the event has another schema");
        self.schema_noticed = schema_id;
        self.renew().await
    }

    async fn refused(&mut self, topic: &str, refused: Vec<(usize, EventRefusal)>) -> Result<(), End> {
        let mut dead = Vec::new();
        let mut wait: Option<Failure> = None;
        let mut is_stale = false;
        for (place, refusal) in refused {
            let kind = match refusal.kind {
                EventRefusalKind::StaleSchema if self.window.asks_again(&[place]) => {
                    is_stale = true;
                    continue;
                }
                EventRefusalKind::StaleSchema | EventRefusalKind::Rejected => {
                    let reason = format!("{topic}: {}: {}", refusal.code, refusal.message);
                    dead.push((place, reason));
                    continue;
                }
                EventRefusalKind::Throttled => ErrorKind::Throttled,
                EventRefusalKind::Transient => ErrorKind::Transient,
            };
            let message = match kind {
                ErrorKind::Throttled => {
                    format!("{topic}: the hourly allocation of published events is used up")
                }
                _ => format!(
                    "{topic}: Salesforce publishes no events for the moment ({})",
                    refusal.code
                ),
            };
            wait.get_or_insert_with(|| Failure::new(kind, message));
        }
        self.condemn(dead).await?;
        if is_stale {
            self.renew().await?;
        }
        match wait {
            Some(failure) => self.wait_after(failure).await,
            None => Ok(()),
        }
    }
}
