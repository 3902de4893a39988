//! Every topic that a bridge writes, as one AsyncAPI 3.0 document for its readers: where it is, what a record's key,
//! headers and value are. Seen from the reader: each operation receives.
//!
//! The names of headers and of a gap report's fields stand here once more; tests beside the code that writes them
//! (`routes::{cloud_event, dead_letter, gap}`) hold the two together.

use serde_json::{Map, Value as Json, json};

use super::json_schema::json_schema;
use super::written::{Written, entity_of};
use crate::config::{Format, KeyConfig};

/// Of Kafka's bindings, server, channel and message.
const BINDING_VERSION: &str = "0.5.0";
const AVRO: &str = "application/vnd.apache.avro;version=1.9.0";

/// The bridge, as far as its readers need to know it.
#[derive(Debug, Clone)]
pub struct Bridge {
    pub name: String,
    /// Of this program.
    pub version: String,
    pub bootstrap_servers: String,
    /// TLS or SASL: readers need the same.
    pub is_secured: bool,
    pub registry_url: Option<String>,
    /// -1: the broker's default.
    pub replication_factor: i32,
    pub partitions: i32,
    /// Each topic once.
    pub dead_letters: Vec<DeadLetters>,
}

/// A topic of dead letters, and what stands in it: routes of both directions may share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    pub topic: String,
    pub from_salesforce: bool,
    pub from_kafka: bool,
}

/// The document.
pub fn asyncapi(bridge: &Bridge, written: &[Written]) -> Json {
    let mut document = Document {
        bridge,
        channels: Map::new(),
        operations: Map::new(),
    };
    for output in written {
        document.output(output);
    }
    for letters in &bridge.dead_letters {
        let description = "Events and records that could not be delivered as they are, each with its reason in the headers.";
        let both = [
            (letters.from_salesforce, dead_letter_from_salesforce()),
            (letters.from_kafka, dead_letter_from_kafka()),
        ];
        let messages = both
            .into_iter()
            .filter_map(|(is_there, message)| is_there.then_some(message));
        document.own_topic(&letters.topic, description, messages);
    }
    let gaps = format!("sfbridge.{}.gaps", bridge.name);
    let description = "Whatever may be missing from the other topics: one report for each known loss. The key is the route's name.";
    document.own_topic(&gaps, description, [gap()]);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": format!("Salesforce events of the bridge {}", bridge.name),
            "version": bridge.version,
            "description": "What sfbridge writes to Kafka. Read with `isolation.level=read_committed`: records of aborted transactions are not for readers. Records with the same key are in Salesforce's order.",
        },
        "servers": servers(bridge),
        "channels": document.channels,
        "operations": document.operations,
        "components": {"schemas": {"headers": headers()}},
    })
}

fn servers(bridge: &Bridge) -> Json {
    let mut servers = Map::new();
    let protocol = if bridge.is_secured {
        "kafka-secure"
    } else {
        "kafka"
    };
    for (index, host) in bridge.bootstrap_servers.split(',').map(str::trim).enumerate() {
        let name = if index == 0 {
            "kafka".to_owned()
        } else {
            format!("kafka-{}", index + 1)
        };
        let mut server = json!({"host": host, "protocol": protocol});
        if let Some(url) = &bridge.registry_url {
            server["bindings"] =
                json!({"kafka": {"schemaRegistryUrl": url, "bindingVersion": BINDING_VERSION}});
        }
        servers.insert(name, server);
    }
    servers.into()
}

struct Document<'a> {
    bridge: &'a Bridge,
    channels: Map<String, Json>,
    operations: Map<String, Json>,
}

impl Document<'_> {
    fn output(&mut self, output: &Written) {
        let id = identifier(&output.topic);
        let name = output.record_name().unwrap_or("event");
        if !self.channels.contains_key(&id) {
            let description = format!(
                "Salesforce's {}, by the route {}.",
                output.salesforce_topic, output.route
            );
            self.channel(&id, &output.topic, &description);
        }
        let message = message(output);
        let Some(messages) = self
            .channels
            .get_mut(&id)
            .and_then(|channel| channel["messages"].as_object_mut())
        else {
            return;
        };
        let mut key = identifier(name);
        // The same record from another route: told once if it is the same, else under the route's name.
        if messages.get(&key).is_some_and(|earlier| *earlier != message) {
            key = identifier(&format!("{name}-{}", output.route));
        }
        messages.insert(key, message);
    }

    fn own_topic(&mut self, topic: &str, description: &str, messages: impl IntoIterator<Item = Json>) {
        let id = identifier(topic);
        self.channel(&id, topic, description);
        for message in messages {
            let name = message["name"].as_str().unwrap_or_default().to_owned();
            self.channels[&id]["messages"][name] = message;
        }
    }

    fn channel(&mut self, id: &str, topic: &str, description: &str) {
        let mut kafka = json!({"bindingVersion": BINDING_VERSION});
        let mut channel = json!({"address": topic, "description": description, "messages": {}});
        if topic.contains('{') {
            let mut parameters = Map::new();
            for (name, description) in [
                ("entity", "The object that changed, such as Account"),
                ("event", "The event, such as AccountChangeEvent"),
            ] {
                if topic.contains(&format!("{{{name}}}")) {
                    parameters.insert(name.to_owned(), json!({"description": description}));
                }
            }
            channel["parameters"] = parameters.into();
        } else {
            kafka["topic"] = topic.into();
        }
        kafka["partitions"] = self.bridge.partitions.into();
        if self.bridge.replication_factor > 0 {
            kafka["replicas"] = self.bridge.replication_factor.into();
        }
        channel["bindings"] = json!({"kafka": kafka});
        self.channels.insert(id.to_owned(), channel);
        self.operations.insert(
            format!("receive-{id}"),
            json!({
                "action": "receive",
                "channel": {"$ref": format!("#/channels/{id}")},
                "summary": format!("Read {topic}"),
            }),
        );
    }
}

/// Keys of the document's maps are letters, digits, `.`, `-` and `_`: Kafka's own for topics.
fn identifier(text: &str) -> String {
    text.chars()
        .filter(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_'))
        .collect()
}

fn message(output: &Written) -> Json {
    let name = output.record_name().unwrap_or("event");
    let content_type = match output.format {
        Format::Avro => "application/avro",
        Format::Json => "application/json",
    };
    let mut kafka = json!({"bindingVersion": BINDING_VERSION});
    if let Some(key) = key(output) {
        kafka["key"] = json!({"type": "string", "description": key});
    }
    if output.format == Format::Avro {
        kafka["schemaIdLocation"] = "payload".into();
        kafka["schemaIdPayloadEncoding"] = "confluent".into();
    }
    let mut message = json!({
        "name": name,
        "title": name,
        "contentType": content_type,
        "headers": {"$ref": "#/components/schemas/headers"},
        "bindings": {"kafka": kafka},
    });
    let mut summary = match &output.event {
        Some(event) if event.is_change_event() => format!("A change of {}", entity_of(&event.name)),
        Some(event) => format!("The platform event {}", event.name),
        None => "An event of the channel; its schema is learnt when the first one comes".to_owned(),
    };
    if output.tombstones {
        summary.push_str(". After a DELETE a record without value follows, for compaction");
    }
    message["summary"] = summary.into();
    if let Some(contract) = &output.contract {
        message["payload"] = match output.format {
            Format::Avro => json!({
                "schemaFormat": AVRO,
                // What was parsed before is JSON.
                "schema": serde_json::from_str::<Json>(&contract.json).unwrap_or_default(),
            }),
            Format::Json => json_schema(contract, output.event.as_ref()),
        };
    }
    if let Some(subject) = &output.subject {
        message["description"] = match output.registered {
            Some((version, id)) => format!("Subject `{subject}`, version {version}, schema id {id}."),
            None => format!("Subject `{subject}`."),
        }
        .into();
    }
    message
}

fn key(output: &Written) -> Option<String> {
    Some(match &output.key {
        KeyConfig::RecordId => "The 18-character id of the record that changed".to_owned(),
        KeyConfig::EventId => "The event's id, the same as the header ce_id".to_owned(),
        KeyConfig::Field(name) => format!("The value of the field {name}"),
        KeyConfig::None => return None,
    })
}

fn header(description: &str) -> Json {
    json!({"type": "string", "description": description})
}

/// CloudEvents 1.0, Kafka's binary mode, and what the bridge adds.
pub fn headers() -> Json {
    json!({
        "type": "object",
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0", "description": "CloudEvents 1.0"},
            "ce_id": header("Identifies the record, the same after any restart: drop repeats by it"),
            "ce_source": header("`//<my-domain-host><Salesforce topic>`"),
            "ce_type": header("`com.salesforce.<record name of the schema>`"),
            "ce_time": {"type": "string", "format": "date-time",
                "description": "The commit time of a change, CreatedDate of a platform event; left out where the event has none"},
            "ce_subject": header("The record id, where there is one"),
            "content-type": header("`application/avro` or `application/json`"),
            "ce_sfreplayid": header("Salesforce's replay id, lower-case hex: opaque, only equal or not"),
            "ce_sfschemaid": header("Salesforce's id of the schema that the event came with"),
            "ce_sfroute": header("The route that wrote the record"),
            "ce_sfreplayed": header("`true`: the event may have been delivered before, because the route's position was lost"),
            "ce_sfasof": header("RFC 3339: the record was read again through REST and is what it was then"),
            "ce_sfsuperseded": header("`true`: an older change, contained in what was read again before it"),
            "traceparent": traceparent(),
        },
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type", "ce_sfreplayid", "ce_sfschemaid", "ce_sfroute"],
    })
}

fn traceparent() -> Json {
    header("W3C trace context of the transaction, where traces are on")
}

/// The headers that every dead letter has: why, where from and when.
fn told() -> Map<String, Json> {
    let headers = [
        (
            "sfbridge_error_kind",
            header("The kind of failure, such as poison or contract"),
        ),
        (
            "sfbridge_error",
            header("What was wrong: the object and the rule, never a value"),
        ),
        ("sfbridge_route", header("The route")),
        (
            "sfbridge_source",
            header(
                "Where it comes from: `<Salesforce topic>@<replay id>`, or `<topic>[<partition>]@<offset>`",
            ),
        ),
        (
            "sfbridge_failed_at",
            json!({"type": "string", "format": "date-time", "description": "When it became a dead letter"}),
        ),
        ("sfbridge_attempts", header("How often it was tried")),
    ];
    headers
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// The dead letter of an event.
pub fn dead_letter_from_salesforce() -> Json {
    // An event as a whole, whatever its records: nothing that belongs to one of them, nothing that was read again.
    let of_a_record = ["ce_subject", "ce_sfasof", "ce_sfsuperseded"];
    let told = told();
    let mut required = vec![
        "ce_specversion",
        "ce_source",
        "content-type",
        "ce_sfreplayid",
        "ce_sfroute",
    ];
    required.extend(told.keys().map(String::as_str));
    let mut headers = headers();
    headers["required"] = json!(required);
    if let Some(properties) = headers["properties"].as_object_mut() {
        properties.retain(|name, _| !of_a_record.contains(&name.as_str()));
        properties.extend(told);
    }
    headers["properties"]["content-type"] = json!({"type": "string", "const": "avro/binary"});
    headers["properties"]["sfbridge_output"] = header(
        "The one output that could not have the event, by its topic as configured; without it none could",
    );
    json!({
        "name": "dead-letter",
        "title": "A dead letter from Salesforce",
        "summary": "The event's bytes as they came, a bare Avro datum of the schema ce_sfschemaid, and why they could not be delivered; no value where it is too large for the topic",
        "contentType": "avro/binary",
        "headers": headers,
        "bindings": {"kafka": {
            "key": {"type": "string", "description": "The replay id, lower-case hex"},
            "bindingVersion": BINDING_VERSION,
        }},
    })
}

/// The dead letter of a record of Kafka. Its content type is the record's own, so none is told.
pub fn dead_letter_from_kafka() -> Json {
    let mut properties = told();
    let required: Vec<String> = properties.keys().cloned().collect();
    properties.insert(
        "sfbridge_error".to_owned(),
        header("What was wrong, with Salesforce's own message, which may hold field values"),
    );
    properties.insert(
        "sfbridge_source_timestamp".to_owned(),
        header("The record's own time, milliseconds since the epoch, where it has one"),
    );
    json!({
        "name": "dead-letter-from-kafka",
        "title": "A dead letter from Kafka",
        "summary": "The record itself, key, value and headers as they were, and why it could not be delivered",
        "headers": {
            "type": "object",
            "description": "The record's own headers, and these",
            "properties": properties,
            "required": required,
        },
        "bindings": {"kafka": {
            "key": {"description": "The record's own key"},
            "bindingVersion": BINDING_VERSION,
        }},
    })
}

/// A gap report.
pub fn gap() -> Json {
    let text = |description: &str| json!({"type": ["string", "null"], "description": description});
    let offset = |description: &str| json!({"type": ["integer", "null"], "description": description});
    json!({
        "name": "gap",
        "title": "A gap report",
        "summary": "Something may be missing",
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "content-type": {"type": "string", "const": "application/json"},
                "traceparent": traceparent(),
            },
            "required": ["content-type"],
        },
        "bindings": {"kafka": {
            "key": {"type": "string", "description": "The route's name"},
            "bindingVersion": BINDING_VERSION,
        }},
        "payload": {
            "type": "object",
            "properties": {
                "route": {"type": "string"},
                "topic": {"type": "string", "description": "The Salesforce topic as configured, or the Kafka topic"},
                "kind": {"type": "string", "enum": ["lost_position", "gap", "overflow", "skipped_by_operator", "too_large"]},
                "entity": text("The object, where it is known"),
                "record_ids": {"type": "array", "items": {"type": "string"}},
                "from_replay_id": text("Lower-case hex: the last one known before the gap, or the event's own"),
                "from_event_time": text("RFC 3339"),
                "resumed_at": {"type": "string", "format": "date-time"},
                "resolution": {"type": "string", "description": "What was done: the policy's word"},
                "partition": {"type": "integer", "description": "Of a Kafka source alone, as are the offsets"},
                "from_offset": offset("The first record that is missing, where it is known"),
                "to_offset": offset("The first record that is not missing, where it is known"),
            },
            "required": ["route", "topic", "kind", "entity", "record_ids", "from_replay_id", "from_event_time", "resumed_at", "resolution"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::written::{Contract, Event};
    use super::*;

    const ACCOUNT: &str = include_str!("../../tests/fixtures/salesforce/AccountChangeEvent.avsc");

    fn letters(topic: &str, from_salesforce: bool, from_kafka: bool) -> DeadLetters {
        DeadLetters {
            topic: topic.to_owned(),
            from_salesforce,
            from_kafka,
        }
    }

    fn bridge() -> Bridge {
        Bridge {
            name: "crm".to_owned(),
            version: "0.2.0".to_owned(),
            bootstrap_servers: "kafka:9092, other:9092".to_owned(),
            is_secured: true,
            registry_url: Some("http://registry:8081".to_owned()),
            replication_factor: 3,
            partitions: 6,
            dead_letters: vec![letters("sfbridge.crm.dead-letters", true, true)],
        }
    }

    fn written(topic: &str, format: Format) -> Written {
        let event = Event::new("id", ACCOUNT).unwrap();
        let (contract, _) = Contract::followed(&event, None).unwrap();
        Written {
            route: "accounts".to_owned(),
            salesforce_topic: "/data/AccountChangeEvent".to_owned(),
            topic: topic.to_owned(),
            key: KeyConfig::RecordId,
            format,
            tombstones: true,
            event: Some(event),
            contract: Some(contract),
            subject: (format == Format::Avro).then(|| format!("{topic}-value")),
            registered: None,
        }
    }

    #[test]
    fn each_topic_is_a_channel_that_its_readers_receive_from() {
        let topics = [
            written("crm.avro", Format::Avro),
            written("crm.json", Format::Json),
        ];
        let document = asyncapi(&bridge(), &topics);
        let channels: Vec<_> = document["channels"].as_object().unwrap().keys().collect();
        assert_eq!(
            channels,
            [
                "crm.avro",
                "crm.json",
                "sfbridge.crm.dead-letters",
                "sfbridge.crm.gaps"
            ]
        );
        assert_eq!(document["operations"]["receive-crm.avro"]["action"], "receive");
        assert_eq!(document["servers"]["kafka-2"]["host"], "other:9092");
        assert_eq!(document["servers"]["kafka"]["protocol"], "kafka-secure");
        let message = |topic: &str| &document["channels"][topic]["messages"]["AccountChangeEvent"];
        assert_eq!(message("crm.avro")["payload"]["schemaFormat"], AVRO);
        assert_eq!(
            message("crm.avro")["payload"]["schema"]["name"],
            "AccountChangeEvent"
        );
        assert_eq!(
            message("crm.json")["payload"]["properties"]["Phone"]["type"],
            json!(["string", "null"])
        );
        assert!(
            message("crm.avro")["summary"]
                .as_str()
                .unwrap()
                .contains("DELETE")
        );
    }

    #[test]
    fn the_events_of_a_channel_share_its_topic_and_an_unknown_one_is_a_parameter() {
        let mut other = written("crm.all", Format::Avro);
        let event = ACCOUNT.replace("AccountChangeEvent", "ContactChangeEvent");
        let event = Event::new("id", &event).unwrap();
        other.contract = Some(Contract::followed(&event, None).unwrap().0);
        other.event = Some(event);
        let mut unknown = written("cdc.{entity}", Format::Json);
        (unknown.event, unknown.contract) = (None, None);
        let topics = [written("crm.all", Format::Avro), other, unknown];
        let document = asyncapi(&bridge(), &topics);
        let messages = document["channels"]["crm.all"]["messages"].as_object().unwrap();
        assert_eq!(
            messages.keys().collect::<Vec<_>>(),
            ["AccountChangeEvent", "ContactChangeEvent"]
        );
        let channel = &document["channels"]["cdc.entity"];
        assert_eq!(channel["address"], "cdc.{entity}");
        assert!(channel["parameters"]["entity"].is_object());
        assert!(channel["bindings"]["kafka"].get("topic").is_none());
    }

    #[test]
    fn a_topic_of_dead_letters_has_those_of_the_routes_that_share_it_each_with_its_own_content() {
        let mut bridge = bridge();
        bridge.dead_letters.push(letters("dead.orders", false, true));
        let document = asyncapi(&bridge, &[]);
        let messages = |topic: &str| document["channels"][topic]["messages"].as_object().unwrap();
        let shared = messages("sfbridge.crm.dead-letters");
        assert_eq!(
            shared.keys().collect::<Vec<_>>(),
            ["dead-letter", "dead-letter-from-kafka"]
        );
        assert_eq!(shared["dead-letter"]["contentType"], "avro/binary");
        // The record's own, whatever it is: not told, neither here nor for the whole document.
        let from_kafka = messages("dead.orders");
        assert_eq!(from_kafka.keys().collect::<Vec<_>>(), ["dead-letter-from-kafka"]);
        assert!(from_kafka["dead-letter-from-kafka"].get("contentType").is_none());
        assert!(document.get("defaultContentType").is_none());
    }
}
