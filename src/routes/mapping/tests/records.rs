use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::super::{Decoded, Key, Program, RecordTarget, Refusal, Victim, Write};
use super::fixtures::{by_name, program, record, tombstone};
use crate::config::{OnTombstone, Operation};
use crate::salesforce::rest::{Describe, bulk_csv, fits_bulk};

const ID: &str = "001xx0000000001AAA";

fn field(name: &str, field_type: &str, more: Json) -> Json {
    let mut field =
        json!({"name": name, "type": field_type, "createable": true, "updateable": true, "length": 0});
    field
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    field
}

/// A contact with a field of every type.
fn contact() -> Describe {
    let read_only = json!({"createable": false, "updateable": false});
    let external = json!({"externalId": true, "idLookup": true, "length": 20});
    let fields = json!([
        field(
            "Id",
            "id",
            json!({"createable": false, "updateable": false, "idLookup": true})
        ),
        field("LastName", "string", json!({"length": 10})),
        field("Key__c", "string", external),
        field(
            "Exact_Key__c",
            "string",
            json!({"externalId": true, "caseSensitive": true})
        ),
        field("Number_Key__c", "double", json!({"externalId": true})),
        field(
            "AccountId",
            "reference",
            json!({"relationshipName": "Account", "referenceTo": ["Account"]})
        ),
        field(
            "OwnerId",
            "reference",
            json!({"relationshipName": "Owner", "referenceTo": ["Group", "User"]})
        ),
        field("Level__c", "picklist", json!({"length": 255})),
        field("Languages__c", "multipicklist", json!({"length": 4099})),
        field("Active__c", "boolean", json!({})),
        field("Count__c", "int", json!({})),
        field("Big__c", "long", json!({})),
        field("Amount__c", "currency", json!({})),
        field("Share__c", "percent", json!({})),
        field("Seen__c", "datetime", json!({})),
        field("Birthdate", "date", json!({})),
        field("Opens__c", "time", json!({})),
        field("Photo__c", "base64", json!({})),
        field("MailingAddress", "address", json!({})),
        field("CreatedDate", "datetime", read_only.clone()),
        field("Fixed__c", "string", json!({"updateable": false})),
    ]);
    let body = json!({"name": "Contact", "createable": true, "updateable": true, "deletable": true, "fields": fields});
    Describe::parse(body.to_string().as_bytes()).unwrap()
}

fn target_with(
    program: Arc<Program>,
    operation: Operation,
    external_id: Option<&str>,
    on_tombstone: OnTombstone,
) -> Result<RecordTarget, Vec<String>> {
    let told = |refusals: Vec<Refusal>| refusals.into_iter().map(|refusal| refusal.public).collect();
    RecordTarget::new(program, &contact(), operation, external_id, on_tombstone).map_err(told)
}

fn target(program: Arc<Program>, operation: Operation, external_id: Option<&str>) -> RecordTarget {
    target_with(program, operation, external_id, OnTombstone::Delete).unwrap()
}

fn upsert(fields: &[(&str, &str)]) -> RecordTarget {
    target(program(None, fields), Operation::Upsert, Some("Key__c"))
}

fn body(target: &RecordTarget, value: Json) -> Result<Json, String> {
    match target.write(&record(value)).map_err(|refusal| refusal.public)? {
        Write::Record { body, .. } => Ok(Json::Object(body)),
        other => panic!("{other:?}"),
    }
}

fn keyed(key: &str) -> Key {
    Key::Value(json!(key))
}

#[test]
fn fields_of_equal_names_are_written_in_the_order_of_the_record() {
    let target = target(by_name(), Operation::Upsert, Some("Key__c"));
    let value = json!({"LastName": "Doe", "Nothing__c": 1, "CreatedDate": "x", "Id": ID, "AccountId": null, "Key__c": "K-1", "Count__c": "5"});
    let body = body(&target, value).unwrap();
    assert_eq!(
        body.to_string(),
        r#"{"Key__c":"K-1","LastName":"Doe","AccountId":null,"Count__c":5}"#
    );
    assert_eq!(target.ignored(), ["CreatedDate", "Id", "Nothing__c"]);
}

#[test]
fn every_type_takes_its_values_and_refuses_the_others() {
    let target = target(by_name(), Operation::Upsert, Some("Key__c"));
    let taken = [
        ("LastName", json!("ten chars!"), json!("ten chars!")),
        ("LastName", json!(17), json!("17")),
        ("LastName", json!(""), json!("")),
        ("AccountId", json!(ID), json!(ID)),
        ("Level__c", json!("gold"), json!("gold")),
        ("Languages__c", json!(["de", "en"]), json!("de;en")),
        ("Active__c", json!("false"), json!(false)),
        ("Count__c", json!(5.0), json!(5)),
        (
            "Big__c",
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_993_i64),
        ),
        ("Amount__c", json!("12.50"), json!(12.5)),
        ("Amount__c", json!(12), json!(12)),
        ("Share__c", json!(0.1), json!(0.1)),
        (
            "Amount__c",
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_993_i64),
        ),
        (
            "Amount__c",
            json!("9007199254740993"),
            json!(9_007_199_254_740_993_i64),
        ),
        (
            "Seen__c",
            json!("2026-01-02T04:04:05+01:00"),
            json!("2026-01-02T03:04:05.000Z"),
        ),
        (
            "Seen__c",
            json!(1_700_000_000_123_i64),
            json!("2023-11-14T22:13:20.123Z"),
        ),
        ("Birthdate", json!("1990-02-28"), json!("1990-02-28")),
        (
            "Birthdate",
            json!("2024-05-01T23:30:00-05:00"),
            json!("2024-05-02"),
        ),
        ("Opens__c", json!("08:30"), json!("08:30:00.000Z")),
        ("Photo__c", json!("AAEC"), json!("AAEC")),
        ("Active__c", json!(null), json!(null)),
    ];
    for (name, value, sent) in taken {
        let body = body(&target, json!({"Key__c": "K", name: value.clone()})).unwrap();
        assert_eq!(body[name], sent, "{name} {value}");
    }
    let refused = [
        (
            "LastName",
            json!("eleven char"),
            "holds 10 characters, and the text has 11",
        ),
        ("LastName", json!({"a": 1}), "takes a text, not an object"),
        ("AccountId", json!(5), "takes a record id as text, not a number"),
        ("Languages__c", json!([["de"]]), "takes a text, not a list"),
        ("Active__c", json!(1), "takes true or false, not a number"),
        (
            "Count__c",
            json!(3_000_000_000_i64),
            "takes whole numbers of 32 bits",
        ),
        ("Count__c", json!("1.5"), "takes no fraction"),
        ("Big__c", json!(u64::MAX), "takes whole numbers of 64 bits"),
        ("Amount__c", json!("NaN"), "takes no text that is not a number"),
        (
            "Seen__c",
            json!("2026-01-02T04:04:05"),
            "takes text of RFC 3339 with an offset alone, such as 2026-01-02T03:04:05Z",
        ),
        ("Seen__c", json!(i64::MAX), "takes years up to 9999"),
        ("Birthdate", json!(0), "takes a date as text, not a number"),
        ("Opens__c", json!("noon"), "takes text as HH:MM:SS.mmm alone"),
        (
            "MailingAddress",
            json!({"city": "x"}),
            "is made of other fields; name those",
        ),
    ];
    for (name, value, rule) in refused {
        let told = body(&target, json!({"Key__c": "K", name: value})).unwrap_err();
        assert_eq!(told, format!("field {name}: {rule}"));
    }
}

#[test]
fn null_clears_and_missing_leaves_untouched() {
    let target = upsert(&[
        ("Key__c", "value.id"),
        ("LastName", "value.name.last"),
        ("Count__c", "value.count"),
    ]);
    assert_eq!(
        body(&target, json!({"id": "K", "name": {}, "count": null})),
        Ok(json!({"Key__c": "K", "Count__c": null}))
    );
}

#[test]
fn another_record_is_named_by_its_external_id_and_null_clears_the_lookup() {
    let target = upsert(&[
        ("Key__c", "key"),
        ("Account.Customer_Id__c", "value.customer"),
        ("User:Owner.Employee__c", "value.owner"),
    ]);
    let written = |value: Json| {
        let record = Decoded {
            key: keyed("K"),
            ..record(value)
        };
        match target.write(&record) {
            Ok(Write::Record { body, .. }) => Ok(Json::Object(body)),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.public),
        }
    };
    assert_eq!(
        written(json!({"customer": "C-1", "owner": 7})),
        Ok(json!({"Key__c": "K", "Account": {"Customer_Id__c": "C-1"},
            "Owner": {"attributes": {"type": "User"}, "Employee__c": 7}}))
    );
    assert_eq!(
        written(json!({"customer": null})),
        Ok(json!({"Key__c": "K", "AccountId": null}))
    );
    assert_eq!(
        written(json!({"customer": ""})).unwrap_err(),
        "field Account.Customer_Id__c: names another record, and is empty"
    );
}

#[test]
fn bulk_takes_the_same_bodies() {
    let target = upsert(&[
        ("Key__c", "value.id"),
        ("Account.Customer_Id__c", "value.customer"),
        ("User:Owner.Employee__c", "value.owner"),
        ("Amount__c", "value.amount"),
        ("Seen__c", "value.seen"),
    ]);
    let value = json!({"id": "K", "customer": "C-1", "owner": 7, "amount": "12.50", "seen": 0});
    let Json::Object(body) = body(&target, value).unwrap() else {
        panic!("an object");
    };
    assert!(fits_bulk(&body));
    assert_eq!(
        String::from_utf8(bulk_csv(&[body]).unwrap()).unwrap(),
        "Key__c,Account.Customer_Id__c,Amount__c,Seen__c,User:Owner.Employee__c\nK,C-1,12.5,1970-01-01T00:00:00.000Z,7\n"
    );
}

#[test]
fn a_mapping_that_does_not_fit_the_object_is_told_field_by_field() {
    let fields = [
        ("Key__c", "key"),
        ("Nothing__c", "1"),
        ("CreatedDate", "1"),
        ("Id", "1"),
        ("AccountId", "1"),
        ("Account.Customer_Id__c", "1"),
        ("Parent.Customer_Id__c", "1"),
        ("Owner.Employee__c", "1"),
        ("Lead:Owner.Employee__c", "1"),
        ("Account.Owner.X__c", "1"),
    ];
    let refused = target_with(
        program(None, &fields),
        Operation::Upsert,
        Some("Key__c"),
        OnTombstone::Delete,
    );
    assert_eq!(
        refused.unwrap_err(),
        [
            "field Account.Owner.X__c: names one external id of the other record, such as Account.External_Id__c",
            "field AccountId: another field sets AccountId too; remove one",
            "field CreatedDate: CreatedDate may not be written by this user",
            "field Id: is given by Salesforce; only an update or a delete without external_id is told it",
            "field Lead:Owner.Employee__c: Owner points to Group, User, not to Lead",
            "field Nothing__c: Contact has no such field, or the user may not see it",
            "field Owner.Employee__c: Owner may point to Group, User; say which, such as Group:Owner.Employee__c",
            "field Parent.Customer_Id__c: Contact has no relationship Parent, or the user may not see it",
        ]
    );
    let refused = |operation, external_id, fields: &[(&str, &str)]| {
        target_with(program(None, fields), operation, external_id, OnTombstone::Delete).unwrap_err()
    };
    assert_eq!(
        refused(Operation::Update, None, &[("Id", "key"), ("Fixed__c", "1")]),
        ["field Fixed__c: Fixed__c may not be written by this user"]
    );
    assert_eq!(
        refused(Operation::Upsert, Some("LastName"), &[]),
        ["field LastName: is no external id of Contact"]
    );
    assert_eq!(
        refused(Operation::Upsert, Some("Key__c"), &[("LastName", "1")]),
        ["field Key__c: finds the record, so it needs an expression, such as `key`"]
    );
    assert_eq!(
        refused(Operation::Delete, None, &[("Id", "key"), ("LastName", "1")]),
        ["field LastName: a delete sends no fields; remove it"]
    );
}

#[test]
fn an_operation_that_the_user_may_not_do_is_told() {
    let body = json!({"name": "Contact", "updateable": true, "fields": [field("Id", "id", json!({}))]});
    let object = Describe::parse(body.to_string().as_bytes()).unwrap();
    for (operation, told) in [
        (
            Operation::Insert,
            Some("the user may not insert records of Contact"),
        ),
        (Operation::Update, None),
        (
            Operation::Delete,
            Some("the user may not delete records of Contact"),
        ),
    ] {
        let refused = RecordTarget::new(by_name(), &object, operation, None, OnTombstone::Ignore).err();
        let refused = refused.map(|refusals| Refusal::halt("contacts", &refusals).message);
        assert_eq!(
            refused,
            told.map(|told| format!("route contacts: the mapping does not fit: {told}"))
        );
    }
}

#[test]
fn external_ids_are_compared_as_salesforce_compares_them() {
    let key_of = |external_id: &str, value: Json| {
        let target = target(by_name(), Operation::Upsert, Some(external_id));
        let written = target
            .write(&record(json!({external_id: value})))
            .map_err(|refusal| refusal.public)?;
        let Write::Record {
            external_id: Some(id),
            ..
        } = written
        else {
            panic!("{written:?}");
        };
        Ok::<_, String>((id.as_sent().to_owned(), id.compare_key().to_owned()))
    };
    let pair = |sent: &str, compared: &str| Ok((sent.to_owned(), compared.to_owned()));
    assert_eq!(key_of("Key__c", json!(" Ab ")), pair(" Ab ", "ab"));
    assert_eq!(key_of("Exact_Key__c", json!("Ab")), pair("Ab", "Ab"));
    assert_eq!(key_of("Number_Key__c", json!("5.00")), pair("5", "5"));
    assert_eq!(key_of("Number_Key__c", json!(5)), pair("5", "5"));
    assert_eq!(
        key_of("Key__c", json!(" ")).unwrap_err(),
        "field Key__c: finds the record, and is empty"
    );
    assert_eq!(
        key_of("Key__c", json!(null)).unwrap_err(),
        "field Key__c: finds the record, and the record has no value for it"
    );
}

#[test]
fn an_update_finds_its_record_by_id_or_by_external_id() {
    let by_id = target(by_name(), Operation::Update, None);
    let Write::Record {
        external_id,
        record_id,
        body,
    } = by_id
        .write(&record(json!({"Id": ID, "LastName": "Doe"})))
        .unwrap()
    else {
        panic!("a record");
    };
    assert_eq!(external_id, None);
    let id = record_id.unwrap();
    assert_eq!((id.as_sent(), id.compare_key()), (ID, "001xx0000000001"));
    assert_eq!(Json::Object(body), json!({"Id": ID, "LastName": "Doe"}));
    assert!(by_id.ignored().is_empty());
    for (value, rule) in [
        (
            json!({"LastName": "Doe"}),
            "field Id: finds the record, and the record has no value for it",
        ),
        (
            json!({"Id": "001"}),
            "field Id: takes a record id of 15 or 18 letters and digits alone",
        ),
    ] {
        assert_eq!(super::records::body(&by_id, value).unwrap_err(), rule);
    }

    let by_key = target(by_name(), Operation::Update, Some("Key__c"));
    let Write::Record {
        external_id, body, ..
    } = by_key
        .write(&record(json!({"Key__c": "K", "LastName": "Doe"})))
        .unwrap()
    else {
        panic!("a record");
    };
    assert_eq!(external_id.unwrap().as_sent(), "K");
    assert_eq!(Json::Object(body), json!({"LastName": "Doe"}));
}

#[test]
fn an_insert_needs_no_id_and_a_delete_nothing_else() {
    let insert = target(by_name(), Operation::Insert, None);
    assert_eq!(
        body(&insert, json!({"LastName": "Doe", "Fixed__c": "x"})),
        Ok(json!({"LastName": "Doe", "Fixed__c": "x"}))
    );
    let insert = target(by_name(), Operation::Insert, Some("Key__c"));
    assert!(body(&insert, json!({"LastName": "Doe"})).is_ok());

    let delete = target(by_name(), Operation::Delete, None);
    let Write::Delete(Victim::RecordId(id)) =
        delete.write(&record(json!({"Id": ID, "LastName": "x"}))).unwrap()
    else {
        panic!("a delete");
    };
    assert_eq!(id.as_sent(), ID);
    let delete = target(
        program(None, &[("Key__c", "value.id")]),
        Operation::Delete,
        Some("Key__c"),
    );
    let Write::Delete(Victim::ExternalId(id)) = delete.write(&record(json!({"id": "K"}))).unwrap() else {
        panic!("a delete");
    };
    assert_eq!(id.as_sent(), "K");
}

#[test]
fn a_tombstone_does_what_the_route_says() {
    let written = |on_tombstone, key: Key, fields: &[(&str, &str)]| {
        let target = target_with(
            program(None, fields),
            Operation::Upsert,
            Some("Key__c"),
            on_tombstone,
        )
        .unwrap();
        target.write(&tombstone(key)).map_err(|refusal| refusal.public)
    };
    let deleted = |key: Key, fields: &[(&str, &str)]| match written(OnTombstone::Delete, key, fields)? {
        Write::Delete(Victim::ExternalId(id)) => Ok::<_, String>(id.as_sent().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(written(OnTombstone::Ignore, Key::Absent, &[]), Ok(Write::Ignore));
    assert_eq!(
        written(OnTombstone::DeadLetter, keyed("K"), &[]).unwrap_err(),
        "the record is a tombstone, and on_tombstone is dead_letter"
    );
    assert_eq!(deleted(keyed("K"), &[]).as_deref(), Ok("K"));
    assert_eq!(deleted(Key::Value(json!(17)), &[]).as_deref(), Ok("17"));
    assert_eq!(deleted(keyed("K"), &[("Key__c", "value.id")]).as_deref(), Ok("K"));
    assert_eq!(
        deleted(keyed("K"), &[("Key__c", "'C-' + key")]).as_deref(),
        Ok("C-K")
    );
    assert_eq!(
        deleted(Key::Absent, &[]).unwrap_err(),
        "a tombstone without a key says not what to delete"
    );
    assert_eq!(
        deleted(Key::Unreadable("it is not UTF-8 text".to_owned()), &[]).unwrap_err(),
        "the key cannot be read: it is not UTF-8 text"
    );
    assert_eq!(
        deleted(Key::Value(json!({"id": 1})), &[]).unwrap_err(),
        "field Key__c: takes a text, not an object"
    );
    assert_eq!(
        deleted(keyed("twenty-one characters"), &[]).unwrap_err(),
        "field Key__c: holds 20 characters, and the text has 21"
    );
}
