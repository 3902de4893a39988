//! When a value that was sent and one that comes back are the same. Salesforce normalises: both sides are brought
//! to a form, and forms are compared by their hash.
//!
//! | sent | comes back as | form |
//! |---|---|---|
//! | text with blanks around it | trimmed | trimmed, line ends `\n` |
//! | `""`, blanks alone, null | null | empty |
//! | an e-mail address | in lower case | in lower case |
//! | `2026-01-02T03:04:05.678+01:00` | an instant, without milliseconds | seconds since the epoch |
//! | `10:30:00`, with or without `Z` | milliseconds since midnight | the same |
//! | `12`, `12.0`, `1.2e1` | a double or an int | the shortest decimal |
//! | `B;A` (multi-picklist) | in the picklist's order | sorted |
//! | an id of 15 characters | 18 characters | 18 characters |
//! | a text of 1,000 characters or more | itself, or a diff that tells its SHA-256 | its SHA-256, trimmed |
//!
//! What Salesforce does beyond that (rounding to a field's scale, cleaning rich text) makes a value differ: such a
//! change passes as foreign, and what is written back then is equal.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::salesforce::auth::id18;

/// From this length on Salesforce may send a diff (CDC guide): texts are known by their digest.
const LONG_TEXT_CHARS: usize = 1000;
const DAY_MS: i64 = 86_400_000;
/// Before the digest of the new text in a diff (CDC guide).
const DIFF_DIGEST: &str = "+++ ";

const EMPTY: &str = "0";

/// The form of a value as it is sent. `None`: what comes back is not known beforehand (a relationship by external
/// id comes back as an id).
pub(super) fn sent_form(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(EMPTY.to_owned()),
        Value::Bool(value) => Some(format!("b:{value}")),
        Value::Number(number) => Some(format!("n:{}", decimal(number))),
        Value::String(text) => Some(text_form(text)),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The forms that a value of an event may have been sent in.
pub(super) fn event_forms(value: &Value, is_diff: bool) -> Vec<String> {
    match value {
        Value::String(diff) if is_diff => {
            let digest = diff.lines().find_map(|line| line.strip_prefix(DIFF_DIGEST));
            digest
                .map(|digest| format!("x:{}", digest.trim().to_ascii_lowercase()))
                .into_iter()
                .collect()
        }
        Value::Null => vec![EMPTY.to_owned()],
        Value::Bool(value) => vec![format!("b:{value}"), format!("s:{value}")],
        Value::Number(number) => {
            let decimal = decimal(number);
            let mut forms = vec![format!("n:{decimal}"), format!("s:{decimal}")];
            let time = number.as_i64().filter(|ms| (0..DAY_MS).contains(ms));
            forms.extend(time.map(|ms| format!("t:{ms}")));
            forms
        }
        Value::String(text) => {
            let number = text.trim().parse::<serde_json::Number>().ok();
            let number = number.map(|number| format!("n:{}", decimal(&number)));
            std::iter::once(text_form(text)).chain(number).collect()
        }
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

/// The hash that stands for a form in an intent.
pub(super) fn hash(salt: &str, field: &str, form: &str) -> u64 {
    let mut digest = Sha256::new();
    for part in [salt, field, form] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

fn text_form(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return EMPTY.to_owned();
    }
    if text.chars().count() >= LONG_TEXT_CHARS {
        return format!("x:{}", hex::encode(Sha256::digest(text)));
    }
    if let Some(seconds) = instant_seconds(text) {
        return format!("i:{seconds}");
    }
    if let Some(ms) = time_ms(text) {
        return format!("t:{ms}");
    }
    if text.len() == 15
        && let Some(id) = id18(text)
    {
        return format!("s:{id}");
    }
    if is_email(text) {
        return format!("s:{}", text.to_lowercase());
    }
    if text.contains(';') {
        let mut parts: Vec<&str> = text.split(';').map(str::trim).collect();
        parts.sort_unstable();
        return format!("s:{}", parts.join(";"));
    }
    format!("s:{}", text.replace("\r\n", "\n"))
}

fn is_email(text: &str) -> bool {
    let is_word = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '@');
    text.split_once('@')
        .is_some_and(|(name, host)| is_word(name) && is_word(host))
}

/// `2026-01-02T03:04:05.678+01:00`, also with `+0100` as REST writes it.
fn instant_seconds(text: &str) -> Option<i64> {
    let looks_like_it = text.len() >= 19 && text.as_bytes().get(10) == Some(&b'T');
    let instant: jiff::Timestamp = looks_like_it.then(|| text.parse().ok()).flatten()?;
    // Not `as_second`, which rounds towards the epoch.
    Some(instant.as_millisecond().div_euclid(1000))
}

/// `10:30:00`, `10:30:00.000Z`: in milliseconds since midnight.
fn time_ms(text: &str) -> Option<i64> {
    let time = text.strip_suffix('Z').unwrap_or(text);
    let bytes = time.as_bytes();
    if !matches!(bytes.len(), 8 | 12) || bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    let time: jiff::civil::Time = time.parse().ok()?;
    let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
    Some(seconds * 1000 + i64::from(time.millisecond()))
}

/// The shortest decimal of a number: `12.0` is `12`.
fn decimal(number: &serde_json::Number) -> String {
    /// Up to here every integer is a double of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    match number.as_f64() {
        #[allow(clippy::cast_possible_truncation, reason = "within the range that is exact")]
        Some(value) if value.fract() == 0.0 && value.abs() <= EXACT => (value as i64).to_string(),
        Some(value) => value.to_string(),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(sent: &Value, back: &Value) -> bool {
        let sent = sent_form(sent).unwrap();
        event_forms(back, false).contains(&sent)
    }

    #[test]
    fn what_salesforce_normalises_is_the_same_value() {
        for (sent, back) in [
            (json!("  Acme "), json!("Acme")),
            (json!(""), Value::Null),
            (json!("  "), Value::Null),
            (json!("John.Doe@Acme.COM"), json!("john.doe@acme.com")),
            (
                json!("2026-01-02T03:04:05.678+01:00"),
                json!("2026-01-02T02:04:05.000Z"),
            ),
            (json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:05.000Z")),
            (
                json!("1969-12-31T23:59:59.500Z"),
                json!("1969-12-31T23:59:59.000Z"),
            ),
            (json!("2026-01-02"), json!("2026-01-02")),
            (json!("10:30:00.000Z"), json!(37_800_000)),
            (json!("10:30:00"), json!(37_800_000)),
            (json!(12), json!(12.0)),
            (json!(12.5), json!(12.50)),
            (json!("12"), json!(12.0)),
            (json!(12), json!("12")),
            (json!(-0.0), json!(0)),
            (json!(true), json!(true)),
            (json!("B;A"), json!("A;B")),
            (json!("0015Y00002ZbgP3"), json!("0015Y00002ZbgP3QAJ")),
            (json!("a\r\nb"), json!("a\nb")),
        ] {
            assert!(same(&sent, &back), "{sent} and {back}");
        }
    }

    #[test]
    fn other_values_are_other_values() {
        for (sent, back) in [
            (json!("Acme"), json!("ACME")),
            (json!("Acme"), Value::Null),
            (json!("0123"), json!("123")),
            (json!(12), json!(12.01)),
            (json!(false), Value::Null),
            (json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:06.000Z")),
            (json!("2026-01-02"), json!("2026-01-03")),
            (json!(0), Value::Null),
        ] {
            assert!(!same(&sent, &back), "{sent} and {back}");
        }
    }

    #[test]
    fn a_long_text_is_known_by_its_digest_also_when_a_diff_comes() {
        let text = "line\n".repeat(300);
        let sent = sent_form(&json!(text)).unwrap();
        assert_eq!(
            event_forms(&json!(text.trim()), false),
            std::slice::from_ref(&sent)
        );
        let digest = hex::encode(Sha256::digest(text.trim()));
        let diff = format!("--- \n+++ {digest}\n@@ -1,1 +1,1 @@\n-a\n+b");
        assert_eq!(event_forms(&json!(diff), true), [sent]);
        assert!(event_forms(&json!("no diff"), true).is_empty());
    }

    #[test]
    fn a_relationship_has_no_form_because_an_id_comes_back() {
        assert_eq!(sent_form(&json!({"External_Id__c": "4711"})), None);
    }

    #[test]
    fn equal_values_under_two_salts_look_different() {
        assert_ne!(hash("a", "Name", "s:x"), hash("b", "Name", "s:x"));
        assert_eq!(hash("a", "Name", "s:x"), hash("a", "Name", "s:x"));
        assert_ne!(
            hash("a", "Na", "mes:x"),
            hash("a", "Name", "s:x"),
            "parts are told apart"
        );
    }
}
