//! Scripted faults, and the network delay.

use super::*;

#[tokio::test]
async fn scripted_faults_meet_their_calls_and_every_error_code_can_be_had() {
    let org = start(SimulatorSettings::default()).await;
    org.emit_test_events(&TestEvents::new(20)).expect("emitted");
    let client = Client::new(&org).await;
    for error in errors::ALL {
        org.fault(Fault::new(Rpc::Subscribe, Then::error(error.suffix)).on(ACCOUNTS))
            .expect("known");
        let refused = client.refusal(fetch(ACCOUNTS, ReplayPreset::Latest, 1)).await;
        assert_eq!(refused, (error.status, error.suffix.to_owned()));
    }
    let earliest = || fetch(ACCOUNTS, ReplayPreset::Earliest, 100);
    org.fault(Fault::new(Rpc::Subscribe, Then::Reset).after_events(7))
        .expect("no code");
    let mut stream = client.subscribe(earliest()).await.expect("open");
    assert_eq!(stream.next().await.events.len(), 7);
    assert_eq!(
        stream.responses.message().await.expect_err("reset").code(),
        Code::Unavailable
    );

    org.fault(Fault::new(Rpc::Subscribe, Then::Repeat).after_events(5))
        .expect("no code");
    let mut stream = client.subscribe(earliest()).await.expect("open");
    let (first, second) = (stream.next().await, stream.next().await);
    assert_eq!(first.events[4], second.events[0], "delivered twice");
    assert_eq!(first.events.len() + second.events.len(), 21);

    org.end_streams(None, Then::Disconnect).expect("no code");
    assert!(
        stream.responses.message().await.is_err(),
        "the connection is gone"
    );
    assert_eq!(org.faults_waiting(), 0);
}

#[tokio::test]
async fn a_delay_holds_every_byte_back_each_way() {
    let delay = Duration::from_millis(40);
    let org = start(SimulatorSettings {
        delay,
        ..SimulatorSettings::default()
    })
    .await;
    let mut client = Client::new(&org).await;
    let request = client.request(TopicRequest {
        topic_name: ACCOUNTS.into(),
    });
    let begun = tokio::time::Instant::now();
    client.stub.get_topic(request).await.expect("known");
    assert!(begun.elapsed() >= 2 * delay);
}
