//! When the org's daily allocations and Salesforce's retention will be used up at this pace: on the status page, in
//! `/api/routes`, and as gauges that are absent while nothing can be said.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use serde::Serialize;

use crate::routes::state::{RETENTION_SECONDS, RouteStatus};
use crate::runtime::clock;
use crate::salesforce::rest::{DAILY_DELIVERED, DAILY_REQUESTS, POLL_EVERY};
use crate::telemetry::metrics::{FloatGauge, LimitView, Metrics, NoLabels, RouteLabel};
use crate::telemetry::trend::{Estimate, Trend, TrendPolicy};

/// Three hours of the limits' polls. They are of a rolling day, which gives back what was used a day ago: what lasts
/// for a day lasts. Sooner samples come with the answers of REST; a poll that is a little early counts.
const OF_LIMITS: TrendPolicy = TrendPolicy {
    every: Duration::from_secs(POLL_EVERY.as_secs() - 30),
    window: Duration::from_secs(3 * 3600),
    horizon: Duration::from_secs(24 * 3600),
};
/// An hour: a route that stands still loses exactly a second each second. Between two keep-alives, 270 s apart, a route
/// that is well seems to fall behind; that never comes near this horizon.
const OF_RETENTION: TrendPolicy = TrendPolicy {
    every: Duration::from_secs(60),
    window: Duration::from_secs(3600),
    horizon: Duration::from_secs(7 * 24 * 3600),
};
/// A limit that has this share of it more left was given back; less is a rolling day's ordinary work.
const LIMIT_RISE: f64 = 0.01;
/// A position that became this much younger, in seconds, caught up; less is a keep-alive.
const POSITION_RISE: f64 = 600.0;

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TrendOf {
    DeliveryAllocation,
    ApiRequests,
    Retention,
}

/// Something that ends at this pace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TrendView {
    pub(super) what: TrendOf,
    /// RFC 3339.
    exhausted_at: String,
    exhausted_in_seconds: f64,
    /// Events, requests, or seconds that the position falls behind.
    pace_per_hour: f64,
    /// How long it was looked at.
    observed_seconds: u64,
}

impl TrendView {
    fn new(what: TrendOf, found: Estimate, now_ms: i64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of days")]
        let left = (found.exhausted_at_ms - now_ms).max(0) as f64 / 1000.0;
        Self {
            what,
            exhausted_at: clock::rfc3339_ms(found.exhausted_at_ms),
            exhausted_in_seconds: left,
            pace_per_hour: found.pace_per_second * 3600.0,
            observed_seconds: found.observed.as_secs(),
        }
    }
}

/// One of the org's limits.
#[derive(Debug)]
struct OfLimit {
    what: TrendOf,
    name: &'static str,
    trend: Mutex<Trend>,
}

/// Of the org and of each route, in their order: some 37 samples a limit, 61 a route.
#[derive(Debug)]
pub(super) struct Trends {
    limits: [OfLimit; 2],
    routes: Box<[Mutex<Trend>]>,
}

impl Trends {
    pub(super) fn new(routes: usize) -> Self {
        let limit = |what, name| OfLimit {
            what,
            name,
            trend: Mutex::new(Trend::new(OF_LIMITS)),
        };
        Self {
            limits: [
                limit(TrendOf::DeliveryAllocation, DAILY_DELIVERED),
                limit(TrendOf::ApiRequests, DAILY_REQUESTS),
            ],
            routes: (0..routes)
                .map(|_| Mutex::new(Trend::new(OF_RETENTION)))
                .collect(),
        }
    }

    /// Takes what is known now.
    pub(super) fn look(&self, routes: &[Arc<RouteStatus>], limits: &[LimitView], now_ms: i64) {
        for of in &self.limits {
            if let Some(limit) = limits.iter().find(|limit| limit.name == of.name) {
                #[allow(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
                let (left, max) = (limit.remaining as f64, limit.max as f64);
                of.trend.lock().add(limit.seen_ms, left, max * LIMIT_RISE);
            }
        }
        for (trend, route) in self.routes.iter().zip(routes) {
            let mut trend = trend.lock();
            match route.position_age_seconds(now_ms) {
                Some(age) => trend.add(now_ms, RETENTION_SECONDS - age, POSITION_RISE),
                None => trend.forget(),
            }
        }
    }

    /// Of the org, what ends first at the front.
    pub(super) fn org(&self, now_ms: i64) -> Vec<TrendView> {
        let found = self.limits.iter().filter_map(|of| {
            let found = of.trend.lock().estimate(now_ms)?;
            Some(TrendView::new(of.what, found, now_ms))
        });
        let mut found: Vec<TrendView> = found.collect();
        found.sort_by(|one, other| one.exhausted_in_seconds.total_cmp(&other.exhausted_in_seconds));
        found
    }

    /// Of a route by its place.
    pub(super) fn route(&self, at: usize, now_ms: i64) -> Option<TrendView> {
        let found = self.routes.get(at)?.lock().estimate(now_ms)?;
        Some(TrendView::new(TrendOf::Retention, found, now_ms))
    }

    /// Brings the gauges up to date; one that nothing can be said of is taken away.
    pub(super) fn show(&self, routes: &[Arc<RouteStatus>], metrics: &Metrics, now_ms: i64) {
        let org = self.org(now_ms);
        for (what, family) in [
            (
                TrendOf::DeliveryAllocation,
                &metrics.delivery_allocation_exhausted_seconds,
            ),
            (TrendOf::ApiRequests, &metrics.api_requests_exhausted_seconds),
        ] {
            tell(family, &NoLabels {}, org.iter().find(|found| found.what == what));
        }
        let family = &metrics.retention_exhausted_seconds;
        for (at, route) in routes.iter().enumerate() {
            let label = RouteLabel {
                route: Arc::clone(&route.name),
            };
            tell(family, &label, self.route(at, now_ms).as_ref());
        }
    }
}

fn tell<L>(family: &Family<L, FloatGauge>, label: &L, found: Option<&TrendView>)
where
    L: Clone + Hash + Eq,
{
    match found {
        Some(found) => {
            family.get_or_create(label).set(found.exhausted_in_seconds);
        }
        None => {
            family.remove(label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::state::PositionView;

    const MINUTE_MS: i64 = 60_000;

    fn limit(name: &'static str, remaining: u64, seen_ms: i64) -> LimitView {
        LimitView {
            name,
            max: 100_000,
            remaining,
            seen: String::new(),
            seen_ms,
        }
    }

    #[test]
    fn an_allocation_that_ends_today_is_told_and_one_that_lasts_is_not() {
        let (trends, metrics) = (Trends::new(0), Metrics::new());
        let mut now_ms = 0;
        for poll in 0..12 {
            now_ms = poll * 5 * MINUTE_MS;
            let used = u64::try_from(poll).unwrap() * 1_000;
            let limits = [
                limit(DAILY_DELIVERED, 80_000 - used, now_ms),
                limit(DAILY_REQUESTS, 90_000, now_ms),
            ];
            // Looked at more often than they change.
            for _ in 0..3 {
                trends.look(&[], &limits, now_ms);
            }
        }
        let found = trends.org(now_ms);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].what, TrendOf::DeliveryAllocation);
        assert!((found[0].pace_per_hour - 12_000.0).abs() < 1e-6, "{found:?}");
        // 69,000 are left.
        assert!(
            (found[0].exhausted_in_seconds - 69.0 * 300.0).abs() < 1.0,
            "{found:?}"
        );
        trends.show(&[], &metrics, now_ms);
        let text = metrics.render();
        let of = |name: &str| {
            let sample = text.lines().find(|line| line.starts_with(name))?;
            sample.rsplit(' ').next()?.parse::<f64>().ok()
        };
        let shown = of("sfbridge_delivery_allocation_exhausted_seconds").unwrap();
        assert!((shown - 20_700.0).abs() < 1.0, "{text}");
        assert_eq!(of("sfbridge_api_requests_exhausted_seconds"), None);
        // Nobody has told it for long.
        trends.show(&[], &metrics, now_ms + 60 * MINUTE_MS);
        assert!(
            !metrics
                .render()
                .contains("delivery_allocation_exhausted_seconds{")
        );
    }

    #[test]
    fn a_route_that_stands_still_loses_its_position_when_it_is_72_hours_old() {
        let (trends, metrics) = (Trends::new(1), Metrics::new());
        let route = RouteStatus::new("accounts", "to_kafka", metrics.clone());
        route.assigned_here();
        let began_ms = clock::now_ms();
        route.positioned(PositionView::default(), began_ms);
        let routes = [route];
        let mut now_ms = began_ms;
        for minute in 0..=70 {
            now_ms = began_ms + minute * MINUTE_MS;
            trends.look(&routes, &[], now_ms);
        }
        let found = trends.route(0, now_ms).unwrap();
        assert_eq!(found.what, TrendOf::Retention);
        assert!((found.pace_per_hour - 3600.0).abs() < 1e-6, "{found:?}");
        let left = RETENTION_SECONDS - 70.0 * 60.0;
        assert!((found.exhausted_in_seconds - left).abs() < 1.0, "{found:?}");
        trends.show(&routes, &metrics, now_ms);
        let text = metrics.render();
        let shown = text
            .lines()
            .find_map(|line| line.strip_prefix(r#"sfbridge_retention_exhausted_seconds{route="accounts"} "#));
        let shown: f64 = shown.unwrap().parse().unwrap();
        assert!((shown - left).abs() < 1.0, "{text}");
        // Another instance has it now.
        routes[0].assigned_elsewhere();
        trends.look(&routes, &[], now_ms + 1);
        assert_eq!(trends.route(0, now_ms + 1), None);
    }

    #[test]
    fn a_quiet_route_that_hears_a_keep_alive_now_and_then_does_not_fall_behind() {
        let trends = Trends::new(1);
        let route = RouteStatus::new("accounts", "to_kafka", Metrics::new());
        route.assigned_here();
        let began_ms = clock::now_ms();
        let routes = [Arc::clone(&route)];
        for second in 0..3 * 3600 {
            let now_ms = began_ms + second * 1000;
            if second % 270 == 0 {
                route.positioned(PositionView::default(), now_ms);
            }
            trends.look(&routes, &[], now_ms);
            assert_eq!(trends.route(0, now_ms), None, "after {second} s");
        }
    }
}
