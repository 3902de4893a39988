//! A client's write: all records of one request in one transaction, and the change events that tell of it.
//!
//! In: rows and what is to be done with them. Out: one outcome a row, in their order. A row that fails leaves its
//! neighbours alone, unless all or none were asked for. Records and events change together: whoever sees an event
//! finds the record as it left it. The events of one request share a transaction key and count on in its sequence.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::simulator::ids;
use crate::simulator::writes::{RecordError, RecordFault, Trigger, WriteRules};

use super::bus::NewEvent;
use super::change::{self, Change, ChangeType};
use super::keys::{having, refuse_twins};
use super::records::{Record, Records, id18};
use super::row::{self, Assignment, Place, Prepared, Row, Verb};
use super::sobject::SObject;
use super::topics::Topic;
use super::values::{self, Misfit};
use super::{Org, diff, key_prefix, schema_of};

/// From this length on a text's change may come as a diff, which must be half as long at most.
const DIFF_CHARACTERS_MIN: usize = 1_000;

/// What one request writes.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) verb: Verb,
    /// With those that were refused before.
    pub(crate) rows: Vec<Result<Row, RecordError>>,
    pub(crate) all_or_none: bool,
    /// `changeOrigin`.
    pub(crate) origin: String,
    /// A value that cannot be read costs its own record alone.
    pub(crate) misfits_cost_one_record: bool,
}

/// A record that was written, or already was as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) id: String,
    pub(crate) created: bool,
}

pub(crate) type Outcome = Result<Saved, RecordError>;

impl Org {
    /// # Errors
    /// When a value cannot be read, and that is to refuse the request.
    pub(crate) fn write(&self, batch: &Batch) -> Result<Vec<Outcome>, RecordError> {
        let rules = *self.writes.rules.lock();
        let one_alone = batch.misfits_cost_one_record || rules.misfits_cost_one_record;
        let known: RefCell<HashMap<String, Option<Arc<SObject>>>> = RefCell::default();
        let find = |name: &str| {
            let mut known = known.borrow_mut();
            let object = known.entry(name.to_owned());
            object.or_insert_with(|| self.sobject(name).map(Arc::new)).clone()
        };
        let mut rows = Vec::with_capacity(batch.rows.len());
        for row in &batch.rows {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    rows.push(Err(error.clone()));
                    continue;
                }
            };
            rows.push(match row::prepare(row, &batch.verb, find) {
                Ok(prepared) => Ok(prepared),
                Err(Misfit::Unreadable(error)) if !one_alone => return Err(error),
                Err(Misfit::Unreadable(error) | Misfit::Rule(error)) => Err(error),
            });
        }
        refuse_twins(&batch.verb, &mut rows);
        let triggers = self.writes.triggers.lock().clone();
        let mut transaction = Transaction {
            org: self,
            records: &mut self.records.lock(),
            origin: &batch.origin,
            verb: &batch.verb,
            triggers: &triggers,
            at: self.clock.now_ms(),
            commit: self.next_commit(),
            key: uuid::Uuid::new_v4().to_string(),
            rules,
            all_or_none: batch.all_or_none,
            made: Vec::new(),
            undo: Vec::new(),
        };
        let outcomes: Vec<Outcome> = rows.into_iter().map(|row| transaction.row(row?)).collect();
        if batch.all_or_none && outcomes.iter().any(Result::is_err) {
            transaction.roll_back();
            let message = "Record rolled back because not all records were valid and the request was using AllOrNone \
                           header";
            let rolled_back = RecordError::new("ALL_OR_NONE_OPERATION_ROLLED_BACK", message);
            return Ok(outcomes
                .into_iter()
                .map(|outcome| Err(outcome.err().unwrap_or_else(|| rolled_back.clone())))
                .collect());
        }
        transaction.commit();
        Ok(outcomes)
    }
}

struct Transaction<'o> {
    org: &'o Org,
    records: &'o mut Records,
    origin: &'o str,
    verb: &'o Verb,
    triggers: &'o [Trigger],
    at: i64,
    commit: i64,
    key: String,
    rules: WriteRules,
    all_or_none: bool,
    made: Vec<Made>,
    undo: Vec<(String, String, Option<Record>)>,
}

impl Transaction<'_> {
    fn row(&mut self, mut row: Prepared) -> Outcome {
        let found = self.target(&row)?;
        if let Some(fault) = self.fault(&row, found.as_deref()) {
            return Err(fault.error());
        }
        let object = row.object.clone();
        if *self.verb == Verb::Delete {
            let id = found.ok_or_else(|| missing("Id not specified in a delete call"))?;
            self.make(Change::new(&object.name, ChangeType::Delete).records([id.as_str()]))?;
            return Ok(Saved { id, created: false });
        }
        self.resolve(&mut row)?;
        let triggers = self.triggers;
        let ours = triggers.iter().filter(|trigger| trigger.sobject == object.name);
        let (behind, within): (Vec<_>, Vec<_>) = ours.partition(|trigger| trigger.own_event);
        for trigger in within {
            row.values.extend(assignment(&object, trigger));
        }
        self.check_unique(&row, found.as_deref())?;
        row::check_required(&row, found.is_none())?;
        let id = match &found {
            Some(id) => {
                self.update(&object, id, &row.values)?;
                id.clone()
            }
            None => self.create(&object, &row.values)?,
        };
        for trigger in behind {
            let values: Vec<_> = assignment(&object, trigger).into_iter().collect();
            self.update(&object, &id, &values)?;
        }
        Ok(Saved {
            id,
            created: found.is_none(),
        })
    }

    /// The record that a row means; `None` where it is to be a new one.
    fn target(&self, row: &Prepared) -> Result<Option<String>, RecordError> {
        let object = &row.object.name;
        match self.verb {
            Verb::Insert => Ok(None),
            Verb::Update | Verb::Delete => {
                let id = row
                    .id
                    .as_ref()
                    .ok_or_else(|| missing("Id not specified in an update call"))?;
                self.existing(object, id).map(Some)
            }
            Verb::Upsert { key, update_only } => {
                if key.eq_ignore_ascii_case("Id") {
                    return row.id.as_ref().map(|id| self.existing(object, id)).transpose();
                }
                let value = row
                    .key
                    .as_ref()
                    .ok_or_else(|| missing(&format!("{key} not specified")))?;
                let column = row.object.column(key);
                let field = column.map_or(key.as_str(), |column| column.name.as_str());
                let exact = column.is_some_and(|column| column.rules.case_sensitive);
                let ids = having(self.records, object, field, value, exact);
                match ids.as_slice() {
                    [] if *update_only => Err(RecordError::new(
                        "NOT_FOUND",
                        "The requested resource does not exist",
                    )),
                    [] => Ok(None),
                    [id] => Ok(Some(id.clone())),
                    several => {
                        let message = format!(
                            "More than one record found for external id field: [{}]",
                            several.join(", ")
                        );
                        Err(RecordError::new("DUPLICATE_EXTERNAL_ID", &message))
                    }
                }
            }
        }
    }

    fn existing(&self, object: &str, id: &str) -> Result<String, RecordError> {
        if self.records.get(object, id).is_some() {
            return Ok(id.to_owned());
        }
        Err(if self.records.is_deleted(object, id) {
            RecordError::new("ENTITY_IS_DELETED", "entity is deleted")
        } else {
            RecordError::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        })
    }

    fn fault(&self, row: &Prepared, found: Option<&str>) -> Option<RecordFault> {
        let record = found.and_then(|id| self.records.get(&row.object.name, id));
        let keys = row
            .object
            .columns()
            .iter()
            .filter(|column| column.rules.external_id);
        let mut values = Vec::new();
        for column in keys {
            let given = row.values.iter().find(|given| given.column == column.name);
            let stored = record.and_then(|record| record.fields.get(&column.name));
            values.extend(given.map(|given| &given.value).into_iter().chain(stored));
        }
        self.org.writes.faults.take_first(|fault| {
            let is_key = |key: &String| values.iter().any(|value| value.as_str() == Some(key));
            fault.sobject.eq_ignore_ascii_case(&row.object.name)
                && fault.external_id.as_ref().is_none_or(is_key)
                && fault
                    .record_id
                    .as_ref()
                    .is_none_or(|id| id18(id).as_deref() == found)
        })
    }

    /// Finds the records that a row refers to.
    fn resolve(&self, row: &mut Prepared) -> Result<(), RecordError> {
        for reference in std::mem::take(&mut row.references) {
            let (object, key, value) = (&reference.object, &reference.key, &reference.value);
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let ids = having(self.records, object, key, value, reference.case_sensitive);
            let wrong = |what: &str| {
                let message =
                    format!("Foreign key external ID: {shown} {what} for field {key} in entity {object}");
                RecordError::new("INVALID_FIELD", &message)
            };
            let id = match ids.as_slice() {
                [id] => id.clone(),
                [] => return Err(wrong("not found")),
                _ => return Err(wrong("matches more than one record")),
            };
            row.values.push(Assignment {
                column: reference.column,
                place: reference.place,
                value: json!(id),
                refers_to: None,
            });
        }
        for assignment in &row.values {
            let (Some(object), Some(id)) = (&assignment.refers_to, assignment.value.as_str()) else {
                continue;
            };
            // Of what the org does not hold (users, record types), every id is taken for a good one.
            if !matches!(object.as_str(), "Account" | "Contact" | "Order__c") {
                continue;
            }
            if !id.starts_with(key_prefix(object)) {
                let message = format!("{}: id value of incorrect type: {id}", assignment.column);
                return Err(RecordError::new("MALFORMED_ID", &message).on(&assignment.column));
            }
            self.existing(object, id)
                .map_err(|error| error.on(&assignment.column))?;
        }
        Ok(())
    }

    fn check_unique(&self, row: &Prepared, own: Option<&str>) -> Result<(), RecordError> {
        for given in row.values.iter().filter(|given| !given.value.is_null()) {
            let Some(column) = row
                .object
                .column(&given.column)
                .filter(|column| column.rules.unique)
            else {
                continue;
            };
            let exact = column.rules.case_sensitive;
            let others = having(self.records, &row.object.name, &column.name, &given.value, exact);
            if let Some(other) = others.iter().find(|other| Some(other.as_str()) != own) {
                let message = format!(
                    "duplicate value found: {} duplicates value on record with id: {other}",
                    column.name
                );
                return Err(RecordError::new("DUPLICATE_VALUE", &message));
            }
        }
        Ok(())
    }

    fn create(&mut self, object: &SObject, values: &[Assignment]) -> Result<String, RecordError> {
        let id = self.org.new_record_id(key_prefix(&object.name));
        let mut change = Change::new(&object.name, ChangeType::Create).records([id.as_str()]);
        let flags = object.columns().iter().filter(|column| {
            column.rest_type == "boolean"
                && column.is_writable(&object.name)
                && !column.name.starts_with("Person")
        });
        for place in flags.filter_map(Place::of) {
            put(&mut change.fields, &place, json!(false));
        }
        let user = json!(self.org.user_id());
        for (name, value) in [
            ("OwnerId", user.clone()),
            ("CreatedDate", json!(self.at)),
            ("CreatedById", user.clone()),
            ("LastModifiedDate", json!(self.at)),
            ("LastModifiedById", user),
        ] {
            if let Some(place) = object.column(name).and_then(Place::of) {
                put(&mut change.fields, &place, value);
            }
        }
        for given in values {
            put(&mut change.fields, &given.place, given.value.clone());
        }
        change.fields.retain(|_, value| !value.is_null());
        self.make(change)?;
        Ok(id)
    }

    /// Makes a change of what differs; of nothing, none.
    fn update(&mut self, object: &SObject, id: &str, values: &[Assignment]) -> Result<(), RecordError> {
        let Some(record) = self.records.get(&object.name, id) else {
            return Ok(());
        };
        let mut change = Change::new(&object.name, ChangeType::Update).records([id]);
        for given in values {
            let (place, was) = (&given.place, given.place.value(record));
            change.nulled.retain(|name| *name != place.name());
            if values::same(was, &given.value) {
                // An earlier value of the same field is overruled.
                if place.part.is_none() {
                    change.fields.remove(&place.field);
                }
            } else if given.value.is_null() {
                change.nulled.push(place.name());
            } else if let (true, Some(old), Some(new)) =
                (place.is_long_text, was.as_str(), given.value.as_str())
                && old.len().min(new.len()) >= DIFF_CHARACTERS_MIN
                && diff::unified(old, new).len() * 2 <= new.len()
            {
                change = change.text_diff(&place.field, old, new);
            } else {
                put(&mut change.fields, place, given.value.clone());
            }
        }
        if change.fields.is_empty() && change.nulled.is_empty() {
            return Ok(());
        }
        let user = json!(self.org.user_id());
        let by = object.column("LastModifiedById").and_then(Place::of);
        if let Some(place) = by.filter(|place| *place.value(record) != user) {
            put(&mut change.fields, &place, user);
        }
        self.make(change)
    }

    /// Completes a change and does it to the records. Its event is sent at the end.
    fn make(&mut self, mut change: Change) -> Result<(), RecordError> {
        change.origin = Some(self.origin.to_owned());
        change.commit_timestamp = Some(self.at);
        change.commit_number = Some(self.commit);
        change.transaction_key = Some(self.key.clone());
        change.sequence_number = i32::try_from(self.made.len() + 1).ok();
        let unexpected = |message: String| RecordError::new("UNKNOWN_EXCEPTION", &message);
        let topic = self.org.existing(&change.topic()).map_err(unexpected)?;
        let schema = schema_of(&topic).map_err(unexpected)?;
        let change = change::complete(&change, &schema, self.org.defaults(&change.entity));
        // Before anything is done: what an event could not hold, no record has.
        let payload = change::payload(&change, &schema).map_err(unexpected)?;
        if self.all_or_none {
            for id in &change.record_ids {
                let was = self.records.snapshot(&change.entity, id);
                self.undo.push((change.entity.clone(), id.clone(), was));
            }
        }
        self.records.apply(&change);
        if self.rules.merge_changes
            && let Some(last) = self.made.last_mut().filter(|last| is_same(&last.change, &change))
        {
            last.change.record_ids.extend(change.record_ids);
            last.payload = change::payload(&last.change, &schema).map_err(unexpected)?;
            return Ok(());
        }
        self.made.push(Made {
            change,
            topic,
            schema_id: schema.id.clone(),
            payload,
        });
        Ok(())
    }

    fn roll_back(self) {
        for (entity, id, was) in self.undo.into_iter().rev() {
            self.records.restore(&entity, &id, was);
        }
    }

    fn commit(self) {
        let later = Duration::from_millis(self.rules.event_delay_ms);
        let mut made = self.made.into_iter().peekable();
        while let Some(first) = made.next() {
            let topic = first.topic.clone();
            let mut events = vec![first.into()];
            while let Some(next) = made.next_if(|next| next.topic.name == topic.name) {
                events.push(next.into());
            }
            self.org.tell(&topic, events, later);
        }
    }
}

/// A change that was done to the records, and its event.
struct Made {
    change: Change,
    topic: Arc<Topic>,
    schema_id: String,
    payload: Vec<u8>,
}

impl From<Made> for NewEvent {
    fn from(made: Made) -> Self {
        Self {
            id: ids::rpc_id(),
            schema_id: made.schema_id,
            payload: made.payload.into(),
            ..Self::default()
        }
    }
}

fn missing(message: &str) -> RecordError {
    RecordError::new("MISSING_ARGUMENT", message)
}

/// What a trigger writes; nothing where its field or value is none of the object's.
fn assignment(object: &SObject, trigger: &Trigger) -> Option<Assignment> {
    let column = object.column(&trigger.field)?;
    Some(Assignment {
        column: column.name.clone(),
        place: Place::of(column)?,
        value: values::stored(column, &trigger.value).ok()?,
        refers_to: None,
    })
}

fn put(fields: &mut Map<String, Json>, place: &Place, value: Json) {
    let Some(part) = &place.part else {
        fields.insert(place.field.clone(), value);
        return;
    };
    let whole = fields.entry(&place.field).or_insert_with(|| json!({}));
    if !whole.is_object() {
        *whole = json!({});
    }
    whole[part] = value;
}

/// Whether two changes of one transaction say the same of different records.
fn is_same(one: &Change, other: &Change) -> bool {
    one.change_type != ChangeType::Create
        && one.entity == other.entity
        && one.change_type == other.change_type
        && one.fields == other.fields
        && one.nulled == other.nulled
        && one.record_ids != other.record_ids
}
