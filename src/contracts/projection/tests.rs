use serde_json::{Value as Json, json};

use super::*;
use crate::avro::{LongForm, write_json_value, write_value_as_json};

const WRITER: &str = r#"{"type":"record","name":"AccountChangeEvent","fields":[
    {"name":"Name","type":["null","string",{"type":"record","name":"PersonName","fields":[{"name":"LastName","type":["null","string"]}]}]},
    {"name":"Employees","type":["null","int"]},
    {"name":"Revenue","type":["null","double"]},
    {"name":"Address","type":["null",{"type":"record","name":"Address","fields":[
        {"name":"Street","type":["null","string"]},{"name":"City","type":["null","string"]}]}]},
    {"name":"Kind","type":{"type":"enum","name":"Kind","symbols":["A","B","C"]}},
    {"name":"Tags","type":{"type":"array","items":"int"}}]}"#;

fn reader(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"Account","fields":[{fields}]}}"#)
}

fn schema(json: &str) -> Arc<Schema> {
    Arc::new(Schema::parse(json).unwrap())
}

fn projection(fields: &str) -> Result<Projection, ProjectionError> {
    Projection::new(schema(WRITER), schema(&reader(fields)))
}

fn datum() -> Json {
    json!({"Name": "Acme", "Employees": 7, "Revenue": 1.5, "Address": {"Street": "s", "City": "c"}, "Kind": "B", "Tags": [1, 2]})
}

/// The projected datum as JSON, or why not.
fn projected(fields: &str, value: &Json) -> Result<Json, String> {
    let projection = projection(fields).map_err(|error| error.to_string())?;
    let writer = schema(WRITER);
    let (mut written, mut read, mut json) = (Vec::new(), vec![9], Vec::new());
    write_json_value(&writer, writer.root(), value, &mut written).unwrap();
    projection.project_datum(&written, &mut read).map_err(|error| {
        assert_eq!(read, [9], "nothing of a failed datum stays");
        error.to_string()
    })?;
    let reader = projection.reader();
    let mut wire = Wire::new(&read[1..]);
    write_value_as_json(reader, reader.root(), LongForm::Number, &mut wire, &mut json).unwrap();
    assert!(wire.rest().is_empty());
    // The other implementation reads it too.
    let other = apache_avro::Schema::parse_str(&self::reader(fields)).unwrap();
    apache_avro::from_avro_datum(&other, &mut &read[1..], None).unwrap();
    Ok(serde_json::from_slice(&json).unwrap())
}

#[test]
fn fields_are_found_by_name_and_alias_in_the_readers_order_and_the_rest_takes_its_default() {
    let fields = r#"{"name":"city_of","aliases":["Nowhere","Address"],"type":["null",{"type":"record","name":"Place","fields":[
            {"name":"City","type":["null","string"]},{"name":"Zip","type":"string","default":"?"}]}]},
        {"name":"Name","type":["null","string"]},
        {"name":"Added","type":["null","string"],"default":null},
        {"name":"Count","type":"int","default":3}"#;
    assert_eq!(
        projected(fields, &datum()),
        Ok(json!({"city_of": {"City": "c", "Zip": "?"}, "Name": "Acme", "Added": null, "Count": 3}))
    );
}

#[test]
fn numbers_promote_and_enums_fall_back() {
    let fields = r#"{"name":"Employees","type":["null","double"]},
        {"name":"Tags","type":{"type":"array","items":"long"}},
        {"name":"Kind","type":{"type":"enum","name":"Kind","symbols":["C","OTHER"],"default":"OTHER"}}"#;
    assert_eq!(
        projected(fields, &datum()),
        Ok(json!({"Employees": 7.0, "Tags": [1, 2], "Kind": "OTHER"}))
    );
    let tags = r#"{"name":"Tags","type":{"type":"array","items":"double"}}"#;
    assert_eq!(projected(tags, &datum()), Ok(json!({"Tags": [1.0, 2.0]})));
}

#[test]
fn what_could_never_be_read_breaks_the_contract_and_names_the_field_and_the_rule() {
    let fields = r#"{"name":"Industry","type":"string"},{"name":"Revenue","type":["null","long"]},
        {"name":"Address","type":["null",{"type":"record","name":"A","fields":[{"name":"Zip","type":"string"}]}]},
        {"name":"Count","type":"int","default":"x"}"#;
    assert_eq!(
        projected(fields, &datum()).unwrap_err(),
        "field Industry: AccountChangeEvent has no such field, and the contract gives no default; \
         field Revenue: is double and does not promote to the contract's [null, long]; \
         field Address.Zip: Address has no such field, and the contract gives no default; \
         field Count: the contract's default does not fit int"
    );
}

#[test]
fn what_this_event_cannot_give_is_told_without_its_value() {
    let fields = r#"{"name":"Name","type":"string"}"#;
    assert_eq!(projected(fields, &datum()), Ok(json!({"Name": "Acme"})));
    let mut person = datum();
    person["Name"] = json!({"LastName": "Byron"});
    assert_eq!(
        projected(fields, &person).unwrap_err(),
        "field Name: it is record PersonName here, and the contract takes string alone"
    );
    person["Name"] = Json::Null;
    assert_eq!(
        projected(fields, &person).unwrap_err(),
        "field Name: it is null here, and the contract takes string alone"
    );
}

#[test]
fn an_absent_field_takes_the_default_as_if_the_event_had_none() {
    let projection = projection(r#"{"name":"Employees","type":["null","int"],"default":null}"#).unwrap();
    let mut out = Vec::new();
    projection.project(|_| FieldValue::Absent, &mut out).unwrap();
    assert_eq!(out, [0]);
    let without = self::projection(r#"{"name":"Employees","type":["null","int"]}"#).unwrap();
    assert!(without.project(|_| FieldValue::Absent, &mut out).is_err());
    assert_eq!(out, [0]);
}

#[test]
fn a_schema_onto_itself_copies_every_byte() {
    let same = Projection::new(schema(WRITER), schema(WRITER)).unwrap();
    assert!(
        same.fields
            .iter()
            .all(|target| matches!(target.source, Some((_, Convert::Copy(_)))))
    );
}

#[test]
fn bytes_are_read_as_text_only_where_they_are_text() {
    let one = |type_: &str| schema(&reader(&format!(r#"{{"name":"a","type":"{type_}"}}"#)));
    let projection = Projection::new(one("bytes"), one("string")).unwrap();
    let mut out = Vec::new();
    projection.project_datum(&[4, 0xc3, 0xa9], &mut out).unwrap();
    assert_eq!(out, [4, 0xc3, 0xa9]);
    let error = projection.project_datum(&[2, 0xff], &mut out).unwrap_err();
    assert_eq!(error.to_string(), "field a: text that is not UTF-8");
}
