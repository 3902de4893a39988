//! The effective configuration as YAML: defaults filled in, variables resolved, secrets as `***`.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::properties;
use super::tree::{Entry, Property, Section, Value};

const MASK: &str = "***";

pub(super) fn show(file: &Section) -> String {
    let mut out = String::new();
    for entry in &file.entries {
        show_entry(entry, 0, &mut out);
    }
    out
}

fn show_entry(entry: &Entry, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str(entry.key.name);
    out.push(':');
    behind_key(entry, depth, out);
}

fn behind_key(entry: &Entry, depth: usize, out: &mut String) {
    match &entry.value {
        Value::Section(section) if section.entries.is_empty() => out.push_str(" {}\n"),
        Value::Section(section) => {
            out.push('\n');
            for entry in &section.entries {
                show_entry(entry, depth + 1, out);
            }
        }
        Value::List(items) => {
            out.push('\n');
            for item in items {
                show_item(item, depth + 1, out);
            }
        }
        Value::Properties(pairs) | Value::Expressions(pairs) if pairs.is_empty() => out.push_str(" {}\n"),
        Value::Properties(pairs) => {
            out.push('\n');
            for pair in pairs {
                line(depth + 1, &text(&pair.name), &text(masked(pair)), out);
            }
        }
        Value::Expressions(pairs) => {
            out.push('\n');
            for pair in pairs {
                line(depth + 1, &text(&pair.name), &text(pair.value.expose()), out);
            }
        }
        value => {
            out.push(' ');
            out.push_str(&single(value));
            out.push('\n');
        }
    }
}

/// A property's value, where it is known to be no secret.
fn masked(pair: &Property) -> &str {
    if properties::is_harmless(&pair.name) {
        pair.value.expose()
    } else {
        MASK
    }
}

pub(super) fn json(file: &Section) -> Json {
    let entries = file.entries.iter();
    Json::Object(
        entries
            .map(|entry| (entry.key.name.to_owned(), json_value(&entry.value)))
            .collect(),
    )
}

fn json_value(value: &Value) -> Json {
    let pairs = |pairs: &[Property], value: fn(&Property) -> &str| {
        let pairs = pairs.iter().map(|pair| (pair.name.clone(), value(pair).into()));
        Json::Object(pairs.collect::<Map<_, _>>())
    };
    match value {
        Value::Section(section) => json(section),
        Value::List(items) => items.iter().map(|item| json_value(&item.value)).collect(),
        Value::Properties(properties) => pairs(properties, masked),
        Value::Expressions(expressions) => pairs(expressions, |pair| pair.value.expose()),
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Bool(value) => (*value).into(),
        Value::Secret(_) => MASK.into(),
        Value::Choice(_) | Value::Percent(_) | Value::Duration(_) | Value::Invalid => single(value).into(),
    }
}

/// `- ` before a list's item; a section's first key stands on the same line.
fn show_item(item: &Entry, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str("- ");
    match &item.value {
        Value::Section(section) => {
            let mut inner = String::new();
            for entry in &section.entries {
                show_entry(entry, depth + 1, &mut inner);
            }
            out.push_str(inner.trim_start_matches(' '));
        }
        value => {
            out.push_str(&single(value));
            out.push('\n');
        }
    }
}

fn line(depth: usize, name: &str, value: &str, out: &mut String) {
    indent(depth, out);
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{name}: {value}");
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn single(value: &Value) -> String {
    match value {
        Value::Text(value) => text(value),
        Value::Choice(name) => (*name).to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Percent(value) => format!("{value}%"),
        Value::Duration(value) => duration(*value),
        Value::Bool(value) => value.to_string(),
        Value::Secret(_) => text(MASK),
        Value::Section(_)
        | Value::List(_)
        | Value::Properties(_)
        | Value::Expressions(_)
        | Value::Invalid => String::new(),
    }
}

fn duration(value: Duration) -> String {
    let ms = value.as_millis();
    match ms {
        _ if !ms.is_multiple_of(1000) => format!("{ms}ms"),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ => format!("{}s", ms / 1000),
    }
}

/// A text as a YAML scalar: bare where nothing can be misread, otherwise in double quotes.
fn text(value: &str) -> String {
    let starts_plainly = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '@' | '+');
    let reads_otherwise = matches!(
        value.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off"
    );
    // `: ` separates key and value; a colon before anything else is a letter.
    let colons_hold = value.split(':').skip(1).all(|rest| rest.starts_with(is_plain));
    if starts_plainly && colons_hold && !reads_otherwise && value.chars().all(|c| is_plain(c) || c == ':') {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '$' => quoted.push_str("$$"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_yaml_would_misread_is_quoted() {
        for plain in ["kafka:9092", "https://a.b/c", "info", "/data/X"] {
            assert_eq!(text(plain), plain);
        }
        for (value, quoted) in [
            ("66.0", "\"66.0\""),
            ("true", "\"true\""),
            ("a: b", "\"a: b\""),
            ("a:", "\"a:\""),
            ("{entity}", "\"{entity}\""),
            ("a\"b\n", "\"a\\\"b\\n\""),
            ("a$", "\"a$$\""),
        ] {
            assert_eq!(text(value), quoted);
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for shown in ["500ms", "30s", "5m", "1h", "90s"] {
            assert_eq!(
                super::super::checks::duration(shown).map(duration).as_deref(),
                Some(shown)
            );
        }
    }
}
