//! What the org puts on its topics, and under which schemas.

use super::*;

#[tokio::test]
async fn a_changed_schema_has_a_new_id_and_the_old_one_stays_fetchable() {
    let org = start(SimulatorSettings::default()).await;
    let mut client = Client::new(&org).await;
    let old = org.schema_id(ACCOUNTS).expect("it has one");
    let new = org.add_field(ACCOUNTS, "Colour__c", "string").expect("added");
    org.change(&Change::new("Account", ChangeType::Update).field("Colour__c", "red"))
        .expect("emitted");
    let request = client.request(TopicRequest {
        topic_name: ACCOUNTS.into(),
    });
    let topic = client.stub.get_topic(request).await.expect("known").into_inner();
    assert_eq!(
        (topic.schema_id.as_str(), topic.can_publish),
        (new.as_str(), false)
    );
    for id in [&old, &new] {
        let request = client.request(SchemaRequest {
            schema_id: id.clone(),
        });
        let schema = client
            .stub
            .get_schema(request)
            .await
            .expect("fetchable")
            .into_inner();
        assert_eq!(schema.schema_json.contains("Colour__c"), *id == new);
    }
    let request = client.request(SchemaRequest::default());
    let blank = client.stub.get_schema(request).await.expect_err("blank");
    assert_eq!(
        code_of(&blank),
        (Code::InvalidArgument, "schema.validation.failed".into())
    );
    let request = client.request(TopicRequest {
        topic_name: "/data/ChangeEvents".into(),
    });
    assert_eq!(
        client
            .stub
            .get_topic(request)
            .await
            .expect("known")
            .into_inner()
            .schema_id,
        ""
    );
    let mut stream = client
        .subscribe(fetch("/data/ChangeEvents", ReplayPreset::Earliest, 1))
        .await
        .expect("open");
    let response = stream.next().await;
    assert_eq!(
        response.events[0]
            .event
            .as_ref()
            .map(|event| event.schema_id.as_str()),
        Some(new.as_str())
    );
}

#[tokio::test]
async fn a_real_event_and_what_is_rare_can_be_had() {
    let org = start(SimulatorSettings::default()).await;
    let mut client = Client::new(&org).await;
    org.emit_real_update().expect("emitted");
    org.change(&Change::new("Account", ChangeType::GapOverflow))
        .expect("emitted");
    let text = Change::new("Account", ChangeType::Update).text_diff("Description", "a\nb", "a\nc");
    org.change(&text).expect("emitted");
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Earliest, 3))
        .await
        .expect("open");
    let events: Vec<_> = stream
        .next()
        .await
        .events
        .into_iter()
        .filter_map(|event| event.event)
        .collect();
    assert_ne!(
        events[0].schema_id, events[1].schema_id,
        "the real one is older than the topic's schema"
    );
    let mut decoded = Vec::new();
    for event in events {
        let request = client.request(SchemaRequest {
            schema_id: event.schema_id,
        });
        let json = client
            .stub
            .get_schema(request)
            .await
            .expect("fetchable")
            .into_inner()
            .schema_json;
        let schema = apache_avro::Schema::parse_str(&json).expect("a schema");
        let value =
            apache_avro::from_avro_datum(&schema, &mut event.payload.as_ref(), None).expect("it decodes");
        decoded.push(format!("{value:?}"));
    }
    assert!(decoded[0].contains("001Dp00000H8YVWIA3") && decoded[0].contains("0x800002"));
    assert!(decoded[1].contains(OVERFLOW_RECORD_ID) && decoded[1].contains("GAP_OVERFLOW"));
    let maps =
        r#"("diffFields", Array([String("0x020000")])), ("changedFields", Array([String("0x820000")]))"#;
    assert!(
        decoded[2].contains(maps) && decoded[2].contains("@@ -2,1 +2,1 @@"),
        "{}",
        decoded[2]
    );
}

#[tokio::test]
async fn the_generator_fills_the_topics_by_itself() {
    let org = start(SimulatorSettings {
        rate: 2_000.0,
        ..SimulatorSettings::default()
    })
    .await;
    let client = Client::new(&org).await;
    for topic in ["/data/ChangeEvents", "/event/All__chn"] {
        let mut stream = client
            .subscribe(fetch(topic, ReplayPreset::Earliest, 20))
            .await
            .expect("open");
        let mut seen = 0;
        while seen < 20 {
            seen += stream.next().await.events.len();
        }
    }
}
