//! `sfbridge contracts check`: a step for a delivery pipeline. What one side cannot answer does not keep the other
//! from being checked.

use super::org::{Found, Org, Refusal, topics};
use super::outputs::{Route, pinned, routes, written};
use super::registry::Versions;
use super::{Entities, Output, Refused, shape};
use crate::app::Exit;
use crate::cli::progress::Bar;
use crate::config::{Config, KafkaOutput, OnBreak};
use crate::contracts::check::{self as fit, check};
use crate::contracts::check_registry;
use crate::contracts::pinned::Pinned;
use crate::contracts::report::{Report, Section};
use crate::contracts::written::{Contract, Written};
use crate::error::chain;
use crate::routes::filter::Filter;
use crate::routes::output::is_channel;

const JSON: &str = r#"As JSON:
  {"findings": [{"route": "account-changes", "topic": "crm.accounts.v1",
                 "verdict": "broken", "message": "…", "remedy": "…"}, …],
   "holds": 4, "warnings": 0, "broken": 1}

`verdict` is holds, warning or broken. `topic` is null where it is about a whole route, `remedy` where it holds."#;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("output", shape(JSON)),
    after_help = "Examples:\n  sfbridge contracts check --config config/sfbridge.yaml\n  sfbridge contracts check --output json | jq '.findings[] | select(.verdict == \"broken\")'\n\nExit codes:\n  0 every contract holds\n  1 something is broken, or could not be checked\n  64 configuration"
)]
pub(super) struct Args {
    #[command(flatten)]
    entities: Entities,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: &Args, config: &Config) -> Result<Exit, Refused> {
    let org = Org::new(&config.salesforce)?;
    let versions = Versions::new(config)?;
    let mut bar = Bar::of_routes(routes(config).count());
    let report = report(config, &arguments.entities.names, &org, &versions, &mut bar).await?;
    drop(bar);
    arguments.output.print(|| report.to_string(), || report.json());
    Ok(if report.is_broken() {
        Exit::Failed
    } else {
        Exit::Clean
    })
}

/// Everything about the outputs to Kafka: source, filter, contract, registry. What cannot be asked is a finding too.
pub(in crate::cli) async fn report(
    config: &Config,
    entities: &[String],
    org: &Org,
    versions: &Versions,
    bar: &mut Bar,
) -> Result<Report, Refused> {
    let mut report = Report::default();
    let checker = Checker {
        config,
        entities,
        org,
        versions,
    };
    for route in routes(config) {
        bar.step();
        for output in &route.flow.to {
            checker.output(route, output, &mut report).await;
        }
    }
    Ok(report)
}

struct Checker<'a> {
    config: &'a Config,
    entities: &'a [String],
    org: &'a Org,
    versions: &'a Versions,
}

impl Checker<'_> {
    async fn output(&self, route: Route<'_>, output: &KafkaOutput, report: &mut Report) {
        let name = &route.config.name;
        let mut section = report.section(name, Some(&output.topic));
        let pinned = file(output, &mut section);
        let filter = filter(output, &mut section);
        let source = &route.flow.from.topic;
        let topics = topics(source, self.entities, pinned.as_ref());
        if topics.is_empty() {
            section.holds(format!(
                "{source} is a channel: its events are learnt at run time (name them with --entity to check them)"
            ));
        }
        let mut to_register: Vec<Written> = Vec::new();
        for topic in &topics {
            let found = self.org.event(topic).await;
            source_line(report, name, topic, &found);
            let Ok(found) = found else { continue };
            let mut section = report.section(name, Some(&output.topic));
            if let Some(filter) = &filter {
                filter_fits(filter, &found, &mut section);
            }
            let checked = fit::Output {
                config: output,
                pinned: pinned.as_ref(),
                is_channel: is_channel(source),
            };
            let contract = check(checked, &found.event, &mut section);
            to_register.push(written(self.config, route, output, Some(&found.event), contract));
        }
        // Where the org says nothing, the file alone can still be held against the registry.
        if to_register.is_empty() && pinned.is_some() {
            let contract = pinned.as_ref().map(Contract::pinned);
            to_register.push(written(self.config, route, output, None, contract));
        }
        let mut section = report.section(name, Some(&output.topic));
        for written in to_register {
            self.registry(output, &written, &mut section).await;
        }
    }

    async fn registry(&self, output: &KafkaOutput, written: &Written, section: &mut Section<'_>) {
        let (Some(subject), Some(contract)) = (&written.subject, &written.contract) else {
            return;
        };
        // The subject is not known before the event is.
        if subject.contains('{') {
            return;
        }
        let on_break = output
            .contract
            .as_ref()
            .map_or(OnBreak::Halt, |contract| contract.on_break);
        match self.versions.known(subject, &contract.json).await {
            Ok(Some(known)) => check_registry::check(subject, contract, &known, on_break, section),
            Ok(None) => section.broken(
                format!("subject {subject}: no schema registry is configured"),
                "add the section schema_registry",
            ),
            Err(failure) => {
                let remedy = failure
                    .remedy
                    .clone()
                    .unwrap_or_else(|| "check that the registry can be reached from here".to_owned());
                section.broken(format!("subject {subject}: {}", chain(&failure)), remedy);
            }
        }
    }
}

fn file(output: &KafkaOutput, section: &mut Section<'_>) -> Option<Pinned> {
    match pinned(output) {
        Ok(None) => None,
        Ok(Some(pinned)) => {
            let record = pinned.schema.record().map_or("", |record| &record.name.name);
            section.holds(format!(
                "contract {}: the schema of record {record}",
                pinned.label
            ));
            Some(pinned)
        }
        Err(failure) => {
            let remedy =
                "correct `contract.file` or what is in it; `sfbridge contracts init` writes a first one";
            section.broken(chain(&failure), remedy);
            None
        }
    }
}

fn filter(output: &KafkaOutput, section: &mut Section<'_>) -> Option<Filter> {
    match Filter::compile(output.filter.as_deref()?) {
        Ok(filter) => Some(filter),
        Err(error) => {
            section.broken(format!("filter: {}", chain(&error)), "correct `filter`");
            None
        }
    }
}

fn filter_fits(filter: &Filter, found: &Found, section: &mut Section<'_>) {
    let problems = filter.check(&found.schema);
    if problems.is_empty() {
        section.holds(format!("filter: fits {}", found.event.name));
    }
    for problem in problems {
        section.broken(
            format!("filter: {}: {}", problem.subject, problem.rule),
            problem.remedy,
        );
    }
}

fn source_line(report: &mut Report, route: &str, topic: &str, found: &Result<Found, Refusal>) {
    let mut section = report.section(route, None);
    match found {
        Ok(found) => section.holds(format!("{topic} can be read, schema {}", found.event.schema_id)),
        Err(refusal) => section.broken(refusal.message.clone(), refusal.remedy.clone()),
    }
}
