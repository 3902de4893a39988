//! What an output does with the events of one schema: a pure draft, and the plan that is made of it once the
//! registry has given its id.

use std::sync::Arc;

use super::form::{Encoding, Form, Projected};
use super::key::KeyField;
use crate::avro::Schema;
use crate::config::{FieldSelection, Format, KafkaOutput, KeyConfig, SubjectNaming};
use crate::contracts::derive::derive;
use crate::contracts::pinned::Pinned;
use crate::contracts::projection::Projection;
use crate::contracts::registry::subject;
use crate::error::{ErrorKind, Failure, chain};
use crate::salesforce::event::EventSchema;

/// What a topic name is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub entity: &'a str,
    pub event: &'a str,
    pub route: &'a str,
}

/// `{entity}`, `{event}` and `{route}` filled in.
pub fn topic_name(template: &str, names: Names<'_>) -> String {
    template
        .replace("{entity}", names.entity)
        .replace("{event}", names.event)
        .replace("{route}", names.route)
}

/// Whether a Salesforce topic carries events of several schemas.
pub fn is_channel(salesforce_topic: &str) -> bool {
    salesforce_topic == "/data/ChangeEvents" || salesforce_topic.ends_with("__chn")
}

/// How the subjects of an output are named: a fixed topic that a channel fills holds several records, each with
/// a contract of its own.
pub fn naming(configured: SubjectNaming, salesforce_topic: &str, template: &str) -> SubjectNaming {
    let is_fixed = !template.contains("{entity}") && !template.contains("{event}");
    if configured == SubjectNaming::Topic && is_channel(salesforce_topic) && is_fixed {
        SubjectNaming::TopicRecord
    } else {
        configured
    }
}

/// What must be registered before the first record, and what the records are then.
#[derive(Debug)]
pub struct Draft {
    pub topic: Arc<str>,
    pub registration: Option<Registration>,
    value: Value,
    pub(super) key: KeyPlan,
}

/// A schema that readers will look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub subject: String,
    pub schema: String,
}

#[derive(Debug)]
enum Value {
    Whole,
    Projected {
        first: Projection,
        second: Option<Projection>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum KeyPlan {
    RecordId,
    EventId,
    Field(KeyField),
    None,
}

/// An output, ready for the events of one schema.
#[derive(Debug)]
pub struct Plan {
    pub topic: Arc<str>,
    pub(super) encoding: Encoding,
    pub(super) key: KeyPlan,
}

/// What a draft is made for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    pub output: &'a KafkaOutput,
    pub pinned: Option<&'a Pinned>,
    pub naming: SubjectNaming,
    pub salesforce_topic: &'a str,
    pub names: Names<'a>,
}

impl Draft {
    /// # Errors
    /// `Contract`: the events' schema cannot serve the output; the message names every field and rule.
    pub fn new(setting: Setting<'_>, schema: &EventSchema) -> Result<Self, Failure> {
        let Setting { output, pinned, .. } = setting;
        let topic: Arc<str> = topic_name(&output.topic, setting.names).into();
        let key = match &output.key {
            KeyConfig::RecordId => KeyPlan::RecordId,
            KeyConfig::EventId => KeyPlan::EventId,
            KeyConfig::None => KeyPlan::None,
            KeyConfig::Field(path) => KeyPlan::Field(KeyField::new(path, schema).map_err(|error| {
                let message = format!("topic {topic}: {error}");
                Failure::new(ErrorKind::Contract, message)
                    .remedy("correct the output's `key`, then restart the route")
            })?),
        };
        let derived = match (&output.fields, output.format, pinned) {
            (Some(fields), ..) => Some(selected(&topic, schema, fields, setting.salesforce_topic)?),
            (None, Format::Avro, None) => Some(derived(&topic, schema, None)?.json),
            (None, ..) => None,
        };
        let value = value(&topic, schema, &output.fields, derived.as_deref(), pinned)?;
        let contract = pinned.map(|pinned| pinned.json.to_string()).or(derived);
        let registration = contract
            .filter(|_| output.format == Format::Avro)
            .map(|contract| {
                let name =
                    pinned.map_or_else(|| full_name(schema.avro()), |pinned| full_name(&pinned.schema));
                let naming = naming(setting.naming, setting.salesforce_topic, &output.topic);
                Registration {
                    subject: subject(naming, &topic, &name),
                    schema: contract,
                }
            });
        Ok(Self {
            topic,
            registration,
            value,
            key,
        })
    }

    /// With the id that the registry gave the registration, if there was one.
    pub fn plan(self, schema_id: Option<u32>, schema: &EventSchema) -> Plan {
        let encoding = match (self.value, schema_id) {
            (Value::Whole, None) => Encoding::Json,
            (Value::Whole, Some(schema_id)) => Encoding::Avro { schema_id },
            (Value::Projected { first, second }, schema_id) => {
                let form = match schema_id {
                    Some(schema_id) => Form::Avro { schema_id },
                    None => Projected::json_form(schema, &first, second.as_ref()),
                };
                Encoding::Projected(Arc::new(Projected { first, second, form }))
            }
        };
        Plan {
            topic: self.topic,
            encoding,
            key: self.key,
        }
    }
}

fn value(
    topic: &str,
    schema: &EventSchema,
    fields: &Option<FieldSelection>,
    derived: Option<&str>,
    pinned: Option<&Pinned>,
) -> Result<Value, Failure> {
    let parse = |json: &str| {
        Schema::parse(json).map(Arc::new).map_err(|error| {
            let message = format!("topic {topic}: the schema of {} cannot be used", schema.name());
            Failure::new(ErrorKind::Contract, message).caused_by(error)
        })
    };
    let project = |from: &Arc<Schema>, to: &Arc<Schema>| {
        Projection::new(Arc::clone(from), Arc::clone(to))
            .map_err(|error| broken(topic, schema, pinned, &error))
    };
    let event = Arc::new(schema.avro().clone());
    match (fields, derived, pinned) {
        (Some(_), Some(derived), pinned) => {
            let selected = parse(derived)?;
            let second = pinned
                .map(|pinned| project(&selected, &pinned.schema))
                .transpose()?;
            let first = project(&event, &selected)?;
            Ok(Value::Projected { first, second })
        }
        (_, _, Some(pinned)) => {
            let first = project(&event, &pinned.schema)?;
            Ok(Value::Projected { first, second: None })
        }
        _ => Ok(Value::Whole),
    }
}

fn broken(
    topic: &str,
    schema: &EventSchema,
    pinned: Option<&Pinned>,
    error: &(dyn std::error::Error + 'static),
) -> Failure {
    let contract = pinned.map_or_else(
        || "its fields".to_owned(),
        |pinned| format!("contract {}", pinned.label),
    );
    let message = format!(
        "topic {topic}: {} (schema {}) no longer satisfies {contract}: {}",
        schema.name(),
        schema.id(),
        chain(error)
    );
    Failure::new(ErrorKind::Contract, message).remedy(
        "give the field a default in a new version of the contract, or bring it back in Salesforce; \
         `sfbridge contracts check` shows the same before it happens. Then restart the route",
    )
}

fn derived(
    topic: &str,
    schema: &EventSchema,
    fields: Option<&FieldSelection>,
) -> Result<crate::contracts::derive::Derived, Failure> {
    derive(schema.json(), fields).map_err(|error| {
        let message = format!("topic {topic}: {} gives no schema to write", schema.name());
        Failure::new(ErrorKind::Contract, message)
            .remedy("correct the output's `fields`, then restart the route")
            .caused_by(error)
    })
}

/// The schema of the selected fields. A name that the event does not have is a mistake, but for a channel, whose
/// events differ, and for fields that are left out.
fn selected(
    topic: &str,
    schema: &EventSchema,
    fields: &FieldSelection,
    salesforce_topic: &str,
) -> Result<String, Failure> {
    let derived = derived(topic, schema, Some(fields))?;
    let is_strict = matches!(fields, FieldSelection::Include(_)) && !is_channel(salesforce_topic);
    if is_strict && !derived.unknown.is_empty() {
        let message = format!(
            "topic {topic}: {} has no field {}",
            schema.name(),
            derived.unknown.join(", ")
        );
        return Err(Failure::new(ErrorKind::Contract, message).remedy(
            "correct `fields.include`, or bring the field back in Salesforce; then restart the route",
        ));
    }
    Ok(derived.json)
}

fn full_name(schema: &Schema) -> String {
    schema
        .record()
        .map_or_else(String::new, |record| record.name.to_string())
}
