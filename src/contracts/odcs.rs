//! A route's topics as a data contract of the Open Data Contract Standard, 3.1.0: for catalogues and for the tools
//! that hold a data product to its contract.

use serde_json::{Map, Value as Json, json};

use super::written::{Written, readable, salesforce_type};
use crate::avro::{Field, Kind, Record, Schema, TypeId};
use crate::config::Format;

/// Where the topics are.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub bridge: &'a str,
    pub bootstrap_servers: &'a str,
}

/// One document for all that a route writes.
pub fn odcs(place: Place<'_>, route: &str, topics: &[Written]) -> Json {
    // The version of a contract is the registry's; with several topics, or none registered yet, it is the first.
    let version = match topics {
        [one] => one.registered.map_or(1, |(version, _)| version),
        _ => 1,
    };
    let source = topics.first().map_or("", |written| &written.salesforce_topic);
    let formats = [Format::Avro, Format::Json].into_iter();
    let servers: Vec<Json> = formats
        .filter(|format| topics.iter().any(|written| written.format == *format))
        .map(|format| {
            let format = format_name(format);
            json!({"server": format!("kafka-{format}"), "type": "kafka", "host": place.bootstrap_servers, "format": format})
        })
        .collect();
    let mut schema: Vec<Json> = Vec::with_capacity(topics.len());
    for written in topics {
        let Some(mut object) = object(written) else {
            continue;
        };
        // Two topics of one event: each object needs a name of its own.
        if schema.iter().any(|earlier| earlier["name"] == object["name"]) {
            object["name"] = written.topic.clone().into();
        }
        schema.push(object);
    }
    json!({
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": format!("sfbridge.{}.{route}", place.bridge),
        "name": route,
        "version": format!("{version}.0.0"),
        "status": "active",
        "description": {
            "purpose": format!("What the route {route} of the bridge {} writes to Kafka from Salesforce's {source}.", place.bridge),
            "usage": "Read with isolation.level=read_committed. The headers are CloudEvents 1.0; ce_id is the same for the same event for ever.",
        },
        "servers": servers,
        "schema": schema,
    })
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Avro => "avro",
        Format::Json => "json",
    }
}

fn object(written: &Written) -> Option<Json> {
    let contract = written.contract.as_ref()?;
    let record = contract.schema.record()?;
    let mut object = Map::new();
    object.insert("name".to_owned(), record.name.name.clone().into());
    object.insert("physicalName".to_owned(), written.topic.clone().into());
    object.insert("physicalType".to_owned(), "topic".into());
    object.insert("logicalType".to_owned(), "object".into());
    let description = record.doc.as_deref().map(readable).or_else(|| {
        let event = written.event.as_ref()?;
        Some(format!("{} of Salesforce, one record each", event.name))
    });
    if let Some(description) = description {
        object.insert("description".to_owned(), description.into());
    }
    let mut writer = Writer {
        schema: &contract.schema,
        format: written.format,
        inside: vec![contract.schema.root()],
    };
    object.insert("properties".to_owned(), writer.properties(record).into());
    Some(Json::Object(object))
}

struct Writer<'a> {
    schema: &'a Schema,
    format: Format,
    /// The types that the present one stands in: one that contains itself is left open.
    inside: Vec<TypeId>,
}

impl Writer<'_> {
    fn properties(&mut self, record: &Record) -> Vec<Json> {
        record.fields.iter().map(|field| self.property(field)).collect()
    }

    fn property(&mut self, field: &Field) -> Json {
        let is_value = |id: &&TypeId| !matches!(self.schema.kind(**id), Kind::Null);
        let branches = self.schema.branches(field.type_id);
        // A union of several is told by its first type and, in full, by its physical one.
        let value = branches.iter().find(is_value).copied().unwrap_or(field.type_id);
        let mut property = Map::new();
        property.insert("name".to_owned(), field.name.clone().into());
        property.insert(
            "physicalType".to_owned(),
            self.schema.describe(field.type_id).into(),
        );
        let is_required = self.schema.null_branch(field.type_id).is_none();
        property.insert("required".to_owned(), is_required.into());
        if let Some(doc) = &field.doc {
            let doc = readable(doc);
            let text = match self.meaning(field) {
                Some(meaning) => format!("{doc}: {meaning}"),
                None => doc,
            };
            property.insert("description".to_owned(), text.into());
        }
        property.extend(self.logical(value));
        Json::Object(property)
    }

    /// What a number means that Salesforce alone could explain.
    fn meaning(&self, field: &Field) -> Option<&'static str> {
        match (salesforce_type(field)?, self.format) {
            ("DateOnly", Format::Avro) => {
                Some("a day, as its midnight in UTC in milliseconds since the epoch")
            }
            ("TimeOnly", _) => Some("a time of day, in milliseconds since midnight"),
            _ => None,
        }
    }

    /// The logical type and what belongs to it.
    fn logical(&mut self, id: TypeId) -> Map<String, Json> {
        let schema = self.schema;
        let node = schema.node(id);
        let name = match (&node.kind, node.logical.as_deref()) {
            (_, Some("timestamp-millis" | "timestamp-micros")) => "timestamp",
            (_, Some("date")) => "date",
            (_, Some("time-millis" | "time-micros")) => "time",
            (_, Some("decimal")) => "number",
            (Kind::Boolean, _) => "boolean",
            (Kind::Int | Kind::Long, _) => "integer",
            (Kind::Float | Kind::Double, _) => "number",
            (Kind::Array(_), _) => "array",
            (Kind::Record(_) | Kind::Map(_), _) => "object",
            _ => "string",
        };
        let mut found = Map::new();
        found.insert("logicalType".to_owned(), name.into());
        if self.inside.contains(&id) {
            return found;
        }
        self.inside.push(id);
        match &node.kind {
            Kind::Record(record) => {
                found.insert("properties".to_owned(), self.properties(record).into());
            }
            Kind::Array(items) => {
                let mut items_of = Map::new();
                items_of.insert("name".to_owned(), "item".into());
                items_of.insert("physicalType".to_owned(), schema.describe(*items).into());
                items_of.extend(self.logical(*items));
                found.insert("items".to_owned(), items_of.into());
            }
            _ => {}
        }
        self.inside.pop();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::{Contract, Event};
    use super::*;
    use crate::config::KeyConfig;

    const ACCOUNT: &str = include_str!("../../tests/fixtures/salesforce/AccountChangeEvent.avsc");

    #[test]
    fn a_topic_is_told_field_by_field() {
        let event = Event::new("id", ACCOUNT).unwrap();
        let (contract, _) = Contract::followed(&event, None).unwrap();
        let written = Written {
            route: "accounts".to_owned(),
            salesforce_topic: "/data/AccountChangeEvent".to_owned(),
            topic: "crm.accounts".to_owned(),
            key: KeyConfig::RecordId,
            format: Format::Avro,
            tombstones: false,
            event: Some(event),
            contract: Some(contract),
            subject: Some("crm.accounts-value".to_owned()),
            registered: Some((3, 17)),
        };
        let place = Place {
            bridge: "crm",
            bootstrap_servers: "kafka:9092",
        };
        let document = odcs(place, "accounts", &[written]);
        assert_eq!(document["id"], "sfbridge.crm.accounts");
        assert_eq!(document["version"], "3.0.0");
        assert_eq!(
            document["servers"],
            json!([{"server": "kafka-avro", "type": "kafka", "host": "kafka:9092", "format": "avro"}])
        );
        let object = &document["schema"][0];
        assert_eq!(
            (&object["name"], &object["physicalName"]),
            (&json!("AccountChangeEvent"), &json!("crm.accounts"))
        );
        let property = |name: &str| {
            let all = object["properties"].as_array().unwrap();
            all.iter()
                .find(|property| property["name"] == name)
                .unwrap()
                .clone()
        };
        assert_eq!(
            property("Phone"),
            json!({"name": "Phone", "physicalType": "[null, string]", "required": false,
                "description": "Salesforce Phone", "logicalType": "string"})
        );
        assert_eq!(property("LastModifiedDate")["logicalType"], "timestamp");
        assert_eq!(property("ChangeEventHeader")["required"], true);
        let header = &property("ChangeEventHeader")["properties"];
        assert_eq!(header[1]["items"]["logicalType"], "string");
        assert_eq!(property("ShippingAddress")["properties"][0]["name"], "Street");
    }
}
