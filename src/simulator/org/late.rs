//! Change events that come a while after the write they tell of, in the order of the writes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Org;
use super::bus::NewEvent;
use super::topics::Topic;

/// Events of one topic, and when they are due.
type Due = (Instant, Arc<Topic>, Vec<NewEvent>);

#[derive(Debug, Default)]
pub(crate) struct Late {
    waiting: Mutex<VecDeque<Due>>,
    more: Notify,
}

impl Late {
    pub(crate) fn push(&self, due: Instant, topic: Arc<Topic>, events: Vec<NewEvent>) {
        self.waiting.lock().push_back((due, topic, events));
        self.more.notify_one();
    }

    /// While something waits, what comes behind it must wait too.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

/// Puts late events on the bus as they come due, until `stopped`.
pub(crate) async fn run(org: Arc<Org>, stopped: CancellationToken) {
    let running = async {
        loop {
            let due = org.late.waiting.lock().front().map(|(due, ..)| *due);
            match due {
                None => org.late.more.notified().await,
                Some(due) => {
                    tokio::time::sleep_until(due).await;
                    // Taken off behind its own appending: whoever finds the queue empty finds the events on the bus.
                    let mut waiting = org.late.waiting.lock();
                    if let Some((_, topic, events)) = waiting.front_mut() {
                        org.bus.append(topic, std::mem::take(events));
                        waiting.pop_front();
                    }
                }
            }
        }
    };
    stopped.run_until_cancelled(running).await;
}
