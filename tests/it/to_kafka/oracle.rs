//! Compares what the org has emitted with what a reader of Kafka sees: pure, and knows nothing of the bridge
//! but the shape of a record.
//!
//! Every test event carries its number (`GUID__c`), and its number says which record it changes. So each record
//! in Kafka names the one event that it must be, and nothing has to be remembered but how many there were.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sfbridge::simulator::{Emitted, TestEvents, test_record_id};

use crate::support::topic::Seen;

/// What was emitted so far: events `0..count` over `keys` records.
#[derive(Debug)]
pub struct Oracle {
    keys: u64,
    count: u64,
}

/// What a comparison found. Numbers are those of events.
#[derive(Debug, Default)]
pub struct Findings {
    /// Records in Kafka that were held against an event.
    pub compared: usize,
    pub lost: Vec<u64>,
    pub doubled: Vec<u64>,
    /// Came for the first time after a later event of the same key.
    pub out_of_order: Vec<u64>,
    /// Records that are no event's, and why.
    pub strange: Vec<String>,
    /// Events that came with a replay id which another one has too.
    pub sharing_a_replay_id: usize,
}

impl Oracle {
    pub fn new(keys: u64) -> Self {
        Self { keys, count: 0 }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn emitted(&mut self, events: &Emitted) {
        assert_eq!(events.first, self.count, "somebody else emits events too");
        self.count += events.count;
    }

    /// `seen` in the order of partition and offset.
    pub fn compare(&self, seen: &[Seen]) -> Findings {
        self.compare_kept(seen, |_| true)
    }

    /// The same for an output that is to have some of the events: of the others, none.
    pub fn compare_kept(&self, seen: &[Seen], keeps: impl Fn(u64) -> bool) -> Findings {
        let mut findings = Findings::default();
        let mut times_seen = vec![0_u32; usize::try_from(self.count).unwrap()];
        // Of each key: its partition, and its latest event.
        let mut keys: BTreeMap<String, (i32, u64)> = BTreeMap::new();
        let mut replay_ids: HashMap<String, usize> = HashMap::new();
        for record in seen {
            let number = match self.number(record) {
                Ok(number) => number,
                Err(why) => {
                    findings.strange.push(why);
                    continue;
                }
            };
            if !keeps(number) {
                findings
                    .strange
                    .push(format!("event {number} was to be left out"));
                continue;
            }
            findings.compared += 1;
            *replay_ids
                .entry(record.header("ce_sfreplayid").unwrap_or_default())
                .or_default() += 1;
            let times = &mut times_seen[usize::try_from(number).unwrap()];
            *times += 1;
            if *times > 1 {
                continue;
            }
            let (partition, latest) = keys
                .entry(record.key_text())
                .or_insert((record.partition, number));
            if *partition != record.partition {
                let (a, b) = (*partition, record.partition);
                findings
                    .strange
                    .push(format!("event {number}: its key is in partitions {a} and {b}"));
            }
            if number < *latest {
                findings.out_of_order.push(number);
            }
            *latest = number.max(*latest);
        }
        for (number, times) in (0..).zip(times_seen) {
            match times {
                0 if keeps(number) => findings.lost.push(number),
                0 => {}
                1 => {}
                _ => findings.doubled.push(number),
            }
        }
        findings.sharing_a_replay_id = replay_ids.values().filter(|events| **events > 1).sum();
        findings
    }

    /// Which event a record is.
    fn number(&self, record: &Seen) -> Result<u64, String> {
        let place = format!("partition {} offset {}", record.partition, record.offset);
        let value: Value = serde_json::from_str(&record.value_text())
            .map_err(|error| format!("{place}: the value is no JSON: {error}"))?;
        let number: u64 = value["GUID__c"]
            .as_str()
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("{place}: the value has no number"))?;
        if number >= self.count {
            return Err(format!("{place}: event {number} was never emitted"));
        }
        let (key, wanted) = (record.key_text(), test_record_id(number, self.keys));
        if key != wanted {
            return Err(format!(
                "{place}: event {number} has key {key} in place of {wanted}"
            ));
        }
        Ok(number)
    }
}

impl Findings {
    /// # Panics
    /// Unless each event came exactly once, and those of a key in order.
    pub fn assert_exactly_once(&self) {
        self.assert_at_least_once();
        assert!(self.doubled.is_empty(), "doubled: {}", self.report());
    }

    /// # Panics
    /// When an event is missing, or first came after a later one of its key; or when nothing was compared.
    pub fn assert_at_least_once(&self) {
        assert!(self.compared > 0, "nothing was compared");
        assert!(self.lost.is_empty(), "lost: {}", self.report());
        assert!(self.out_of_order.is_empty(), "out of order: {}", self.report());
        assert!(self.strange.is_empty(), "strange: {}", self.report());
    }

    fn report(&self) -> String {
        let some = |numbers: &[u64]| format!("{} {:?}", numbers.len(), &numbers[..numbers.len().min(20)]);
        format!(
            "compared {}, lost {}, doubled {}, out of order {}, strange {} {:?}",
            self.compared,
            some(&self.lost),
            some(&self.doubled),
            some(&self.out_of_order),
            self.strange.len(),
            self.strange.first(),
        )
    }
}

/// Fails unless test events 0 to `count`, with the simulator's default keys, were each seen once and those of one
/// record in their order.
pub fn assert_each_once_in_order(seen: &[Seen], count: u64) {
    let oracle = Oracle {
        keys: TestEvents::default().keys,
        count,
    };
    oracle.compare(seen).assert_exactly_once();
}

/// As a good bridge would write event `number`, `offset` records into the one partition.
fn written(number: u64, offset: i64) -> Seen {
    Seen {
        partition: 0,
        offset,
        timestamp_ms: None,
        key: Some(test_record_id(number, 2).into_bytes()),
        value: Some(format!(r#"{{"GUID__c":"{number:012}"}}"#).into_bytes()),
        headers: vec![(
            "ce_sfreplayid".to_owned(),
            format!("{:020x}", number / 2).into_bytes(),
        )],
    }
}

fn compared(numbers: &[u64]) -> Findings {
    let oracle = Oracle { keys: 2, count: 6 };
    let seen: Vec<Seen> = numbers
        .iter()
        .zip(0..)
        .map(|(number, offset)| written(*number, offset))
        .collect();
    oracle.compare(&seen)
}

#[test]
fn the_oracle_accepts_each_event_once_in_its_keys_order() {
    let findings = compared(&[1, 0, 2, 4, 3, 5]);
    findings.assert_exactly_once();
    assert_eq!(findings.compared, 6);
    assert_eq!(findings.sharing_a_replay_id, 6);
}

#[test]
fn the_oracle_names_what_is_lost_doubled_out_of_order_and_strange() {
    let findings = compared(&[0, 4, 2, 1, 1, 7, 5]);
    assert_eq!(findings.lost, [3]);
    assert_eq!(findings.doubled, [1]);
    assert_eq!(findings.out_of_order, [2]);
    assert_eq!(findings.strange.len(), 1, "event 7 was never emitted");
    let of_another_key = Seen {
        key: Some(test_record_id(1, 2).into_bytes()),
        ..written(0, 0)
    };
    let oracle = Oracle { keys: 2, count: 1 };
    assert_eq!(oracle.compare(&[of_another_key]).strange.len(), 1);
}

#[test]
fn the_oracle_misses_nothing_that_was_to_be_left_out_and_names_what_was_not() {
    let oracle = Oracle { keys: 2, count: 4 };
    let seen = [written(0, 0), written(1, 1)];
    let findings = oracle.compare_kept(&seen, |number| number % 2 == 0);
    assert_eq!((&findings.lost[..], findings.strange.len()), (&[2][..], 1));
}

#[test]
#[should_panic(expected = "nothing was compared")]
fn an_oracle_that_compared_nothing_fails() {
    let oracle = Oracle { keys: 2, count: 0 };
    oracle.compare(&[]).assert_at_least_once();
}
