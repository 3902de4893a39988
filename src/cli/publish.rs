//! `sfbridge publish`: platform events from JSON, one or a line each, coerced by the same rules as a route's fields of
//! the same name. Events go out in the order of their lines; a line that is no event is told and left out.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;

use super::answer::{Output, Refused, configured, shape};
use crate::app::Exit;
use crate::config::Config;
use crate::config::suggest::pick;
use crate::error::Failure;
use crate::routes::mapping::{Decoded, EventTarget, Key, Program, Refusal};
use crate::runtime::clock;
use crate::salesforce::Salesforce;
use crate::salesforce::event::EventSchema;
use crate::salesforce::pubsub::{
    EVENT_BYTES_MAX, OutgoingEvent, PUBLISH_BYTES_MAX, PUBLISH_EVENTS_MAX, PublishError, PublishOutcome,
};
use crate::telemetry::metrics::Metrics;

/// Whom an event is from where the login tells no user: Salesforce does not check it.
const NOBODY: &str = "005000000000000AAA";

const JSON: &str = r#"As JSON, a line for each event that is published:
  {"line": 1, "replay_id": "0000000000000010db4d0000"}

`line` is that of stdin; an event of the command line is line 1."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge publish Order_Shipped__e '{\"Order_Number__c\": \"O-1\"}'\n  sfbridge publish Order_Shipped__e - < events.jsonl\n\nPrints the replay id of each event, in their order.\n\nExit codes:\n  0 every event is published\n  1 some are not; stderr says which lines\n  64 configuration"
)]
pub(super) struct Args {
    /// The platform event: Order_Shipped__e or /event/Order_Shipped__e
    event: String,
    /// The event's fields as a JSON object; - or nothing: a line each from stdin
    json: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    configured(file, async |config| publish(arguments, &config).await)
}

async fn publish(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let event = &arguments.event;
    let topic = if event.starts_with('/') {
        event.clone()
    } else {
        format!("/event/{event}")
    };
    let salesforce = Salesforce::new(&config.salesforce, "sfbridge", Metrics::new())?;
    let mut publisher = Publisher {
        target: Target::load(&salesforce, &topic).await?,
        salesforce,
        topic,
        output: arguments.output,
        are_all_published: true,
    };
    match arguments.json.as_deref() {
        None | Some("-") => {
            if std::io::stdin().is_terminal() {
                eprintln!("sfbridge: a JSON object a line is an event; Ctrl-D ends");
            }
            publisher.all_of_stdin().await?;
        }
        Some(text) => {
            let value = parsed(text).map_err(Refused::Asked)?;
            let refused = |refusal: Refusal| Refused::Asked(refusal.reason);
            let event = publisher.target.event(&value).map_err(refused)?;
            publisher.send(vec![(1, value, event)]).await?;
        }
    }
    Ok(if publisher.are_all_published {
        Exit::Clean
    } else {
        Exit::Failed
    })
}

fn parsed(text: &str) -> Result<Map<String, Json>, String> {
    match serde_json::from_str(text) {
        Ok(Json::Object(fields)) => Ok(fields),
        Ok(_) => Err("an event is a JSON object, with the event's fields".to_owned()),
        // Without the text itself: it may be long.
        Err(error) => Err(format!(
            "no JSON, at line {}, column {}",
            error.line(),
            error.column()
        )),
    }
}

/// The event as Salesforce has it now.
struct Target {
    event: EventTarget,
    schema: Arc<EventSchema>,
    schema_id: Arc<str>,
}

impl Target {
    async fn load(salesforce: &Salesforce, topic: &str) -> Result<Self, Failure> {
        let info = salesforce.pubsub.get_publishable_topic(topic).await?;
        let schema = salesforce.schemas.get(&info.schema_id).await?;
        let session = salesforce.tokens.session().await?;
        let user = session.user_id.as_deref().unwrap_or(NOBODY);
        let program = Program::compile("publish", None, &BTreeMap::new());
        let program = program.map_err(|errors| match errors.into_iter().next() {
            Some(first) => Failure::from(first),
            None => Failure::new(crate::error::ErrorKind::Unknown, "the event cannot be mapped"),
        })?;
        let event = EventTarget::new(Arc::new(program), &schema, user)
            .map_err(|wrong| Refusal::halt("publish", &wrong))?;
        Ok(Self {
            event,
            schema,
            schema_id: info.schema_id.into(),
        })
    }

    fn event(&self, fields: &Map<String, Json>) -> Result<OutgoingEvent, Refusal> {
        let known = |name: &str| self.schema.fields().iter().any(|field| **field.name() == *name);
        let refused = |reason: String| Refusal {
            field: None,
            public: reason.clone(),
            reason,
        };
        // A route passes over what the event does not have; a person has mistyped it.
        if let Some(name) = fields.keys().find(|name| !known(name)) {
            let names = self.schema.fields().iter().map(|field| field.name().to_string());
            let hint = pick(name, names).map(|near| format!("; did you mean {near}?"));
            let hint = hint.unwrap_or_default();
            return Err(refused(format!(
                "{} has no field {name}{hint}",
                self.schema.name()
            )));
        }
        let record = Decoded {
            topic: String::new(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: Key::Absent,
            value: Some(Json::Object(fields.clone())),
            headers: Map::new(),
        };
        let event = OutgoingEvent {
            id: uuid::Uuid::new_v4().to_string(),
            schema_id: Arc::clone(&self.schema_id),
            payload: Bytes::from(self.event.payload(&record, clock::now_ms())?),
        };
        if event.is_too_large() {
            let bytes = event.payload.len();
            return Err(refused(format!(
                "the event has {bytes} bytes; Salesforce takes {EVENT_BYTES_MAX}"
            )));
        }
        Ok(event)
    }
}

/// The lines of stdin, read on a thread of its own: a signal ends the command while it waits for one.
fn stdin_lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, lines) = mpsc::channel(PUBLISH_EVENTS_MAX);
    tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The number of the line, what it says, and what is sent for it.
type Entry = (usize, Map<String, Json>, OutgoingEvent);

struct Publisher {
    salesforce: Salesforce,
    topic: String,
    target: Target,
    output: Output,
    are_all_published: bool,
}

impl Publisher {
    /// Lines that are there together go together; none waits for another to come.
    async fn all_of_stdin(&mut self) -> Result<(), Refused> {
        let mut lines = stdin_lines();
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let mut number = 0;
        while let Some(line) = lines.recv().await {
            let line = line.map_err(|error| Refused::Asked(format!("stdin cannot be read: {error}")))?;
            number += 1;
            if let Some(entry) = self.entry(number, &line) {
                let size = entry.2.request_bytes();
                if entries.len() == PUBLISH_EVENTS_MAX || bytes + size > PUBLISH_BYTES_MAX {
                    self.send(std::mem::take(&mut entries)).await?;
                    bytes = 0;
                }
                bytes += size;
                entries.push(entry);
            }
            if lines.is_empty() {
                self.send(std::mem::take(&mut entries)).await?;
                bytes = 0;
            }
        }
        self.send(entries).await
    }

    fn entry(&mut self, number: usize, line: &str) -> Option<Entry> {
        if line.trim().is_empty() {
            return None;
        }
        let entry = parsed(line).and_then(|fields| {
            let event = self.target.event(&fields).map_err(|refusal| refusal.reason)?;
            Ok((number, fields, event))
        });
        entry.map_err(|why| self.not_published(number, &why)).ok()
    }

    /// Publishes what fits one request; written anew once where Salesforce has another schema meanwhile.
    async fn send(&mut self, mut entries: Vec<Entry>) -> Result<(), Refused> {
        let mut is_anew = false;
        loop {
            let events: Vec<OutgoingEvent> = entries.iter().map(|(_, _, event)| event.clone()).collect();
            match self.salesforce.pubsub.publish(&self.topic, &events).await {
                Ok(answer) => {
                    for ((number, _, _), result) in entries.iter().zip(answer.results) {
                        match result {
                            Ok(published) => self.print(*number, &published.replay_id),
                            // Salesforce's own words may quote a value, to whoever has just typed it.
                            Err(refusal) => {
                                self.not_published(
                                    *number,
                                    &format!("{}: {}", refusal.code, refusal.message),
                                );
                            }
                        }
                    }
                    return Ok(());
                }
                Err(PublishError::StaleSchema(_)) if !is_anew => {
                    is_anew = true;
                    self.target = Target::load(&self.salesforce, &self.topic).await?;
                    let old = std::mem::take(&mut entries);
                    for (number, fields, _) in old {
                        match self.target.event(&fields) {
                            Ok(event) => entries.push((number, fields, event)),
                            Err(refusal) => self.not_published(number, &refusal.reason),
                        }
                    }
                }
                Err(error) => {
                    let first = entries.first().map_or(0, |(number, _, _)| *number);
                    if let PublishError::Failed {
                        outcome: PublishOutcome::Unknown,
                        ..
                    } = &error
                    {
                        eprintln!("sfbridge: the events from line {first} on may be published, or not");
                    } else {
                        eprintln!("sfbridge: the events from line {first} on are not published");
                    }
                    return Err(error.into_failure().into());
                }
            }
        }
    }

    fn print(&self, number: usize, replay_id: &Bytes) {
        let id = hex::encode(replay_id);
        // Where nobody reads any more the rest is published all the same.
        self.output
            .print_line(|| id.clone(), || json!({ "line": number, "replay_id": id }));
    }

    fn not_published(&mut self, number: usize, why: &str) {
        self.are_all_published = false;
        eprintln!("sfbridge: line {number} is not published: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_an_object_and_what_is_none_is_not_quoted() {
        assert!(parsed(r#"{"A": 1}"#).is_ok());
        assert!(parsed("[1]").unwrap_err().contains("object"));
        let why = parsed(r#"{"A": secret}"#).unwrap_err();
        assert!(why.contains("column 7") && !why.contains("secret"), "{why}");
    }
}
