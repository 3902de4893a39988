//! The Kafka side against a real broker.

use crate::need;
use crate::support::broker;
use crate::support::topic::{self, Isolation};

#[tokio::test]
async fn the_broker_answers() {
    let bootstrap = need!("kafka", broker::shared());
    let name = topic::unique("plain");
    topic::create(&bootstrap, &name, 3, &[("cleanup.policy", "compact")]).await;
    assert_eq!(
        topic::config(&bootstrap, &name, "cleanup.policy")
            .await
            .as_deref(),
        Some("compact")
    );
    assert!(
        topic::read_all(&bootstrap, &name, Isolation::ReadCommitted)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_private_broker_comes_back_on_its_port() {
    let broker = need!("kafka", broker::Broker::start_new(&[]));
    let name = topic::unique("plain");
    topic::create(broker.bootstrap(), &name, 1, &[]).await;
    broker.kill();
    broker.start().expect("it starts again");
    assert_eq!(topic::partition_count(broker.bootstrap(), &name).await, Some(1));
}
