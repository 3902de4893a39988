//! `/api/stream`: what `/api/routes` answers, as server-sent events: a status page is told instead of asking.
//!
//! Each event is everything, so that none that is lost is missed. A slow reader gets fewer. The stream ends with the
//! bridge.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::time::{MissedTickBehavior, interval};

use super::{AdminState, routes};

/// Also the heartbeat: a page that hears nothing for some of these knows that the line is dead.
const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn stream(State(state): State<AdminState>) -> Response {
    let Ok(permit) = Arc::clone(&state.streams).try_acquire_owned() else {
        let text = "too many streams are open: ask GET /api/routes\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = unfold((state, permit, ticks), async |(state, permit, mut ticks)| {
        tokio::select! {
            biased;
            // Nobody takes commands any more: the bridge has stopped.
            () = state.commands.closed() => None,
            _ = ticks.tick() => {
                let event = Event::default().event("routes").data(routes::overview(&state).to_string());
                Some((Ok::<_, Infallible>(event), (state, permit, ticks)))
            }
        }
    });
    Sse::new(events).into_response()
}
