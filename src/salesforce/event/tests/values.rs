use apache_avro::types::Value;
use serde_json::json;

use super::fixtures::{
    Header, NULL, branch, change_schema, compound, encode, field, parse, record, text, texts, value,
};

fn person_name() -> serde_json::Value {
    json!({"name": "Name", "doc": "Data:Switchable_PersonName", "default": null, "type": ["null", "string",
    {"type": "record", "name": "Switchable_PersonName", "fields": [
        {"name": "Salutation", "type": ["null", "string"], "default": null},
        {"name": "FirstName", "type": ["null", "string"], "default": null},
        {"name": "LastName", "type": ["null", "string"], "default": null}
    ]}]})
}

#[test]
fn an_accounts_name_is_text_for_a_business_and_an_object_for_a_person() {
    let schema = change_schema(&[person_name()]);
    let parsed = parse(&schema);
    let json = |name: Value| {
        let event = record(vec![
            ("ChangeEventHeader", Header::default().value()),
            ("Name", name),
        ]);
        value(&parsed, &encode(&schema, event))["Name"].clone()
    };
    let person = record(vec![
        ("Salutation", NULL()),
        ("FirstName", branch(1, text("Ada"))),
        ("LastName", branch(1, text("Lovelace"))),
    ]);
    assert_eq!(json(branch(1, text("Burlington"))), "Burlington");
    assert_eq!(
        json(branch(2, person)),
        json!({"Salutation": null, "FirstName": "Ada", "LastName": "Lovelace"})
    );
    assert_eq!(json(NULL()), json!(null));
}

#[test]
fn integers_beyond_two_to_the_53_are_exact() {
    let schema = change_schema(&[
        field("Big__c", "long", "Data:Integer"),
        field("Time__c", "long", "Data:TimeOnly"),
    ]);
    let header = Header {
        commit_number: 1_650_000_000_000_000_001,
        ..Header::default()
    };
    let event = record(vec![
        ("ChangeEventHeader", header.value()),
        ("Big__c", branch(1, Value::Long(9_007_199_254_740_993))),
        ("Time__c", branch(1, Value::Long(i64::MIN))),
    ]);
    let texts = texts(&parse(&schema), &encode(&schema, event)).unwrap();
    assert!(
        texts[0].contains(r#""commitNumber":1650000000000000001,"#),
        "{}",
        texts[0]
    );
    assert!(
        texts[0].ends_with(r#","Big__c":9007199254740993,"Time__c":-9223372036854775808}"#),
        "{}",
        texts[0]
    );
}

#[test]
fn numbers_that_json_cannot_write_are_null() {
    let schema = change_schema(&[
        field("A__c", "double", "Data:Double"),
        field("B__c", "double", "Data:Double"),
    ]);
    let event = record(vec![
        ("ChangeEventHeader", Header::default().value()),
        ("A__c", branch(1, Value::Double(f64::NAN))),
        ("B__c", branch(1, Value::Double(f64::NEG_INFINITY))),
    ]);
    let json = value(&parse(&schema), &encode(&schema, event));
    assert_eq!((&json["A__c"], &json["B__c"]), (&json!(null), &json!(null)));
}

#[test]
fn compound_fields_are_objects_also_where_the_type_is_used_by_name() {
    let schema = change_schema(&[
        compound("BillingAddress", "Address", &["Street", "City"]),
        json!({"name": "ShippingAddress", "type": ["null", "Address"], "default": null}),
        json!({"name": "Codes", "type": ["null", {"type": "array", "items": "string"}]}),
    ]);
    let address = |street: &str| {
        branch(
            1,
            record(vec![("Street", branch(1, text(street))), ("City", NULL())]),
        )
    };
    let event = record(vec![
        ("ChangeEventHeader", Header::default().value()),
        ("BillingAddress", address("Main")),
        ("ShippingAddress", address("Side")),
        ("Codes", branch(1, Value::Array(vec![text("x"), text("y")]))),
    ]);
    let json = value(&parse(&schema), &encode(&schema, event));
    assert_eq!(json["BillingAddress"], json!({"Street": "Main", "City": null}));
    assert_eq!(json["ShippingAddress"], json!({"Street": "Side", "City": null}));
    assert_eq!(json["Codes"], json!(["x", "y"]));
}

#[test]
fn fields_stand_in_the_schemas_order_behind_the_header() {
    let schema = change_schema(&[
        field("Z__c", "string", "Data:Text"),
        field("A__c", "boolean", "Data:Boolean"),
    ]);
    let event = record(vec![
        ("ChangeEventHeader", Header::default().value()),
        ("Z__c", NULL()),
        ("A__c", branch(1, Value::Boolean(true))),
    ]);
    let texts = texts(&parse(&schema), &encode(&schema, event)).unwrap();
    assert_eq!(
        texts,
        [concat!(
            r#"{"ChangeEventHeader":{"entityName":"Thing","recordIds":["001000000000001AAA"],"changeType":"UPDATE","#,
            r#""changeOrigin":"com/salesforce/api/rest/66.0;client=battle","#,
            r#""transactionKey":"00033c92-748b-4bdc-87ca-a4904c5f0e7e","sequenceNumber":3,"#,
            r#""commitTimestamp":1685217197000,"commitNumber":218791688481,"commitUser":"005000000000001AAA","#,
            r#""nulledFields":[],"diffFields":[],"changedFields":[]},"Z__c":null,"A__c":true}"#
        )]
    );
}
