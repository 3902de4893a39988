//! The queries for records by id. Pure: names and ids in, texts out, each short enough for a URI.
//!
//! Nothing goes into a query that is not a name or an id by its characters, a number, or quoted. A query's URI has two halves: the
//! fields, split over several queries where they are too many, and the ids, likewise.

use crate::error::{ErrorKind, Failure};
use crate::salesforce::auth::id18;

/// Salesforce takes URI and headers of 16,384 bytes together: 4 KB are left to the headers (a token may have 2 KB)
/// and the path.
const QUERY_BYTES_MAX: usize = 12_000;
/// The half that the fields may take: a hundred names of the usual length.
const FIELDS_BYTES_MAX: usize = QUERY_BYTES_MAX / 2;

/// What every query asks for: which record it is, and as of when.
pub(super) const ALWAYS: [&str; 2] = ["Id", "SystemModstamp"];

/// The ids as 18 characters each.
///
/// # Errors
/// `Poison`: what is no id (a wildcard `001*`, a quote) names no record and must not go into a query.
pub(super) fn checked_ids(object: &str, ids: &[String]) -> Result<Vec<String>, Failure> {
    let checked: Option<Vec<_>> = ids.iter().map(|id| id18(id)).collect();
    checked.ok_or_else(|| {
        let message =
            format!("a record id of {object} is not 15 or 18 letters and digits: it names no record");
        Failure::new(ErrorKind::Poison, message)
    })
}

/// The fields in groups, each for one query of every chunk of ids.
///
/// # Errors
/// `Unknown`: a name that is none.
pub(super) fn groups<'f>(object: &str, fields: &[&'f str]) -> Result<Vec<Vec<&'f str>>, Failure> {
    if !std::iter::once(&object).chain(fields).all(|name| is_name(name)) {
        let message = "the name of an object or a field is not one: it must not go into a query";
        return Err(Failure::new(ErrorKind::Unknown, message));
    }
    let wanted = fields.iter().filter(|field| !ALWAYS.contains(field));
    let mut groups = vec![Vec::new()];
    let mut bytes = 0;
    for field in wanted {
        // The name and an encoded comma.
        bytes += field.len() + 3;
        if bytes > FIELDS_BYTES_MAX {
            groups.push(Vec::new());
            bytes = field.len() + 3;
        }
        if let Some(group) = groups.last_mut() {
            group.push(*field);
        }
    }
    Ok(groups)
}

/// Ids in chunks that one query holds, some two hundred.
pub(super) fn chunks(ids: &[String]) -> impl Iterator<Item = &[String]> {
    // 18 characters, two encoded quotes and an encoded comma; 200 bytes are left for the rest of the text.
    const ID_BYTES: usize = 18 + 3 * 3;
    ids.chunks((QUERY_BYTES_MAX - FIELDS_BYTES_MAX - 200) / ID_BYTES)
}

/// One query. Names and ids must have been checked.
pub(super) fn text(object: &str, fields: &[&str], ids: &[String]) -> String {
    let fields: Vec<&str> = ALWAYS.iter().chain(fields).copied().collect();
    format!(
        "SELECT {} FROM {object} WHERE Id IN ('{}')",
        fields.join(","),
        ids.join("','")
    )
}

/// A text as SOQL writes it: nothing in it can end it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for char in text.chars() {
        match char {
            '\'' | '\\' | '"' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// Literals in chunks that one query's URI holds, encoded and with a comma each. 500 bytes are left for the rest of
/// the text.
pub(super) fn literal_chunks(literals: &[String]) -> Vec<&[String]> {
    let mut chunks = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, literal) in literals.iter().enumerate() {
        let encoded = literal
            .bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 })
            .sum::<usize>()
            + 3;
        if bytes + encoded > QUERY_BYTES_MAX - 500 && at > from {
            chunks.extend(literals.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes += encoded;
    }
    chunks.extend(literals.get(from..).filter(|rest| !rest.is_empty()));
    chunks
}

/// A name of an object or a field.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_id_and_time_first() {
        let ids = checked_ids("Account", &["0015Y00002ZbgP3".to_owned()]).unwrap();
        assert_eq!(
            text("Account", &["Name"], &ids),
            "SELECT Id,SystemModstamp,Name FROM Account WHERE Id IN ('0015Y00002ZbgP3QAJ')"
        );
    }

    #[test]
    fn what_is_no_id_or_name_never_reaches_a_query() {
        for id in [
            "001' OR Id != '",
            "001*",
            "",
            "0015Y00002Zbg'3",
            "0015Y00002ZbgP3QAJ ",
        ] {
            let failure = checked_ids("Account", &[id.to_owned()]).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Poison, "{id}");
        }
        for (object, field) in [
            ("Account WHERE", "Name"),
            ("Account", "Name FROM X"),
            ("Account", ""),
        ] {
            assert!(groups(object, &[field]).is_err(), "{object} {field}");
        }
    }

    #[test]
    fn every_uri_stays_within_its_limit_and_nothing_is_left_out() {
        let names: Vec<String> = (0..800)
            .map(|n| format!("A_Rather_Long_Name_Of_A_Field_{n:04}__c"))
            .collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.extend(ALWAYS);
        let ids: Vec<String> = (0..3_000).map(|n| format!("001SB00000{n:08}")).collect();
        let groups = groups("An_Object_With_A_Very_Long_Name_Of_Forty_Chars__c", &names).unwrap();
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 800);
        let mut seen = 0;
        for chunk in chunks(&ids) {
            seen += chunk.len();
            for group in &groups {
                let soql = text("An_Object_With_A_Very_Long_Name_Of_Forty_Chars__c", group, chunk);
                let url = reqwest::Client::new().get("http://h/").query(&[("q", &soql)]);
                let url = url.build().unwrap().url().clone();
                assert!(
                    url.as_str().len() < QUERY_BYTES_MAX + 20,
                    "{}",
                    url.as_str().len()
                );
            }
        }
        assert_eq!(seen, 3_000);
    }

    #[test]
    fn nothing_in_a_text_ends_it() {
        assert_eq!(quoted("plain"), "'plain'");
        assert_eq!(quoted("' OR Id != '"), r"'\' OR Id != \''");
        assert_eq!(quoted("\\'"), r"'\\\''");
        assert_eq!(quoted("a\nb\"c\t"), "'a\\nb\\\"c\\t'");
    }

    #[test]
    fn literals_are_parted_by_the_length_of_their_uri_and_none_is_left_out() {
        let literals: Vec<String> = (0..3_000)
            .map(|n| quoted(&format!("{n} {}", "ü'".repeat(n % 90))))
            .collect();
        let mut seen = 0;
        let client = reqwest::Client::new();
        for chunk in literal_chunks(&literals) {
            seen += chunk.len();
            let url = client.get("http://h/").query(&[("q", chunk.join(","))]);
            let bytes = url.build().unwrap().url().as_str().len();
            assert!(bytes <= QUERY_BYTES_MAX - 480, "{bytes}");
        }
        assert_eq!(seen, 3_000);
        assert!(literal_chunks(&[]).is_empty());
        let long = [quoted(&"'".repeat(20_000))];
        assert_eq!(
            literal_chunks(&long),
            [&long[..]],
            "alone, for Salesforce to refuse"
        );
    }
}
