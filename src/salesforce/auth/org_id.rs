//! Salesforce ids: 15 characters that depend on case, or the same with a suffix of 3 that makes them safe
//! without it.

/// The 18-character form of an id of 15 or 18 letters and digits; `None` for anything else.
///
/// Each character of the suffix says which of five characters are capitals: bit n for the n-th of them,
/// written as one of `A`–`Z`, `0`–`5`.
pub fn id18(id: &str) -> Option<String> {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if !id.bytes().all(|c| c.is_ascii_alphanumeric()) || !matches!(id.len(), 15 | 18) {
        return None;
    }
    let mut full = id[..15].to_owned();
    for five in id.as_bytes()[..15].chunks(5) {
        let bits = five.iter().enumerate();
        let capitals = bits.fold(0, |bits, (n, c)| bits | usize::from(c.is_ascii_uppercase()) << n);
        full.push(char::from(DIGITS[capitals]));
    }
    Some(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_characters_get_their_suffix() {
        assert_eq!(id18("00D5e000003TIrB").as_deref(), Some("00D5e000003TIrBEAW"));
        assert_eq!(id18("0015Y00002ZbgP3").as_deref(), Some("0015Y00002ZbgP3QAJ"));
    }

    #[test]
    fn eighteen_characters_stay() {
        assert_eq!(id18("0015Y00002ZbgP3QAJ").as_deref(), Some("0015Y00002ZbgP3QAJ"));
    }

    #[test]
    fn anything_else_is_no_id() {
        for bad in [
            "",
            "00D",
            "00D5e000003TIr-",
            "00D5e000003TIrBEAWx",
            "00D5e000003TIé",
        ] {
            assert_eq!(id18(bad), None, "{bad}");
        }
    }
}
