//! The listener's connections, and what a caller may cost: how many there are, how long a request's head may take and
//! be, how long its body may be, how long its answer may take to begin and to be taken.
//!
//! Everything runs in one task: connections end with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, map_response_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::line::Line;

/// Open connections: a dozen browsers with six each, streams, probes and scrapers. A further caller waits until one
/// ends; while there is no place, each answer is its connection's last, so that nobody keeps one by asking on.
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
    let full = Arc::new(AtomicBool::new(false));
    let router = router.layer(map_response_with_state(Arc::clone(&full), last_when_full));
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    // Small answers at once; a socket that refuses the option still works.
                    let _ = stream.set_nodelay(true);
                    open.push(connection(stream, router.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(()) = open.next() => {}
        }
        full.store(open.len() == CONNECTIONS_MAX, Ordering::Relaxed);
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Line::new(stream)), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the admin listener ended");
    }
}

/// `Connection: close`, which hyper heeds, too.
async fn last_when_full(State(full): State<Arc<AtomicBool>>, mut response: Response) -> Response {
    if full.load(Ordering::Relaxed) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Refuses what is too long and answers in time, the reading of a body with it; `/api/stream` goes on for as long as somebody listens.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use axum::body::{Body, Bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use futures_util::stream::repeat;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::super::line::TAKE_TIME_MAX;
    use super::*;

    /// Less than any answer.
    const ROOM: usize = 64;

    /// A caller's end, and the connection, which asks for `path`.
    async fn asked(path: &str) -> (DuplexStream, impl Future<Output = ()>) {
        let endless =
            || async { Body::from_stream(repeat(Ok::<_, Infallible>(Bytes::from_static(b"more")))) };
        let router = Router::new()
            .route("/hangs", get(pending::<()>))
            .route("/long", get(|| async { "x".repeat(100 * ROOM) }))
            .route("/endless", get(endless))
            .layer(from_fn(bounded));
        let (mut caller, stream) = duplex(ROOM);
        let served = connection(stream, router);
        let head = format!("GET {path} HTTP/1.1\r\n\r\n");
        caller.write_all(head.as_bytes()).await.unwrap();
        (caller, served)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_done_in_time_is_answered_all_the_same() {
        let (mut caller, served) = asked("/hangs").await;
        let mut said = [0; 32];
        tokio::select! {
            () = served => panic!("no answer"),
            read = caller.read_exact(&mut said) => assert!(read.is_ok()),
        }
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 504 "), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_its_connection() {
        for path in ["/long", "/endless"] {
            let (_caller, served) = asked(path).await;
            served.await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_slowly_goes_on() {
        let (mut caller, served) = asked("/endless").await;
        let slowly = async {
            for _ in 0..100 {
                sleep(TAKE_TIME_MAX / 2).await;
                caller.read_exact(&mut [0; ROOM]).await.unwrap();
            }
        };
        tokio::select! {
            () = served => panic!("it was cut"),
            () = slowly => {}
        }
    }
}
