//! `sfbridge tail`: the events of a Salesforce topic as JSON lines. Needs no Kafka, and moves nobody's position.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::answer::{Output, Refused, shape, until_signal};
use crate::app::Exit;
use crate::config::{self, Config};
use crate::contracts::written::topic_of;
use crate::error::chain;
use crate::routes::filter::{Filter, Verdict};
use crate::routes::output::is_channel;
use crate::runtime::clock;
use crate::salesforce::Salesforce;
use crate::salesforce::event::{DecodeError, EventSchema, EventView, FieldIndex, decode, json_values};
use crate::salesforce::pubsub::{Item, ReceivedEvent, Start, StreamStatus, SubscribeOptions, Subscription};
use crate::telemetry::metrics::Metrics;

/// Two requests of a hundred keep a fast stream busy.
const CAPACITY_EVENTS: u32 = 200;
const CAPACITY_BYTES: u64 = 16 * 1024 * 1024;

const JSON: &str = r#"As JSON, a line each, which is the default here:
  {"_meta": {"replay_id": "…", "schema_id": "…", "event_id": "…",
             "event": "AccountChangeEvent", "time": "…"},
   "ChangeEventHeader": {…}, "Name": "…", …}

Text is the same on several lines, to be read."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", |arg| shape(JSON)(arg).default_value("json")),
    after_help = "Examples:\n  sfbridge tail /data/AccountChangeEvent --replay earliest --limit 10\n  sfbridge tail /event/Order_Shipped__e --filter 'event.Weight__c > 100.0' | jq .Order_Number__c\n  sfbridge tail Account --output text\n\nA line has the event as `format: json` writes it, and `_meta` before its fields: replay id, schema id, time.\nEnds with --limit, or when it is interrupted."
)]
pub(super) struct Args {
    /// The Salesforce topic: /data/… or /event/…; an object's or event's name does for its own
    #[arg(value_name = "SALESFORCE TOPIC")]
    topic: String,
    /// Where to begin: latest, earliest, or after a replay id (hex)
    #[arg(long, value_name = "latest|earliest|REPLAY ID", default_value = "latest")]
    replay: String,
    /// Show the events alone that this CEL expression keeps; where it has no answer, the event is shown
    #[arg(long, value_name = "CEL")]
    filter: Option<String>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(arguments: &Args, file: &Path) -> Exit {
    let config = match config::load(file) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Configuration;
        }
    };
    // Who has seen enough ends it so.
    until_signal(Exit::Clean, async || tail(arguments, &config).await)
}

fn start(text: &str) -> Result<Start, Refused> {
    match text {
        "latest" => Ok(Start::Latest),
        "earliest" => Ok(Start::Earliest),
        id => match hex::decode(id) {
            Ok(bytes) if !bytes.is_empty() => Ok(Start::After(Bytes::from(bytes))),
            _ => Err(Refused::Asked(format!(
                "--replay {id}: latest, earliest, or a replay id in hex"
            ))),
        },
    }
}

/// `Account` and `Order_Shipped__e` mean their own topics; what begins with a slash is one.
fn topic(named: &str) -> String {
    match named {
        topic if topic.starts_with('/') => topic.to_owned(),
        "ChangeEvents" => "/data/ChangeEvents".to_owned(),
        entity => topic_of(entity),
    }
}

async fn tail(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let start = start(&arguments.replay)?;
    let filter = arguments.filter.as_deref().map(Filter::compile).transpose();
    let filter = filter.map_err(|error| Refused::Asked(format!("--filter: {}", chain(&error))))?;
    let metrics = Metrics::new();
    let salesforce = Salesforce::new(&config.salesforce, "sfbridge", metrics.clone())?;
    let topic = &topic(&arguments.topic);
    salesforce.pubsub.get_readable_topic(topic).await?;
    if std::io::stderr().is_terminal() {
        let place = &arguments.replay;
        eprintln!("sfbridge: events of {topic}, from {place} on; Ctrl-C ends");
    }
    let options = SubscribeOptions {
        topic: topic.clone(),
        start,
        capacity_events: CAPACITY_EVENTS,
        capacity_bytes: CAPACITY_BYTES,
        route: "tail".into(),
    };
    let mut subscription = Subscription::open(salesforce.pubsub.clone(), options, metrics);
    let mut status = subscription.status();
    let mut lines = Lines {
        filter,
        is_channel: is_channel(topic),
        checked: HashSet::new(),
        left: arguments.limit,
        output: arguments.output,
    };
    while lines.left != Some(0) {
        let item = tokio::select! {
            item = subscription.next() => item,
            Ok(()) = status.changed() => {
                say(&status.borrow_and_update());
                continue;
            }
        };
        match item {
            Some(Ok(Item::Events(events))) => {
                for event in events {
                    let schema = salesforce.schemas.get(&event.schema_id).await?;
                    let is_read_on = lines.show(&schema, &event)?;
                    subscription.release(1, event.size_bytes());
                    if !is_read_on {
                        return Ok(Exit::Clean);
                    }
                }
            }
            Some(Ok(Item::KeepAlive { .. })) => {}
            Some(Err(failure)) => return Err(failure.into()),
            None => break,
        }
    }
    Ok(Exit::Clean)
}

fn say(status: &StreamStatus) {
    if let StreamStatus::Waiting { why, remedy, .. } = status {
        let remedy = remedy.as_ref().map(|remedy| format!("; {remedy}"));
        eprintln!("sfbridge: {why}{}", remedy.unwrap_or_default());
    }
}

struct Lines {
    filter: Option<Filter>,
    is_channel: bool,
    /// Schemas that the filter fits.
    checked: HashSet<String>,
    left: Option<u64>,
    output: Output,
}

impl Lines {
    /// Prints an event's lines; false when no more are wanted.
    fn show(&mut self, schema: &Arc<EventSchema>, event: &ReceivedEvent) -> Result<bool, Refused> {
        self.check(schema)?;
        let values = match self.values(schema, event) {
            Ok(values) => values,
            Err(why) => {
                let id = hex::encode(&event.replay_id);
                eprintln!("sfbridge: the event with replay id {id} is left out: {why}");
                return Ok(true);
            }
        };
        let mut out = std::io::stdout().lock();
        for value in values {
            if self.left == Some(0) {
                break;
            }
            let value = if self.output.is_json() {
                value
            } else {
                spread(value)
            };
            // Whoever reads may have seen enough and closed the pipe.
            if out.write_all(&value).and_then(|()| out.flush()).is_err() {
                return Ok(false);
            }
            self.left = self.left.map(|left| left - 1);
        }
        Ok(self.left != Some(0))
    }

    /// A channel has events that a filter is not meant for.
    fn check(&mut self, schema: &EventSchema) -> Result<(), Refused> {
        if let Some(filter) = &self.filter
            && !self.is_channel
            && self.checked.insert(schema.id().to_owned())
            && let Some(problem) = filter.check(schema).into_iter().next()
        {
            let (subject, rule) = (problem.subject, problem.rule);
            return Err(Refused::Asked(format!(
                "--filter: {subject}: {rule}; {}",
                problem.remedy
            )));
        }
        Ok(())
    }

    /// The lines of an event: one for each record id, none when the filter drops it.
    fn values(&self, schema: &EventSchema, event: &ReceivedEvent) -> Result<Vec<Vec<u8>>, String> {
        let unreadable = |error: DecodeError| chain(&error);
        let decoded = decode(schema, &event.payload).map_err(unreadable)?;
        if let Some(filter) = &self.filter {
            let index = FieldIndex::new(schema, &event.payload, &decoded).map_err(unreadable)?;
            let view = EventView {
                schema,
                payload: &event.payload,
                event: &decoded,
                index: &index,
            };
            match filter.evaluate(&view) {
                Ok(Verdict::Drop) => return Ok(Vec::new()),
                Ok(Verdict::Keep | Verdict::Unknown { .. }) => {}
                Err(error) => return Err(format!("--filter: {}", chain(&error))),
            }
        }
        let meta = json!({
            "replay_id": hex::encode(&event.replay_id),
            "schema_id": event.schema_id,
            "event_id": event.event_id,
            "event": schema.name(),
            "time": decoded.event_time_ms().map(clock::rfc3339_ms),
        });
        let values = json_values(schema, &event.payload, &decoded).map_err(unreadable)?;
        Ok(values.iter().map(|value| line(&meta, value)).collect())
    }
}

/// A line for people to read.
fn spread(line: Vec<u8>) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(&line) {
        Ok(json) => format!("{json:#}\n").into_bytes(),
        Err(_) => line,
    }
}

/// The event's object with `_meta` before its fields.
fn line(meta: &serde_json::Value, event: &[u8]) -> Vec<u8> {
    let fields = event.strip_prefix(b"{").unwrap_or(event);
    let mut line = format!("{{\"_meta\":{meta}").into_bytes();
    if fields != b"}" {
        line.push(b',');
    }
    line.extend_from_slice(fields);
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_with_what_is_about_the_event_first() {
        let meta = json!({ "replay_id": "00" });
        assert_eq!(
            line(&meta, br#"{"A":1}"#),
            b"{\"_meta\":{\"replay_id\":\"00\"},\"A\":1}\n"
        );
        assert_eq!(line(&meta, b"{}"), b"{\"_meta\":{\"replay_id\":\"00\"}}\n");
    }

    #[test]
    fn a_name_means_its_own_topic() {
        for (named, meant) in [
            ("/event/All__chn", "/event/All__chn"),
            ("ChangeEvents", "/data/ChangeEvents"),
            ("Account", "/data/AccountChangeEvent"),
            ("Order_Shipped__e", "/event/Order_Shipped__e"),
        ] {
            assert_eq!(topic(named), meant);
        }
    }

    #[test]
    fn a_place_to_begin_is_a_word_or_a_replay_id() {
        assert!(matches!(start("earliest"), Ok(Start::Earliest)));
        assert!(matches!(start("00ff"), Ok(Start::After(_))));
        assert!(matches!(start("yesterday"), Err(Refused::Asked(_))));
    }
}
