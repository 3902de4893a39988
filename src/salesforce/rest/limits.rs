//! The org's limits: how much of the daily API requests is used, as every answer of REST tells it, and whether a
//! route may use more of them. The requests are counted over a rolling 24 hours, so there is no moment to wait for.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use crate::error::{ErrorKind, Failure, chain};
use crate::runtime::retry::{Delays, RetryPolicy};

use super::RestClient;
use super::call::{Call, garbled};
use super::refusal::Deed;

/// Salesforce's name of the limit that every request counts against.
pub const DAILY_REQUESTS: &str = "DailyApiRequests";

/// Salesforce's name of the limit that every event counts against that a subscriber without an add-on is given.
pub const DAILY_DELIVERED: &str = "DailyDeliveredPlatformEvents";

/// The limits that a bridge uses up, of the many that an org has: what the metric and the status page show. An org
/// tells some of them: the standard-volume ones only where it has such events, the monthly one only with an add-on,
/// under its older name before API version 48.
const SHOWN: [&str; 7] = [
    "DailyBulkApiBatches",
    DAILY_DELIVERED,
    "DailyStandardVolumePlatformEvents",
    "HourlyPublishedPlatformEvents",
    "HourlyPublishedStandardVolumePlatformEvents",
    "MonthlyPlatformEvents",
    "MonthlyPlatformEventsUsageEntitlement",
];

/// How often a running bridge asks for the limits: 288 requests a day, of the 15,000 that the smallest orgs have.
pub const POLL_EVERY: Duration = Duration::from_secs(5 * 60);
/// Where the user may not see them, somebody may grant it.
const POLL_DENIED_EVERY: Duration = Duration::from_secs(60 * 60);

/// The org's API requests of 24 hours, its apps together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiUsage {
    pub used: u64,
    pub max: u64,
    /// Salesforce updates it with a delay: a later number may be the smaller one.
    pub seen_at: Instant,
}

impl ApiUsage {
    /// Of `Sforce-Limit-Info`: `api-usage=18/5000; per-app-api-usage=17/250(appName=sample-app)`. The parts of single
    /// apps are passed over.
    fn parse(info: &str) -> Option<Self> {
        let parts = info.split([';', ',']);
        let (used, max) = parts
            .filter_map(|part| part.trim().strip_prefix("api-usage="))
            .find_map(|numbers| numbers.split_once('/'))?;
        Some(Self {
            used: used.trim().parse().ok()?,
            max: max.trim().parse().ok()?,
            seen_at: Instant::now(),
        })
    }

    pub const fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// How many requests must be left to the org's others.
    pub fn reserve(&self, percent: f64) -> u64 {
        let share = (percent / 100.0).clamp(0.0, 1.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of some millions, not negative"
        )]
        let reserve = (self.max as f64 * share).ceil() as u64;
        reserve
    }
}

/// One of the org's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub max: u64,
    pub remaining: u64,
}

/// Whether a route may make requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetAction {
    Go,
    /// No more than the reserve is left. After `pause`: [`RestClient::refresh_usage`], then ask again.
    Wait {
        pause: Duration,
        left: u64,
        reserve: u64,
    },
}

/// Decides for one route whether it leaves the org its reserve of API requests.
#[derive(Debug)]
pub struct ApiBudget {
    reserve_percent: f64,
    delays: Delays,
}

impl ApiBudget {
    /// `reserve_percent` of the daily requests are for others: `salesforce.api_reserve_percent`.
    pub fn new(reserve_percent: f64) -> Self {
        Self {
            reserve_percent,
            delays: RetryPolicy::THROTTLED.delays(),
        }
    }

    /// Before a request. What is not known does not stop anybody: the request's own answer tells it.
    pub fn check(&mut self, usage: Option<ApiUsage>) -> BudgetAction {
        match usage {
            Some(usage) if usage.max > 0 && usage.left() <= usage.reserve(self.reserve_percent) => {
                BudgetAction::Wait {
                    pause: self.delays.next(None),
                    left: usage.left(),
                    reserve: usage.reserve(self.reserve_percent),
                }
            }
            _ => {
                self.delays.reset();
                BudgetAction::Go
            }
        }
    }
}

impl RestClient {
    /// What the latest answer of REST told; `None` before the first.
    pub fn usage(&self) -> Option<ApiUsage> {
        *self.0.usage.lock()
    }

    pub(super) fn note_usage(&self, info: &str) {
        if let Some(usage) = ApiUsage::parse(info) {
            self.use_is(usage);
        }
    }

    fn use_is(&self, usage: ApiUsage) {
        *self.0.usage.lock() = Some(usage);
        self.0.metrics.limit(DAILY_REQUESTS, usage.max, usage.left());
    }

    /// The org's limits by their names (`DailyApiRequests`, `HourlyPublishedPlatformEvents`); shares of single apps
    /// are left out.
    ///
    /// # Errors
    /// `Denied`: the user lacks "View Setup and Configuration".
    pub async fn limits(&self) -> Result<HashMap<String, Limit>, Failure> {
        let path = format!("{}/limits", self.0.base);
        let answer = self.call(&Call::get(path)).await;
        let answer = answer.map_err(|error| error.into_failure(Deed::Read, "the org's limits"))?;
        let all: Map<String, Json> =
            serde_json::from_slice(&answer.body).map_err(|_| garbled("the org's limits"))?;
        let limit = |json: &Json| {
            Some(Limit {
                max: json.get("Max")?.as_u64()?,
                // Below zero where an org went over it.
                remaining: u64::try_from(json.get("Remaining")?.as_i64()?).unwrap_or(0),
            })
        };
        Ok(all
            .iter()
            .filter_map(|(name, json)| Some((name.clone(), limit(json)?)))
            .collect())
    }

    /// Asks for the limits, with one request, and shows those that a bridge uses up.
    async fn show_limits(&self) -> Result<(), Failure> {
        let limits = self.limits().await?;
        for name in SHOWN {
            if let Some(limit) = limits.get(name) {
                self.0.metrics.limit(name, limit.max, limit.remaining);
            }
        }
        if let Some(daily) = limits.get(DAILY_REQUESTS) {
            self.use_is(ApiUsage {
                used: daily.max.saturating_sub(daily.remaining),
                max: daily.max,
                seen_at: Instant::now(),
            });
        }
        Ok(())
    }

    /// Asks once, for whoever asks again and again, and says how long to wait before the next time. It is for people
    /// to look at: what goes wrong with it disturbs nobody, and a missing permission is remarked on once.
    pub async fn poll_limits(&self, remarked: &mut bool) -> Duration {
        match self.show_limits().await {
            Ok(()) => {
                *remarked = false;
                POLL_EVERY
            }
            Err(failure) if failure.kind == ErrorKind::Denied => {
                if !std::mem::replace(remarked, true) {
                    tracing::info!(why = %chain(&failure), "what is left of the org's limits is not known: give the user \"View Setup and Configuration\" to see it");
                }
                POLL_DENIED_EVERY
            }
            Err(failure) => {
                tracing::debug!(why = %chain(&failure), "the org's limits were not told");
                POLL_EVERY
            }
        }
    }

    /// Asks Salesforce, with one request, how much of the daily API requests is used now.
    ///
    /// # Errors
    /// When Salesforce does not answer. A user who may not see the limits is told by the answer's header.
    pub async fn refresh_usage(&self) -> Result<Option<ApiUsage>, Failure> {
        match self.show_limits().await {
            Ok(()) => {}
            Err(failure) if matches!(failure.kind, ErrorKind::Denied | ErrorKind::Throttled) => {}
            Err(failure) => return Err(failure),
        }
        Ok(self.usage())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(used: u64, max: u64) -> ApiUsage {
        ApiUsage {
            used,
            max,
            seen_at: Instant::now(),
        }
    }

    #[test]
    fn the_orgs_usage_is_told_from_its_apps() {
        let read = |text: &str| ApiUsage::parse(text).map(|usage| (usage.used, usage.max));
        assert_eq!(read("api-usage=10018/100000"), Some((10_018, 100_000)));
        assert_eq!(
            read("api-usage=25/5000; per-app-api-usage=17/250(appName=sample-connected-app)"),
            Some((25, 5_000))
        );
        assert_eq!(
            read("per-app-api-usage=17/250(appName=a), api-usage=25/5000"),
            Some((25, 5_000))
        );
        for text in ["", "api-usage=", "api-usage=x/5", "per-app-api-usage=17/250"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_route_waits_while_only_the_reserve_is_left() {
        let mut budget = ApiBudget::new(10.0);
        assert_eq!(budget.check(None), BudgetAction::Go);
        assert_eq!(budget.check(Some(usage(89_999, 100_000))), BudgetAction::Go);
        let first = budget.check(Some(usage(90_000, 100_000)));
        let BudgetAction::Wait { pause, left, reserve } = first else {
            panic!("{first:?}")
        };
        assert_eq!((left, reserve), (10_000, 10_000));
        assert!(pause <= Duration::from_secs(8), "{pause:?}");
        let mut last = pause;
        for _ in 0..20 {
            if let BudgetAction::Wait { pause, .. } = budget.check(Some(usage(200_000, 100_000))) {
                last = pause;
            }
        }
        assert!(
            last >= Duration::from_secs(150) && last <= Duration::from_secs(300),
            "{last:?}"
        );
        // A smaller number later is as good as any.
        assert_eq!(budget.check(Some(usage(50, 100_000))), BudgetAction::Go);
        let BudgetAction::Wait { pause, .. } = budget.check(Some(usage(99_999, 100_000))) else {
            panic!()
        };
        assert!(pause <= Duration::from_secs(8), "from the start again: {pause:?}");
    }

    #[test]
    fn without_a_reserve_a_route_uses_all_but_never_more() {
        let mut budget = ApiBudget::new(0.0);
        assert_eq!(budget.check(Some(usage(99, 100))), BudgetAction::Go);
        assert!(matches!(
            budget.check(Some(usage(100, 100))),
            BudgetAction::Wait { .. }
        ));
        assert_eq!(
            budget.check(Some(usage(0, 0))),
            BudgetAction::Go,
            "no limit is known"
        );
        let mut all = ApiBudget::new(100.0);
        assert!(matches!(
            all.check(Some(usage(0, 100))),
            BudgetAction::Wait { .. }
        ));
    }
}
