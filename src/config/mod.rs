//! The configuration as values: what `config/sfbridge.yaml` says after loading, interpolation and
//! validation. Data only: no client, no connection. Every duration is a `Duration`, every size is bytes.
//!
//! ```text
//! file ─▶ yaml ─▶ read (by keys, scalars, properties; interpolate) ─▶ defaults ─▶ rules ─▶ build ─▶ Config
//!           tree with places          tree of known keys                   └─▶ show · release gate
//! keys ─▶ schema · example
//! ```
//!
//! [`load`] gives all of it or every mistake at once. `keys` is the one place where a key is described.

mod build;
mod checks;
mod defaults;
mod endpoints;
pub mod environment;
mod example;
pub mod expression;
mod interpolate;
mod keys;
mod load;
pub mod problem;
mod properties;
mod read;
mod release;
mod route_rules;
mod rules;
mod scalars;
mod schema;
pub mod secret;
mod show;
pub(crate) mod suggest;
pub mod topics;
mod tree;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;
pub use load::{Loaded, example, load, load_text, load_with, schema};
pub use problem::{Problem, Problems};
pub use secret::Secret;

/// The whole file.
#[derive(Debug, Clone)]
pub struct Config {
    pub bridge: BridgeConfig,
    pub salesforce: SalesforceConfig,
    pub kafka: KafkaConfig,
    pub schema_registry: Option<SchemaRegistryConfig>,
    pub admin: AdminConfig,
    pub log: LogConfig,
    pub routes: Vec<RouteConfig>,
}

#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Consumer groups, transactional ids, and the client name that Salesforce sees.
    pub name: String,
    /// This process among those of one bridge; the same name again has its routes back at once.
    pub instance: String,
    pub shutdown_timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct SalesforceConfig {
    /// Without a trailing slash.
    pub login_url: String,
    pub pubsub_url: String,
    pub api_version: String,
    /// A CA bundle besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Of the daily API requests, in percent.
    pub api_reserve_percent: f64,
    pub bulk_threshold: u64,
    pub auth: AuthConfig,
}

#[derive(Debug, Clone)]
pub enum AuthConfig {
    JwtBearer {
        client_id: String,
        username: String,
        private_key: Secret,
        audience: String,
    },
    ClientCredentials {
        client_id: String,
        client_secret: Secret,
    },
    RefreshToken {
        client_id: String,
        client_secret: Option<Secret>,
        refresh_token: Secret,
    },
    AccessToken {
        access_token: Secret,
        instance_url: String,
        organization_id: String,
    },
}

#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub bootstrap_servers: String,
    /// librdkafka properties, passed through. Those that carry the guarantees are refused on loading.
    pub properties: BTreeMap<String, Secret>,
    pub create_topics: bool,
    pub partitions: i32,
    /// -1: the broker's default.
    pub replication_factor: i32,
}

#[derive(Debug, Clone)]
pub struct SchemaRegistryConfig {
    pub urls: Vec<String>,
    pub subject: SubjectNaming,
    pub credentials: Option<RegistryCredentials>,
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub enum RegistryCredentials {
    Basic { username: String, password: Secret },
    Bearer(Secret),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectNaming {
    Topic,
    Record,
    TopicRecord,
}

#[derive(Debug, Clone)]
pub struct AdminConfig {
    pub listen: std::net::SocketAddr,
    pub token: Option<Secret>,
    pub show_payloads: bool,
}

#[derive(Debug, Clone)]
pub struct LogConfig {
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a directive list of the crate tracing-subscriber.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone)]
pub struct RouteConfig {
    pub name: String,
    pub flow: Flow,
    pub dead_letter: DeadLetterConfig,
}

/// One direction or the other.
#[derive(Debug, Clone)]
pub enum Flow {
    ToKafka(ToKafkaConfig),
    ToSalesforce(ToSalesforceConfig),
}

impl Flow {
    pub const TO_KAFKA: &str = "to_kafka";
    pub const TO_SALESFORCE: &str = "to_salesforce";

    /// The word that `/api/routes` shows.
    pub const fn direction(&self) -> &'static str {
        match self {
            Self::ToKafka(_) => Self::TO_KAFKA,
            Self::ToSalesforce(_) => Self::TO_SALESFORCE,
        }
    }
}

#[derive(Debug, Clone)]
pub struct DeadLetterConfig {
    pub topic: String,
    /// The n-th dead letter in a row is still stored, then the route halts.
    pub max_consecutive: u32,
}

#[derive(Debug, Clone)]
pub struct ToKafkaConfig {
    pub from: SalesforceSource,
    /// At least one.
    pub to: Vec<KafkaOutput>,
    pub delivery: Delivery,
    pub commit: CommitConfig,
}

#[derive(Debug, Clone)]
pub struct SalesforceSource {
    /// `/data/…` or `/event/…`, as configured.
    pub topic: String,
    pub start: StartPolicy,
    pub on_lost_position: LostPositionPolicy,
    pub on_gap: GapPolicy,
    pub on_diff: DiffPolicy,
    pub skip_own_writes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPolicy {
    Latest,
    Earliest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostPositionPolicy {
    Earliest,
    Latest,
    Halt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapPolicy {
    Pass,
    Refetch,
    Halt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffPolicy {
    Pass,
    Refetch,
    DeadLetter,
}

#[derive(Debug, Clone)]
pub struct KafkaOutput {
    /// May hold `{entity}`, `{event}`, `{route}`.
    pub topic: String,
    pub key: KeyConfig,
    pub format: Format,
    pub tombstones: bool,
    pub filter: Option<String>,
    pub filter_unknown: FilterUnknown,
    pub fields: Option<FieldSelection>,
    pub contract: Option<ContractConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyConfig {
    RecordId,
    EventId,
    Field(String),
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Avro,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterUnknown {
    Keep,
    Drop,
}

#[derive(Debug, Clone)]
pub enum FieldSelection {
    Include(Vec<String>),
    Exclude(Vec<String>),
}

#[derive(Debug, Clone)]
pub struct ContractConfig {
    pub file: Option<PathBuf>,
    /// What the file says, or the default of design §8 (which depends on the number of outputs).
    pub on_break: OnBreak,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBreak {
    Halt,
    DeadLetter,
    NewSubject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    ExactlyOnce,
    AtLeastOnce,
}

#[derive(Debug, Clone, Copy)]
pub struct CommitConfig {
    pub max_events: usize,
    pub max_bytes: usize,
    pub linger: Duration,
}

#[derive(Debug, Clone)]
pub struct ToSalesforceConfig {
    pub from: KafkaSource,
    pub to: SalesforceTarget,
    pub filter: Option<String>,
    /// Target field → CEL expression. Empty: fields of the same name.
    pub fields: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct KafkaSource {
    pub topics: KafkaTopics,
    pub format: Format,
    pub start: StartPolicy,
    pub on_lost_position: LostPositionPolicy,
    pub key_format: KeyFormat,
    pub key_field: Option<String>,
}

#[derive(Debug, Clone)]
pub enum KafkaTopics {
    List(Vec<String>),
    /// With its leading `^`.
    Regex(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    Text,
    Json,
    Avro,
}

#[derive(Debug, Clone)]
pub enum SalesforceTarget {
    /// `/event/X__e`
    Event { topic: String },
    Object {
        sobject: String,
        operation: Operation,
        external_id: Option<String>,
        on_tombstone: OnTombstone,
        via: Via,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Upsert,
    Update,
    Insert,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTombstone {
    Delete,
    Ignore,
    DeadLetter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Auto,
    Collections,
    Bulk,
}
