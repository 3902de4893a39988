//! JSON values as the types of Salesforce's fields, exactly or not at all. What is told is the rule and the kind of
//! value, never the value. `docs/mapping.md` has the table.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::moment;

/// Why a value does not become another.
pub(super) type Rule = String;

/// From here on, neighbouring doubles are whole numbers apart, and not every integer is one.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// No number that people write is longer.
const NUMBER_CHARS_MAX: usize = 400;

/// For messages.
pub(super) const fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn takes(wanted: &str, found: &Json) -> Rule {
    format!("takes {wanted}, not {}", kind_of(found))
}

/// Text, numbers by their exact text, `true` and `false`.
pub(super) fn text(json: &Json) -> Result<Cow<'_, str>, Rule> {
    match json {
        Json::String(text) => Ok(Cow::Borrowed(text)),
        Json::Bool(flag) => Ok(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Json::Number(number) => {
            if let Some(int) = number.as_i64() {
                return Ok(Cow::Owned(int.to_string()));
            }
            if let Some(uint) = number.as_u64() {
                return Ok(Cow::Owned(uint.to_string()));
            }
            let double = number.as_f64().unwrap_or(f64::NAN);
            // What was written may have had more digits than the double that it was read as.
            if double.abs() >= EXACT_MAX {
                return Err("takes a number of more than 64 bits only where it is sent as text".to_owned());
            }
            Ok(Cow::Owned(if double == 0.0 {
                "0".to_owned()
            } else {
                double.to_string()
            }))
        }
        Json::Null | Json::Array(_) | Json::Object(_) => Err(takes("a text", json)),
    }
}

/// Text of at most so many characters; 0: of any length.
pub(super) fn text_within(json: &Json, length: u32) -> Result<Cow<'_, str>, Rule> {
    let text = text(json)?;
    within(&text, length)?;
    Ok(text)
}

fn within(text: &str, length: u32) -> Result<(), Rule> {
    let max = usize::try_from(length).unwrap_or(usize::MAX);
    if max == 0 || text.len() <= max {
        return Ok(());
    }
    match text.chars().count() {
        chars if chars > max => Err(format!("holds {max} characters, and the text has {chars}")),
        _ => Ok(()),
    }
}

/// A text, or a list of texts, with `;` between them.
pub(super) fn choices(json: &Json, length: u32) -> Result<Cow<'_, str>, Rule> {
    let Json::Array(list) = json else {
        return text_within(json, length);
    };
    let mut joined = String::new();
    for (index, choice) in list.iter().enumerate() {
        let choice = text(choice)?;
        if choice.contains(';') {
            return Err("takes no choice with a `;` in it, which separates choices".to_owned());
        }
        if index > 0 {
            joined.push(';');
        }
        joined.push_str(&choice);
    }
    within(&joined, length)?;
    Ok(Cow::Owned(joined))
}

/// true, false, and the texts `true` and `false`.
pub(super) fn boolean(json: &Json) -> Result<bool, Rule> {
    match json {
        Json::Bool(flag) => Ok(*flag),
        Json::String(text) if text == "true" => Ok(true),
        Json::String(text) if text == "false" => Ok(false),
        Json::String(_) => Err("takes the texts `true` and `false` alone".to_owned()),
        other => Err(takes("true or false", other)),
    }
}

/// A whole number: an integer, a double without a fraction, or the text of either.
pub(super) fn integer(json: &Json) -> Result<i64, Rule> {
    const RANGE: &str = "takes whole numbers of 64 bits";
    match json {
        Json::Number(number) => {
            if let Some(int) = number.as_i64() {
                return Ok(int);
            }
            let double = number.as_f64().unwrap_or(f64::NAN);
            if number.is_u64() || double.abs() >= EXACT_MAX {
                return Err(RANGE.to_owned());
            }
            #[allow(clippy::cast_possible_truncation, reason = "whole, and below 2⁵³")]
            if double.fract() == 0.0 {
                Ok(double as i64)
            } else {
                Err("takes no fraction".to_owned())
            }
        }
        Json::String(text) => {
            let written = Written::parse(text).ok_or("takes no text that is not a number")?;
            written.whole()?.ok_or_else(|| RANGE.to_owned())
        }
        other => Err(takes("a whole number", other)),
    }
}

/// A whole number of 32 bits.
pub(super) fn int(json: &Json) -> Result<i32, Rule> {
    i32::try_from(integer(json)?).map_err(|_| "takes whole numbers of 32 bits".to_owned())
}

/// A finite double that is exactly the number given.
pub(super) fn double(json: &Json) -> Result<f64, Rule> {
    const INEXACT: &str = "would not hold the number exactly: it has more digits than a double";
    match json {
        Json::Number(number) => {
            let double = number.as_f64().unwrap_or(f64::NAN);
            #[allow(clippy::cast_possible_truncation, reason = "saturates, and then differs")]
            let exact = match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => double as i128 == i128::from(int),
                (None, Some(uint)) => double as i128 == i128::from(uint),
                (None, None) => double.is_finite(),
            };
            exact.then_some(double).ok_or_else(|| INEXACT.to_owned())
        }
        Json::String(text) => {
            let written = Written::parse(text).ok_or("takes no text that is not a number")?;
            let double: f64 = text.parse().map_err(|_| INEXACT.to_owned())?;
            let again = double
                .is_finite()
                .then(|| Written::parse(&format!("{double:e}")))
                .flatten();
            (again.as_ref() == Some(&written))
                .then_some(double)
                .ok_or_else(|| INEXACT.to_owned())
        }
        other => Err(takes("a number", other)),
    }
}

/// Milliseconds since the epoch: RFC 3339 text with an offset, or those milliseconds.
pub(super) fn date_time_ms(json: &Json) -> Result<i64, Rule> {
    match json {
        Json::String(text) => moment::read_date_time(text).ok_or_else(|| {
            "takes text of RFC 3339 with an offset alone, such as 2026-01-02T03:04:05Z".to_owned()
        }),
        Json::Number(_) => integer(json),
        other => Err(takes("a date and time", other)),
    }
}

/// Midnight in UTC in milliseconds since the epoch: `YYYY-MM-DD`, or the day in UTC of RFC 3339 text.
pub(super) fn day_ms(json: &Json) -> Result<i64, Rule> {
    match json {
        Json::String(text) => moment::read_day(text)
            .ok_or_else(|| "takes text as YYYY-MM-DD, or RFC 3339 with an offset, alone".to_owned()),
        other => Err(takes("a date as text", other)),
    }
}

/// Milliseconds since midnight: `HH:MM`, `HH:MM:SS`, `HH:MM:SS.mmm`, with `Z` or not.
pub(super) fn time_ms(json: &Json) -> Result<i64, Rule> {
    match json {
        Json::String(text) => {
            moment::read_time(text).ok_or_else(|| "takes text as HH:MM:SS.mmm alone".to_owned())
        }
        other => Err(takes("a time of day as text", other)),
    }
}

/// A decimal number as it was written, in the one form that equal numbers share.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    is_negative: bool,
    /// Without zeros at either end; none: zero.
    digits: String,
    /// Of ten, behind the digits.
    exponent: i64,
}

impl Written {
    /// `-12.50`, `1e3`. No blanks, no separators.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > NUMBER_CHARS_MAX {
            return None;
        }
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: String = [whole, fraction].concat();
        if whole.is_empty() || mantissa.ends_with('.') || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let trimmed = all.trim_end_matches('0');
        let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()?
            + i64::try_from(all.len() - trimmed.len()).ok()?;
        let digits = trimmed.trim_start_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            digits,
            exponent: if is_zero { 0 } else { exponent },
        })
    }

    /// `Ok(None)`: more than 64 bits.
    fn whole(&self) -> Result<Option<i64>, Rule> {
        if self.digits.is_empty() {
            return Ok(Some(0));
        }
        if self.exponent < 0 {
            return Err("takes no fraction".to_owned());
        }
        let zeros = usize::try_from(self.exponent).unwrap_or(usize::MAX);
        // No 64-bit integer has more than 19 digits.
        if zeros > 19 {
            return Ok(None);
        }
        let sign = if self.is_negative { "-" } else { "" };
        Ok(format!("{sign}{}{}", self.digits, "0".repeat(zeros)).parse().ok())
    }
}
