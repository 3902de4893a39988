//! A long text as Salesforce sends its change: a unified diff under the new value's SHA-256, line by line.

use sha2::{Digest as _, Sha256};

/// `--- \n+++ <sha256>\n@@ -a,b +c,d @@\n…`, one hunk around everything that differs, without context lines.
pub(crate) fn unified(old: &str, new: &str) -> String {
    let (old, new_lines): (Vec<_>, Vec<_>) = (old.split('\n').collect(), new.split('\n').collect());
    let same_start = old.iter().zip(&new_lines).take_while(|(a, b)| a == b).count();
    let shorter = old.len().min(new_lines.len()) - same_start;
    let same_end = old
        .iter()
        .rev()
        .zip(new_lines.iter().rev())
        .take(shorter)
        .take_while(|(a, b)| a == b)
        .count();
    let removed = &old[same_start..old.len() - same_end];
    let added = &new_lines[same_start..new_lines.len() - same_end];
    let hash = hex::encode(Sha256::digest(new.as_bytes()));
    let start = same_start + 1;
    let mut diff = format!(
        "--- \n+++ {hash}\n@@ -{start},{} +{start},{} @@",
        removed.len(),
        added.len()
    );
    for (sign, lines) in [('-', removed), ('+', added)] {
        for line in lines {
            diff.push('\n');
            diff.push(sign);
            diff.push_str(line);
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_the_new_texts_hash_and_the_lines_between_what_stayed() {
        let diff = unified("one\ntwo\nthree", "one\n2\n2b\nthree");
        let hash = hex::encode(Sha256::digest(b"one\n2\n2b\nthree"));
        assert_eq!(diff, format!("--- \n+++ {hash}\n@@ -2,1 +2,2 @@\n-two\n+2\n+2b"));
        assert!(
            unified("a", "a\na").ends_with("@@ -2,0 +2,1 @@\n+a"),
            "what repeats is counted once"
        );
    }
}
