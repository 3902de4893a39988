//! OAuth, REST and the control API over HTTP.

use super::*;

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
        clock::Clock::default().now_ms() / 1_000 - date.as_second() > 500,
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

#[tokio::test]
async fn every_request_of_the_control_api_does_as_documented() {
    let org = start(SimulatorSettings::default()).await;
    let http = reqwest::Client::new();
    let schema = serde_json::json!({"type": "record", "name": "New__e", "fields": []});
    let change =
        serde_json::json!({"entity": "Account", "change_type": "UPDATE", "fields": {"Name": "Acme"}});
    let bodies = [
        ("change", change.clone()),
        (
            "changes",
            serde_json::json!({"changes": [change, change], "ungrouped": "across_responses"}),
        ),
        (
            "publish",
            serde_json::json!({"topic": SHIPPED, "fields": {"Carrier__c": "DHL"}}),
        ),
        (
            "raw",
            serde_json::json!({"topic": ACCOUNTS, "payload": [1, 2, 3]}),
        ),
        ("real-update", serde_json::json!({})),
        (
            "test-events",
            serde_json::json!({"count": 10, "group": 2, "split_groups": true}),
        ),
        (
            "set-record",
            serde_json::json!({"sobject": "Account", "id": "001SB0000000001AAA", "fields": {"Name": "Acme", "Phone": null}}),
        ),
        (
            "delete-record",
            serde_json::json!({"sobject": "Account", "id": "001SB0000000001AAA"}),
        ),
        (
            "topic",
            serde_json::json!({"topic": "/event/New__e", "schema": schema}),
        ),
        (
            "add-field",
            serde_json::json!({"topic": ACCOUNTS, "name": "Colour__c", "type": "string"}),
        ),
        (
            "change-field",
            serde_json::json!({"topic": ACCOUNTS, "name": "Colour__c", "type": "double"}),
        ),
        (
            "remove-field",
            serde_json::json!({"topic": ACCOUNTS, "name": "Colour__c"}),
        ),
        (
            "permission",
            serde_json::json!({"topic": ACCOUNTS, "permitted": true, "can_subscribe": false}),
        ),
        (
            "fault",
            serde_json::json!({"rpc": "Subscribe", "times": 2, "after_events": 3, "delay_ms": 5,
            "then": {"error": {"code": "service.unavailable", "status": 14}}}),
        ),
        (
            "token-fault",
            serde_json::json!({"times": 1, "refusal": {"error": "invalid_grant"}}),
        ),
        (
            "rest-fault",
            serde_json::json!({"method": "PATCH", "path": "composite", "times": 1, "one_in": 1, "seed": 0,
            "delay_ms": 5, "answer_delay_ms": 0, "lose_answer": false, "cut": false,
            "refusal": {"status": 503, "error_code": "SERVER_UNAVAILABLE", "message": "no", "retry_after_seconds": 5}}),
        ),
        (
            "record-fault",
            serde_json::json!({"sobject": "Account", "external_id": "A-1", "record_id": null,
            "status_code": "UNABLE_TO_LOCK_ROW", "message": "", "fields": [], "times": 1}),
        ),
        (
            "trigger",
            serde_json::json!({"sobject": "Account", "field": "Rating", "value": "Hot", "own_event": false}),
        ),
        ("remove-triggers", serde_json::json!({})),
        (
            "write-rules",
            serde_json::json!({"collections_name_the_client": true, "merge_changes": false,
            "misfits_cost_one_record": false, "event_delay_ms": 0}),
        ),
        (
            "external-id",
            serde_json::json!({"sobject": "Account", "field": "Code__c",
            "rules": {"unique": true, "case_sensitive": false}}),
        ),
        (
            "field-rules",
            serde_json::json!({"sobject": "Account", "field": "Site",
            "rules": {"required": true, "read_only": false, "length": 80}}),
        ),
        ("records", serde_json::json!({"sobject": "Account"})),
        ("daily-requests", serde_json::json!({"max": 15_000, "used": 0})),
        ("hourly-publishes", serde_json::json!({"max": 250_000, "used": 0})),
        ("daily-batches", serde_json::json!({"max": 15_000, "used": 0})),
        (
            "bulk-rules",
            serde_json::json!({"queued_ms": 0, "processing_ms": 0, "seed": 0}),
        ),
        (
            "bulk-fault",
            serde_json::json!({"sobject": "Account", "error_message": "TooManyLockFailure : no",
            "after_rows": 200, "times": 1}),
        ),
        ("reject-events", serde_json::json!({"events": 1, "message": "no"})),
        (
            "mode",
            serde_json::json!({"topic": ACCOUNTS, "mode": {"slow": {"pause_ms": 50}}}),
        ),
        ("end-streams", serde_json::json!({"with": "reset"})),
        ("lose-positions", serde_json::json!({})),
        ("expire-tokens", serde_json::json!({})),
        ("clock", serde_json::json!({"offset_ms": -5})),
        ("clear-faults", serde_json::json!({})),
    ];
    let post = |name: &str, body: &serde_json::Value| {
        http.post(format!("{}/control/{name}", org.login_url()))
            .json(body)
            .send()
    };
    for (name, body) in &bodies {
        let response = post(name, body).await.expect("an answer");
        let status = response.status();
        assert_eq!(
            status,
            200,
            "{name}: {}",
            response.text().await.unwrap_or_default()
        );
        assert!(
            CONTROL_HELP.contains(&format!("`POST /control/{name}`")),
            "{name} is documented"
        );
    }
    assert_eq!(
        CONTROL_HELP.matches("`POST /control/").count(),
        bodies.len(),
        "nothing else is documented"
    );
    let refused = post(
        "change",
        &serde_json::json!({"entity": "Lead", "change_type": "CREATE"}),
    )
    .await;
    assert_eq!(refused.expect("an answer").status(), 400);
    let counts = http
        .get(format!("{}/control/counts", org.login_url()))
        .send()
        .await
        .expect("an answer");
    let counts: serde_json::Value = counts.json().await.expect("JSON");
    assert_eq!(counts["topics"][ACCOUNTS]["events_stored"], 1 + 2 + 1 + 1 + 10);
    assert_eq!(counts["topics"]["/event/All__chn"]["events_stored"], 1);
}
