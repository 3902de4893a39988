//! What was put into Kafka, and what the org must have made of it: pure, and knows nothing of the bridge.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::topic::Seen;

/// What a customer's record carries beside its key.
const FIELDS: [&str; 3] = ["Name", "Phone", "Fax"];

/// Makes versions of customers, and knows what the last ones come to.
#[derive(Debug)]
pub struct Customers {
    keys: u64,
    made: u64,
    /// Records to come of the kind that runs now.
    run: u64,
    deletes: bool,
    /// Of each key that was not deleted: what its fields hold.
    wanted: BTreeMap<String, Map<String, Value>>,
}

impl Customers {
    pub fn new(keys: u64) -> Self {
        Self {
            keys,
            made: 0,
            run: 0,
            deletes: true,
            wanted: BTreeMap::new(),
        }
    }

    pub fn made(&self) -> u64 {
        self.made
    }

    /// The next record: key, and value or tombstone. Kinds come in runs, as a request holds one kind only.
    pub fn next(&mut self, rng: &mut StdRng) -> (String, Option<String>) {
        if self.run == 0 {
            self.deletes = !self.deletes;
            self.run = if self.deletes {
                rng.random_range(10..80)
            } else {
                rng.random_range(300..1_500)
            };
        }
        self.run -= 1;
        self.made += 1;
        let key = format!("c{}", rng.random_range(0..self.keys));
        if self.deletes && self.wanted.remove(&key).is_some() {
            return (key, None);
        }
        let value = self.version(rng, &key);
        (key, Some(value))
    }

    fn version(&mut self, rng: &mut StdRng, key: &str) -> String {
        let mut version = Map::new();
        let known = self.wanted.entry(key.to_owned()).or_default();
        // A part of the fields can only follow a whole record: what is missing is left untouched.
        let is_part = !known.is_empty() && rng.random_range(0..5) == 0;
        for field in FIELDS {
            if is_part && field == "Name" {
                continue;
            }
            let is_null = field != "Name" && rng.random_range(0..4) == 0;
            let value = if is_null {
                Value::Null
            } else {
                json!(format!("{field} {}", self.made))
            };
            version.insert(field.to_owned(), value);
        }
        if is_part {
            version.remove(FIELDS[1 + usize::from(rng.random::<bool>())]);
        }
        known.extend(version.clone());
        version.insert("Customer_Id__c".to_owned(), json!(key));
        Value::Object(version).to_string()
    }

    /// How many records were held against what they must be.
    ///
    /// # Panics
    /// Unless the org has exactly these records, with these values.
    pub fn assert_org(&self, org: &BTreeMap<String, Map<String, Value>>) -> usize {
        let keys = |all: &BTreeMap<String, Map<String, Value>>| all.keys().cloned().collect::<BTreeSet<_>>();
        let (wanted, found) = (keys(&self.wanted), keys(org));
        let missing: Vec<_> = wanted.difference(&found).take(20).collect();
        let left: Vec<_> = found.difference(&wanted).take(20).collect();
        assert!(
            missing.is_empty() && left.is_empty(),
            "missing: {missing:?}; not deleted: {left:?}"
        );
        let mut compared = 0;
        for (key, fields) in &self.wanted {
            for field in FIELDS {
                let is = org[key].get(field).unwrap_or(&Value::Null);
                assert_eq!(is, &fields[field], "{key}.{field}");
            }
            compared += 1;
        }
        assert!(compared > 0, "nothing was compared");
        compared
    }
}

/// Of the ids of published events, see `routes::to_salesforce::target`. Written down once more, because it must never
/// change: a repeat would get another id.
const EVENT_IDS: Uuid = Uuid::from_u128(0x5b1c_2a0e_7d0b_4f43_9c55_3f0d_6e1a_88b7);

/// What the events must be that come of these records, and in which order they were published.
#[derive(Debug)]
pub struct Publications {
    /// Id → partition and offset.
    wanted: HashMap<String, (i32, i64)>,
}

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub compared: usize,
    pub repeated: usize,
    pub lost: Vec<(i32, i64)>,
    /// First came after a later record of the partition.
    pub out_of_order: Vec<(i32, i64)>,
    /// Ids of no record: a repeat under another id, too.
    pub strange: Vec<String>,
}

impl Publications {
    pub fn of(cluster: &str, topic: &str, records: &[Seen]) -> Self {
        let wanted = records.iter().map(|record| {
            let place = format!(
                "{cluster}/{topic}/{}/{}/{}",
                record.partition,
                record.offset,
                record.timestamp_ms.unwrap()
            );
            let id = Uuid::new_v5(&EVENT_IDS, place.as_bytes()).to_string();
            (id, (record.partition, record.offset))
        });
        Self {
            wanted: wanted.collect(),
        }
    }

    pub fn compare(&self, ids: &[String]) -> Findings {
        let mut findings = Findings::default();
        let mut seen = BTreeSet::new();
        let mut latest: HashMap<i32, i64> = HashMap::new();
        for id in ids {
            let Some(place) = self.wanted.get(id) else {
                findings.strange.push(id.clone());
                continue;
            };
            findings.compared += 1;
            if !seen.insert(*place) {
                findings.repeated += 1;
                continue;
            }
            let (partition, offset) = *place;
            let latest = latest.entry(partition).or_insert(offset);
            if offset < *latest {
                findings.out_of_order.push(*place);
            }
            *latest = offset.max(*latest);
        }
        findings.lost = self
            .wanted
            .values()
            .filter(|place| !seen.contains(place))
            .copied()
            .collect();
        findings.lost.sort_unstable();
        findings
    }
}

impl Findings {
    /// # Panics
    /// When a record was not published, first came after a later one of its partition, or under another id; or when
    /// nothing was compared.
    pub fn assert_at_least_once_in_order(&self) {
        let some = |places: &[(i32, i64)]| format!("{} {:?}", places.len(), &places[..places.len().min(20)]);
        assert!(self.compared > 0, "nothing was compared");
        assert!(self.lost.is_empty(), "lost: {}", some(&self.lost));
        assert!(
            self.out_of_order.is_empty(),
            "out of order: {}",
            some(&self.out_of_order)
        );
        let strange = self.strange.first();
        assert!(
            strange.is_none(),
            "{} under strange ids: {strange:?}",
            self.strange.len()
        );
    }
}

fn seen(partition: i32, offset: i64) -> Seen {
    Seen {
        partition,
        offset,
        timestamp_ms: Some(1),
        key: None,
        value: None,
        headers: Vec::new(),
    }
}

#[test]
fn the_oracle_names_what_is_lost_repeated_out_of_order_and_strange() {
    let records = [seen(0, 0), seen(0, 1), seen(0, 2), seen(1, 0)];
    let publications = Publications::of("cluster", "orders", &records);
    let id = |partition: i32, offset: i64| {
        let mut all = publications.wanted.iter();
        let (id, _) = all.find(|(_, place)| **place == (partition, offset)).unwrap();
        id.clone()
    };
    let good = [id(0, 0), id(1, 0), id(0, 0), id(0, 1), id(0, 2)];
    let findings = publications.compare(&good);
    findings.assert_at_least_once_in_order();
    assert_eq!((findings.compared, findings.repeated), (5, 1));
    let findings = publications.compare(&[id(0, 2), id(0, 1), "another".to_owned()]);
    assert_eq!(findings.lost, [(0, 0), (1, 0)]);
    assert_eq!(findings.out_of_order, [(0, 1)]);
    assert_eq!(findings.strange, ["another"]);
}

#[test]
#[should_panic(expected = "nothing was compared")]
fn an_oracle_that_compared_nothing_fails() {
    let publications = Publications::of("cluster", "orders", &[]);
    publications.compare(&[]).assert_at_least_once_in_order();
}

#[test]
#[should_panic(expected = "c1.Phone")]
fn the_oracle_names_a_value_that_is_not_the_last_version() {
    let mut customers = Customers::new(1);
    customers.wanted.insert(
        "c1".to_owned(),
        Map::from_iter(FIELDS.map(|field| (field.to_owned(), json!("new")))),
    );
    let mut org = customers.wanted.clone();
    org.get_mut("c1").unwrap()["Phone"] = json!("old");
    customers.assert_org(&org);
}
