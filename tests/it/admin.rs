//! What an operator sees and does over HTTP, at the real process.

use reqwest::Method;
use serde_json::Value;
use sfbridge::admin::STREAMS_MAX;
use sfbridge::simulator::faults::Then;
use sfbridge::simulator::oauth::{Refusal, TokenFault};
use sfbridge::simulator::{Change, ChangeType, RawEvent, Simulator, SimulatorSettings, TestEvents};

use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker;
use crate::support::topic::{self, Isolation, read_all, unique};
use crate::support::wait::until;

const ACCOUNTS: &str = "/data/AccountChangeEvent";

struct Fixture {
    kafka: String,
    org: Simulator,
    to: String,
    setup: Setup,
}

async fn one_route(kafka: String) -> Fixture {
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let to = unique("accounts");
    let route = json_route("accounts", ACCOUNTS, &to, "");
    let setup = Setup::new(&unique("crm"), &kafka, &org, &route);
    Fixture {
        kafka,
        org,
        to,
        setup,
    }
}

impl Fixture {
    async fn seen(&self) -> usize {
        if topic::partition_count(&self.kafka, &self.to).await.is_none() {
            return 0;
        }
        read_all(&self.kafka, &self.to, Isolation::ReadCommitted)
            .await
            .len()
    }

    async fn until_seen(&self, count: usize) {
        until(PATIENCE, &format!("{count} records"), || async {
            (self.seen().await >= count).then_some(())
        })
        .await;
    }
}

/// Status and body of a request with these headers.
async fn ask(bridge: &Bridge, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, format!("{}{path}", bridge.admin_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The samples of a scrape: name with its labels, and value.
fn samples(text: &str) -> Vec<(&str, f64)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name, value.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn every_metric_is_there_with_its_labels_after_some_traffic() {
    let here = one_route(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&here.setup).await;
    here.org.emit_test_events(&TestEvents::new(5)).unwrap();
    here.org
        .change(&Change::new("Account", ChangeType::GapUpdate).records(["001000000000001AAA"]))
        .unwrap();
    here.until_seen(6).await;
    here.org.end_streams(None, Then::Reset).unwrap();
    here.org
        .emit_raw(RawEvent {
            topic: ACCOUNTS.to_owned(),
            payload: vec![0xff; 4],
            schema_id: None,
            event_id: None,
        })
        .unwrap();
    until(PATIENCE, "a dead letter", || async {
        (bridge.route("accounts").await?["dead_letters"] == 1).then_some(())
    })
    .await;
    let (status, text) = bridge.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let samples = samples(&text);
    let value = |name: &str| {
        let found = samples.iter().find(|(sample, _)| *sample == name);
        found.unwrap_or_else(|| panic!("no sample {name} in:\n{text}")).1
    };
    assert!(value(r#"sfbridge_events_received_total{route="accounts",kind="event"}"#) >= 7.0);
    assert!(value(r#"sfbridge_records_written_total{route="accounts",outcome="written"}"#) >= 6.0);
    assert!(value(r#"sfbridge_records_written_total{route="accounts",outcome="dead_letter"}"#) >= 1.0);
    assert!(value(r#"sfbridge_bytes_total{route="accounts"}"#) > 1000.0);
    assert!(value(r#"sfbridge_end_to_end_seconds_count{route="accounts"}"#) >= 6.0);
    assert!(value(r#"sfbridge_batch_commit_seconds_count{route="accounts"}"#) >= 1.0);
    let age = value(r#"sfbridge_position_age_seconds{route="accounts"}"#);
    let left = value(r#"sfbridge_retention_left_seconds{route="accounts"}"#);
    assert!((0.0..90.0).contains(&age), "{age}");
    assert!((age + left - 72.0 * 3600.0).abs() < 1.0, "{age} and {left}");
    let states = [
        "starting",
        "streaming",
        "idle",
        "waiting",
        "paused",
        "draining",
        "halted",
    ];
    let of = |state| {
        value(&format!(
            r#"sfbridge_route_state{{route="accounts",state="{state}"}}"#
        ))
    };
    assert_eq!(states.map(of).iter().sum::<f64>(), 1.0, "one state at a time");
    assert_eq!(
        value(r#"sfbridge_dead_letters_total{route="accounts",kind="poison"}"#),
        1.0
    );
    assert_eq!(value(r#"sfbridge_gaps_total{route="accounts",kind="gap"}"#), 1.0);
    assert_eq!(
        value(r#"sfbridge_reconnects_total{route="accounts",cause="transient"}"#),
        1.0
    );
    assert_eq!(value(r#"sfbridge_token_refreshes_total{outcome="ok"}"#), 1.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        value(&format!(r#"sfbridge_build_info{{version="{version}"}}"#)),
        1.0
    );
}

#[tokio::test]
async fn routes_are_shown_with_state_position_and_counters() {
    let here = one_route(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&here.setup).await;
    here.org.emit_test_events(&TestEvents::new(3)).unwrap();
    here.until_seen(3).await;
    until(PATIENCE, "the last commit", || async {
        (bridge.route("accounts").await?["records_written"] == 3).then_some(())
    })
    .await;
    let (status, body) = bridge.get("/api/routes").await.unwrap();
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["bridge"], here.setup.name);
    let [route] = body["routes"].as_array().unwrap().as_slice() else {
        panic!("{body}")
    };
    assert_eq!(route["name"], "accounts");
    assert_eq!(route["direction"], "to_kafka");
    assert_eq!(route["runs_here"], true);
    let state = route["state"].as_object().unwrap();
    assert!(["streaming", "idle"].contains(&state["name"].as_str().unwrap()));
    assert!(state["since"].as_str().unwrap().ends_with('Z'));
    assert!(
        ["why", "remedy", "until"]
            .iter()
            .all(|key| !state.contains_key(*key)),
        "what does not apply is left out: {state:?}"
    );
    assert!(route["position"]["replay_id"].is_string(), "{route}");
    assert!(route["position"]["event_time"].is_string(), "{route}");
    for (counter, count) in [
        ("events_received", 3),
        ("records_written", 3),
        ("filtered", 0),
        ("dead_letters", 0),
        ("gaps", 0),
        ("in_hand", 0),
    ] {
        assert_eq!(route[counter], count, "{counter}: {route}");
    }
    let (status, body) = bridge.get("/api/routes/nobody").await.unwrap();
    assert_eq!(status, 404);
    assert!(body.contains("nobody"), "{body}");
}

#[tokio::test]
async fn without_a_token_no_web_page_reaches_in() {
    let here = one_route(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&here.setup).await;
    let rebound = [("Host", "evil.example")];
    for path in [
        "/live",
        "/ready",
        "/metrics",
        "/api/routes",
        "/api/history",
        "/",
        "/page.js",
    ] {
        let (status, body) = ask(&bridge, Method::GET, path, &[]).await;
        assert!([200, 503].contains(&status), "{path}: {body}");
        let (status, body) = ask(&bridge, Method::GET, path, &rebound).await;
        assert_eq!(status, 403, "{path}: {body}");
        assert!(!body.contains("accounts"), "{body}");
        let foreign = [("Origin", "https://evil.example")];
        assert_eq!(ask(&bridge, Method::GET, path, &foreign).await.0, 403, "{path}");
    }
    for headers in [rebound, [("Origin", "https://evil.example")]] {
        assert_eq!(ask(&bridge, Method::GET, "/api/stream", &headers).await.0, 403);
    }
    let pause = "/api/routes/accounts/pause";
    assert_eq!(
        ask(&bridge, Method::POST, pause, &[]).await.0,
        403,
        "a form of a page"
    );
    let foreign = [("Origin", "null"), ("X-Sfbridge", "1")];
    assert_eq!(ask(&bridge, Method::POST, pause, &foreign).await.0, 403);
    assert_ne!(bridge.route("accounts").await.unwrap()["state"]["name"], "paused");
    let own = [("Origin", bridge.admin_url()), ("X-Sfbridge", "1")];
    bridge.until_state("accounts", &["streaming", "idle"]).await;
    assert_eq!(ask(&bridge, Method::POST, pause, &own).await.0, 202);
}

#[tokio::test]
async fn with_a_token_only_health_is_open_and_names_no_route() {
    let mut here = one_route(need!("kafka", broker::shared())).await;
    here.setup.admin = "  token: s3cret-of-this-test\n".to_owned();
    // So that there would be something to name.
    here.org.set_permitted(ACCOUNTS, false).unwrap();
    let bridge = Bridge::start(&here.setup).await;
    let body = until(PATIENCE, "an unready bridge", || async {
        let (status, body) = ask(&bridge, Method::GET, "/ready", &[]).await;
        (status == 503).then_some(body)
    })
    .await;
    assert!(!body.contains("accounts"), "{body}");
    assert_eq!(ask(&bridge, Method::GET, "/live", &[]).await.0, 200);
    let right = ("Authorization", "Bearer s3cret-of-this-test");
    for path in ["/", "/page.css", "/page.js"] {
        let (status, body) = ask(&bridge, Method::GET, path, &[]).await;
        assert_eq!(status, 200, "{path}");
        assert!(
            !body.contains("accounts"),
            "the page's files know nothing: {path}"
        );
    }
    assert_eq!(ask(&bridge, Method::GET, "/api/stream", &[]).await.0, 401);
    for path in ["/metrics", "/api/routes", "/api/routes/accounts", "/api/history"] {
        assert_eq!(ask(&bridge, Method::GET, path, &[]).await.0, 401, "{path}");
        let wrong = [("Authorization", "Bearer s3cret")];
        assert_eq!(ask(&bridge, Method::GET, path, &wrong).await.0, 401, "{path}");
        assert_eq!(ask(&bridge, Method::GET, path, &[right]).await.0, 200, "{path}");
    }
    let restart = "/api/routes/accounts/restart";
    assert_eq!(
        ask(&bridge, Method::POST, restart, &[("X-Sfbridge", "1")])
            .await
            .0,
        401
    );
    assert_eq!(ask(&bridge, Method::POST, restart, &[right]).await.0, 202);
    assert!(!bridge.log().contains("s3cret"), "{}", bridge.log());
}

#[tokio::test]
async fn the_page_is_one_document_that_may_load_nothing_from_elsewhere() {
    let here = one_route(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&here.setup).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
    ] {
        let answer = client
            .get(format!("{}{path}", bridge.admin_url()))
            .send()
            .await
            .unwrap();
        let headers = answer.headers().clone();
        let header = |name: &str| headers[name].to_str().unwrap();
        assert!(header("content-type").starts_with(kind), "{path}");
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let body = answer.text().await.unwrap();
        let elsewhere = body.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !elsewhere.contains("http:") && !elsewhere.contains("https:"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_bridge() {
    let here = one_route(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&here.setup).await;
    bridge.until_state("accounts", &["streaming", "idle"]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let open = || client.get(format!("{}/api/stream", bridge.admin_url())).send();
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(open().await.unwrap());
    }
    assert!(streams.iter().all(|stream| stream.status() == 200));
    let kind = streams[0].headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/event-stream");
    assert_eq!(open().await.unwrap().status(), 503, "one too many");
    let event = streams[0].chunk().await.unwrap().unwrap();
    let event = std::str::from_utf8(&event).unwrap();
    let data = event
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["routes"][0]["name"], "accounts");
    streams.pop();
    until(PATIENCE, "a place that was given back", || async {
        (open().await.unwrap().status() == 200).then_some(())
    })
    .await;
    bridge.signal("TERM");
    assert!(bridge.ended().await.success());
    for mut stream in streams {
        while let Ok(Some(_)) = stream.chunk().await {}
    }
}

#[tokio::test]
async fn a_pause_outlives_the_process_and_a_resume_delivers_what_came_meanwhile() {
    let here = one_route(need!("kafka", broker::shared())).await;
    let bridge = Bridge::start(&here.setup).await;
    here.org.emit_test_events(&TestEvents::new(2)).unwrap();
    here.until_seen(2).await;
    assert_eq!(bridge.post("/api/routes/accounts/pause").await.0, 202);
    let shown = bridge.until_state("accounts", &["paused"]).await;
    assert!(
        shown["state"]["remedy"].as_str().unwrap().contains("resume"),
        "{shown}"
    );
    assert_eq!(
        bridge.get("/ready").await.unwrap().0,
        200,
        "it is as it should be"
    );
    here.org.emit_test_events(&TestEvents::new(2)).unwrap();
    bridge.signal("TERM");
    assert_eq!(bridge.ended().await.code(), Some(0));

    let again = Bridge::start(&here.setup).await;
    again.until_state("accounts", &["paused"]).await;
    let counts = here.org.topic_counts(ACCOUNTS).unwrap();
    assert_eq!((counts.subscriptions, counts.streams_open), (1, 0));
    assert_eq!(here.seen().await, 2);
    assert_eq!(again.post("/api/routes/accounts/resume").await.0, 202);
    here.until_seen(4).await;
    assert_eq!(here.seen().await, 4, "each once");
    assert_eq!(again.post("/api/routes/nobody/pause").await.0, 404);
    assert_eq!(again.post("/api/routes/accounts/dance").await.0, 404);
}

#[tokio::test]
async fn a_halted_route_is_named_by_ready_and_a_restart_takes_it_up_again() {
    let here = one_route(need!("kafka", broker::shared())).await;
    here.org.set_permitted(ACCOUNTS, false).unwrap();
    let bridge = Bridge::start(&here.setup).await;
    let shown = bridge.until_state("accounts", &["halted"]).await;
    assert!(shown["state"]["remedy"].is_string(), "{shown}");
    let (status, body) = bridge.get("/ready").await.unwrap();
    assert_eq!(status, 503);
    let body: Value = serde_json::from_str(&body).unwrap();
    let reason = body["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("route accounts is halted") && reason.contains(ACCOUNTS),
        "{reason}"
    );
    here.org.set_permitted(ACCOUNTS, true).unwrap();
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    bridge.until_state("accounts", &["streaming", "idle"]).await;
    assert_eq!(bridge.get("/ready").await.unwrap().0, 200);
    here.org.emit_test_events(&TestEvents::new(1)).unwrap();
    here.until_seen(1).await;
}

#[tokio::test]
async fn a_halt_is_explained_with_its_causes_and_what_a_person_must_do() {
    let here = one_route(need!("kafka", broker::shared())).await;
    here.org.set_permitted(ACCOUNTS, false).unwrap();
    let bridge = Bridge::start(&here.setup).await;
    let shown = bridge.until_state("accounts", &["halted"]).await;
    let error = &shown["error"];
    assert_eq!(error["kind"], "denied", "{shown}");
    assert_eq!(error["text"], shown["last_error"]);
    assert_eq!(error["since"], shown["last_error_since"]);
    let causes = error["causes"].as_array().unwrap();
    assert!(
        causes
            .iter()
            .any(|cause| cause.as_str().unwrap().contains("topic.")),
        "the code that Salesforce answered: {shown}"
    );
    assert_eq!(error["tried"], "tried once");
    let next = error["next"].as_str().unwrap();
    let remedy = shown["state"]["remedy"].as_str().unwrap();
    assert!(next.starts_with("halted") && next.contains(remedy), "{next}");
    assert_eq!(error["is_over"], false);
    here.org.set_permitted(ACCOUNTS, true).unwrap();
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    let shown = bridge.until_state("accounts", &["streaming", "idle"]).await;
    assert_eq!(shown["error"]["is_over"], true, "{shown}");
}

#[tokio::test]
async fn a_wait_is_explained_with_what_was_tried_and_when_it_goes_on() {
    let here = one_route(need!("kafka", broker::shared())).await;
    here.org.token_fault(TokenFault {
        times: u32::MAX,
        delay_ms: 0,
        refusal: Some(Refusal {
            http_status: 503,
            error: "unavailable".to_owned(),
            description: String::new(),
        }),
    });
    let bridge = Bridge::start(&here.setup).await;
    let shown = until(PATIENCE, "the third try", || async {
        let shown = bridge.route("accounts").await?;
        let is_third = shown["error"]["tries"].as_u64()? >= 3;
        (is_third && shown["state"]["name"] == "waiting").then_some(shown)
    })
    .await;
    let error = &shown["error"];
    assert_eq!(error["kind"], "transient", "{shown}");
    let tried = error["tried"].as_str().unwrap();
    assert!(
        tried.starts_with("tried ") && tried.ends_with("retries with back-off"),
        "{tried}"
    );
    assert_eq!(error["next_at"], shown["state"]["until"]);
    let next = error["next"].as_str().unwrap();
    assert!(
        next.starts_with("next try in ") || next == "it is trying again",
        "{next}"
    );
    assert!(error["latest"].as_str() > error["since"].as_str(), "{error}");
}

/// What each event became, with what names it and without what it carries.
#[tokio::test]
async fn the_last_events_are_told_with_what_became_of_each_and_the_dead_letters_with_their_commands() {
    let mut here = one_route(need!("kafka", broker::shared())).await;
    let to = format!(
        "kafka: {}, format: json, filter: \"event.Industry != 'Energy'\"",
        here.to
    );
    let route = format!(
        "  - name: accounts\n    from: {{ salesforce: {ACCOUNTS}, start: earliest }}\n    to: {{ {to} }}\n"
    );
    here.setup = Setup::new(&unique("crm"), &here.kafka, &here.org, &route);
    let bridge = Bridge::start(&here.setup).await;
    let ids = ["001SB000009990001A", "001SB000009990002A"];
    let change = |industry: &str| {
        Change::new("Account", ChangeType::Update)
            .records(ids)
            .field("Industry", industry)
            .field("Name", "a name to be seen")
    };
    here.org.change(&change("Banking")).unwrap();
    here.org.change(&change("Energy")).unwrap();
    let replay_id = here
        .org
        .emit_raw(RawEvent {
            topic: ACCOUNTS.to_owned(),
            payload: b"\xff a name to be seen".to_vec(),
            schema_id: None,
            event_id: Some("raw-event".to_owned()),
        })
        .unwrap();
    let shown = until(PATIENCE, "the dead letter", || async {
        let shown = bridge.route("accounts").await?;
        (shown["dead_letters"] == 1).then_some(shown)
    })
    .await;
    let [dead, filtered, written] = shown["recent_events"].as_array().unwrap().as_slice() else {
        panic!("{shown}")
    };
    for (event, outcome) in [(filtered, "filtered"), (written, "written")] {
        assert_eq!(event["outcome"], outcome);
        assert_eq!(
            (&event["event"], &event["change"]),
            (&"Account".into(), &"UPDATE".into())
        );
        assert_eq!(event["records"], 2);
        let id = event["id"].as_str().unwrap();
        assert!(id.ends_with("/Account/UPDATE/001SB000009990001A"), "{id}");
    }
    assert_eq!(
        (&dead["outcome"], &dead["id"]),
        (&"dead_letter".into(), &"raw-event".into())
    );
    assert_eq!(dead["place"], hex::encode(replay_id));
    let [letter] = shown["recent_dead_letters"].as_array().unwrap().as_slice() else {
        panic!("{shown}")
    };
    assert_eq!(
        (&letter["kind"], &letter["id"]),
        (&"poison".into(), &"raw-event".into())
    );
    assert!(letter.get("output").is_none(), "none could have it: {letter}");
    assert!(!letter["error"].as_str().unwrap().is_empty());
    let command = letter["command"].as_str().unwrap();
    let since = format!("--route accounts --since {}", letter["at"].as_str().unwrap());
    assert!(command.contains(&since), "{command}");
    assert!(!shown.to_string().contains("a name to be seen"), "{shown}");
}

#[tokio::test]
async fn payloads_are_shown_where_the_configuration_says_so_and_nowhere_else() {
    let kafka = need!("kafka", broker::shared());
    for (is_on, admin) in [(false, ""), (true, "  show_payloads: true\n")] {
        let mut here = one_route(kafka.clone()).await;
        here.setup.admin = admin.to_owned();
        let bridge = Bridge::start(&here.setup).await;
        let change = Change::new("Account", ChangeType::Create).field("Name", "a name to be seen");
        here.org.change(&change).unwrap();
        let shown = until(PATIENCE, "the record", || async {
            let shown = bridge.route("accounts").await?;
            (shown["records_written"] == 1).then_some(shown)
        })
        .await;
        let (_, list) = bridge.get("/api/routes").await.unwrap();
        assert!(!list.contains("a name to be seen"), "{list}");
        if !is_on {
            assert!(shown.get("payloads").is_none(), "{shown}");
            assert!(!shown.to_string().contains("a name to be seen"), "{shown}");
            continue;
        }
        let [payload] = shown["payloads"].as_array().unwrap().as_slice() else {
            panic!("{shown}")
        };
        let value: Value = serde_json::from_str(payload["value"].as_str().unwrap()).unwrap();
        assert_eq!(value["Name"], "a name to be seen");
        let replay_id = payload["place"].as_str().unwrap();
        assert!(
            hex::decode(replay_id).is_ok_and(|bytes| !bytes.is_empty()),
            "{payload}"
        );
        assert!(!bridge.log().contains("a name to be seen"), "{}", bridge.log());
    }
}
