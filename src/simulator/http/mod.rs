//! The org's HTTP side: OAuth, REST and the control API, on one port. Every answer carries the org's clock in its
//! `Date` header.

mod bulk;
mod collections;
pub(super) mod connection;
pub(super) mod control;
mod control_writes;
pub(super) mod oauth;
mod origin;
pub(super) mod rest;
mod sobjects;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use super::control::Control;

/// What handlers see: the control API in Rust, so that HTTP can do nothing that Rust cannot.
pub(super) type Shared = State<Arc<Control>>;

pub(super) fn router(simulator: Arc<Control>) -> Router {
    Router::new()
        .route("/services/oauth2/token", post(oauth::token))
        .route("/services/oauth2/userinfo", get(oauth::userinfo))
        .route("/services/data", get(rest::versions))
        .nest("/services/data/{version}", rest::router(simulator.clone()))
        .nest("/control", control::router().merge(control_writes::router()))
        .layer(middleware::from_fn_with_state(simulator.clone(), stamp))
        .with_state(simulator)
}

async fn stamp(State(simulator): Shared, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(date) = HeaderValue::try_from(simulator.org().clock.http_date()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
