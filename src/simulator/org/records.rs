//! The records behind the change events: what describe and query read.
//!
//! In: every [`Change`] that goes on the bus, and writes that made no event. Out: the present state of a record, in
//! the event's shape. A `GAP_…` says that something changed and not what: it changes nothing here. A deleted record
//! lies in the recycle bin, unseen by queries, until an `UNDELETE`. Test events are no changes of records.
//!
//! Beyond `records_max` records of one object the oldest is forgotten, without an event.

use std::collections::{HashMap, VecDeque};

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
                    let record = self.row(&change.entity, id);
                    *record = Record::default();
                    record.write(change, at);
                }
                ChangeType::Update | ChangeType::Undelete => {
                    let record = self.row(&change.entity, id);
                    record.is_deleted = false;
                    record.write(change, at);
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
        if let Some(record) = table.and_then(|table| table.rows.get_mut(id)) {
            record.is_deleted = true;
            record.system_modstamp = at;
        }
    }

    /// A record that is not deleted, by its id of 18 characters.
    pub(crate) fn get(&self, entity: &str, id: &str) -> Option<&Record> {
        let record = self.tables.get(entity)?.rows.get(id)?;
        (!record.is_deleted).then_some(record)
    }

    /// The records of an object that are not deleted, the oldest first.
    pub(crate) fn all(&self, entity: &str) -> impl Iterator<Item = (&str, &Record)> {
        let table = self.tables.get(entity);
        let ids = table.into_iter().flat_map(|table| table.by_age.iter());
        ids.filter_map(move |id| Some((id.as_str(), self.get(entity, id)?)))
    }

    fn row(&mut self, entity: &str, id: String) -> &mut Record {
        let table = self.tables.entry(entity.to_owned()).or_default();
        if !table.rows.contains_key(&id) {
            if table.by_age.len() >= self.records_max
                && let Some(oldest) = table.by_age.pop_front()
            {
                table.rows.remove(&oldest);
            }
            table.by_age.push_back(id.clone());
        }
        table.rows.entry(id).or_default()
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
