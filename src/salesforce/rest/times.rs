//! REST's times as the events have them: milliseconds since the epoch, or since midnight.

use jiff::civil::Date;
use jiff::fmt::strtime;
use jiff::{SpanRound, Unit};

use super::describe::FieldType;

/// `2026-01-02T03:04:05.000+0000` (or `Z`), `2026-01-02` (its midnight in UTC), `10:11:12.000Z` (since midnight).
pub(super) fn epoch_ms(field_type: FieldType, text: &str) -> Option<i64> {
    match field_type {
        FieldType::DateTime => date_time_ms(text),
        FieldType::Date => date_ms(text),
        FieldType::Time => time_ms(text),
        _ => None,
    }
}

fn date_time_ms(text: &str) -> Option<i64> {
    let with_offset = match text.strip_suffix('Z') {
        Some(utc) => format!("{utc}+0000"),
        None => text.to_owned(),
    };
    let parsed = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", with_offset).ok()?;
    Some(parsed.to_timestamp().ok()?.as_millisecond())
}

fn date_ms(text: &str) -> Option<i64> {
    let date = strtime::parse("%Y-%m-%d", text).ok()?.to_date().ok()?;
    let days = date.since(Date::constant(1970, 1, 1)).ok()?;
    let days = days
        .round(SpanRound::new().largest(Unit::Day).days_are_24_hours())
        .ok()?;
    Some(i64::from(days.get_days()) * 24 * 60 * 60 * 1_000)
}

fn time_ms(text: &str) -> Option<i64> {
    let time = text.strip_suffix('Z').unwrap_or(text);
    let time = strtime::parse("%H:%M:%S%.f", time).ok()?.to_time().ok()?;
    let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
    Some(seconds * 1_000 + i64::from(time.millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("2023-11-14T22:13:20.123+0000", 1_700_000_000_123),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-15T00:13:20.123+0200", 1_700_000_000_123),
            ("2023-11-14T22:13:20+0000", 1_700_000_000_000),
            ("1969-12-31T23:59:59.999+0000", -1),
            ("1700-01-01T00:00:00.000+0000", -8_520_336_000_000),
        ] {
            assert_eq!(epoch_ms(FieldType::DateTime, text), Some(ms), "{text}");
        }
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2023-11-15", 1_700_006_400_000),
            ("1969-12-31", -86_400_000),
            ("4000-12-31", 64_092_124_800_000),
        ] {
            assert_eq!(epoch_ms(FieldType::Date, text), Some(ms), "{text}");
        }
        assert_eq!(epoch_ms(FieldType::Time, "10:11:12.013Z"), Some(36_672_013));
        assert_eq!(epoch_ms(FieldType::Time, "00:00:00.000Z"), Some(0));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for field_type in [
            FieldType::DateTime,
            FieldType::Date,
            FieldType::Time,
            FieldType::Other,
        ] {
            for text in ["", "soon", "2023-13-01", "25:00:00.000Z", "2023-11-14T22:13:20"] {
                assert_eq!(epoch_ms(field_type, text), None, "{field_type:?} {text}");
            }
        }
    }
}
