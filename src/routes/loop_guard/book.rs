//! The writes that may still come back as events, in the order of their announcement. Pure: what the topic says in,
//! candidates out.
//!
//! Bounded: a write is kept as long as Salesforce keeps its event, and of too many the oldest go. The events of
//! those pass as foreign.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::intent::Intent;

/// Writes kept at most: a hundred megabytes in the worst case, which a bridge sees only while a route that skips is
/// far behind one that writes.
const WRITES_MAX: usize = 250_000;
/// Salesforce keeps events for 72 hours.
const KEPT_MS: i64 = 73 * 3600 * 1000;

/// What is known of the writes under way and not yet seen back.
#[derive(Debug, Default)]
pub struct Book {
    next: u64,
    writes: BTreeMap<u64, Intent>,
    ids: HashMap<Arc<str>, u64>,
    /// By the record's id.
    by_record: HashMap<String, BTreeSet<u64>>,
    /// By a field's hash: writes whose record is not known yet.
    by_value: HashMap<u64, BTreeSet<u64>>,
    /// By the external id's hash: the same.
    by_external: HashMap<u64, BTreeSet<u64>>,
    /// By the object's name in lower case: the same.
    by_object: HashMap<String, BTreeSet<u64>>,
    /// Of writes whose record is not known yet, and how many have each.
    salts: HashMap<Arc<str>, usize>,
    /// Names of fields: few, and the same in every write of a route.
    names: HashSet<Arc<str>>,
    dropped: u64,
}

impl Book {
    /// A record of the topic: the intent as it is now, or its end.
    pub(super) fn apply(&mut self, id: &str, intent: Option<Intent>, now_ms: i64) {
        let place = self.ids.get(id).copied();
        if let Some(place) = place {
            self.unlist(place);
        }
        let Some(intent) = intent else {
            if let Some(place) = place {
                self.writes.remove(&place);
                self.ids.remove(id);
            }
            return;
        };
        let place = place.unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.list(place, intent);
        self.bind(place);
        while let Some(oldest) = self.writes.first_entry() {
            let is_old = oldest.get().written_at_ms < now_ms - KEPT_MS;
            let oldest = *oldest.key();
            if !is_old && self.writes.len() <= WRITES_MAX {
                break;
            }
            self.dropped += u64::from(!is_old);
            self.unlist(oldest);
            if let Some(gone) = self.writes.remove(&oldest) {
                self.ids.remove(&gone.id);
            }
        }
    }

    /// How many writes are kept.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many went because there were too many.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn get(&self, id: &str) -> Option<&Intent> {
        self.ids.get(id).and_then(|place| self.writes.get(place))
    }

    /// The writes of a record, oldest first.
    pub(super) fn of_record(&self, record_id: &str) -> impl Iterator<Item = &Intent> {
        let places = self.by_record.get(record_id).into_iter().flatten();
        places.filter_map(|place| self.writes.get(place))
    }

    /// The writes without a known record of which some field has one of these hashes, oldest first.
    pub(super) fn nameless(&self, hashes: impl IntoIterator<Item = u64>) -> Vec<&Intent> {
        let lists = hashes.into_iter().filter_map(|hash| self.by_value.get(&hash));
        let places: BTreeSet<u64> = lists.flatten().copied().collect();
        places.iter().filter_map(|place| self.writes.get(place)).collect()
    }

    /// All writes of an object without a known record, oldest first.
    pub(super) fn all_nameless(&self, sobject: &str) -> impl Iterator<Item = &Intent> {
        let places = self.by_object.get(&sobject.to_ascii_lowercase());
        places
            .into_iter()
            .flatten()
            .filter_map(|place| self.writes.get(place))
    }

    /// Of the writes without a known record: what their hashes are made with.
    pub(super) fn salts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.salts.keys()
    }

    fn list(&mut self, place: u64, mut intent: Intent) {
        for (name, _) in &mut intent.fields {
            match self.names.get(name) {
                Some(known) => *name = Arc::clone(known),
                None => {
                    self.names.insert(Arc::clone(name));
                }
            }
        }
        match &intent.record_id {
            Some(record) => {
                self.by_record.entry(record.clone()).or_default().insert(place);
            }
            None => {
                for (_, hash) in &intent.fields {
                    if let Some(hash) = hash {
                        self.by_value.entry(*hash).or_default().insert(place);
                    }
                }
                if let Some(external) = &intent.external {
                    self.by_external.entry(external.hash).or_default().insert(place);
                }
                let object = intent.sobject.to_ascii_lowercase();
                self.by_object.entry(object).or_default().insert(place);
                *self.salts.entry(Arc::clone(&intent.salt)).or_default() += 1;
            }
        }
        self.ids.insert(Arc::clone(&intent.id), place);
        self.writes.insert(place, intent);
    }

    fn unlist(&mut self, place: u64) {
        let Some(intent) = self.writes.get(&place) else {
            return;
        };
        if let Some(record) = &intent.record_id {
            remove(&mut self.by_record, record, place);
            return;
        }
        for hash in intent.fields.iter().filter_map(|(_, hash)| *hash) {
            remove(&mut self.by_value, &hash, place);
        }
        if let Some(external) = &intent.external {
            remove(&mut self.by_external, &external.hash, place);
        }
        remove(&mut self.by_object, &intent.sobject.to_ascii_lowercase(), place);
        if let Some(count) = self.salts.get_mut(&intent.salt) {
            *count -= 1;
            if *count == 0 {
                let salt = Arc::clone(&intent.salt);
                self.salts.remove(&salt);
            }
        }
    }

    /// An answer tells which record an external id names: so it does for the writes of it whose answer is lost.
    fn bind(&mut self, place: u64) {
        let Some(Intent {
            record_id: Some(record),
            external: Some(external),
            ..
        }) = self.writes.get(&place)
        else {
            return;
        };
        let (record, hash) = (record.clone(), external.hash);
        for other in self.by_external.get(&hash).cloned().unwrap_or_default() {
            self.unlist(other);
            if let Some(mut intent) = self.writes.remove(&other) {
                intent.record_id = Some(record.clone());
                self.list(other, intent);
            }
        }
    }
}

fn remove<K: std::hash::Hash + Eq>(lists: &mut HashMap<K, BTreeSet<u64>>, key: &K, place: u64) {
    if let Some(list) = lists.get_mut(key) {
        list.remove(&place);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Operation;
    use crate::routes::loop_guard::intent::Settled;

    const RECORD: &str = "0015Y00002ZbgP3QAJ";

    fn intent(name: &str) -> Intent {
        let record = json!({"Name": name});
        let record = record.as_object().unwrap();
        Intent::new("customers", "Account", Operation::Upsert, record).of_external_id("Ext__c", &json!("1"))
    }

    fn written(intent: &Intent) -> Intent {
        let answer = Settled::Written {
            record_id: Some(RECORD.to_owned()),
            created: Some(false),
        };
        intent.clone().settled(&answer, intent.written_at_ms).unwrap()
    }

    fn apply(book: &mut Book, intent: &Intent) {
        book.apply(&intent.id, Some(intent.clone()), intent.written_at_ms);
    }

    fn hashes(intent: &Intent) -> Vec<u64> {
        intent.fields.iter().filter_map(|(_, hash)| *hash).collect()
    }

    #[test]
    fn a_write_is_found_by_its_values_until_its_record_is_known_and_by_its_record_from_then_on() {
        let (mut book, open) = (Book::default(), intent("a"));
        apply(&mut book, &open);
        assert_eq!(book.nameless(hashes(&open)), [&open]);
        let known = written(&open);
        apply(&mut book, &known);
        assert!(book.nameless(hashes(&open)).is_empty());
        assert_eq!(book.of_record(RECORD).collect::<Vec<_>>(), [&known]);
        book.apply(&open.id, None, 0);
        assert!(book.is_empty() && book.of_record(RECORD).next().is_none());
        assert!(book.by_external.is_empty() && book.by_value.is_empty() && book.salts.is_empty());
    }

    #[test]
    fn an_answer_tells_the_record_of_an_earlier_write_whose_answer_is_lost() {
        let (mut book, lost, retried) = (Book::default(), intent("a"), intent("a"));
        apply(&mut book, &lost);
        apply(&mut book, &retried);
        apply(&mut book, &written(&retried));
        let order: Vec<_> = book
            .of_record(RECORD)
            .map(|intent| Arc::clone(&intent.id))
            .collect();
        assert_eq!(order, [lost.id, retried.id], "in the order of their announcement");
    }

    #[test]
    fn the_book_is_bounded_in_number_and_in_time() {
        let mut book = Book::default();
        let first = intent("first");
        apply(&mut book, &first);
        let mut later = intent("later");
        later.written_at_ms = first.written_at_ms + KEPT_MS;
        apply(&mut book, &later);
        assert_eq!(book.len(), 2);
        let last = intent("last");
        book.apply(&last.id, Some(last.clone()), first.written_at_ms + KEPT_MS + 1);
        assert!(book.get(&first.id).is_none() && book.len() == 2);
        assert_eq!(book.dropped(), 0, "Salesforce no longer has its event either");
    }
}
