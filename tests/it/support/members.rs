//! Somebody else in a consumer group.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// For a group to take a member up, on a busy machine.
const JOIN_WITHIN: Duration = Duration::from_secs(30);

/// Joins a group under a static member's name, as this member's own request does that brokers take up late: once it
/// has joined, nobody is there. Returns when the group has decided.
pub async fn joins_and_is_gone(bootstrap: &str, group: &str, instance_id: &str, topic: &str) {
    let config: ClientConfig = [
        ("bootstrap.servers", bootstrap),
        ("group.id", group),
        ("group.instance.id", instance_id),
        ("group.protocol", "classic"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", "6000"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    let topic = topic.to_owned();
    let joined = tokio::task::spawn_blocking(move || {
        let member: BaseConsumer = config.create().expect("a member");
        member.subscribe(&[&topic]).expect("a subscription");
        let deadline = Instant::now() + JOIN_WITHIN;
        while member.assignment().expect("an assignment").count() == 0 {
            assert!(Instant::now() < deadline, "the group has not taken it up");
            // Records of partitions that it is given are of no interest.
            drop(member.poll(Duration::from_millis(20)));
        }
    });
    joined.await.expect("joined");
}
