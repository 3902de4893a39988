//! One record as a client writes it, read against its object: which values go where, which record is meant, and
//! which other records it names by their keys. Pure; whether those records are there, `write` finds out.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::simulator::writes::RecordError;

use super::fields::reference_to;
use super::records::{Record, id18};
use super::sobject::{Column, SObject};
use super::values::{self, Misfit};

/// What is to be done with the records of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Insert,
    Update,
    /// By an external id, or by `Id`.
    Upsert {
        key: String,
        /// A record that is not there is not created.
        update_only: bool,
    },
    Delete,
}

/// A record as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) object: Arc<SObject>,
    pub(crate) fields: Map<String, Json>,
}

/// Where a value stands in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) field: String,
    pub(crate) part: Option<String>,
    /// Its changes may come as diffs.
    pub(crate) is_long_text: bool,
}

impl Place {
    pub(crate) fn of(column: &Column) -> Option<Self> {
        let (field, part) = column.place()?;
        Some(Self {
            field: field.to_owned(),
            part: part.map(str::to_owned),
            is_long_text: column.rest_type == "textarea" && part.is_none(),
        })
    }

    pub(crate) fn value<'r>(&self, record: &'r Record) -> &'r Json {
        let value = record.fields.get(&self.field);
        let value = match &self.part {
            Some(part) => value.and_then(|value| value.get(part)),
            None => value,
        };
        value.unwrap_or(&Json::Null)
    }

    /// As a change event names it.
    pub(crate) fn name(&self) -> String {
        match &self.part {
            Some(part) => format!("{}.{part}", self.field),
            None => self.field.clone(),
        }
    }
}

/// A value of one field.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) column: String,
    pub(crate) place: Place,
    pub(crate) value: Json,
    /// The object whose record the value names.
    pub(crate) refers_to: Option<String>,
}

/// Another record, named by one of its keys.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) column: String,
    pub(crate) place: Place,
    pub(crate) object: String,
    pub(crate) key: String,
    pub(crate) value: Json,
    pub(crate) case_sensitive: bool,
}

/// A record that can be written, as far as its own object says.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) object: Arc<SObject>,
    /// With 18 characters.
    pub(crate) id: Option<String>,
    /// The value of the field that an upsert goes by.
    pub(crate) key: Option<Json>,
    pub(crate) values: Vec<Assignment>,
    pub(crate) references: Vec<Reference>,
}

/// Reads a row. `find` gives other objects by name.
pub(crate) fn prepare(
    row: &Row,
    verb: &Verb,
    find: impl Fn(&str) -> Option<Arc<SObject>>,
) -> Result<Prepared, Misfit> {
    let object = &row.object;
    let mut prepared = Prepared {
        object: object.clone(),
        id: None,
        key: None,
        values: Vec::new(),
        references: Vec::new(),
    };
    let mut read_only = Vec::new();
    for (name, given) in row.fields.iter().filter(|(name, _)| *name != "attributes") {
        if name.eq_ignore_ascii_case("Id") {
            prepared.id = id(verb, given)?;
        } else if let Some(column) = object.column(name) {
            let Some(place) = Place::of(column).filter(|_| column.is_writable(&object.name)) else {
                read_only.push(column.name.clone());
                continue;
            };
            let value = values::stored(column, given)?;
            if matches!(verb, Verb::Upsert { key, .. } if key.eq_ignore_ascii_case(name)) {
                prepared.key = Some(value.clone()).filter(|value| !value.is_null());
            }
            let is_reference = column.rest_type == "reference";
            prepared.values.push(Assignment {
                column: column.name.clone(),
                place,
                value,
                refers_to: is_reference.then(|| reference_to(&object.name, &column.name)),
            });
        } else {
            let column = object
                .reference(name)
                .ok_or_else(|| no_column(name, &object.name))?;
            let Some(place) = Place::of(column).filter(|_| column.is_writable(&object.name)) else {
                read_only.push(column.name.clone());
                continue;
            };
            match given {
                Json::Null => prepared.values.push(Assignment {
                    column: column.name.clone(),
                    place,
                    value: Json::Null,
                    refers_to: None,
                }),
                Json::Object(by) => {
                    let target = reference_to(&object.name, &column.name);
                    let (key, value, case_sensitive) = foreign_key(&target, by, find(&target).as_deref())?;
                    prepared.references.push(Reference {
                        column: column.name.clone(),
                        place,
                        object: target,
                        key,
                        value,
                        case_sensitive,
                    });
                }
                _ => return Err(values::unreadable(&column.name, given)),
            }
        }
    }
    if read_only.is_empty() {
        return Ok(prepared);
    }
    let message = format!(
        "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is \
         read/write for your profile or permission set.",
        read_only.join(", ")
    );
    Err(Misfit::Rule(RecordError {
        fields: read_only,
        ..RecordError::new("INVALID_FIELD_FOR_INSERT_UPDATE", &message)
    }))
}

fn no_column(name: &str, object: &str) -> Misfit {
    let message = format!("No such column '{name}' on sobject of type {object}");
    Misfit::Unreadable(RecordError::new("INVALID_FIELD", &message))
}

fn id(verb: &Verb, given: &Json) -> Result<Option<String>, Misfit> {
    let rule = |code: &str, message: &str| Err(Misfit::Rule(RecordError::new(code, message).on("Id")));
    match verb {
        Verb::Insert => rule(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "cannot specify Id in an insert call",
        ),
        Verb::Upsert { key, .. } if !key.eq_ignore_ascii_case("Id") => rule(
            "INVALID_FIELD",
            "The Id field should not be specified in the sobject data.",
        ),
        _ => match given {
            Json::Null => Ok(None),
            Json::String(text) if text.is_empty() => Ok(None),
            Json::String(text) => match id18(text) {
                Some(id) => Ok(Some(id)),
                None => rule("MALFORMED_ID", &format!("malformed id {text}")),
            },
            _ => Err(values::unreadable("string", given)),
        },
    }
}

/// Field, value and whether the case counts, of `{"Customer_Id__c": "x"}`.
fn foreign_key(
    target: &str,
    by: &Map<String, Json>,
    object: Option<&SObject>,
) -> Result<(String, Json, bool), Misfit> {
    let mut keys = by.iter().filter(|(name, _)| *name != "attributes");
    let (Some((name, value)), None) = (keys.next(), keys.next()) else {
        let message = format!("A reference to {target} goes by one field.");
        return Err(Misfit::Unreadable(RecordError::new("INVALID_FIELD", &message)));
    };
    let Some(object) = object else {
        return Ok((name.clone(), value.clone(), false));
    };
    let column = object.column(name).ok_or_else(|| no_column(name, target))?;
    if !column.rules.external_id && column.name != "Id" {
        let message = format!("Field name provided, {name} does not match an External ID for {target}");
        return Err(Misfit::Unreadable(RecordError::new("INVALID_FIELD", &message)));
    }
    let value = values::stored(column, value)?;
    Ok((column.name.clone(), value, column.rules.case_sensitive))
}

/// Whether a record has all that its object requires once the row is written.
pub(super) fn check_required(row: &Prepared, is_new: bool) -> Result<(), RecordError> {
    let object = &row.object;
    let required = object.columns().iter().filter(|column| column.rules.required);
    let lacks = |place: &Place| {
        // A person account's name is in parts.
        let mut given = row.values.iter().filter(|given| match &place.part {
            None => given.place.field == place.field,
            Some(_) => given.place == *place,
        });
        let has_value = given.clone().any(|given| !given.value.is_null());
        !has_value && (is_new || given.next().is_some())
    };
    let lacking = required.filter(|column| Place::of(column).is_some_and(|place| lacks(&place)));
    let lacking: Vec<_> = lacking.map(|column| column.name.clone()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let message = format!("Required fields are missing: [{}]", lacking.join(", "));
    Err(RecordError {
        fields: lacking,
        ..RecordError::new("REQUIRED_FIELD_MISSING", &message)
    })
}
