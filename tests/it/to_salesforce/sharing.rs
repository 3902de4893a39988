//! Several instances and their operator: partitions change hands, routes pause and go on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use sfbridge::simulator::faults::{Fault, Rpc, Then};

use super::{an_org, finished, produce_orders, published, shipped};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

const SHIPPED: &str = "/event/Order_Shipped__e";
const ANSWER_MS: u64 = 300;

/// A partition that is taken away has a request under way: it is answered, and committed, before the next owner
/// begins. So nothing comes twice.
#[tokio::test]
async fn a_partition_changes_hands_when_its_request_is_answered() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("orders"), unique("crm"));
    let late = Fault::new(Rpc::Publish, Then::Proceed).times(u32::MAX);
    org.fault(late.delayed(ANSWER_MS)).unwrap();
    topic::create(&kafka, &from, 4, &[]).await;
    produce_orders(&kafka, &from, 0..2_000).await;
    let one = Setup::new(&name, &kafka, &org, &shipped(&from));
    let two = Setup {
        instance: format!("{name}-2"),
        ..one.clone()
    };
    let _first = Bridge::start(&one).await;
    until(PATIENCE, "the first events", || async {
        (!published(&org, SHIPPED).is_empty()).then_some(())
    })
    .await;
    let second = Bridge::start(&two).await;
    // Under load until it has a share of it.
    let made = AtomicUsize::new(2_000);
    until(PATIENCE, "events of the second instance", || async {
        let from_number = made.fetch_add(400, Ordering::Relaxed);
        produce_orders(&kafka, &from, from_number..from_number + 400).await;
        let written = second.route("shipped").await?["records_written"].as_u64()?;
        (written > 0).then_some(())
    })
    .await;
    let made = made.into_inner();
    org.clear_faults();
    finished(&kafka, &name, "shipped", &from).await;
    let ids = published(&org, SHIPPED);
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (made, made), "nothing twice");
}

#[tokio::test]
async fn a_pause_stops_every_instance_and_a_resume_goes_on_where_it_was() {
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("orders"), unique("crm"));
    topic::create(&kafka, &from, 4, &[]).await;
    let one = Setup::new(&name, &kafka, &org, &shipped(&from));
    let two = Setup {
        instance: format!("{name}-2"),
        ..one.clone()
    };
    let (first, second) = (Bridge::start(&one).await, Bridge::start(&two).await);
    produce_orders(&kafka, &from, 0..100).await;
    finished(&kafka, &name, "shipped", &from).await;
    assert_eq!(first.post("/api/routes/shipped/pause").await.0, 202);
    first.until_state("shipped", &["paused"]).await;
    second.until_state("shipped", &["paused"]).await;
    produce_orders(&kafka, &from, 100..200).await;
    // A third instance, which was not there when the route was paused, keeps to it: once it says so, all that could
    // have published has had its chance.
    let three = Setup {
        instance: format!("{name}-3"),
        ..one.clone()
    };
    let third = Bridge::start(&three).await;
    third.until_state("shipped", &["paused"]).await;
    assert_eq!(published(&org, SHIPPED).len(), 100);
    assert_eq!(second.post("/api/routes/shipped/resume").await.0, 202);
    for bridge in [&first, &second, &third] {
        bridge.until_state("shipped", &["idle", "streaming"]).await;
    }
    finished(&kafka, &name, "shipped", &from).await;
    let ids = published(&org, SHIPPED);
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (200, 200));
}
