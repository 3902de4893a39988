//! Rules between the keys of a route, and between routes.

use std::collections::BTreeMap;

use super::problem::seen;
use super::rules::Findings;
use super::tree::Section;

pub(super) fn check(file: &Section, findings: &mut Findings) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for route in file.sections("routes") {
        if let (Some(name), Some(entry)) = (route.text("name"), route.entry("name")) {
            if let Some(line) = names.get(name) {
                let message = format!(
                    "{} is also the name of the route in line {line}; names are unique",
                    seen(name)
                );
                findings.at(entry, message);
            }
            names.entry(name).or_insert(entry.at.line);
        }
        directions(route, findings);
        for output in route.sections("to") {
            match output.form() {
                "to.kafka" => kafka_output(file, route, output, findings),
                "to.salesforce with an sObject" => sobject(output, findings),
                _ => {}
            }
        }
        kafka_source(file, route, findings);
    }
    written_twice(file, findings);
    dead_letters(file, findings);
}

/// A route has Salesforce on one side and Kafka on the other.
fn directions(route: &Section, findings: &mut Findings) {
    let Some(from) = route.section("from") else { return };
    let from_salesforce = from.form() == "from.salesforce";
    let outputs: Vec<&Section> = route.sections("to").collect();
    for output in &outputs {
        if from_salesforce != (output.form() == "to.kafka") {
            let (there, other) = if from_salesforce {
                ("Salesforce", "Kafka")
            } else {
                ("Kafka", "Salesforce")
            };
            findings.of(
                output,
                format!(
                    "the route comes from {there}, so it goes to {other}; give `{}`",
                    other.to_ascii_lowercase()
                ),
            );
        }
    }
    if from_salesforce {
        return;
    }
    if let (true, Some(entry)) = (outputs.len() > 1, route.entry("to")) {
        findings.at(
            entry,
            "a route to Salesforce has one target; make a route for each",
        );
    }
    for name in ["delivery", "commit"] {
        if let Some(entry) = route.given(name) {
            findings.at(entry, "is for routes from Salesforce to Kafka; remove it here");
        }
    }
}

fn kafka_output(file: &Section, route: &Section, output: &Section, findings: &mut Findings) {
    let topic = route.section("from").and_then(|from| from.text("salesforce"));
    let is_event = topic.is_some_and(|topic| topic.starts_with("/event/"));
    let is_avro = output.text("format") == Some("avro");
    let key = output.text("key");

    if let (true, Some("record_id"), Some(entry)) = (is_event, key, output.entry("key")) {
        findings.at(
            entry,
            "platform events have no record id; use event_id, field:<Name> or none",
        );
    }
    if let (Some(true), Some(entry)) = (output.bool("tombstones"), output.entry("tombstones")) {
        if is_event {
            findings.at(entry, "only change events have a DELETE; remove it");
        } else if matches!(key, Some("none" | "event_id")) {
            findings.at(
                entry,
                "a tombstone needs the key of what it removes: `key: record_id`",
            );
        }
    }
    if let (true, None, Some(entry)) = (is_avro, file.entry("schema_registry"), output.entry("format")) {
        findings.at(
            entry,
            "avro needs the section schema_registry with the registry's URL",
        );
    }
    if let (Some("drop"), None, Some(entry)) = (
        output.text("filter_unknown"),
        output.entry("filter"),
        output.entry("filter_unknown"),
    ) {
        findings.at(
            entry,
            "drop says what a filter does, and there is no `filter`; remove it",
        );
    }
    if let Some(fields) = output.section("fields") {
        match (fields.entry("include"), fields.entry("exclude")) {
            (None, None) => findings.of(fields, "needs include or exclude, with a list of fields"),
            (Some(_), Some(entry)) => findings.at(entry, "give either include or exclude, not both"),
            _ => {}
        }
    }
    if let Some(contract) = output.section("contract") {
        let has_file = contract.entry("file").is_some();
        if let (true, Some("new_subject"), Some(entry)) =
            (has_file, contract.text("on_break"), contract.entry("on_break"))
        {
            findings.at(
                entry,
                "new_subject is for a contract without a file; use halt or dead_letter",
            );
        }
        if !has_file && !is_avro && output.text("format").is_some() {
            findings.of(
                contract,
                "without a file it is registered in the schema registry, which needs `format: avro`",
            );
        }
    }
}

fn sobject(target: &Section, findings: &mut Findings) {
    let operation = target.text("operation");
    let external_id = target.entry("external_id");
    if let (Some("upsert"), None, Some(entry)) = (operation, external_id, target.entry("operation")) {
        findings.at(entry, "upsert finds records by external_id; give the field");
    }
    if let (Some(entry), Some("delete"), None) = (
        target.given("on_tombstone"),
        target.text("on_tombstone"),
        external_id,
    ) {
        findings.at(
            entry,
            "the record key is taken for the external id; give external_id",
        );
    }
    if let (Some("insert"), Some("bulk"), Some(entry)) = (operation, target.text("via"), target.given("via"))
    {
        findings.at(
            entry,
            "the rows of a bulk insert have no key to find their records by: one that is repeated would insert them all again; upsert by an external_id, or take collections",
        );
    }
}

fn kafka_source(file: &Section, route: &Section, findings: &mut Findings) {
    let Some(from) = route.section("from").filter(|from| from.form() == "from.kafka") else {
        return;
    };
    let topics: Vec<_> = from.texts("kafka").collect();
    for (index, (entry, topic)) in topics.iter().enumerate() {
        if topic.starts_with('^') && topics.len() > 1 {
            findings.at(entry, "a `^regex` stands alone; put the other topics into it");
        }
        if topics[..index].iter().any(|(_, earlier)| earlier == topic) {
            findings.at(entry, format!("{} is in the list twice", seen(topic)));
        }
    }
    let is_avro = |name| from.text(name) == Some("avro");
    for name in ["format", "key_format"] {
        if let (true, None, Some(entry)) = (is_avro(name), file.entry("schema_registry"), from.entry(name)) {
            findings.at(
                entry,
                "avro needs the section schema_registry with the registry's URL",
            );
        }
    }
    if let (Some("text"), Some(entry)) = (from.text("key_format"), from.entry("key_field")) {
        findings.at(entry, "a text key has no fields; set key_format to json or avro");
    }
}

/// The same events into the same topic twice, with nothing to tell them apart.
fn written_twice(file: &Section, findings: &mut Findings) {
    let mut seen_already: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for route in file.sections("routes") {
        let Some(source) = route.section("from").and_then(|from| from.text("salesforce")) else {
            continue;
        };
        for output in route.sections("to") {
            let (Some(topic), None) = (output.text("kafka"), output.entry("filter")) else {
                continue;
            };
            let Some(entry) = output.entry("kafka") else {
                continue;
            };
            let topic = topic.replace("{route}", route.text("name").unwrap_or_default());
            if let Some(line) = seen_already.get(&(source, topic.clone())) {
                findings.at(
                    entry,
                    format!("line {line} writes the same events to this topic: each would be there twice; remove one or give it a filter"),
                );
            }
            seen_already.entry((source, topic)).or_insert(entry.at.line);
        }
    }
}

/// Dead letters have a shape of their own; readers of a data topic must not find them there.
fn dead_letters(file: &Section, findings: &mut Findings) {
    let mut outputs: BTreeMap<&str, usize> = BTreeMap::new();
    for route in file.sections("routes") {
        for output in route.sections("to") {
            if let (Some(topic), Some(entry)) = (output.text("kafka"), output.entry("kafka")) {
                outputs.insert(topic, entry.at.line);
            }
        }
    }
    for route in file.sections("routes") {
        let Some(dead_letter) = route.section("dead_letter") else {
            continue;
        };
        let (Some(entry), Some(topic)) = (dead_letter.given("kafka"), dead_letter.text("kafka")) else {
            continue;
        };
        if let Some(line) = outputs.get(topic) {
            findings.at(
                entry,
                format!(
                    "line {line} writes events to {}; dead letters need a topic of their own",
                    seen(topic)
                ),
            );
        }
        let sources = route
            .section("from")
            .map(|from| from.texts("kafka").any(|(_, source)| source == topic));
        if sources == Some(true) {
            findings.at(
                entry,
                format!(
                    "{} is what this route reads: a dead letter would come back for ever",
                    seen(topic)
                ),
            );
        }
    }
}
