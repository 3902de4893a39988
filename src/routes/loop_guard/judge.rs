//! Whose a change is. Pure: the book and one record of one change event in, a verdict out.
//!
//! A judge belongs to one route and lives as long as it: it knows which writes the route has seen back. A write is
//! used up by one event; the same event again (a batch that was aborted) gets the same verdict.
//!
//! What a write explains is decided here and nowhere else:
//! * UPDATE: every changed field but system fields and derived ones was sent, with an equal value. An UPDATE that
//!   changed nothing else than system fields is explained by any write of the record (it changed nothing).
//! * CREATE: every value that was sent is there, and nothing else is filled but defaults, derived and system fields
//!   (`false` counts as a default). A default that describe does not know as one is taken for a change on top.
//! * DELETE: the record was to be deleted.
//! * Gaps, UNDELETE: by nothing. They tell no values, and flow.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::book::Book;
use super::change::{Changed, Hashes, ObjectFields};
use super::intent::{Intent, Written};
use super::scope::Scope;
use super::values::{hash, sent_form};
use crate::routes::reread::names_a_record;
use crate::salesforce::event::ChangeType;

/// How far Salesforce's clock may be from ours: a change is held against the writes that were under way then.
const CLOCKS_MS: i64 = 10 * 60 * 1000;

/// One record of a change event.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// The event's `ce_id` for this record.
    pub(super) event: &'a str,
    pub(super) entity: &'a str,
    /// 18 characters.
    pub(super) record_id: &'a str,
    /// `changeOrigin` names this bridge.
    pub(super) by_name: bool,
    /// `commitUser` is the integration user.
    pub(super) by_user: bool,
    pub(super) committed_ms: i64,
    pub(super) changed: &'a Changed,
    pub(super) object: &'a ObjectFields,
}

/// Whose a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bridge made it, all of it.
    Own,
    /// Somebody else did, or somebody changed more in the same transaction.
    Foreign,
    /// A write whose answer is not known could be it.
    Wait,
}

/// A verdict, and the writes that the route has seen back with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) seen: Vec<Arc<str>>,
    /// The event's number among those judged: for [`Judge::committed`]. 0: nothing is kept of it.
    pub(super) number: u64,
}

/// What one route has seen.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Writes seen back: by which record's event, and until when an event of theirs could come.
    seen: HashMap<Arc<str>, Seen>,
    /// Of events that are not committed yet.
    verdicts: HashMap<String, Judged>,
    /// The same in the order of judgement.
    judged: VecDeque<(u64, String)>,
    count: u64,
    /// Writes that were waited for in vain.
    given_up: HashSet<Arc<str>>,
    /// The latest commit judged.
    stream_ms: i64,
    pruned_ms: i64,
}

#[derive(Debug)]
struct Seen {
    record_id: String,
    over_ms: i64,
}

/// How far a write explains a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Whole,
    /// All of it that concerns the write's fields, and more changed.
    OnTop,
    No,
}

impl Judged {
    const fn unexplained(verdict: Verdict) -> Self {
        Self {
            verdict,
            seen: Vec::new(),
            number: 0,
        }
    }
}

impl Judge {
    /// Decides. `may_wait` is false once the wait is over: then with what is known.
    pub(super) fn judge(
        &mut self,
        scope: &Scope,
        book: &Book,
        change: &Change<'_>,
        may_wait: bool,
    ) -> Judged {
        if let Some(known) = self.verdicts.get(change.event) {
            return known.clone();
        }
        let mut judged = self.decide(scope, book, change, may_wait);
        // Others' changes are the many: nothing of them needs to be known again.
        if judged.verdict != Verdict::Wait && (change.by_name || change.by_user) {
            self.count += 1;
            judged.number = self.count;
            self.note(book, change, &judged);
        }
        judged
    }

    /// The events up to this number are committed: they do not come again.
    pub(super) fn committed(&mut self, number: u64) {
        while self.judged.front().is_some_and(|(first, _)| *first <= number) {
            if let Some((_, event)) = self.judged.pop_front() {
                self.verdicts.remove(&event);
            }
        }
    }

    fn decide(&mut self, scope: &Scope, book: &Book, change: &Change<'_>, may_wait: bool) -> Judged {
        let foreign = || Judged::unexplained(Verdict::Foreign);
        if !scope.is_announced() {
            // Nobody announces anything: the name is all there is.
            let verdict = if change.by_name {
                Verdict::Own
            } else {
                Verdict::Foreign
            };
            return Judged::unexplained(verdict);
        }
        let is_told = matches!(
            change.changed.kind,
            ChangeType::Create | ChangeType::Update | ChangeType::Delete
        );
        let may_be_own = (change.by_name || change.by_user) && scope.is_written(change.entity);
        if !may_be_own || !is_told || !names_a_record(change.record_id) {
            return foreign();
        }
        let mut hashes = HashMap::new();
        match self.by_record(book, change, &mut hashes) {
            Some(judged) => judged,
            None => self
                .by_values(book, change, may_wait, &mut hashes)
                .unwrap_or_else(foreign),
        }
    }

    /// By the writes that are known to be of this record, oldest first: versions come back in their order.
    fn by_record(
        &self,
        book: &Book,
        change: &Change<'_>,
        hashes: &mut HashMap<Arc<str>, Hashes>,
    ) -> Option<Judged> {
        let mut older = Vec::new();
        let mut on_top = None;
        for write in book.of_record(change.record_id) {
            if self.is_seen(write, change.record_id) {
                continue;
            }
            older.push(Arc::clone(&write.id));
            if !could_be(write, change) {
                continue;
            }
            match fit(write, change, hashes).0 {
                Fit::Whole => {
                    return Some(Judged {
                        verdict: Verdict::Own,
                        seen: older,
                        number: 0,
                    });
                }
                Fit::OnTop if on_top.is_none() => on_top = Some(older.clone()),
                Fit::OnTop | Fit::No => {}
            }
        }
        on_top.map(|seen| Judged {
            verdict: Verdict::Foreign,
            seen,
            number: 0,
        })
    }

    /// By the writes whose record is not known yet.
    fn by_values(
        &mut self,
        book: &Book,
        change: &Change<'_>,
        may_wait: bool,
        hashes: &mut HashMap<Arc<str>, Hashes>,
    ) -> Option<Judged> {
        let ordinary = |field| !change.changed.is_by_itself(field, change.object);
        if change.changed.kind == ChangeType::Update && !change.changed.fields.iter().any(ordinary) {
            return self.by_nothing(book, change, may_wait);
        }
        let telling: Vec<u64> = book
            .salts()
            .flat_map(|salt| change.changed.telling(salt))
            .collect();
        let mut whole = Vec::new();
        let mut on_top = Vec::new();
        // Null is too common to find a write by.
        let writes = match telling.is_empty() {
            true => book.all_nameless(change.entity).collect(),
            false => book.nameless(telling),
        };
        for write in writes {
            let is_candidate = !self.is_seen(write, change.record_id) && could_be(write, change);
            if !is_candidate || !write.sobject.eq_ignore_ascii_case(change.entity) {
                continue;
            }
            match fit(write, change, hashes) {
                (_, 0) | (Fit::No, _) => {}
                (Fit::Whole, _) if is_named(write, change) => return Some(of(write, Verdict::Own)),
                (Fit::Whole, _) => whole.push(write),
                (Fit::OnTop, _) => on_top.push(write),
            }
        }
        if change.by_name {
            let own = whole.first().map(|write| of(write, Verdict::Own));
            return own.or_else(|| on_top.first().map(|write| of(write, Verdict::Foreign)));
        }
        let candidates: Vec<_> = whole.iter().chain(&on_top).copied().collect();
        if self.waits(book, change, &candidates, may_wait) {
            return Some(Judged::unexplained(Verdict::Wait));
        }
        // A new record with all the values of one that is being made. An UPDATE tells too little of its record.
        let is_create = change.changed.kind == ChangeType::Create;
        whole
            .first()
            .filter(|_| is_create)
            .map(|write| of(write, Verdict::Own))
    }

    /// A write changed nothing but system fields: only its answer tells whose it was.
    fn by_nothing(&mut self, book: &Book, change: &Change<'_>, may_wait: bool) -> Option<Judged> {
        let writes = book.all_nameless(change.entity);
        let is_candidate =
            |write: &&Intent| !self.is_seen(write, change.record_id) && could_be(write, change);
        let candidates = writes.filter(is_candidate).collect::<Vec<_>>();
        if self.waits(book, change, &candidates, may_wait) {
            return Some(Judged::unexplained(Verdict::Wait));
        }
        change.by_name.then(|| Judged::unexplained(Verdict::Own))
    }

    /// Whether the answer to any of these is worth waiting for. Once the wait is over, to none of them, and to none
    /// that is as old: an answer lost with two hundred writes must not be waited for two hundred times.
    fn waits(&mut self, book: &Book, change: &Change<'_>, candidates: &[&Intent], may_wait: bool) -> bool {
        let is_open = |write: &&&Intent| {
            write.outcome.is_none() && !write.is_long() && !self.given_up.contains(&write.id)
        };
        let mut open = candidates.iter().filter(is_open);
        if may_wait {
            return open.next().is_some();
        }
        let Some(latest_ms) = open.map(|write| write.written_at_ms).max() else {
            return false;
        };
        let in_vain = book
            .all_nameless(change.entity)
            .filter(|write| write.outcome.is_none() && write.written_at_ms <= latest_ms)
            .map(|write| Arc::clone(&write.id));
        self.given_up.extend(in_vain);
        false
    }

    fn is_seen(&self, write: &Intent, record_id: &str) -> bool {
        let seen = self.seen.get(&write.id);
        // What was taken for it by its values alone was another record, as its answer shows.
        seen.is_some_and(|seen| write.record_id.is_none() || seen.record_id == record_id)
    }

    fn note(&mut self, book: &Book, change: &Change<'_>, judged: &Judged) {
        self.judged.push_back((judged.number, change.event.to_owned()));
        self.verdicts.insert(change.event.to_owned(), judged.clone());
        self.stream_ms = self.stream_ms.max(change.committed_ms);
        for id in &judged.seen {
            let seen = Seen {
                record_id: change.record_id.to_owned(),
                over_ms: book.get(id).map_or(change.committed_ms, Intent::over_ms),
            };
            self.seen.insert(Arc::clone(id), seen);
            self.given_up.remove(id);
        }
        if self.stream_ms - self.pruned_ms > CLOCKS_MS {
            self.pruned_ms = self.stream_ms;
            let since_ms = self.stream_ms;
            // What comes now is no longer held against a write that was over so long ago (`could_be`).
            self.seen
                .retain(|_, seen| seen.over_ms + 2 * CLOCKS_MS > since_ms);
        }
    }
}

fn of(write: &Intent, verdict: Verdict) -> Judged {
    Judged {
        verdict,
        seen: vec![Arc::clone(&write.id)],
        number: 0,
    }
}

/// Whether the write was under way when the change was committed, and does such a thing.
fn could_be(write: &Intent, change: &Change<'_>) -> bool {
    let created = write.outcome.and_then(|outcome| outcome.created);
    let does = match (change.changed.kind, write.operation) {
        (ChangeType::Create, Written::Insert) | (ChangeType::Update, Written::Update) => true,
        (ChangeType::Create, Written::Upsert) => created != Some(false),
        (ChangeType::Update, Written::Upsert) => created != Some(true),
        (ChangeType::Delete, Written::Delete) => true,
        _ => false,
    };
    let from = write.written_at_ms.saturating_sub(CLOCKS_MS);
    does && (from..=write.over_ms().saturating_add(CLOCKS_MS)).contains(&change.committed_ms)
}

/// Whether a new record carries the external id that the write names it by: then it is that record.
fn is_named(write: &Intent, change: &Change<'_>) -> bool {
    let Some(external) = write
        .external
        .as_ref()
        .filter(|_| change.changed.kind == ChangeType::Create)
    else {
        return false;
    };
    let sent = write
        .fields
        .iter()
        .any(|(name, hash)| *name == external.field && hash.is_some());
    // Every value that was sent is there, as `fit` has found.
    sent && change
        .changed
        .fields
        .iter()
        .any(|field| field.names.iter().any(|name| **name == *external.field))
}

/// How far the write explains the change, and by how many values.
fn fit(write: &Intent, change: &Change<'_>, hashes: &mut HashMap<Arc<str>, Hashes>) -> (Fit, usize) {
    let Change { changed, object, .. } = change;
    if changed.kind == ChangeType::Delete {
        return (Fit::Whole, 1);
    }
    let hashes = hashes
        .entry(Arc::clone(&write.salt))
        .or_insert_with(|| changed.hashes(&write.salt));
    let sent = |name: &str| {
        write
            .fields
            .iter()
            .find(|(known, _)| **known == *name)
            .map(|(_, hash)| *hash)
    };
    let mut equal = 0;
    if changed.kind == ChangeType::Create {
        for (name, value) in &write.fields {
            // A relationship, or a field that events do not have.
            let (Some(value), Some(there)) = (value, hashes.get(&**name)) else {
                continue;
            };
            if there.contains(value) {
                equal += 1;
            } else if !(is_null(write, name, *value) && changed.is_defaulted(name, object)) {
                return (Fit::No, equal);
            }
        }
    }
    let mut is_more = false;
    for field in &changed.fields {
        match field.names.iter().find_map(|name| Some((name, sent(name)?))) {
            None => is_more |= !changed.is_by_itself(field, object),
            Some((name, Some(value))) if changed.kind == ChangeType::Update => {
                if !hashes.get(name).is_some_and(|there| there.contains(&value)) {
                    return (Fit::No, equal);
                }
                equal += 1;
            }
            Some(_) => {}
        }
    }
    match is_more {
        false => (Fit::Whole, equal),
        // Nothing of it is the write's: another change of the record.
        true if equal == 0 => (Fit::No, 0),
        true => (Fit::OnTop, equal),
    }
}

fn is_null(write: &Intent, name: &str, value: u64) -> bool {
    sent_form(&serde_json::Value::Null).is_some_and(|form| hash(&write.salt, name, &form) == value)
}

#[cfg(test)]
mod tests;
