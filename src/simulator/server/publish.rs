//! `Publish` and `PublishStream`: events become visible to subscribers under the publisher's id, one result an
//! event in the request's order. An event that is refused leaves its neighbours alone.

use std::sync::Arc;

use apache_avro::types::Value;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::proto::{Error, ErrorCode, ProducerEvent, PublishRequest, PublishResponse, PublishResult};
use crate::simulator::errors::{
    EVENT_COUNT_INVALID, PUBLISH_TOPIC_EMPTY, PUBLISH_TOPIC_MISMATCH, SWEEPER_TIMEOUT, TOPIC_PERMISSION,
};
use crate::simulator::faults::{Rpc, Then};
use crate::simulator::ids;
use crate::simulator::org::bus::NewEvent;
use crate::simulator::org::topics::{Kind, Topic};
use crate::simulator::org::{Org, encode, replay_id};

use super::{Caller, topics};

const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// The gRPC cap on a request. The servers below accept more, so that this answer is the simulator's own.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// `ProducerEvent.id` holds a UUID's text and no more.
const ID_CHARACTERS_MAX: usize = 36;

/// One request, whichever RPC brought it.
pub(super) async fn publish(
    org: &Org,
    request: PublishRequest,
    rpc: Rpc,
    caller: &Caller,
) -> Result<PublishResponse, Status> {
    let bytes = request.encoded_len();
    let counters = &org.counters;
    counters
        .largest_publish_events
        .at_least(request.events.len() as u64);
    counters.largest_publish_bytes.at_least(bytes as u64);
    if bytes > REQUEST_BYTES_MAX {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
        return Err(Status::unavailable(text));
    }
    if request.topic_name.trim().is_empty() {
        return Err(PUBLISH_TOPIC_EMPTY.status(rpc.name(), &caller.rpc_id));
    }
    if request.events.is_empty() {
        return Err(EVENT_COUNT_INVALID.status(rpc.name(), &caller.rpc_id));
    }
    let fault = org.faults.take(rpc, &request.topic_name);
    let mut answer_lost = None;
    if let Some(fault) = fault {
        org.faults.delay(fault.delay_ms).await;
        let status = caller.refusal(rpc, &fault.then);
        match status {
            Some(status) if fault.then == Then::LoseAnswer => answer_lost = Some(status),
            Some(status) => return Err(status),
            None => {}
        }
    }
    let topic = topics::visible(org, &request.topic_name)
        .map_err(|error| error.status(rpc.name(), &caller.rpc_id))?;
    if topic.kind != Kind::Platform {
        return Err(TOPIC_PERMISSION.status(rpc.name(), &caller.rpc_id));
    }
    let schema_id = topic
        .schema
        .read()
        .as_ref()
        .map(|schema| schema.id.clone())
        .unwrap_or_default();
    let mut results = Vec::with_capacity(request.events.len());
    for event in request.events {
        results.push(store(org, &topic, event));
    }
    match answer_lost {
        Some(status) => Err(status),
        None => Ok(PublishResponse {
            results,
            schema_id,
            rpc_id: caller.rpc_id.clone(),
        }),
    }
}

fn store(org: &Org, topic: &Topic, event: ProducerEvent) -> PublishResult {
    if let Err(message) = check(org, topic, &event) {
        return PublishResult {
            replay_id: bytes::Bytes::new(),
            error: Some(Error {
                code: ErrorCode::Publish.into(),
                msg: message,
            }),
            // Empty where the publisher gave none.
            correlation_key: event.id,
        };
    }
    let id = if event.id.is_empty() {
        ids::rpc_id()
    } else {
        event.id
    };
    let new = NewEvent {
        id: id.clone(),
        schema_id: event.schema_id,
        payload: event.payload,
        headers: event.headers,
        ..NewEvent::default()
    };
    topic.counters.events_published.add(1);
    let position = org.bus.append(topic, [new]).first().copied().unwrap_or_default();
    PublishResult {
        replay_id: replay_id::encode(position),
        error: None,
        correlation_key: id,
    }
}

/// What an event must be: of this topic, within size, and with the system fields filled in.
fn check(org: &Org, topic: &Topic, event: &ProducerEvent) -> Result<(), String> {
    if let Some(message) = org.rejections.lock().pop_front() {
        return Err(message);
    }
    // How the Pub/Sub API says so is not known; this is REST's and Apex's code.
    if !org.hourly_publishes.take(org.clock.now_ms()) {
        return Err("LIMIT_EXCEEDED: The hourly limit of published events is exceeded.".into());
    }
    if event.id.chars().count() > ID_CHARACTERS_MAX {
        return Err(format!(
            "The event's id has more than {ID_CHARACTERS_MAX} characters."
        ));
    }
    if event.payload.len() > EVENT_BYTES_MAX {
        return Err("The event message exceeds the maximum size of 1 MB.".into());
    }
    let schema = org
        .schemas
        .get(&event.schema_id)
        .ok_or("The event's schema ID is not known.")?;
    if topic.name.rsplit('/').next() != Some(&schema.name) {
        return Err(format!(
            "The event's schema is that of {}, not of the topic.",
            schema.name
        ));
    }
    let value = encode::read(&schema, &event.payload)?;
    let Value::Record(fields) = &value else {
        return Err("The event's payload is no record.".into());
    };
    let field = |name: &str| {
        fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    };
    match (field("CreatedDate"), field("CreatedById")) {
        (Some(Value::Long(date)), Some(Value::String(user))) if *date != 0 && !user.is_empty() => Ok(()),
        _ => Err("CreatedDate and CreatedById are required.".into()),
    }
}

/// Requests in flight on one publish stream whose answers wait for the client to read.
pub(super) const ANSWERS_IN_FLIGHT: usize = 16;

/// A publish stream: requests are answered one after another, until the client ends it or sends nothing for long.
pub(super) async fn stream(
    org: Arc<Org>,
    mut requests: Streaming<PublishRequest>,
    answers: mpsc::Sender<Result<PublishResponse, Status>>,
    caller: Caller,
) {
    let rpc = Rpc::PublishStream;
    let mut topic = String::new();
    loop {
        let answer = match timeout(org.settings.publish_idle_limit, requests.message()).await {
            Ok(Ok(Some(mut request))) => {
                if topic.is_empty() {
                    topic.clone_from(&request.topic_name);
                } else if request.topic_name.is_empty() {
                    request.topic_name.clone_from(&topic);
                }
                if request.topic_name == topic {
                    publish(&org, request, rpc, &caller).await
                } else {
                    Err(PUBLISH_TOPIC_MISMATCH.status(rpc.name(), &caller.rpc_id))
                }
            }
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => Err(SWEEPER_TIMEOUT.status(rpc.name(), &caller.rpc_id)),
        };
        let ended = answer.is_err();
        if answers.send(answer).await.is_err() || ended {
            return;
        }
    }
}
