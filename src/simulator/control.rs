//! The control API: what a test, a benchmark or a person makes the org do. `http::control` offers the same as JSON.
//!
//! Where a topic is an `Option`, `None` stands for all topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::counters::{OrgCounts, TopicCounts};
use super::faults::{self, Ending, Fault, StreamMode, Then};
use super::oauth::TokenFault;
use super::org::change::{Change, Defaults, PlatformEvent, RawEvent};
use super::org::prepared::{Template, TestEvents};
use super::org::topics::{Kind, Topic};
use super::org::{Org, Ungrouped, replay_id, samples, schema_of};
use super::rest::RestFault;

/// Why the org does not do as it is told: an unknown topic or field, a value that does not fit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Refused(pub(super) String);

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// Test events that were put on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The first event's number; they count on from one call to the next.
    pub first: u64,
    pub count: u64,
    /// Of the last one.
    pub replay_id: Bytes,
}

#[derive(Debug)]
pub struct Control {
    org: Arc<Org>,
    instance_url: String,
    /// Number of the next test event.
    next_test_event: AtomicU64,
}

impl Control {
    pub(super) fn new(org: Arc<Org>, instance_url: String) -> Self {
        Self {
            org,
            instance_url,
            next_test_event: AtomicU64::new(0),
        }
    }

    pub(super) fn org(&self) -> &Arc<Org> {
        &self.org
    }

    /// What OAuth answers as `instance_url`, and what RPCs must name in their metadata.
    pub fn instance_url(&self) -> &str {
        &self.instance_url
    }

    /// With 18 characters.
    pub fn organization_id(&self) -> String {
        self.org.organization_id()
    }

    // Events.

    /// Makes a change. Returns its replay id.
    pub fn change(&self, change: &Change) -> Result<Bytes, Refused> {
        self.changes(std::slice::from_ref(change), Ungrouped::No)
    }

    /// Makes changes of one object in one go. Returns the last one's replay id.
    pub fn changes(&self, changes: &[Change], ungrouped: Ungrouped) -> Result<Bytes, Refused> {
        let positions = self.org.change(changes, ungrouped)?;
        let last = positions
            .last()
            .ok_or_else(|| Refused("there is no change to make".into()))?;
        Ok(replay_id::encode(*last))
    }

    /// Publishes a platform event. Returns its replay id.
    pub fn publish(&self, event: &PlatformEvent) -> Result<Bytes, Refused> {
        Ok(replay_id::encode(self.org.publish(event)?))
    }

    /// Puts bytes on a topic that need not be what its schema says. Returns the replay id.
    pub fn emit_raw(&self, event: RawEvent) -> Result<Bytes, Refused> {
        Ok(replay_id::encode(self.org.emit_raw(event)?))
    }

    /// Puts a real Account update on its topic, with its own schema: one of 85 fields, older than the topic's.
    /// Returns the replay id.
    pub fn emit_real_update(&self) -> Result<Bytes, Refused> {
        let schema = self.org.schemas.add(samples::older_account()?);
        let payload = samples::real_update()?;
        let topic = "/data/AccountChangeEvent".to_owned();
        self.emit_raw(RawEvent {
            topic,
            payload,
            schema_id: Some(schema.id.clone()),
            event_id: None,
        })
    }

    /// Puts numbered events on `/data/AccountChangeEvent`.
    pub fn emit_test_events(&self, events: &TestEvents) -> Result<Emitted, Refused> {
        let topic = self.org.existing("/data/AccountChangeEvent")?;
        let schema = schema_of(&topic)?;
        let defaults = Defaults {
            record_id: String::new(),
            user_id: self.org.user_id(),
            now_ms: self.org.clock.now_ms(),
            commit_number: self.org.next_commit(),
        };
        let template = Template::new(&schema, events.bytes, defaults)?;
        let first = self.next_test_event.fetch_add(events.count, Ordering::Relaxed);
        let positions = self.org.bus.append(&topic, template.events(first, events));
        let last = positions
            .last()
            .ok_or_else(|| Refused("count is 0: there is no event to emit".into()))?;
        Ok(Emitted {
            first,
            count: events.count,
            replay_id: replay_id::encode(*last),
        })
    }

    // Records, as REST shows them. Every change keeps them in step.

    /// Writes to a record, new or there, as an update does, and makes no event of it: what a gap hides. Null clears.
    pub fn set_record(&self, sobject: &str, id: &str, fields: Map<String, Json>) -> Result<(), Refused> {
        Ok(self.org.set_record(sobject, id, fields)?)
    }

    /// Deletes a record and makes no event of it.
    pub fn delete_record(&self, sobject: &str, id: &str) -> Result<(), Refused> {
        Ok(self.org.delete_record(sobject, id)?)
    }

    // Topics.

    /// Adds a topic: `/event/…` a platform event, `/data/…` a change event, by the definition of its event.
    pub fn define_topic(&self, name: &str, schema_json: &str) -> Result<(), Refused> {
        let kind = if name.starts_with("/event/") {
            Kind::Platform
        } else {
            Kind::Change
        };
        self.org.define(name, kind, Some(schema_json))?;
        Ok(())
    }

    /// Adds a nullable field to the end of a topic's event. Returns the new schema's id.
    pub fn add_field(&self, topic: &str, name: &str, avro_type: &str) -> Result<String, Refused> {
        Ok(self
            .org
            .add_field(topic, name, avro_type, "Data:Text:00NSB0000000099")?)
    }

    /// Takes a field out of a topic's event. Returns the new schema's id.
    pub fn remove_field(&self, topic: &str, name: &str) -> Result<String, Refused> {
        Ok(self.org.redefine(topic, |schema| schema.without_field(name))?)
    }

    /// Gives a field of a topic's event another type. Returns the new schema's id.
    pub fn change_field(&self, topic: &str, name: &str, avro_type: &str) -> Result<String, Refused> {
        Ok(self
            .org
            .redefine(topic, |schema| schema.with_type(name, avro_type))?)
    }

    /// Of the events that a topic gets now.
    pub fn schema_id(&self, topic: &str) -> Result<String, Refused> {
        Ok(schema_of(self.org.existing(topic)?.as_ref())?.id.clone())
    }

    /// Whether the user may see a topic.
    pub fn set_permitted(&self, topic: &str, permitted: bool) -> Result<(), Refused> {
        self.org
            .existing(topic)?
            .permitted
            .store(permitted, Ordering::Relaxed);
        Ok(())
    }

    /// What `GetTopic` says in `can_subscribe`, and `Subscribe` keeps to.
    pub fn set_can_subscribe(&self, topic: &str, can_subscribe: bool) -> Result<(), Refused> {
        self.org
            .existing(topic)?
            .can_subscribe
            .store(can_subscribe, Ordering::Relaxed);
        Ok(())
    }

    /// Of the bus's last event, whatever its topic.
    pub fn tip(&self) -> Bytes {
        replay_id::encode(self.org.bus.tip())
    }

    // Faults.

    /// Makes calls to come go wrong.
    pub fn fault(&self, fault: Fault) -> Result<(), Refused> {
        Ok(self.org.faults.add(fault)?)
    }

    /// Makes token requests to come go wrong.
    pub fn token_fault(&self, fault: TokenFault) {
        self.org.token_faults.set(fault);
    }

    /// Makes REST requests to come go wrong.
    pub fn rest_fault(&self, fault: RestFault) {
        self.org.rest_faults.add(fault);
    }

    /// The next `events` events published are refused one by one, with this message.
    pub fn reject_events(&self, events: usize, message: &str) {
        self.org
            .rejections
            .lock()
            .extend(std::iter::repeat_n(message.to_owned(), events));
    }

    /// Takes back what faults still wait, and lets all streams flow.
    pub fn clear_faults(&self) {
        self.org.faults.clear();
        self.org.token_faults.clear();
        self.org.rest_faults.clear();
        self.org.writes.faults.clear();
        self.org.jobs.faults.clear();
        self.org.rejections.lock().clear();
        for topic in self.org.topics() {
            topic.mode.send_replace(StreamMode::Normal);
        }
    }

    /// Faults that wait for a call.
    pub fn faults_waiting(&self) -> usize {
        let org = &self.org;
        let of_writes = org.writes.faults.waiting() + org.jobs.faults.waiting();
        org.faults.waiting() + org.rest_faults.waiting() + of_writes
    }

    /// How a topic's streams behave from now on.
    pub fn set_mode(&self, topic: Option<&str>, mode: StreamMode) -> Result<(), Refused> {
        for topic in self.those(topic)? {
            topic.mode.send_replace(mode);
        }
        Ok(())
    }

    /// Ends the streams that run now.
    pub fn end_streams(&self, topic: Option<&str>, with: Then) -> Result<(), Refused> {
        faults::check(&with)?;
        for topic in self.those(topic)? {
            topic.ending.send_replace(Ending { with: with.clone() });
        }
        Ok(())
    }

    /// Puts every replay id so far, and the events behind them, out of retention.
    pub fn lose_positions(&self, topic: Option<&str>) -> Result<(), Refused> {
        for topic in self.those(topic)? {
            self.org.bus.forget(&topic);
        }
        Ok(())
    }

    fn those(&self, topic: Option<&str>) -> Result<Vec<Arc<Topic>>, Refused> {
        match topic {
            Some(name) => Ok(vec![self.org.existing(name)?]),
            None => Ok(self.org.topics()),
        }
    }

    // Tokens and time.

    /// A token as the token endpoint would give it.
    pub fn issue_token(&self) -> String {
        let lifetime_ms = i64::try_from(self.org.settings.token_lifetime.as_millis()).unwrap_or(i64::MAX);
        let expires_at_ms = self.org.clock.now_ms().saturating_add(lifetime_ms);
        self.org
            .tokens
            .issue(&self.org.settings.organization_id, expires_at_ms)
    }

    /// Ends the life of every token. Streams that run go on; the next call is refused.
    pub fn expire_tokens(&self) {
        self.org.tokens.revoke_all();
    }

    /// Ends the life of one token.
    pub fn revoke_token(&self, token: &str) {
        self.org.tokens.revoke(token);
    }

    /// Of the org's clock against the machine's.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.org.clock.set_offset_ms(offset_ms);
    }

    // Counts.

    pub fn topic_counts(&self, topic: &str) -> Result<TopicCounts, Refused> {
        let topic = self.org.existing(topic)?;
        let stored = topic.log.read().end();
        Ok(topic.counters.read(stored))
    }

    pub fn org_counts(&self) -> OrgCounts {
        self.org.counters.read()
    }

    /// Every topic's name.
    pub fn topic_names(&self) -> Vec<String> {
        self.org.topics().iter().map(|topic| topic.name.clone()).collect()
    }
}
