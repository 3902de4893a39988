//! The oracle for numbered test events: what the org emitted against what a `read_committed` reader sees.

use std::collections::BTreeMap;

use crate::support::bridge::PATIENCE;
use crate::support::topic::{self, Isolation, Seen, read_all};
use crate::support::wait::until;

/// Waits until a reader sees `count` records, and gives all it sees then: doubles would be among them.
pub async fn until_seen(bootstrap: &str, topic_name: &str, count: usize) -> Vec<Seen> {
    let what = format!("{count} records in {topic_name}");
    until(PATIENCE, &what, || async {
        topic::partition_count(bootstrap, topic_name).await?;
        let seen = read_all(bootstrap, topic_name, Isolation::ReadCommitted).await;
        (seen.len() >= count).then_some(seen)
    })
    .await
}

/// Fails unless events 0 to `count` were each seen once, and those of one record in their order.
pub fn assert_each_once_in_order(seen: &[Seen], count: u64) {
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    let mut latest: BTreeMap<String, u64> = BTreeMap::new();
    for record in seen {
        let value: serde_json::Value = serde_json::from_str(&record.value_text()).unwrap();
        let number: u64 = value["GUID__c"].as_str().unwrap().parse().unwrap();
        *times.entry(number).or_default() += 1;
        let before = latest.insert(record.key_text(), number);
        assert!(
            before.is_none_or(|before| before <= number),
            "record {}: event {number} comes after {before:?}",
            record.key_text()
        );
    }
    let lost: Vec<u64> = (0..count).filter(|number| !times.contains_key(number)).collect();
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(
        lost.is_empty() && doubled.is_empty(),
        "lost {lost:?}, doubled {doubled:?}"
    );
    assert_eq!(times.len() as u64, count, "no other events");
}
