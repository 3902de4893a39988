//! Lively data: accounts, contacts and orders that come, change and go, and events about them.
//!
//! [`World`] is pure: from a seed it makes one [`Step`] after another, each true to what happened before (only what
//! exists changes, only what was deleted comes back). [`run`] gives it a clock and an org.

mod fields;
mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::org::{Org, Ungrouped};

use self::world::{Step, World};

/// Makes `rate` steps a second until `stopped`.
pub(super) async fn run(org: Arc<Org>, rate: f64, seed: u64, stopped: CancellationToken) {
    // Not faster than the timer can be trusted to be: above a thousand a second, several steps a tick.
    let steps_per_tick = (rate / 1_000.0).ceil().max(1.0);
    let mut ticks = interval(Duration::from_secs_f64(steps_per_tick / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut world = World::new(seed);
    while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
        let mut left = steps_per_tick;
        while left >= 1.0 {
            let made = match world.step(org.clock.now_ms(), |prefix| org.new_record_id(prefix)) {
                Step::Changes(changes) => changes
                    .iter()
                    .try_for_each(|change| org.change(std::slice::from_ref(change), Ungrouped::No).map(drop)),
                Step::Event(event) => org.publish(&event).map(drop),
            };
            if let Err(error) = made {
                tracing::warn!(
                    error,
                    "the generator made something that the org's schemas do not hold"
                );
            }
            left -= 1.0;
        }
    }
}
