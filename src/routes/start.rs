//! Where a run begins: a pure decision from the stored position, the configuration and the org.

use bytes::Bytes;

use super::position::{Position, millis};
use super::reread::ReadAsOf;
use crate::config::{SalesforceSource, StartPolicy};

/// What the stored position says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartDecision {
    Resume(Resume),
    /// No position and `start: earliest`.
    FirstEarliest,
    /// No position and `start: latest`: Salesforce's present time is stored before the first Subscribe.
    FirstLatest,
    /// The position is of another org or topic: a lost position.
    Lost {
        why: String,
    },
}

/// How to go on from a stored position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// None: from the earliest event.
    pub replay_id: Option<Bytes>,
    pub after: Vec<String>,
    pub event_time_ms: Option<i64>,
    /// Events before it are filtered.
    pub since_ms: Option<i64>,
    /// Events up to it may have been delivered before.
    pub replayed_until_ms: Option<i64>,
    /// Records that were read again.
    pub read_as_of: ReadAsOf,
}

/// Decides where to begin. `org_id` is that of the session, 18 characters.
pub fn decide(stored: Option<&Position>, source: &SalesforceSource, org_id: &str) -> StartDecision {
    let Some(stored) = stored else {
        return match source.start {
            StartPolicy::Earliest => StartDecision::FirstEarliest,
            StartPolicy::Latest => StartDecision::FirstLatest,
        };
    };
    if stored.topic != source.topic {
        let why = format!(
            "the stored position is of {}, the route reads {}",
            stored.topic, source.topic
        );
        return StartDecision::Lost { why };
    }
    if stored.org_id != org_id {
        let why = format!(
            "the stored position is of org {}, the login is for org {org_id}",
            stored.org_id
        );
        return StartDecision::Lost { why };
    }
    StartDecision::Resume(Resume {
        replay_id: stored.replay_bytes(),
        after: stored.after.clone(),
        event_time_ms: stored.event_time.as_deref().and_then(millis),
        since_ms: stored.since.as_deref().and_then(millis),
        replayed_until_ms: stored.replayed_until.as_deref().and_then(millis),
        read_as_of: ReadAsOf::new(
            stored
                .read_as_of
                .iter()
                .filter_map(|(id, as_of)| Some((id.clone(), millis(as_of)?)))
                .collect(),
        ),
    })
}

/// An event this much older than `since` was never in Salesforce's retention of 72 hours: its time is not a
/// time (publishers write seconds for milliseconds), so it says nothing and the event counts.
const IMPLAUSIBLE_MS: i64 = 96 * 3600 * 1000;

/// Whether an event is too old for a first start with `latest`.
pub fn is_before(since_ms: Option<i64>, event_time_ms: Option<i64>) -> bool {
    match (since_ms, event_time_ms) {
        (Some(since), Some(time)) => time < since && time > since - IMPLAUSIBLE_MS,
        _ => false,
    }
}

/// Whether an event may have been delivered before its position was lost.
pub fn is_replayed(replayed_until_ms: Option<i64>, event_time_ms: Option<i64>) -> bool {
    match (replayed_until_ms, event_time_ms) {
        (Some(until), Some(time)) => time <= until,
        // Without a time nobody can tell, and a mark too many is harmless where one too few is not.
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DiffPolicy, GapPolicy, LostPositionPolicy};

    fn source(start: StartPolicy) -> SalesforceSource {
        SalesforceSource {
            topic: "/data/AccountChangeEvent".to_owned(),
            start,
            on_lost_position: LostPositionPolicy::Earliest,
            on_gap: GapPolicy::Pass,
            on_diff: DiffPolicy::Pass,
            skip_own_writes: false,
        }
    }

    fn stored() -> Position {
        Position {
            replay_id: Some("00ff".to_owned()),
            after: vec!["e".to_owned()],
            topic: "/data/AccountChangeEvent".to_owned(),
            org_id: "00D000000000001EAA".to_owned(),
            ..Position::default()
        }
    }

    #[test]
    fn the_start_policy_is_asked_only_without_a_position() {
        assert_eq!(
            decide(None, &source(StartPolicy::Latest), "o"),
            StartDecision::FirstLatest
        );
        assert_eq!(
            decide(None, &source(StartPolicy::Earliest), "o"),
            StartDecision::FirstEarliest
        );
        let resume = decide(
            Some(&stored()),
            &source(StartPolicy::Latest),
            "00D000000000001EAA",
        );
        let StartDecision::Resume(resume) = resume else {
            panic!("{resume:?}")
        };
        assert_eq!(resume.replay_id.as_deref(), Some(&[0x00, 0xff][..]));
        assert_eq!(resume.after, ["e"]);
    }

    #[test]
    fn another_org_or_topic_is_a_lost_position_that_names_both() {
        let other_org = decide(
            Some(&stored()),
            &source(StartPolicy::Latest),
            "00D000000000002EAA",
        );
        let StartDecision::Lost { why } = other_org else {
            panic!("{other_org:?}")
        };
        assert!(
            why.contains("00D000000000001EAA") && why.contains("00D000000000002EAA"),
            "{why}"
        );
        let other_topic = Position {
            topic: "/event/X__e".to_owned(),
            ..stored()
        };
        let decision = decide(
            Some(&other_topic),
            &source(StartPolicy::Latest),
            "00D000000000001EAA",
        );
        assert!(matches!(decision, StartDecision::Lost { .. }));
    }

    #[test]
    fn older_events_do_not_count_but_nonsense_times_do() {
        let now = 1_790_000_000_000;
        assert!(is_before(Some(now), Some(now - 1)));
        assert!(!is_before(Some(now), Some(now)));
        assert!(
            !is_before(Some(now), Some(now / 1000)),
            "seconds for milliseconds"
        );
        assert!(!is_before(Some(now), None));
        assert!(!is_before(None, Some(0)));
    }

    #[test]
    fn what_is_not_after_the_last_delivered_event_is_marked() {
        assert!(is_replayed(Some(10), Some(10)));
        assert!(!is_replayed(Some(10), Some(11)));
        assert!(!is_replayed(None, Some(1)));
    }
}
