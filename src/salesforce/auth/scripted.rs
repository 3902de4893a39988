//! A login host for tests: answers what the test put down, and keeps what was posted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::config::{AuthConfig, SalesforceConfig, Secret};
use crate::runtime::task::{self, Task};

pub(crate) const ORG: &str = "00D5e000003TIrB";
pub(crate) const ORG_18: &str = "00D5e000003TIrBEAW";

pub(crate) struct LoginHost {
    pub(crate) url: String,
    script: Arc<Script>,
    _server: Task<()>,
}

#[derive(Default)]
struct Script {
    url: Mutex<String>,
    posted: Mutex<Vec<HashMap<String, String>>>,
    answers: Mutex<VecDeque<Reply>>,
}

#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(header::HeaderName, String)>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            headers: Vec::new(),
        }
    }

    pub(crate) fn refused(error: &str, description: &str) -> Self {
        Self::new(400, json!({"error": error, "error_description": description}))
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl LoginHost {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let script = Arc::new(Script::default());
        script.url.lock().clone_from(&url);
        let app = Router::new()
            .route("/services/oauth2/token", post(token))
            .route("/services/oauth2/userinfo", get(userinfo))
            .route("/services/data", get(services))
            .with_state(Arc::clone(&script));
        let server = task::spawn("login host", async move {
            axum::serve(listener, app).await.expect("serves until dropped");
        });
        Self {
            url,
            script,
            _server: server,
        }
    }

    /// What the next login gets; without one, every login succeeds with the token `token-<n>`.
    pub(crate) fn answer(&self, reply: Reply) {
        self.script.answers.lock().push_back(reply);
    }

    pub(crate) fn posted(&self) -> Vec<HashMap<String, String>> {
        self.script.posted.lock().clone()
    }

    pub(crate) fn config(&self, auth: AuthConfig) -> SalesforceConfig {
        SalesforceConfig {
            login_url: self.url.clone(),
            pubsub_url: "http://127.0.0.1:1".to_owned(),
            api_version: "66.0".to_owned(),
            ca_file: None,
            api_reserve_percent: 10.0,
            bulk_threshold: 10_000,
            auth,
        }
    }

    pub(crate) fn client_credentials(&self) -> SalesforceConfig {
        self.config(AuthConfig::ClientCredentials {
            client_id: "the-app".to_owned(),
            client_secret: Secret::new("app-secret"),
        })
    }
}

async fn token(
    State(script): State<Arc<Script>>,
    Form(form): Form<HashMap<String, String>>,
) -> (StatusCode, HeaderMap, String) {
    let number = {
        let mut posted = script.posted.lock();
        posted.push(form);
        posted.len()
    };
    let reply = script.answers.lock().pop_front();
    let reply = reply.unwrap_or_else(|| {
        let url = script.url.lock().clone();
        let id = format!("https://login.salesforce.com/id/{ORG}/0055e000001abCD");
        Reply::new(
            200,
            json!({"access_token": format!("token-{number}"), "instance_url": url, "id": id}),
        )
    });
    let mut headers = HeaderMap::new();
    for (name, value) in reply.headers {
        headers.insert(name, HeaderValue::from_str(&value).expect("a header"));
    }
    let status = StatusCode::from_u16(reply.status).expect("a status");
    (status, headers, reply.body.to_string())
}

async fn userinfo(headers: HeaderMap) -> (StatusCode, String) {
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|value| !value.as_bytes().starts_with(b"Bearer "))
    {
        return (StatusCode::FORBIDDEN, String::new());
    }
    let info = json!({"organization_id": ORG, "user_id": "0055e000001abCDEAY", "preferred_username": "run-as@acme.com"});
    (StatusCode::OK, info.to_string())
}

async fn services() -> (HeaderMap, &'static str) {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::DATE,
        HeaderValue::from_static("Sat, 27 May 2023 19:53:17 GMT"),
    );
    (headers, "[]")
}
