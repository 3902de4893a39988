use serde_json::json;

use super::fixtures::{
    ACCOUNT, CONTACT, Header, account_of_85_fields, account_update, change_schema, encode, field,
    header_field, parse, platform_schema, record, texts, value,
};
use crate::error::{Action, Failure};
use crate::salesforce::event::{ChangeType, DocType, EventSchema, decode};
use apache_avro::types::Value;

#[test]
fn schemas_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<EventSchema>();
}

#[test]
fn a_schema_tells_name_kind_fields_and_children() {
    let account = EventSchema::parse("i6_JU3VTbNhRZYbMVlV-xQ", ACCOUNT).unwrap();
    assert_eq!(account.id(), "i6_JU3VTbNhRZYbMVlV-xQ");
    assert_eq!(account.name(), "AccountChangeEvent");
    assert!(account.is_change_event());
    assert_eq!(account.fields().len(), 87);
    let named = |name: &str| {
        account
            .fields()
            .iter()
            .find(|field| &**field.name() == name)
            .unwrap()
    };
    let billing: Vec<_> = named("BillingAddress")
        .children()
        .iter()
        .map(|child| &**child)
        .collect();
    assert_eq!(billing[..2], ["BillingAddress.Street", "BillingAddress.City"]);
    // A use of the type by its name.
    assert_eq!(named("ShippingAddress").children().len(), billing.len());
    assert_eq!(&*named("ShippingAddress").children()[0], "ShippingAddress.Street");
    assert_eq!(named("LastModifiedDate").doc_type(), DocType::DateTime);
    assert_eq!(named("Phone").doc_type(), DocType::Other);

    let contact = EventSchema::parse("id", CONTACT).unwrap();
    let birthdate = contact
        .fields()
        .iter()
        .find(|field| &**field.name() == "Birthdate")
        .unwrap();
    assert_eq!(birthdate.doc_type(), DocType::DateOnly);

    let platform = parse(&platform_schema(&[]));
    assert_eq!(platform.name(), "Thing__e");
    assert!(!platform.is_change_event());
}

#[test]
fn a_real_event_decodes_whole_with_the_schema_it_was_written_with() {
    let schema = account_of_85_fields();
    let event = decode(&schema, &account_update()).unwrap();
    let header = event.header().unwrap();
    assert_eq!(header.entity_name, "Account");
    assert_eq!(header.record_ids, ["001Dp00000H8YVWIA3"]);
    assert_eq!(header.change_type, ChangeType::Update);
    assert_eq!(
        header.change_origin,
        "com/salesforce/api/soap/57.0;client=SfdcInternalAPI/"
    );
    assert_eq!(header.transaction_key, "00033c92-748b-4bdc-87ca-a4904c5f0e7e");
    assert_eq!(header.sequence_number, 1);
    assert_eq!(header.commit_timestamp_ms, 1_685_217_197_000);
    assert_eq!(header.commit_number, 218_791_688_481);
    assert_eq!(header.commit_user, "005Dp000000PpjsIAC");
    assert_eq!(header.changed_fields, ["Name".into(), "LastModifiedDate".into()]);
    assert_eq!(event.entity(), Some("Account"));
    assert_eq!(event.event_time_ms(), Some(1_685_217_197_000));

    let json = value(&schema, &account_update());
    assert_eq!(
        json.as_object().unwrap().len(),
        85,
        "every field of the schema is present"
    );
    assert_eq!(json["Name"], "Burlington Textiles Corp of Americsg");
    assert_eq!(json["LastModifiedDate"], "2023-05-27T19:53:17.000Z");
    assert_eq!(json["Phone"], json!(null));
    assert_eq!(
        json["ChangeEventHeader"]["changedFields"],
        json!(["Name", "LastModifiedDate"])
    );
    assert_eq!(
        json["ChangeEventHeader"]["commitTimestamp"],
        json!(1_685_217_197_000_i64)
    );
}

#[test]
fn a_real_event_fails_with_the_topics_current_schema_and_says_why() {
    let schema = EventSchema::parse("newer", ACCOUNT).unwrap();
    assert!(
        decode(&schema, &account_update()).is_ok(),
        "the header has not changed"
    );
    let error = texts(&schema, &account_update()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("AccountChangeEvent (schema newer): field Languages__pc (86 of 87)"),
        "{message}"
    );
    assert!(
        message.ends_with("probably written with another schema"),
        "{message}"
    );
    assert_eq!(Failure::from(error).action(), Action::DeadLetter);
}

#[test]
fn an_event_with_more_fields_than_the_schema_fails_too() {
    let written = change_schema(&[
        field("A__c", "string", "Data:Text"),
        field("B__c", "string", "Data:Text"),
    ]);
    let older = parse(&change_schema(&[field("A__c", "string", "Data:Text")]));
    let payload = encode(
        &written,
        record(vec![
            ("ChangeEventHeader", Header::default().value()),
            ("A__c", super::fixtures::NULL()),
            ("B__c", super::fixtures::NULL()),
        ]),
    );
    let message = texts(&older, &payload).unwrap_err().to_string();
    assert!(message.contains("1 bytes follow the last field"), "{message}");
}

#[test]
fn a_header_field_that_salesforce_adds_is_kept_as_it_is() {
    let mut header = header_field();
    let fields = header["type"]["fields"].as_array_mut().unwrap();
    fields.insert(
        2,
        json!({"name": "region", "type": ["null", {"type": "map", "values": "int"}]}),
    );
    fields[10]["name"] = json!("nulledfields");
    let schema = json!({"type": "record", "name": "ThingChangeEvent", "fields": [header]});
    let Value::Record(mut values) = Header::default().value() else {
        unreachable!()
    };
    let region = Value::Map([("eu".to_owned(), Value::Int(7))].into());
    values.insert(2, ("region".to_owned(), super::fixtures::branch(1, region)));
    values[10].0 = "nulledfields".to_owned();
    let payload = encode(
        &schema,
        record(vec![("ChangeEventHeader", Value::Record(values))]),
    );

    let json = value(&parse(&schema), &payload);
    assert_eq!(json["ChangeEventHeader"]["region"], json!({"eu": 7}));
    assert_eq!(json["ChangeEventHeader"]["nulledfields"], json!([]));
    assert_eq!(json["ChangeEventHeader"]["commitUser"], "005000000000001AAA");
}

#[test]
fn schemas_that_cannot_be_used_say_which_and_why() {
    let error = |json: &str| EventSchema::parse("x", json).unwrap_err().to_string();
    assert_eq!(error("{"), "schema x is not an Avro schema");
    assert_eq!(error("\"string\""), "schema x is not JSON of the expected shape");
    assert_eq!(
        error(r#"{"type":"array","items":"string","fields":[]}"#),
        "schema x is not a record"
    );
    assert_eq!(
        error(r#"{"type":"record","name":"A","fields":[{"name":"a","type":"Gone"}]}"#),
        "schema x is not an Avro schema"
    );

    let mut header = header_field();
    header["type"]["fields"].as_array_mut().unwrap().remove(4);
    let json = json!({"type": "record", "name": "A", "fields": [header]}).to_string();
    assert_eq!(error(&json), "schema x: header field transactionKey is missing");

    let mut header = header_field();
    header["type"]["fields"][7]["type"] = json!("double");
    let json = json!({"type": "record", "name": "A", "fields": [header]}).to_string();
    assert_eq!(
        error(&json),
        "schema x: header field commitNumber has another type than Salesforce documents"
    );
}

#[test]
fn a_change_type_that_nobody_knows_is_an_error() {
    let mut header = header_field();
    header["type"]["fields"][2]["type"]["symbols"][1] = json!("MERGE");
    let schema = parse(&json!({"type": "record", "name": "ThingChangeEvent", "fields": [header]}));
    let original = json!({"type": "record", "name": "ThingChangeEvent", "fields": [header_field()]});
    let payload = encode(
        &original,
        record(vec![("ChangeEventHeader", Header::default().value())]),
    );
    let message = decode(&schema, &payload).unwrap_err().to_string();
    assert!(
        message.ends_with("header field changeType: unknown change type MERGE"),
        "{message}"
    );
}

#[test]
fn every_change_type_is_read_and_gaps_are_told() {
    let schema = json!({"type": "record", "name": "ThingChangeEvent", "fields": [header_field()]});
    let parsed = parse(&schema);
    let mut gaps = Vec::new();
    for change_type in 0..10 {
        let header = Header {
            change_type,
            ..Header::default()
        };
        let payload = encode(&schema, record(vec![("ChangeEventHeader", header.value())]));
        let event = decode(&parsed, &payload).unwrap();
        let name = event.header().unwrap().change_type.name();
        assert_eq!(value(&parsed, &payload)["ChangeEventHeader"]["changeType"], name);
        assert_eq!(event.is_overflow(), name == "GAP_OVERFLOW");
        if event.is_gap() {
            gaps.push(name);
        }
    }
    assert_eq!(
        gaps,
        [
            "GAP_CREATE",
            "GAP_UPDATE",
            "GAP_DELETE",
            "GAP_UNDELETE",
            "GAP_OVERFLOW"
        ]
    );
}
