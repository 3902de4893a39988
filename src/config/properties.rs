//! `kafka.properties` and other maps with free keys. Properties that carry the guarantees are refused; a
//! value is a secret unless its name is known to be harmless.

use super::checks::{self, Refusal};
use super::problem::Position;
use super::read::{FILE_SUFFIX, NO_VALUE, NO_WORD, Reader, is_word, join};
use super::secret::Secret;
use super::tree::{Property, Value};
use super::yaml::{Kind, Node};

impl Reader<'_> {
    pub(super) fn properties(&mut self, node: &Node, path: &str) -> Option<Value> {
        let mut properties: Vec<Property> = Vec::new();
        for pair in self.pairs(node, path)? {
            let place = join(path, &pair.key);
            let (name, from_file) = match pair.key.strip_suffix(FILE_SUFFIX) {
                Some(name) => (name, true),
                None => (pair.key.as_str(), false),
            };
            if pair.value.is_null() {
                self.problem(pair.key_at, path, format!("{NO_VALUE}; give it one or remove it"));
                continue;
            }
            if !is_word(name) {
                self.problem(pair.key_at, &place, NO_WORD);
                continue;
            }
            if let Some(why) = refused(name) {
                self.problem(pair.key_at, &place, why);
                continue;
            }
            if let Kind::Mapping(_) | Kind::List(_) = pair.value.kind {
                let message =
                    "takes a single value; write the whole name in one key, such as `sasl.password`";
                self.problem(pair.key_at, &place, message);
                continue;
            }
            let value = if from_file {
                self.secret_file(&pair.value, &place)
            } else {
                self.scalar(&pair.value, &place).map(|scalar| scalar.text)
            };
            self.add(&mut properties, name, pair.key_at, &place, value);
        }
        Some(Value::Properties(properties))
    }

    pub(super) fn expressions(&mut self, node: &Node, path: &str) -> Option<Value> {
        let mut expressions: Vec<Property> = Vec::new();
        for pair in self.pairs(node, path)? {
            let place = join(path, &pair.key);
            if super::checks::field_path(&pair.key).is_err() {
                self.problem(
                    pair.key_at,
                    &place,
                    "the key must be the API name of a Salesforce field",
                );
                continue;
            }
            let value = self.scalar(&pair.value, &place).map(|scalar| scalar.text);
            let whole = value.filter(|text| {
                let refused = match (checks::closed_expression(text), checks::expression(text)) {
                    (Err(_), _) => {
                        "must be a CEL expression, in which quotes and brackets are closed".to_owned()
                    }
                    (_, Err(Refusal::Shown(rule) | Refusal::Hidden(rule))) => rule,
                    (Ok(()), Ok(())) => return true,
                };
                self.problem(pair.value.at, &place, refused);
                false
            });
            self.add(&mut expressions, &pair.key, pair.key_at, &place, whole);
        }
        Some(Value::Expressions(expressions))
    }

    fn add(&mut self, to: &mut Vec<Property>, name: &str, at: Position, path: &str, value: Option<String>) {
        if let Some(first) = to.iter().find(|property| property.name == name) {
            let line = first.at.line;
            self.problem(
                at,
                path,
                format!("is given twice, first in line {line}; remove one"),
            );
        } else if let Some(value) = value {
            to.push(Property {
                name: name.to_owned(),
                at,
                value: Secret::new(value),
            });
        }
    }
}

/// Why a librdkafka property may not be set, if so.
fn refused(name: &str) -> Option<&'static str> {
    Some(match name {
        "transactional.id" => {
            "is the bridge's: it is made of the bridge's and the route's name and fences an earlier owner; remove it"
        }
        "enable.idempotence" => "is always on: without it a retried send could double a record; remove it",
        "acks" | "request.required.acks" => {
            "is always `all`: with less, a broker's loss would lose records; remove it"
        }
        "isolation.level" => {
            "is set where it matters: a position must be read with read_committed; remove it"
        }
        "partitioner" => {
            "is always murmur2_random, as Java's, so that all producers of a topic agree on partitions; remove it"
        }
        "auto.offset.reset" => {
            "is always `error`: a lost position must be reported; use `start` and `on_lost_position` of the route"
        }
        "enable.auto.commit" | "auto.commit.enable" => {
            "is always off: an offset is committed when Salesforce has answered for its record; remove it"
        }
        "bootstrap.servers" | "metadata.broker.list" => "stands in `kafka.bootstrap_servers`; remove it here",
        _ if name.starts_with("group.") => {
            "is the bridge's: groups and members are named after `bridge` and the routes; remove it"
        }
        _ => return None,
    })
}

/// Whether `config show` may print the property's value. What is not known to be harmless is masked.
pub(super) fn is_harmless(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.oauthbearer.method",
        "sasl.kerberos.service.name",
        "ssl.ca.location",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
        "compression.type",
        "compression.codec",
        "compression.level",
        "client.rack",
        "debug",
    ];
    /// Families of sizes and times.
    const FAMILIES: [&str; 8] = [
        "socket.",
        "queue.",
        "queued.",
        "batch.",
        "linger.",
        "fetch.",
        "metadata.max.",
        "message.",
    ];
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_the_guarantees_is_refused_with_a_reason() {
        for name in [
            "transactional.id",
            "enable.idempotence",
            "acks",
            "isolation.level",
            "partitioner",
            "auto.offset.reset",
            "enable.auto.commit",
            "group.id",
            "group.instance.id",
        ] {
            assert!(refused(name).is_some(), "{name}");
        }
        assert_eq!(refused("compression.type"), None);
    }

    #[test]
    fn a_property_that_nobody_listed_is_masked() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "x",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
        assert!(is_harmless("security.protocol"));
    }
}
