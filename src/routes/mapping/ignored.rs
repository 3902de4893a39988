//! What fields of equal names leave out: told once a name.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// A record whose names are somebody's values would fill the log and the memory.
const NAMES_MAX: usize = 100;
/// Longer than any field's name in Salesforce.
const NAME_BYTES_MAX: usize = 80;

#[derive(Debug, Default)]
pub(super) struct Ignored(Mutex<BTreeSet<Box<str>>>);

impl Ignored {
    /// Warns when the name is new and looks like a field's.
    pub(super) fn note(&self, route: &str, target: &str, name: &str, why: &str) {
        let is_name = name.len() <= NAME_BYTES_MAX
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        if !is_name {
            return;
        }
        let mut names = self.0.lock();
        if names.len() < NAMES_MAX && !names.contains(name) {
            names.insert(name.into());
            drop(names);
            tracing::warn!(
                route,
                target,
                field = name,
                "a field of the records is not sent: {why}"
            );
        }
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().iter().map(|name| name.to_string()).collect()
    }
}
