//! Which record is meant: by id, by an external id, and by two rows at once.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::simulator::writes::RecordError;

use super::records::{Records, id18};
use super::row::{Prepared, Verb};
use super::sobject::SObject;
use super::{Org, key_prefix};

impl Org {
    /// The object that an id of 18 characters is of, by its prefix and by the records that are there.
    pub(crate) fn object_of(&self, id: &str) -> Option<SObject> {
        let mut objects = self.sobjects();
        objects.retain(|object| id.starts_with(key_prefix(&object.name)));
        let records = self.records.lock();
        let holds = |object: &SObject| records.snapshot(&object.name, id).is_some();
        let index = objects.iter().position(holds).unwrap_or_default();
        (index < objects.len()).then(|| objects.swap_remove(index))
    }

    /// Ids of the records that have a value in one of their object's keys.
    pub(crate) fn ids_by_key(&self, object: &SObject, field: &str, value: &Json) -> Vec<String> {
        let column = object.column(field);
        let exact = column.is_some_and(|column| column.rules.case_sensitive);
        let field = column.map_or(field, |column| column.name.as_str());
        having(&self.records.lock(), &object.name, field, value, exact)
    }
}

/// Ids of the records whose field has a value, the case of its letters set aside unless `exact`.
pub(super) fn having(records: &Records, object: &str, field: &str, value: &Json, exact: bool) -> Vec<String> {
    if field == "Id" {
        let id = value.as_str().and_then(id18);
        return id
            .filter(|id| records.get(object, id).is_some())
            .into_iter()
            .collect();
    }
    let same = |id: &&str| {
        let record = records.get(object, id);
        record.is_some_and(|record| !exact || record.fields.get(field) == Some(value))
    };
    let ids = records.find(object, field, value);
    ids.filter(same).map(str::to_owned).collect()
}

/// Two rows of one request that mean the same record are both refused.
pub(super) fn refuse_twins(verb: &Verb, rows: &mut [Result<Prepared, RecordError>]) {
    let name_of = |row: &Prepared| match (verb, &row.id, &row.key) {
        (Verb::Insert | Verb::Delete, ..) | (_, None, None) => None,
        (_, Some(id), _) => Some((id.clone(), id.clone())),
        (Verb::Upsert { key, .. }, None, Some(value)) => {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let exact = row
                .object
                .column(key)
                .is_some_and(|column| column.rules.case_sensitive);
            Some((
                if exact {
                    shown.clone()
                } else {
                    shown.to_lowercase()
                },
                shown,
            ))
        }
        _ => None,
    };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (folded, _) in rows.iter().filter_map(|row| name_of(row.as_ref().ok()?)) {
        *seen.entry(folded).or_default() += 1;
    }
    for slot in rows {
        let Some((folded, shown)) = slot.as_ref().ok().and_then(name_of) else {
            continue;
        };
        if seen.get(&folded).is_some_and(|&count| count > 1) {
            let what = if matches!(verb, Verb::Update) {
                "id"
            } else {
                "external id"
            };
            *slot = Err(RecordError::new(
                "DUPLICATE_VALUE",
                &format!("Duplicate {what} specified: {shown}"),
            ));
        }
    }
}
