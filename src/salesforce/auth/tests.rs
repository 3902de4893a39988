//! Logging in, against a login host that the tests script.

use std::sync::LazyLock;

use axum::http::header;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

use super::scripted::{LoginHost, ORG, ORG_18, Reply};
use super::*;
use crate::config::Secret;

static KEY: LazyLock<rsa::RsaPrivateKey> =
    LazyLock::new(|| rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key"));

fn jwt(private_key: &str) -> AuthConfig {
    AuthConfig::JwtBearer {
        client_id: "the-app".to_owned(),
        username: "integration@acme.com".to_owned(),
        private_key: Secret::new(private_key),
        audience: "https://login.salesforce.com".to_owned(),
    }
}

fn pem() -> String {
    KEY.to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string()
}

fn source(config: &SalesforceConfig) -> TokenSource {
    TokenSource::new(config, Metrics::new()).expect("a usable configuration")
}

fn claims(assertion: &str) -> Value {
    let public = KEY
        .to_public_key()
        .to_public_key_pem(LineEnding::LF)
        .expect("PEM");
    let mut rules = Validation::new(Algorithm::RS256);
    (rules.validate_exp, rules.validate_aud) = (false, false);
    let key = DecodingKey::from_rsa_pem(public.as_bytes()).expect("PEM");
    jsonwebtoken::decode::<Value>(assertion, &key, &rules)
        .expect("signed by the key")
        .claims
}

#[tokio::test]
async fn jwt_bearer_posts_a_signed_assertion_of_three_minutes() {
    let host = LoginHost::start().await;
    let session = source(&host.config(jwt(&pem())))
        .session()
        .await
        .expect("a session");
    assert_eq!(session.organization_id, ORG_18);
    assert_eq!(session.user(), "the user integration@acme.com");
    let posted = host.posted();
    assert_eq!(
        posted[0]["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    assert_eq!(posted[0].len(), 2);
    let claims = claims(&posted[0]["assertion"]);
    assert_eq!(claims["iss"], "the-app");
    assert_eq!(claims["sub"], "integration@acme.com");
    assert_eq!(claims["aud"], "https://login.salesforce.com");
    let left = claims["exp"].as_i64().expect("seconds") - clock::now_ms() / 1000;
    assert!((170..=180).contains(&left), "{left}");
}

#[tokio::test]
async fn a_key_in_the_older_pem_form_works_too() {
    let host = LoginHost::start().await;
    let pem = KEY.to_pkcs1_pem(LineEnding::LF).expect("PEM").to_string();
    assert!(source(&host.config(jwt(&pem))).session().await.is_ok());
}

#[tokio::test]
async fn a_private_key_that_is_none_is_refused_at_start_without_showing_it() {
    let host = LoginHost::start().await;
    let failure = TokenSource::new(&host.config(jwt("hunter2")), Metrics::new()).expect_err("no key");
    assert_eq!(failure.kind, ErrorKind::Misconfigured);
    assert!(failure.message.contains("salesforce.auth.private_key"));
    assert!(!format!("{failure:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_by_salesforces() {
    let host = LoginHost::start().await;
    let expired = Reply::refused("invalid_grant", "expired authorization code");
    host.answer(expired.header(header::DATE, "Sat, 27 May 2023 19:53:17 GMT"));
    source(&host.config(jwt(&pem())))
        .session()
        .await
        .expect("the second try");
    let posted = host.posted();
    assert_eq!(posted.len(), 2);
    let exp = claims(&posted[1]["assertion"])["exp"].as_i64().expect("seconds");
    assert!(
        (1_685_217_197 + 170..=1_685_217_197 + 190).contains(&exp),
        "{exp}"
    );
}

#[tokio::test]
async fn an_expired_assertion_with_a_right_clock_is_told_not_tried_again() {
    let host = LoginHost::start().await;
    host.answer(Reply::refused("invalid_grant", "expired authorization code"));
    let failure = source(&host.config(jwt(&pem())))
        .session()
        .await
        .expect_err("refused");
    assert_eq!(failure.kind, ErrorKind::Denied);
    assert!(failure.remedy.expect("a remedy").contains("clock"));
    assert_eq!(host.posted().len(), 1);
}

#[tokio::test]
async fn client_credentials_post_id_and_secret() {
    let host = LoginHost::start().await;
    source(&host.client_credentials())
        .session()
        .await
        .expect("a session");
    let form = &host.posted()[0];
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(
        (&*form["client_id"], &*form["client_secret"]),
        ("the-app", "app-secret")
    );
}

#[tokio::test]
async fn client_credentials_are_refused_on_a_host_that_serves_every_org() {
    let host = LoginHost::start().await;
    for login_url in ["https://login.salesforce.com", "https://test.salesforce.com/"] {
        let config = SalesforceConfig {
            login_url: login_url.to_owned(),
            ..host.client_credentials()
        };
        let failure = TokenSource::new(&config, Metrics::new()).expect_err("refused");
        assert_eq!(failure.kind, ErrorKind::Misconfigured);
        assert!(failure.remedy.expect("a remedy").contains("My Domain"));
    }
}

#[tokio::test]
async fn a_refresh_token_is_posted_with_or_without_secret() {
    let host = LoginHost::start().await;
    for secret in [None, Some(Secret::new("app-secret"))] {
        let fields = if secret.is_some() { 4 } else { 3 };
        let config = host.config(AuthConfig::RefreshToken {
            client_id: "the-app".to_owned(),
            client_secret: secret,
            refresh_token: Secret::new("5Aep"),
        });
        source(&config).session().await.expect("a session");
        let posted = host.posted();
        let form = posted.last().expect("posted");
        assert_eq!(
            (&*form["grant_type"], &*form["refresh_token"]),
            ("refresh_token", "5Aep")
        );
        assert_eq!(form.len(), fields);
    }
}

#[tokio::test]
async fn a_given_access_token_is_used_as_it_is_and_cannot_be_renewed() {
    let host = LoginHost::start().await;
    let config = host.config(AuthConfig::AccessToken {
        access_token: Secret::new("00D!given"),
        instance_url: "https://acme.my.salesforce.com/".to_owned(),
        organization_id: ORG.to_owned(),
    });
    let tokens = source(&config);
    let session = tokens.session().await.expect("given");
    assert_eq!(session.instance_url.expose(), "https://acme.my.salesforce.com");
    assert_eq!(session.my_domain_host(), "acme.my.salesforce.com");
    assert_eq!(session.organization_id, ORG_18);
    let failure = tokens.refresh(&session).await.expect_err("nobody can");
    assert_eq!(failure.kind, ErrorKind::Unauthenticated);
    assert!(failure.remedy.is_some());
    assert!(host.posted().is_empty());
}

#[tokio::test]
async fn ten_callers_with_a_refused_session_make_one_login() {
    let host = LoginHost::start().await;
    let metrics = Metrics::new();
    let tokens = TokenSource::new(&host.client_credentials(), metrics.clone()).expect("usable");
    let stale = tokens.session().await.expect("a session");
    let refreshes = (0..10).map(|_| tokens.refresh(&stale));
    let fresh = futures_util::future::try_join_all(refreshes)
        .await
        .expect("sessions");
    assert!(
        fresh
            .iter()
            .all(|session| session.access_token.expose() == "token-2")
    );
    assert_eq!(host.posted().len(), 2);
    let late = tokens.refresh(&stale).await.expect("the newer one");
    assert_eq!(late.access_token.expose(), "token-2");
    assert_eq!(host.posted().len(), 2);
    let label = Outcome { outcome: "ok".into() };
    assert_eq!(metrics.token_refreshes.get_or_create(&label).get(), 2);
}

#[tokio::test]
async fn a_session_is_given_up_after_an_hour() {
    let host = LoginHost::start().await;
    let tokens = source(&host.client_credentials());
    let first = tokens.session().await.expect("a session");
    let again = tokens.session().await.expect("the same");
    assert_eq!(first.generation, again.generation);
    tokio::time::pause();
    tokio::time::advance(SESSION_AGE_MAX).await;
    tokio::time::resume();
    let later = tokens.session().await.expect("a new one");
    assert_eq!(later.access_token.expose(), "token-2");
}

#[tokio::test]
async fn half_an_answer_is_never_kept() {
    let host = LoginHost::start().await;
    let halves = [
        json!({"instance_url": host.url}),
        json!({"access_token": "", "instance_url": host.url}),
        json!({"access_token": "half", "instance_url": "http://elsewhere.example"}),
        json!({"access_token": "two\nlines", "instance_url": host.url}),
    ];
    for half in halves {
        let tokens = source(&host.client_credentials());
        host.answer(Reply::new(200, half));
        let failure = tokens.session().await.expect_err("incomplete");
        assert_eq!(failure.kind, ErrorKind::Transient, "{failure}");
        tokio::time::pause();
        tokio::time::advance(REFUSAL_KEPT).await;
        tokio::time::resume();
        assert!(
            tokens
                .session()
                .await
                .expect("whole")
                .access_token
                .expose()
                .starts_with("token-")
        );
    }
}

#[tokio::test]
async fn without_an_id_the_org_is_asked_who_it_is() {
    let host = LoginHost::start().await;
    host.answer(Reply::new(
        200,
        json!({"access_token": "abc", "instance_url": host.url}),
    ));
    let session = source(&host.client_credentials())
        .session()
        .await
        .expect("a session");
    assert_eq!(session.organization_id, ORG_18);
    assert_eq!(session.user(), "the user run-as@acme.com");
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_its_remedy() {
    let host = LoginHost::start().await;
    let denied = ErrorKind::Denied;
    let cases = [
        (
            Reply::refused("invalid_grant", "user hasn't approved this consumer"),
            denied,
            "pre-authorized",
        ),
        (
            Reply::refused("invalid_grant", "user is not admin approved to access this app"),
            denied,
            "pre-authorized",
        ),
        (
            Reply::refused("invalid_grant", "audience is invalid"),
            denied,
            "audience",
        ),
        (
            Reply::refused("invalid_grant", "invalid assertion"),
            denied,
            "certificate",
        ),
        (
            Reply::refused("invalid_grant", "expired access/refresh token"),
            denied,
            "new refresh token",
        ),
        (
            Reply::refused("invalid_grant", "request not supported on this domain"),
            denied,
            "My Domain",
        ),
        (
            Reply::refused("invalid_grant", "no client credentials user enabled"),
            denied,
            "run as",
        ),
        (
            Reply::refused("invalid_grant", "something new"),
            denied,
            "login history",
        ),
        (
            Reply::refused("oauth_flow_disabled", "The external client app is disabled."),
            denied,
            "enable",
        ),
        (
            Reply::refused("invalid_client", "invalid client credentials"),
            denied,
            "client_secret",
        ),
        (
            Reply::refused("invalid_client_id", "client identifier invalid"),
            denied,
            "client_id",
        ),
        (
            Reply::refused("inactive_user", "user is inactive"),
            denied,
            "activate",
        ),
        (Reply::new(404, json!("not here")), denied, "login_url"),
        (
            Reply::new(200, json!({"error": "invalid_request"})),
            denied,
            "client_id",
        ),
        (Reply::refused("brand_new_error", "?"), ErrorKind::Unknown, ""),
        (Reply::new(503, json!({})), ErrorKind::Transient, ""),
        (
            Reply::refused("rate_limit_exceeded", "slow down"),
            ErrorKind::Throttled,
            "",
        ),
    ];
    for (reply, kind, remedy) in cases {
        host.answer(reply.clone());
        let failure = source(&host.client_credentials())
            .session()
            .await
            .expect_err("refused");
        assert_eq!(failure.kind, kind, "{}", reply.body);
        let told = failure.remedy.unwrap_or_default();
        assert!(told.contains(remedy), "{}: {told}", reply.body);
    }
}

#[tokio::test]
async fn a_told_waiting_time_is_kept() {
    let host = LoginHost::start().await;
    host.answer(Reply::new(429, json!({})).header(header::RETRY_AFTER, "42"));
    let failure = source(&host.client_credentials())
        .session()
        .await
        .expect_err("throttled");
    assert_eq!(failure.retry_after, Some(Duration::from_secs(42)));
}

#[tokio::test]
async fn a_login_host_that_is_away_is_transient_and_its_url_is_not_told() {
    let host = LoginHost::start().await;
    let config = SalesforceConfig {
        login_url: "http://127.0.0.1:1".to_owned(),
        ..host.client_credentials()
    };
    let failure = source(&config).session().await.expect_err("nobody there");
    assert_eq!(failure.kind, ErrorKind::Transient);
    assert!(!crate::error::chain(&failure).contains("/services/"));
}

#[tokio::test]
async fn salesforces_clock_is_read_from_the_orgs_host() {
    let host = LoginHost::start().await;
    let time = source(&host.client_credentials()).server_time_ms().await;
    assert_eq!(time.expect("a date"), 1_685_217_197_000);
}

#[tokio::test]
async fn a_printed_session_shows_neither_token_nor_instance() {
    let host = LoginHost::start().await;
    let tokens = source(&host.client_credentials());
    let session = tokens.session().await.expect("a session");
    let shown = format!("{session:?} {tokens:?}");
    assert!(shown.contains(ORG_18));
    assert!(
        !shown.contains("token-1") && !shown.contains("127.0.0.1"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_ca_file_is_read_at_start_and_named_when_it_is_none() {
    let host = LoginHost::start().await;
    let made = rcgen::generate_simple_self_signed(["acme.example".to_owned()]).expect("a certificate");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let config = SalesforceConfig {
        login_url: "https://acme.example".to_owned(),
        ca_file: Some(file.path().to_owned()),
        ..host.client_credentials()
    };
    std::fs::write(file.path(), made.cert.pem()).expect("written");
    assert!(TokenSource::new(&config, Metrics::new()).is_ok());
    let refused = |why: &str| {
        let failure = TokenSource::new(&config, Metrics::new()).expect_err(why);
        assert_eq!(failure.kind, ErrorKind::Misconfigured);
        assert!(
            failure.message.contains(&file.path().display().to_string()),
            "{failure}"
        );
    };
    std::fs::write(file.path(), "nonsense").expect("written");
    refused("no certificate in it");
    std::fs::remove_file(file.path()).expect("removed");
    refused("no file");
}
