//! `Subscribe`: one task a stream.
//!
//! It owns the stream's cursor in the topic's log and its credit, and sends what is owed as soon as it is there:
//! in replay-id order, at most 3 MB a response. It waits for the first of: a request, a new event, a change of the
//! topic's mode, an order to end, the keep-alive (while events are owed), the idle limit (while none are).
//! The channel to the client holds few responses, so a client that does not read stops the task, not the org.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Status, Streaming};

use crate::proto::{FetchRequest, FetchResponse, ReplayPreset};
use crate::simulator::errors::{
    ApiError, CANNOT_SUBSCRIBE, NUM_REQUESTED_INVALID, REPLAY_CORRUPTED, REPLAY_MISSING, TOPIC_MISMATCH,
};
use crate::simulator::faults::{Ending, Fault, Rpc, StreamMode, Then};
use crate::simulator::org::Org;
use crate::simulator::org::replay_id;
use crate::simulator::org::topics::Topic;

use super::credit::Credit;
use super::{Caller, topics};

/// Of one response, as the allocations say; a client's buffer is made for it.
const RESPONSE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Responses on their way to one client: enough that encoding never waits for this task, few enough that a slow
/// client is noticed.
pub(super) const RESPONSES_IN_FLIGHT: usize = 8;
/// Positions that other products' events take between two keep-alives: enough that the id moves on a quiet org.
const POSITIONS_BETWEEN_KEEP_ALIVES: u64 = 17;

type Answers = mpsc::Sender<Result<FetchResponse, Status>>;

/// What a stream needs besides its requests.
pub(super) struct Call {
    pub(super) org: Arc<Org>,
    pub(super) caller: Caller,
    pub(super) answers: Answers,
}

impl Call {
    fn refusal(&self, error: ApiError) -> Then {
        Then::error(error.suffix)
    }

    /// Ends the call as told. Returning from the task then completes it.
    async fn end(&self, then: &Then) {
        if let Some(status) = self.caller.refusal(Rpc::Subscribe, then) {
            // The client may be gone already: then nobody needs the status.
            let _ = self.answers.send(Err(status)).await;
        }
    }
}

/// Runs a subscription from its first request to its end.
pub(super) async fn run(call: Call, mut requests: Streaming<FetchRequest>) {
    let Ok(Some(first)) = requests.message().await else {
        return;
    };
    let stream = match Stream::open(&call, &first).await {
        Ok(stream) => stream,
        Err(then) => return call.end(&then).await,
    };
    stream.topic.counters.subscriptions.add(1);
    stream.topic.counters.streams_open.add(1);
    let topic = stream.topic.clone();
    let then = stream.serve(&call, requests).await;
    topic.counters.streams_open.subtract(1);
    call.end(&then).await;
}

struct Stream {
    topic: Arc<Topic>,
    credit: Credit,
    /// Number of the next event to send.
    cursor: u64,
    delivered: u64,
    /// What is to go wrong on this stream, once enough events are delivered.
    fault: Option<Fault>,
    last_sent: Instant,
    grown: watch::Receiver<u64>,
    mode: watch::Receiver<StreamMode>,
    ending: watch::Receiver<Ending>,
}

impl Stream {
    async fn open(call: &Call, first: &FetchRequest) -> Result<Self, Then> {
        let org = &call.org;
        let fault = org.faults.take(Rpc::Subscribe, &first.topic_name);
        if let Some(fault) = &fault {
            sleep(Duration::from_millis(fault.delay_ms)).await;
            if fault.after_events == 0 && !matches!(fault.then, Then::Proceed | Then::Repeat) {
                return Err(fault.then.clone());
            }
        }
        let topic = topics::visible(org, &first.topic_name).map_err(|error| call.refusal(error))?;
        if !topic.may_subscribe() {
            return Err(call.refusal(CANNOT_SUBSCRIBE));
        }
        let mut credit = Credit::default();
        if !credit.request(first.num_requested) {
            return Err(call.refusal(NUM_REQUESTED_INVALID));
        }
        let mut stream = Self {
            credit,
            cursor: 0,
            delivered: 0,
            fault,
            last_sent: Instant::now(),
            grown: topic.grown.subscribe(),
            mode: topic.mode.subscribe(),
            ending: topic.ending.subscribe(),
            topic,
        };
        stream.count_request();
        stream.cursor = stream
            .start(call, first)
            .await
            .map_err(|error| call.refusal(error))?;
        Ok(stream)
    }

    async fn start(&self, call: &Call, first: &FetchRequest) -> Result<u64, ApiError> {
        match first.replay_preset() {
            ReplayPreset::Latest => {
                sleep(call.org.settings.latest_settles).await;
                Ok(self.topic.log.read().end())
            }
            ReplayPreset::Earliest => Ok(self.topic.log.read().start()),
            ReplayPreset::Custom if first.replay_id.is_empty() => Err(REPLAY_MISSING),
            ReplayPreset::Custom => {
                let position = replay_id::decode(&first.replay_id).ok_or(REPLAY_CORRUPTED)?;
                self.topic.log.read().after(position).ok_or(REPLAY_CORRUPTED)
            }
        }
    }

    /// Until the stream ends; says with what.
    async fn serve(mut self, call: &Call, mut requests: Streaming<FetchRequest>) -> Then {
        let settings = &call.org.settings;
        let mut asking = true;
        loop {
            // Orders to end come before events: a stream that is told to end sends nothing more.
            if self.ending.has_changed().unwrap_or(true) {
                return self.ending.borrow_and_update().with.clone();
            }
            match self.deliver(call).await {
                Delivery::Sent => continue,
                Delivery::Ended(then) => return then,
                Delivery::Nothing => {}
            }
            let owed = self.credit.owed() > 0;
            if !asking && !owed {
                return Then::Complete;
            }
            let silent = *self.mode.borrow() == StreamMode::Silent;
            tokio::select! {
                biased;
                () = call.answers.closed() => return Then::Proceed,
                _ = self.ending.changed() => return self.ending.borrow_and_update().with.clone(),
                request = requests.message(), if asking => match request {
                    Ok(Some(request)) => if let Err(error) = self.take_request(&request) {
                        return call.refusal(error);
                    },
                    // The client has said its last word: it still gets what it is owed.
                    Ok(None) => asking = false,
                    Err(_) => return Then::Proceed,
                },
                _ = self.mode.changed() => {}
                _ = self.grown.changed() => {}
                () = sleep_until(self.last_sent + settings.keep_alive), if owed && !silent => {
                    if self.keep_alive(call).await.is_err() {
                        return Then::Proceed;
                    }
                }
                () = sleep_until(self.last_sent + settings.idle_limit), if !owed && !silent => {
                    return settings.idle_end.clone();
                }
            }
        }
    }

    fn take_request(&mut self, request: &FetchRequest) -> Result<(), ApiError> {
        if !request.topic_name.is_empty() && request.topic_name != self.topic.name {
            return Err(TOPIC_MISMATCH);
        }
        if !self.credit.request(request.num_requested) {
            return Err(NUM_REQUESTED_INVALID);
        }
        self.count_request();
        Ok(())
    }

    fn count_request(&self) {
        self.topic.counters.fetch_requests.add(1);
        self.topic
            .counters
            .outstanding_max
            .at_least(u64::from(self.credit.owed()));
    }

    /// Sends one response, if events are owed and there.
    async fn deliver(&mut self, call: &Call) -> Delivery {
        let mode = *self.mode.borrow_and_update();
        let owed = usize::try_from(self.credit.owed()).unwrap_or_default();
        let mut events_max = match mode {
            StreamMode::Silent | StreamMode::KeepAliveOnly => return Delivery::Nothing,
            StreamMode::Small { events } => owed.min(events.max(1)),
            StreamMode::Normal | StreamMode::Slow { .. } => owed,
        };
        if let Some(fault) = &self.fault {
            let left = fault.after_events - self.delivered.min(fault.after_events);
            if left > 0 {
                events_max = events_max.min(usize::try_from(left).unwrap_or(usize::MAX));
            } else if fault.then == Then::Repeat && self.delivered > 0 {
                self.cursor = self.cursor.saturating_sub(1);
                self.fault = None;
            } else if !matches!(fault.then, Then::Proceed | Then::Repeat) {
                return Delivery::Ended(fault.then.clone());
            }
        }
        self.grown.borrow_and_update();
        if events_max == 0 {
            return Delivery::Nothing;
        }
        let (events, cursor) = self
            .topic
            .log
            .read()
            .read(self.cursor, events_max, RESPONSE_BYTES_MAX);
        let Some(latest) = events.last().map(|event| event.replay_id.clone()) else {
            return Delivery::Nothing;
        };
        if let StreamMode::Slow { pause_ms } = mode {
            sleep(Duration::from_millis(pause_ms)).await;
        }
        self.cursor = cursor;
        self.delivered += events.len() as u64;
        self.credit.deliver(events.len());
        self.topic.counters.events_delivered.add(events.len() as u64);
        let allowance = &call.org.daily_deliveries;
        allowance.take_many(events.len() as u64, call.org.clock.now_ms());
        self.topic.counters.responses.add(1);
        let response = FetchResponse {
            events,
            latest_replay_id: latest,
            rpc_id: call.caller.rpc_id.clone(),
            pending_num_requested: self.credit.pending(),
        };
        match self.send(call, response).await {
            Ok(()) => Delivery::Sent,
            Err(Gone) => Delivery::Ended(Then::Proceed),
        }
    }

    async fn keep_alive(&mut self, call: &Call) -> Result<(), Gone> {
        call.org.bus.pass(POSITIONS_BETWEEN_KEEP_ALIVES);
        let response = FetchResponse {
            events: Vec::new(),
            latest_replay_id: self.seen(call),
            rpc_id: call.caller.rpc_id.clone(),
            pending_num_requested: self.credit.pending(),
        };
        self.topic.counters.keep_alives.add(1);
        self.send(call, response).await
    }

    fn seen(&self, call: &Call) -> Bytes {
        replay_id::encode(call.org.bus.seen_by(&self.topic, self.cursor))
    }

    async fn send(&mut self, call: &Call, response: FetchResponse) -> Result<(), Gone> {
        let sent = call.answers.send(Ok(response)).await.map_err(|_| Gone);
        self.last_sent = Instant::now();
        sent
    }
}

enum Delivery {
    Sent,
    Nothing,
    Ended(Then),
}

/// The client has left.
struct Gone;
