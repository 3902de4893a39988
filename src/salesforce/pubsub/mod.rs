//! The Pub/Sub API as a client: calls (`client`) on one connection (`endpoint`), schemas by id (`schemas`), events
//! published (`publish`), and subscriptions.
//!
//! A [`Subscription`] is a task that reads one stream (`reader`) and three pure machines that decide for it:
//! how many events to ask for (`credit`, within what all streams may have in hand together, `room`), where to go on after a break (`anchor`), and whether and when to
//! open the stream again (`reopening`).

mod anchor;
#[cfg(test)]
mod call_tests;
mod client;
mod credit;
mod endpoint;
mod publish;
#[cfg(test)]
mod publish_tests;
mod reader;
mod reopening;
mod room;
mod schemas;
#[cfg(test)]
mod scripted;
mod subscribe;
#[cfg(test)]
mod tests;

pub use anchor::Start;
pub use client::PubSubClient;
pub use publish::{
    EVENT_BYTES_MAX, EVENT_ID_MAX, EventRefusal, EventRefusalKind, OutgoingEvent, PUBLISH_BYTES_MAX,
    PUBLISH_EVENTS_MAX, PublishAnswer, PublishError, PublishOutcome, Published,
};
pub use schemas::SchemaCache;
pub use subscribe::{Item, ReceivedEvent, StreamStatus, SubscribeOptions, Subscription};
