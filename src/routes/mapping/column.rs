//! A field of an object that is written: its name in the body, and its values as its type in `describe` has them.

use serde_json::{Map, Value as Json, json};

use super::Refusal;
use super::coerce::{self, Rule};
use super::moment::{self, Unit};
use super::record::no_such_field;
use crate::config::Operation;
use crate::salesforce::rest::{Describe, Field, FieldType};

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Field,
    /// Into the record that the field points to: `Account: {"External_Id__c": …}`.
    Related {
        relationship: String,
        external_id: String,
        /// Which object, where the field may point to several.
        object: Option<String>,
    },
}

#[derive(Debug)]
pub(super) struct Column {
    /// As the configuration has it.
    name: String,
    field: Field,
    place: Place,
}

impl Column {
    /// A field that an equal name may set; `None`: this operation may not write it.
    pub(super) fn of_field(field: &Field, operation: Operation) -> Option<Self> {
        is_writable(field, operation).then(|| Self {
            name: field.name.clone(),
            field: field.clone(),
            place: Place::Field,
        })
    }

    /// A field that the configuration names.
    pub(super) fn explicit(object: &Describe, operation: Operation, name: &str) -> Result<Self, Refusal> {
        let (field, place) = match name.split_once('.') {
            Some((relation, external_id)) => related(object, name, relation, external_id)?,
            None => (
                object.field(name).ok_or_else(|| no_such_field(object, name))?,
                Place::Field,
            ),
        };
        if !is_writable(field, operation) {
            let rule = if name == "Id" {
                "is given by Salesforce; only an update or a delete without external_id is told it".to_owned()
            } else {
                format!("{} may not be written by this user", field.name)
            };
            return Err(Refusal::of_field(name, rule));
        }
        Ok(Self {
            name: name.to_owned(),
            field: field.clone(),
            place,
        })
    }

    /// The field of the object that it sets.
    pub(super) fn sets(&self) -> &str {
        &self.field.name
    }

    pub(super) fn write(&self, value: &Json, body: &mut Map<String, Json>) -> Result<(), Refusal> {
        let refuse = |rule: Rule| Refusal::of_field(&self.name, rule);
        if value.is_null() {
            body.insert(self.field.name.clone(), Json::Null);
            return Ok(());
        }
        let value = self.place.coerce(&self.field, value).map_err(refuse)?;
        match &self.place {
            Place::Field => body.insert(self.field.name.clone(), value),
            Place::Related {
                relationship,
                external_id,
                object,
            } => {
                let mut other = Map::new();
                if let Some(object) = object {
                    other.insert("attributes".to_owned(), json!({"type": object}));
                }
                other.insert(external_id.clone(), value);
                body.insert(relationship.clone(), Json::Object(other))
            }
        };
        Ok(())
    }
}

/// An upsert may insert or update; which it is, Salesforce says, and so whether a field may be written.
const fn is_writable(field: &Field, operation: Operation) -> bool {
    match operation {
        Operation::Insert => field.createable,
        Operation::Update => field.updateable,
        Operation::Upsert => field.createable || field.updateable,
        Operation::Delete => false,
    }
}

/// `Account.External_Id__c`, `User:Owner.External_Id__c`.
fn related<'d>(
    object: &'d Describe,
    name: &str,
    relation: &str,
    external_id: &str,
) -> Result<(&'d Field, Place), Refusal> {
    let (target, relationship) = match relation.split_once(':') {
        Some((target, relationship)) => (Some(target), relationship),
        None => (None, relation),
    };
    let refuse = |rule: String| Refusal::of_field(name, rule);
    let field = object.relationship(relationship).ok_or_else(|| {
        refuse(format!(
            "{} has no relationship {relationship}, or the user may not see it",
            object.name()
        ))
    })?;
    let targets = || field.reference_to.join(", ");
    match target {
        Some(target) if !field.reference_to.iter().any(|known| known == target) => {
            return Err(refuse(format!(
                "{relationship} points to {}, not to {target}",
                targets()
            )));
        }
        None if field.reference_to.len() > 1 => {
            return Err(refuse(format!(
                "{relationship} may point to {}; say which, such as {}:{name}",
                targets(),
                field.reference_to.first().map_or("", String::as_str)
            )));
        }
        _ => {}
    }
    if external_id.is_empty() || external_id.contains('.') {
        return Err(refuse(
            "names one external id of the other record, such as Account.External_Id__c".to_owned(),
        ));
    }
    Ok((
        field,
        Place::Related {
            relationship: relationship.to_owned(),
            external_id: external_id.to_owned(),
            object: target.map(str::to_owned),
        },
    ))
}

impl Place {
    /// A value, not null, as it stands in the body.
    pub(super) fn coerce(&self, field: &Field, value: &Json) -> Result<Json, Rule> {
        // The other record's external id may be a text or a number: it is told as it is.
        if let Self::Related { .. } = self {
            return match value {
                Json::Number(_) => Ok(value.clone()),
                Json::String(text) if !text.is_empty() => Ok(value.clone()),
                Json::String(_) => Err("names another record, and is empty".to_owned()),
                other => Err(format!(
                    "takes a text or a number, not {}",
                    coerce::kind_of(other)
                )),
            };
        }
        let text = |text: Option<String>| {
            text.map(Json::from)
                .ok_or_else(|| "takes years up to 9999".to_owned())
        };
        match field.field_type {
            FieldType::Boolean => coerce::boolean(value).map(Json::from),
            FieldType::Int => coerce::int(value).map(Json::from),
            FieldType::Long => coerce::integer(value).map(Json::from),
            FieldType::Double | FieldType::Currency | FieldType::Percent => number(value),
            FieldType::DateTime => text(moment::date_time(coerce::date_time_ms(value)?, Unit::Millis, "Z")),
            FieldType::Date => text(moment::date(coerce::day_ms(value)?.div_euclid(moment::DAY_MS))),
            FieldType::Time => {
                let time = moment::time(coerce::time_ms(value)?, Unit::Millis);
                text(time.map(|time| time + "Z"))
            }
            FieldType::Picklist | FieldType::MultiPicklist => {
                coerce::choices(value, field.length).map(Json::from)
            }
            FieldType::Id | FieldType::Reference => match value {
                Json::String(_) => Ok(value.clone()),
                other => Err(format!(
                    "takes a record id as text, not {}",
                    coerce::kind_of(other)
                )),
            },
            FieldType::String
            | FieldType::TextArea
            | FieldType::Email
            | FieldType::Phone
            | FieldType::Url
            | FieldType::Combobox
            | FieldType::Encrypted => coerce::text_within(value, field.length).map(Json::from),
            FieldType::Base64 => coerce::text(value).map(Json::from),
            FieldType::Compound => Err("is made of other fields; name those".to_owned()),
            FieldType::Other => match value {
                Json::Array(_) | Json::Object(_) => {
                    Err(format!("takes a single value, not {}", coerce::kind_of(value)))
                }
                single => Ok(single.clone()),
            },
        }
    }
}

/// JSON has digits, not doubles: an integer of 64 bits is told as it is, every other number as the double that it is.
fn number(value: &Json) -> Result<Json, Rule> {
    match value {
        Json::Number(number) if !number.is_f64() => Ok(value.clone()),
        _ => coerce::double(value)
            .map(Json::from)
            .or_else(|inexact| coerce::integer(value).map(Json::from).map_err(|_| inexact)),
    }
}
