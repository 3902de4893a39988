//! What a route writes to has changed under way: it is asked for again, and what is in hand is mapped anew. A request
//! that is refused after that is at fault itself: each record has Salesforce asked again once at most.

use std::sync::Arc;

use tokio::time::Instant;

use super::target::Target;
use super::window::Fate;
use super::worker::{Current, End, Worker};

impl Worker {
    /// What the last request met may be another schema: everything in the window is made anew for the target as it is
    /// now. One that was loaded since that request is not loaded again: all partitions meet the same change.
    pub(super) async fn renew(&mut self) -> Result<(), End> {
        let parts = Arc::clone(&self.parts);
        let route = &parts.route;
        let mut current = parts.current();
        if current.asked <= self.sent {
            let asked = Instant::now();
            let load = || Target::load(&route.config.name, &route.flow, &parts.program, &route.shared);
            let target = Arc::new(self.until_done(load).await?);
            current = Current { target, asked };
            *parts.current.lock() = current.clone();
        }
        self.target = current.target;
        let mut dead = Vec::new();
        for place in self.window.places() {
            let Some(record) = self.window.item(place).map(|item| item.content.record.clone()) else {
                continue;
            };
            match self.entry(&record).await? {
                Ok(Some(entry)) => {
                    if let Some(item) = self.window.item(place) {
                        item.content.send = entry.send;
                    }
                }
                Ok(None) => {
                    self.window.finish(place, Fate::LeftOut);
                    self.filtered(&record);
                }
                Err(refusal) => dead.push((place, refusal.reason)),
            }
        }
        self.condemn(dead).await
    }
}
