//! One call for many callers: whoever comes while a call is under way waits for it and shares its answer,
//! the value as well as the refusal.
//!
//! A caller that goes away in the middle leaves the place to the next one, so an abandoned call is made again.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A value that is expensive to get, and how long a refusal to give it is believed.
pub struct Flight<T, E> {
    refusal_kept: Duration,
    state: Mutex<State<T, E>>,
}

struct State<T, E> {
    value: Option<Arc<T>>,
    refused: Option<(Instant, Arc<E>)>,
}

impl<T, E> Flight<T, E> {
    pub fn new(refusal_kept: Duration) -> Self {
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
    pub async fn get<F>(
        &self,
        usable: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> F,
    ) -> Result<Arc<T>, Arc<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut state = self.state.lock().await;
        if let Some(value) = state.value.as_ref().filter(|value| usable(value)) {
            return Ok(Arc::clone(value));
        }
        if let Some((at, refusal)) = &state.refused
            && at.elapsed() < self.refusal_kept
        {
            return Err(Arc::clone(refusal));
        }
        match make().await {
            Ok(value) => {
                let value = Arc::new(value);
                state.value = Some(Arc::clone(&value));
                state.refused = None;
                Ok(value)
            }
            Err(refusal) => {
                let refusal = Arc::new(refusal);
                state.refused = Some((Instant::now(), Arc::clone(&refusal)));
                Err(refusal)
            }
        }
    }
}

/// Far more than are ever under way. Keys come from outside: refused ones must not fill memory.
const FLIGHTS_MAX: usize = 1000;

/// Values by key, each made in one flight and then kept for ever: for what never changes, such as the text
/// behind a schema's id.
pub struct Kept<K, T, E> {
    refusal_kept: Duration,
    ready: RwLock<HashMap<K, Arc<T>>>,
    /// Keys whose value is being made, or was refused.
    flights: parking_lot::Mutex<HashMap<K, Arc<Flight<T, E>>>>,
}

impl<K: Eq + Hash + Clone, T, E> Kept<K, T, E> {
    pub fn new(refusal_kept: Duration) -> Self {
        Self {
            refusal_kept,
            ready: RwLock::default(),
            flights: parking_lot::Mutex::default(),
        }
    }

    /// How many values are here.
    pub fn len(&self) -> usize {
        self.ready.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value, if it is here already.
    pub fn peek<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.ready.read().get(key).cloned()
    }

    /// The value, made if need be.
    ///
    /// # Errors
    /// As [`Flight::get`].
    pub async fn get<F>(&self, key: K, make: impl FnOnce() -> F) -> Result<Arc<T>, Arc<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.peek(&key) {
            return Ok(value);
        }
        let flight = {
            let mut flights = self.flights.lock();
            // A flight is removed after its value is here: who finds neither is the first to ask.
            if let Some(value) = self.peek(&key) {
                return Ok(value);
            }
            if flights.len() >= FLIGHTS_MAX {
                flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            }
            let new = || Arc::new(Flight::new(self.refusal_kept));
            Arc::clone(flights.entry(key.clone()).or_insert_with(new))
        };
        let value = flight.get(|_| true, make).await?;
        self.ready.write().insert(key.clone(), Arc::clone(&value));
        self.flights.lock().remove(&key);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const DENIED: Result<u32, &str> = Err("denied");

    async fn ask(
        flight: &Flight<u32, &'static str>,
        made: &AtomicU32,
        answer: Result<u32, &'static str>,
    ) -> Result<u32, &'static str> {
        let make = || async {
            made.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer
        };
        flight
            .get(|_| true, make)
            .await
            .map(|value| *value)
            .map_err(|refusal| *refusal)
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
        let answers = futures_util::future::join_all((0..10).map(|_| ask(&flight, &made, DENIED))).await;
        assert_eq!(answers, vec![DENIED; 10]);
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

    #[tokio::test(start_paused = true)]
    async fn a_kept_value_is_made_once_for_each_key() {
        let (kept, made) = (Kept::<u32, u32, ()>::new(Duration::ZERO), AtomicU32::new(0));
        let (kept, made) = (&kept, &made);
        let get = |key| {
            kept.get(key, move || async move {
                made.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(key)
            })
        };
        assert_eq!(kept.peek(&1), None);
        let answers = futures_util::future::join_all([1, 2, 1, 2, 1].map(get)).await;
        let answers: Vec<u32> = answers.into_iter().map(|answer| *answer.expect("made")).collect();
        assert_eq!(answers, [1, 2, 1, 2, 1]);
        assert_eq!((made.load(Ordering::SeqCst), kept.len()), (2, 2));
        assert_eq!(kept.peek(&1).as_deref(), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_were_refused_do_not_pile_up() {
        let kept = Kept::<usize, u32, ()>::new(Duration::from_secs(5));
        for key in 0..3 * FLIGHTS_MAX {
            assert!(kept.get(key, || async { Err(()) }).await.is_err());
        }
        assert!(kept.flights.lock().len() <= FLIGHTS_MAX);
    }
}
