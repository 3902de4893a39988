//! Times as a person gives them.

use crate::runtime::clock;

const SECOND_MS: i64 = 1_000;

/// RFC 3339, a day (its beginning in UTC), or how long ago: `90s`, `30m`, `2h`, `7d`. Milliseconds since the epoch.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    at(text, clock::now_ms())
}

fn at(text: &str, now_ms: i64) -> Result<i64, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond());
    }
    if let Ok(at) = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond());
    }
    ago_ms(text).map(|ago| now_ms - ago).ok_or_else(|| {
        format!(
            "{text:?} is no time: give 2026-11-27T10:00:00Z, 2026-11-27, or 2h for two hours ago (s, m, h, d)"
        )
    })
}

fn ago_ms(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => SECOND_MS,
        'm' => 60 * SECOND_MS,
        'h' => 3_600 * SECOND_MS,
        'd' => 86_400 * SECOND_MS,
        _ => return None,
    };
    let count: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    i64::from(count).checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_a_day_or_some_time_ago() {
        let now_ms = 1_000_000_000;
        let day = at("2026-11-27", now_ms).unwrap();
        assert_eq!(at("2026-11-27T10:00:00Z", now_ms).unwrap(), day + 36_000_000);
        assert_eq!(at("2026-11-27T11:00:00+01:00", now_ms).unwrap(), day + 36_000_000);
        assert_eq!(at("2h", now_ms).unwrap(), now_ms - 7_200_000);
        assert_eq!(at("90s", now_ms).unwrap(), now_ms - 90_000);
        for wrong in ["", "h", "yesterday", "-2h", "2w", "2026-13-01", "2ä"] {
            assert!(at(wrong, now_ms).is_err(), "{wrong}");
        }
    }
}
