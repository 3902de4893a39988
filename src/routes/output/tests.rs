use super::*;
use crate::config::{ContractConfig, FieldSelection, OnBreak};
use crate::salesforce::event::decode;

const EVENT: &str = r#"{"type":"record","name":"Order_Shipped__e","namespace":"com.sforce.eventbus","fields":[
    {"name":"CreatedDate","type":"long","doc":"CreatedDate:DateTime"},
    {"name":"CreatedById","type":"string","doc":"CreatedBy:EntityId"},
    {"name":"Number__c","type":["null","string"],"doc":"Data:Text:00N","default":null}]}"#;

fn output(topic: &str, key: KeyConfig) -> KafkaOutput {
    KafkaOutput {
        topic: topic.to_owned(),
        key,
        format: Format::Json,
        tombstones: false,
        filter: None,
        filter_unknown: FilterUnknown::Keep,
        fields: None,
        contract: None,
    }
}

fn planned(schema: &EventSchema, outputs: &[KafkaOutput]) -> Outputs {
    let mut made = Outputs::new("orders", "/event/Order_Shipped__e", SubjectNaming::Topic, outputs).unwrap();
    for output in made.unplanned(schema, None) {
        let draft = made.draft(output, schema, None).unwrap();
        let id = draft.registration.as_ref().map(|_| 7);
        made.plan(output, schema, None, draft.plan(id, schema));
    }
    made
}

fn headers() -> EventHeaders {
    EventHeaders {
        source: Bytes::from_static(b"//acme/event/Order_Shipped__e"),
        route: Bytes::from_static(b"orders"),
        event_type: None,
        schema_id: None,
        time: None,
        replay_id: Bytes::from_static(b"00"),
        replayed: false,
        as_of: None,
        superseded: Vec::new(),
    }
}

#[test]
fn every_output_has_its_own_topic_and_key_and_all_share_one_value() {
    let schema = EventSchema::parse("s", EVENT).unwrap();
    // CreatedDate 1 ms, CreatedById "u", Number__c null.
    let payload = [2, 2, b'u', 0];
    let event = decode(&schema, &payload).unwrap();
    let outputs = [
        output("all.{route}.{event}", KeyConfig::EventId),
        output("entity.{entity}", KeyConfig::None),
    ];
    let ids = ce_ids("e-1", &event);
    let records = planned(&schema, &outputs)
        .deliver(&schema, &payload, &event, &ids, &headers(), 7)
        .unwrap()
        .records;
    let shown: Vec<_> = records
        .iter()
        .map(|record| (&*record.topic, record.key.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            ("all.orders.Order_Shipped__e", Some(&b"e-1"[..])),
            ("entity.Order_Shipped__e", None)
        ]
    );
    let value = records[0].value.clone().unwrap();
    assert_eq!(
        value,
        r#"{"CreatedDate":"1970-01-01T00:00:00.001Z","CreatedById":"u","Number__c":null}"#
    );
    assert_eq!(
        records[1].value.as_ref().unwrap().as_ptr(),
        value.as_ptr(),
        "decoded once"
    );
    assert!(records.iter().all(|record| record.timestamp_ms == 7));
}

#[test]
fn a_payload_that_does_not_fit_its_schema_makes_no_record() {
    let schema = EventSchema::parse("s", EVENT).unwrap();
    let payload = [2, 2, b'u', 0, 99];
    let event = decode(&schema, &payload).unwrap();
    let refused = planned(&schema, &[output("t", KeyConfig::None)]).deliver(
        &schema,
        &payload,
        &event,
        &["e".to_owned()],
        &headers(),
        7,
    );
    assert!(refused.is_err());
}

#[test]
fn an_output_that_cannot_have_an_event_counts_only_where_no_sibling_answers_for_it() {
    let schema = EventSchema::parse("s", EVENT).unwrap();
    let payload = [2, 2, b'u', 0];
    let event = decode(&schema, &payload).unwrap();
    let filtered = |topic: &str, filter: &str| KafkaOutput {
        filter: Some(filter.to_owned()),
        ..output(topic, KeyConfig::None)
    };
    let delivered = |outputs: &[KafkaOutput]| {
        let mut made = planned(&schema, outputs);
        made.broken(0, &schema, "contract a.avsc is broken".to_owned());
        let ids = ce_ids("e-1", &event);
        made.deliver(&schema, &payload, &event, &ids, &headers(), 7)
            .unwrap()
    };
    let wants_none = r#"event.CreatedById == "somebody else""#;
    let alone = delivered(&[output("broken", KeyConfig::None)]);
    assert!(alone.is_refused());
    let beside_one_that_wants_none =
        delivered(&[output("broken", KeyConfig::None), filtered("choosy", wants_none)]);
    assert_eq!(beside_one_that_wants_none.refusals.len(), 1);
    assert!(!beside_one_that_wants_none.is_refused());
    let broken_but_not_wanted = delivered(&[filtered("broken", wants_none)]);
    assert_eq!(
        (
            broken_but_not_wanted.filtered,
            broken_but_not_wanted.refusals.len()
        ),
        (1, 0)
    );
}

#[test]
fn a_topic_that_is_named_after_the_object_has_a_plan_for_each_object() {
    let schema = EventSchema::parse("s", EVENT).unwrap();
    let outputs = [
        output("of.{entity}", KeyConfig::None),
        output("fixed", KeyConfig::None),
    ];
    let mut made = Outputs::new("orders", "/data/ChangeEvents", SubjectNaming::Topic, &outputs).unwrap();
    assert_eq!(made.unplanned(&schema, Some("Account")), [0, 1]);
    for output in [0, 1] {
        let draft = made.draft(output, &schema, Some("Account")).unwrap();
        made.plan(output, &schema, Some("Account"), draft.plan(None, &schema));
    }
    assert!(made.unplanned(&schema, Some("Account")).is_empty());
    assert_eq!(made.unplanned(&schema, Some("Contact")), [0]);
}

#[test]
fn nothing_is_made_ready_for_events_that_a_filter_leaves_out_until_it_lets_one_through() {
    let schema = EventSchema::parse("s", EVENT).unwrap();
    let outputs = [KafkaOutput {
        filter: Some(r#"event.CreatedById == "u""#.to_owned()),
        ..output("choosy", KeyConfig::None)
    }];
    let mut made = Outputs::new("orders", "/event/All__chn", SubjectNaming::Topic, &outputs).unwrap();
    let others = [2, 2, b'x', 0];
    let event = decode(&schema, &others).unwrap();
    assert!(made.leaves_out(0, &schema, &others, &event));
    assert!(
        !made.is_new("s"),
        "such events come often and must not end a batch each"
    );
    let ids = ce_ids("e-1", &event);
    let delivery = made
        .deliver(&schema, &others, &event, &ids, &headers(), 7)
        .unwrap();
    assert_eq!((delivery.filtered, delivery.refusals.len()), (1, 0));
    let wanted = [2, 2, b'u', 0];
    let event = decode(&schema, &wanted).unwrap();
    assert_eq!(made.unplanned(&schema, None), [0]);
    assert!(!made.leaves_out(0, &schema, &wanted, &event));
}

/// The values that the outputs write for CreatedDate 1 ms, CreatedById "u", Number__c "N".
fn values(outputs: &[KafkaOutput]) -> Vec<Bytes> {
    let schema = EventSchema::parse("s", EVENT).unwrap();
    let payload = [2, 2, b'u', 2, 2, b'N'];
    let event = decode(&schema, &payload).unwrap();
    let ids = ce_ids("e-1", &event);
    let delivery = planned(&schema, outputs)
        .deliver(&schema, &payload, &event, &ids, &headers(), 7)
        .unwrap();
    assert_eq!((delivery.filtered, delivery.refusals.len()), (0, 0));
    let records = delivery.records.into_iter();
    records.map(|record| record.value.unwrap()).collect()
}

fn with_fields(format: Format, fields: FieldSelection) -> KafkaOutput {
    KafkaOutput {
        format,
        fields: Some(fields),
        ..output("selected", KeyConfig::None)
    }
}

#[test]
fn excluded_fields_are_not_written_and_the_others_keep_their_form() {
    let exclude = |name: &str| FieldSelection::Exclude(vec![name.to_owned(), "Nowhere__c".to_owned()]);
    let values = values(&[
        with_fields(Format::Json, exclude("CreatedById")),
        with_fields(Format::Json, exclude("CreatedDate")),
        with_fields(Format::Avro, exclude("CreatedById")),
    ]);
    assert_eq!(
        values[0],
        r#"{"CreatedDate":"1970-01-01T00:00:00.001Z","Number__c":"N"}"#
    );
    assert_eq!(values[1], r#"{"CreatedById":"u","Number__c":"N"}"#);
    assert_eq!(values[2][..], [0, 0, 0, 0, 7, 2, 2, 2, b'N']);
}

#[test]
fn a_contract_file_stands_on_the_selected_fields_and_takes_its_default_for_what_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let pinned = |format, created_by: &str| {
        let file = folder.path().join("shipped.v1.avsc");
        let contract = format!(
            r#"{{"type":"record","name":"Order_Shipped__e","fields":[
                {{"name":"number","aliases":["Number__c"],"type":["null","string"]}},
                {{"name":"at","aliases":["CreatedDate"],"type":"long"}},
                {{"name":"CreatedById","type":"string"{created_by}}}]}}"#
        );
        std::fs::write(&file, contract).unwrap();
        let include = ["CreatedDate", "Number__c"].map(str::to_owned).into();
        KafkaOutput {
            contract: Some(ContractConfig {
                file: Some(file),
                on_break: OnBreak::Halt,
            }),
            ..with_fields(format, FieldSelection::Include(include))
        }
    };
    let default = r#","default":"nobody""#;
    let values = values(&[pinned(Format::Json, default), pinned(Format::Avro, default)]);
    assert_eq!(
        values[0],
        r#"{"number":"N","at":"1970-01-01T00:00:00.001Z","CreatedById":"nobody"}"#
    );
    assert_eq!(values[1][..], *b"\0\0\0\0\x07\x02\x02N\x02\x0cnobody");

    // The event has the field; the selection does not.
    let schema = EventSchema::parse("s", EVENT).unwrap();
    let strict = [pinned(Format::Json, "")];
    let made = Outputs::new("orders", "/event/Order_Shipped__e", SubjectNaming::Topic, &strict).unwrap();
    let failure = made.draft(0, &schema, None).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Contract);
    assert!(failure.to_string().contains("field CreatedById"), "{failure}");
}
