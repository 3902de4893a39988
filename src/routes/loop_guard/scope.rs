//! Which objects the guard is needed for: those that some route writes and some route skips own writes of.

use std::collections::HashSet;

use crate::config::{Flow, RouteConfig, SalesforceTarget};

/// What the configuration says. The instances of a bridge share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Objects that routes write, in lower case.
    written: HashSet<String>,
    /// Objects that routes skip own writes of, in lower case.
    skipped: HashSet<String>,
    /// Some route skips on a channel, which may carry any object.
    skips_any: bool,
    skipping_routes: usize,
}

impl Scope {
    pub fn new(routes: &[RouteConfig]) -> Self {
        let mut scope = Self::default();
        for route in routes {
            match &route.flow {
                Flow::ToSalesforce(flow) => {
                    if let SalesforceTarget::Object { sobject, .. } = &flow.to {
                        scope.written.insert(sobject.to_ascii_lowercase());
                    }
                }
                // A platform event says nothing of who changed what.
                Flow::ToKafka(flow) if flow.from.skip_own_writes && flow.from.topic.starts_with("/data/") => {
                    scope.skipping_routes += 1;
                    match object_of(&flow.from.topic) {
                        Some(object) => {
                            scope.skipped.insert(object);
                        }
                        None => scope.skips_any = true,
                    }
                }
                Flow::ToKafka(_) => {}
            }
        }
        scope
    }

    #[cfg(test)]
    pub(super) fn of(written: &[&str], skipped: &[&str]) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            written: names(written),
            skipped: names(skipped),
            skips_any: false,
            skipping_routes: 1,
        }
    }

    /// Whether writes of the object are to be announced.
    pub fn is_needed(&self, sobject: &str) -> bool {
        self.skips_any || self.skipped.contains(&sobject.to_ascii_lowercase())
    }

    /// Whether any route writes records: then every own write is announced, and a client name alone proves nothing
    /// (what automation changes in the same transaction carries it too).
    pub fn is_announced(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether the bridge writes the object at all.
    pub fn is_written(&self, sobject: &str) -> bool {
        self.written.contains(&sobject.to_ascii_lowercase())
    }

    /// Whether one route alone skips: what it has seen back nobody else waits for.
    pub fn has_one_skipping_route(&self) -> bool {
        self.skipping_routes == 1
    }
}

/// The object of a topic, in lower case; `None` for channels.
fn object_of(topic: &str) -> Option<String> {
    let name = topic.strip_prefix("/data/")?;
    let custom = name
        .strip_suffix("__ChangeEvent")
        .map(|object| format!("{object}__c"));
    let object = custom.or_else(|| name.strip_suffix("ChangeEvent").map(str::to_owned))?;
    (!object.is_empty()).then(|| object.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_tells_its_object_and_a_channel_any() {
        assert_eq!(object_of("/data/AccountChangeEvent").as_deref(), Some("account"));
        assert_eq!(object_of("/data/Foo__ChangeEvent").as_deref(), Some("foo__c"));
        for channel in ["/data/ChangeEvents", "/data/All__chn", "/event/X__e"] {
            assert_eq!(object_of(channel), None, "{channel}");
        }
    }
}
