//! A route's CEL expressions, compiled.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::expression::{Expression, NoAnswer};
use super::{Decoded, Refusal};
use crate::config::expression::Fault;
use crate::error::{ErrorKind, Failure};

/// An expression of the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {route}: {place}, {fault}")]
pub struct CompileError {
    pub route: String,
    /// `to.filter`, `to.fields.Shipped_At__c`.
    pub place: String,
    pub fault: Fault,
}

impl From<CompileError> for Failure {
    fn from(error: CompileError) -> Self {
        Self::new(ErrorKind::Misconfigured, error.to_string()).remedy(format!("correct {}", error.place))
    }
}

/// The filter and the field expressions of one route.
#[derive(Debug)]
pub struct Program {
    route: String,
    filter: Option<Expression>,
    fields: Vec<(String, Expression)>,
}

impl Program {
    /// Compiles a route's expressions. Without `fields`, fields of the same name are taken.
    ///
    /// # Errors
    /// Every expression that is none, or that uses a variable or a function that does not exist.
    pub fn compile(
        route: &str,
        filter: Option<&str>,
        fields: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<CompileError>> {
        let mut errors = Vec::new();
        let mut compiled = |place: String, text: &str| {
            let expression = Expression::compile(text);
            expression
                .map_err(|fault| {
                    errors.push(CompileError {
                        route: route.to_owned(),
                        place,
                        fault,
                    });
                })
                .ok()
        };
        let filter = filter.and_then(|text| compiled("to.filter".to_owned(), text));
        let fields = fields.iter().filter_map(|(field, text)| {
            let expression = compiled(format!("to.fields.{field}"), text)?;
            Some((field.clone(), expression))
        });
        let fields = fields.collect();
        if errors.is_empty() {
            Ok(Self {
                route: route.to_owned(),
                filter,
                fields,
            })
        } else {
            Err(errors)
        }
    }

    /// Whether the record is to be sent. A tombstone is, where the filter needs a member of its value.
    ///
    /// # Errors
    /// When the filter has no answer: it needs a member that the value lacks, or the types do not fit.
    pub fn keeps(&self, record: &Decoded) -> Result<bool, Refusal> {
        let Some(filter) = &self.filter else {
            return Ok(true);
        };
        match filter.truth(record) {
            Ok(answer) => Ok(answer),
            Err(NoAnswer::Missing(_)) if record.value.is_none() && filter.reads_value() => Ok(true),
            Err(NoAnswer::Missing(path)) => {
                let what = path.unwrap_or_else(|| "a member".to_owned());
                Err(Refusal::of_record(format!(
                    "the filter has no answer: it needs {what}, which the record lacks; ask `has()` first"
                )))
            }
            Err(NoAnswer::Broken(rule)) => {
                Err(Refusal::of_record(format!("the filter has no answer: {rule}")))
            }
        }
    }

    /// Whether fields of the same name are taken.
    pub(super) const fn is_by_name(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn route(&self) -> &str {
        &self.route
    }

    /// The target fields that the configuration names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a field's value can be told without the record's value.
    pub(super) fn is_of_key_alone(&self, field: usize) -> bool {
        self.fields
            .get(field)
            .is_some_and(|(_, expression)| !expression.reads_value())
    }

    /// A field's value; `None`: missing.
    pub(super) fn value(&self, field: usize, record: &Decoded) -> Result<Option<Json>, Refusal> {
        let Some((name, expression)) = self.fields.get(field) else {
            return Ok(None);
        };
        match expression.answer(record) {
            Ok(value) => Ok(Some(value)),
            Err(NoAnswer::Missing(_)) => Ok(None),
            Err(NoAnswer::Broken(rule)) => Err(Refusal::of_field(name, rule)),
        }
    }
}
