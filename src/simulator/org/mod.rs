//! The org in memory: its bus, topics, schemas and tokens. The servers read it, the control API changes it.

pub(super) mod bitmap;
pub(super) mod bus;
pub(super) mod catalog;
pub(super) mod change;

pub(super) mod describe;
pub(super) mod diff;
pub(super) mod encode;
pub(super) mod fields;
pub(super) mod jobs;
mod keys;
pub(super) mod late;
pub(super) mod prepared;
pub(super) mod records;
pub(super) mod replay_id;
pub(super) mod row;
pub(super) mod samples;
pub(super) mod schemas;
pub(super) mod sheet;
pub(super) mod sobject;
pub(super) mod soql;
pub(super) mod tokens;
pub(super) mod topics;
pub(super) mod values;
pub(super) mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use self::bus::{Bus, FIRST_POSITION, NewEvent};
use self::change::{Change, ChangeType, Defaults, PlatformEvent, RawEvent};
use self::fields::Rulebook;
use self::jobs::Jobs;
use self::late::Late;
use self::records::Records;
use self::replay_id::Position;
use self::schemas::{EventSchema, Schemas};
use self::sobject::SObject;
use self::tokens::Tokens;
use self::topics::{Kind, Topic};
use super::clock::Clock;
use super::counters::OrgCounters;
use super::faults::Faults;
use super::http::rest::Cursors;
use super::limits::Allowance;
use super::rest::RestFaults;
use super::settings::SimulatorSettings;
use super::writes::Writes;
use super::{ids, oauth};

#[derive(Debug)]
pub(super) struct Org {
    pub(super) settings: SimulatorSettings,
    pub(super) clock: Clock,
    pub(super) bus: Bus,
    pub(super) schemas: Schemas,
    pub(super) tokens: Tokens,
    pub(super) faults: Faults,
    pub(super) token_faults: oauth::TokenFaults,
    pub(super) counters: OrgCounters,
    /// Messages of events that `Publish` refuses one by one.
    pub(super) rejections: Mutex<std::collections::VecDeque<String>>,
    pub(super) records: Mutex<Records>,
    pub(super) rest_faults: RestFaults,
    pub(super) writes: Writes,
    pub(super) late: Late,
    pub(super) jobs: Jobs,
    pub(super) daily_batches: Allowance,
    pub(super) daily_deliveries: Allowance,
    pub(super) daily_requests: Allowance,
    pub(super) hourly_publishes: Allowance,
    pub(super) rulebook: RwLock<Rulebook>,
    pub(super) cursors: Cursors,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// The number of the next new record.
    next_record: AtomicU64,
    commits: AtomicI64,
}

impl Org {
    pub(super) fn new(settings: SimulatorSettings) -> Result<Self, String> {
        let org = Self {
            clock: Clock::new(settings.clock_offset_ms),
            bus: Bus::new(settings.retained_events),
            schemas: Schemas::default(),
            tokens: Tokens::default(),
            faults: Faults::default(),
            token_faults: oauth::TokenFaults::default(),
            counters: OrgCounters::default(),
            rejections: Mutex::default(),
            records: Mutex::default(),
            rest_faults: RestFaults::default(),
            writes: Writes::default(),
            late: Late::default(),
            jobs: Jobs::default(),
            daily_batches: Allowance::of_batches(),
            daily_deliveries: Allowance::of_deliveries(),
            daily_requests: Allowance::of_requests(),
            hourly_publishes: Allowance::of_publishes(),
            rulebook: RwLock::default(),
            cursors: Cursors::default(),
            topics: RwLock::default(),
            next_record: AtomicU64::new(1),
            // Of the size that real commit numbers have: more than a double holds exactly.
            commits: AtomicI64::new(1_650_000_000_000_000_001),
            settings,
        };
        for (name, _) in catalog::CHANNELS {
            org.insert(Topic::new(name, Kind::Channel, None, FIRST_POSITION));
        }
        for entry in catalog::entries() {
            org.define(entry.topic, entry.kind, entry.schema.as_deref())?;
        }
        {
            let (rulebook, mut records) = (org.rulebook.read(), org.records.lock());
            for object in ["Account", "Contact", "Order__c"] {
                rulebook
                    .keys_of(object)
                    .for_each(|field| records.add_key(object, field));
            }
        }
        org.schemas.add(samples::older_account()?);
        for token in &org.settings.access_tokens {
            org.tokens.accept(token);
        }
        Ok(org)
    }

    fn insert(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        self.topics.write().insert(topic.name.clone(), topic.clone());
        topic
    }

    /// Adds a topic; the channels that carry its like carry it too.
    pub(super) fn define(&self, name: &str, kind: Kind, schema: Option<&str>) -> Result<Arc<Topic>, String> {
        let schema = schema
            .map(EventSchema::parse)
            .transpose()?
            .map(|schema| self.schemas.add(schema));
        let topic = Topic::new(name, kind, schema, FIRST_POSITION);
        let carriers = catalog::CHANNELS
            .iter()
            .filter(|(_, prefix)| name.starts_with(prefix));
        *topic.channels.write() = carriers.filter_map(|(channel, _)| self.topic(channel)).collect();
        Ok(self.insert(topic))
    }

    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    /// The topic, or a sentence that it is missing.
    pub(super) fn existing(&self, name: &str) -> Result<Arc<Topic>, String> {
        self.topic(name)
            .ok_or_else(|| format!("the org has no topic {name}"))
    }

    /// All topics, by name.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.read().values().cloned().collect()
    }

    pub(super) fn organization_id(&self) -> String {
        ids::with_suffix(&self.settings.organization_id)
    }

    pub(super) fn user_id(&self) -> String {
        ids::record_id("005", 1)
    }

    pub(super) fn new_record_id(&self, prefix: &str) -> String {
        ids::record_id(prefix, self.next_record.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn next_commit(&self) -> i64 {
        self.commits.fetch_add(1, Ordering::Relaxed)
    }

    fn defaults(&self, entity: &str) -> Defaults {
        Defaults {
            record_id: self.new_record_id(key_prefix(entity)),
            user_id: self.user_id(),
            now_ms: self.clock.now_ms(),
            commit_number: self.next_commit(),
        }
    }

    /// Puts changes on the bus; with `ungrouped` all at one position, as enriched events that were grouped are.
    pub(super) fn change(&self, changes: &[Change], ungrouped: Ungrouped) -> Result<Vec<Position>, String> {
        let Some(first) = changes.first() else {
            return Ok(Vec::new());
        };
        let topic = self.existing(&first.topic())?;
        let schema = schema_of(&topic)?;
        let mut events = Vec::with_capacity(changes.len());
        let mut done = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            if change.topic() != topic.name {
                return Err(format!("{} is no change of {}", change.entity, topic.name));
            }
            let change = change::complete(change, &schema, self.defaults(&change.entity));
            let payload = change::payload(&change, &schema)?;
            events.push(NewEvent {
                id: change.event_id.clone().unwrap_or_else(ids::rpc_id),
                schema_id: schema.id.clone(),
                payload: payload.into(),
                shares_position: index > 0 && ungrouped != Ungrouped::No,
                starts_response: index > 0 && ungrouped == Ungrouped::AcrossResponses,
                ..NewEvent::default()
            });
            done.push(change);
        }
        // Whoever sees the event finds the record as it left it, and the records go in the order of the bus.
        let mut records = self.records.lock();
        done.iter().for_each(|change| records.apply(change));
        Ok(self.bus.append(&topic, events))
    }

    /// Puts events of one topic on the bus, now or a while later.
    fn tell(&self, topic: &Arc<Topic>, events: Vec<NewEvent>, later: Duration) {
        if later.is_zero() && self.late.is_empty() {
            self.bus.append(topic, events);
        } else {
            self.late.push(Instant::now() + later, topic.clone(), events);
        }
    }

    /// Writes to a record as an update does, and makes no event of it.
    pub(super) fn set_record(&self, entity: &str, id: &str, fields: Map<String, Json>) -> Result<(), String> {
        let schema = schema_of(self.existing(&change::topic_of(entity))?.as_ref())?;
        let id = records::id18(id).ok_or_else(|| format!("{id} is no id of a record"))?;
        let mut change = Change::new(entity, ChangeType::Update).records([id.as_str()]);
        let (nulls, values): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(_, value)| value.is_null());
        change.fields = values;
        change.nulled = nulls.into_iter().map(|(name, _)| name).collect();
        let change = change::complete(&change, &schema, self.defaults(entity));
        // For its refusals: what an event could not hold, no record has.
        change::payload(&change, &schema)?;
        self.records.lock().apply(&change);
        Ok(())
    }

    /// Deletes a record and makes no event of it.
    pub(super) fn delete_record(&self, entity: &str, id: &str) -> Result<(), String> {
        self.existing(&change::topic_of(entity))?;
        let id = records::id18(id).ok_or_else(|| format!("{id} is no id of a record"))?;
        self.records.lock().delete(entity, &id, self.clock.now_ms());
        Ok(())
    }

    /// An object that the user may see, by its name in any case.
    pub(super) fn sobject(&self, name: &str) -> Option<SObject> {
        let topics = self.topics.read();
        let wanted = change::topic_of(name);
        let (topic_name, topic) = topics
            .iter()
            .find(|(topic, _)| topic.eq_ignore_ascii_case(&wanted))?;
        let schema = topic.schema.read().clone().filter(|_| topic.is_permitted())?;
        let stem = topic_name.strip_prefix("/data/")?.strip_suffix("ChangeEvent")?;
        let name = match stem.strip_suffix("__") {
            Some(custom) => format!("{custom}__c"),
            None => stem.to_owned(),
        };
        Some(SObject::new(&name, &schema).with_rules(&self.rulebook.read()))
    }

    /// Every object that the user may see.
    pub(super) fn sobjects(&self) -> Vec<SObject> {
        let topics = self.topics();
        let objects = topics.iter().filter(|topic| topic.kind == Kind::Change);
        let names =
            objects.filter_map(|topic| topic.name.strip_prefix("/data/")?.strip_suffix("ChangeEvent"));
        names
            .filter_map(|stem| {
                self.sobject(&match stem.strip_suffix("__") {
                    Some(custom) => format!("{custom}__c"),
                    None => stem.to_owned(),
                })
            })
            .collect()
    }

    pub(super) fn publish(&self, event: &PlatformEvent) -> Result<Position, String> {
        let topic = self.existing(&event.topic)?;
        let schema = schema_of(&topic)?;
        let payload = change::platform_payload(event, &schema, self.defaults("event"))?;
        let event = NewEvent {
            id: event.event_id.clone().unwrap_or_else(ids::rpc_id),
            schema_id: schema.id.clone(),
            payload: payload.into(),
            ..NewEvent::default()
        };
        one(self.bus.append(&topic, [event]))
    }

    pub(super) fn emit_raw(&self, event: RawEvent) -> Result<Position, String> {
        let topic = self.existing(&event.topic)?;
        let schema_id = match event.schema_id {
            Some(id) => id,
            None => schema_of(&topic)?.id.clone(),
        };
        let event = NewEvent {
            id: event.event_id.unwrap_or_else(ids::rpc_id),
            schema_id,
            payload: Bytes::from(event.payload),
            ..NewEvent::default()
        };
        one(self.bus.append(&topic, [event]))
    }

    /// Adds a nullable field to a topic's event; events from now on have the new schema. Returns its id.
    pub(super) fn add_field(
        &self,
        topic: &str,
        name: &str,
        avro_type: &str,
        doc: &str,
    ) -> Result<String, String> {
        self.redefine(topic, |schema| schema.with_field(name, avro_type, doc))
    }

    /// Gives a topic's event another definition. Returns the new schema's id.
    pub(super) fn redefine(
        &self,
        topic: &str,
        change: impl FnOnce(&EventSchema) -> Result<EventSchema, String>,
    ) -> Result<String, String> {
        let topic = self.existing(topic)?;
        let schema = self.schemas.add(change(schema_of(&topic)?.as_ref())?);
        *topic.schema.write() = Some(schema.clone());
        Ok(schema.id.clone())
    }
}

/// Whether the changes of one call share a replay id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ungrouped {
    /// Each has its own.
    #[default]
    No,
    /// All have one, and come together where the credits allow.
    Together,
    /// All have one, and each comes in a response of its own.
    AcrossResponses,
}

pub(super) fn schema_of(topic: &Topic) -> Result<Arc<EventSchema>, String> {
    topic
        .schema
        .read()
        .clone()
        .ok_or_else(|| format!("{} is a channel: it has no schema of its own", topic.name))
}

fn one(positions: Vec<Position>) -> Result<Position, String> {
    positions
        .first()
        .copied()
        .ok_or_else(|| "nothing was stored".to_owned())
}

/// The first three characters of an object's record ids.
pub(super) fn key_prefix(entity: &str) -> &'static str {
    match entity {
        "Account" => "001",
        "Contact" => "003",
        _ => "a00",
    }
}
