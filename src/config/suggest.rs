//! “Did you mean …?”: the nearest word, if it is near enough to be a slip of the keyboard.

use super::keys::{Choice, Key, Shape};
use super::read::FILE_SUFFIX;

pub(super) fn nearest(name: &str, keys: &[Key]) -> Option<String> {
    let names = keys.iter().flat_map(|key| {
        let file = matches!(key.shape, Shape::Secret).then(|| format!("{}{FILE_SUFFIX}", key.name));
        [Some(key.name.to_owned()), file].into_iter().flatten()
    });
    pick(name, names)
}

pub(super) fn nearest_choice(text: &str, choices: &[Choice]) -> Option<String> {
    pick(text, choices.iter().map(|choice| choice.name.to_owned()))
}

pub(crate) fn pick(word: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '.', ' '], "_");
    // One slip in three letters: more, and the suggestion is a guess.
    let allowed = word.chars().count().div_ceil(3).min(4);
    known
        .map(|name| (distance(&plain(word), &plain(&name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's: insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = || {
            ["bootstrap_servers", "partitions", "start"]
                .map(str::to_owned)
                .into_iter()
        };
        assert_eq!(
            pick("bootstrap.servers", known()).as_deref(),
            Some("bootstrap_servers")
        );
        assert_eq!(pick("partition", known()).as_deref(), Some("partitions"));
        assert_eq!(pick("replicas", known()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
