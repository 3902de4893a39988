//! Why a record is not sent.

use std::fmt;

use crate::error::{ErrorKind, Failure};

/// A record, or a field of the mapping, that cannot be sent as it is. Sending it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The Salesforce field concerned, where one is.
    pub field: Option<String>,
    /// For the dead letter: names the field, the rule and the type of what was found, never a value.
    pub reason: String,
    /// For logs, metrics and the API.
    pub public: String,
}

impl Refusal {
    pub(in crate::routes) fn of_record(rule: impl Into<String>) -> Self {
        let rule = rule.into();
        Self {
            field: None,
            public: rule.clone(),
            reason: rule,
        }
    }

    pub(super) fn of_field(field: &str, rule: impl fmt::Display) -> Self {
        let text = format!("field {field}: {rule}");
        Self {
            field: Some(field.to_owned()),
            public: text.clone(),
            reason: text,
        }
    }
}

impl Refusal {
    /// What a target's constructor refused, as what halts the route: somebody must correct the mapping, the object or
    /// the user's permissions.
    pub fn halt(route: &str, refusals: &[Self]) -> Failure {
        let rules: Vec<_> = refusals.iter().map(|refusal| refusal.public.as_str()).collect();
        let message = format!("route {route}: the mapping does not fit: {}", rules.join("; "));
        Failure::new(ErrorKind::Denied, message)
            .remedy("correct the route's fields, or let the user write them, then resume")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorKind::Poison, refusal.public)
    }
}
