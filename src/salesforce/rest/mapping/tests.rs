//! Rows of real objects to bodies, read again by another Avro implementation.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use serde_json::json;

use super::*;

const ACCOUNT: &str = include_str!("../../../../tests/fixtures/salesforce/AccountChangeEvent.avsc");
const CONTACT: &str = include_str!("../../../../tests/fixtures/salesforce/ContactChangeEvent.avsc");

fn object(name: &str, fields: &[(&str, &str)]) -> Describe {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, rest_type)| json!({"name": name, "type": rest_type}))
        .collect();
    let body = json!({"name": name, "fields": fields}).to_string();
    Describe::parse(body.as_bytes()).unwrap()
}

fn account() -> Describe {
    object(
        "Account",
        &[
            ("Id", "id"),
            ("SystemModstamp", "datetime"),
            ("Name", "string"),
            ("Salutation", "picklist"),
            ("FirstName", "string"),
            ("LastName", "string"),
            ("IsPersonAccount", "boolean"),
            ("BillingAddress", "address"),
            ("BillingStreet", "textarea"),
            ("BillingCity", "string"),
            ("BillingLatitude", "double"),
            ("PersonMailingCity", "string"),
            ("AnnualRevenue", "currency"),
            ("NumberOfEmployees", "int"),
            ("CreatedDate", "datetime"),
            ("SLAExpirationDate__c", "date"),
            ("Some_Time__c", "time"),
            ("Some_Geolocation__c", "location"),
            ("Some_Geolocation__Latitude__s", "double"),
            ("Some_Geolocation__Longitude__s", "double"),
            ("Some_Multipicklist__c", "multipicklist"),
            ("Some_Check_Box__c", "boolean"),
        ],
    )
}

fn map(json: &Json) -> Map<String, Json> {
    json.as_object().cloned().unwrap()
}

/// The body as `apache-avro` reads it: the event's record without its header.
fn read_again(event: &str, body: &Body) -> HashMap<String, Avro> {
    let mut schema: Json = serde_json::from_str(event).unwrap();
    schema["fields"].as_array_mut().unwrap().remove(0);
    let schema = apache_avro::Schema::parse_str(&schema.to_string()).unwrap();
    let mut rest = body.bytes();
    let value = apache_avro::from_avro_datum(&schema, &mut rest, None).unwrap();
    assert!(rest.is_empty());
    let Avro::Record(fields) = value else { panic!() };
    fields.into_iter().collect()
}

fn inner(value: &Avro) -> &Avro {
    match value {
        Avro::Union(_, inner) => inner,
        other => other,
    }
}

fn part(value: &Avro, name: &str) -> Avro {
    let Avro::Record(parts) = inner(value) else {
        panic!("{value:?} is no record")
    };
    let (_, value) = parts.iter().find(|(part, _)| part == name).unwrap();
    inner(value).clone()
}

#[test]
fn the_fields_selected_are_those_of_rest_that_the_object_has() {
    let schema = Schema::parse(ACCOUNT).unwrap();
    let describe = account();
    let select = Mapping::new(&schema, &describe);
    let select = select.select();
    for name in [
        "Name",
        "IsPersonAccount",
        "LastName",
        "BillingStreet",
        "Some_Geolocation__Latitude__s",
    ] {
        assert!(select.contains(&name), "{name}");
    }
    for name in [
        "BillingAddress",
        "Some_Geolocation__c",
        "Phone",
        "ShippingStreet",
        "ChangeEventHeader",
    ] {
        assert!(!select.contains(&name), "{name}");
    }
}

#[test]
fn a_row_becomes_a_body_that_another_avro_reads() {
    let schema = Schema::parse(ACCOUNT).unwrap();
    let describe = account();
    let row = map(&json!({
        "Name": "Acme", "IsPersonAccount": false, "LastName": null,
        "BillingStreet": "1 High Street", "BillingCity": null, "BillingLatitude": 51.5,
        "AnnualRevenue": 1_250_000, "NumberOfEmployees": 40.0,
        "CreatedDate": "2023-11-14T22:13:20.123+0000", "SLAExpirationDate__c": "2023-11-15",
        "Some_Time__c": "10:11:12.013Z", "Some_Geolocation__Latitude__s": 1.5, "Some_Geolocation__Longitude__s": null,
        "Some_Multipicklist__c": "a;b", "Some_Check_Box__c": true,
    }));
    let body = Mapping::new(&schema, &describe).body(&row).unwrap();
    let read = read_again(ACCOUNT, &body);
    let value = |name: &str| inner(&read[name]).clone();
    assert_eq!(value("Name"), Avro::String("Acme".into()));
    assert_eq!(
        part(&read["BillingAddress"], "Street"),
        Avro::String("1 High Street".into())
    );
    assert_eq!(part(&read["BillingAddress"], "City"), Avro::Null);
    assert_eq!(part(&read["BillingAddress"], "Latitude"), Avro::Double(51.5));
    assert_eq!(
        part(&read["BillingAddress"], "Country"),
        Avro::Null,
        "describe has none"
    );
    assert_eq!(
        value("PersonMailingAddress"),
        Avro::Null,
        "nothing of it is filled"
    );
    assert_eq!(value("AnnualRevenue"), Avro::Double(1_250_000.0));
    assert_eq!(value("NumberOfEmployees"), Avro::Int(40));
    assert_eq!(value("CreatedDate"), Avro::Long(1_700_000_000_123));
    assert_eq!(value("SLAExpirationDate__c"), Avro::Long(1_700_006_400_000));
    assert_eq!(value("Some_Time__c"), Avro::Long(36_672_013));
    assert_eq!(part(&read["Some_Geolocation__c"], "Latitude"), Avro::Double(1.5));
    assert_eq!(value("Some_Multipicklist__c"), Avro::String("a;b".into()));
    assert_eq!(value("Some_Check_Box__c"), Avro::Boolean(true));
    assert_eq!(value("Phone"), Avro::Null);
    assert_eq!(body.json()["CreatedDate"], json!(1_700_000_000_123_i64));
    assert!(body.json()["Phone"].is_null());
}

#[test]
fn a_person_accounts_name_is_a_record_and_a_businesses_is_text() {
    let schema = Schema::parse(ACCOUNT).unwrap();
    let describe = account();
    let mapping = Mapping::new(&schema, &describe);
    let person =
        map(&json!({"Name": "Ada Byron", "IsPersonAccount": true, "FirstName": "Ada", "LastName": "Byron"}));
    let read = read_again(ACCOUNT, &mapping.body(&person).unwrap());
    assert_eq!(part(&read["Name"], "LastName"), Avro::String("Byron".into()));
    assert_eq!(part(&read["Name"], "Salutation"), Avro::Null);

    let plain = object("Account", &[("Name", "string")]);
    let mapping = Mapping::new(&schema, &plain);
    assert_eq!(mapping.select(), ["Name"], "an org without person accounts");
    let read = read_again(ACCOUNT, &mapping.body(&map(&json!({"Name": "Acme"}))).unwrap());
    assert_eq!(inner(&read["Name"]), &Avro::String("Acme".into()));
}

#[test]
fn a_contacts_name_is_put_together_from_its_parts() {
    let schema = Schema::parse(CONTACT).unwrap();
    let fields = [
        ("Name", "string"),
        ("FirstName", "string"),
        ("LastName", "string"),
        ("MailingCity", "string"),
    ];
    let describe = object("Contact", &fields);
    let mapping = Mapping::new(&schema, &describe);
    assert_eq!(mapping.select(), ["FirstName", "LastName", "MailingCity"]);
    let row = map(&json!({"FirstName": "Ada", "LastName": "Byron", "MailingCity": "Bath"}));
    let read = read_again(CONTACT, &mapping.body(&row).unwrap());
    assert_eq!(part(&read["Name"], "FirstName"), Avro::String("Ada".into()));
    assert_eq!(part(&read["MailingAddress"], "City"), Avro::String("Bath".into()));
    assert_eq!(inner(&read["OtherAddress"]), &Avro::Null);
}

#[test]
fn the_bytes_of_single_fields_make_up_the_body() {
    let schema = Schema::parse(ACCOUNT).unwrap();
    let describe = account();
    let row = map(&json!({"Name": "Acme", "BillingCity": "Bath"}));
    let body = Mapping::new(&schema, &describe).body(&row).unwrap();
    let count = schema.record().unwrap().fields.len();
    let joined: Vec<u8> = (0..count).flat_map(|index| body.field(index)).copied().collect();
    assert_eq!(joined, body.bytes());
    assert!(body.field(0).is_empty() && body.field(count).is_empty());
    // The branch `string`, the length, the text.
    assert_eq!(body.field(1), [2, 8, b'A', b'c', b'm', b'e']);
    assert_eq!(body.field(2), [0]);
}

#[test]
fn names_of_parts_follow_the_sort_of_their_compound() {
    assert_eq!(
        part_names("BillingAddress", "Address", "StateCode"),
        ["BillingStateCode"]
    );
    assert_eq!(part_names("Address", "Address", "City"), ["City"]);
    assert_eq!(part_names("Loc__c", "Location", "Latitude"), ["Loc__Latitude__s"]);
    assert_eq!(
        part_names("Loc__pc", "Location", "Latitude")[0],
        "Loc__Latitude__ps"
    );
    assert_eq!(part_names("Name", "PersonName", "MiddleName"), ["MiddleName"]);
}

#[test]
fn a_value_of_another_type_is_refused_by_name_without_the_value() {
    let schema = Schema::parse(ACCOUNT).unwrap();
    let describe = account();
    for (name, value) in [
        ("NumberOfEmployees", json!("secret")),
        ("NumberOfEmployees", json!(1.5)),
        ("NumberOfEmployees", json!(1_i64 << 40)),
        ("CreatedDate", json!("secret")),
        ("Name", json!({"secret": 1})),
    ] {
        let mut row = Map::new();
        row.insert(name.to_owned(), value);
        let misfit = Mapping::new(&schema, &describe).body(&row).unwrap_err();
        assert_eq!(misfit.field, name);
        assert!(!misfit.to_string().contains("secret"));
    }
}

#[test]
fn behind_a_header_the_body_is_a_whole_event() {
    use base64::Engine as _;

    use crate::salesforce::event::{EventSchema, decode, json_values};

    let sample = include_str!("../../../../tests/fixtures/salesforce/AccountChangeEvent.update.base64");
    let sample = base64::engine::general_purpose::STANDARD
        .decode(sample.trim())
        .unwrap();
    let schema = EventSchema::parse("id", ACCOUNT).unwrap();
    let header_bytes = decode(&schema, &sample).unwrap().body_offset();
    let describe = account();
    let row =
        map(&json!({"Name": "Acme", "BillingCity": "Bath", "CreatedDate": "2023-11-14T22:13:20.123+0000"}));
    let body = Mapping::new(schema.avro(), &describe).body(&row).unwrap();
    let event = [&sample[..header_bytes], body.bytes()].concat();
    let decoded = decode(&schema, &event).unwrap();
    let written = json_values(&schema, &event, &decoded).unwrap();
    let written: Json = serde_json::from_slice(&written[0]).unwrap();
    assert_eq!(written["Name"], "Acme");
    assert_eq!(written["BillingAddress"]["City"], "Bath");
    assert_eq!(written["CreatedDate"], "2023-11-14T22:13:20.123Z");
}
