//! What a change event that does not tell its values becomes: passed on, read again, kept as a dead letter, or the
//! end of the run. Pure: a header and the policies in, a decision out.

use std::collections::BTreeMap;

use crate::config::{DiffPolicy, GapPolicy};
use crate::salesforce::event::{ChangeEventHeader, ChangeType};

/// What happens to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RereadDecision {
    Pass,
    /// Its records are read as they are now.
    Read,
    /// A person decides.
    Halt,
    /// It is stored with this reason.
    DeadLetter(&'static str),
}

/// Decides for one change event.
///
/// What names no record (an overflow, a wildcard) has nothing to read: it passes.
pub fn decide(header: &ChangeEventHeader, on_gap: GapPolicy, on_diff: DiffPolicy) -> RereadDecision {
    let change = header.change_type;
    let read = if header.record_ids.iter().any(|id| names_a_record(id)) {
        RereadDecision::Read
    } else {
        RereadDecision::Pass
    };
    if change.is_gap() {
        return match on_gap {
            GapPolicy::Pass => RereadDecision::Pass,
            GapPolicy::Halt => RereadDecision::Halt,
            GapPolicy::Refetch if change.is_overflow() => RereadDecision::Pass,
            GapPolicy::Refetch => read,
        };
    }
    match on_diff {
        _ if header.diff_fields.is_empty() => RereadDecision::Pass,
        DiffPolicy::Pass => RereadDecision::Pass,
        DiffPolicy::Refetch => read,
        DiffPolicy::DeadLetter => RereadDecision::DeadLetter(
            "a long text came as a diff against its former value (`diffFields`), and `on_diff` is dead_letter",
        ),
    }
}

/// Whether an id names one record: a wildcard (`001*`) and the overflow's zeros do not.
pub fn names_a_record(id: &str) -> bool {
    const OVERFLOW_ID: &str = "000000000000000AAA";
    matches!(id.len(), 15 | 18) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && id != OVERFLOW_ID
}

/// The header of a record that was read again. Its change type says what happened without `GAP_`; an UPDATE names
/// every field, because each has its value now; a row that is gone is a DELETE.
pub fn reread_header(header: &ChangeEventHeader, id: &str, fields: Option<ReadFields>) -> ChangeEventHeader {
    let mut read = header.clone();
    read.record_ids = vec![id.to_owned()];
    read.diff_fields.clear();
    let Some(fields) = fields else {
        read.change_type = ChangeType::Delete;
        read.changed_fields.clear();
        read.nulled_fields.clear();
        return read;
    };
    if header.change_type.is_gap() {
        read.change_type = match header.change_type {
            ChangeType::GapCreate => ChangeType::Create,
            ChangeType::GapUndelete => ChangeType::Undelete,
            _ => ChangeType::Update,
        };
        if read.change_type == ChangeType::Update {
            read.changed_fields = fields.all;
            read.nulled_fields = fields.null;
        }
    }
    read
}

/// The body's fields of a row.
#[derive(Debug, Clone, Default)]
pub struct ReadFields {
    pub all: Vec<std::sync::Arc<str>>,
    pub null: Vec<std::sync::Arc<str>>,
}

/// Records kept in mind at most: each is some fifty bytes of the stored position, which goes with every
/// transaction.
const REMEMBERED_MAX: usize = 100;
/// An event this much younger than a row ends the memory of it: commit times of neighbours differ by seconds.
const SLACK_MS: i64 = 3600 * 1000;

/// As of when records were read again, to recognise the change events that came before and are delivered after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadAsOf(BTreeMap<String, i64>);

impl ReadAsOf {
    pub fn new(stored: BTreeMap<String, i64>) -> Self {
        Self(stored)
    }

    /// A record was read, as of this time. Of too many, the one read longest ago is forgotten.
    pub fn read(&mut self, id: &str, as_of_ms: i64) {
        let known = self.0.entry(id.to_owned()).or_insert(as_of_ms);
        *known = as_of_ms.max(*known);
        if self.0.len() > REMEMBERED_MAX {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(_, as_of)| **as_of)
                .map(|(id, _)| id.clone());
            oldest.and_then(|id| self.0.remove(&id));
        }
    }

    /// Whether a change of this record, committed then, is contained in what was read.
    pub fn contains(&self, id: &str, committed_ms: i64) -> bool {
        self.0.get(id).is_some_and(|as_of| committed_ms <= *as_of)
    }

    /// An event of this time was delivered.
    pub fn passed(&mut self, event_time_ms: i64) {
        if !self.0.is_empty() {
            self.0
                .retain(|_, as_of| event_time_ms <= as_of.saturating_add(SLACK_MS));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, i64)> {
        self.0.iter().map(|(id, as_of)| (id, *as_of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change_type: ChangeType, diff: &[&str]) -> ChangeEventHeader {
        let mut header = ChangeEventHeader::default();
        header.change_type = change_type;
        header.record_ids = vec!["001000000000001AAA".to_owned(), "001000000000002AAA".to_owned()];
        header.diff_fields = diff.iter().map(|name| (*name).into()).collect();
        header.changed_fields = vec!["Description".into()];
        header
    }

    #[test]
    fn each_policy_answers_for_gaps_overflows_and_diffs() {
        use DiffPolicy::{DeadLetter, Pass, Refetch};
        let decide = |change, diff: &[&str], on_gap, on_diff| decide(&header(change, diff), on_gap, on_diff);
        let gap = |on_gap| decide(ChangeType::GapUpdate, &[], on_gap, Pass);
        assert_eq!(gap(GapPolicy::Pass), RereadDecision::Pass);
        assert_eq!(gap(GapPolicy::Refetch), RereadDecision::Read);
        assert_eq!(gap(GapPolicy::Halt), RereadDecision::Halt);
        let overflow = |on_gap| decide(ChangeType::GapOverflow, &[], on_gap, Pass);
        assert_eq!(
            overflow(GapPolicy::Refetch),
            RereadDecision::Pass,
            "no record is named"
        );
        assert_eq!(overflow(GapPolicy::Halt), RereadDecision::Halt);
        let diff = |on_diff| decide(ChangeType::Update, &["Description"], GapPolicy::Halt, on_diff);
        assert_eq!(diff(Pass), RereadDecision::Pass);
        assert_eq!(diff(Refetch), RereadDecision::Read);
        assert!(matches!(diff(DeadLetter), RereadDecision::DeadLetter(_)));
        assert_eq!(
            decide(ChangeType::Update, &[], GapPolicy::Halt, DeadLetter),
            RereadDecision::Pass
        );
    }

    #[test]
    fn an_event_that_names_no_record_is_passed_on_and_never_lost() {
        for ids in [&[][..], &["001*".to_owned()]] {
            let mut gap = header(ChangeType::GapUpdate, &[]);
            gap.record_ids = ids.to_vec();
            let decided = decide(&gap, GapPolicy::Refetch, DiffPolicy::Pass);
            assert_eq!(decided, RereadDecision::Pass, "{ids:?}");
            let mut diff = header(ChangeType::Update, &["Description"]);
            diff.record_ids = ids.to_vec();
            let decided = decide(&diff, GapPolicy::Pass, DiffPolicy::Refetch);
            assert_eq!(decided, RereadDecision::Pass, "{ids:?}");
        }
    }

    #[test]
    fn a_record_read_again_has_an_ordinary_header_of_its_own() {
        let fields = || {
            Some(ReadFields {
                all: vec!["Name".into(), "Phone".into()],
                null: vec!["Phone".into()],
            })
        };
        let update = reread_header(&header(ChangeType::GapUpdate, &[]), "b", fields());
        assert_eq!(
            (update.change_type, &update.record_ids[..]),
            (ChangeType::Update, &["b".to_owned()][..])
        );
        assert_eq!((update.changed_fields.len(), update.nulled_fields.len()), (2, 1));
        let gone = reread_header(&header(ChangeType::GapUpdate, &[]), "b", None);
        assert_eq!(gone.change_type, ChangeType::Delete);
        assert!(gone.changed_fields.is_empty());
        let diff = reread_header(&header(ChangeType::Update, &["Description"]), "a", fields());
        assert_eq!(diff.change_type, ChangeType::Update);
        assert_eq!(&*diff.changed_fields[0], "Description", "Salesforce's own");
        assert!(diff.diff_fields.is_empty());
    }

    #[test]
    fn older_changes_of_a_record_are_recognised_until_the_stream_is_past_it() {
        let mut read = ReadAsOf::default();
        read.read("a", 1_000);
        assert!(read.contains("a", 1_000) && !read.contains("a", 1_001) && !read.contains("b", 1));
        read.passed(1_000 + SLACK_MS);
        assert!(read.contains("a", 5));
        read.passed(1_001 + SLACK_MS);
        assert!(read.is_empty());
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_the_latest() {
        let mut read = ReadAsOf::default();
        for n in 0..300 {
            read.read(&format!("{n}"), n);
        }
        assert_eq!(read.iter().count(), REMEMBERED_MAX);
        assert!(read.contains("299", 0) && !read.contains("0", 0));
    }

    #[test]
    fn wildcards_and_the_overflows_id_name_no_record() {
        assert!(names_a_record("001000000000001AAA") && names_a_record("001000000000001"));
        assert!(
            !names_a_record("001*") && !names_a_record("000000000000000AAA") && !names_a_record("001' OR '")
        );
    }
}
