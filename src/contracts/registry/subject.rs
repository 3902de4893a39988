//! How the subject of a record's schema is named: Confluent's three strategies, so that foreign readers find it.

use crate::config::SubjectNaming;

/// Keys have no schema here: every subject is a value's.
pub fn subject(naming: SubjectNaming, topic: &str, record_full_name: &str) -> String {
    match naming {
        SubjectNaming::Topic => format!("{topic}-value"),
        SubjectNaming::Record => record_full_name.to_owned(),
        SubjectNaming::TopicRecord => format!("{topic}-{record_full_name}"),
    }
}

/// Text as one segment of a URL's path. All but RFC 3986's unreserved characters are escaped: `/` would end the
/// segment, `?` the path, and servers in Java take `;` for the beginning of parameters.
pub(super) fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(byte as char),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_as_confluents_clients_name_them() {
        let named = |naming| subject(naming, "crm.accounts", "com.acme.Account");
        assert_eq!(named(SubjectNaming::Topic), "crm.accounts-value");
        assert_eq!(named(SubjectNaming::Record), "com.acme.Account");
        assert_eq!(named(SubjectNaming::TopicRecord), "crm.accounts-com.acme.Account");
    }

    #[test]
    fn a_subject_stays_one_segment_of_the_path() {
        assert_eq!(path_segment("crm.a_b-c~1"), "crm.a_b-c~1");
        assert_eq!(
            path_segment("a/b?c#d%e;f g+ü"),
            "a%2Fb%3Fc%23d%25e%3Bf%20g%2B%C3%BC"
        );
    }
}
