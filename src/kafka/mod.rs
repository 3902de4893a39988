//! The Kafka side. Knows nothing of Salesforce.
//!
//! ```text
//!  Connection ──▶ Topics         looked up, made when asked, never by accident
//!             ──▶ RouteProducer  records and position in one transaction
//!             ──▶ Lanes          what a route's owner writes with: one or two of them
//!             ──▶ PositionStore  where a route stands, read past other routes' open transactions
//!             ──▶ GroupConsumer  a group's records, a stream a partition, committed when the caller says so
//!             ──▶ WritesTopic    what is about to be written to the other side, followed by every instance
//!             ──▶ Scan           topics read once, to their present end
//!             ──▶ RedrivenTopic  which dead letters were sent again
//!             ──▶ Ownership      which routes this instance runs, and which are paused
//! ```
//!
//! librdkafka's calls block: each client lives on a thread of its own or is called through `spawn_blocking`.

mod client;
mod compacted;
mod consumer;
mod error;
mod fences;
mod ownership;
mod positions;
mod producer;
mod record;
mod redriven;
mod scan;
mod topics;
mod writes;

pub use client::{Connection, RECORD_BYTES_MAX};
pub use consumer::{
    ConsumedRecord, ConsumerEvent, ConsumerOptions, ConsumerView, GroupConsumer, HAND_OVER_WITHIN,
    LossReason, LostOffsets, PartitionLag, PartitionStream, Standpoint,
};
pub use ownership::{Assignment, Ownership, is_paused};
pub use positions::{PositionStore, internal_topics};
pub use producer::{Handed, Lanes, Refusal, RouteProducer, Timing, WriteError, Written};
pub use record::{Record, partition_of};
pub use redriven::RedrivenTopic;
pub use scan::{Extent, Scan, extents};
pub use topics::{TopicFinding, TopicUse, Topics};
pub use writes::{Changes, Following, WritesTopic};
