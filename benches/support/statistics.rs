//! Medians and percentiles.

/// The value below which this share of all lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among few values"
    )]
    let place = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[place]
}

pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Events a second.
pub fn rate(events: u64, took: std::time::Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let events = events as f64;
    events / took.as_secs_f64()
}

/// Microseconds an event.
pub fn micros_each(events: u64, took: std::time::Duration) -> f64 {
    1e6 / rate(events, took)
}
