//! The wall clock. The only place that reads it: everything else takes the time as a value, or asks here.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "the one place that may")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds: `2026-11-24T01:30:00.000Z`. Out of range becomes the epoch's edge.
pub fn rfc3339_ms(epoch_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(epoch_ms).unwrap_or(if epoch_ms < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_in_utc() {
        assert_eq!(rfc3339_ms(1_685_217_197_000), "2023-05-27T19:53:17.000Z");
        assert_eq!(rfc3339_ms(1_685_217_197_045), "2023-05-27T19:53:17.045Z");
        assert_eq!(rfc3339_ms(-1), "1969-12-31T23:59:59.999Z");
    }
}
