//! What `describe` answers of an object. Pure.

use serde_json::{Value as Json, json};

use super::fields::{reference_to, relationship_name};
use super::key_prefix;
use super::sobject::{Column, SObject};

/// The whole of it. `url` is the object's own.
pub(crate) fn object(object: &SObject, url: &str) -> Json {
    let fields: Vec<_> = object
        .columns()
        .iter()
        .map(|column| field(object, column))
        .collect();
    let mut described = summary(object, url);
    described["fields"] = json!(fields);
    described
}

/// An object as the list of all objects shows it.
pub(crate) fn summary(object: &SObject, url: &str) -> Json {
    json!({
        "name": object.name,
        "label": object.name.trim_end_matches("__c").replace('_', " "),
        "custom": object.name.ends_with("__c"),
        "keyPrefix": key_prefix(&object.name),
        "queryable": true,
        "retrieveable": true,
        "createable": true,
        "updateable": true,
        "deletable": true,
        "urls": {"describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}"), "sobject": url},
    })
}

fn field(object: &SObject, column: &Column) -> Json {
    let (name, rules, rest_type) = (&column.name, &column.rules, column.rest_type);
    let written = column.is_writable(&object.name);
    let is_number = matches!(rest_type, "double" | "currency" | "percent");
    let (precision, scale) = if is_number { column.digits() } else { (0, 0) };
    let is_text = matches!(
        rest_type,
        "string" | "textarea" | "email" | "phone" | "url" | "picklist" | "multipicklist" | "id" | "reference"
    );
    let is_reference = rest_type == "reference";
    let references: Vec<_> = is_reference
        .then(|| reference_to(&object.name, name))
        .into_iter()
        .collect();
    let never_null = matches!(
        name.as_str(),
        "Id" | "IsDeleted"
            | "SystemModstamp"
            | "OwnerId"
            | "CreatedDate"
            | "CreatedById"
            | "LastModifiedDate"
            | "LastModifiedById"
    );
    let defaulted = rest_type == "boolean" || never_null;
    json!({
        "name": name,
        "label": name,
        "type": rest_type,
        "custom": name.ends_with("__c") || name.ends_with("__pc") || name.ends_with("__s"),
        "nillable": !(defaulted || rules.required),
        "createable": written,
        "updateable": written,
        "calculated": false,
        "compoundFieldName": column.compound(),
        "externalId": rules.external_id,
        "idLookup": rules.external_id || name == "Id",
        "unique": rules.unique,
        "caseSensitive": rules.case_sensitive,
        "relationshipName": is_reference.then(|| relationship_name(name)),
        "referenceTo": references,
        "length": if is_text { column.length() } else { 0 },
        "precision": precision,
        "scale": scale,
        "digits": if rest_type == "int" { 9 } else { 0 },
        "defaultedOnCreate": defaulted,
        "filterable": rest_type != "textarea",
    })
}
