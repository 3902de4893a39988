//! Defaults that depend on other keys. They are filled into the tree, so that `config show` shows them.

use super::environment::Environment;
use super::keys::{Key, Presence, Shape};
use super::tree::{Entry, Section, Value};

/// Kafka limits a member's name to 249 characters; names of ours to 100.
const INSTANCE_LENGTH_MAX: usize = 100;

pub(super) fn fill(file: &mut Section, environment: &Environment) {
    let port = admin_port(file);
    let bridge_name = file
        .section("bridge")
        .and_then(|bridge| bridge.text("name"))
        .map(str::to_owned);
    if let Some(bridge) = file.entry_mut("bridge").and_then(Entry::as_section_mut) {
        bridge.fill("instance", Value::Text(instance(&environment.hostname, &port)));
    }
    let Some(Value::List(routes)) = file.entry_mut("routes").map(|entry| &mut entry.value) else {
        return;
    };
    for route in routes.iter_mut().filter_map(Entry::as_section_mut) {
        if let (Some(bridge), Some(dead_letter)) = (
            &bridge_name,
            route.entry_mut("dead_letter").and_then(Entry::as_section_mut),
        ) {
            dead_letter.fill("kafka", Value::Text(format!("sfbridge.{bridge}.dead-letters")));
        }
        fill_outputs(route);
        if route
            .section("from")
            .is_some_and(|from| from.form() == "from.kafka")
        {
            // Of no meaning there: `rules` refuse them where given, and defaults would only mislead.
            let is_ours = |entry: &Entry| entry.given || !matches!(entry.key.name, "delivery" | "commit");
            route.entries.retain(is_ours);
        }
    }
}

fn fill_outputs(route: &mut Section) {
    let topic = route
        .section("from")
        .and_then(|from| from.text("salesforce"))
        .map(str::to_owned);
    let is_change = topic.is_some_and(|topic| topic.starts_with("/data/"));
    let has_several = route.sections("to").count() > 1;
    let projects = route
        .sections("to")
        .any(|output| output.entry("fields").is_some() || has_contract_file(output));

    let diff = if projects { "refetch" } else { "pass" };
    if let Some(from) = route.entry_mut("from").and_then(Entry::as_section_mut) {
        from.fill("on_diff", Value::Choice(diff));
    }
    for output in sections_mut(route.entry_mut("to")) {
        let key = if is_change { "record_id" } else { "event_id" };
        let tombstone = if output.entry("external_id").is_some() {
            "delete"
        } else {
            "dead_letter"
        };
        match output.form() {
            "to.kafka" => output.fill("key", Value::Text(key.to_owned())),
            _ => output.fill("on_tombstone", Value::Choice(tombstone)),
        }
        // A record in Avro always has a contract, if only the followed one.
        let is_avro = output.text("format") == Some("avro");
        if let (true, Some(contract)) = (is_avro, empty_section(output, "contract")) {
            output.fill("contract", Value::Section(contract));
        }
        let on_break = if has_contract_file(output) && has_several {
            "dead_letter"
        } else {
            "halt"
        };
        if let Some(contract) = output.entry_mut("contract").and_then(Entry::as_section_mut) {
            contract.fill("on_break", Value::Choice(on_break));
        }
    }
}

fn has_contract_file(output: &Section) -> bool {
    output
        .section("contract")
        .is_some_and(|contract| contract.entry("file").is_some())
}

/// A section that the file leaves out.
fn empty_section(parent: &Section, name: &str) -> Option<Section> {
    let of = |key: &&Key| key.name == name && !matches!(key.presence, Presence::Required);
    match parent.keys.iter().find(of)?.shape {
        Shape::Section(keys) => Some(Section {
            at: parent.at,
            path: super::read::join(&parent.path, name),
            keys,
            variant: None,
            entries: Vec::new(),
        }),
        _ => None,
    }
}

fn sections_mut(entry: Option<&mut Entry>) -> Vec<&mut Section> {
    match entry.map(|entry| &mut entry.value) {
        Some(Value::List(items)) => items.iter_mut().filter_map(Entry::as_section_mut).collect(),
        Some(Value::Section(section)) => vec![section],
        _ => Vec::new(),
    }
}

fn admin_port(file: &Section) -> String {
    let listen = file.section("admin").and_then(|admin| admin.text("listen"));
    let port = listen
        .and_then(|listen| listen.rsplit_once(':'))
        .map(|(_, port)| port);
    port.unwrap_or("9400").to_owned()
}

/// `<hostname>-<admin port>`, as a member of a Kafka group may be called.
fn instance(hostname: &str, port: &str) -> String {
    let room = INSTANCE_LENGTH_MAX - port.len() - 1;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let host: String = hostname.chars().map(plain).take(room).collect();
    format!("{host}-{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_after_host_and_port() {
        assert_eq!(instance("pod-7", "9400"), "pod-7-9400");
        assert_eq!(instance("Büro Süd", "1"), "B-ro-S-d-1");
        assert_eq!(instance(&"x".repeat(300), "9400").len(), 100);
    }
}
