//! Rules for topic names on both sides, and the one decision about them that outlives loading: which
//! topics a Kafka source `^regex` never matches ([`OwnTopics`]).

use super::checks::{Checked, field_path, shown};
use super::{Config, Flow};

/// What an output's name may hold; each is filled in for every event.
const PLACEHOLDERS: [&str; 3] = ["{entity}", "{event}", "{route}"];
/// Kafka's own limit.
const TOPIC_LENGTH_MAX: usize = 249;

fn is_topic_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn kafka_topic(text: &str) -> Checked {
    if text.len() > TOPIC_LENGTH_MAX || matches!(text, "." | "..") || !text.chars().all(is_topic_character) {
        return shown(format!(
            "must be a Kafka topic: at most {TOPIC_LENGTH_MAX} letters, digits, `.`, `_` and `-`"
        ));
    }
    Ok(())
}

/// Topics that the bridge keeps for itself.
fn is_internal(topic: &str) -> bool {
    topic.starts_with("sfbridge.") || topic.starts_with("_sfbridge.")
}

pub(super) fn output_topic(text: &str) -> Checked {
    let mut fixed = text.to_owned();
    for placeholder in PLACEHOLDERS {
        fixed = fixed.replace(placeholder, "x");
    }
    if fixed.contains(['{', '}']) {
        return shown("the placeholders are {entity}, {event} and {route}");
    }
    kafka_topic(&fixed)?;
    if is_internal(text) {
        return shown("names that begin with `sfbridge.` or `_sfbridge.` are the bridge's own");
    }
    Ok(())
}

pub(super) fn dead_letter_topic(text: &str) -> Checked {
    if text.contains(['{', '}']) {
        return shown("must be one fixed topic, without placeholders");
    }
    kafka_topic(text)?;
    let gaps = text.starts_with("sfbridge.") && text.ends_with(".gaps");
    if gaps || text.starts_with("_sfbridge.") {
        return shown("this name is one of the bridge's own topics");
    }
    Ok(())
}

/// One name or a `^regex`; the expression itself is librdkafka's to judge.
pub(super) fn kafka_source(text: &str) -> Checked {
    if text.starts_with('^') {
        return if text.len() > 1 {
            Ok(())
        } else {
            shown("must have a regular expression after `^`")
        };
    }
    kafka_topic(text)?;
    if text.starts_with("_sfbridge.") {
        return shown("names that begin with `_sfbridge.` are the bridge's own book-keeping");
    }
    Ok(())
}

pub(super) fn salesforce_source(text: &str) -> Checked {
    let (folder, name) = split(text);
    if !is_api_name(name) {
        return shown(
            "must be a Salesforce topic: /event/X__e, /event/X__chn, /data/XChangeEvent, /data/ChangeEvents or /data/X__chn",
        );
    }
    let channel = name.ends_with("__chn");
    match folder {
        "event" if name.ends_with("ChangeEvent") || name == "ChangeEvents" => {
            shown("change events are under /data/, not /event/")
        }
        // Standard events have no suffix, but all of them have the word in their name.
        "event" if channel || name.ends_with("__e") || name.contains("Event") => Ok(()),
        "event" => shown("a platform event ends in __e, a channel of them in __chn"),
        "data" if name.ends_with("__e") => shown("platform events are under /event/, not /data/"),
        "data" if channel || name == "ChangeEvents" || name.ends_with("ChangeEvent") => Ok(()),
        "data" => shown(
            "a change event ends in ChangeEvent (/data/AccountChangeEvent, /data/My_Object__ChangeEvent), a channel of them in __chn",
        ),
        _ => shown("a Salesforce topic begins with /event/ or /data/"),
    }
}

pub(super) fn salesforce_target(text: &str) -> Checked {
    if !text.starts_with('/') {
        return if !is_api_name(text) {
            shown("must be the API name of an sObject, or /event/X__e to publish")
        } else if text.ends_with("__e") {
            shown("a platform event is published under its topic: write /event/ before it")
        } else {
            Ok(())
        };
    }
    let (folder, name) = split(text);
    if folder == "event" && is_api_name(name) && name.ends_with("__e") {
        Ok(())
    } else {
        shown("only platform events can be published: /event/X__e")
    }
}

/// `/event/X__e` → `event`, `X__e`.
fn split(topic: &str) -> (&str, &str) {
    topic
        .strip_prefix('/')
        .and_then(|rest| rest.split_once('/'))
        .unwrap_or_default()
}

fn is_api_name(text: &str) -> bool {
    field_path(text).is_ok() && !text.contains('.') && !text.starts_with('_')
}

/// Topics that a source `^regex` never matches: the bridge's own, and whatever this configuration writes.
#[derive(Debug, Clone)]
pub struct OwnTopics {
    /// Names with placeholders, as configured.
    written: Vec<String>,
}

impl OwnTopics {
    pub fn of(config: &Config) -> Self {
        let mut written = Vec::new();
        for route in &config.routes {
            written.push(route.dead_letter.topic.clone());
            if let Flow::ToKafka(flow) = &route.flow {
                written.extend(
                    flow.to
                        .iter()
                        .map(|output| output.topic.replace("{route}", &route.name)),
                );
            }
        }
        Self { written }
    }

    /// Whether a regex that matches this topic must leave it alone.
    pub fn holds(&self, topic: &str) -> bool {
        is_internal(topic) || self.written.iter().any(|template| may_become(template, topic))
    }
}

/// Whether a name with placeholders can become this topic.
fn may_become(template: &str, topic: &str) -> bool {
    let Some(start) = template.find('{') else {
        return template == topic;
    };
    let (head, rest) = template.split_at(start);
    let Some(end) = rest.find('}') else {
        return false;
    };
    let Some(topic) = topic.strip_prefix(head) else {
        return false;
    };
    // A placeholder stands for one character or more.
    let tail = &rest[end + 1..];
    topic
        .char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .chain([topic.len()])
        .any(|at| at > 0 && may_become(tail, &topic[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_salesforce_topic_is_known() {
        for good in [
            "/event/Order_Shipped__e",
            "/event/ns__Order__e",
            "/event/Orders__chn",
            "/event/LoginEventStream",
            "/event/BatchApexErrorEvent",
            "/data/AccountChangeEvent",
            "/data/My_Object__ChangeEvent",
            "/data/ChangeEvents",
            "/data/Sales__chn",
        ] {
            assert_eq!(salesforce_source(good), Ok(()), "{good}");
        }
        for bad in [
            "Order__e",
            "/event/",
            "/event/a b__e",
            "/event/Order",
            "/event/AccountChangeEvent",
            "/data/Order__e",
            "/data/Account",
            "/topic/InvoiceUpdates",
            "/event/X__e/y",
            "//",
        ] {
            assert!(salesforce_source(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_platform_events_and_objects_are_written_to() {
        for good in ["/event/Order__e", "Account", "My_Object__c"] {
            assert_eq!(salesforce_target(good), Ok(()), "{good}");
        }
        for bad in [
            "/data/AccountChangeEvent",
            "/event/Orders__chn",
            "Order__e",
            "a b",
            "/",
        ] {
            assert!(salesforce_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_placeholder_stands_for_any_part_of_a_name() {
        assert!(may_become("salesforce.cdc.{entity}", "salesforce.cdc.Account"));
        assert!(may_become("a.{entity}.{event}.z", "a.b.c.d.z"));
        assert!(may_become("fixed", "fixed"));
        assert!(!may_become("salesforce.cdc.{entity}", "salesforce.cdc."));
        assert!(!may_become("a.{entity}.z", "a.b.y"));
        assert!(!may_become("fixed", "fixed2"));
    }

    #[test]
    fn a_source_expression_leaves_the_bridges_topics_alone() {
        let own = OwnTopics {
            written: vec!["crm.{entity}".to_owned(), "dead".to_owned()],
        };
        for held in ["sfbridge.x.gaps", "_sfbridge.x.positions", "crm.Account", "dead"] {
            assert!(own.holds(held), "{held}");
        }
        for free in ["orders", "my.sfbridge.x", "crm", "deadly"] {
            assert!(!own.holds(free), "{free}");
        }
    }
}
