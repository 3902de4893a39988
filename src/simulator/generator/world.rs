//! What exists, and what happens to it next.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng as _};
use serde_json::{Map, Value as Json, json};

use crate::simulator::ids;
use crate::simulator::org::change::{Change, ChangeType, PlatformEvent};
use crate::simulator::org::key_prefix;

use super::fields;

const ENTITIES: [&str; 3] = ["Account", "Contact", "Order__c"];
/// Beyond this many of one kind, none is created: a long demonstration changes more than it grows.
const RECORDS_MAX: usize = 5_000;

/// One thing that happens.
#[derive(Debug)]
pub(super) enum Step {
    /// Changes of one transaction, in order; of several objects at times.
    Changes(Vec<Change>),
    Event(PlatformEvent),
}

#[derive(Debug, Clone)]
struct Record {
    id: String,
    fields: Map<String, Json>,
}

#[derive(Debug, Default)]
struct Records {
    living: Vec<Record>,
    deleted: Vec<Record>,
}

pub(super) struct World {
    rng: StdRng,
    records: [Records; 3],
    user: String,
    orders_shipped: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            records: Default::default(),
            user: ids::record_id("005", 1),
            orders_shipped: 0,
        }
    }

    /// The next thing. New records get their ids from `new_id`, by the object's prefix.
    pub(super) fn step(&mut self, now_ms: i64, new_id: impl Fn(&str) -> String) -> Step {
        let entity = self.rng.random_range(0..ENTITIES.len());
        let living = self.records[entity].living.len();
        // Of a hundred steps: 22 creations, 45 updates, 5 of several records, 5 of addresses, 6 deletions,
        // 3 that come back, 14 platform events.
        match self.rng.random_range(0..100) {
            0..22 if living < RECORDS_MAX => self.create(entity, now_ms, &new_id),
            86..100 => self.event(now_ms),
            _ if living < 3 => self.create(entity, now_ms, &new_id),
            22..67 => self.update(entity, 1),
            67..72 => {
                let several = self.rng.random_range(2..=3);
                self.update(entity, several)
            }
            72..77 => self.move_house(),
            77..80 => self.undelete(entity, now_ms, &new_id),
            80..86 => self.delete(entity),
            _ => self.update(entity, 1),
        }
    }

    fn create(&mut self, entity: usize, now_ms: i64, new_id: &impl Fn(&str) -> String) -> Step {
        let id = new_id(key_prefix(ENTITIES[entity]));
        let mut values = self.new_fields(entity);
        fields::system(&mut values, &self.user, now_ms);
        let mut change = self.of(entity, ChangeType::Create, &id);
        change.fields.clone_from(&values);
        let mut changes = vec![change];
        let is_person = entity == 0 && values["Name"].is_object();
        self.records[entity].living.push(Record {
            id,
            fields: values.clone(),
        });
        if is_person {
            // A person account is an account and a contact at once.
            let id = new_id(key_prefix("Contact"));
            let mut contact = self.of(1, ChangeType::Create, &id);
            contact.transaction_key.clone_from(&changes[0].transaction_key);
            contact.sequence_number = Some(2);
            contact.fields.insert("Name".into(), values["Name"].clone());
            contact.fields.insert("IsPersonAccount".into(), json!(true));
            contact
                .fields
                .insert("AccountId".into(), json!(changes[0].record_ids[0]));
            fields::system(&mut contact.fields, &self.user, now_ms);
            self.records[1].living.push(Record {
                id,
                fields: contact.fields.clone(),
            });
            changes.push(contact);
        }
        Step::Changes(changes)
    }

    fn new_fields(&mut self, entity: usize) -> Map<String, Json> {
        let account = self.any(0).map(|index| self.records[0].living[index].id.clone());
        let rng = &mut self.rng;
        let value = match entity {
            // One account in ten is a person.
            0 if rng.random_bool(0.1) => json!({
                "Name": fields::person(rng),
                "PersonEmail": "person@simulated.example",
                "PersonMobilePhone": fields::phone(rng),
                "PersonHasOptedOutOfEmail": false,
            }),
            0 => json!({
                "Name": fields::company(rng),
                "Type": "Customer - Direct",
                "Industry": fields::industry(rng),
                "Phone": fields::phone(rng),
                "AnnualRevenue": fields::amount(rng, 500_000_000),
                "NumberOfEmployees": rng.random_range(5..5_000),
                "BillingAddress": fields::address(rng),
            }),
            1 => json!({
                "Name": fields::person(rng),
                "AccountId": account,
                "IsPersonAccount": false,
                "Email": "contact@simulated.example",
                "Phone": fields::phone(rng),
                "MailingAddress": fields::address(rng),
            }),
            _ => json!({
                "Name": format!("O-{:06}", rng.random_range(0..1_000_000)),
                "Account__c": account,
                "Status__c": "Draft",
                "Total__c": fields::amount(rng, 900_000),
                "Items__c": f64::from(rng.random_range(1..40)),
                "Destination__c": {"Latitude": 53.54, "Longitude": 9.98},
            }),
        };
        match value {
            Json::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn update(&mut self, entity: usize, records: usize) -> Step {
        let first = self.any(entity).unwrap_or_default();
        let end = (first + records).min(self.records[entity].living.len());
        let rng = &mut self.rng;
        let (name, value) = match (entity, rng.random_range(0..4)) {
            (0 | 1, 0) => ("Phone", json!(fields::phone(rng))),
            // Set to null: the field stands in `nulledFields` too.
            (0 | 1, 1) => ("Fax", Json::Null),
            (0, 2) => ("AnnualRevenue", json!(fields::amount(rng, 500_000_000))),
            (0, _) => ("Industry", json!(fields::industry(rng))),
            (1, _) => ("Title", json!("Head of Supply")),
            (_, 0) => ("Total__c", json!(fields::amount(rng, 900_000))),
            (_, 1) => ("Notes__c", Json::Null),
            (_, _) => ("Status__c", json!(fields::status(rng))),
        };
        let mut change = self.of(entity, ChangeType::Update, "");
        let changed = &mut self.records[entity].living[first..end];
        change.record_ids = changed.iter().map(|record| record.id.clone()).collect();
        for record in changed {
            record.fields.insert(name.into(), value.clone());
        }
        if value.is_null() {
            change.nulled.push(name.into());
        } else {
            change.fields.insert(name.into(), value);
        }
        Step::Changes(vec![change])
    }

    /// An account's street changes: a child of a compound field, the others stay.
    fn move_house(&mut self) -> Step {
        let street = json!(fields::street(&mut self.rng));
        let Some(index) = self.any(0) else {
            return self.update(2, 1);
        };
        let record = &mut self.records[0].living[index];
        let id = record.id.clone();
        let address = record.fields.entry("BillingAddress").or_insert_with(|| json!({}));
        address["Street"] = street.clone();
        let mut change = self.of(0, ChangeType::Update, &id);
        change
            .fields
            .insert("BillingAddress".into(), json!({"Street": street}));
        Step::Changes(vec![change])
    }

    fn delete(&mut self, entity: usize) -> Step {
        let index = self.any(entity).unwrap_or_default();
        let record = self.records[entity].living.swap_remove(index);
        let change = self.of(entity, ChangeType::Delete, &record.id);
        let deleted = &mut self.records[entity].deleted;
        deleted.push(record);
        // The recycle bin of a long demonstration is emptied at its far end; no event says so.
        if deleted.len() > RECORDS_MAX {
            deleted.remove(0);
        }
        Step::Changes(vec![change])
    }

    fn undelete(&mut self, entity: usize, now_ms: i64, new_id: &impl Fn(&str) -> String) -> Step {
        let Some(record) = self.records[entity].deleted.pop() else {
            return self.create(entity, now_ms, new_id);
        };
        let mut change = self.of(entity, ChangeType::Undelete, &record.id);
        change.fields.clone_from(&record.fields);
        self.records[entity].living.push(record);
        Step::Changes(vec![change])
    }

    fn event(&mut self, now_ms: i64) -> Step {
        self.orders_shipped += 1;
        let rng = &mut self.rng;
        let (topic, value) = if rng.random_bool(0.7) {
            let value = json!({
                "Order_Number__c": format!("O-{:06}", self.orders_shipped),
                "Carrier__c": fields::carrier(rng),
                "Weight__c": fields::amount(rng, 90_000),
                "Express__c": rng.random_bool(0.2),
                "Shipped_At__c": now_ms,
            });
            ("/event/Order_Shipped__e", value)
        } else {
            let invoice = format!("I-{:06}", self.orders_shipped);
            (
                "/event/Invoice_Paid__e",
                json!({"Invoice__c": invoice, "Amount__c": fields::amount(rng, 900_000)}),
            )
        };
        let fields = if let Json::Object(fields) = value {
            fields
        } else {
            Map::new()
        };
        Step::Event(PlatformEvent {
            topic: topic.into(),
            fields,
            event_id: Some(self.uuid()),
        })
    }

    fn any(&mut self, entity: usize) -> Option<usize> {
        let living = self.records[entity].living.len();
        (living > 0).then(|| self.rng.random_range(0..living))
    }

    fn of(&mut self, entity: usize, change_type: ChangeType, id: &str) -> Change {
        let mut change = Change::new(ENTITIES[entity], change_type).records([id]);
        change.transaction_key = Some(self.uuid());
        change.event_id = Some(self.uuid());
        change
    }

    /// From the seed, so that runs repeat.
    fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.random())
            .into_uuid()
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use super::*;
    use crate::simulator::SimulatorSettings;
    use crate::simulator::org::{Org, Ungrouped};

    fn story(seed: u64, steps: usize) -> Vec<Step> {
        let (mut world, counter) = (World::new(seed), Cell::new(0));
        let new_id = |prefix: &str| {
            counter.set(counter.get() + 1);
            ids::record_id(prefix, counter.get())
        };
        (0..steps)
            .map(|_| world.step(1_700_000_000_000, new_id))
            .collect()
    }

    #[test]
    fn one_seed_tells_one_story() {
        assert_eq!(format!("{:?}", story(7, 300)), format!("{:?}", story(7, 300)));
        assert_ne!(format!("{:?}", story(7, 300)), format!("{:?}", story(8, 300)));
    }

    #[test]
    fn only_what_exists_changes_and_all_kinds_of_things_happen() {
        let mut living: HashMap<String, bool> = HashMap::new();
        let (mut several, mut persons, mut events) = (0, 0, 0);
        let mut seen: HashMap<String, usize> = HashMap::new();
        for step in story(1, 3_000) {
            let Step::Changes(changes) = step else {
                events += 1;
                continue;
            };
            for change in changes {
                *seen.entry(format!("{:?}", change.change_type)).or_default() += 1;
                several += usize::from(change.record_ids.len() > 1);
                persons += usize::from(
                    change.entity == "Account" && change.fields.get("Name").is_some_and(Json::is_object),
                );
                for id in &change.record_ids {
                    let (expected, becomes) = match change.change_type {
                        ChangeType::Create => (None, true),
                        ChangeType::Update => (Some(true), true),
                        ChangeType::Delete => (Some(true), false),
                        _ => (Some(false), true),
                    };
                    assert_eq!(living.insert(id.clone(), becomes), expected, "{change:?}");
                }
            }
        }
        assert!(
            several > 20 && persons > 5 && events > 200,
            "{several} {persons} {events}"
        );
        assert_eq!(seen.len(), 4, "{seen:?}");
    }

    #[test]
    fn everything_that_happens_fits_the_schemas() {
        let org = Org::new(SimulatorSettings::default()).expect("the org is consistent");
        for step in story(3, 1_000) {
            match step {
                Step::Changes(changes) => {
                    for change in changes {
                        org.change(&[change], Ungrouped::No).expect("it fits");
                    }
                }
                Step::Event(event) => {
                    org.publish(&event).expect("it fits");
                }
            }
        }
    }
}
