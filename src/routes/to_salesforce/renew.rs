//! What a route writes to has changed under way: it is asked for again, once, and what is in hand is mapped anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::target::Target;
use super::window::Fate;
use super::worker::{End, Worker};

/// A refusal that comes within this time of asking is not of a change that was missed.
const FRESH_FOR: Duration = Duration::from_secs(60);

impl Worker {
    /// Whether asking again would show nothing new.
    pub(super) fn is_target_fresh(&self) -> bool {
        self.renewed.is_some_and(|at| at.elapsed() < FRESH_FOR)
    }

    /// Salesforce shows another schema: the target is loaded again and everything in the window made anew for it.
    pub(super) async fn renew(&mut self) -> Result<(), End> {
        let parts = Arc::clone(&self.parts);
        let route = &parts.route;
        let stale = Arc::clone(&self.target);
        let current = parts.target();
        if Arc::ptr_eq(&current, &stale) {
            let load = || Target::load(&route.config.name, &route.flow, &parts.program, &route.shared);
            let loaded = Arc::new(self.until_done(load).await?);
            *parts.target.lock() = Arc::clone(&loaded);
            self.target = loaded;
        } else {
            self.target = current;
        }
        self.renewed = Some(Instant::now());
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
