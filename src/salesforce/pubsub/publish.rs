//! Publishing platform events with unary `Publish`: results come in the order of the events, one each, and one call
//! is done before the caller makes the next (the stream form keeps no order between requests).
//!
//! * **In**: a topic and events that are encoded already, at most [`PUBLISH_EVENTS_MAX`] and [`PUBLISH_BYTES_MAX`].
//! * **Out**: for each event where it stands on the bus, or why it alone was refused.
//! * A call that broke may have published everything: [`PublishOutcome`] says what is known. A repeat under the same
//!   ids is how subscribers tell: Salesforce itself removes no duplicates.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Status};

use crate::error::{ErrorKind, Failure};
use crate::proto::{
    Error as EventError, ErrorCode, ProducerEvent, PublishRequest, PublishResponse, TopicInfo,
};
use crate::salesforce::auth::Session;
use crate::salesforce::error::{CallError, Deed, publish_permission};

use super::client::PubSubClient;

/// Events of one request, as Salesforce recommends (Pub/Sub API, allocations).
pub const PUBLISH_EVENTS_MAX: usize = 200;
/// A request's events together, as Salesforce recommends; at 4 MB the connection is reset without a word.
pub const PUBLISH_BYTES_MAX: usize = 3 * 1024 * 1024;
/// One event. What is larger is refused alone, every time.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// What `ProducerEvent.id` holds, in characters.
pub const EVENT_ID_MAX: usize = 36;

/// A publish of 200 events takes a second or two; what hangs longer is a broken line.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// One event to publish.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// At most [`EVENT_ID_MAX`] characters, the same again for the same event: subscribers remove repeats by it.
    pub id: String,
    /// Of the schema that `payload` is written in.
    pub schema_id: Arc<str>,
    /// A bare Avro datum, with `CreatedDate` and `CreatedById` filled in.
    pub payload: Bytes,
}

impl OutgoingEvent {
    /// What the event adds to a request, in bytes of the wire.
    pub fn request_bytes(&self) -> usize {
        let own =
            field_bytes(self.id.len()) + field_bytes(self.schema_id.len()) + field_bytes(self.payload.len());
        1 + varint_bytes(own) + own
    }

    /// Whether Salesforce refuses it for its size whatever else it is.
    pub fn is_too_large(&self) -> bool {
        self.payload.len() > EVENT_BYTES_MAX
    }
}

impl fmt::Debug for OutgoingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingEvent")
            .field("id", &self.id)
            .field("schema_id", &self.schema_id)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// Tag, length and content; nothing for what is empty.
const fn field_bytes(content: usize) -> usize {
    if content == 0 {
        0
    } else {
        1 + varint_bytes(content) + content
    }
}

const fn varint_bytes(mut value: usize) -> usize {
    let mut bytes = 1;
    while value >= 0x80 {
        value >>= 7;
        bytes += 1;
    }
    bytes
}

/// What Salesforce made of a request.
#[derive(Debug)]
pub struct PublishAnswer {
    /// One for each event, in their order.
    pub results: Vec<Result<Published, EventRefusal>>,
    /// The topic's schema as Salesforce has it now; another one than the events': time to fetch the topic again.
    pub schema_id: String,
}

/// An event that is on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What subscribers get with it.
    pub replay_id: Bytes,
}

/// What is to be done about an event that was refused while its neighbours were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventRefusalKind {
    /// The allocation of publishes is used up: it is neither published nor queued.
    Throttled,
    /// Publishing is out of order for the moment.
    Transient,
    /// Its schema is not, or no longer, the event's: fetch the topic again, once, and write it anew.
    StaleSchema,
    /// It can never be published as it is.
    Rejected,
}

/// Why one event was not published.
#[derive(Clone, PartialEq, Eq)]
pub struct EventRefusal {
    /// The API's own code: `PUBLISH`, `UNKNOWN`.
    pub code: &'static str,
    /// Salesforce's sentence. It may hold field values: for a dead letter only.
    pub message: String,
    pub kind: EventRefusalKind,
}

impl fmt::Debug for EventRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRefusal")
            .field("code", &self.code)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What is known of the events of a call that failed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishOutcome {
    /// Salesforce never got them.
    NotSent,
    /// It got them and took none.
    Refused,
    /// They may be on the bus.
    Unknown,
}

/// A call that failed as a whole.
#[derive(Debug)]
pub enum PublishError {
    Failed {
        failure: Failure,
        outcome: PublishOutcome,
    },
    /// The schema of the events is not, or no longer, the topic's; none is published. Fetch the topic again and write
    /// them anew; a second time in a row it is the failure.
    StaleSchema(Failure),
}

impl PublishError {
    const fn not_sent(failure: Failure) -> Self {
        Self::Failed {
            failure,
            outcome: PublishOutcome::NotSent,
        }
    }

    /// The failure's kind, whatever is known of the outcome.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed { failure, .. } | Self::StaleSchema(failure) => failure.kind,
        }
    }

    /// The failure, whatever is known of the outcome.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed { failure, .. } | Self::StaleSchema(failure) => failure,
        }
    }
}

impl PubSubClient {
    /// Publishes events of one topic in one call, once more with a new session if the first was refused.
    ///
    /// The caller keeps to [`PUBLISH_EVENTS_MAX`] and [`PUBLISH_BYTES_MAX`]; no events make no call.
    ///
    /// # Errors
    /// When no event has a result of its own.
    pub async fn publish(
        &self,
        topic: &str,
        events: &[OutgoingEvent],
    ) -> Result<PublishAnswer, PublishError> {
        if events.is_empty() {
            return Ok(PublishAnswer {
                results: Vec::new(),
                schema_id: String::new(),
            });
        }
        let session = self.tokens().session().await.map_err(PublishError::not_sent)?;
        match self.publish_as(&session, topic, events).await {
            Err(PublishError::Failed { failure, .. }) if failure.kind == ErrorKind::Unauthenticated => {
                let session = self.tokens().refresh(&session).await;
                let session = session.map_err(PublishError::not_sent)?;
                self.publish_as(&session, topic, events).await
            }
            answer => answer,
        }
    }

    /// The topic, if the user may publish to it; asked for anew every time.
    ///
    /// # Errors
    /// As [`PubSubClient::get_topic`], and `Denied` when the user may not publish to it.
    pub async fn get_publishable_topic(&self, topic: &str) -> Result<TopicInfo, Failure> {
        let info = self.get_topic(topic).await?;
        if info.can_publish {
            return Ok(info);
        }
        let user = self.tokens().session().await?.user();
        let failure = Failure::new(ErrorKind::Denied, format!("{user} may not publish to {topic}"));
        Err(failure.remedy(format!("give {user} {}, then resume", publish_permission(topic))))
    }

    async fn publish_as(
        &self,
        session: &Session,
        topic: &str,
        events: &[OutgoingEvent],
    ) -> Result<PublishAnswer, PublishError> {
        let request = PublishRequest {
            topic_name: topic.to_owned(),
            events: events.iter().map(on_the_wire).collect(),
            ..PublishRequest::default()
        };
        let call = self
            .publish_once(session, request)
            .map_err(PublishError::not_sent)?;
        let answer = tokio::time::timeout(PUBLISH_TIMEOUT, call).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in 30 s")));
        let response = answer.map_err(|status| error(&status, topic, &session.user()))?;
        read(response, events.len()).ok_or_else(|| PublishError::Failed {
            failure: Failure::new(
                ErrorKind::Transient,
                format!("Salesforce did not answer for every event published to {topic}"),
            ),
            outcome: PublishOutcome::Unknown,
        })
    }
}

fn on_the_wire(event: &OutgoingEvent) -> ProducerEvent {
    ProducerEvent {
        id: event.id.clone(),
        schema_id: event.schema_id.to_string(),
        payload: event.payload.clone(),
        headers: Vec::new(),
    }
}

/// `None`: not one result an event.
fn read(response: PublishResponse, events: usize) -> Option<PublishAnswer> {
    (response.results.len() == events).then(|| PublishAnswer {
        results: response
            .results
            .into_iter()
            .map(|result| match result.error {
                Some(error) => Err(refusal(error)),
                None => Ok(Published {
                    replay_id: result.replay_id,
                }),
            })
            .collect(),
        schema_id: response.schema_id,
    })
}

/// The API has one code for everything, so the sentence must say more. Words that an event's own value could bring
/// into it lead to another try, never to a loss.
fn refusal(error: EventError) -> EventRefusal {
    let code = match ErrorCode::try_from(error.code) {
        Ok(code) => code.as_str_name(),
        Err(_) => "UNKNOWN",
    };
    let text = error.msg.to_lowercase();
    let has = |words: &[&str]| words.iter().all(|word| text.contains(word));
    // `LIMIT_EXCEEDED` is what Apex and REST answer over the hourly allocation; the form here is not documented.
    let kind = if has(&["limit_exceeded"]) || has(&["hourly", "limit"]) {
        EventRefusalKind::Throttled
    } else if has(&["platform_event_publishing_unavailable"]) {
        EventRefusalKind::Transient
    } else if has(&["schema"]) {
        EventRefusalKind::StaleSchema
    } else {
        EventRefusalKind::Rejected
    };
    EventRefusal {
        code,
        message: error.msg,
        kind,
    }
}

fn error(status: &Status, topic: &str, user: &str) -> PublishError {
    let call = CallError::from_status(status);
    let is_about_the_schema = call
        .error_code
        .as_deref()
        .is_some_and(|code| code.starts_with("schema.") && call.kind() == ErrorKind::Poison);
    let outcome = outcome(status, &call);
    let failure = call.into_failure_of(Deed::Publish, topic, user);
    if is_about_the_schema {
        PublishError::StaleSchema(failure)
    } else {
        PublishError::Failed { failure, outcome }
    }
}

fn outcome(status: &Status, call: &CallError) -> PublishOutcome {
    if never_connected(status) {
        return PublishOutcome::NotSent;
    }
    let says_no = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Unimplemented
    );
    match call.kind() {
        // An outage may begin behind the bus.
        ErrorKind::Transient => PublishOutcome::Unknown,
        _ if says_no || call.error_code.is_some() => PublishOutcome::Refused,
        _ => PublishOutcome::Unknown,
    }
}

/// Nothing left this process: there was no connection to send on.
fn never_connected(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
