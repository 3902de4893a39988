//! What an object's fields are beyond what their change event says: keys, limits, what may be written, and what
//! refers to what. Pure, but for [`FieldRules`], which the control API may change.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is laid down for one field. The default is a field without any of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldRules {
    /// Records may be found by it.
    pub external_id: bool,
    /// No two records have the same value.
    pub unique: bool,
    /// `A` and `a` are two values.
    pub case_sensitive: bool,
    /// No record is without a value.
    pub required: bool,
    /// Nobody writes it but the org.
    pub read_only: bool,
    /// Characters of a text. Default: by type.
    pub length: Option<usize>,
    /// Digits of a number in all, and behind the point. Default: 18 and 6.
    pub precision: Option<u32>,
    pub scale: Option<u32>,
}

impl FieldRules {
    /// An external id that no two records share, the case of its letters set aside: what an upsert wants.
    pub fn key() -> Self {
        Self {
            external_id: true,
            unique: true,
            ..Self::default()
        }
    }
}

/// The rules of all fields that have some, by object and field.
#[derive(Debug)]
pub(crate) struct Rulebook(BTreeMap<(String, String), FieldRules>);

impl Default for Rulebook {
    fn default() -> Self {
        let mut rules = Self(BTreeMap::new());
        for (object, field) in [
            ("Account", "Customer_Id__c"),
            ("Contact", "Person_Id__c"),
            ("Order__c", "Order_Number__c"),
        ] {
            rules.set(object, field, FieldRules::key());
        }
        let shared_key = FieldRules {
            external_id: true,
            ..FieldRules::default()
        };
        for object in ["Account", "Contact"] {
            rules.set(object, "GUID__c", shared_key.clone());
        }
        let required = FieldRules {
            required: true,
            ..FieldRules::default()
        };
        rules.set("Account", "Name", required.clone());
        rules.set("Contact", "LastName", required);
        rules
    }
}

impl Rulebook {
    pub(crate) fn set(&mut self, object: &str, field: &str, rules: FieldRules) {
        self.0.insert((object.to_owned(), field.to_owned()), rules);
    }

    pub(crate) fn of(&self, object: &str, field: &str) -> FieldRules {
        let key = (object.to_owned(), field.to_owned());
        self.0.get(&key).cloned().unwrap_or_default()
    }

    /// The names of an object's external ids and unique fields.
    pub(crate) fn keys_of(&self, object: &str) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |((of, _), _)| of == object);
        fields
            .filter(|(_, rules)| rules.external_id || rules.unique)
            .map(|((_, field), _)| field.as_str())
    }
}

/// Whether the org alone writes a field.
pub(crate) fn is_system(name: &str) -> bool {
    matches!(
        name,
        "Id" | "IsDeleted"
            | "SystemModstamp"
            | "IsPersonAccount"
            | "CreatedDate"
            | "CreatedById"
            | "LastModifiedDate"
            | "LastModifiedById"
            | "PersonContactId"
            | "JigsawCompanyId"
            | "JigsawContactId"
    )
}

/// By which name a reference reaches the record it names: `AccountId` by `Account`, `Account__c` by `Account__r`.
pub(crate) fn relationship_name(field: &str) -> String {
    match field.strip_suffix("__c") {
        Some(stem) => format!("{stem}__r"),
        None => field.strip_suffix("Id").unwrap_or(field).to_owned(),
    }
}

/// The object that a reference of `object` names.
pub(crate) fn reference_to(object: &str, field: &str) -> String {
    let target = match field {
        "OwnerId" | "CreatedById" | "LastModifiedById" => "User",
        "ParentId" => object,
        "ReportsToId" | "PersonContactId" => "Contact",
        "IndividualId" | "PersonIndividualId" => "Individual",
        _ => match field.strip_suffix("__c") {
            Some(stem) if stem == "Account" || stem == "Contact" => stem,
            Some(_) => field,
            None => field.strip_suffix("Id").unwrap_or(field),
        },
    };
    target.to_owned()
}

/// Characters that a text of this type holds.
pub(crate) fn default_length(rest_type: &str) -> usize {
    match rest_type {
        "textarea" => 32_000,
        "multipicklist" => 4_099,
        "email" => 80,
        "phone" => 40,
        "id" | "reference" => 18,
        _ => 255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_where_their_names_say() {
        for (object, field, relationship, target) in [
            ("Contact", "AccountId", "Account", "Account"),
            ("Account", "ParentId", "Parent", "Account"),
            ("Order__c", "Account__c", "Account__r", "Account"),
            ("Account", "OwnerId", "Owner", "User"),
            ("Account", "Order__c", "Order__r", "Order__c"),
        ] {
            assert_eq!(relationship_name(field), relationship);
            assert_eq!(reference_to(object, field), target);
        }
    }
}
