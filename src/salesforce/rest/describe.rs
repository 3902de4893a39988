//! What REST knows of an object: the fields that this user may read, their types, and what it may write.
//!
//! Kept for an hour, an object at a time, asked for once however many routes want it; given up as soon as a query
//! showed that it no longer holds. There are as many as the org has objects with events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

use crate::error::Failure;
use crate::runtime::flight::Flight;

/// Fields come with a release of the org's own, some a week; a field that is gone shows itself at once.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// As with event schemas: routes do not repeat a refused call one after the other, and nobody waits for it.
const REFUSAL_KEPT: Duration = Duration::from_secs(5);

/// What REST calls a field's type, and so how its values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    Id,
    /// The id of another record.
    Reference,
    Boolean,
    String,
    TextArea,
    /// A string that Salesforce checks the form of.
    Email,
    Phone,
    Url,
    Picklist,
    /// Values with `;` between them.
    MultiPicklist,
    Combobox,
    Encrypted,
    Int,
    Long,
    Double,
    Currency,
    Percent,
    DateTime,
    Date,
    Time,
    /// A file's content.
    Base64,
    /// A whole address or location; its parts are fields of their own.
    Compound,
    /// `anyType`, `complexvalue`, and what a later release brings.
    Other,
}

/// A field as `describe` tells it to this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// As Salesforce spells it.
    pub name: String,
    pub field_type: FieldType,
    /// REST's own word for the type: for messages.
    pub type_name: String,
    /// May stand in a record that is inserted.
    pub createable: bool,
    /// May stand in a record that is updated.
    pub updateable: bool,
    pub nillable: bool,
    /// Gets a value of its own where an inserted record has none.
    pub defaulted_on_create: bool,
    pub external_id: bool,
    /// An upsert, or a relationship, may name a record by it: external ids, `Id`, and a few standard fields.
    pub id_lookup: bool,
    pub unique: bool,
    /// Whether values that differ in case alone are different, for a unique field.
    pub case_sensitive: bool,
    /// Of a reference: what a record's JSON calls the other record (`Account`, `Parent__r`).
    pub relationship_name: Option<String>,
    /// Of a reference: the objects it may point to; several: it is polymorphic.
    pub reference_to: Vec<String>,
    /// Of a text: its longest value, in characters; else 0.
    pub length: u32,
    /// Of a double, currency or percent: all digits, and those behind the point.
    pub precision: u32,
    pub scale: u32,
    /// Of an int: all digits.
    pub digits: u32,
}

/// One object as `describe` tells it.
#[derive(Debug)]
pub struct Describe {
    name: String,
    createable: bool,
    updateable: bool,
    deletable: bool,
    fields: HashMap<String, Field>,
    since: Instant,
    is_stale: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: String,
    #[serde(default)]
    createable: bool,
    #[serde(default)]
    updateable: bool,
    #[serde(default)]
    deletable: bool,
    fields: Vec<FieldBody>,
}

/// What is left out or null is false, none, or 0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldBody {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    createable: bool,
    #[serde(default)]
    updateable: bool,
    #[serde(default)]
    nillable: bool,
    #[serde(default)]
    defaulted_on_create: bool,
    #[serde(default)]
    external_id: bool,
    #[serde(default)]
    id_lookup: bool,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    case_sensitive: bool,
    relationship_name: Option<String>,
    reference_to: Option<Vec<String>>,
    length: Option<u32>,
    precision: Option<u32>,
    scale: Option<u32>,
    digits: Option<u32>,
}

impl From<FieldBody> for Field {
    fn from(body: FieldBody) -> Self {
        Self {
            field_type: field_type(&body.type_name),
            name: body.name,
            type_name: body.type_name,
            createable: body.createable,
            updateable: body.updateable,
            nillable: body.nillable,
            defaulted_on_create: body.defaulted_on_create,
            external_id: body.external_id,
            id_lookup: body.id_lookup,
            unique: body.unique,
            case_sensitive: body.case_sensitive,
            relationship_name: body.relationship_name,
            reference_to: body.reference_to.unwrap_or_default(),
            length: body.length.unwrap_or_default(),
            precision: body.precision.unwrap_or_default(),
            scale: body.scale.unwrap_or_default(),
            digits: body.digits.unwrap_or_default(),
        }
    }
}

impl FieldType {
    /// Whether REST writes its values as JSON numbers.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Int | Self::Long | Self::Double | Self::Currency | Self::Percent
        )
    }
}

impl Field {
    /// A value as it is compared where it names a record: two values that are the same here may be the same record.
    /// Case counts only where the field says so; Salesforce keeps no blanks around a text, and `4711.0` is `4711`.
    pub fn folded(&self, value: &str) -> String {
        let value = value.trim();
        if self.field_type.is_number() {
            return folded_number(value);
        }
        if self.case_sensitive {
            value.to_owned()
        } else {
            value.to_lowercase()
        }
    }
}

/// Without the zeros that change nothing. By its digits, for an external id may have more than a double holds.
fn folded_number(text: &str) -> String {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text),
    };
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let part = part.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match (whole, part) {
        ("0", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, part) => format!("{sign}{whole}.{part}"),
    }
}

impl Describe {
    /// # Errors
    /// When the body is not what `describe` answers.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let body: Body = serde_json::from_slice(body)?;
        let fields = body.fields.into_iter().map(Field::from);
        Ok(Self {
            name: body.name,
            createable: body.createable,
            updateable: body.updateable,
            deletable: body.deletable,
            fields: fields.map(|field| (field.name.clone(), field)).collect(),
            since: Instant::now(),
            is_stale: AtomicBool::new(false),
        })
    }

    /// As Salesforce spells it: `Account`, `Order__c`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None`: there is no such field, or this user may not see it.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// In no order.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.values()
    }

    /// The reference that a record's JSON names so: `Account` is `AccountId`'s.
    pub fn relationship(&self, name: &str) -> Option<&Field> {
        self.fields
            .values()
            .find(|field| field.relationship_name.as_deref() == Some(name))
    }

    /// Whether the user may insert records.
    pub const fn is_createable(&self) -> bool {
        self.createable
    }

    /// Whether the user may update records.
    pub const fn is_updateable(&self) -> bool {
        self.updateable
    }

    /// Whether the user may delete records.
    pub const fn is_deletable(&self) -> bool {
        self.deletable
    }

    /// What a query refused is not what the object is: the next reader asks again.
    pub(super) fn give_up(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        !self.is_stale.load(Ordering::Relaxed) && self.since.elapsed() < AGE_MAX
    }
}

/// The words of REST's own list of types.
fn field_type(rest_type: &str) -> FieldType {
    match rest_type {
        "id" => FieldType::Id,
        "reference" => FieldType::Reference,
        "boolean" => FieldType::Boolean,
        "string" => FieldType::String,
        "textarea" => FieldType::TextArea,
        "email" => FieldType::Email,
        "phone" => FieldType::Phone,
        "url" => FieldType::Url,
        "picklist" => FieldType::Picklist,
        "multipicklist" => FieldType::MultiPicklist,
        "combobox" => FieldType::Combobox,
        "encryptedstring" => FieldType::Encrypted,
        "int" => FieldType::Int,
        "long" => FieldType::Long,
        "double" => FieldType::Double,
        "currency" => FieldType::Currency,
        "percent" => FieldType::Percent,
        "datetime" => FieldType::DateTime,
        "date" => FieldType::Date,
        "time" => FieldType::Time,
        "base64" => FieldType::Base64,
        "address" | "location" => FieldType::Compound,
        _ => FieldType::Other,
    }
}

/// The objects at hand.
#[derive(Default)]
pub(super) struct Describes(Mutex<HashMap<String, Arc<Flight<Describe, Failure>>>>);

impl Describes {
    /// # Errors
    /// What `ask` answered, to this caller or to another one seconds ago.
    pub(super) async fn get<F>(&self, object: &str, ask: impl FnOnce() -> F) -> Result<Arc<Describe>, Failure>
    where
        F: Future<Output = Result<Describe, Failure>>,
    {
        let flight = {
            let new = || Arc::new(Flight::new(REFUSAL_KEPT));
            Arc::clone(self.0.lock().entry(object.to_owned()).or_insert_with(new))
        };
        let describe = flight.get(Describe::is_usable, ask).await;
        describe.map_err(|failure| Failure::shared(&failure))
    }

    /// The one at hand, if any is.
    pub(super) async fn give_up(&self, object: &str) {
        let flight = self.0.lock().get(object).cloned();
        if let Some(describe) = match flight {
            Some(flight) => flight.peek().await,
            None => None,
        } {
            describe.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const BODY: &str = r#"{"name":"Account","fields":[{"name":"Name","type":"string"},
        {"name":"CreatedDate","type":"datetime"},{"name":"BillingAddress","type":"address"}]}"#;

    async fn ask(describes: &Describes, asked: &AtomicU32) -> Arc<Describe> {
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(Describe::parse(BODY.as_bytes()).unwrap())
        };
        describes.get("Account", ask).await.unwrap()
    }

    #[test]
    fn a_describe_tells_names_and_types() {
        let describe = Describe::parse(BODY.as_bytes()).unwrap();
        assert_eq!(describe.name(), "Account");
        let of = |name| describe.field(name).map(|field: &Field| field.field_type);
        assert_eq!(of("Name"), Some(FieldType::String));
        assert_eq!(of("CreatedDate"), Some(FieldType::DateTime));
        assert_eq!(of("BillingAddress"), Some(FieldType::Compound));
        assert_eq!(of("Nothing"), None);
        assert!(Describe::parse(b"[]").is_err());
    }

    #[test]
    fn a_describe_tells_what_may_be_written_and_how_records_are_named() {
        let body = r#"{"name":"Contact","createable":true,"updateable":true,"deletable":false,"fields":[
            {"name":"Ext__c","type":"string","createable":true,"updateable":true,"nillable":true,"externalId":true,
             "idLookup":true,"unique":true,"caseSensitive":false,"length":40,"precision":0,"scale":0,"digits":0,
             "relationshipName":null,"referenceTo":[]},
            {"name":"AccountId","type":"reference","createable":true,"updateable":false,"relationshipName":"Account",
             "referenceTo":["Account"],"length":18},
            {"name":"Score__c","type":"double","precision":18,"scale":2},
            {"name":"New","type":"something of a later release"}]}"#;
        let describe = Describe::parse(body.as_bytes()).unwrap();
        assert_eq!(
            (
                describe.is_createable(),
                describe.is_updateable(),
                describe.is_deletable()
            ),
            (true, true, false)
        );
        let key = describe.field("Ext__c").unwrap();
        assert!(key.createable && key.updateable && key.nillable && key.unique);
        assert!(key.external_id && key.id_lookup && !key.case_sensitive && !key.defaulted_on_create);
        assert_eq!((key.length, key.folded("Ab-1")), (40, "ab-1".to_owned()));
        let account = describe.relationship("Account").unwrap();
        assert_eq!(
            (account.name.as_str(), account.reference_to.as_slice()),
            ("AccountId", &["Account".to_owned()][..])
        );
        assert!(account.createable && !account.updateable);
        assert_eq!(describe.relationship("Owner"), None);
        let score = describe.field("Score__c").unwrap();
        assert_eq!(
            (score.field_type, score.precision, score.scale),
            (FieldType::Double, 18, 2)
        );
        assert_eq!(describe.field("New").unwrap().field_type, FieldType::Other);
        assert_eq!(describe.fields().count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_for_an_hour_and_given_up_when_it_no_longer_holds() {
        let (describes, asked) = (Describes::default(), AtomicU32::new(0));
        ask(&describes, &asked).await;
        tokio::time::advance(AGE_MAX - Duration::from_secs(1)).await;
        ask(&describes, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        ask(&describes, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        describes.give_up("Account").await;
        describes.give_up("Contact").await;
        ask(&describes, &asked).await;
        ask(&describes, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
