//! The org's clock: the machine's, plus an offset that a test may set. Every time the simulator stamps or
//! compares comes from here, so that a skewed clock is skewed everywhere (events, tokens, the `Date` header).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Default)]
pub(super) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    pub(super) fn new(offset_ms: i64) -> Self {
        Self {
            offset_ms: AtomicI64::new(offset_ms),
        }
    }

    /// Milliseconds since the epoch.
    #[allow(
        clippy::disallowed_methods,
        reason = "the simulator shares no code with the client, nor its clock"
    )]
    pub(super) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX) + self.offset_ms.load(Ordering::Relaxed)
    }

    pub(super) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// As HTTP's `Date` header wants it: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(super) fn http_date(&self) -> String {
        let at = jiff::Timestamp::from_millisecond(self.now_ms()).unwrap_or_default();
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&at)
            .unwrap_or_default()
    }
}
