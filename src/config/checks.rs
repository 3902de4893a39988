//! Rules that one text alone must obey. A refusal states the rule; the reader adds the value seen, unless
//! the value may hold a secret.

use std::time::Duration;

use crate::telemetry::logging;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The rule; the value is shown with it.
    Shown(String),
    /// The same for a value that must not be shown.
    Hidden(String),
}

pub(super) type Checked = Result<(), Refusal>;

pub(super) fn shown(rule: impl Into<String>) -> Checked {
    Err(Refusal::Shown(rule.into()))
}

pub(super) fn any(_: &str) -> Checked {
    Ok(())
}

/// Names end in Kafka topic names (249 characters with our prefixes) and transactional ids.
pub(super) fn name(text: &str) -> Checked {
    const LENGTH_MAX: usize = 100;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() > LENGTH_MAX || !text.chars().all(plain) || text.trim_matches('.').is_empty() {
        return shown(format!(
            "must be at most {LENGTH_MAX} letters, digits, `.`, `_` and `-`, and not dots alone, because it becomes part of Kafka names"
        ));
    }
    Ok(())
}

pub(super) fn api_version(text: &str) -> Checked {
    let number = text.strip_suffix(".0").unwrap_or_default();
    if matches!(number.len(), 2 | 3) && number.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        shown("must be a version of the Salesforce API, such as \"66.0\"")
    }
}

pub(super) fn organization_id(text: &str) -> Checked {
    let whole = matches!(text.len(), 15 | 18) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if whole && text.starts_with("00D") {
        Ok(())
    } else {
        shown(
            "must be an organization id: 15 or 18 letters and digits that begin with 00D (Setup, Company Information)",
        )
    }
}

pub(super) fn log_level(text: &str) -> Checked {
    match logging::parse(text) {
        Some(_) => Ok(()),
        None => shown(logging::LEVEL_RULE),
    }
}

pub(super) fn record_key(text: &str) -> Checked {
    match text.strip_prefix("field:") {
        Some(field) if field_path(field).is_ok() => Ok(()),
        None if matches!(text, "record_id" | "event_id" | "none") => Ok(()),
        _ => shown("must be one of record_id, event_id, none and field:<Name>"),
    }
}

/// `Name`, `BillingAddress.City`.
pub(super) fn field_path(text: &str) -> Checked {
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if text.split('.').all(word) {
        Ok(())
    } else {
        shown("must be the API name of a field: letters, digits and `_`, with `.` before a nested one")
    }
}

/// CEL as far as its text alone tells; which fields and functions there are is known when the route starts.
pub(super) fn expression(text: &str) -> Checked {
    closed_expression(text)?;
    super::expression::parse(text)
        .map(drop)
        .or_else(|fault| shown(format!("must be a CEL expression: {fault}")))
}

/// What nobody closed is told in words of its own: a parser complains of where the text ended.
pub(super) fn closed_expression(text: &str) -> Checked {
    let mut depth = 0_i64;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, _) => {}
        }
        if depth < 0 {
            break;
        }
    }
    match (depth, quote) {
        (0, None) => Ok(()),
        (_, Some(open)) => shown(format!(
            "must be a CEL expression, in which every {open} is closed"
        )),
        _ => shown("must be a CEL expression, in which every bracket has its other half"),
    }
}

/// `500ms`, `30s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let milliseconds: u64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// `10%`, `2.5%`.
pub(super) fn percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim_end();
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    number.parse().ok().filter(|value| (0.0..=100.0).contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_its_unit() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("30s"), Some(30_000));
        assert_eq!(ms("5m"), Some(300_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        for wrong in [
            "30",
            "s",
            "",
            "1.5s",
            "-1s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_percentage_lies_between_nothing_and_all() {
        assert_eq!(percent("10%"), Some(10.0));
        assert_eq!(percent("2.5%"), Some(2.5));
        for wrong in ["10", "101%", "-1%", "NaN%", "inf%", "%", "ten%"] {
            assert_eq!(percent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_fits_into_kafka_names() {
        for good in ["crm", "a.b_c-1", "9"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["a b", "ä", "a/b", ".", "..", &"x".repeat(101)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expression_closes_what_it_opens() {
        for good in ["a == \")\"", "f(x)[0] == {'a': 1}.a", r#""\"(" == a"#] {
            assert_eq!(expression(good), Ok(()), "{good}");
        }
        for bad in ["f(x", "x)", "a == \"b", ")("] {
            assert!(closed_expression(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expression_that_does_not_parse_is_refused_with_its_place() {
        let Err(Refusal::Shown(rule)) = expression("a == 1 &&& b") else {
            panic!("it parses");
        };
        assert!(
            rule.starts_with("must be a CEL expression: line 1, column 10: "),
            "{rule}"
        );
    }
}
