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
