//! `Publish` and `PublishStream`.

use super::*;

/// A platform event's payload with nothing but the system fields.
fn shipped(created_date: i64, created_by: &str) -> bytes::Bytes {
    let zigzag = u64::try_from(created_date * 2).expect("a time after 1970");
    let mut payload = Vec::new();
    let mut rest = zigzag;
    while rest >= 0x80 {
        payload.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    payload.push(rest.to_le_bytes()[0]);
    payload.push(u8::try_from(created_by.len() * 2).expect("short"));
    payload.extend_from_slice(created_by.as_bytes());
    payload.extend([0; 7]);
    payload.into()
}

#[tokio::test]
async fn published_events_reach_subscribers_and_bad_ones_fail_alone() {
    let org = start(SimulatorSettings::default()).await;
    let mut client = Client::new(&org).await;
    let schema_id = org.schema_id(SHIPPED).expect("it has one");
    let event = |id: &str, payload: bytes::Bytes| ProducerEvent {
        id: id.into(),
        schema_id: schema_id.clone(),
        payload,
        ..ProducerEvent::default()
    };
    let good = shipped(1_700_000_000_000, "005SB0000000001");
    let events = vec![
        event("mine", good.clone()),
        event("", good.clone()),
        event("no-user", shipped(1_700_000_000_000, "")),
        event("", shipped(0, "005SB0000000001")),
        event("short", good.slice(..good.len() - 1)),
        event("large", vec![0; 1024 * 1024 + 1].into()),
    ];
    let request = client.request(PublishRequest {
        topic_name: SHIPPED.into(),
        events,
        ..PublishRequest::default()
    });
    let results = client
        .stub
        .publish(request)
        .await
        .expect("accepted")
        .into_inner()
        .results;
    let failed: Vec<_> = results.iter().map(|result| result.error.is_some()).collect();
    assert_eq!(failed, [false, false, true, true, true, true]);
    let counts = org.org_counts();
    assert_eq!(counts.largest_publish_events, 6);
    assert!((1024 * 1024..1024 * 1024 + 1024).contains(&counts.largest_publish_bytes));
    let keys: Vec<_> = results
        .iter()
        .map(|result| result.correlation_key.as_str())
        .collect();
    assert_eq!((keys[0], keys[1].len()), ("mine", 36));
    assert_eq!(keys[2..], ["no-user", "", "short", "large"]);

    let mut stream = client
        .subscribe(fetch("/event/All__chn", ReplayPreset::Earliest, 10))
        .await
        .expect("open");
    let events = stream.next().await.events;
    assert_eq!(events.len(), 2);
    assert_eq!(
        (&events[0].replay_id, &events[1].replay_id),
        (&results[0].replay_id, &results[1].replay_id)
    );
    assert_eq!(
        events[0]
            .event
            .as_ref()
            .map(|event| (event.id.as_str(), &event.payload)),
        Some(("mine", &good))
    );

    org.fault(Fault::new(Rpc::Publish, Then::LoseAnswer))
        .expect("no code");
    let events = vec![event("lost", good)];
    let request = client.request(PublishRequest {
        topic_name: SHIPPED.into(),
        events,
        ..PublishRequest::default()
    });
    assert_eq!(
        client.stub.publish(request).await.expect_err("no answer").code(),
        Code::Unavailable
    );
    assert_eq!(stream.next().await.events.len(), 1, "the effect is there");

    let empty = client.request(PublishRequest {
        topic_name: SHIPPED.into(),
        ..PublishRequest::default()
    });
    let refused = client.stub.publish(empty).await.expect_err("no events");
    assert_eq!(code_of(&refused).1, "publish.event.count.invalid");
}

#[tokio::test]
async fn a_publish_stream_answers_each_request_and_ends_when_it_hears_nothing() {
    let publish_idle_limit = Duration::from_millis(50);
    let org = start(SimulatorSettings {
        publish_idle_limit,
        ..SimulatorSettings::default()
    })
    .await;
    let mut client = Client::new(&org).await;
    org.reject_events(1, "LIMIT_EXCEEDED");
    let schema_id = org.schema_id(SHIPPED).expect("it has one");
    let request = |id: &str, topic: &str| PublishRequest {
        topic_name: topic.into(),
        events: vec![ProducerEvent {
            id: id.into(),
            schema_id: schema_id.clone(),
            payload: shipped(1_700_000_000_000, "005SB0000000001"),
            ..ProducerEvent::default()
        }],
        ..PublishRequest::default()
    };
    let (requests, receiver) = mpsc::channel(2);
    requests
        .send(request("first", SHIPPED))
        .await
        .expect("there is room");
    // The topic may be left out once it is known.
    requests.send(request("second", "")).await.expect("there is room");
    let call = client.request(ReceiverStream::new(receiver));
    let mut answers = client.stub.publish_stream(call).await.expect("open").into_inner();
    let mut results = Vec::new();
    for _ in 0..2 {
        results.extend(
            answers
                .message()
                .await
                .expect("no error")
                .expect("no end")
                .results,
        );
    }
    assert_eq!(
        results[0].error.as_ref().map(|error| error.msg.as_str()),
        Some("LIMIT_EXCEEDED")
    );
    assert_eq!(
        (results[1].error.is_none(), results[1].correlation_key.as_str()),
        (true, "second")
    );
    let ended = answers.message().await.expect_err("nothing was sent for long");
    assert_eq!(code_of(&ended).1, "publish.stream.sweeper.timeout");
}

#[tokio::test]
async fn events_beyond_the_hours_limit_are_refused_until_it_is_raised() {
    let org = start(SimulatorSettings::default()).await;
    let mut client = Client::new(&org).await;
    org.set_hourly_publishes(1_000, 999);
    let mut publish = async || {
        let info = client.request(TopicRequest {
            topic_name: SHIPPED.into(),
        });
        let schema_id = client
            .stub
            .get_topic(info)
            .await
            .expect("known")
            .into_inner()
            .schema_id;
        let event = ProducerEvent {
            schema_id,
            payload: shipped(1, &org.user_id()),
            ..ProducerEvent::default()
        };
        let request = client.request(PublishRequest {
            topic_name: SHIPPED.into(),
            events: vec![event],
            ..PublishRequest::default()
        });
        let response = client
            .stub
            .publish(request)
            .await
            .expect("an answer")
            .into_inner();
        response.results[0].error.as_ref().map(|error| error.msg.clone())
    };
    assert_eq!(publish().await, None);
    assert!(
        publish()
            .await
            .is_some_and(|message| message.starts_with("LIMIT_EXCEEDED"))
    );
    org.set_hourly_publishes(1_000, 0);
    assert_eq!(publish().await, None);
}
