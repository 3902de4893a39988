//! When something will be used up, if it goes on as it did. Pure: samples of what is left in, a moment out.
//!
//! The pace is the mean over the window, with its two fastest steps taken for no faster than the third. So one burst,
//! which may fall into two steps, tells nothing of what is to come, and one every hour does. (The median of steps, or
//! of the slopes between all pairs, would be blind to bursts that return, or sway with the place of one in the window.)
//! What that leaves out makes the pace a little too low, never too high.

use std::collections::VecDeque;
use std::time::Duration;

/// Fewer steps say nothing: the two fastest of them are not believed.
const STEPS_MIN: usize = 6;
/// A shorter row says nothing of hours.
const SPAN_MIN: Duration = Duration::from_secs(25 * 60);
/// After so many times the time between two samples the last one is no news.
const STALE_AFTER: i64 = 4;

/// What is watched, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrendPolicy {
    /// Samples that come sooner are passed over.
    pub every: Duration,
    /// How far back the pace is looked at.
    pub window: Duration,
    /// What lasts longer than this is not said to end.
    pub horizon: Duration,
}

/// When it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Epoch milliseconds; never in the past.
    pub exhausted_at_ms: i64,
    /// Of what is left, in its own unit.
    pub pace_per_second: f64,
    /// How long a row of samples tells it.
    pub observed: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: i64,
    left: f64,
}

/// Samples of what is left of one thing; at most `window / every + 1` of them.
#[derive(Debug)]
pub struct Trend {
    policy: TrendPolicy,
    /// The oldest first.
    samples: VecDeque<Sample>,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Trend {
    pub fn new(policy: TrendPolicy) -> Self {
        Self {
            policy,
            samples: VecDeque::new(),
        }
    }

    /// So much was left at this moment. Where it is more than `rise` above the last sample it was filled up again: what
    /// was before tells nothing of what follows.
    pub fn add(&mut self, at_ms: i64, left: f64, rise: f64) {
        if let Some(last) = self.samples.back() {
            let since_ms = at_ms.saturating_sub(last.at_ms);
            if since_ms < 0 || left > last.left + rise {
                self.samples.clear();
            } else if since_ms < millis(self.policy.every) {
                return;
            }
        }
        let oldest_ms = at_ms.saturating_sub(millis(self.policy.window));
        while self.samples.front().is_some_and(|first| first.at_ms < oldest_ms) {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at_ms, left });
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        self.samples.clear();
    }

    /// When it will be used up; `None` where too little is known, where it does not become less, and where it lasts
    /// longer than the horizon.
    pub fn estimate(&self, now_ms: i64) -> Option<Estimate> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let span_ms = last.at_ms - first.at_ms;
        let is_stale = now_ms - last.at_ms > millis(self.policy.every).saturating_mul(STALE_AFTER);
        if self.samples.len() <= STEPS_MIN || span_ms < millis(SPAN_MIN) || is_stale {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of hours")]
        let seconds = |millis: i64| millis as f64 / 1000.0;
        let steps = self.samples.iter().zip(self.samples.iter().skip(1));
        let steps: Vec<(f64, f64)> = steps
            .map(|(one, next)| {
                let elapsed = seconds(next.at_ms - one.at_ms);
                ((one.left - next.left) / elapsed, elapsed)
            })
            .collect();
        let mut paces: Vec<f64> = steps.iter().map(|(pace, _)| *pace).collect();
        paces.sort_unstable_by(|one, other| other.total_cmp(one));
        let believed = *paces.get(2)?;
        let used: f64 = steps
            .iter()
            .map(|(pace, elapsed)| pace.min(believed) * elapsed)
            .sum();
        let pace = used / seconds(span_ms);
        if !pace.is_finite() || pace <= 0.0 {
            return None;
        }
        let lasts = last.left.max(0.0) / pace;
        if lasts > self.policy.horizon.as_secs_f64() {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "within the horizon")]
        let lasts_ms = (lasts * 1000.0).round() as i64;
        Some(Estimate {
            exhausted_at_ms: last.at_ms.saturating_add(lasts_ms).max(now_ms),
            pace_per_second: pace,
            observed: Duration::from_millis(span_ms.unsigned_abs()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const STEP_MS: i64 = 5 * MINUTE_MS;
    const POLICY: TrendPolicy = TrendPolicy {
        every: Duration::from_secs(300),
        window: Duration::from_secs(3 * 3600),
        horizon: Duration::from_secs(24 * 3600),
    };
    const MAX: f64 = 1_000_000.0;
    /// One part in a hundred.
    const RISE: f64 = MAX / 100.0;

    /// What is left after each of these uses, a step apart.
    fn used(uses: &[f64]) -> (Trend, i64) {
        let (mut trend, mut at_ms, mut left) = (Trend::new(POLICY), 0, MAX);
        trend.add(at_ms, left, RISE);
        for step in uses {
            at_ms += STEP_MS;
            left -= step;
            trend.add(at_ms, left, RISE);
        }
        (trend, at_ms)
    }

    fn pace(uses: &[f64]) -> Option<f64> {
        let (trend, now_ms) = used(uses);
        trend.estimate(now_ms).map(|found| found.pace_per_second)
    }

    #[test]
    fn a_steady_use_tells_when_it_ends() {
        // 10,000 in five minutes: a million lasts 500 minutes, of which 60 are over.
        let (trend, now_ms) = used(&[10_000.0; 12]);
        let found = trend.estimate(now_ms).unwrap();
        assert_eq!(found.exhausted_at_ms, 500 * MINUTE_MS);
        assert!((found.pace_per_second - 10_000.0 / 300.0).abs() < 1e-9);
        assert_eq!(found.observed, Duration::from_secs(3600));
    }

    #[test]
    fn nothing_is_said_on_too_little() {
        assert_eq!(pace(&[10_000.0; 5]), None, "too few");
        assert!(pace(&[10_000.0; 6]).is_some());
        let mut short = Trend::new(TrendPolicy {
            every: Duration::from_secs(60),
            ..POLICY
        });
        for minute in 0..25_u32 {
            short.add(
                i64::from(minute) * MINUTE_MS,
                MAX - 10_000.0 * f64::from(minute),
                RISE,
            );
            assert_eq!(short.estimate(i64::from(minute) * MINUTE_MS), None, "too short");
        }
        short.add(25 * MINUTE_MS, MAX - 250_000.0, RISE);
        assert!(short.estimate(25 * MINUTE_MS).is_some());
    }

    #[test]
    fn nothing_is_said_of_what_stays_grows_or_lasts() {
        assert_eq!(pace(&[0.0; 12]), None);
        assert_eq!(pace(&[-100.0; 12]), None);
        // 24 hours and a little.
        assert_eq!(pace(&[3_300.0; 12]), None);
        assert!(pace(&[3_600.0; 12]).is_some());
    }

    #[test]
    fn nothing_is_said_of_old_samples() {
        let (trend, now_ms) = used(&[10_000.0; 12]);
        assert!(trend.estimate(now_ms + 4 * STEP_MS).is_some());
        assert_eq!(trend.estimate(now_ms + 4 * STEP_MS + 1), None);
    }

    #[test]
    fn what_was_filled_up_begins_anew() {
        let (mut trend, mut now_ms) = used(&[50_000.0; 12]);
        now_ms += STEP_MS;
        trend.add(now_ms, MAX, RISE);
        assert_eq!(trend.estimate(now_ms), None);
        for step in 1..=6 {
            now_ms += STEP_MS;
            trend.add(now_ms, MAX - 10_000.0 * f64::from(step), RISE);
        }
        let found = trend.estimate(now_ms).unwrap();
        assert!(
            (found.pace_per_second - 10_000.0 / 300.0).abs() < 1e-9,
            "nothing of before: {found:?}"
        );
    }

    #[test]
    fn a_little_more_left_is_no_new_beginning() {
        // A rolling day gives back what was used a day ago.
        let uses: Vec<f64> = (0..12)
            .map(|n| if n % 3 == 0 { -1_000.0 } else { 20_000.0 })
            .collect();
        let found = pace(&uses).unwrap();
        assert!((found - 13_000.0 / 300.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn what_is_used_up_ends_now() {
        let (trend, now_ms) = used(&[100_000.0; 12]);
        assert_eq!(trend.estimate(now_ms + 1).unwrap().exhausted_at_ms, now_ms + 1);
    }

    #[test]
    fn a_burst_that_returns_counts() {
        // Every hour 60,000, and nothing in between.
        let uses: Vec<f64> = (0..36)
            .map(|n| if n % 12 == 5 { 60_000.0 } else { 0.0 })
            .collect();
        let found = pace(&uses).unwrap();
        assert!((found - 180_000.0 / (36.0 * 300.0)).abs() < 1e-9, "{found}");
    }

    proptest! {
        #[test]
        fn one_burst_tells_nothing_of_what_is_to_come(
            steps in 6_usize..36, at in 0_usize..36, height in 0.0..900_000.0, part in 0.0..=1.0_f64
        ) {
            let steady = 4_000.0;
            let mut uses = vec![steady; steps];
            let at = at % (steps - 1);
            uses[at] += height * part;
            uses[at + 1] += height * (1.0 - part);
            let found = pace(&uses);
            // The burst makes less be left, which may bring the end within the horizon; never another pace.
            if let Some(found) = found {
                prop_assert!((found - steady / 300.0).abs() < 1e-6, "{}", found);
            }
        }

        #[test]
        fn the_pace_is_never_faster_than_what_was_used(uses in prop::collection::vec(-9_000.0..30_000.0, 6..36)) {
            let mean = uses.iter().sum::<f64>() / uses.len() as f64 / 300.0;
            if let Some(found) = pace(&uses) {
                prop_assert!(found > 0.0 && found <= mean + 1e-9, "{} of {}", found, mean);
            }
        }

        #[test]
        fn however_many_come_the_samples_are_bounded(
            samples in prop::collection::vec((0_i64..1_000_000, 0.0..MAX), 0..500)
        ) {
            let (mut trend, mut at_ms) = (Trend::new(POLICY), 0);
            for (pause_ms, left) in samples {
                at_ms += pause_ms;
                trend.add(at_ms, left, MAX);
                prop_assert!(trend.samples.len() <= 37);
                if let Some(found) = trend.estimate(at_ms) {
                    prop_assert!(found.exhausted_at_ms >= at_ms);
                    prop_assert!(found.exhausted_at_ms <= at_ms + millis(POLICY.horizon));
                }
            }
        }
    }
}
