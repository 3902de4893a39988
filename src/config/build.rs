//! From a tree without mistakes to the typed [`Config`]. `None` would be a bug: a key that the tables of
//! `keys` do not describe, or a shape that does not fit its field.

use super::tree::{Section, Value};
use super::*;

pub(super) fn config(file: &Section) -> Option<Config> {
    let bridge = file.section("bridge")?;
    let admin = file.section("admin")?;
    let log = file.section("log")?;
    Some(Config {
        bridge: BridgeConfig {
            name: text(bridge, "name")?,
            instance: text(bridge, "instance")?,
            shutdown_timeout: bridge.duration("shutdown_timeout")?,
        },
        salesforce: salesforce(file.section("salesforce")?)?,
        kafka: kafka(file.section("kafka")?)?,
        schema_registry: match file.section("schema_registry") {
            Some(registry) => Some(schema_registry(registry)?),
            None => None,
        },
        admin: AdminConfig {
            listen: admin.text("listen")?.parse().ok()?,
            token: admin.secret("token").cloned(),
            show_payloads: admin.bool("show_payloads")?,
        },
        log: LogConfig {
            format: choose(
                log,
                "format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )?,
            level: text(log, "level")?,
        },
        routes: file.sections("routes").map(route).collect::<Option<_>>()?,
    })
}

fn salesforce(section: &Section) -> Option<SalesforceConfig> {
    Some(SalesforceConfig {
        login_url: url(section, "login_url")?,
        pubsub_url: url(section, "pubsub_url")?,
        api_version: text(section, "api_version")?,
        ca_file: path(section, "ca_file"),
        api_reserve_percent: section.percent("api_reserve")?,
        bulk_threshold: section.integer("bulk_threshold")?,
        auth: auth(section.section("auth")?)?,
    })
}

fn auth(section: &Section) -> Option<AuthConfig> {
    let secret = |name| section.secret(name).cloned();
    Some(match section.text("flow")? {
        "jwt_bearer" => AuthConfig::JwtBearer {
            client_id: text(section, "client_id")?,
            username: text(section, "username")?,
            private_key: secret("private_key")?,
            audience: url(section, "audience")?,
        },
        "client_credentials" => AuthConfig::ClientCredentials {
            client_id: text(section, "client_id")?,
            client_secret: secret("client_secret")?,
        },
        "refresh_token" => AuthConfig::RefreshToken {
            client_id: text(section, "client_id")?,
            client_secret: secret("client_secret"),
            refresh_token: secret("refresh_token")?,
        },
        "access_token" => AuthConfig::AccessToken {
            access_token: secret("access_token")?,
            instance_url: url(section, "instance_url")?,
            organization_id: text(section, "organization_id")?,
        },
        _ => return None,
    })
}

fn kafka(section: &Section) -> Option<KafkaConfig> {
    let properties = section.properties("properties").iter();
    Some(KafkaConfig {
        bootstrap_servers: text(section, "bootstrap_servers")?,
        properties: properties
            .map(|property| (property.name.clone(), property.value.clone()))
            .collect(),
        create_topics: section.bool("create_topics")?,
        partitions: section.integer("partitions")?,
        replication_factor: section.integer("replication_factor")?,
    })
}

fn schema_registry(section: &Section) -> Option<SchemaRegistryConfig> {
    let bearer = section
        .secret("bearer_token")
        .cloned()
        .map(RegistryCredentials::Bearer);
    let basic = || {
        Some(RegistryCredentials::Basic {
            username: text(section, "username")?,
            password: section.secret("password").cloned()?,
        })
    };
    Some(SchemaRegistryConfig {
        urls: section.texts("url").map(|(_, url)| trimmed(url)).collect(),
        subject: choose(
            section,
            "subject",
            &[
                ("topic", SubjectNaming::Topic),
                ("record", SubjectNaming::Record),
                ("topic_record", SubjectNaming::TopicRecord),
            ],
        )?,
        credentials: bearer.or_else(basic),
        ca_file: path(section, "ca_file"),
    })
}

fn route(section: &Section) -> Option<RouteConfig> {
    let from = section.section("from")?;
    let flow = match from.form() {
        "from.salesforce" => Flow::ToKafka(to_kafka(section, from)?),
        _ => Flow::ToSalesforce(to_salesforce(from, section.sections("to").next()?)?),
    };
    let dead_letter = section.section("dead_letter")?;
    Some(RouteConfig {
        name: text(section, "name")?,
        flow,
        dead_letter: DeadLetterConfig {
            topic: text(dead_letter, "kafka")?,
            max_consecutive: dead_letter.integer("max_consecutive")?,
        },
    })
}

fn to_kafka(route: &Section, from: &Section) -> Option<ToKafkaConfig> {
    let commit = route.section("commit")?;
    Some(ToKafkaConfig {
        from: SalesforceSource {
            topic: text(from, "salesforce")?,
            start: start(from)?,
            on_lost_position: on_lost_position(from)?,
            on_gap: choose(
                from,
                "on_gap",
                &[
                    ("pass", GapPolicy::Pass),
                    ("refetch", GapPolicy::Refetch),
                    ("halt", GapPolicy::Halt),
                ],
            )?,
            on_diff: choose(
                from,
                "on_diff",
                &[
                    ("pass", DiffPolicy::Pass),
                    ("refetch", DiffPolicy::Refetch),
                    ("dead_letter", DiffPolicy::DeadLetter),
                ],
            )?,
            skip_own_writes: from.bool("skip_own_writes")?,
        },
        to: route.sections("to").map(output).collect::<Option<_>>()?,
        delivery: choose(
            route,
            "delivery",
            &[
                ("exactly_once", Delivery::ExactlyOnce),
                ("at_least_once", Delivery::AtLeastOnce),
            ],
        )?,
        commit: CommitConfig {
            max_events: commit.integer("max_events")?,
            max_bytes: commit.integer("max_bytes")?,
            linger: Duration::from_millis(commit.integer("linger_ms")?),
        },
    })
}

fn output(section: &Section) -> Option<KafkaOutput> {
    let key = match section.text("key")? {
        "record_id" => KeyConfig::RecordId,
        "event_id" => KeyConfig::EventId,
        "none" => KeyConfig::None,
        field => KeyConfig::Field(field.strip_prefix("field:")?.to_owned()),
    };
    let fields = section.section("fields").and_then(|fields| {
        let names = |name: &str| fields.texts(name).map(|(_, field)| field.to_owned()).collect();
        match (fields.entry("include"), fields.entry("exclude")) {
            (Some(_), _) => Some(FieldSelection::Include(names("include"))),
            (None, Some(_)) => Some(FieldSelection::Exclude(names("exclude"))),
            (None, None) => None,
        }
    });
    let contract = match section.section("contract") {
        Some(contract) => Some(ContractConfig {
            file: path(contract, "file"),
            on_break: choose(
                contract,
                "on_break",
                &[
                    ("halt", OnBreak::Halt),
                    ("dead_letter", OnBreak::DeadLetter),
                    ("new_subject", OnBreak::NewSubject),
                ],
            )?,
        }),
        None => None,
    };
    Some(KafkaOutput {
        topic: text(section, "kafka")?,
        key,
        format: format(section)?,
        tombstones: section.bool("tombstones")?,
        filter: text(section, "filter"),
        filter_unknown: choose(
            section,
            "filter_unknown",
            &[("keep", FilterUnknown::Keep), ("drop", FilterUnknown::Drop)],
        )?,
        fields,
        contract,
    })
}

fn to_salesforce(from: &Section, to: &Section) -> Option<ToSalesforceConfig> {
    let mut topics: Vec<String> = from.texts("kafka").map(|(_, topic)| topic.to_owned()).collect();
    let topics = match topics.first() {
        Some(regex) if regex.starts_with('^') => KafkaTopics::Regex(topics.swap_remove(0)),
        _ => KafkaTopics::List(topics),
    };
    let expressions = to.properties("fields").iter();
    Some(ToSalesforceConfig {
        from: KafkaSource {
            topics,
            format: format(from)?,
            start: start(from)?,
            on_lost_position: on_lost_position(from)?,
            key_format: choose(
                from,
                "key_format",
                &[
                    ("text", KeyFormat::Text),
                    ("json", KeyFormat::Json),
                    ("avro", KeyFormat::Avro),
                ],
            )?,
            key_field: text(from, "key_field"),
        },
        to: target(to)?,
        filter: text(to, "filter"),
        fields: expressions
            .map(|pair| (pair.name.clone(), pair.value.expose().to_owned()))
            .collect(),
    })
}

fn target(section: &Section) -> Option<SalesforceTarget> {
    let name = text(section, "salesforce")?;
    if section.form() == "to.salesforce with an event" {
        return Some(SalesforceTarget::Event { topic: name });
    }
    Some(SalesforceTarget::Object {
        sobject: name,
        operation: choose(
            section,
            "operation",
            &[
                ("upsert", Operation::Upsert),
                ("update", Operation::Update),
                ("insert", Operation::Insert),
                ("delete", Operation::Delete),
            ],
        )?,
        external_id: text(section, "external_id"),
        on_tombstone: choose(
            section,
            "on_tombstone",
            &[
                ("delete", OnTombstone::Delete),
                ("ignore", OnTombstone::Ignore),
                ("dead_letter", OnTombstone::DeadLetter),
            ],
        )?,
        via: choose(
            section,
            "via",
            &[
                ("auto", Via::Auto),
                ("collections", Via::Collections),
                ("bulk", Via::Bulk),
            ],
        )?,
    })
}

fn start(section: &Section) -> Option<StartPolicy> {
    choose(
        section,
        "start",
        &[
            ("latest", StartPolicy::Latest),
            ("earliest", StartPolicy::Earliest),
        ],
    )
}

fn on_lost_position(section: &Section) -> Option<LostPositionPolicy> {
    choose(
        section,
        "on_lost_position",
        &[
            ("earliest", LostPositionPolicy::Earliest),
            ("latest", LostPositionPolicy::Latest),
            ("halt", LostPositionPolicy::Halt),
        ],
    )
}

fn format(section: &Section) -> Option<Format> {
    choose(
        section,
        "format",
        &[("avro", Format::Avro), ("json", Format::Json)],
    )
}

fn text(section: &Section, name: &str) -> Option<String> {
    section.text(name).map(str::to_owned)
}

fn path(section: &Section, name: &str) -> Option<PathBuf> {
    section.text(name).map(PathBuf::from)
}

fn url(section: &Section, name: &str) -> Option<String> {
    section.text(name).map(trimmed)
}

fn trimmed(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn choose<T: Copy>(section: &Section, name: &str, choices: &[(&str, T)]) -> Option<T> {
    let Value::Choice(chosen) = section.entry(name)?.value else {
        return None;
    };
    choices
        .iter()
        .find(|(name, _)| *name == chosen)
        .map(|(_, value)| *value)
}
