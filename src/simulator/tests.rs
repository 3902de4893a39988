//! The servers, seen through the generated client: what goes over the wire and nothing beside it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::faults::{Fault, Rpc, StreamMode, Then};
use super::*;
use crate::proto::pub_sub_client::PubSubClient;
use crate::proto::{
    FetchRequest, FetchResponse, ProducerEvent, PublishRequest, ReplayPreset, SchemaRequest, TopicRequest,
};

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const SHIPPED: &str = "/event/Order_Shipped__e";

async fn start(settings: SimulatorSettings) -> Simulator {
    Simulator::start(settings).await.expect("the org starts")
}

struct Client {
    stub: PubSubClient<Channel>,
    metadata: [(&'static str, String); 3],
}

impl Client {
    async fn new(org: &Simulator) -> Self {
        let stub = PubSubClient::connect(org.pubsub_url())
            .await
            .expect("the server answers");
        let metadata = [
            ("accesstoken", org.issue_token()),
            ("instanceurl", org.instance_url().to_owned()),
            ("tenantid", org.organization_id()),
        ];
        Self { stub, metadata }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in &self.metadata {
            let value = MetadataValue::try_from(value.as_str()).expect("ASCII");
            request.metadata_mut().insert(*key, value);
        }
        request
    }

    async fn subscribe(&self, first: FetchRequest) -> Result<Subscription, Status> {
        let (requests, receiver) = mpsc::channel(8);
        requests.try_send(first).expect("there is room");
        let call = self
            .stub
            .clone()
            .subscribe(self.request(ReceiverStream::new(receiver)))
            .await;
        Ok(Subscription {
            requests,
            responses: call?.into_inner(),
        })
    }

    async fn refusal(&self, first: FetchRequest) -> (Code, String) {
        match self.subscribe(first).await {
            Ok(mut stream) => code_of(&stream.responses.message().await.expect_err("the server refuses")),
            Err(status) => code_of(&status),
        }
    }
}

struct Subscription {
    requests: mpsc::Sender<FetchRequest>,
    responses: Streaming<FetchResponse>,
}

impl Subscription {
    async fn next(&mut self) -> FetchResponse {
        self.responses.message().await.expect("no error").expect("no end")
    }

    async fn ask(&self, events: i32) {
        let more = FetchRequest {
            num_requested: events,
            ..FetchRequest::default()
        };
        self.requests.send(more).await.expect("the stream is open");
    }
}

fn code_of(status: &Status) -> (Code, String) {
    let code = status
        .metadata()
        .get("error-code")
        .map(|code| code.to_str().expect("ASCII"));
    (
        status.code(),
        code.map_or(String::new(), |code| code.replace(errors::PREFIX, "")),
    )
}

fn fetch(topic: &str, preset: ReplayPreset, events: i32) -> FetchRequest {
    FetchRequest {
        topic_name: topic.into(),
        replay_preset: preset.into(),
        num_requested: events,
        ..FetchRequest::default()
    }
}

fn after(topic: &str, replay_id: &[u8], events: i32) -> FetchRequest {
    let replay_id = bytes::Bytes::copy_from_slice(replay_id);
    FetchRequest {
        replay_id,
        ..fetch(topic, ReplayPreset::Custom, events)
    }
}

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
    assert_eq!(failed, [false, false, true, true, true]);
    let keys: Vec<_> = results
        .iter()
        .map(|result| result.correlation_key.as_str())
        .collect();
    assert_eq!(
        (keys[0], keys[1].len(), keys[2], keys[3], keys[4]),
        ("mine", 36, "no-user", "", "large")
    );

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

#[tokio::test]
async fn tokens_come_from_the_endpoint_and_open_the_other_resources() {
    let org = start(SimulatorSettings {
        clock_offset_ms: -600_000,
        ..SimulatorSettings::default()
    })
    .await;
    let settings = SimulatorSettings::default();
    let http = reqwest::Client::new();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &settings.client_id),
        ("client_secret", &settings.client_secret),
    ];
    let url = format!("{}/services/oauth2/token", org.login_url());
    let response = http.post(&url).form(&form).send().await.expect("an answer");
    let date = response.headers()["date"].to_str().expect("ASCII").to_owned();
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(date)
        .expect("a date");
    assert!(
        jiff::Timestamp::now().as_second() - date.as_second() > 500,
        "the org's clock"
    );
    let token: serde_json::Value = response.json().await.expect("JSON");
    assert!(token["expires_in"].is_null() && token["token_type"] == "Bearer");
    assert!(
        token["id"]
            .as_str()
            .is_some_and(|id| id.contains(&org.organization_id()))
    );
    let get = |path: &str, token: &str| {
        http.get(format!("{}{path}", org.login_url()))
            .bearer_auth(token.trim_matches('"'))
            .send()
    };
    let access = token["access_token"].as_str().expect("a token");
    for path in ["/services/oauth2/userinfo", "/services/data/v66.0/limits"] {
        assert_eq!(
            get(path, access).await.expect("an answer").status(),
            200,
            "{path}"
        );
        assert_eq!(
            get(path, "wrong").await.expect("an answer").status(),
            401,
            "{path}"
        );
    }
    let refusal = serde_json::json!({"times": 1, "refusal": {"error": "inactive_org", "http_status": 503}});
    let control = format!("{}/control/token-fault", org.login_url());
    assert_eq!(
        http.post(control)
            .json(&refusal)
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    assert_eq!(
        http.post(&url)
            .form(&form)
            .send()
            .await
            .expect("an answer")
            .status(),
        503
    );
    assert_eq!(org.org_counts().tokens_issued, 1);
    assert_eq!(org.org_counts().token_requests, 2);
}
