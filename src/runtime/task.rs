//! Tasks with names. The only place that calls `tokio::spawn`, so that no task is anonymous or forgotten.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// A task that is aborted when its handle is dropped: whoever starts one owns its end.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Waits for the task's answer.
    ///
    /// # Errors
    /// When the task panicked or was aborted.
    pub async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }

    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task under a span with its name.
#[allow(clippy::disallowed_methods, reason = "the one place that may")]
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(tokio::spawn(
        future.instrument(tracing::info_span!("task", task = name)),
    ))
}
