//! The listener's connections, and what a caller may cost: how many there are, how long a request's head may take and
//! be, how long its body may be, how long its answer may take.
//!
//! Everything runs in one task: connections end with it.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// Open connections: a dozen browsers with six each, streams, probes and scrapers. A further caller waits until one
/// ends, at the latest when an idle one has used up [`HEAD_TIME_MAX`].
pub const CONNECTIONS_MAX: usize = 128;
/// From the moment that a connection has nothing to do until the last byte of its next request's head. Whoever sends a
/// byte now and then keeps a place no longer than this.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// A browser's head has some two kilobytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A log level is all that is taken.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// For the answer to begin. A command waits for Kafka; what is not done by then goes on, and the page tells.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// After the operating system gave no connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Takes connections and answers on them, for ever.
pub(super) async fn connections(listener: TcpListener, router: Router) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => open.push(connection(stream, router.clone())),
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(()) = open.next() => {}
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // Small answers at once; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the admin listener ended");
    }
}

/// Refuses what is too long and answers in time, the reading of a body with it; `/api/stream` goes on for as long as somebody listens.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    let length = request.headers().get(axum::http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return (
            StatusCode::PAYLOAD_TOO_LARGE,
            "no body here has more than 16 KB\n",
        )
            .into_response();
    }
    // What a stream costs is bounded by its permits, and that it begins is a matter of microseconds.
    match tokio::time::timeout(ANSWER_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = "not done within 30 s; it may still be: look at /api/routes\n";
            (StatusCode::GATEWAY_TIMEOUT, text).into_response()
        }
    }
}
