//! What is not answered, or not stored, is not committed: when a partition is taken away, and through a crash.

use sfbridge::simulator::Simulator;
use sfbridge::simulator::rest::RestFault;
use sfbridge::simulator::writes::RecordFault;

use super::{
    an_org, by_key, committed, customers, dead_letters, finished, produce_customers, records, until_waiting,
};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker::{self, Broker};
use crate::support::relay::Relay;
use crate::support::topic::{self, Isolation, read_all, unique};
use crate::support::wait::until;

/// The names of all customers that the org has.
fn names(org: &Simulator) -> Vec<String> {
    let customers = by_key(org, "Account", "Customer_Id__c").into_values();
    customers
        .map(|fields| fields["Name"].as_str().unwrap().to_owned())
        .collect()
}

/// The request is carried out in the end: behind the same values from the next owner, before any later ones.
#[tokio::test]
async fn a_partition_whose_request_has_no_answer_is_handed_over_uncommitted_and_the_last_versions_win() {
    const CUSTOMERS: usize = 40;
    let kafka = need!("kafka", broker::shared());
    let (org, from, name) = (an_org().await, unique("customers"), unique("crm"));
    topic::create(&kafka, &from, 2, &[]).await;
    for version in ["first", "second"] {
        produce_customers(&kafka, &from, 0..CUSTOMERS, version).await;
    }
    let ends = topic::ends(&kafka, &from, Isolation::ReadCommitted).await;
    // One request of each partition, which holds the first versions.
    org.rest_fault(RestFault {
        path: Some("composite".to_owned()),
        times: 2,
        delay_ms: u64::MAX,
        ..RestFault::default()
    });
    let one = Setup::new(&name, &kafka, &org, &customers(&from));
    let two = Setup {
        instance: format!("{name}-2"),
        ..one.clone()
    };
    let first = Bridge::start(&one).await;
    until(PATIENCE, "both requests", || async {
        (org.faults_waiting() == 0).then_some(())
    })
    .await;
    let _second = Bridge::start(&two).await;
    // The second instance is answered for the first versions of its share, and holds the later ones back.
    let offsets = until(PATIENCE, "the hand-over", || async {
        let offsets = committed(&kafka, &name, "customers", &from).await;
        let is_there = |(offset, end): (&Option<i64>, &i64)| offset.is_some_and(|offset| offset >= end / 2);
        offsets.iter().zip(&ends).any(is_there).then_some(offsets)
    })
    .await;
    assert_eq!(
        offsets.iter().filter(|offset| offset.unwrap_or(0) == 0).count(),
        1,
        "what was not answered is not committed: {offsets:?} of {ends:?}"
    );
    assert!(
        first
            .log()
            .contains("handed over before what was in hand is finished")
    );
    assert!(names(&org).iter().all(|name| name.starts_with("first")));
    let calls = org.org_counts().collections_calls;
    org.clear_faults();
    until(PATIENCE, "both requests carried out", || async {
        (org.org_counts().collections_calls >= calls + 2).then_some(())
    })
    .await;
    finished(&kafka, &name, "customers", &from).await;
    let names = names(&org);
    assert_eq!(names.len(), CUSTOMERS);
    assert!(names.iter().all(|name| name.starts_with("second")), "{names:?}");
}

/// A bad record behind ten customers, whose dead letter is not stored.
struct Stuck {
    org: Simulator,
    setup: Setup,
    bridge: Bridge,
    from: String,
    /// Where the bad record is.
    partition: usize,
    offset: i64,
}

impl Stuck {
    /// Salesforce has the ten, and they are committed.
    async fn before(kafka: &str) -> (Simulator, Setup, Bridge, String) {
        let (org, from) = (an_org().await, unique("customers"));
        topic::create(kafka, &from, 2, &[]).await;
        produce_customers(kafka, &from, 0..10, "one").await;
        let setup = Setup::new(&unique("crm"), kafka, &org, &customers(&from));
        let bridge = Bridge::start(&setup).await;
        finished(kafka, &setup.name, "customers", &from).await;
        (org, setup, bridge, from)
    }

    /// Then comes the bad record.
    async fn behind((org, setup, bridge, from): (Simulator, Setup, Bridge, String), bad: &str) -> Self {
        topic::produce_values(&setup.bootstrap, &from, &[("bad", bad)]).await;
        let all = read_all(&setup.bootstrap, &from, Isolation::ReadCommitted).await;
        let bad = all.iter().find(|record| record.key_text() == "bad").unwrap();
        Self {
            partition: usize::try_from(bad.partition).unwrap(),
            offset: bad.offset,
            org,
            setup,
            bridge,
            from,
        }
    }

    fn dead_letters(&self) -> String {
        dead_letters(&self.setup.name)
    }

    async fn committed(&self) -> Vec<Option<i64>> {
        committed(&self.setup.bootstrap, &self.setup.name, "customers", &self.from).await
    }

    async fn assert_not_past_it(&self) {
        let committed = self.committed().await;
        assert_eq!(committed[self.partition], Some(self.offset), "{committed:?}");
        let letters = topic::committed(&self.setup.bootstrap, &self.dead_letters()).await;
        assert!(letters.is_empty(), "{letters:?}");
    }

    /// Started again: unless the record is the one dead letter and `count` customers are there.
    async fn assert_mended(&self, count: usize) {
        let kafka = &self.setup.bootstrap;
        let _bridge = Bridge::start(&self.setup).await;
        finished(kafka, &self.setup.name, "customers", &self.from).await;
        let letters = records(kafka, &self.dead_letters(), 1).await;
        let sources = letters
            .iter()
            .map(|letter| letter.header("sfbridge_source").unwrap());
        let place = format!("{}[{}]@{}", self.from, self.partition, self.offset);
        assert_eq!(sources.collect::<Vec<_>>(), [place]);
        assert_eq!(names(&self.org).len(), count);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_not_stored_yet_holds_its_partition_alone_and_is_stored_after_a_crash() {
    let relay = Relay::start().await;
    let broker = need!("kafka", Broker::start_new(&[&relay.advertised()]));
    relay.lead_to(broker.bootstrap());
    let before = Stuck::before(&relay.address()).await;
    relay.withhold(Some(&dead_letters(&before.1.name)));
    let stuck = Stuck::behind(before, "{no json").await;
    until_waiting(&stuck.bridge, "customers", &stuck.dead_letters()).await;
    produce_customers(&stuck.setup.bootstrap, &stuck.from, 10..40, "two").await;
    let ends = topic::ends(&stuck.setup.bootstrap, &stuck.from, Isolation::ReadCommitted).await;
    let other = 1 - stuck.partition;
    until(PATIENCE, "the other partition", || async {
        (stuck.committed().await.get(other)? == &Some(ends[other])).then_some(())
    })
    .await;
    let shown = stuck.bridge.route("customers").await.unwrap();
    assert_eq!(shown["state"]["name"], "waiting", "{shown}");
    stuck.assert_not_past_it().await;
    stuck.bridge.kill();
    stuck.assert_not_past_it().await;
    relay.withhold(None);
    stuck.assert_mended(40).await;
}

/// The record itself is refused by Salesforce, in the middle of a request.
#[tokio::test]
async fn a_dead_letter_that_its_topic_refuses_halts_the_route_before_the_record() {
    let kafka = need!("kafka", broker::shared());
    let before = Stuck::before(&kafka).await;
    let fault = RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("bad");
    before.0.record_fault(fault.times(u32::MAX));
    topic::create(
        &kafka,
        &dead_letters(&before.1.name),
        1,
        &[("max.message.bytes", "100")],
    )
    .await;
    let bad = r#"{"Customer_Id__c":"bad","Name":"one"}"#;
    let stuck = Stuck::behind(before, bad).await;
    let dead = stuck.dead_letters();
    let halted = stuck.bridge.until_state("customers", &["halted"]).await;
    let remedy = halted["state"]["remedy"].to_string();
    assert!(
        remedy.contains(&format!("raise max.message.bytes of {dead}")),
        "{halted}"
    );
    produce_customers(&kafka, &stuck.from, 10..40, "two").await;
    stuck.assert_not_past_it().await;
    stuck.bridge.kill();
    topic::set_config(&kafka, &dead, "max.message.bytes", "1000000").await;
    stuck.assert_mended(40).await;
}
