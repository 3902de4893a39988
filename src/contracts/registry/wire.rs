//! What travels to and from a registry, as far as it is of use here. Keys that are not named are ignored.

use serde::{Deserialize, Serialize};

use super::level::Level;

/// Another schema that a schema uses by name, and where it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The full name by which the schema speaks of it.
    pub name: String,
    pub subject: String,
    pub version: u32,
}

/// The place of a schema in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// What stands in front of every record: the same for the same text under all subjects.
    pub id: u32,
    /// Of the subject. The answer to a registration may leave it out.
    #[serde(default)]
    pub version: Option<u32>,
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegisteredSchema {
    pub subject: String,
    pub version: u32,
    pub id: u32,
    /// The schema's text.
    pub schema: String,
    #[serde(default)]
    pub references: Vec<Reference>,
}

/// A schema by its id, with what it needs to be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSchema {
    pub id: u32,
    pub schema: String,
    /// Every schema that it uses, directly or not, each once; none comes before one that it uses itself.
    pub references: Vec<RegisteredSchema>,
}

/// What a compatibility check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compatibility {
    pub is_compatible: bool,
    /// The registry's reasons in its own words. Some registries give none.
    pub messages: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Latest,
    Number(u32),
}

/// What a schema is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    Latest,
    Version(u32),
    /// Every version of the subject, as far as the level asks for.
    All,
}

#[derive(Serialize)]
pub(super) struct SchemaBody<'a> {
    pub(super) schema: &'a str,
    // Left out where there are none: older registries do not know the key.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) references: &'a [Reference],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaById {
    pub(super) schema: String,
    /// Left out for Avro.
    #[serde(default)]
    pub(super) schema_type: Option<String>,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}

/// Confluent lists `messages`; Apicurio 2 says one `reason`, Apicurio 3 nothing.
#[derive(Deserialize)]
pub(super) struct CompatibilityAnswer {
    is_compatible: bool,
    #[serde(default)]
    messages: Option<Vec<String>>,
    #[serde(default)]
    reason: Option<String>,
}

impl From<CompatibilityAnswer> for Compatibility {
    fn from(answer: CompatibilityAnswer) -> Self {
        let told = answer.messages.into_iter().flatten().chain(answer.reason);
        Self {
            is_compatible: answer.is_compatible,
            messages: told.map(|text| reason(&text)).take(REASONS_MAX).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigAnswer {
    pub(super) compatibility_level: Level,
}

#[derive(Serialize)]
pub(super) struct ConfigBody {
    pub(super) compatibility: Level,
}

/// A wide schema that lost its namespace breaks at every field; ten are enough to see it.
const REASONS_MAX: usize = 10;
/// Confluent's registry appends the whole earlier schema to its reason.
const REASON_CHARS_MAX: usize = 500;

/// What a registry said, fit for a log: without the name of its Java exception, and cut.
pub(super) fn reason(text: &str) -> String {
    let text = match text.split_once("Exception: ") {
        Some((class, rest)) if !class.contains(' ') => rest,
        _ => text,
    };
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compatibility(json: &str) -> Compatibility {
        serde_json::from_str::<CompatibilityAnswer>(json)
            .expect("an answer")
            .into()
    }

    #[test]
    fn the_reasons_of_every_registry_are_understood() {
        let confluent = compatibility(r#"{"is_compatible":false,"messages":["b has no default"]}"#);
        assert_eq!(confluent.messages, ["b has no default"]);
        let apicurio = compatibility(r#"{"is_compatible":false,"reason":"b at /fields/1"}"#);
        assert_eq!(apicurio.messages, ["b at /fields/1"]);
        let silent = compatibility(r#"{"is_compatible":true,"reason":null}"#);
        assert!(silent.is_compatible && silent.messages.is_empty());
    }

    #[test]
    fn a_reason_loses_the_exceptions_name_and_what_is_too_long() {
        assert_eq!(
            reason("io.apicurio.RuleViolationException: b at /fields/1"),
            "b at /fields/1"
        );
        assert_eq!(reason("the Exception: of the rule"), "the Exception: of the rule");
        assert_eq!(reason(&"ü".repeat(1000)).chars().count(), REASON_CHARS_MAX + 1);
    }
}
