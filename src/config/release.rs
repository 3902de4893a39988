//! The release gate. A configuration may be valid and ask for what a later release brings: that is
//! refused at start, never ignored. Which key or value comes when stands in `keys`.

use super::keys::{Key, Release, Shape};
use super::problem::Problem;
use super::tree::{Entry, Section, Value};

pub(super) fn unsupported(file: &Section) -> Vec<Problem> {
    let mut problems = Vec::new();
    section(file, &mut problems);
    problems
}

fn section(section: &Section, problems: &mut Vec<Problem>) {
    let later = |entry: &&Entry| flow_to_come(entry).is_some();
    // One line for a route of a direction that is not there yet, not one for each of its keys.
    if let Some((entry, since)) = section
        .entries
        .iter()
        .find(later)
        .and_then(|entry| Some((entry, flow_to_come(entry)?)))
    {
        let message = format!(
            "routes from Kafka to Salesforce {}: remove the route",
            arrive("arrive", since)
        );
        let at = entry.as_section().map_or(entry.at, |from| from.at);
        problems.push(Problem::new(at, format!("{}.kafka", entry.path), message));
        return;
    }
    for entry in section.entries.iter().filter(|entry| entry.given) {
        check(entry, problems);
    }
}

/// The release of a `from` whose direction comes later.
fn flow_to_come(entry: &Entry) -> Option<Release> {
    let variant = entry.as_section()?.variant?;
    (entry.key.name == "from" && !variant.since.has_come()).then_some(variant.since)
}

fn check(entry: &Entry, problems: &mut Vec<Problem>) {
    if !entry.key.since.has_come() {
        let message = format!("{}: remove it", arrive("arrives", entry.key.since));
        problems.push(Problem::new(entry.at, &*entry.path, message));
        return;
    }
    match &entry.value {
        Value::Section(inner) => section(inner, problems),
        Value::List(items) => {
            for item in items {
                check(item, problems);
            }
        }
        value => {
            if let Some((shown, since, instead)) = value_to_come(entry.key, value) {
                let message = format!("{shown} {}: use {instead}", arrive("arrives", since));
                problems.push(Problem::new(entry.at, &*entry.path, message));
            }
        }
    }
}

fn arrive(verb: &str, since: Release) -> String {
    format!("{verb} with sfbridge {since}; this is {}", Release::CURRENT)
}

/// The value, the release that brings it, and what to write until then.
fn value_to_come(key: &Key, value: &Value) -> Option<(String, Release, String)> {
    let (shown, since, instead) = match (&key.shape, value) {
        (Shape::Choice(choices), Value::Choice(name)) => {
            let since = choices.iter().find(|choice| choice.name == *name)?.since;
            let now = choices
                .iter()
                .filter(|choice| choice.since.has_come())
                .map(|choice| choice.name);
            ((*name).to_owned(), since, now.collect::<Vec<_>>().join(" or "))
        }
        (Shape::Bool(since), Value::Bool(true)) => ("true".to_owned(), *since, "false".to_owned()),
        (Shape::Text(rule), Value::Text(text)) => (
            text.clone(),
            (rule.since)(text),
            "record_id, event_id or none".to_owned(),
        ),
        _ => return None,
    };
    (!since.has_come()).then_some((shown, since, instead))
}
