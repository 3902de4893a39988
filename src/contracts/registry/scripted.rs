//! A registry for tests: answers what the test put down, in order, and keeps what was asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::config::{RegistryCredentials, SchemaRegistryConfig, SubjectNaming};
use crate::runtime::task::{self, Task};

pub(crate) struct Scripted {
    pub(crate) url: String,
    script: Arc<Script>,
    _server: Task<()>,
}

#[derive(Default)]
struct Script {
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<VecDeque<(u16, String, HeaderMap)>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `POST /subjects/a/versions`, as it stood on the wire.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let script = Arc::new(Script::default());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let server = task::spawn("registry", async move {
            axum::serve(listener, app).await.expect("serves until dropped");
        });
        Self {
            url,
            script,
            _server: server,
        }
    }

    pub(crate) fn answer(&self, status: u16, body: Value) {
        self.answer_with(status, &body.to_string(), HeaderMap::new());
    }

    /// A registry's own no.
    pub(crate) fn refuse(&self, status: u16, code: i64, message: &str) {
        self.answer(status, json!({"error_code": code, "message": message}));
    }

    pub(crate) fn answer_with(&self, status: u16, body: &str, headers: HeaderMap) {
        self.script
            .answers
            .lock()
            .push_back((status, body.to_owned(), headers));
    }

    pub(crate) fn ask_to_wait(&self, seconds: u32) {
        let told = (header::RETRY_AFTER, HeaderValue::from(seconds));
        self.answer_with(429, "", HeaderMap::from_iter([told]));
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

pub(crate) fn config(urls: &[&str], credentials: Option<RegistryCredentials>) -> SchemaRegistryConfig {
    SchemaRegistryConfig {
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        subject: SubjectNaming::Topic,
        credentials,
        ca_file: None,
    }
}

/// Without an answer put down, it is unwell.
async fn answer(
    State(script): State<Arc<Script>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    script.asked.lock().push(Asked {
        line: format!("{method} {uri}"),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    // Long enough for everybody who wants the same to come while it is under way.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let next = script.answers.lock().pop_front();
    let (status, body, headers) = next.unwrap_or_else(|| (500, String::new(), HeaderMap::new()));
    (StatusCode::from_u16(status).expect("a status"), headers, body)
}
