//! How long deliveries took, in counts of which two snapshots can be compared: the registry's histograms can only be
//! scraped.

use std::sync::atomic::{AtomicU64, Ordering};

/// Four buckets an octave: a quantile is at most a fifth too high.
const PER_OCTAVE: f64 = 4.0;
/// The first bucket's upper end.
const FIRST_SECONDS: f64 = 0.001;
/// From a millisecond to above 72 hours, which no event outlives.
const BUCKETS: usize = 113;

#[derive(Debug)]
pub struct Latencies([AtomicU64; BUCKETS]);

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyCounts([u64; BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Latencies {
    pub fn observe(&self, seconds: f64) {
        if let Some(bucket) = self.0.get(bucket(seconds)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts(std::array::from_fn(|at| {
            self.0.get(at).map_or(0, |bucket| bucket.load(Ordering::Relaxed))
        }))
    }
}

impl LatencyCounts {
    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(before);
        }
        Self(counts)
    }

    /// The upper end of the bucket that holds this share, in seconds; `None` of nothing. `share` is 0.0 to 1.0.
    pub fn quantile_seconds(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().sum();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among some millions, not negative"
        )]
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut sum = 0;
        let at = self.0.iter().position(|count| {
            sum += count;
            sum >= rank
        })?;
        Some(upper_end(at))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some dozens, not negative; what is no number counts as the first"
)]
fn bucket(seconds: f64) -> usize {
    let above = (seconds / FIRST_SECONDS).max(1.0).log2() * PER_OCTAVE;
    (above.ceil() as usize).min(BUCKETS - 1)
}

#[allow(clippy::cast_precision_loss, reason = "some dozens")]
fn upper_end(bucket: usize) -> f64 {
    FIRST_SECONDS * (bucket as f64 / PER_OCTAVE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_fifth_too_high() {
        let latencies = Latencies::default();
        for ms in 1..=1000 {
            latencies.observe(f64::from(ms) / 1000.0);
        }
        let counts = latencies.counts();
        for (share, exact) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let found = counts.quantile_seconds(share).unwrap();
            assert!(found >= exact && found < exact * 1.2, "{share}: {found}");
        }
    }

    #[test]
    fn two_snapshots_tell_what_came_between() {
        let latencies = Latencies::default();
        latencies.observe(100.0);
        let before = latencies.counts();
        assert_eq!(before.since(&before).quantile_seconds(0.5), None);
        latencies.observe(0.01);
        let found = latencies.counts().since(&before).quantile_seconds(0.99).unwrap();
        assert!((0.01..0.012).contains(&found), "{found}");
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_its_end() {
        let latencies = Latencies::default();
        for seconds in [-1.0, 0.0, f64::NAN] {
            latencies.observe(seconds);
        }
        assert_eq!(latencies.counts().quantile_seconds(1.0), Some(FIRST_SECONDS));
        latencies.observe(1e12);
        assert!(latencies.counts().quantile_seconds(1.0).unwrap() > 72.0 * 3600.0);
    }
}
