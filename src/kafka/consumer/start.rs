//! Where a partition begins, as a pure decision: what the group committed, what the topic still holds, and what is
//! noted about the route ([`Note`]) in the positions topic.
//!
//! Kafka forgets the offsets of a group that nobody uses for a while (`offsets.retention.minutes`), and the same
//! silence says that a group never was. The note tells them apart, and what a partition that appeared later is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{LostPositionPolicy, StartPolicy};

/// Records that the group was to read and that the topic no longer holds, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOffsets {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The first one lost; None when nobody knows how far the group was.
    pub from_offset: Option<i64>,
    /// The first one that is read again (under `halt`: the first one that could be).
    pub to_offset: i64,
    pub reason: LossReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// The topic's retention, or somebody, deleted records before they were read.
    Deleted,
    /// The topic ends before the group's offset: it was deleted and made anew, or lost its tail.
    BeyondEnd,
    /// Kafka no longer has the group's offsets.
    Expired,
}

impl LossReason {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Deleted => "records were deleted before they were read",
            Self::BeyondEnd => "the topic ends before the group's offset: it was made anew or lost its tail",
            Self::Expired => "Kafka no longer has the group's offsets",
        }
    }
}

/// What is noted about a route's group: JSON in the positions topic, under the route's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Note {
    pub(super) group: String,
    pub(super) topics: BTreeMap<String, NotedTopic>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct NotedTopic {
    /// Partitions whose offsets the group has committed.
    #[serde(default)]
    pub(super) begun: BTreeSet<i32>,
    /// The others that were there when the group began, with the offset that `start` meant then.
    #[serde(default)]
    pub(super) start: BTreeMap<i32, i64>,
}

/// How far a partition has come, as far as notes and offsets tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Committed(i64),
    /// The group never was.
    New,
    /// The group was there before the partition.
    Later,
    /// The group began with it, at this offset, and has not come to it.
    Unbegun(i64),
    Expired,
}

/// `group_has_offsets`: whether the group has any offset of any partition of its topics.
pub(super) fn standing(
    committed: Option<i64>,
    note: Option<&Note>,
    group_has_offsets: bool,
    topic: &str,
    partition: i32,
) -> Standing {
    if let Some(committed) = committed {
        return Standing::Committed(committed);
    }
    let Some(note) = note else {
        return Standing::New;
    };
    let noted = note.topics.get(topic);
    let begun = noted.is_some_and(|noted| noted.begun.contains(&partition));
    match noted.and_then(|noted| noted.start.get(&partition)) {
        _ if begun => Standing::Expired,
        None => Standing::Later,
        // A note is written after the first commit.
        Some(_) if !group_has_offsets => Standing::Expired,
        Some(start) => Standing::Unbegun(*start),
    }
}

/// The first and the next offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// What is done about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Start(i64),
    Lost {
        from: Option<i64>,
        to: i64,
        reason: LossReason,
    },
    Halt {
        from: Option<i64>,
        to: i64,
        reason: LossReason,
    },
}

pub(super) fn decide(
    standing: Standing,
    held: Held,
    start: StartPolicy,
    on_lost: LostPositionPolicy,
) -> Decision {
    let lost = |from, reason| match on_lost {
        LostPositionPolicy::Earliest => Decision::Lost {
            from,
            to: held.low,
            reason,
        },
        LostPositionPolicy::Latest => Decision::Lost {
            from,
            to: held.high,
            reason,
        },
        LostPositionPolicy::Halt => Decision::Halt {
            from,
            to: held.low,
            reason,
        },
    };
    match standing {
        Standing::New => Decision::Start(start_offset(start, held)),
        Standing::Later => Decision::Start(held.low),
        Standing::Expired => lost(None, LossReason::Expired),
        Standing::Committed(offset) | Standing::Unbegun(offset) if offset < held.low => {
            lost(Some(offset), LossReason::Deleted)
        }
        Standing::Committed(offset) | Standing::Unbegun(offset) if offset > held.high => {
            lost(Some(offset), LossReason::BeyondEnd)
        }
        Standing::Committed(offset) | Standing::Unbegun(offset) => Decision::Start(offset),
    }
}

/// Where a partition begins that a new group finds.
pub(super) const fn start_offset(start: StartPolicy, held: Held) -> i64 {
    match start {
        StartPolicy::Earliest => held.low,
        StartPolicy::Latest => held.high,
    }
}

impl Note {
    /// The note as it should be now: every partition with an offset has begun, and at the group's first note the
    /// others are to begin at `start_of`.
    pub(super) fn renewed(
        old: Option<&Self>,
        group: &str,
        committed: &BTreeMap<(Arc<str>, i32), Option<i64>>,
        start_of: impl Fn(&str, i32) -> Option<i64>,
    ) -> Self {
        let mut note = old.cloned().unwrap_or_default();
        group.clone_into(&mut note.group);
        for ((topic, partition), offset) in committed {
            let noted = note.topics.entry(topic.to_string()).or_default();
            if offset.is_some() {
                noted.begun.insert(*partition);
                noted.start.remove(partition);
            } else if old.is_none()
                && let Some(start) = start_of(topic, *partition)
            {
                noted.start.insert(*partition, start);
            }
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Held = Held { low: 10, high: 100 };
    use LostPositionPolicy as OnLost;

    fn noted(begun: &[i32], start: &[(i32, i64)]) -> Note {
        let topic = NotedTopic {
            begun: begun.iter().copied().collect(),
            start: start.iter().copied().collect(),
        };
        Note {
            group: "g".to_owned(),
            topics: BTreeMap::from([("t".to_owned(), topic)]),
        }
    }

    #[test]
    fn start_counts_for_a_new_group_only() {
        let new = standing(None, None, false, "t", 0);
        assert_eq!(new, Standing::New);
        let start = |policy| decide(new, HELD, policy, OnLost::Halt);
        assert_eq!(start(StartPolicy::Earliest), Decision::Start(10));
        assert_eq!(start(StartPolicy::Latest), Decision::Start(100));
        let later = standing(None, Some(&noted(&[0], &[])), true, "t", 3);
        assert_eq!(
            decide(later, HELD, StartPolicy::Latest, OnLost::Latest),
            Decision::Start(10),
            "a partition that appeared later begins at its first record"
        );
    }

    #[test]
    fn a_partition_that_the_group_began_with_begins_where_the_group_did() {
        let note = noted(&[0], &[(1, 40), (2, 5)]);
        let decided = |partition| {
            let standing = standing(None, Some(&note), true, "t", partition);
            decide(standing, HELD, StartPolicy::Latest, OnLost::Earliest)
        };
        assert_eq!(decided(1), Decision::Start(40));
        assert_eq!(
            decided(2),
            Decision::Lost {
                from: Some(5),
                to: 10,
                reason: LossReason::Deleted
            }
        );
    }

    #[test]
    fn offsets_that_kafka_forgot_are_lost_and_not_a_new_group() {
        let note = noted(&[0], &[(1, 40)]);
        for partition in [0, 1] {
            assert_eq!(
                standing(None, Some(&note), false, "t", partition),
                Standing::Expired
            );
        }
        // Another member was faster and has committed where it goes on.
        assert_eq!(standing(None, Some(&note), true, "t", 0), Standing::Expired);
        let decided = |policy| decide(Standing::Expired, HELD, StartPolicy::Latest, policy);
        let (from, reason) = (None, LossReason::Expired);
        assert_eq!(decided(OnLost::Earliest), Decision::Lost { from, to: 10, reason });
        assert_eq!(
            decided(OnLost::Latest),
            Decision::Lost {
                from,
                to: 100,
                reason
            }
        );
        assert_eq!(decided(OnLost::Halt), Decision::Halt { from, to: 10, reason });
    }

    #[test]
    fn an_offset_that_the_topic_does_not_hold_is_lost_and_one_at_its_edge_is_not() {
        let decided = |offset| {
            let standing = standing(Some(offset), None, true, "t", 0);
            decide(standing, HELD, StartPolicy::Latest, OnLost::Earliest)
        };
        let lost = |from, reason| Decision::Lost {
            from: Some(from),
            to: 10,
            reason,
        };
        assert_eq!(decided(9), lost(9, LossReason::Deleted));
        assert_eq!(decided(10), Decision::Start(10));
        assert_eq!(decided(100), Decision::Start(100));
        assert_eq!(decided(101), lost(101, LossReason::BeyondEnd));
    }

    #[test]
    fn the_first_note_fixes_the_start_of_what_nobody_has_begun_and_later_ones_add_none() {
        let topic: Arc<str> = "t".into();
        let committed =
            |offsets: &[Option<i64>]| (0..).map(|p| (topic.clone(), p)).zip(offsets.to_vec()).collect();
        let first = Note::renewed(None, "g", &committed(&[Some(4), None]), |_, _| Some(7));
        assert_eq!(first, noted(&[0], &[(1, 7)]));
        let second = Note::renewed(Some(&first), "g", &committed(&[None, Some(8), None]), |_, _| {
            Some(9)
        });
        assert_eq!(second, noted(&[0, 1], &[]), "what has begun stays so");
    }

    #[test]
    fn a_note_reads_back_as_it_was_written() {
        let note = noted(&[0, 3], &[(1, 7)]);
        let text = serde_json::to_string(&note).expect("JSON");
        assert_eq!(serde_json::from_str::<Note>(&text).expect("a note"), note);
        assert_eq!(
            text,
            r#"{"group":"g","topics":{"t":{"begun":[0,3],"start":{"1":7}}}}"#
        );
    }
}
