//! What stands in front of a real registry: TLS, or a hand that lets nothing be registered. All else is passed on.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use parking_lot::Mutex;
use serde_json::json;
use sfbridge::runtime::task::{Task, spawn};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::transport::{Identity, ServerTlsConfig};

use super::authority::Signed;

/// Dropping it cuts all connections.
#[derive(Debug)]
pub struct Front {
    /// The base URL for Confluent's clients.
    pub url: String,
    way: Arc<Way>,
    _serving: Task<()>,
}

#[derive(Debug)]
struct Way {
    /// Where the registry is, without a path.
    behind: String,
    http: reqwest::Client,
    refusal: Mutex<Option<(StatusCode, String)>>,
}

impl Front {
    pub async fn start(registry: &str) -> Self {
        Self::with(registry, None).await
    }

    /// With a certificate for 127.0.0.1.
    pub async fn under_tls(registry: &str, signed: &Signed) -> Self {
        Self::with(registry, Some(signed)).await
    }

    async fn with(registry: &str, signed: Option<&Signed>) -> Self {
        let behind = reqwest::Url::parse(registry).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Way {
            behind: behind.origin().ascii_serialization(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            refusal: Mutex::new(None),
        });
        // tonic's server, since it serves TLS; without, it would take HTTP/2 alone.
        let mut server = Server::builder().accept_http1(true);
        if let Some(Signed { certificate, key }) = signed {
            let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
            server = server.tls_config(tls).unwrap();
        }
        let app = axum::Router::new().fallback(pass).with_state(Arc::clone(&way));
        let serving = server
            .add_routes(Routes::from(app))
            .serve_with_incoming(TcpIncoming::from(listener));
        let scheme = if signed.is_some() { "https" } else { "http" };
        Self {
            url: format!("{scheme}://{address}{}", behind.path()),
            way,
            _serving: spawn("registry front", async move { serving.await.unwrap() }),
        }
    }

    /// From now on every registration is answered with this.
    pub fn refuse(&self, status: u16, code: u32, message: &str) {
        let body = json!({"error_code": code, "message": message}).to_string();
        *self.way.refusal.lock() = Some((StatusCode::from_u16(status).unwrap(), body));
    }

    pub fn refuse_no_more(&self) {
        *self.way.refusal.lock() = None;
    }
}

async fn pass(
    State(way): State<Arc<Way>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Bytes) {
    let path = uri.path();
    let registers = method == Method::POST && path.contains("/subjects/") && path.ends_with("/versions");
    let refusal = way.refusal.lock().clone();
    if let Some((status, body)) = refusal.filter(|_| registers && !path.contains("/compatibility/")) {
        return (status, body.into());
    }
    let target = uri.path_and_query().map_or(path, |whole| whole.as_str());
    let mut request = way
        .http
        .request(method, format!("{}{target}", way.behind))
        .body(body);
    for name in [header::ACCEPT, header::CONTENT_TYPE] {
        for value in headers.get_all(&name) {
            request = request.header(&name, value);
        }
    }
    match request.send().await {
        Ok(answer) => (answer.status(), answer.bytes().await.unwrap_or_default()),
        Err(_) => (StatusCode::BAD_GATEWAY, Bytes::new()),
    }
}
