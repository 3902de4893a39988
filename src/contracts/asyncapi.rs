//! Every topic that a bridge writes, as one AsyncAPI 3.0 document for its readers: where it is, what a record's key,
//! headers and value are. Seen from the reader: each operation receives.

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
    /// Each once.
    pub dead_letter_topics: Vec<String>,
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
    for topic in &bridge.dead_letter_topics {
        let description =
            "Records that could not be delivered as they are, each with its reason in the headers.";
        document.own_topic(topic, "dead-letter", description, dead_letter());
    }
    let gaps = format!("sfbridge.{}.gaps", bridge.name);
    let description = "Whatever may be missing from the other topics: one report for each known loss. The key is the route's name.";
    document.own_topic(&gaps, "gap", description, gap());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": format!("Salesforce events of the bridge {}", bridge.name),
            "version": bridge.version,
            "description": "What sfbridge writes to Kafka. Read with `isolation.level=read_committed`: records of aborted transactions are not for readers. Records with the same key are in Salesforce's order.",
        },
        "defaultContentType": "application/json",
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

    fn own_topic(&mut self, topic: &str, name: &str, description: &str, message: Json) {
        let id = identifier(topic);
        self.channel(&id, topic, description);
        self.channels[&id]["messages"] = json!({name: message});
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
fn headers() -> Json {
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
        },
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type", "ce_sfreplayid", "ce_sfschemaid", "ce_sfroute"],
    })
}

fn dead_letter() -> Json {
    json!({
        "name": "dead-letter",
        "title": "A dead letter",
        "summary": "The event's bytes as they came, and why they could not be delivered",
        "contentType": "avro/binary",
        "headers": {
            "type": "object",
            "properties": {
                "sfbridge_error_kind": header("The kind of failure, such as poison or contract"),
                "sfbridge_error": header("What was wrong: the object and the rule, never a value"),
                "sfbridge_route": header("The route"),
                "sfbridge_source": header("Where it comes from: `<Salesforce topic>@<replay id>`, or `<topic>[<partition>]@<offset>`"),
                "sfbridge_failed_at": {"type": "string", "format": "date-time"},
                "sfbridge_attempts": header("How often it was tried"),
            },
            "required": ["sfbridge_error_kind", "sfbridge_error", "sfbridge_route", "sfbridge_source", "sfbridge_failed_at", "sfbridge_attempts"],
        },
        "bindings": {"kafka": {
            "key": {"type": "string", "description": "The replay id in hex, or the source record's key"},
            "bindingVersion": BINDING_VERSION,
        }},
    })
}

fn gap() -> Json {
    let text = |description: &str| json!({"type": ["string", "null"], "description": description});
    json!({
        "name": "gap",
        "title": "A gap report",
        "summary": "Something may be missing",
        "contentType": "application/json",
        "bindings": {"kafka": {
            "key": {"type": "string", "description": "The route's name"},
            "bindingVersion": BINDING_VERSION,
        }},
        "payload": {
            "type": "object",
            "properties": {
                "route": {"type": "string"},
                "topic": {"type": "string", "description": "The Salesforce topic, as configured"},
                "kind": {"type": "string", "enum": ["lost_position", "gap", "overflow", "skipped_by_operator", "too_large"]},
                "entity": text("The object, where it is known"),
                "record_ids": {"type": "array", "items": {"type": "string"}},
                "from_replay_id": text("Lower-case hex: the last one known before the gap"),
                "from_event_time": text("RFC 3339"),
                "resumed_at": {"type": "string", "format": "date-time"},
                "resolution": {"type": "string", "description": "What was done: the policy's word"},
            },
            "required": ["route", "topic", "kind", "record_ids", "resumed_at", "resolution"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::written::{Contract, Event};
    use super::*;

    const ACCOUNT: &str = include_str!("../../tests/fixtures/salesforce/AccountChangeEvent.avsc");

    fn bridge() -> Bridge {
        Bridge {
            name: "crm".to_owned(),
            version: "0.2.0".to_owned(),
            bootstrap_servers: "kafka:9092, other:9092".to_owned(),
            is_secured: true,
            registry_url: Some("http://registry:8081".to_owned()),
            replication_factor: 3,
            partitions: 6,
            dead_letter_topics: vec!["sfbridge.crm.dead-letters".to_owned()],
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
}
