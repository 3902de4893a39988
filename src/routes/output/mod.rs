//! From a decoded event to the records of every output of a route. Pure: values in, records out.
//!
//! ```text
//!  event's schema ──▶ Draft (topic · contract · key) ──▶ registry's id ──▶ Plan, once a schema and output
//!  event ──▶ filter ──▶ value by the plan's encoding ──▶ key ──▶ a record for each record id, and its tombstone
//! ```
//!
//! Each output stands for itself: one whose filter fails, whose contract has no room for a value or that finds no
//! key gives a [`Refusal`], and its siblings their records. What several outputs need is made once.

mod form;
mod key;
mod plan;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

pub use form::KafkaFraming;
pub use plan::{Draft, Names, Plan, Registration, Setting, is_channel, naming, topic_name};

use super::cloud_event::EventHeaders;
use super::filter::{Filter, FilterError, Verdict};
use crate::config::{FilterUnknown, Format, KafkaOutput, KeyConfig, SubjectNaming};
use crate::contracts::pinned::Pinned;
use crate::error::{ErrorKind, Failure};
use crate::kafka::Record;
use crate::salesforce::event::{ChangeType, DecodeError, DecodedEvent, EventSchema};
use form::ValueError;
use key::KeyError;
use plan::KeyPlan;
use values::EventValues;

/// The ids that name an event's records for ever: `<transactionKey>/<sequenceNumber>/<entityName>/<changeType>/
/// <record id>` for each record of a change (one with an empty record id where it names none), the event's own
/// id for a platform event.
pub fn ce_ids(event_id: &str, event: &DecodedEvent) -> Vec<String> {
    let Some(header) = event.header() else {
        return vec![event_id.to_owned()];
    };
    let prefix = format!(
        "{}/{}/{}/{}/",
        header.transaction_key,
        header.sequence_number,
        header.entity_name,
        header.change_type.name()
    );
    if header.record_ids.is_empty() {
        return vec![prefix];
    }
    header
        .record_ids
        .iter()
        .map(|id| format!("{prefix}{id}"))
        .collect()
}

/// One output: as configured, with its contract file read, and its plans by Salesforce's schema id.
#[derive(Debug)]
struct Output {
    config: KafkaOutput,
    filter: Option<Filter>,
    pinned: Option<Pinned>,
    plans: HashMap<Arc<str>, Known>,
}

/// A plan, and the object whose events it is for, where the topic is named after that.
#[derive(Debug)]
struct Known {
    entity: Option<Box<str>>,
    planned: Planned,
}

/// What an output does with the events of one schema.
#[derive(Debug)]
enum Planned {
    Ready(Plan),
    /// The contract is broken and the output's policy stores such events as dead letters.
    Broken(String),
    /// Its filter has left all of them out: nothing is made ready for them, and nothing of them can break.
    Unwanted,
}

/// An output that cannot have an event, while its siblings may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place among the route's outputs.
    pub output: usize,
    pub kind: ErrorKind,
    /// Names the output's topic and the rule.
    pub error: String,
}

/// What becomes of one event.
#[derive(Debug, Default)]
pub struct Delivery {
    pub records: Vec<Record>,
    /// Outputs whose filter left the event out.
    pub filtered: u64,
    pub refusals: Vec<Refusal>,
}

impl Delivery {
    /// Whether the event is a dead letter and nothing else: an output that has it, or does not want it, must not
    /// halt for a sibling that cannot have it.
    pub fn is_refused(&self) -> bool {
        self.records.is_empty() && self.filtered == 0 && !self.refusals.is_empty()
    }
}

/// The outputs of one route.
#[derive(Debug)]
pub struct Outputs {
    route: String,
    salesforce_topic: String,
    naming: SubjectNaming,
    outputs: Vec<Output>,
}

impl Outputs {
    /// Compiles the filters and reads the contract files.
    ///
    /// # Errors
    /// `Contract`: a contract file that cannot be used. `Misconfigured`: a filter that is none.
    pub fn new(
        route: &str,
        salesforce_topic: &str,
        naming: SubjectNaming,
        outputs: &[KafkaOutput],
    ) -> Result<Self, Failure> {
        let read = |config: &KafkaOutput| {
            let file = config
                .contract
                .as_ref()
                .and_then(|contract| contract.file.as_deref());
            Ok(Output {
                config: config.clone(),
                filter: config.filter.as_deref().map(Filter::compile).transpose()?,
                pinned: file.map(Pinned::read).transpose()?,
                plans: HashMap::new(),
            })
        };
        Ok(Self {
            route: route.to_owned(),
            salesforce_topic: salesforce_topic.to_owned(),
            naming,
            outputs: outputs.iter().map(read).collect::<Result<_, Failure>>()?,
        })
    }

    /// Whether no event of this schema was met.
    pub fn is_new(&self, schema_id: &str) -> bool {
        let mut outputs = self.outputs.iter();
        outputs.any(|output| !output.plans.contains_key(schema_id))
    }

    /// The outputs that have no plan for this schema yet, or one for another object's topic.
    pub fn unplanned(&self, schema: &EventSchema, entity: Option<&str>) -> Vec<usize> {
        let lacks = |(_, output): &(usize, &Output)| {
            let known = output.plans.get(schema.id());
            known.is_none_or(|known| {
                let is_of_another = known.entity.is_some() && known.entity.as_deref() != entity;
                is_of_another || matches!(known.planned, Planned::Unwanted)
            })
        };
        self.outputs
            .iter()
            .enumerate()
            .filter(lacks)
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether anything is to be made ready, or checked, before the first event: not for outputs that write
    /// whatever comes.
    pub fn depend_on_the_schema(&self) -> bool {
        self.outputs.iter().any(|output| {
            let KafkaOutput {
                format,
                key,
                filter,
                fields,
                contract,
                ..
            } = &output.config;
            *format == Format::Avro
                || matches!(key, KeyConfig::Field(_))
                || filter.is_some()
                || fields.is_some()
                || contract.is_some()
        })
    }

    /// The output as configured.
    pub fn config(&self, output: usize) -> Option<&KafkaOutput> {
        self.outputs.get(output).map(|output| &output.config)
    }

    /// An output's filter against the events that it will meet, before it meets one. A channel's events differ.
    ///
    /// # Errors
    /// `Contract`: it names what they do not have, or compares what cannot be compared.
    pub fn check_filter(&self, output: usize, schema: &EventSchema) -> Result<(), Failure> {
        let output = self
            .outputs
            .get(output)
            .filter(|_| !is_channel(&self.salesforce_topic));
        match output.and_then(|output| Some((output.filter.as_ref()?, &output.config.topic))) {
            Some((filter, topic)) => check(filter, topic, schema),
            None => Ok(()),
        }
    }

    /// What an output needs for the events of a schema.
    ///
    /// # Errors
    /// `Contract`: the schema cannot serve the output.
    pub fn draft(&self, output: usize, schema: &EventSchema, entity: Option<&str>) -> Result<Draft, Failure> {
        self.check_filter(output, schema)?;
        let Some(output) = self.outputs.get(output) else {
            return Err(Failure::new(ErrorKind::Unknown, "there is no such output"));
        };
        let setting = Setting {
            output: &output.config,
            pinned: output.pinned.as_ref(),
            naming: self.naming,
            salesforce_topic: &self.salesforce_topic,
            names: Names {
                entity: entity.unwrap_or_else(|| schema.name()),
                event: schema.name(),
                route: &self.route,
            },
        };
        Draft::new(setting, schema)
    }

    /// From now on the output's events of this schema go by this plan.
    pub fn plan(&mut self, output: usize, schema: &EventSchema, entity: Option<&str>, plan: Plan) {
        self.set(output, schema, entity, Planned::Ready(plan));
    }

    /// From now on the output's events of this schema are dead letters.
    pub fn broken(&mut self, output: usize, schema: &EventSchema, why: String) {
        self.set(output, schema, None, Planned::Broken(why));
    }

    /// Whether the output's filter leaves this event out; if so, that is all that is known of its schema yet.
    pub fn leaves_out(
        &mut self,
        output: usize,
        schema: &EventSchema,
        payload: &[u8],
        event: &DecodedEvent,
    ) -> bool {
        let values = EventValues::new(schema, payload, event);
        let verdict = |output: &Output| Some(output.verdict(&values).ok()?.is_ok_and(|wanted| !wanted));
        let asked = self.outputs.get(output);
        let left_out = asked.and_then(verdict).unwrap_or(false);
        let known = asked.and_then(|output| output.plans.get(schema.id()));
        let is_noted = known.is_some_and(|known| matches!(known.planned, Planned::Unwanted));
        if left_out && !is_noted {
            self.set(output, schema, None, Planned::Unwanted);
        }
        left_out
    }

    fn set(&mut self, output: usize, schema: &EventSchema, entity: Option<&str>, planned: Planned) {
        if let Some(output) = self.outputs.get_mut(output) {
            let entity = entity.filter(|_| output.config.topic.contains("{entity}"));
            let entity = entity.map(Into::into);
            output.plans.insert(schema.id().into(), Known { entity, planned });
        }
    }

    /// The records of one event: for every output one a record id, in the order of the outputs.
    ///
    /// # Errors
    /// When the payload does not fit its schema: then no output can have it.
    pub fn deliver(
        &self,
        schema: &EventSchema,
        payload: &[u8],
        event: &DecodedEvent,
        ce_ids: &[String],
        headers: &EventHeaders,
        timestamp_ms: i64,
    ) -> Result<Delivery, DecodeError> {
        let values = EventValues::new(schema, payload, event);
        let ids: Vec<Ids> = ce_ids
            .iter()
            .enumerate()
            .map(|(index, ce_id)| Ids {
                event: Bytes::copy_from_slice(ce_id.as_bytes()),
                record: event
                    .record_ids()
                    .get(index)
                    .map(|id| Bytes::copy_from_slice(id.as_bytes())),
            })
            .collect();
        let mut delivery = Delivery::default();
        delivery.records.reserve(ids.len() * self.outputs.len());
        for (place, output) in self.outputs.iter().enumerate() {
            match output.records(&values, event, &ids, headers, timestamp_ms, &mut delivery.records) {
                Ok(Written::Yes) => {}
                Ok(Written::LeftOut) => delivery.filtered += 1,
                Err(Left::Event(error)) => return Err(error),
                Err(Left::Refused { kind, error }) => delivery.refusals.push(Refusal {
                    output: place,
                    kind,
                    error,
                }),
            }
        }
        Ok(delivery)
    }
}

/// What names one record of an event.
struct Ids {
    event: Bytes,
    record: Option<Bytes>,
}

/// Whether an output has records of the event.
enum Written {
    Yes,
    LeftOut,
}

/// Why an output has no record.
enum Left {
    Event(DecodeError),
    Refused { kind: ErrorKind, error: String },
}

impl From<DecodeError> for Left {
    fn from(error: DecodeError) -> Self {
        Self::Event(error)
    }
}

impl Output {
    /// Whether the output wants the event, by its filter.
    fn verdict(&self, values: &EventValues<'_>) -> Result<Result<bool, FilterError>, DecodeError> {
        let Some(filter) = &self.filter else {
            return Ok(Ok(true));
        };
        let verdict = filter.evaluate(&values.view()?);
        Ok(verdict.map(|verdict| match verdict {
            Verdict::Keep => true,
            Verdict::Drop => false,
            Verdict::Unknown { .. } => self.config.filter_unknown == FilterUnknown::Keep,
        }))
    }

    fn records(
        &self,
        values: &EventValues<'_>,
        event: &DecodedEvent,
        ids: &[Ids],
        headers: &EventHeaders,
        timestamp_ms: i64,
        records: &mut Vec<Record>,
    ) -> Result<Written, Left> {
        let refused = |kind, error: String| Left::Refused { kind, error };
        // First of all: what the output does not want cannot break its contract.
        let verdict = self.verdict(values)?;
        if matches!(verdict, Ok(false)) {
            return Ok(Written::LeftOut);
        }
        let known = self.plans.get(values.schema.id());
        let plan = match known.map(|known| &known.planned) {
            Some(Planned::Ready(plan)) => plan,
            Some(Planned::Broken(why)) => return Err(refused(ErrorKind::Contract, why.clone())),
            Some(Planned::Unwanted) | None => {
                return Err(refused(
                    ErrorKind::Unknown,
                    "the output has no plan for this schema".to_owned(),
                ));
            }
        };
        let poison = |error: &dyn std::fmt::Display| {
            refused(ErrorKind::Poison, format!("topic {}: {error}", plan.topic))
        };
        verdict.map_err(|error| poison(&error))?;
        let encoded = plan.encoding.values(values).map_err(|error| match error {
            ValueError::Event(error) => Left::Event(error),
            ValueError::Output(error) => poison(&error),
        })?;
        let field_key = match &plan.key {
            KeyPlan::Field(field) => Some(
                field
                    .of(&values.view()?)
                    .map_err(|error: KeyError| poison(&error))?,
            ),
            _ => None,
        };
        let removes = self.config.tombstones && is_removal(event);
        for (value, ids) in encoded.into_iter().zip(ids) {
            let key = match &plan.key {
                KeyPlan::RecordId => ids.record.clone().filter(|id| !id.is_empty()),
                KeyPlan::EventId => Some(ids.event.clone()),
                KeyPlan::Field(_) => field_key.clone(),
                KeyPlan::None => None,
            };
            let record = Record {
                topic: Arc::clone(&plan.topic),
                partition: None,
                key,
                value: Some(value),
                headers: headers.record(
                    Some(ids.event.clone()),
                    ids.record.clone(),
                    plan.encoding.content_type(),
                ),
                timestamp_ms,
            };
            let tombstone = (removes && record.key.is_some()).then(|| Record {
                value: None,
                ..record.clone()
            });
            records.push(record);
            records.extend(tombstone);
        }
        Ok(Written::Yes)
    }
}

fn check(filter: &Filter, topic: &str, schema: &EventSchema) -> Result<(), Failure> {
    let problems: Vec<String> = filter.check(schema).iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!(
        "topic {topic}: its filter does not fit {}: {}",
        schema.name(),
        problems.join("; ")
    );
    Err(Failure::new(ErrorKind::Contract, message)
        .remedy("correct the output's `filter`, then restart the route"))
}

/// Whether the records of the event are gone after it.
fn is_removal(event: &DecodedEvent) -> bool {
    let removes = |change| matches!(change, ChangeType::Delete | ChangeType::GapDelete);
    event.header().is_some_and(|header| removes(header.change_type))
}

#[cfg(test)]
mod tests;
