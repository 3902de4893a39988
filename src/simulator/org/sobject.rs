//! An object as REST shows it: the fields of its change event with compounds spread out (`BillingStreet`), and those
//! that events lack (`Id`, `IsDeleted`, `SystemModstamp`, `IsPersonAccount`). Pure.
//!
//! The types come from the `doc` of the event's fields, the shapes of values from what REST was seen to answer:
//! `2026-01-02T03:04:05.000+0000`, `2026-01-02`, `10:11:12.000Z`, compounds as objects in lower camel case.

use apache_avro::Schema;
use apache_avro::schema::{RecordField, RecordSchema};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde_json::{Map, Value as Json, json};

use super::fields::{self, FieldRules, Rulebook};
use super::records::Record;
use super::schemas::EventSchema;

const MS_A_DAY: i64 = 24 * 60 * 60 * 1_000;

/// Where a field's value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Id,
    IsDeleted,
    SystemModstamp,
    /// Whether the account's name is a person's.
    IsPersonAccount,
    Field(String),
    Child(String, String),
    /// A name in one line, whether it is stored so or in parts.
    WholeName(String),
}

/// One field as REST names it.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// REST's word: `string`, `datetime`, `address`.
    pub(crate) rest_type: &'static str,
    source: Source,
    compound: Option<String>,
    pub(crate) rules: FieldRules,
}

/// An object's fields.
#[derive(Debug)]
pub(crate) struct SObject {
    pub(crate) name: String,
    columns: Vec<Column>,
}

impl SObject {
    pub(crate) fn new(name: &str, schema: &EventSchema) -> Self {
        let system = |name: &str, rest_type, source| Column {
            name: name.to_owned(),
            rest_type,
            source,
            compound: None,
            rules: FieldRules::default(),
        };
        let mut columns = vec![
            system("Id", "id", Source::Id),
            system("IsDeleted", "boolean", Source::IsDeleted),
            system("SystemModstamp", "datetime", Source::SystemModstamp),
        ];
        for field in schema.record().fields.iter().skip(1) {
            columns.extend(of_field(schema, field));
        }
        Self {
            name: name.to_owned(),
            columns,
        }
    }

    /// The object with what the org lays down for its fields.
    pub(crate) fn with_rules(mut self, rules: &Rulebook) -> Self {
        for column in &mut self.columns {
            column.rules = rules.of(&self.name, &column.name);
        }
        self
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The reference that a relationship goes by: `Account` is that of `AccountId`.
    pub(crate) fn reference(&self, relationship: &str) -> Option<&Column> {
        let references = self
            .columns
            .iter()
            .filter(|column| column.rest_type == "reference");
        references
            .into_iter()
            .find(|column| fields::relationship_name(&column.name).eq_ignore_ascii_case(relationship))
    }

    /// Names are told apart without regard to case, as in SOQL.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// One record as a query answers it.
    pub(crate) fn row(&self, columns: &[&Column], url: &str, id: &str, record: &Record) -> Json {
        let mut row = Map::new();
        let attributes = json!({"type": self.name, "url": format!("{url}/{id}")});
        row.insert("attributes".into(), attributes);
        for column in columns {
            row.insert(column.name.clone(), column.value(id, record));
        }
        Json::Object(row)
    }
}

fn of_field(schema: &EventSchema, field: &RecordField) -> Vec<Column> {
    let name = &field.name;
    let column = |name: String, rest_type, source, compound| Column {
        name,
        rest_type,
        source,
        compound,
        rules: FieldRules::default(),
    };
    let child = |child: &RecordField| Source::Child(name.clone(), child.name.clone());
    let compound = compound_of(schema, field);
    match (doc_type(field), compound) {
        ("PersonName" | "Switchable_PersonName", Some(parts)) => {
            let whole = column(name.clone(), "string", Source::WholeName(name.clone()), None);
            let parts = parts
                .fields
                .iter()
                .map(|part| column(part.name.clone(), "string", child(part), Some(name.clone())));
            let mut columns: Vec<_> = std::iter::once(whole).chain(parts).collect();
            if doc_type(field) == "Switchable_PersonName" {
                columns.push(column(
                    "IsPersonAccount".into(),
                    "boolean",
                    Source::IsPersonAccount,
                    None,
                ));
            }
            columns
        }
        (doc, Some(parts)) => {
            let rest_type = if doc == "Location" { "location" } else { "address" };
            let parts = parts.fields.iter().map(|part| {
                let rest_type = match part.name.as_str() {
                    "Latitude" | "Longitude" => "double",
                    "GeocodeAccuracy" => "picklist",
                    "Street" => "textarea",
                    _ => "string",
                };
                column(
                    component(name, &part.name),
                    rest_type,
                    child(part),
                    Some(name.clone()),
                )
            });
            let whole = column(name.clone(), rest_type, Source::Field(name.clone()), None);
            std::iter::once(whole).chain(parts).collect()
        }
        (doc, None) => vec![column(
            name.clone(),
            rest_type(doc),
            Source::Field(name.clone()),
            None,
        )],
    }
}

/// The name of a compound's part: `BillingAddress` has `BillingStreet`, `Loc__c` has `Loc__Latitude__s`.
fn component(compound: &str, part: &str) -> String {
    match compound.strip_suffix("__c") {
        Some(stem) => format!("{stem}__{part}__s"),
        None => format!("{}{part}", compound.strip_suffix("Address").unwrap_or(compound)),
    }
}

fn compound_of<'s>(schema: &'s EventSchema, field: &'s RecordField) -> Option<&'s RecordSchema> {
    match &field.schema {
        Schema::Union(union) => union
            .variants()
            .iter()
            .find_map(|variant| schema.as_record(variant)),
        other => schema.as_record(other),
    }
}

/// `role:type[:field id]`
fn doc_type(field: &RecordField) -> &str {
    field
        .doc
        .as_deref()
        .and_then(|doc| doc.split(':').nth(1))
        .unwrap_or("Text")
}

fn rest_type(doc_type: &str) -> &'static str {
    match doc_type {
        "Phone" => "phone",
        "Email" => "email",
        "Url" => "url",
        "DynamicEnum" | "StaticEnum" => "picklist",
        "MultiEnum" => "multipicklist",
        "StringPlusClob" | "HtmlStringPlusClob" => "textarea",
        "EntityId" => "reference",
        "Currency" => "currency",
        "Percent" => "percent",
        "Double" => "double",
        "Integer" => "int",
        "Boolean" => "boolean",
        "DateTime" => "datetime",
        "DateOnly" => "date",
        "TimeOnly" => "time",
        _ => "string",
    }
}

impl Column {
    /// The field of the event that holds the value, and the part of it; `None` for what is made up from others.
    pub(crate) fn place(&self) -> Option<(&str, Option<&str>)> {
        match &self.source {
            Source::Field(_) if matches!(self.rest_type, "address" | "location") => None,
            Source::Field(name) => Some((name, None)),
            Source::Child(parent, child) => Some((parent, Some(child))),
            Source::WholeName(name) => Some((name, None)),
            Source::Id | Source::IsDeleted | Source::SystemModstamp | Source::IsPersonAccount => None,
        }
    }

    /// Whether a client may write it.
    pub(crate) fn is_writable(&self, object: &str) -> bool {
        let whole_person = matches!(self.source, Source::WholeName(_)) && object != "Account";
        self.place().is_some() && !whole_person && !self.rules.read_only && !fields::is_system(&self.name)
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self.rest_type, "int" | "double" | "currency" | "percent")
    }

    pub(crate) fn compound(&self) -> Option<&str> {
        self.compound.as_deref()
    }

    pub(crate) fn length(&self) -> usize {
        self.rules
            .length
            .unwrap_or_else(|| fields::default_length(self.rest_type))
    }

    /// Digits in all and behind the point.
    pub(crate) fn digits(&self) -> (u32, u32) {
        let scale = if self.name.ends_with("itude") || self.name.ends_with("itude__s") {
            15
        } else {
            6
        };
        (
            self.rules.precision.unwrap_or(18),
            self.rules.scale.unwrap_or(scale),
        )
    }

    pub(crate) fn value(&self, id: &str, record: &Record) -> Json {
        let field = |name: &str| record.fields.get(name).unwrap_or(&Json::Null);
        match &self.source {
            Source::Id => json!(id),
            Source::IsDeleted => json!(false),
            Source::SystemModstamp => time_value("datetime", record.system_modstamp),
            Source::IsPersonAccount => json!(field("Name").is_object()),
            Source::WholeName(name) => whole_name(field(name)),
            Source::Child(parent, child) => field(parent).get(child).cloned().unwrap_or(Json::Null),
            Source::Field(name) => match (field(name), self.rest_type) {
                (Json::Object(parts), "address" | "location") => lower_camel(parts),
                (Json::Number(at), "datetime" | "date" | "time") => at
                    .as_i64()
                    .map_or(Json::Null, |at| time_value(self.rest_type, at)),
                (value, _) => value.clone(),
            },
        }
    }
}

/// A moment as REST writes it.
pub(crate) fn datetime(ms: i64) -> Json {
    time_value("datetime", ms)
}

fn whole_name(name: &Json) -> Json {
    let Json::Object(parts) = name else {
        return name.clone();
    };
    let parts = ["FirstName", "MiddleName", "LastName", "Suffix"].map(|part| parts.get(part)?.as_str());
    let words: Vec<_> = parts.into_iter().flatten().collect();
    json!(words.join(" "))
}

fn lower_camel(parts: &Map<String, Json>) -> Json {
    let lower = |name: &String| {
        let mut chars = name.chars();
        chars
            .next()
            .map(|first| first.to_ascii_lowercase())
            .into_iter()
            .chain(chars)
            .collect()
    };
    Json::Object(
        parts
            .iter()
            .map(|(name, value)| (lower(name), value.clone()))
            .collect(),
    )
}

/// A time as REST writes it; null where the calendar ends.
fn time_value(rest_type: &str, ms: i64) -> Json {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let ms = if rest_type == "time" {
        ms.rem_euclid(MS_A_DAY)
    } else {
        ms
    };
    let Ok(at) = EPOCH.checked_add(SignedDuration::from_millis(ms)) else {
        return Json::Null;
    };
    json!(match rest_type {
        "date" => at.strftime("%Y-%m-%d").to_string(),
        "time" => at.strftime("%H:%M:%S%.3fZ").to_string(),
        _ => at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::schemas::{ACCOUNT, CONTACT};
    use super::*;

    fn account() -> SObject {
        SObject::new(
            "Account",
            &EventSchema::parse(ACCOUNT).expect("the sample parses"),
        )
    }

    fn row(object: &SObject, names: &[&str], fields: Json) -> Vec<Json> {
        let Json::Object(fields) = fields else {
            panic!("an object")
        };
        let record = Record {
            fields,
            system_modstamp: 1_700_000_000_123,
            ..Record::default()
        };
        let values = names
            .iter()
            .map(|name| object.column(name).expect(name).value("001", &record));
        values.collect()
    }

    #[test]
    fn values_have_the_shapes_of_rest() {
        let values = row(
            &account(),
            &[
                "Id",
                "systemmodstamp",
                "SLAExpirationDate__c",
                "Some_Time__c",
                "CreatedDate",
                "AnnualRevenue",
                "Phone",
            ],
            json!({"SLAExpirationDate__c": 1_700_006_400_000_i64, "Some_Time__c": 36_672_000, "CreatedDate": -1,
                "AnnualRevenue": 1.5}),
        );
        assert_eq!(
            values,
            [
                json!("001"),
                json!("2023-11-14T22:13:20.123+0000"),
                json!("2023-11-15"),
                json!("10:11:12.000Z"),
                json!("1969-12-31T23:59:59.999+0000"),
                json!(1.5),
                Json::Null
            ]
        );
    }

    #[test]
    fn compounds_are_there_whole_and_in_parts() {
        let fields = json!({
            "BillingAddress": {"Street": "1 High Street", "PostalCode": "1"},
            "Some_Geolocation__c": {"Latitude": 1.5},
        });
        let names = [
            "BillingStreet",
            "BillingCity",
            "BillingAddress",
            "Some_Geolocation__Latitude__s",
        ];
        assert_eq!(
            row(&account(), &names, fields),
            [
                json!("1 High Street"),
                Json::Null,
                json!({"street": "1 High Street", "postalCode": "1"}),
                json!(1.5)
            ]
        );
    }

    #[test]
    fn a_person_accounts_name_is_one_line_and_its_parts() {
        let names = ["Name", "LastName", "IsPersonAccount"];
        let person = json!({"Name": {"FirstName": "Ada", "LastName": "Byron"}});
        assert_eq!(
            row(&account(), &names, person),
            [json!("Ada Byron"), json!("Byron"), json!(true)]
        );
        let business = json!({"Name": "Acme"});
        assert_eq!(
            row(&account(), &names, business),
            [json!("Acme"), Json::Null, json!(false)]
        );
    }

    #[test]
    fn no_object_has_a_field_twice() {
        for (name, schema) in [("Account", ACCOUNT), ("Contact", CONTACT)] {
            let object = SObject::new(name, &EventSchema::parse(schema).expect("the sample parses"));
            for column in &object.columns {
                let same = object
                    .columns
                    .iter()
                    .filter(|other| other.name.eq_ignore_ascii_case(&column.name));
                assert_eq!(same.count(), 1, "{name}.{}", column.name);
            }
        }
    }
}
