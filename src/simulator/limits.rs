//! What a day and an hour allow: REST requests, batches of Bulk API 2.0, published events. Beyond it the org refuses
//! until the time is over, or until it is told otherwise.

use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::control::Control;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// So many in so long a time.
#[derive(Debug)]
pub(super) struct Allowance {
    window_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: u64,
    used: u64,
    /// Beyond the maximum, refused.
    is_enforced: bool,
    began_at_ms: Option<i64>,
}

impl Allowance {
    /// Of a large Enterprise Edition org: no benchmark and no long demonstration uses it up by accident.
    pub(super) fn of_requests() -> Self {
        Self::new(24 * HOUR_MS, 1_000_000, true)
    }

    /// Of Bulk API 2.0, for every org.
    pub(super) fn of_batches() -> Self {
        Self::new(24 * HOUR_MS, 15_000, true)
    }

    /// Of an Enterprise Edition org. It is not enforced until somebody sets it: a benchmark may publish more.
    pub(super) fn of_publishes() -> Self {
        Self::new(HOUR_MS, 250_000, false)
    }

    /// Of an org with the high-volume add-on. It is told and never enforced: a benchmark may read more.
    pub(super) fn of_deliveries() -> Self {
        Self::new(24 * HOUR_MS, 100_000_000, false)
    }

    fn new(window_ms: i64, max: u64, is_enforced: bool) -> Self {
        Self {
            window_ms,
            state: Mutex::new(State {
                max,
                used: 0,
                is_enforced,
                began_at_ms: None,
            }),
        }
    }

    /// Uses up one; false where none is left.
    pub(super) fn take(&self, now_ms: i64) -> bool {
        self.take_many(1, now_ms)
    }

    /// Uses up so many; false where none is left.
    pub(super) fn take_many(&self, count: u64, now_ms: i64) -> bool {
        let mut state = self.state.lock();
        let began_at_ms = *state.began_at_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(began_at_ms) >= self.window_ms {
            state.began_at_ms = Some(now_ms);
            state.used = 0;
        }
        if state.is_enforced && state.used >= state.max {
            return false;
        }
        state.used += count;
        true
    }

    /// Used, and the most.
    pub(super) fn level(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.used, state.max)
    }

    /// As `/limits` shows it.
    pub(super) fn shown(&self) -> Json {
        let (used, max) = self.level();
        json!({"Max": max, "Remaining": max.saturating_sub(used)})
    }

    fn set(&self, max: u64, used: u64, is_enforced: bool) {
        let mut state = self.state.lock();
        state.max = max;
        state.used = used;
        state.is_enforced = is_enforced;
        state.began_at_ms = None;
    }
}

impl Control {
    /// The most REST requests a day, and how many of them are used. Beyond it: 403 `REQUEST_LIMIT_EXCEEDED`.
    pub fn set_daily_requests(&self, max: u64, used: u64) {
        self.org().daily_requests.set(max, used, true);
    }

    /// The most batches of Bulk API 2.0 a day (10,000 rows each), and how many of them are used. A job beyond it
    /// fails with `ExceededQuota`.
    pub fn set_daily_batches(&self, max: u64, used: u64) {
        self.org().daily_batches.set(max, used, true);
    }

    /// The most events published an hour, and how many of them are. Each event beyond it is refused with
    /// `LIMIT_EXCEEDED`.
    pub fn set_hourly_publishes(&self, max: u64, used: u64) {
        self.org().hourly_publishes.set(max, used, true);
    }

    /// The most events delivered a day to all subscribers together, and how many of them are. It is shown in
    /// `/limits` and not enforced.
    pub fn set_daily_deliveries(&self, max: u64, used: u64) {
        self.org().daily_deliveries.set(max, used, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_comes_back_with_the_next_window() {
        let requests = Allowance::of_requests();
        requests.set(2, 1, true);
        assert!(requests.take(1_000));
        assert!(!requests.take(2_000));
        assert_eq!(requests.level(), (2, 2));
        assert!(!requests.take(1_000 + 24 * HOUR_MS - 1));
        assert!(requests.take(1_000 + 24 * HOUR_MS));
        assert_eq!(requests.shown(), json!({"Max": 2, "Remaining": 1}));
    }

    #[test]
    fn deliveries_are_told_and_never_refused() {
        let events = Allowance::of_deliveries();
        events.set(100, 90, false);
        assert!(events.take_many(50, 0));
        assert_eq!(events.shown(), json!({"Max": 100, "Remaining": 0}));
    }

    #[test]
    fn publishing_is_without_end_until_a_limit_is_set() {
        let events = Allowance::of_publishes();
        assert!((0..250_001).all(|_| events.take(0)));
        events.set(1, 0, true);
        assert!(events.take(0) && !events.take(0));
    }
}
