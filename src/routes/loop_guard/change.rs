//! What a change event says about one record, in the words of a write: REST's names, and the forms that each value
//! may have been sent in.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::values::{event_forms, hash};
use crate::salesforce::event::{ChangeEventHeader, ChangeType};

/// Salesforce fills these in by itself: they change with every write, and say nothing of who made it.
const SYSTEM_FIELDS: [&str; 10] = [
    "id",
    "isdeleted",
    "createddate",
    "createdbyid",
    "lastmodifieddate",
    "lastmodifiedbyid",
    "systemmodstamp",
    "lastactivitydate",
    "lastvieweddate",
    "lastreferenceddate",
];

/// Filled in every new record that does not say otherwise, in any org.
const DEFAULTED_FIELDS: [&str; 4] = ["ownerid", "recordtypeid", "currencyisocode", "cleanstatus"];

/// Fields of an object that get values without anybody's doing. Names in lower case.
#[derive(Debug, Clone, Default)]
pub struct ObjectFields {
    /// Nobody can write them: formulas, roll-up summaries, automatic numbers.
    derived: HashSet<String>,
    /// A new record that does not say otherwise gets a value.
    defaulted: HashSet<String>,
}

impl ObjectFields {
    /// `fields` as describe tells them: name, whether it is derived, whether a new record gets a value.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, bool, bool)>) -> Self {
        let mut object = Self::default();
        for (name, is_derived, is_defaulted) in fields {
            if is_derived {
                object.derived.insert(name.to_ascii_lowercase());
            }
            if is_defaulted {
                object.defaulted.insert(name.to_ascii_lowercase());
            }
        }
        object
    }
}

/// One field of an event, system fields left out.
#[derive(Debug)]
pub(super) struct ChangedField {
    /// What REST may call it, in lower case.
    pub(super) names: Vec<String>,
    forms: Vec<String>,
    is_filled: bool,
    is_false: bool,
}

/// What happened to the record's fields.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) kind: ChangeType,
    /// Of an UPDATE those that changed, of a CREATE all that the event can show.
    pub(super) fields: Vec<ChangedField>,
}

/// Hashes by field name, under one salt.
pub(super) type Hashes = HashMap<String, Vec<u64>>;

impl Changed {
    /// `body` is the event as JSON, without or with its header.
    pub(super) fn new(header: &ChangeEventHeader, body: &Map<String, Value>) -> Self {
        let kind = header.change_type;
        let mut fields = Vec::new();
        match kind {
            ChangeType::Create => {
                for (name, value) in body {
                    match value {
                        _ if name == "ChangeEventHeader" => {}
                        Value::Object(parts) => {
                            fields.extend(
                                parts
                                    .iter()
                                    .filter_map(|(part, value)| field(part_names(name, part), value, false)),
                            );
                        }
                        _ => fields.extend(field(vec![name.to_ascii_lowercase()], value, false)),
                    }
                }
            }
            ChangeType::Update => {
                let mut seen = HashSet::new();
                for path in header.changed_fields.iter().chain(&header.nulled_fields) {
                    if !seen.insert(path) {
                        continue;
                    }
                    let is_diff = header.diff_fields.contains(path);
                    fields.extend(changed(path, body, is_diff));
                }
            }
            _ => {}
        }
        Self { kind, fields }
    }

    pub(super) fn hashes(&self, salt: &str) -> Hashes {
        let of = |field: &ChangedField, name: &str| -> Vec<u64> {
            field.forms.iter().map(|form| hash(salt, name, form)).collect()
        };
        let names = self.fields.iter().flat_map(|field| {
            let hashed = move |name: &String| (name.clone(), of(field, name));
            field.names.iter().map(hashed)
        });
        names.collect()
    }

    /// The values by which a write can be found, as hashes: null finds too many.
    pub(super) fn telling(&self, salt: &str) -> Vec<u64> {
        let filled = self.fields.iter().filter(|field| field.is_filled);
        filled
            .flat_map(|field| {
                field
                    .names
                    .iter()
                    .flat_map(|name| field.forms.iter().map(|form| hash(salt, name, form)))
            })
            .collect()
    }

    /// Whether a field that was not written changed without anybody's doing.
    pub(super) fn is_by_itself(&self, field: &ChangedField, object: &ObjectFields) -> bool {
        let any = |names: &HashSet<String>| field.names.iter().any(|name| names.contains(name));
        if any(&object.derived) {
            return true;
        }
        self.kind == ChangeType::Create
            && (!field.is_filled
                || field.is_false
                || any(&object.defaulted)
                || field
                    .names
                    .iter()
                    .any(|name| DEFAULTED_FIELDS.contains(&name.as_str())))
    }

    /// Whether a null that was sent for this field means the default that came instead.
    pub(super) fn is_defaulted(&self, name: &str, object: &ObjectFields) -> bool {
        self.kind == ChangeType::Create
            && (object.defaulted.contains(name) || DEFAULTED_FIELDS.contains(&name))
    }
}

/// A path of `changedFields`: `Phone`, `BillingAddress.City`, or a whole compound.
fn changed(path: &str, body: &Map<String, Value>, is_diff: bool) -> Vec<ChangedField> {
    let (name, part) = path
        .split_once('.')
        .map_or((path, None), |(name, part)| (name, Some(part)));
    let value = body.get(name).unwrap_or(&Value::Null);
    match (part, value) {
        (Some(part), value) => field(
            part_names(name, part),
            value.get(part).unwrap_or(&Value::Null),
            false,
        )
        .into_iter()
        .collect(),
        (None, Value::Object(parts)) => parts
            .iter()
            .filter(|(_, value)| !value.is_null())
            .filter_map(|(part, value)| field(part_names(name, part), value, false))
            .collect(),
        (None, value) => field(vec![name.to_ascii_lowercase()], value, is_diff)
            .into_iter()
            .collect(),
    }
}

fn field(names: Vec<String>, value: &Value, is_diff: bool) -> Option<ChangedField> {
    let is_system = names.iter().any(|name| SYSTEM_FIELDS.contains(&name.as_str()));
    (!is_system).then(|| ChangedField {
        names,
        forms: event_forms(value, is_diff),
        is_filled: !value.is_null(),
        is_false: *value == Value::Bool(false),
    })
}

/// What REST may call a part of a compound: `BillingCity`, `FirstName`, `Loc__Latitude__s`.
fn part_names(field: &str, part: &str) -> Vec<String> {
    let (field, part) = (field.to_ascii_lowercase(), part.to_ascii_lowercase());
    if field == "name" {
        return vec![part];
    }
    for (custom, suffixes) in [("__c", &["__s"][..]), ("__pc", &["__ps", "__s", "__pc"][..])] {
        if let Some(stem) = field.strip_suffix(custom) {
            let name = |suffix: &&str| format!("{stem}__{part}{suffix}");
            return suffixes.iter().map(name).collect();
        }
    }
    vec![format!(
        "{}{part}",
        field.strip_suffix("address").unwrap_or(&field)
    )]
}
