//! What can be wrong with a filter: its text, its fit with an event, one evaluation.

use cel::ExecutionError;

use crate::config::expression::Fault;
use crate::error::{ErrorKind, Failure};

/// A filter that cannot be used, or that has no answer for one event.
///
/// The evaluator's own errors hold the values they stumbled over. None of them is kept, not as a source
/// either: what is told is the rule and the types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The text is none of a filter.
    #[error("filter, {0}")]
    Text(#[from] Fault),
    /// The filter and this event do not go together.
    #[error("the filter has no answer: {0}")]
    Evaluation(String),
}

impl FilterError {
    pub(super) fn of_execution(error: &ExecutionError) -> Self {
        Self::Evaluation(rule_of(error))
    }

    pub(super) fn not_boolean(found: &str) -> Self {
        Self::Evaluation(format!("it must be true or false, and is {found}"))
    }
}

/// The rule that an evaluation broke, and the types; never a value.
pub(in crate::routes) fn rule_of(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(overload) => {
            no_overload(overload.function(), &overload.argument_types().join(", "))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            let operator = match *operator {
                "add" => "+",
                "sub" => "-",
                "mul" => "*",
                "div" => "/",
                "rem" => "%",
                other => other,
            };
            no_overload(operator, &format!("{}, {}", left.type_of(), right.type_of()))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} have no order", left.type_of(), right.type_of())
        }
        ExecutionError::UnexpectedType { .. } => "a value is of another type than its place wants".to_owned(),
        ExecutionError::NoSuchKey(_) => "it reads a field or a key that is not there".to_owned(),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => {
            format!("`{operator}` has a result of more than 64 bits")
        }
        ExecutionError::IndexOutOfBounds(_) => "it reads beyond the end of a list".to_owned(),
        ExecutionError::DuplicateKey(_) => "it makes a map with a key twice".to_owned(),
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` cannot take what it is given")
        }
        ExecutionError::InternalError(_) => "a field cannot be read".to_owned(),
        _ => "an operation does not fit its operands".to_owned(),
    }
}

fn no_overload(function: &str, operands: &str) -> String {
    let null = if operands.contains("null") {
        "; a field may be null, so ask `!= null` first"
    } else {
        ""
    };
    format!(
        "`{}` does not take ({operands}){null}",
        function.trim_matches(['_', '@'])
    )
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        let (kind, remedy) = match error {
            FilterError::Text(_) => (ErrorKind::Misconfigured, "correct the route's filter"),
            FilterError::Evaluation(_) => (ErrorKind::Poison, "correct the route's filter"),
        };
        Self::new(kind, error.to_string()).remedy(remedy)
    }
}

/// Where a filter does not fit an event's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {rule}; {remedy}")]
pub struct FilterProblem {
    /// `event.BillingAddress.City`; of the filter as a whole, `filter`.
    pub subject: String,
    pub rule: String,
    pub remedy: String,
}
