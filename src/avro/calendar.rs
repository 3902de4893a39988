//! DateTime and DateOnly values as text.
//!
//! In: milliseconds since the epoch, as Salesforce sends both. Out: a JSON value. RFC 3339 has four digits for
//! the year; what lies outside years 0 to 9999 stays the number it was, exact, because a wrong date published
//! by somebody must neither fail the event nor lose its value. (A time given in seconds lies in January 1970:
//! wrong, but a date.)

use std::io::Write as _;

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// A time in UTC with milliseconds, quoted: `"2023-05-27T19:53:17.000Z"`.
pub fn write_date_time(out: &mut Vec<u8>, epoch_ms: i64) {
    match civil(epoch_ms) {
        Some(at) => {
            out.push(b'"');
            write_day(out, at);
            out.push(b'T');
            write_digits::<2>(out, at.hour().unsigned_abs().into());
            out.push(b':');
            write_digits::<2>(out, at.minute().unsigned_abs().into());
            out.push(b':');
            write_digits::<2>(out, at.second().unsigned_abs().into());
            out.push(b'.');
            write_digits::<3>(out, at.millisecond().unsigned_abs());
            out.extend_from_slice(b"Z\"");
        }
        None => write_number(out, epoch_ms),
    }
}

/// A day, quoted: `"2023-05-27"`. Salesforce sends its midnight in UTC; any other time of the day is cut off.
pub fn write_date(out: &mut Vec<u8>, epoch_ms: i64) {
    match civil(epoch_ms) {
        Some(at) => {
            out.push(b'"');
            write_day(out, at);
            out.push(b'"');
        }
        None => write_number(out, epoch_ms),
    }
}

/// Counted from the epoch, because `jiff::Timestamp` ends a day before 9999-12-31, which people use as "never".
fn civil(epoch_ms: i64) -> Option<DateTime> {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let at = EPOCH.checked_add(SignedDuration::from_millis(epoch_ms)).ok()?;
    (0..=9999).contains(&at.year()).then_some(at)
}

fn write_day(out: &mut Vec<u8>, at: DateTime) {
    write_digits::<4>(out, at.year().unsigned_abs());
    out.push(b'-');
    write_digits::<2>(out, at.month().unsigned_abs().into());
    out.push(b'-');
    write_digits::<2>(out, at.day().unsigned_abs().into());
}

/// The last `N` decimal digits: formatting through `fmt` costs more than the rest of a date.
fn write_digits<const N: usize>(out: &mut Vec<u8>, mut value: u16) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
    out.extend_from_slice(&digits);
}

fn write_number(out: &mut Vec<u8>, value: i64) {
    // A `Vec` takes every byte.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date_time(epoch_ms: i64) -> String {
        let mut out = Vec::new();
        write_date_time(&mut out, epoch_ms);
        String::from_utf8(out).unwrap()
    }

    fn date(epoch_ms: i64) -> String {
        let mut out = Vec::new();
        write_date(&mut out, epoch_ms);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_have_milliseconds_and_are_in_utc() {
        assert_eq!(date_time(1_685_217_197_000), r#""2023-05-27T19:53:17.000Z""#);
        assert_eq!(date_time(1_685_217_197_045), r#""2023-05-27T19:53:17.045Z""#);
        assert_eq!(date_time(-1), r#""1969-12-31T23:59:59.999Z""#);
        assert_eq!(date_time(951_782_400_000), r#""2000-02-29T00:00:00.000Z""#);
    }

    #[test]
    fn days_are_days() {
        assert_eq!(date(1_685_145_600_000), r#""2023-05-27""#);
        assert_eq!(date(1_685_145_600_001), r#""2023-05-27""#);
        assert_eq!(date(-86_400_000), r#""1969-12-31""#);
    }

    #[test]
    fn years_that_rfc_3339_cannot_write_stay_numbers() {
        assert_eq!(date(253_402_214_400_000), r#""9999-12-31""#);
        assert_eq!(date_time(253_402_300_799_999), r#""9999-12-31T23:59:59.999Z""#);
        assert_eq!(date_time(253_402_300_800_000), "253402300800000");
        assert_eq!(date_time(-62_167_219_200_000), r#""0000-01-01T00:00:00.000Z""#);
        assert_eq!(date_time(-62_167_219_200_001), "-62167219200001");
        assert_eq!(date_time(i64::MAX), "9223372036854775807");
        assert_eq!(date(i64::MIN), "-9223372036854775808");
    }

    #[test]
    fn seconds_published_as_milliseconds_are_a_day_in_january_1970() {
        assert_eq!(date_time(1_685_217_197), r#""1970-01-20T12:06:57.197Z""#);
    }

    #[test]
    fn every_time_reads_as_the_clock_writes_it() {
        for days in (-719_000..2_900_000).step_by(997) {
            let ms = days * 86_400_000 + 3_723_004;
            assert_eq!(
                date_time(ms),
                format!("\"{}\"", crate::runtime::clock::rfc3339_ms(ms))
            );
        }
    }
}
