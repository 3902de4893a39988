//! What an operator reaches over HTTP.
//!
//! | path | answers |
//! |---|---|
//! | `GET /live` | 200 while the process runs |
//! | `GET /ready` | 200, or 503 naming the routes that are halted or have had no answer for too long |
//! | `GET /metrics` | Prometheus text |
//! | `GET /api/routes` | every route with its state, position and counters |
//! | `GET /api/routes/{name}` | one of them, with its last error explained, its last states and deliveries |
//! | `GET /api/history` | each route's last hour, a sample every 10 s; `?since=` epoch milliseconds: the later ones |
//! | `GET /api/stream` | what `/api/routes` answers, every 2 s as server-sent events |
//! | `GET /api/log` | `{"level": "info"}`: how much is logged |
//! | `POST /api/log` | the same after changing it to the `level` of the JSON body; 400 with the reason for a wrong one |
//! | `GET /` | the status page: `/page.css` and `/page.js` are its parts |
//! | `POST /api/routes/{name}/pause`, `…/resume`, `…/restart` | 202; 404 for an unknown route |
//! | `POST /api/routes/{name}/forget` | 202; for a route that was taken out of the configuration |

mod about;
mod access;
mod health;
mod history;
mod line;
mod log;
mod page;
mod routes;
mod serve;
mod stream;
mod trends;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config::Secret;
use crate::routes::state::RouteStatus;
use crate::runtime::clock;
use crate::runtime::task::spawn;
use crate::telemetry::metrics::Metrics;

pub use about::RouteAbout;
pub use history::History;
use line::SEND_BYTES_MAX;
pub use serve::{BODY_BYTES_MAX, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_TIME_MAX};

/// How long a route may go without an answer from its other side before `/ready` fails. Salesforce promises a
/// keep-alive within 270 seconds, so ten minutes is two missed ones.
pub const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Status pages that may be open at once and be told of changes; a further one asks by itself.
pub const STREAMS_MAX: usize = 16;

/// Callers that the system keeps until there is a place for them.
const CALLERS_WAITING_MAX: u32 = 1024;

/// What an operator asks of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteCommand {
    Pause,
    Resume,
    Restart,
    /// For a route that was taken out of the configuration: nobody misses it any more.
    Forget,
}

/// A command on its way to the supervisor; the answer says why it could not be taken.
#[derive(Debug)]
pub struct CommandRequest {
    pub route: Arc<str>,
    pub command: RouteCommand,
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// Everything that the listener shows.
#[derive(Debug, Clone)]
pub struct AdminState {
    pub bridge: Arc<str>,
    pub routes: Arc<[Arc<RouteStatus>]>,
    /// What the configuration says of each, in the same order.
    pub about: Arc<[RouteAbout]>,
    pub history: Arc<History>,
    /// One permit a status page.
    pub streams: Arc<Semaphore>,
    /// Routes that the group gave to this instance although its configuration does not have them.
    pub unknown_routes: Arc<parking_lot::Mutex<Vec<String>>>,
    pub metrics: Metrics,
    pub token: Option<Secret>,
    pub silence_max: Duration,
    pub commands: mpsc::Sender<CommandRequest>,
}

/// Binds the listener; the address is the one really bound (port 0 gives a free one).
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart does not wait until the last connections are forgotten.
    socket.set_reuseaddr(true)?;
    // Each connection has it from the listener.
    socket.set_send_buffer_size(SEND_BYTES_MAX)?;
    socket.bind(address)?;
    let listener = socket.listen(CALLERS_WAITING_MAX)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until the task is dropped: admin stops last.
pub async fn serve(listener: TcpListener, state: AdminState) {
    let sampled = (Arc::clone(&state.history), Arc::clone(&state.routes));
    let sampling = history::keep(sampled.0, sampled.1, state.metrics.clone());
    let _sampling = spawn("route-history", sampling);
    serve::connections(listener, router(state)).await;
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/api/history", get(history::history))
        .route("/api/stream", get(stream::stream))
        .route("/metrics", get(metrics))
        .route("/api/routes", get(routes::list))
        .route("/api/routes/{name}", get(routes::one))
        .route("/api/routes/{name}/{command}", post(routes::command))
        .route("/api/log", get(log::show).post(log::change))
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .layer(middleware::from_fn_with_state(state.clone(), access::guard))
        .layer(middleware::from_fn(serve::bounded))
        // For a body that does not say how long it is.
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    let now = clock::now_ms();
    for route in state.routes.iter() {
        route.refresh_gauges(now);
    }
    state.history.trends.show(&state.routes, &state.metrics, now);
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        state.metrics.render(),
    )
}
