//! A far Salesforce: events a second as a share of what 100 outstanding events allow, 100 a round trip. The
//! simulator holds every byte back for the delay each way, so a round trip is twice the delay.

use std::time::Duration;

use crate::support::PARTITIONS;
use crate::support::bridge::json_route;
use crate::support::org::{ACCOUNTS, Org};
use crate::support::progress::Progress;
use crate::support::statistics::rate;
use crate::support::table::Table;
use crate::support::topic::{self, unique};

const DELAYS_MS: [u64; 2] = [50, 100];
/// What Salesforce owes a stream at most.
const OUTSTANDING: u64 = 100;
/// Enough that a round trip more or less is nothing.
const ROUND_TRIPS: u64 = 100;

pub async fn run(kafka: &str, table: &mut Table) {
    for delay_ms in DELAYS_MS {
        let events = OUTSTANDING * ROUND_TRIPS;
        let org = Org::start(events, delay_ms);
        let to = unique("distance");
        topic::create(kafka, &to, PARTITIONS, &[]).await;
        let running = Progress::start(
            &unique("bench"),
            kafka,
            &org,
            &json_route("accounts", ACCOUNTS, &to, ""),
        );
        let first = running.until_written(1).await;
        let last = running.until_written(events).await;
        let measured = rate(last.written - first.written, last.at - first.at);
        let allowed = rate(OUTSTANDING, Duration::from_millis(2 * delay_ms));
        table.at_least(
            format!("{delay_ms} ms each way ({measured:.0} events/s of {allowed:.0} allowed)"),
            measured / allowed,
            0.9,
            "×",
        );
        topic::delete(kafka, &to).await;
    }
}
