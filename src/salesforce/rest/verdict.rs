//! What becomes of one record of a write: Salesforce's answer for it, and one table from `statusCode` to what is
//! done. Pure; nothing else decides about a single record.
//!
//! A code that is not in the table condemns its record alone: it becomes a dead letter, and many in a row halt the
//! route. That is why a permission that one record lacks (`INSUFFICIENT_ACCESS_OR_READONLY` may be sharing, a locked
//! parent, an approval) does not halt by itself.

use std::fmt;

use serde::Deserialize;

use crate::config::Operation;

use super::refusal::is_word;

/// What stands for a code that is none.
const NO_CODE: &str = "NO_STATUS_CODE";

/// What Salesforce answered for one record, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowVerdict {
    Done {
        /// Absent where the answer has none.
        id: Option<String>,
        created: bool,
    },
    Refused(RowRefusal),
}

/// Why one record was refused.
#[derive(Clone, PartialEq, Eq)]
pub struct RowRefusal {
    /// `DUPLICATE_VALUE`; letters, digits and `_` only: safe to show.
    pub status_code: String,
    /// Salesforce's sentence. It may hold field values: for a dead letter only.
    pub message: String,
    /// Names of fields, as far as the answer says which: safe to show.
    pub fields: Vec<String>,
    pub id: Option<String>,
}

impl fmt::Debug for RowRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowRefusal")
            .field("status_code", &self.status_code)
            .field("fields", &self.fields)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl RowRefusal {
    /// Keeps of code and fields what is a word; the rest could be anything.
    pub(super) fn new(
        status_code: Option<String>,
        message: String,
        fields: Vec<String>,
        id: Option<String>,
    ) -> Self {
        Self {
            status_code: status_code
                .filter(|code| is_word(code))
                .unwrap_or_else(|| NO_CODE.to_owned()),
            message,
            fields: fields.into_iter().filter(|field| is_word(field)).collect(),
            id,
        }
    }

    /// `sf__Error` of Bulk API 2.0: `CODE:message:Field,Field --`, or `…:--` without fields.
    pub(super) fn of_bulk(text: &str, id: Option<String>) -> Self {
        let (code, rest) = text.split_once(':').unwrap_or((text, ""));
        let rest = rest.trim_end().strip_suffix("--").unwrap_or(rest).trim_end();
        let (message, fields) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let fields = fields.split(',').map(|field| field.trim().to_owned()).collect();
        Self::new(Some(code.to_owned()), message.to_owned(), fields, id)
    }
}

/// One element of what a collections request answers.
#[derive(Deserialize)]
pub(super) struct Element {
    id: Option<String>,
    success: bool,
    created: Option<bool>,
    #[serde(default)]
    errors: Vec<ElementError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ElementError {
    status_code: Option<String>,
    #[serde(default)]
    message: String,
    fields: Option<Vec<String>>,
}

impl Element {
    pub(super) fn verdict(self, operation: Operation) -> RowVerdict {
        if self.success {
            return RowVerdict::Done {
                id: self.id,
                created: self.created.unwrap_or(operation == Operation::Insert),
            };
        }
        let mut errors = self.errors.into_iter();
        // Further errors are of the same record; the first one decides, all are told.
        let (code, mut message, mut fields) = errors.next().map_or_else(
            || (None, String::new(), Vec::new()),
            |first| (first.status_code, first.message, first.fields.unwrap_or_default()),
        );
        for more in errors {
            message.push_str("; ");
            message.push_str(&more.message);
            fields.extend(more.fields.unwrap_or_default());
        }
        RowVerdict::Refused(RowRefusal::new(code, message, fields, self.id))
    }
}

/// Why a record may be taken a little later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BoundedReason {
    /// A relationship names a record by an external id that no record has yet.
    ParentMissing,
    /// Somebody else is just creating a record of the same external id.
    NewKeyClash,
    /// Salesforce found the same id or external id twice in one request. Alone it cannot be.
    KeyTwice,
    /// A trigger or flow of the org met a lock.
    LockInAutomation,
    /// An error inside Salesforce, or of a neighbour in the request.
    Internal,
}

impl BoundedReason {
    /// For metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ParentMissing => "parent_missing",
            Self::NewKeyClash => "new_key_clash",
            Self::KeyTwice => "key_twice",
            Self::LockInAutomation => "lock_in_automation",
            Self::Internal => "internal",
        }
    }
}

/// What is done about a record that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowAction {
    /// Again, alone, with back-off, for as long as it takes.
    Retry,
    /// Again, alone, with back-off, for a bounded time; then it is a dead letter.
    RetryBounded(BoundedReason),
    /// A limit of the org is used up: the route waits, then sends it again.
    Wait,
    /// The org's storage is full: the route waits until somebody makes room, then sends it again.
    WaitStorage,
    /// It can never be taken as it is.
    DeadLetter,
    /// It is as it should be.
    Done,
    /// It would be the same for every record: the route stops. What a person should do.
    Halt(&'static str),
}

const DELETE_OF_A_GHOST: &str = "ENTITY_IS_DELETED";
const LOCKED: &str = "UNABLE_TO_LOCK_ROW";

/// What is done about a record that `operation` was refused for; `external_id` is the field that an upsert names
/// records by.
///
/// Some codes mean several things, and only Salesforce's sentence tells them apart. A field's value that happens to
/// read like it leads to a bounded retry, never to a loss.
pub fn row_action(refusal: &RowRefusal, operation: Operation, external_id: Option<&str>) -> RowAction {
    let says = |words: &str| {
        refusal
            .message
            .to_ascii_lowercase()
            .contains(&words.to_ascii_lowercase())
    };
    match refusal.status_code.as_str() {
        LOCKED | "REQUEST_RUNNING_TOO_LONG" | "QUERY_TIMEOUT" | "SERVER_UNAVAILABLE" => RowAction::Retry,
        "REQUEST_LIMIT_EXCEEDED" | "LIMIT_EXCEEDED" => RowAction::Wait,
        "STORAGE_LIMIT_EXCEEDED" => RowAction::WaitStorage,
        "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => {
            RowAction::Halt("enable the API for the org, then resume")
        }
        // An object without the permission to use it does not exist for its user.
        "INVALID_TYPE" => {
            RowAction::Halt("give the integration user Create and Edit on the object, then resume")
        }
        DELETE_OF_A_GHOST if operation == Operation::Delete => RowAction::Done,
        "INVALID_FIELD" if says("foreign key external id") => {
            RowAction::RetryBounded(BoundedReason::ParentMissing)
        }
        "DUPLICATE_VALUE" if says("duplicate external id specified") || says("duplicate id specified") => {
            RowAction::RetryBounded(BoundedReason::KeyTwice)
        }
        "DUPLICATE_VALUE" if operation == Operation::Upsert && is_clash(&says, external_id) => {
            RowAction::RetryBounded(BoundedReason::NewKeyClash)
        }
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" | "CANNOT_EXECUTE_FLOW_TRIGGER" if says(LOCKED) => {
            RowAction::RetryBounded(BoundedReason::LockInAutomation)
        }
        "UNKNOWN_EXCEPTION" | "ALL_OR_NONE_OPERATION_ROLLED_BACK" => {
            RowAction::RetryBounded(BoundedReason::Internal)
        }
        _ => RowAction::DeadLetter,
    }
}

/// Two upserts that create the same key: the later one meets the key's own uniqueness, and would find the record
/// when it came again. On any other unique field a repeat changes nothing.
fn is_clash(says: &impl Fn(&str) -> bool, external_id: Option<&str>) -> bool {
    let of_the_key = external_id.is_some_and(|field| says(&format!("duplicate value found: {field} ")));
    of_the_key || says("duplicate value found: <unknown>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use BoundedReason::{Internal, KeyTwice, LockInAutomation, NewKeyClash, ParentMissing};
    use Operation::{Delete, Insert, Update, Upsert};
    use RowAction::{DeadLetter, Done, Retry, RetryBounded, Wait, WaitStorage};

    const ALL: [Operation; 4] = [Upsert, Update, Insert, Delete];

    fn refusal(code: &str, message: &str) -> RowRefusal {
        RowRefusal::new(Some(code.to_owned()), message.to_owned(), Vec::new(), None)
    }

    fn action(code: &str, message: &str, operation: Operation) -> RowAction {
        row_action(&refusal(code, message), operation, Some("Ext__c"))
    }

    #[test]
    fn every_documented_code_has_its_action() {
        let lock = "unable to obtain exclusive access to this record or 2 records: 001A,001B";
        for (code, message, expected) in [
            (
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access to this record",
                Retry,
            ),
            ("UNABLE_TO_LOCK_ROW", lock, Retry),
            (
                "DUPLICATE_VALUE",
                "duplicate value found: Other__c duplicates value on record with id: 001A",
                DeadLetter,
            ),
            (
                "DUPLICATE_VALUE",
                "Duplicate external id specified: X",
                RetryBounded(KeyTwice),
            ),
            (
                "DUPLICATE_EXTERNAL_ID",
                "Ext__c: more than one record found",
                DeadLetter,
            ),
            ("DUPLICATES_DETECTED", "Use one of these records?", DeadLetter),
            ("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create", DeadLetter),
            (
                "INVALID_CROSS_REFERENCE_KEY",
                "invalid cross reference id",
                DeadLetter,
            ),
            (
                "REQUIRED_FIELD_MISSING",
                "Required fields are missing: [Name]",
                DeadLetter,
            ),
            ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "No", DeadLetter),
            ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "No", DeadLetter),
            (
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "Record rolled back",
                RetryBounded(Internal),
            ),
            ("INSUFFICIENT_ACCESS_OR_READONLY", "No", DeadLetter),
            ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Wait),
            ("LIMIT_EXCEEDED", "", Wait),
            ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", WaitStorage),
            ("UNKNOWN_EXCEPTION", "", RetryBounded(Internal)),
            ("SERVER_UNAVAILABLE", "", Retry),
            ("STRING_TOO_LONG", "", DeadLetter),
            ("A_CODE_OF_NEXT_YEAR", "", DeadLetter),
        ] {
            for operation in ALL {
                assert_eq!(
                    action(code, message, operation),
                    expected,
                    "{code} {message} {operation:?}"
                );
            }
        }
    }

    #[test]
    fn a_record_that_is_gone_is_what_a_delete_wants_and_nobody_else() {
        for operation in ALL {
            let expected = if operation == Delete { Done } else { DeadLetter };
            assert_eq!(
                action("ENTITY_IS_DELETED", "entity is deleted", operation),
                expected
            );
        }
    }

    #[test]
    fn a_parent_that_is_not_there_yet_is_told_from_a_field_that_is_none() {
        let missing = "Foreign key external ID: 4711 not found for field Ext__c in entity Account";
        assert_eq!(
            action("INVALID_FIELD", missing, Upsert),
            RetryBounded(ParentMissing)
        );
        let none = "No such column 'Colour__c' on sobject of type Account";
        assert_eq!(action("INVALID_FIELD", none, Upsert), DeadLetter);
    }

    #[test]
    fn a_clash_on_the_key_itself_is_tried_again_by_an_upsert_alone() {
        let clash = "duplicate value found: Ext__c duplicates value on record with id: 001A";
        let unknown = "duplicate value found: <unknown> duplicates value on record with id: <unknown>";
        for message in [clash, unknown] {
            assert_eq!(
                action("DUPLICATE_VALUE", message, Upsert),
                RetryBounded(NewKeyClash)
            );
            assert_eq!(action("DUPLICATE_VALUE", message, Update), DeadLetter);
        }
        let longer = "duplicate value found: Ext__c2 duplicates value on record with id: 001A";
        assert_eq!(action("DUPLICATE_VALUE", longer, Upsert), DeadLetter);
    }

    #[test]
    fn a_lock_inside_a_trigger_is_a_lock() {
        let message = "T: execution of AfterUpdate caused by: System.DmlException: first error: UNABLE_TO_LOCK_ROW, unable";
        for code in [
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "CANNOT_EXECUTE_FLOW_TRIGGER",
        ] {
            assert_eq!(action(code, message, Update), RetryBounded(LockInAutomation));
        }
    }

    #[test]
    fn what_holds_for_every_record_halts_with_what_to_do() {
        for code in ["INVALID_TYPE", "API_DISABLED_FOR_ORG"] {
            let RowAction::Halt(remedy) = action(code, "", Upsert) else {
                panic!("{code}")
            };
            assert!(remedy.ends_with("then resume"));
        }
    }

    fn verdict(element: serde_json::Value, operation: Operation) -> RowVerdict {
        serde_json::from_value::<Element>(element)
            .unwrap()
            .verdict(operation)
    }

    #[test]
    fn an_element_of_the_answer_is_done_or_says_why_not() {
        let done = |id: Option<&str>, created| RowVerdict::Done {
            id: id.map(str::to_owned),
            created,
        };
        let upserted = json!({"id": "001A", "success": true, "errors": [], "created": true});
        assert_eq!(verdict(upserted, Upsert), done(Some("001A"), true));
        let plain = json!({"id": "001A", "success": true, "errors": []});
        assert_eq!(verdict(plain.clone(), Insert), done(Some("001A"), true));
        assert_eq!(verdict(plain, Delete), done(Some("001A"), false));
        let refused = json!({"success": false, "errors": [
            {"statusCode": "REQUIRED_FIELD_MISSING", "message": "a secret", "fields": ["Name", "not a name"]},
            {"statusCode": "OTHER", "message": "more", "fields": ["Size__c"]}]});
        let RowVerdict::Refused(refusal) = verdict(refused, Upsert) else {
            panic!()
        };
        assert_eq!(refusal.status_code, "REQUIRED_FIELD_MISSING");
        assert_eq!(refusal.message, "a secret; more");
        assert_eq!(refusal.fields, ["Name", "Size__c"]);
        assert!(!format!("{refusal:?}").contains("secret"));
        let bare = verdict(
            json!({"id": null, "success": false, "errors": [{"statusCode": "has a secret"}]}),
            Upsert,
        );
        let RowVerdict::Refused(bare) = bare else { panic!() };
        assert_eq!(bare.status_code, NO_CODE);
    }

    #[test]
    fn bulks_one_line_of_an_error_is_the_same_refusal() {
        let of = |text: &str| {
            let refusal = RowRefusal::of_bulk(text, None);
            (refusal.status_code, refusal.message, refusal.fields)
        };
        assert_eq!(
            of("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: 001A:--"),
            (
                "UNABLE_TO_LOCK_ROW".to_owned(),
                "unable to obtain exclusive access to this record or 1 records: 001A".to_owned(),
                vec![]
            )
        );
        assert_eq!(
            of("REQUIRED_FIELD_MISSING:Required fields are missing: [Name, Size__c]:Name,Size__c --"),
            (
                "REQUIRED_FIELD_MISSING".to_owned(),
                "Required fields are missing: [Name, Size__c]".to_owned(),
                vec!["Name".to_owned(), "Size__c".to_owned()]
            )
        );
        assert_eq!(of("some text").0, NO_CODE);
        assert_eq!(of("").0, NO_CODE);
    }
}
