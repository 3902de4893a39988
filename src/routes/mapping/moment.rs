//! Times, days and times of the day, between text and milliseconds.
//!
//! Text is RFC 3339: a date-time has an offset, `T` may be a blank, fractions of a second have up to nine digits, of
//! which Salesforce keeps three. Whatever lies outside the years 0 to 9999 has no text.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

pub(super) const DAY_MS: i64 = 24 * 3600 * 1000;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    const fn duration(self, value: i64) -> SignedDuration {
        match self {
            Self::Millis => SignedDuration::from_millis(value),
            Self::Micros => SignedDuration::from_micros(value),
            Self::Nanos => SignedDuration::from_nanos(value),
        }
    }
}

/// `2023-05-27T19:53:17.000`, and the offset as it is given.
pub(super) fn date_time(value: i64, unit: Unit, offset: &str) -> Option<String> {
    let at = EPOCH.checked_add(unit.duration(value)).ok()?;
    (0..=9999)
        .contains(&at.year())
        .then(|| format!("{}T{}{offset}", day_text(at.date()), time_text(at.time())))
}

/// `2023-05-27`, from days since the epoch.
pub(super) fn date(days: i64) -> Option<String> {
    let at = EPOCH
        .checked_add(SignedDuration::from_millis(days.checked_mul(DAY_MS)?))
        .ok()?;
    (0..=9999).contains(&at.year()).then(|| day_text(at.date()))
}

/// `10:11:12.013`, from the time since midnight; less than a day.
pub(super) fn time(value: i64, unit: Unit) -> Option<String> {
    let since = unit.duration(value);
    let in_a_day = !since.is_negative() && since < SignedDuration::from_hours(24);
    let at = EPOCH.checked_add(since).ok().filter(|_| in_a_day)?;
    Some(time_text(at.time()))
}

fn day_text(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

fn time_text(time: Time) -> String {
    let nanos = time.subsec_nanosecond();
    let seconds = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    if nanos % 1_000_000 == 0 {
        format!("{seconds}.{:03}", nanos / 1_000_000)
    } else if nanos % 1_000 == 0 {
        format!("{seconds}.{:06}", nanos / 1_000)
    } else {
        format!("{seconds}.{nanos:09}")
    }
}

/// Milliseconds since the epoch, from RFC 3339 text with an offset.
pub(super) fn read_date_time(text: &str) -> Option<i64> {
    let date = read_date(text.get(..10)?)?;
    let rest = text.get(10..)?.strip_prefix(['T', 't', ' '])?;
    let offset_at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = rest.split_at_checked(offset_at)?;
    let offset_ms = read_offset(offset)?;
    let day_ms = days_since_epoch(date)?.checked_mul(DAY_MS)?;
    day_ms
        .checked_add(read_time_of_day(time)?)?
        .checked_sub(offset_ms)
}

/// Midnight in UTC in milliseconds since the epoch, from `YYYY-MM-DD`, or the day in UTC of RFC 3339 text.
pub(super) fn read_day(text: &str) -> Option<i64> {
    if text.len() == 10 {
        return days_since_epoch(read_date(text)?)?.checked_mul(DAY_MS);
    }
    let at = read_date_time(text)?;
    at.div_euclid(DAY_MS).checked_mul(DAY_MS)
}

/// Milliseconds since midnight, from `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff`, `Z` behind it or not.
pub(super) fn read_time(text: &str) -> Option<i64> {
    read_time_of_day(text.strip_suffix(['Z', 'z']).unwrap_or(text))
}

fn days_since_epoch(date: Date) -> Option<i64> {
    let since = date.to_datetime(Time::midnight()).duration_since(EPOCH);
    Some(since.as_hours() / 24)
}

fn read_date(text: &str) -> Option<Date> {
    let [year, month, day] = numbers(text, '-')?;
    if text.len() != 10 {
        return None;
    }
    Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()
}

fn read_time_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text
        .split_once('.')
        .map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let [hour, minute, second] = match clock.len() {
        5 if fraction.is_none() => {
            let [hour, minute] = numbers(clock, ':')?;
            [hour, minute, 0]
        }
        8 => numbers(clock, ':')?,
        _ => return None,
    };
    // 60: a leap second, which Salesforce does not have; the next minute begins.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let millis = match fraction {
        None => 0,
        Some(digits)
            if (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            let first: String = digits.chars().chain("00".chars()).take(3).collect();
            first.parse().ok()?
        }
        Some(_) => return None,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// `Z`, `+02:00`, `-0530`, `+02`.
fn read_offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.get(1..)?.replacen(':', "", 1);
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits
        .get(2..)
        .filter(|rest| !rest.is_empty())
        .unwrap_or("0")
        .parse()
        .ok()?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Exactly so many groups of digits: no sign, no blank.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut groups = text.split(separator);
    for number in &mut found {
        let group = groups.next()?;
        if !matches!(group.len(), 2 | 4) || !group.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = group.parse().ok()?;
    }
    groups.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn date_times_need_an_offset_and_any_will_do() {
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14t22:13:20.123z",
            "2023-11-14 22:13:20.123+00:00",
            "2023-11-15T00:13:20.123+0200",
            "2023-11-14T17:43:20.123999-04:30",
            "2023-11-15T00:13:20.123456789+02",
        ] {
            assert_eq!(read_date_time(text), Some(1_700_000_000_123), "{text}");
        }
        assert_eq!(read_date_time("1969-12-31T23:59:59.9Z"), Some(-100));
        assert_eq!(read_date_time("2023-11-14T22:13Z"), Some(1_699_999_980_000));
        for text in [
            "2023-11-14T22:13:20",
            "2023-11-14",
            "2023-02-30T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20+2",
            "2023-11-14T22:13:20+aa:bb",
            "20231114T221320Z",
            "2023-1-14T22:13:20Z",
            "",
            "ä",
            "2023-11-14ä22:13:20Z",
            "soon",
        ] {
            assert_eq!(read_date_time(text), None, "{text}");
        }
    }

    #[test]
    fn days_and_times_of_day_are_read_strictly() {
        assert_eq!(read_day("1970-01-02"), Some(DAY_MS));
        assert_eq!(read_day("1969-12-31"), Some(-DAY_MS));
        assert_eq!(read_day("2024-05-01T23:30:00-05:00"), read_day("2024-05-02"));
        assert_eq!(read_day("9999-12-31"), Some(253_402_214_400_000));
        assert_eq!(read_time("10:11:12.013Z"), Some(36_672_013));
        assert_eq!(read_time("10:11"), Some(36_660_000));
        for text in [
            "01-01-1970",
            "1970-13-01",
            "1970-01-01T00:00:00",
            "19700101",
            "1970-1-1",
        ] {
            assert_eq!(read_day(text), None, "{text}");
        }
        for text in ["24:00", "1:02", "10:11:12+01:00", "10:11:12.", "noon", ""] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in -62_167_219_200_000_i64..=253_402_300_799_999) {
            let text = date_time(ms, Unit::Millis, "Z").unwrap();
            prop_assert_eq!(read_date_time(&text), Some(ms));
            let days = ms.div_euclid(DAY_MS);
            prop_assert_eq!(read_day(&date(days).unwrap()), Some(days * DAY_MS));
            let since = ms.rem_euclid(DAY_MS);
            prop_assert_eq!(read_time(&time(since, Unit::Millis).unwrap()), Some(since));
        }

        #[test]
        fn no_text_takes_the_process_down(text in "\\PC{0,32}") {
            let _ = (read_date_time(&text), read_day(&text), read_time(&text));
        }
    }
}
