//! What a person should do about a dead letter, from its kind and its error. Pure.
//!
//! The codes are those that Salesforce gives for one record (SOAP API Developer Guide, *Core Data Types*,
//! `StatusCode`); the phrases are this program's own.

/// By Salesforce's code, which stands in the error as a word.
const CODES: [(&str, &str); 24] = [
    (
        "REQUIRED_FIELD_MISSING",
        "give the field a value in the source or in the route's `fields` (a default: `has(value.x) ? value.x : \"…\"`), or make it optional in Salesforce; then redrive",
    ),
    (
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "a validation rule of the object refuses the values: the error has its message. Correct the rule or the mapping and redrive; if the record itself is wrong, send a correct one from the source instead",
    ),
    (
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "a trigger or flow of the object failed: the error names it. Mend it in Salesforce, then redrive",
    ),
    (
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "a flow of the object failed: the error names it. Mend it in Salesforce, then redrive",
    ),
    (
        "APEX_ERROR",
        "Apex code of the org failed: the error names it. Mend it in Salesforce, then redrive",
    ),
    (
        "DUPLICATES_DETECTED",
        "a duplicate rule of the object found another record: merge the two or change the rule, then redrive",
    ),
    (
        "DUPLICATE_VALUE",
        "another record has this value in a unique field: correct one of the two, then redrive",
    ),
    (
        "DUPLICATE_EXTERNAL_ID",
        "several records have this external id: leave one of them, make the field unique, then redrive",
    ),
    (
        "INVALID_CROSS_REFERENCE_KEY",
        "a record that this one refers to does not exist, or the user may not see it: bring it first (or give access), then redrive",
    ),
    (
        "INVALID_FIELD",
        "the record names a field or a parent that is not there: bring the parent first, or correct the route's `fields`, then redrive",
    ),
    (
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "the field may not be set this way: take it out of the route's `fields`, or give the user edit access, then restart the route and redrive",
    ),
    (
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "the integration user may not write this record: give it access (sharing, record type, field-level security), then redrive",
    ),
    (
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        "the integration user may not write a record that this one refers to: give it access, then redrive",
    ),
    (
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "the lead was converted: send the change to its contact or account, or let the user edit converted leads, then redrive",
    ),
    (
        "ENTITY_IS_DELETED",
        "the record is in the recycle bin: restore it and redrive, or leave the dead letter as it is",
    ),
    (
        "ENTITY_IS_LOCKED",
        "the record is locked by an approval: redrive once that is decided",
    ),
    (
        "MALFORMED_ID",
        "a field holds text that is no Salesforce id: correct the mapping, restart the route and redrive",
    ),
    (
        "INVALID_EMAIL_ADDRESS",
        "the source's e-mail address is none: correct it there, which sends a new record, or clean it in the mapping and redrive",
    ),
    (
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "the picklist does not have this value: add it, or map it in the route's `fields`, then redrive",
    ),
    (
        "STRING_TOO_LONG",
        "the field holds less text than the record has: make the field longer, or shorten the text in the mapping, then redrive",
    ),
    (
        "NUMBER_OUTSIDE_VALID_RANGE",
        "the number does not fit the field: make the field larger, or correct the mapping, then redrive",
    ),
    (
        "DELETE_FAILED",
        "other records hold on to this one: delete or detach them first, then redrive",
    ),
    (
        "UNABLE_TO_LOCK_ROW",
        "other work on the record held its lock for too long: redrive when that is over",
    ),
    (
        "UNKNOWN_EXCEPTION",
        "Salesforce failed on this record: redrive it; if it fails again, ask Salesforce support with the error's number",
    ),
];

/// By what this program says itself; the first one that stands in the error.
const PHRASES: [(&str, &str); 16] = [
    (
        "no longer satisfies",
        "write a new version of the contract file that the event satisfies (`sfbridge contracts diff` shows what changed), restart the route and redrive",
    ),
    (
        "refuses the schema",
        "agree with the topic's readers on the schema, mend the contract or the registry's compatibility level, restart the route and redrive",
    ),
    (
        "refuses the record",
        "mend the topic's limits: `max.message.bytes`, `message.timestamp.after.max.ms`; a compacted topic needs an output with a key. Then redrive",
    ),
    (
        "with a zero byte and a schema id",
        "the value has no schema id in front: let the producer use the registry's serializer, or set the route's `format` to json; then redrive",
    ),
    (
        "the key cannot be read",
        "correct the route's `key_format` or `key_field`, or the producer's keys; then restart the route and redrive",
    ),
    (
        "the value cannot be read",
        "the source wrote something else than the route's `format` says: correct the producer and let it send the record anew, or correct the route and redrive",
    ),
    (
        "the filter has no answer",
        "let the filter ask whether a member is there before it reads it (`has(value.x) && value.x > 0`), restart the route and redrive",
    ),
    (
        "key field",
        "the event does not carry the field that is to be the key, or it is null: take another `key` for the output, restart the route and redrive",
    ),
    (
        "on_tombstone is dead_letter",
        "set `on_tombstone` to delete or ignore, restart the route and redrive; or leave the dead letter as it is",
    ),
    (
        "tombstone",
        "a null value says nothing here: filter tombstones out with `value != null`, or give the source's tombstones keys; then restart the route and redrive",
    ),
    (
        "`diffFields`",
        "set the route's `on_diff` to refetch (records are read again through REST) or to pass, restart the route and redrive",
    ),
    (
        "Salesforce takes",
        "the record is too large for Salesforce: leave fields out in the route's `fields`, restart the route and redrive",
    ),
    (
        "several records have this",
        "leave one record with this external id in Salesforce, then redrive",
    ),
    (
        "unknown change type",
        "Salesforce sends something new: take a release that knows it, then redrive",
    ),
    (
        "another schema",
        "payload and schema do not belong together: report it to Salesforce with replay id and schema id",
    ),
    (
        "field ",
        "the value does not fit the field: correct the route's `fields` (the error names field and rule; docs/mapping.md has the table), restart the route and redrive",
    ),
];

/// What to do about a dead letter of this kind with this error.
pub fn remedy(kind: &str, error: &str) -> &'static str {
    let by_code = || {
        let mut words = error.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        words.find_map(|word| found(&CODES, |code| code == word))
    };
    let by_phrase = || found(&PHRASES, |phrase| error.contains(phrase));
    by_code().or_else(by_phrase).unwrap_or(match kind {
        "contract" => {
            "mend the contract (`sfbridge contracts check` names every field and rule), restart the route and redrive"
        }
        "poison" => "mend what the error names, in the source, the route or Salesforce, then redrive",
        "" => "this record was not written by sfbridge: it has no reason, and no route to go through",
        _ => "mend what the error names, then redrive",
    })
}

fn found(table: &[(&str, &'static str)], is_it: impl Fn(&str) -> bool) -> Option<&'static str> {
    table
        .iter()
        .find(|(sign, _)| is_it(sign))
        .map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn salesforces_code_decides_wherever_it_stands() {
        let error = "Account: FIELD_CUSTOM_VALIDATION_EXCEPTION: no diff expression (fields Name)";
        assert!(remedy("poison", error).starts_with("a validation rule"));
        assert!(
            remedy("poison", "Account: INVALID_FIELD_FOR_INSERT_UPDATE: m")
                .starts_with("the field may not be set")
        );
        assert!(remedy("poison", "Account: A_CODE_OF_NEXT_YEAR: m").starts_with("mend what the error names"));
    }

    #[test]
    fn this_programs_own_errors_have_remedies() {
        for (error, begins) in [
            (
                "topic crm.a: AccountChangeEvent (schema x) no longer satisfies contract a.avsc: field B",
                "write a new version",
            ),
            ("topic t refuses the record: too large", "mend the topic's limits"),
            (
                "the value cannot be read: it is not JSON from line 1",
                "the source wrote",
            ),
            (
                "field Shipped_At__c: text is no DateTime",
                "the value does not fit",
            ),
        ] {
            assert!(remedy("poison", error).starts_with(begins), "{error}");
        }
        assert!(remedy("contract", "something").contains("contracts check"));
        assert!(remedy("", "").contains("not written by sfbridge"));
    }

    #[test]
    fn every_sign_stands_once() {
        let signs: BTreeSet<&str> = CODES.iter().chain(&PHRASES).map(|(sign, _)| *sign).collect();
        assert_eq!(signs.len(), CODES.len() + PHRASES.len());
    }
}
