//! The task behind a subscription: reads its stream without ever waiting for the route, asks for more as the
//! credits allow, and opens the stream again when it ends. It decides nothing itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryFutureExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use crate::error::{ErrorKind, Failure, chain};
use crate::proto::{ConsumerEvent, FetchRequest, FetchResponse, ReplayPreset};
use crate::runtime::clock;
use crate::salesforce::auth::Session;
use crate::salesforce::error::CallError;
use crate::telemetry::metrics::{CauseLabels, Metrics};

use super::anchor::{Anchor, Start};
use super::client::{PubSubClient, metadata};
use super::credit::Credits;
use super::reopening::{Reopening, Step};
use super::room::{Part, Room};
use super::subscribe::{Item, ReceivedEvent, Shared, StreamStatus, SubscribeOptions};

/// Salesforce promises a keep-alive within 270 s while it owes events; later than this the line is dead.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// The headers may come only with the first event, minutes later. A call that was not refused for this long is
/// shown as open: a connection and a refusal take less on any line that is of use, and what comes later
/// corrects it.
const ASSUMED_OPEN: Duration = Duration::from_secs(2);
/// Requests that may wait for the line. More are not sent but summed up in a later one.
const ASKS_MAX: usize = 16;
/// A shorter pause is a hiccup and no state to show.
const SHOWN_PAUSE_MIN: Duration = Duration::from_secs(1);

pub(super) struct Reader {
    client: PubSubClient,
    topic: String,
    route: Arc<str>,
    credits: Credits,
    /// Of the room that all streams share.
    part: Part,
    anchor: Anchor,
    reopening: Reopening,
    /// A session that Salesforce refused: the next opening needs a newer one.
    refused: Option<Arc<Session>>,
    shared: Arc<Shared>,
    items: mpsc::Sender<Result<Item, Failure>>,
    metrics: Metrics,
}

/// Why a stream ended.
struct End {
    failure: Failure,
    /// For the metric, where the kind does not say it.
    cause: Option<&'static str>,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self { failure, cause: None }
    }
}

impl End {
    fn passing(cause: &'static str, message: String) -> Self {
        Self {
            cause: Some(cause),
            ..Failure::new(ErrorKind::Transient, message).into()
        }
    }
}

impl Reader {
    pub(super) fn new(
        client: PubSubClient,
        options: SubscribeOptions,
        metrics: Metrics,
        shared: Arc<Shared>,
        items: mpsc::Sender<Result<Item, Failure>>,
    ) -> Self {
        let most = Room {
            events: u64::from(options.capacity_events),
            bytes: options.capacity_bytes,
        };
        Self {
            part: client.part(most),
            client,
            topic: options.topic,
            route: options.route,
            credits: Credits::new(most),
            anchor: Anchor::new(options.start),
            reopening: Reopening::new(),
            refused: None,
            shared,
            items,
            metrics,
        }
    }

    /// Until the route has to decide, or goes away (which aborts this task).
    pub(super) async fn run(mut self) {
        loop {
            self.wait_for_room().await;
            let tries = self.reopening.tries();
            self.show(StreamStatus::Connecting { tries });
            let end = self.stream().await;
            self.credits.stream_ended();
            let step = self.reopening.after(&end.failure);
            let (Step::Reopen(pause) | Step::Refresh(pause)) = step else {
                // The channel keeps a place for the last word; a route that is gone needs none.
                let _ = self.items.send(Err(end.failure)).await;
                return;
            };
            self.report(&end, pause);
            sleep(pause).await;
        }
    }

    /// Does not open a stream for nothing: what it repeats is paid for.
    async fn wait_for_room(&mut self) {
        loop {
            self.take_released();
            if self.credits.room() > 0 {
                return;
            }
            self.show(StreamStatus::Withheld);
            self.shared.wake.notified().await;
        }
    }

    /// Opens the stream and reads it to its end.
    async fn stream(&mut self) -> End {
        let session = match self.session().await {
            Ok(session) => session,
            Err(failure) => return failure.into(),
        };
        let metadata = match metadata(&session) {
            Ok(metadata) => metadata,
            Err(failure) => return failure.into(),
        };
        let (asks, requests) = mpsc::channel(ASKS_MAX);
        self.ask_first(&asks);
        let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
        let call = client
            .subscribe(metadata, ReceiverStream::new(requests))
            .inspect_ok(|_| open(&shared));
        let mut responses = std::pin::pin!(call.try_flatten_stream());
        let opened = Instant::now();
        let mut heard = opened;
        loop {
            let is_owed = self.credits.is_owed();
            let is_connecting = matches!(*shared.status.borrow(), StreamStatus::Connecting { .. });
            tokio::select! {
                biased;
                response = responses.next() => match response {
                    Some(Ok(response)) => {
                        heard = Instant::now();
                        open(&shared);
                        self.take_released();
                        let item = self.take(response);
                        self.ask(&asks, self.credits.room());
                        // Before the route sees the event, or it would wait for more that does not come.
                        shared.withhold(self.credits.is_withheld());
                        if let Some(item) = item {
                            // Never waits: the credits bound the messages. Fails only when the route is gone.
                            let _ = self.items.send(Ok(item)).await;
                        }
                    }
                    Some(Err(status)) => return self.broken(&status, &session),
                    None => return End::passing("completed", format!("Salesforce ended the stream of {}", self.topic)),
                },
                () = shared.wake.notified() => {
                    self.take_released();
                    self.ask(&asks, self.credits.room_after_release());
                    shared.withhold(self.credits.is_withheld());
                    if !is_owed {
                        // Silence is counted from when something is owed again.
                        heard = Instant::now();
                    }
                }
                () = sleep_until(heard + SILENCE_MAX), if is_owed => {
                    let seconds = SILENCE_MAX.as_secs();
                    return End::passing("silent", format!("no word on {} for {seconds} s though events are owed", self.topic));
                }
                () = sleep_until(opened + ASSUMED_OPEN), if is_connecting => open(&shared),
            }
        }
    }

    async fn session(&mut self) -> Result<Arc<Session>, Failure> {
        let tokens = self.client.tokens();
        let Some(stale) = self.refused.take() else {
            return tokens.session().await;
        };
        let session = tokens.refresh(&stale).await;
        if let Err(failure) = &session
            && failure.kind != ErrorKind::Unauthenticated
        {
            // Still to be replaced. (Unauthenticated: it cannot be, so the next try is with the old one.)
            self.refused = Some(stale);
        }
        session
    }

    fn ask_first(&mut self, asks: &mpsc::Sender<FetchRequest>) {
        let (preset, replay_id) = match self.anchor.open() {
            Start::Earliest => (ReplayPreset::Earliest, Bytes::new()),
            Start::Latest => (ReplayPreset::Latest, Bytes::new()),
            Start::After(replay_id) => (ReplayPreset::Custom, replay_id),
        };
        let first = FetchRequest {
            replay_preset: preset.into(),
            replay_id,
            ..FetchRequest::default()
        };
        self.send(asks, self.credits.room(), first);
    }

    fn ask(&mut self, asks: &mpsc::Sender<FetchRequest>, events: u32) {
        self.send(asks, events, FetchRequest::default());
    }

    fn send(&mut self, asks: &mpsc::Sender<FetchRequest>, events: u32, mut request: FetchRequest) {
        request.num_requested = i32::try_from(events).unwrap_or(i32::MAX);
        if events > 0 {
            request.topic_name.clone_from(&self.topic);
            // A full queue means that much is asked for already; the next response asks again.
            // tidy: try-send: what is dropped is a question, not an event
            if asks.try_send(request).is_ok() {
                self.credits.asked(events);
            }
        }
    }

    /// What of a response is passed on to the route.
    fn take(&mut self, response: FetchResponse) -> Option<Item> {
        self.reopening.progressed();
        self.shared.answered(clock::now_ms());
        if response.events.is_empty() {
            return self.take_keep_alive(response.latest_replay_id);
        }
        let (count, mut bytes) = (response.events.len() as u32, 0);
        let mut events = Vec::with_capacity(response.events.len());
        for event in response.events {
            let event = received(event);
            bytes += event.size_bytes();
            self.anchor.event(&event.replay_id);
            events.push(event);
        }
        self.credits.received(count, bytes);
        self.share();
        Some(Item::Events(events))
    }

    fn take_keep_alive(&mut self, replay_id: Bytes) -> Option<Item> {
        self.anchor.keep_alive(&replay_id);
        // Places for all events that may still come, for the last word, and for this one.
        let (most, in_hand) = (self.credits.most(), self.credits.in_hand());
        let kept = most.events.saturating_sub(in_hand.events) + 2;
        (!replay_id.is_empty() && self.items.capacity() as u64 >= kept)
            .then_some(Item::KeepAlive { replay_id })
    }

    fn broken(&mut self, status: &tonic::Status, session: &Arc<Session>) -> End {
        let failure = CallError::from_status(status).into_failure(&self.topic, &session.user());
        if failure.kind == ErrorKind::Unauthenticated {
            self.refused = Some(Arc::clone(session));
        }
        failure.into()
    }

    fn take_released(&mut self) {
        let (events, bytes) = self.shared.take_released();
        self.credits.released(events, bytes);
        self.share();
    }

    /// Tells the other streams what is in hand here, and takes what they leave.
    fn share(&mut self) {
        let limit = self.part.limit(self.credits.in_hand());
        self.credits.limit(limit);
    }

    fn report(&self, end: &End, pause: Duration) {
        let cause = end.cause.unwrap_or(end.failure.kind.name());
        let label = CauseLabels {
            route: Arc::clone(&self.route),
            cause: cause.into(),
        };
        self.metrics.reconnects.get_or_create(&label).inc();
        let (route, why) = (&*self.route, chain(&end.failure));
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        if pause < SHOWN_PAUSE_MIN {
            tracing::info!(route, cause, pause_ms, why, "stream ended, opening it again");
            return;
        }
        tracing::warn!(
            route,
            cause,
            pause_ms,
            why,
            "stream ended, opening it again after a pause"
        );
        self.show(StreamStatus::Waiting {
            failure: (&end.failure).into(),
            tried: self.reopening.tried(),
            until_ms: clock::now_ms().saturating_add_unsigned(pause_ms),
        });
    }

    fn show(&self, status: StreamStatus) {
        self.shared.status.send_replace(status);
    }
}

fn open(shared: &Shared) {
    shared.status.send_if_modified(|status| {
        let is_new = !matches!(status, StreamStatus::Open { .. });
        if is_new {
            *status = StreamStatus::Open {
                since_ms: clock::now_ms(),
            };
        }
        is_new
    });
}

/// An event without content (never seen) is passed on as an empty one, to be dead-lettered, not skipped.
fn received(event: ConsumerEvent) -> ReceivedEvent {
    let content = event.event.unwrap_or_default();
    ReceivedEvent {
        // A copy: positions keep it after the event is through, and would keep the whole response with it.
        replay_id: Bytes::copy_from_slice(&event.replay_id),
        event_id: content.id,
        schema_id: content.schema_id,
        payload: content.payload,
    }
}
