//! The last error of a route, explained: its causes, since when, what was tried, what happens next. Pure.

use serde::Serialize;

use super::position::millis;
use super::state::{RouteState, StateName};
use crate::error::FailureView;
use crate::runtime::clock;
use crate::runtime::retry::Tried;

/// A failure for as long as the route fails with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    failure: FailureView,
    tried: Tried,
    since_ms: i64,
    latest_ms: i64,
}

/// What `/api/routes/{name}` says of it. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TroubleView {
    /// The message and its causes on one line.
    pub text: String,
    /// As in metrics and dead letters.
    pub kind: &'static str,
    /// What each cause says, the nearest first.
    pub causes: Vec<String>,
    /// RFC 3339: when it began.
    pub since: String,
    /// RFC 3339: when it came last.
    pub latest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// `tried 5 times: 4 retries with back-off, one token refresh`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<String>,
    /// The route is well again.
    pub is_over: bool,
    /// What happens if nobody does anything.
    pub next: String,
    /// RFC 3339: when that happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
}

impl Trouble {
    /// The failure `before` goes on if this one says the same, whatever its causes say: they may have a number that
    /// differs each time. Otherwise another one begins.
    pub fn after(before: Option<Self>, failure: FailureView, tried: Tried, now_ms: i64) -> Self {
        let same =
            |before: &Self| before.failure.kind == failure.kind && before.failure.message == failure.message;
        let since_ms = before.filter(same).map_or(now_ms, |before| before.since_ms);
        Self {
            failure,
            tried,
            since_ms,
            latest_ms: now_ms,
        }
    }

    pub fn text(&self) -> String {
        self.failure.text()
    }

    pub const fn since_ms(&self) -> i64 {
        self.since_ms
    }

    pub fn view(&self, state: &RouteState, now_ms: i64) -> TroubleView {
        let until = (state.name == StateName::Waiting).then_some(state.until.as_deref());
        let next_at_ms = until.flatten().and_then(millis);
        let tries = Some(self.tried.times).filter(|times| *times > 0);
        TroubleView {
            text: self.text(),
            kind: self.failure.kind.name(),
            causes: self.failure.causes.clone(),
            since: clock::rfc3339_ms(self.since_ms),
            latest: clock::rfc3339_ms(self.latest_ms),
            tries,
            tried: tries.map(|_| self.tried.to_string()),
            is_over: matches!(state.name, StateName::Streaming | StateName::Idle),
            next: next(state, next_at_ms, now_ms),
            next_at: next_at_ms.map(clock::rfc3339_ms),
        }
    }
}

/// A longer wait is told by the clock.
const MINUTE_MS: i64 = 60_000;

fn next(state: &RouteState, next_at_ms: Option<i64>, now_ms: i64) -> String {
    match (state.name, next_at_ms) {
        (StateName::Waiting, Some(at_ms)) if at_ms <= now_ms => "it is trying again".to_owned(),
        (StateName::Waiting, Some(at_ms)) if at_ms - now_ms <= MINUTE_MS => {
            // Rounded up: "in 0 s" would be now.
            format!("next try in {} s", (at_ms - now_ms + 999) / 1000)
        }
        (StateName::Waiting, Some(at_ms)) => {
            format!("waits until {}, then tries again", clock::rfc3339_ms(at_ms))
        }
        (StateName::Waiting, None) => "it goes on by itself as soon as it can".to_owned(),
        (StateName::Halted, _) => match &state.remedy {
            Some(remedy) => format!("halted: nothing more until a person acts: {remedy}"),
            None => "halted: nothing more until a person acts".to_owned(),
        },
        (StateName::Paused, _) => "paused: nothing until somebody resumes it".to_owned(),
        (StateName::Starting, _) => "it is starting again".to_owned(),
        (StateName::Draining, _) => "it finishes what is in hand, then stops".to_owned(),
        (StateName::Streaming | StateName::Idle, _) => {
            format!("it is over: the route is well since {}", state.since)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Failure};

    fn failure(message: &str, cause: &str) -> FailureView {
        let cause = Failure::new(ErrorKind::Transient, cause);
        (&Failure::new(ErrorKind::Transient, message).caused_by(cause)).into()
    }

    fn state(name: StateName, remedy: Option<&str>, until_ms: Option<i64>) -> RouteState {
        RouteState {
            name,
            since: "1970-01-01T00:00:00.000Z".to_owned(),
            why: None,
            remedy: remedy.map(str::to_owned),
            until: until_ms.map(clock::rfc3339_ms),
        }
    }

    fn trouble() -> Trouble {
        let tried = Tried { times: 5, logins: 1 };
        Trouble::after(None, failure("the call failed", "reset"), tried, 1_000)
    }

    #[test]
    fn a_failure_goes_on_while_it_says_the_same_whatever_its_causes_say() {
        let tried = Tried { times: 6, logins: 1 };
        let again = failure("the call failed", "rpc id 4711");
        let same = Trouble::after(Some(trouble()), again, tried, 5_000);
        assert_eq!((same.since_ms(), same.latest_ms), (1_000, 5_000));
        assert_eq!(same.text(), "the call failed: rpc id 4711");
        let other = Trouble::after(Some(same), failure("another", "reset"), tried, 9_000);
        assert_eq!(other.since_ms(), 9_000);
    }

    #[test]
    fn a_wait_tells_what_was_tried_and_when_the_next_try_is() {
        let view = trouble().view(&state(StateName::Waiting, None, Some(13_001)), 1_500);
        assert_eq!(view.kind, "transient");
        assert_eq!(view.causes, ["reset"]);
        assert_eq!(view.since, "1970-01-01T00:00:01.000Z");
        assert_eq!(view.tries, Some(5));
        assert_eq!(
            view.tried.as_deref(),
            Some("tried 5 times: 4 retries with back-off, one token refresh")
        );
        assert_eq!(view.next, "next try in 12 s");
        assert_eq!(view.next_at.as_deref(), Some("1970-01-01T00:00:13.001Z"));
        assert!(!view.is_over);
        let long = trouble().view(&state(StateName::Waiting, None, Some(300_000)), 1_500);
        assert_eq!(
            long.next,
            "waits until 1970-01-01T00:05:00.000Z, then tries again"
        );
        let due = trouble().view(&state(StateName::Waiting, None, Some(1_000)), 1_500);
        assert_eq!(due.next, "it is trying again");
    }

    #[test]
    fn a_halt_says_that_a_person_must_act_and_how() {
        let halted = state(StateName::Halted, Some("grant it, then resume"), None);
        let view = trouble().view(&halted, 2_000);
        assert_eq!(
            view.next,
            "halted: nothing more until a person acts: grant it, then resume"
        );
        assert_eq!(view.next_at, None);
    }

    #[test]
    fn what_is_over_says_so_and_what_nobody_counted_is_left_out() {
        let unknown = Trouble::after(None, failure("away", "reset"), Tried::default(), 1_000);
        let view = unknown.view(&state(StateName::Idle, None, None), 2_000);
        assert!(view.is_over && view.next.starts_with("it is over"), "{view:?}");
        let json = serde_json::to_value(&view).unwrap();
        for left_out in ["tries", "tried", "next_at"] {
            assert!(json.get(left_out).is_none(), "{json}");
        }
    }
}
