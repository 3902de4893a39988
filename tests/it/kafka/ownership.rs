//! Who runs which route: shared, taken over, back at once.

use std::time::Duration;

use sfbridge::error::ErrorKind;
use sfbridge::kafka::{Ownership, Topics, partition_of};

use super::Bridge;
use crate::need;
use crate::support::broker::{self, Broker};
use crate::support::wait::until;

const ALL: usize = 64;

async fn join(bridge: &Bridge, instance: &str) -> Ownership {
    let topics = Topics::new(&bridge.connection).expect("topics");
    Ownership::join(&topics, instance).await.expect("a member")
}

async fn until_owns(member: &Ownership, within: Duration, what: &str, enough: impl Fn(usize) -> bool) {
    until(within, what, || async {
        enough(member.watch().borrow().owned_count()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_instances_share_and_the_routes_of_a_dead_one_move() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let one = join(&bridge, "one").await;
    until_owns(&one, Duration::from_secs(10), "the first has all", |count| {
        count == ALL
    })
    .await;
    let other = join(&bridge, "other").await;
    until_owns(&other, Duration::from_secs(20), "the second has half", |count| {
        count == ALL / 2
    })
    .await;
    until_owns(&one, Duration::from_secs(20), "the first keeps half", |count| {
        count == ALL / 2
    })
    .await;
    let routes = (0..100).map(|route| format!("route-{route}"));
    for route in routes {
        let owners = [&one, &other].map(|member| member.watch().borrow().owns(&route));
        assert!(owners[0] != owners[1], "{route} has one owner: {owners:?}");
    }
    // A static member never leaves: to the group this is a process that died.
    drop(other);
    until_owns(
        &one,
        Duration::from_secs(10),
        "the first has all again",
        |count| count == ALL,
    )
    .await;
}

#[tokio::test]
async fn the_same_instance_started_again_has_its_routes_back_at_once() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let first = join(&bridge, "one").await;
    until_owns(&first, Duration::from_secs(10), "it has all", |count| {
        count == ALL
    })
    .await;
    drop(first);
    let again = join(&bridge, "one").await;
    until_owns(&again, Duration::from_secs(2), "it has all again", |count| {
        count == ALL
    })
    .await;
}

#[tokio::test]
async fn a_second_process_of_one_name_takes_over_and_the_first_says_why() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let first = join(&bridge, "one").await;
    until_owns(&first, Duration::from_secs(10), "it has all", |count| {
        count == ALL
    })
    .await;
    let second = join(&bridge, "one").await;
    until_owns(&second, Duration::from_secs(10), "the second has all", |count| {
        count == ALL
    })
    .await;
    let failure = until(Duration::from_secs(10), "the first is told", || async {
        first.watch().borrow().trouble.clone()
    })
    .await;
    assert_eq!(failure.kind, ErrorKind::Denied, "{failure:?}");
    assert!(
        failure
            .remedy
            .as_deref()
            .is_some_and(|remedy| remedy.contains("bridge.instance"))
    );
    assert_eq!(first.watch().borrow().owned_count(), 0);
}

#[tokio::test]
async fn a_pause_is_seen_by_the_owner_and_survives_a_move() {
    let bridge = Bridge::on(&need!("kafka", broker::shared()));
    let routes = ["account-changes".to_owned(), "orders".to_owned()];
    let one = join(&bridge, "one").await;
    one.register(&routes).await.expect("noted");
    one.set_paused("orders", true).await.expect("paused");
    until(Duration::from_secs(10), "the pause is seen", || async {
        let assignment = one.watch().borrow().clone();
        (assignment.owns("orders") && assignment.is_paused("orders")).then_some(())
    })
    .await;
    assert!(!one.watch().borrow().is_paused("account-changes"));
    // Noting again what is noted leaves the pause.
    one.register(&routes).await.expect("noted");
    drop(one);
    let again = join(&bridge, "one").await;
    until(Duration::from_secs(10), "the owner is back", || async {
        again.watch().borrow().owns("orders").then_some(())
    })
    .await;
    assert!(
        again.watch().borrow().is_paused("orders"),
        "known as soon as the route is owned"
    );
    again.set_paused("orders", false).await.expect("resumed");
    until(
        Duration::from_secs(10),
        "the end of the pause is seen",
        || async { (!again.watch().borrow().is_paused("orders")).then_some(()) },
    )
    .await;
    until(Duration::from_secs(10), "every noted route is listed", || async {
        let assignment = again.watch().borrow().clone();
        let noted: Vec<&str> = assignment.noted_routes().collect();
        (noted == ["account-changes", "orders"]).then_some(())
    })
    .await;
    assert!((0..64).contains(&partition_of("orders", 64)));
}

#[tokio::test]
async fn an_owner_whose_session_is_lost_gives_its_routes_up_by_itself_and_gets_them_back() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let bridge = Bridge::on(broker.bootstrap());
    let member = join(&bridge, "one").await;
    until_owns(&member, Duration::from_secs(10), "it has all", |count| {
        count == ALL
    })
    .await;
    broker.freeze();
    until_owns(&member, Duration::from_secs(20), "it has none", |count| {
        count == 0
    })
    .await;
    broker.thaw();
    until_owns(&member, Duration::from_secs(30), "it has all again", |count| {
        count == ALL
    })
    .await;
}
