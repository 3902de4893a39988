//! Salesforce's identifiers: 15 case-sensitive characters, and 18 with a check suffix for those who fold case.

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// Between the three characters of the object and the counter: the instance, as a real org has one.
const INSTANCE: &str = "SB000";

/// The 18-character id of the `number`-th record of the object with this key prefix (`001` for Account).
pub(super) fn record_id(prefix: &str, number: u64) -> String {
    let mut counter = [b'0'; 7];
    let mut rest = number;
    for slot in counter.iter_mut().rev() {
        *slot = BASE62[usize::try_from(rest % 62).unwrap_or_default()];
        rest /= 62;
    }
    let short = format!(
        "{prefix}{INSTANCE}{}",
        counter.iter().map(|&byte| char::from(byte)).collect::<String>()
    );
    with_suffix(&short)
}

/// Adds the check suffix: a bit for every capital, five characters to a letter.
pub(super) fn with_suffix(short: &str) -> String {
    let suffix = short.as_bytes().chunks(5).map(|chunk| {
        let capitals = chunk
            .iter()
            .enumerate()
            .filter(|(_, byte)| byte.is_ascii_uppercase())
            .fold(0_usize, |bits, (index, _)| bits | 1 << index);
        char::from(SUFFIX[capitals])
    });
    short.chars().chain(suffix).collect()
}

/// A server's name for one call.
pub(super) fn rpc_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_is_the_one_of_real_ids() {
        assert_eq!(with_suffix("001Dp00000H8YVW"), "001Dp00000H8YVWIA3");
        assert_eq!(
            with_suffix("005Dp000000PpjsIAC".get(..15).unwrap_or_default()),
            "005Dp000000PpjsIAC"
        );
    }

    #[test]
    fn ids_of_one_object_have_18_characters_and_differ() {
        let ids: std::collections::HashSet<_> = (0..5_000).map(|number| record_id("001", number)).collect();
        assert_eq!(ids.len(), 5_000);
        assert!(ids.iter().all(|id| id.len() == 18 && id.starts_with("001")));
    }
}
