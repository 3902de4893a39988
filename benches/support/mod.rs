//! What the benchmark stands on: the tests' launchers of broker, registry and bridge, the simulator as a process, a bare
//! producer to compare with, and one module a measure.

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/bridge.rs"]
pub mod bridge;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/broker.rs"]
pub mod broker;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/jars.rs"]
pub mod jars;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/keeper.rs"]
pub mod keeper;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/registry.rs"]
pub mod registry;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/topic.rs"]
pub mod topic;
#[path = "../../tests/it/support/wait.rs"]
pub mod wait;

pub mod bare;
pub mod measures;
pub mod org;
pub mod process;
pub mod progress;
pub mod statistics;
pub mod table;

/// As many partitions as a topic that the bridge makes.
pub const PARTITIONS: i32 = 6;

/// What the numbers were taken under.
pub fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    format!(
        "sfbridge {}, librdkafka {librdkafka}, {cores} cores for broker, simulator, bridge and readers, load average at the end {}",
        env!("CARGO_PKG_VERSION"),
        load.split(' ').take(2).collect::<Vec<_>>().join(" / "),
    )
}
