//! A record as an sObject's record.
//!
//! * **Body**: what [`RestClient::write`](crate::salesforce::rest::RestClient::write) and Bulk's CSV are made of: what finds
//!   the record, then the fields in the order of the configuration, or of the record where fields go by name. Null clears a
//!   field, a missing one is not in the body.
//! * **Which record**: the field `external_id`, where the route has one; else, for an update or a delete, `Id`.
//! * A field `Account.External_Id__c` names the other record by an external id of its own; null clears the lookup
//!   (`AccountId: null`). A lookup that may point to several objects says which: `User:Owner.External_Id__c`.
//! * A **tombstone** deletes: its key is the external id, unless the route's expression for the external id reads
//!   nothing of the value.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::coerce::{self, Rule};
use super::column::{Column, Place};
use super::ignored::Ignored;
use super::source::Key;
use super::{Decoded, Program, Refusal};
use crate::config::{OnTombstone, Operation};
use crate::salesforce::rest::{Describe, Field};

const ID: &str = "Id";

/// A value of the external id, or a record id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalId {
    sent: String,
    compared: String,
}

impl ExternalId {
    /// Of a field's value in the form that is sent, text or number.
    fn of_field(field: &Field, value: &Json) -> Result<Self, Rule> {
        let sent = coerce::text(value)?.into_owned();
        if sent.trim().is_empty() {
            return Err("finds the record, and is empty".to_owned());
        }
        let compared = field.folded(&sent);
        Ok(Self { sent, compared })
    }

    /// 15 characters; with 18 the last three only say which of them are capitals.
    fn of_record_id(value: &Json) -> Result<Self, Rule> {
        let id = value
            .as_str()
            .filter(|id| matches!(id.len(), 15 | 18) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let id = id.ok_or("takes a record id of 15 or 18 letters and digits alone")?;
        Ok(Self {
            sent: id.to_owned(),
            compared: id.get(..15).unwrap_or(id).to_owned(),
        })
    }

    /// As it is sent.
    pub fn as_sent(&self) -> &str {
        &self.sent
    }

    /// The same for two values that Salesforce takes for the same record.
    pub fn compare_key(&self) -> &str {
        &self.compared
    }
}

/// Which record is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// The one with this value of the route's `external_id`.
    ExternalId(ExternalId),
    /// The one with this record id.
    RecordId(ExternalId),
}

/// What is sent for one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Record {
        /// Where the route has `external_id`: of an upsert it stands in the body too, of an update it does not.
        external_id: Option<ExternalId>,
        /// Of an update without `external_id`; it stands in the body too, as `Id`.
        record_id: Option<ExternalId>,
        /// Without `attributes`.
        body: Map<String, Json>,
    },
    Delete(Victim),
    /// A tombstone that the route ignores.
    Ignore,
}

/// What finds the record.
#[derive(Debug)]
enum Finder {
    ExternalId(Field),
    RecordId,
    /// An insert finds none.
    None,
}

/// An object and what a route does to its records.
#[derive(Debug)]
pub struct RecordTarget {
    program: Arc<Program>,
    object: String,
    operation: Operation,
    on_tombstone: OnTombstone,
    finder: Finder,
    /// The expression that gives the external id or the record id.
    found_by: Option<usize>,
    /// Explicit fields, by the index of their expression; else every field of the object that may be written.
    columns: Vec<(usize, Column)>,
    by_name: HashMap<String, Column>,
    /// Fields of the object that may not be written.
    read_only: Vec<String>,
    ignored: Ignored,
}

impl RecordTarget {
    /// # Errors
    /// Every field of the mapping that the object does not have, or that this user may not write; an external id that
    /// is none; an operation that the user may not do at all.
    pub fn new(
        program: Arc<Program>,
        object: &Describe,
        operation: Operation,
        external_id: Option<&str>,
        on_tombstone: OnTombstone,
    ) -> Result<Self, Vec<Refusal>> {
        let mut refusals: Vec<_> = denied(object, operation).into_iter().collect();
        let finder = finder(object, operation, external_id).unwrap_or_else(|refusal| {
            refusals.push(refusal);
            Finder::None
        });
        let finder_name = match &finder {
            Finder::ExternalId(field) => Some(field.name.as_str()),
            Finder::RecordId => Some(ID),
            Finder::None => external_id,
        };
        let mut found_by = None;
        let mut columns: Vec<(usize, Column)> = Vec::new();
        for (index, name) in program.names().enumerate() {
            if Some(name) == finder_name {
                found_by = Some(index);
                continue;
            }
            if operation == Operation::Delete {
                refusals.push(Refusal::of_field(name, "a delete sends no fields; remove it"));
                continue;
            }
            match Column::explicit(object, operation, name) {
                Ok(column) => match columns.iter().find(|(_, other)| other.sets() == column.sets()) {
                    Some(_) => refusals.push(Refusal::of_field(
                        name,
                        format_args!("another field sets {} too; remove one", column.sets()),
                    )),
                    None => columns.push((index, column)),
                },
                Err(refusal) => refusals.push(refusal),
            }
        }
        if !program.is_by_name()
            && found_by.is_none()
            && operation != Operation::Insert
            && refusals.is_empty()
        {
            let name = finder_name.unwrap_or(ID);
            refusals.push(Refusal::of_field(
                name,
                "finds the record, so it needs an expression, such as `key`",
            ));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let mut by_name = HashMap::new();
        let mut read_only = Vec::new();
        if program.is_by_name() {
            for field in object
                .fields()
                .filter(|field| Some(field.name.as_str()) != finder_name)
            {
                match Column::of_field(field, operation) {
                    Some(column) => drop(by_name.insert(field.name.clone(), column)),
                    None => read_only.push(field.name.clone()),
                }
            }
        }
        Ok(Self {
            program,
            object: object.name().to_owned(),
            operation,
            on_tombstone,
            finder,
            found_by,
            columns,
            by_name,
            read_only,
            ignored: Ignored::default(),
        })
    }

    /// What to do for this record.
    ///
    /// # Errors
    /// A value that its field cannot hold; a record without its external id or id; a tombstone where the route says
    /// `dead_letter`.
    pub fn write(&self, record: &Decoded) -> Result<Write, Refusal> {
        let Some(value) = &record.value else {
            return self.tombstone(record);
        };
        let members = match value {
            Json::Object(members) => Some(members),
            _ if !self.program.is_by_name() => None,
            other => {
                return Err(Refusal::of_record(format!(
                    "fields of equal names are of an object, and the value is {}",
                    coerce::kind_of(other)
                )));
            }
        };
        let found = match (self.found_by, &self.finder) {
            (Some(index), _) => self.program.value(index, record)?,
            (None, Finder::ExternalId(field)) => {
                members.and_then(|members| members.get(&field.name)).cloned()
            }
            (None, Finder::RecordId) => members.and_then(|members| members.get(ID)).cloned(),
            (None, Finder::None) => None,
        };
        if self.operation == Operation::Delete {
            return Ok(Write::Delete(self.victim(found)?));
        }
        let mut body = Map::new();
        let (external_id, record_id) = self.find(found, &mut body)?;
        for (index, column) in &self.columns {
            if let Some(value) = self.program.value(*index, record)? {
                column.write(&value, &mut body)?;
            }
        }
        for (name, value) in members
            .into_iter()
            .flatten()
            .filter(|_| self.program.is_by_name())
        {
            match self.by_name.get(name) {
                Some(column) => column.write(value, &mut body)?,
                None => self.note(name),
            }
        }
        Ok(Write::Record {
            external_id,
            record_id,
            body,
        })
    }

    /// Puts what finds the record into the body, where it belongs there.
    fn find(
        &self,
        found: Option<Json>,
        body: &mut Map<String, Json>,
    ) -> Result<(Option<ExternalId>, Option<ExternalId>), Refusal> {
        match &self.finder {
            Finder::None => Ok((None, None)),
            Finder::RecordId => {
                let id = record_id(found)?;
                body.insert(ID.to_owned(), Json::from(id.as_sent()));
                Ok((None, Some(id)))
            }
            Finder::ExternalId(field) => {
                let found = found.filter(|value| !value.is_null());
                if self.operation == Operation::Insert && found.is_none() {
                    return Ok((None, None));
                }
                let (id, value) = external_id(field, found)?;
                if self.operation != Operation::Update {
                    body.insert(field.name.clone(), value);
                }
                Ok((Some(id), None))
            }
        }
    }

    fn victim(&self, found: Option<Json>) -> Result<Victim, Refusal> {
        match &self.finder {
            Finder::ExternalId(field) => Ok(Victim::ExternalId(external_id(field, found)?.0)),
            Finder::RecordId | Finder::None => Ok(Victim::RecordId(record_id(found)?)),
        }
    }

    fn tombstone(&self, record: &Decoded) -> Result<Write, Refusal> {
        match self.on_tombstone {
            OnTombstone::Ignore => return Ok(Write::Ignore),
            OnTombstone::DeadLetter => {
                return Err(Refusal::of_record(
                    "the record is a tombstone, and on_tombstone is dead_letter",
                ));
            }
            OnTombstone::Delete => {}
        }
        let by_expression = self.found_by.filter(|index| self.program.is_of_key_alone(*index));
        let found = match (by_expression, &record.key) {
            (Some(index), _) => self.program.value(index, record)?,
            (None, Key::Value(key)) => Some(key.clone()),
            (None, Key::Absent) => {
                return Err(Refusal::of_record(
                    "a tombstone without a key says not what to delete",
                ));
            }
            (None, Key::Unreadable(rule)) => {
                return Err(Refusal::of_record(format!("the key cannot be read: {rule}")));
            }
        };
        Ok(Write::Delete(self.victim(found)?))
    }

    fn note(&self, name: &str) {
        // What finds the record is no column, and is sent.
        if matches!(&self.finder, Finder::ExternalId(field) if field.name == name)
            || matches!(self.finder, Finder::RecordId) && name == ID
        {
            return;
        }
        let why = if self.read_only.iter().any(|field| field == name) {
            "this user may not write it"
        } else {
            "the object has none of that name, or this user may not see it"
        };
        self.ignored.note(self.program.route(), &self.object, name, why);
    }

    #[cfg(test)]
    pub(super) fn ignored(&self) -> Vec<String> {
        self.ignored.names()
    }
}

/// What the user may not do to any record of the object. An upsert may be either; Salesforce says it record by record.
fn denied(object: &Describe, operation: Operation) -> Option<Refusal> {
    let (is_allowed, what) = match operation {
        Operation::Insert => (object.is_createable(), "insert"),
        Operation::Update => (object.is_updateable(), "update"),
        Operation::Upsert => (
            object.is_createable() || object.is_updateable(),
            "insert or update",
        ),
        Operation::Delete => (object.is_deletable(), "delete"),
    };
    (!is_allowed).then(|| Refusal::of_record(format!("the user may not {what} records of {}", object.name())))
}

fn finder(object: &Describe, operation: Operation, external_id: Option<&str>) -> Result<Finder, Refusal> {
    match external_id {
        None if operation == Operation::Insert => Ok(Finder::None),
        None if operation == Operation::Upsert => Err(Refusal::of_record(
            "an upsert finds records by external_id; give the field",
        )),
        None => Ok(Finder::RecordId),
        Some(name) => {
            let field = object.field(name).ok_or_else(|| no_such_field(object, name))?;
            if field.external_id || field.id_lookup || field.name == ID {
                Ok(Finder::ExternalId(field.clone()))
            } else {
                Err(Refusal::of_field(
                    name,
                    format_args!("is no external id of {}", object.name()),
                ))
            }
        }
    }
}

pub(super) fn no_such_field(object: &Describe, name: &str) -> Refusal {
    let rule = format_args!("{} has no such field, or the user may not see it", object.name()).to_string();
    Refusal::of_field(name, rule)
}

fn external_id(field: &Field, found: Option<Json>) -> Result<(ExternalId, Json), Refusal> {
    let refuse = |rule: Rule| Refusal::of_field(&field.name, rule);
    let found = found
        .filter(|value| !value.is_null())
        .ok_or_else(|| refuse("finds the record, and the record has no value for it".to_owned()))?;
    let value = Place::Field.coerce(field, &found).map_err(refuse)?;
    let id = ExternalId::of_field(field, &value).map_err(refuse)?;
    Ok((id, value))
}

fn record_id(found: Option<Json>) -> Result<ExternalId, Refusal> {
    let refuse = |rule: Rule| Refusal::of_field(ID, rule);
    let found = found
        .filter(|value| !value.is_null())
        .ok_or_else(|| refuse("finds the record, and the record has no value for it".to_owned()))?;
    ExternalId::of_record_id(&found).map_err(refuse)
}
