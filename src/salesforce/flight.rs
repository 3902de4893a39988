//! One call for many callers: whoever comes while a call is under way waits for it and shares its answer,
//! the value as well as the refusal.
//!
//! A caller that goes away in the middle leaves the place to the next one, so an abandoned call is made again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::Failure;

/// A value that is expensive to get, and how long a refusal to give it is believed.
pub(super) struct Flight<T> {
    refusal_kept: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<Arc<T>>,
    refused: Option<(Instant, Arc<Failure>)>,
}

impl<T> Flight<T> {
    pub(super) fn new(refusal_kept: Duration) -> Self {
        let state = State {
            value: None,
            refused: None,
        };
        Self {
            refusal_kept,
            state: Mutex::new(state),
        }
    }

    /// The value at hand if it is `usable`, else what `make` answers.
    ///
    /// # Errors
    /// What `make` answered, to this caller or to another one no longer than `refusal_kept` ago.
    pub(super) async fn get<F>(
        &self,
        usable: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> F,
    ) -> Result<Arc<T>, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut state = self.state.lock().await;
        if let Some(value) = state.value.as_ref().filter(|value| usable(value)) {
            return Ok(Arc::clone(value));
        }
        if let Some((at, failure)) = &state.refused
            && at.elapsed() < self.refusal_kept
        {
            return Err(shared(failure));
        }
        match make().await {
            Ok(value) => {
                let value = Arc::new(value);
                state.value = Some(Arc::clone(&value));
                state.refused = None;
                Ok(value)
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                state.refused = Some((Instant::now(), Arc::clone(&failure)));
                Err(shared(&failure))
            }
        }
    }

    /// The value at hand, usable or not.
    pub(super) async fn peek(&self) -> Option<Arc<T>> {
        self.state.lock().await.value.clone()
    }
}

/// The same failure for one more caller; the original stays its cause.
fn shared(failure: &Arc<Failure>) -> Failure {
    let mut copy = Failure::new(failure.kind, failure.message.clone()).caused_by(Arc::clone(failure));
    copy.remedy.clone_from(&failure.remedy);
    copy.retry_after = failure.retry_after;
    copy
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::ErrorKind;

    async fn ask(
        flight: &Flight<u32>,
        made: &AtomicU32,
        answer: Result<u32, ErrorKind>,
    ) -> Result<u32, ErrorKind> {
        let make = || async {
            made.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer.map_err(|kind| Failure::new(kind, "refused"))
        };
        flight
            .get(|_| true, make)
            .await
            .map(|value| *value)
            .map_err(|failure| failure.kind)
    }

    #[tokio::test(start_paused = true)]
    async fn ten_callers_share_one_call() {
        let (flight, made) = (Flight::new(Duration::from_secs(1)), AtomicU32::new(0));
        let answers = futures_util::future::join_all((0..10).map(|_| ask(&flight, &made, Ok(7)))).await;
        assert_eq!(answers, vec![Ok(7); 10]);
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_shared_for_a_while_and_then_asked_again() {
        let (flight, made) = (Flight::new(Duration::from_secs(1)), AtomicU32::new(0));
        let denied = Err(ErrorKind::Denied);
        let answers = futures_util::future::join_all((0..10).map(|_| ask(&flight, &made, denied))).await;
        assert_eq!(answers, vec![denied; 10]);
        assert_eq!(made.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ask(&flight, &made, Ok(7)).await, Ok(7));
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_leaves_the_call_to_the_next() {
        let (flight, made) = (Flight::new(Duration::from_secs(1)), AtomicU32::new(0));
        let gone = tokio::time::timeout(Duration::from_millis(1), ask(&flight, &made, Ok(1))).await;
        assert!(gone.is_err());
        assert_eq!(ask(&flight, &made, Ok(2)).await, Ok(2));
    }
}
