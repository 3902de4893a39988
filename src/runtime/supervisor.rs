//! Named tasks that start, stop and end by themselves, in one place that knows which are left.
//!
//! A panic of one task is that task's end and nobody else's.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

use super::panics;
use super::shutdown::{Stop, StopSignal, stop_pair};

/// How a task ended.
#[derive(Debug)]
pub enum Ended<T> {
    With(T),
    /// It panicked: a bug.
    Panicked(String),
}

#[derive(Debug)]
pub struct Supervisor<T> {
    tasks: JoinSet<T>,
    running: BTreeMap<Arc<str>, (Id, Stop)>,
}

impl<T: Send + 'static> Supervisor<T> {
    pub fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
        }
    }

    /// Starts a task under a name that is not running.
    pub fn start<F>(&mut self, name: &Arc<str>, make: impl FnOnce(StopSignal) -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (stop, signal) = stop_pair();
        let future = make(signal).instrument(tracing::info_span!("route", route = %name));
        let id = self.tasks.spawn(future).id();
        self.running.insert(Arc::clone(name), (id, stop));
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    /// Asks a task to stop; it is still running until [`Supervisor::next_end`] names it.
    pub fn stop(&self, name: &str) {
        if let Some((_, stop)) = self.running.get(name) {
            stop.stop();
        }
    }

    pub fn stop_all(&self) {
        for (_, stop) in self.running.values() {
            stop.stop();
        }
    }

    /// The names of the tasks that have not ended.
    pub fn left(&self) -> Vec<String> {
        self.running.keys().map(ToString::to_string).collect()
    }

    /// The next task that ends; never returns while none is running.
    pub async fn next_end(&mut self) -> (Arc<str>, Ended<T>) {
        loop {
            let (id, ended) = match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, value))) => (id, Ended::With(value)),
                Some(Err(error)) => (error.id(), Ended::Panicked(told(error))),
            };
            let name = self
                .running
                .iter()
                .find(|(_, (running, _))| *running == id)
                .map(|(name, _)| Arc::clone(name));
            if let Some(name) = name {
                self.running.remove(&name);
                return (name, ended);
            }
        }
    }
}

fn told(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => format!("{}; the log says where", panics::said(&*payload)),
        Err(error) => error.to_string(),
    }
}

impl<T: Send + 'static> Default for Supervisor<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_alone() {
        let mut supervisor = Supervisor::new();
        supervisor.start(&"good".into(), |mut stop| async move {
            stop.stopped().await;
            "stopped"
        });
        let value = "Secret Name".to_owned();
        supervisor.start(&"bad".into(), |_| async move { panic!("a bug with {value}") });
        let (name, ended) = supervisor.next_end().await;
        assert_eq!(&*name, "bad");
        let Ended::Panicked(why) = ended else {
            unreachable!()
        };
        assert!(
            !why.contains("Secret") && why.contains("the log says where"),
            "{why}"
        );
        assert_eq!(supervisor.left(), ["good"]);
        supervisor.stop("good");
        let (name, ended) = supervisor.next_end().await;
        assert_eq!(&*name, "good");
        assert!(matches!(ended, Ended::With("stopped")));
        assert!(supervisor.left().is_empty());
    }

    #[tokio::test]
    async fn a_name_is_free_again_once_its_task_has_ended() {
        let mut supervisor = Supervisor::new();
        for _ in 0..2 {
            supervisor.start(&"route".into(), |_| async { 1 });
            assert!(supervisor.is_running("route"));
            supervisor.next_end().await;
            assert!(!supervisor.is_running("route"));
        }
    }
}
