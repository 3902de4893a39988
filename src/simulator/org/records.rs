//! The records behind the change events: what describe and query read.
//!
//! In: every [`Change`] that goes on the bus, and writes that made no event. Out: the present state of a record, in
//! the event's shape. A `GAP_…` says that something changed and not what: it changes nothing here. A deleted record
//! lies in the recycle bin, unseen by queries, until an `UNDELETE`. Test events are no changes of records.
//!
//! Records are found by the fields that are registered as keys, whatever the case of the letters.
//!
//! Beyond `records_max` records of one object the oldest is forgotten, without an event.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value as Json};

use crate::simulator::ids;

use super::change::{Change, ChangeType};

/// A hundred thousand Accounts with a dozen fields each take some 100 MB.
pub(crate) const RECORDS_MAX: usize = 100_000;

/// One record, deleted or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Values by the event's field names, a compound's children as an object. What is null is absent.
    pub(crate) fields: Map<String, Json>,
    /// Milliseconds since the epoch.
    pub(crate) system_modstamp: i64,
    pub(crate) is_deleted: bool,
}

#[derive(Debug, Default)]
struct Table {
    rows: HashMap<String, Record>,
    /// Ids in the order in which their records came.
    by_age: VecDeque<String>,
    /// By field and folded value, the ids of the records that have it and are not deleted.
    keys: HashMap<String, HashMap<String, BTreeSet<String>>>,
}

impl Table {
    /// Changes a row and what it is found by.
    fn change(&mut self, id: &str, change: impl FnOnce(&mut Table)) {
        self.mark(id, false);
        change(self);
        self.mark(id, true);
    }

    fn mark(&mut self, id: &str, found: bool) {
        let Some(record) = self.rows.get(id).filter(|record| !record.is_deleted) else {
            return;
        };
        for (field, values) in &mut self.keys {
            let Some(value) = record.fields.get(field).and_then(folded) else {
                continue;
            };
            if found {
                values.entry(value).or_default().insert(id.to_owned());
            } else if let Some(ids) = values.get_mut(&value) {
                ids.remove(id);
                if ids.is_empty() {
                    values.remove(&value);
                }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Records {
    tables: HashMap<String, Table>,
    records_max: usize,
}

impl Default for Records {
    fn default() -> Self {
        Self::new(RECORDS_MAX)
    }
}

impl Records {
    pub(crate) fn new(records_max: usize) -> Self {
        Self {
            tables: HashMap::new(),
            records_max,
        }
    }

    /// Does to the records what a change says of them. The change must be complete.
    pub(crate) fn apply(&mut self, change: &Change) {
        let at = change.commit_timestamp.unwrap_or_default();
        for id in change.record_ids.iter().filter_map(|id| id18(id)) {
            match change.change_type {
                ChangeType::Create => {
                    self.change(&change.entity, id, |record| {
                        *record = Record::default();
                        record.write(change, at);
                    });
                }
                ChangeType::Update | ChangeType::Undelete => {
                    self.change(&change.entity, id, |record| {
                        record.is_deleted = false;
                        record.write(change, at);
                    });
                }
                ChangeType::Delete => self.delete(&change.entity, &id, at),
                // They tell of a change and do not make one.
                ChangeType::GapCreate
                | ChangeType::GapUpdate
                | ChangeType::GapDelete
                | ChangeType::GapUndelete
                | ChangeType::GapOverflow
                | ChangeType::Snapshot => {}
            }
        }
    }

    /// Puts a record into the recycle bin; one that is not there stays so.
    pub(crate) fn delete(&mut self, entity: &str, id: &str, at: i64) {
        let table = self.tables.get_mut(entity);
        if let Some(table) = table.filter(|table| table.rows.contains_key(id)) {
            table.change(id, |table| {
                if let Some(record) = table.rows.get_mut(id) {
                    record.is_deleted = true;
                    record.system_modstamp = at;
                }
            });
        }
    }

    /// Makes records be found by a field from now on.
    pub(crate) fn add_key(&mut self, entity: &str, field: &str) {
        let table = self.tables.entry(entity.to_owned()).or_default();
        table.keys.insert(field.to_owned(), HashMap::new());
        for id in table.by_age.clone() {
            table.mark(&id, true);
        }
    }

    /// Ids of the records whose key has a value, whatever the case of its letters.
    pub(crate) fn find(&self, entity: &str, field: &str, value: &Json) -> impl Iterator<Item = &str> {
        let values = self.tables.get(entity).and_then(|table| table.keys.get(field));
        let ids = values
            .zip(folded(value))
            .and_then(|(values, value)| values.get(&value));
        ids.into_iter().flatten().map(String::as_str)
    }

    /// Whether a record lies in the recycle bin.
    pub(crate) fn is_deleted(&self, entity: &str, id: &str) -> bool {
        let record = self.tables.get(entity).and_then(|table| table.rows.get(id));
        record.is_some_and(|record| record.is_deleted)
    }

    /// A record as it is, for [`Self::restore`].
    pub(crate) fn snapshot(&self, entity: &str, id: &str) -> Option<Record> {
        self.tables.get(entity)?.rows.get(id).cloned()
    }

    /// Undoes what was done since a snapshot; of several of one record, the newest first.
    pub(crate) fn restore(&mut self, entity: &str, id: &str, was: Option<Record>) {
        let table = self.tables.entry(entity.to_owned()).or_default();
        table.change(id, |table| match was {
            Some(record) => {
                table.rows.insert(id.to_owned(), record);
            }
            None => {
                table.rows.remove(id);
                table.by_age.retain(|other| other != id);
            }
        });
    }

    /// A record that is not deleted, by its id of 18 characters.
    pub(crate) fn get(&self, entity: &str, id: &str) -> Option<&Record> {
        let record = self.tables.get(entity)?.rows.get(id)?;
        (!record.is_deleted).then_some(record)
    }

    /// The same, and its id as the org holds it.
    pub(crate) fn get_with_id(&self, entity: &str, id: &str) -> Option<(&str, &Record)> {
        let (id, record) = self.tables.get(entity)?.rows.get_key_value(id)?;
        (!record.is_deleted).then_some((id.as_str(), record))
    }

    /// The records of an object that are not deleted, the oldest first.
    pub(crate) fn all(&self, entity: &str) -> impl Iterator<Item = (&str, &Record)> {
        let table = self.tables.get(entity);
        let ids = table.into_iter().flat_map(|table| table.by_age.iter());
        ids.filter_map(move |id| Some((id.as_str(), self.get(entity, id)?)))
    }

    fn change(&mut self, entity: &str, id: String, change: impl FnOnce(&mut Record)) {
        let table = self.tables.entry(entity.to_owned()).or_default();
        if !table.rows.contains_key(&id) {
            if table.by_age.len() >= self.records_max
                && let Some(oldest) = table.by_age.pop_front()
            {
                table.mark(&oldest, false);
                table.rows.remove(&oldest);
            }
            table.by_age.push_back(id.clone());
        }
        table.change(&id.clone(), |table| change(table.rows.entry(id).or_default()));
    }
}

impl Record {
    fn write(&mut self, change: &Change, at: i64) {
        self.system_modstamp = at;
        let changed = change.changed.iter().flatten();
        for name in changed.chain(&change.nulled) {
            if !has_value(&change.fields, name) {
                self.clear(name);
            }
        }
        let is_diff = |name: &str| change.diff.iter().any(|diff| diff == name);
        for (name, value) in change.fields.iter().filter(|(name, _)| !is_diff(name)) {
            self.set(name, value);
        }
        for (name, value) in &change.whole {
            self.set(name, value);
        }
    }

    fn set(&mut self, name: &str, value: &Json) {
        match (value, self.fields.get_mut(name)) {
            (Json::Null, _) => self.clear(name),
            // The children that a compound's change does not carry did not change.
            (Json::Object(children), Some(Json::Object(present))) => {
                for (child, value) in children {
                    present.insert(child.clone(), value.clone());
                }
            }
            _ => {
                self.fields.insert(name.to_owned(), value.clone());
            }
        }
    }

    fn clear(&mut self, name: &str) {
        match name.split_once('.') {
            None => {
                self.fields.remove(name);
            }
            Some((parent, child)) => {
                if let Some(Json::Object(children)) = self.fields.get_mut(parent) {
                    children.remove(child);
                }
            }
        }
    }
}

fn has_value(fields: &Map<String, Json>, name: &str) -> bool {
    let value = match name.split_once('.') {
        None => fields.get(name),
        Some((parent, child)) => fields.get(parent).and_then(|value| value.get(child)),
    };
    value.is_some_and(|value| !value.is_null())
}

/// A value as keys are compared.
fn folded(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.to_lowercase()),
        // A whole number is the same key in either of its forms.
        Json::Number(number) => number.as_f64().map(|number| number.to_string()),
        _ => None,
    }
}

/// A record's id with 18 characters; `None` for what names no record (`001*`, an overflow's id).
pub(crate) fn id18(id: &str) -> Option<String> {
    let is_id = matches!(id.len(), 15 | 18) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_record = is_id && !id.starts_with("000");
    is_record.then(|| ids::with_suffix(&id[..15]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "001SB0000000001YAA";

    fn change(change_type: ChangeType) -> Change {
        let mut change = Change::new("Account", change_type).records([ID]);
        change.commit_timestamp = Some(7);
        change
    }

    fn fields(records: &Records) -> Json {
        records
            .get("Account", ID)
            .map_or(Json::Null, |record| json!(record.fields))
    }

    #[test]
    fn an_update_changes_what_it_carries_and_clears_what_it_nulls() {
        let mut records = Records::default();
        let created = change(ChangeType::Create)
            .field("Name", "Acme")
            .field("Phone", "1")
            .field("Industry", "Energy")
            .field(
                "BillingAddress",
                json!({"Street": "1 High Street", "City": "Bath"}),
            );
        records.apply(&created);
        let mut update =
            change(ChangeType::Update).field("BillingAddress", json!({"Street": "2 High Street"}));
        update.changed = Some(vec!["Industry".into(), "BillingAddress.Street".into()]);
        update.nulled = vec!["Phone".into(), "BillingAddress.City".into()];
        update.commit_timestamp = Some(8);
        records.apply(&update);
        assert_eq!(
            fields(&records),
            json!({"Name": "Acme", "BillingAddress": {"Street": "2 High Street"}})
        );
        assert_eq!(
            records.get("Account", ID).map(|record| record.system_modstamp),
            Some(8)
        );
    }

    #[test]
    fn a_gap_changes_nothing_and_a_diff_is_no_value() {
        let mut records = Records::default();
        records.apply(&change(ChangeType::Create).field("Description", "old text"));
        for gap in [
            ChangeType::GapUpdate,
            ChangeType::GapDelete,
            ChangeType::GapOverflow,
        ] {
            records.apply(&change(gap).field("Description", "no"));
        }
        assert_eq!(fields(&records), json!({"Description": "old text"}));
        records.apply(&change(ChangeType::Update).text_diff("Description", "old text", "new text"));
        assert_eq!(fields(&records), json!({"Description": "new text"}));
    }

    #[test]
    fn a_deleted_record_is_gone_until_it_is_undeleted() {
        let mut records = Records::default();
        records.apply(&change(ChangeType::Create).field("Name", "Acme"));
        records.apply(&change(ChangeType::Delete));
        assert!(fields(&records).is_null() && records.all("Account").next().is_none());
        records.apply(&change(ChangeType::Undelete).field("Phone", "1"));
        assert_eq!(fields(&records), json!({"Name": "Acme", "Phone": "1"}));
    }

    #[test]
    fn a_record_is_found_by_its_key_while_it_is_there() {
        let mut records = Records::default();
        records.apply(&change(ChangeType::Create).field("Code__c", "A-1"));
        records.add_key("Account", "Code__c");
        let found = |records: &Records, value: Json| records.find("Account", "Code__c", &value).count();
        assert_eq!(
            (found(&records, json!("a-1")), found(&records, json!("b"))),
            (1, 0)
        );
        let before = records.snapshot("Account", ID);
        records.apply(&change(ChangeType::Update).field("Code__c", 7));
        assert_eq!(
            (found(&records, json!("a-1")), found(&records, json!(7.0))),
            (0, 1)
        );
        records.restore("Account", ID, before);
        assert_eq!((found(&records, json!("a-1")), found(&records, json!(7))), (1, 0));
        records.apply(&change(ChangeType::Delete));
        assert_eq!(found(&records, json!("a-1")), 0);
        records.apply(&change(ChangeType::Undelete));
        assert_eq!(found(&records, json!("a-1")), 1);
        records.restore("Account", ID, None);
        assert_eq!(
            (found(&records, json!("a-1")), records.all("Account").count()),
            (0, 0)
        );
    }

    #[test]
    fn the_oldest_record_makes_room() {
        let mut records = Records::new(2);
        let ids = [1, 2, 3].map(|number| ids::record_id("001", number));
        for id in &ids {
            records.apply(&change(ChangeType::Create).records([id.as_str()]));
        }
        let left: Vec<_> = records.all("Account").map(|(id, _)| id.to_owned()).collect();
        assert_eq!(left, ids[1..]);
    }

    #[test]
    fn what_names_no_record_makes_none() {
        let mut records = Records::default();
        for id in ["001*", "000000000000000AAA", "001SB00000000'1"] {
            records.apply(&change(ChangeType::Create).records([id]));
        }
        assert!(records.all("Account").next().is_none());
        records.apply(&change(ChangeType::Create).records(["001SB0000000001"]));
        assert!(
            records
                .get("Account", &ids::with_suffix("001SB0000000001"))
                .is_some()
        );
    }
}
