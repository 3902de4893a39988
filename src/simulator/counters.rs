//! What the org counted, for assertions: how often each thing was asked, and how much was handed out.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A number that only grows, or a level that moves.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(super) fn at_least(&self, level: u64) {
        self.0.fetch_max(level, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct TopicCounters {
    pub(super) events_delivered: Counter,
    pub(super) responses: Counter,
    pub(super) keep_alives: Counter,
    pub(super) subscriptions: Counter,
    pub(super) streams_open: Counter,
    pub(super) fetch_requests: Counter,
    pub(super) outstanding_max: Counter,
    pub(super) get_topic_calls: Counter,
    pub(super) events_published: Counter,
}

#[derive(Debug, Default)]
pub(super) struct OrgCounters {
    pub(super) tokens_issued: Counter,
    pub(super) token_requests: Counter,
    pub(super) userinfo_calls: Counter,
    pub(super) get_schema_calls: Counter,
    pub(super) refused_calls: Counter,
    pub(super) connections: Counter,
    pub(super) rest_requests: Counter,
    pub(super) describe_calls: Counter,
    pub(super) query_calls: Counter,
    pub(super) collections_calls: Counter,
    pub(super) records_saved: Counter,
    pub(super) bulk_jobs: Counter,
    pub(super) largest_publish_events: Counter,
    pub(super) largest_publish_bytes: Counter,
}

/// One topic's numbers at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TopicCounts {
    /// Events in its log, ever.
    pub events_stored: u64,
    /// Events handed to streams; repeats count.
    pub events_delivered: u64,
    pub responses: u64,
    pub keep_alives: u64,
    /// `Subscribe` calls that passed the checks.
    pub subscriptions: u64,
    pub streams_open: u64,
    pub fetch_requests: u64,
    /// The most events that one stream was owed at once.
    pub outstanding_max: u64,
    pub get_topic_calls: u64,
    pub events_published: u64,
}

/// The org's numbers at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OrgCounts {
    pub tokens_issued: u64,
    pub token_requests: u64,
    pub userinfo_calls: u64,
    pub get_schema_calls: u64,
    /// RPCs refused for their metadata.
    pub refused_calls: u64,
    /// TCP connections to the Pub/Sub server.
    pub connections: u64,
    /// Requests below `/services/data/{version}`, refused ones too.
    pub rest_requests: u64,
    pub describe_calls: u64,
    /// First and further pages.
    pub query_calls: u64,
    /// Writes by sObject Collections.
    pub collections_calls: u64,
    /// Records in them that were not refused; one that already was as it should be counts, too.
    pub records_saved: u64,
    /// Jobs of Bulk API 2.0 that were created.
    pub bulk_jobs: u64,
    /// The most events of one publish request, refused ones too.
    pub largest_publish_events: u64,
    /// The same of a request's bytes.
    pub largest_publish_bytes: u64,
}

impl TopicCounters {
    pub(super) fn read(&self, events_stored: u64) -> TopicCounts {
        TopicCounts {
            events_stored,
            events_delivered: self.events_delivered.get(),
            responses: self.responses.get(),
            keep_alives: self.keep_alives.get(),
            subscriptions: self.subscriptions.get(),
            streams_open: self.streams_open.get(),
            fetch_requests: self.fetch_requests.get(),
            outstanding_max: self.outstanding_max.get(),
            get_topic_calls: self.get_topic_calls.get(),
            events_published: self.events_published.get(),
        }
    }
}

impl OrgCounters {
    pub(super) fn read(&self) -> OrgCounts {
        OrgCounts {
            tokens_issued: self.tokens_issued.get(),
            token_requests: self.token_requests.get(),
            userinfo_calls: self.userinfo_calls.get(),
            get_schema_calls: self.get_schema_calls.get(),
            refused_calls: self.refused_calls.get(),
            connections: self.connections.get(),
            rest_requests: self.rest_requests.get(),
            describe_calls: self.describe_calls.get(),
            query_calls: self.query_calls.get(),
            collections_calls: self.collections_calls.get(),
            records_saved: self.records_saved.get(),
            bulk_jobs: self.bulk_jobs.get(),
            largest_publish_events: self.largest_publish_events.get(),
            largest_publish_bytes: self.largest_publish_bytes.get(),
        }
    }
}
