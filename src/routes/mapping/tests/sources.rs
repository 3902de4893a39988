use bytes::Bytes;
use serde_json::json;

use super::super::{DecodeError, Decoded, Incoming, Key, Source};
use crate::avro::{Schema, write_json_value};
use crate::config::{Format, KafkaSource, KafkaTopics, KeyFormat, LostPositionPolicy, StartPolicy};
use crate::contracts::registry::Registry;
use crate::contracts::registry::scripted::{Scripted, config};
use crate::error::ErrorKind;

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},
    {"name":"line","type":["null","com.acme.Line"]},
    {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#;
const LINE: &str = r#"{"type":"record","name":"com.acme.Line","fields":[{"name":"sku","type":"string"}]}"#;

fn source(format: Format, key_format: KeyFormat, key_field: Option<&str>) -> KafkaSource {
    KafkaSource {
        topics: KafkaTopics::List(vec!["orders".to_owned()]),
        format,
        start: StartPolicy::Earliest,
        on_lost_position: LostPositionPolicy::Earliest,
        key_format,
        key_field: key_field.map(str::to_owned),
    }
}

const INCOMING: Incoming<'_> = Incoming {
    topic: "orders",
    partition: 3,
    offset: 42,
    timestamp_ms: Some(5),
    key: None,
    value: None,
    headers: &[],
};

async fn decoded(source: &KafkaSource, record: Incoming<'_>) -> Result<Decoded, String> {
    let source = Source::new(source, None).unwrap();
    source.decode(&record).await.map_err(|error| match error {
        DecodeError::Poison(refusal) => refusal.public,
        DecodeError::Failure(failure) => panic!("{failure}"),
    })
}

async fn key(key_format: KeyFormat, key_field: Option<&str>, bytes: &[u8]) -> Key {
    let record = Incoming {
        key: Some(bytes),
        ..INCOMING
    };
    decoded(&source(Format::Json, key_format, key_field), record)
        .await
        .unwrap()
        .key
}

#[tokio::test]
async fn json_keeps_integers_and_doubles_to_the_last_bit() {
    let config = source(Format::Json, KeyFormat::Text, None);
    let value = br#"{"i":9007199254740993,"u":18446744073709551615,"d":31.245270191439438,"z":null}"#;
    for framing in [&b""[..], &[0, 0, 0, 0, 9]] {
        let value = [framing, value].concat();
        let header = |name: &str, value: &'static [u8]| (name.to_owned(), Some(Bytes::from_static(value)));
        let headers = [
            header("a", b"1"),
            header("a", b"2"),
            header("raw", &[0xff]),
            ("empty".to_owned(), None),
        ];
        let record = Incoming {
            value: Some(&value),
            headers: &headers,
            ..INCOMING
        };
        let read = decoded(&config, record).await.unwrap();
        let expected =
            json!({"i": 9_007_199_254_740_993_i64, "u": u64::MAX, "d": 31.245_270_191_439_438, "z": null});
        assert_eq!(read.value, Some(expected));
        assert_eq!(json!(read.headers), json!({"a": "2"}));
        assert_eq!(
            (read.topic.as_str(), read.partition, read.offset),
            ("orders", 3, 42)
        );
    }
}

#[tokio::test]
async fn a_tombstone_is_no_value_and_null_is_one() {
    let config = source(Format::Json, KeyFormat::Text, None);
    assert_eq!(decoded(&config, INCOMING).await.unwrap().value, None);
    let null = Incoming {
        value: Some(b"null"),
        ..INCOMING
    };
    assert_eq!(decoded(&config, null).await.unwrap().value, Some(json!(null)));
}

#[tokio::test]
async fn what_is_no_json_is_poison_and_its_text_is_not_told() {
    let config = source(Format::Json, KeyFormat::Text, None);
    let deep = "[".repeat(1000);
    for (value, told) in [
        (
            &b""[..],
            "the value cannot be read: it is not JSON from line 1, column 0 on",
        ),
        (
            b"{\"secret\": tru}",
            "the value cannot be read: it is not JSON from line 1, column 15 on",
        ),
        (
            b"{} {}",
            "the value cannot be read: it is not JSON from line 1, column 4 on",
        ),
        (
            deep.as_bytes(),
            "the value cannot be read: it is not JSON from line 1, column 128 on",
        ),
    ] {
        let record = Incoming {
            value: Some(value),
            ..INCOMING
        };
        assert_eq!(decoded(&config, record).await.unwrap_err(), told);
    }
}

#[tokio::test]
async fn keys_are_text_or_json_or_a_part_of_it() {
    assert_eq!(key(KeyFormat::Text, None, b"A-1").await, Key::Value(json!("A-1")));
    assert_eq!(
        key(KeyFormat::Json, None, b"\"A-1\"").await,
        Key::Value(json!("A-1"))
    );
    assert_eq!(
        key(KeyFormat::Json, Some("id.n"), br#"{"id":{"n":7}}"#).await,
        Key::Value(json!(7))
    );
    let unreadable = |rule: &str| Key::Unreadable(rule.to_owned());
    assert_eq!(
        key(KeyFormat::Text, None, &[0xff]).await,
        unreadable("it is not UTF-8 text")
    );
    assert_eq!(
        key(KeyFormat::Json, Some("id"), b"{}").await,
        unreadable("it has no field id")
    );
    assert_eq!(
        key(KeyFormat::Json, None, b"A-1").await,
        unreadable("it is not JSON from line 1, column 1 on")
    );
    let none = decoded(&source(Format::Json, KeyFormat::Text, None), INCOMING)
        .await
        .unwrap();
    assert_eq!(none.key, Key::Absent);
}

fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), datum].concat()
}

#[tokio::test]
async fn avro_is_read_with_the_schema_that_it_was_written_with() {
    let scripted = Scripted::start().await;
    let registry = Registry::new(&config(&[&scripted.url], None)).unwrap();
    let source = Source::new(&source(Format::Avro, KeyFormat::Text, None), Some(registry)).unwrap();
    scripted.answer(
        200,
        json!({"schema": ORDER, "references": [{"name": "com.acme.Line", "subject": "line", "version": 1}]}),
    );
    scripted.answer(
        200,
        json!({"subject": "line", "version": 1, "id": 6, "schema": LINE}),
    );
    let schema = Schema::parse_with([LINE], ORDER).unwrap();
    let written = json!({"id": "A-1", "line": {"sku": "x"}, "total": "\u{4}\u{d2}"});
    let mut datum = Vec::new();
    write_json_value(&schema, schema.root(), &written, &mut datum).unwrap();
    let value = framed(7, &datum);
    for _ in 0..2 {
        let record = Incoming {
            value: Some(&value),
            ..INCOMING
        };
        let read = source.decode(&record).await.unwrap();
        assert_eq!(
            read.value,
            Some(json!({"id": "A-1", "line": {"sku": "x"}, "total": "12.34"}))
        );
    }
    assert_eq!(scripted.asked().len(), 2, "a schema is asked for once");

    scripted.refuse(404, 40_403, "Schema not found");
    for (value, told) in [
        (framed(8, &datum), "the registry does not know the schema id 8"),
        (
            framed(7, &datum[1..]),
            "the value cannot be read: it is not what schema 7 says: ",
        ),
        (
            datum.clone(),
            "the value cannot be read: it does not begin with a zero byte and a schema id",
        ),
        (
            vec![0, 0, 0],
            "the value cannot be read: it does not begin with a zero byte and a schema id",
        ),
    ] {
        let record = Incoming {
            value: Some(&value),
            ..INCOMING
        };
        match source.decode(&record).await {
            Err(DecodeError::Poison(refusal)) => assert!(refusal.public.starts_with(told), "{refusal}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_a_failure_and_not_the_records_fault() {
    let scripted = Scripted::start().await;
    let registry = Registry::new(&config(&[&scripted.url], None)).unwrap();
    let config = source(Format::Json, KeyFormat::Avro, None);
    let source = Source::new(&config, Some(registry)).unwrap();
    let key = framed(7, b"");
    let record = Incoming {
        key: Some(&key),
        ..INCOMING
    };
    match source.decode(&record).await {
        Err(DecodeError::Failure(failure)) => assert_eq!(failure.kind, ErrorKind::Transient),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        Source::new(&config, None).unwrap_err().kind,
        ErrorKind::Misconfigured
    );
}
