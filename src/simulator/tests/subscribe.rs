//! `Subscribe`: credits, starts, refusals, keep-alives and ends.

use super::*;

#[tokio::test]
async fn no_more_than_a_hundred_events_are_owed_at_once() {
    let org = start(SimulatorSettings::default()).await;
    org.emit_test_events(&TestEvents::new(250)).expect("emitted");
    let client = Client::new(&org).await;
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Earliest, 1_000))
        .await
        .expect("open");
    let first = stream.next().await;
    assert_eq!((first.events.len(), first.pending_num_requested), (100, 0));
    stream.ask(30).await;
    let second = stream.next().await;
    assert_eq!((second.events.len(), second.pending_num_requested), (30, 0));
    assert!(
        second.events[0].replay_id > first.events[99].replay_id,
        "in replay-id order"
    );
    assert_eq!(second.latest_replay_id, second.events[29].replay_id);
    let counts = org.topic_counts(ACCOUNTS).expect("the topic exists");
    assert_eq!(
        (
            counts.events_delivered,
            counts.fetch_requests,
            counts.outstanding_max
        ),
        (130, 2, 100)
    );
    assert_eq!((counts.subscriptions, counts.streams_open), (1, 1));
}

#[tokio::test]
async fn a_resumed_stream_starts_behind_all_events_that_share_the_replay_id() {
    let org = start(SimulatorSettings::default()).await;
    let group = TestEvents {
        count: 6,
        group: 3,
        split_groups: true,
        ..TestEvents::default()
    };
    org.emit_test_events(&group).expect("emitted");
    let client = Client::new(&org).await;
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Earliest, 100))
        .await
        .expect("open");
    let mut ids = Vec::new();
    for _ in 0..4 {
        let response = stream.next().await;
        ids.push(
            response
                .events
                .iter()
                .map(|event| event.replay_id.clone())
                .collect::<Vec<_>>(),
        );
    }
    let sizes: Vec<_> = ids.iter().map(Vec::len).collect();
    assert_eq!(
        sizes,
        [1, 1, 2, 1],
        "a group is split, the next begins beside its last"
    );
    assert_eq!((&ids[0][0], &ids[1][0]), (&ids[2][0], &ids[1][0]), "one id");
    let mut resumed = client
        .subscribe(after(ACCOUNTS, &ids[0][0], 1))
        .await
        .expect("open");
    assert_eq!(resumed.next().await.events[0].replay_id, ids[2][1]);
}

#[tokio::test]
async fn requests_that_salesforce_refuses_are_refused_alike() {
    let org = start(SimulatorSettings::default()).await;
    org.set_can_subscribe("/event/Invoice_Paid__e", false)
        .expect("the topic exists");
    org.set_permitted("/data/ContactChangeEvent", false)
        .expect("the topic exists");
    let early = org
        .emit_test_events(&TestEvents::new(1))
        .expect("emitted")
        .replay_id;
    let client = Client::new(&org).await;
    let latest = |topic: &str, events| fetch(topic, ReplayPreset::Latest, events);
    org.lose_positions(Some(ACCOUNTS)).expect("the topic exists");
    let cases = [
        (latest("", 1), Code::InvalidArgument, "topic.validation.empty"),
        (latest("/data/Nothing", 1), Code::NotFound, "topic.not.found"),
        (
            latest("/data/ContactChangeEvent", 1),
            Code::PermissionDenied,
            "topic.meta.permission",
        ),
        (
            latest("/event/Invoice_Paid__e", 1),
            Code::PermissionDenied,
            "subscription.topic.cannot.subscribe",
        ),
        (
            latest(ACCOUNTS, 0),
            Code::InvalidArgument,
            "subscription.fetch.requested.events.invalid",
        ),
        (
            after(ACCOUNTS, b"", 1),
            Code::InvalidArgument,
            "subscription.fetch.replayid.validation.failed",
        ),
        (
            after(ACCOUNTS, b"1104717", 1),
            Code::InvalidArgument,
            "subscription.fetch.replayid.corrupted",
        ),
        (
            after(ACCOUNTS, &early, 1),
            Code::InvalidArgument,
            "subscription.fetch.replayid.corrupted",
        ),
    ];
    for (request, status, code) in cases {
        assert_eq!(client.refusal(request).await, (status, code.to_owned()));
    }
    let now = org.tip();
    assert!(
        client.subscribe(after(ACCOUNTS, &now[..8], 0)).await.is_err(),
        "eight bytes are read, zero events not"
    );
}

#[tokio::test]
async fn a_stream_may_not_change_its_topic() {
    let org = start(SimulatorSettings {
        hold_headers: false,
        ..SimulatorSettings::default()
    })
    .await;
    let client = Client::new(&org).await;
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Latest, 1))
        .await
        .expect("open");
    stream
        .requests
        .send(fetch(SHIPPED, ReplayPreset::Latest, 1))
        .await
        .expect("sent");
    let refused = stream.responses.message().await.expect_err("refused");
    assert_eq!(code_of(&refused).1, "subscription.fetch.topic.mismatch");
}

#[tokio::test]
async fn metadata_is_checked_when_a_call_begins_and_a_running_stream_outlives_its_token() {
    let org = start(SimulatorSettings {
        hold_headers: false,
        ..SimulatorSettings::default()
    })
    .await;
    let mut client = Client::new(&org).await;
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Latest, 10))
        .await
        .expect("open");
    // The stream is open at the tip once the org counts it.
    while org.topic_counts(ACCOUNTS).expect("the topic exists").streams_open == 0 {
        tokio::task::yield_now().await;
    }
    org.expire_tokens();
    org.emit_test_events(&TestEvents::new(1)).expect("emitted");
    assert_eq!(stream.next().await.events.len(), 1);
    let latest = || fetch(ACCOUNTS, ReplayPreset::Latest, 1);
    assert_eq!(
        client.refusal(latest()).await,
        (Code::Unauthenticated, "service.auth.error".into())
    );
    client.metadata[0].1 = org.issue_token();
    client.metadata[2].1 = org.organization_id()[..15].to_owned();
    client.subscribe(latest()).await.expect("15 characters do");
    client.metadata[2].1 = " ".into();
    assert_eq!(client.refusal(latest()).await.1, "service.auth.headers.invalid");
    client.metadata[2].1 = "00DSB0000000009".into();
    assert_eq!(client.refusal(latest()).await.1, "service.auth.error");
}

#[tokio::test]
async fn keep_alives_run_ahead_of_a_quiet_topic_but_never_past_a_withheld_event() {
    let keep_alive = Duration::from_millis(20);
    let org = start(SimulatorSettings {
        keep_alive,
        ..SimulatorSettings::default()
    })
    .await;
    let client = Client::new(&org).await;
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Latest, 7))
        .await
        .expect("open");
    let first = stream.next().await;
    assert_eq!((first.events.len(), first.pending_num_requested), (0, 7));
    assert!(stream.next().await.latest_replay_id > first.latest_replay_id);
    org.set_mode(Some(ACCOUNTS), StreamMode::KeepAliveOnly)
        .expect("the topic exists");
    let withheld = org
        .emit_test_events(&TestEvents::new(1))
        .expect("emitted")
        .replay_id;
    for _ in 0..3 {
        let quiet = stream.next().await;
        assert!(quiet.events.is_empty() && quiet.latest_replay_id < withheld);
    }
    org.set_mode(None, StreamMode::Normal).expect("all topics");
    while stream.next().await.events.is_empty() {}
}

#[tokio::test]
async fn a_stream_that_is_owed_nothing_ends_as_set() {
    let idle_limit = Duration::from_millis(20);
    for (idle_end, expected) in [(Then::Complete, None), (Then::Reset, Some(Code::Unavailable))] {
        let org = start(SimulatorSettings {
            idle_limit,
            idle_end,
            ..SimulatorSettings::default()
        })
        .await;
        org.emit_test_events(&TestEvents::new(2)).expect("emitted");
        let client = Client::new(&org).await;
        let mut stream = client
            .subscribe(fetch(ACCOUNTS, ReplayPreset::Earliest, 2))
            .await
            .expect("open");
        assert_eq!(stream.next().await.events.len(), 2);
        match expected {
            None => assert!(stream.responses.message().await.expect("a clean end").is_none()),
            Some(code) => assert_eq!(
                stream.responses.message().await.expect_err("a reset").code(),
                code
            ),
        }
    }
}

#[tokio::test]
async fn responses_stay_below_three_megabytes() {
    let org = start(SimulatorSettings::default()).await;
    let payload = vec![0; 900 * 1024];
    for _ in 0..5 {
        let event = RawEvent {
            topic: ACCOUNTS.into(),
            payload: payload.clone(),
            schema_id: None,
            event_id: None,
        };
        org.emit_raw(event).expect("emitted");
    }
    let mut client = Client::new(&org).await;
    client.stub = client.stub.max_decoding_message_size(3 * 1024 * 1024);
    let mut stream = client
        .subscribe(fetch(ACCOUNTS, ReplayPreset::Earliest, 100))
        .await
        .expect("open");
    assert_eq!(
        (stream.next().await.events.len(), stream.next().await.events.len()),
        (3, 2)
    );
}
