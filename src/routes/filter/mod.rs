//! Filters: one CEL expression says which events a route's output writes.
//!
//! * **In**: the expression's text, once a run ([`Filter::compile`]); every schema of the events it will meet
//!   ([`Filter::check`]); each event in place ([`Filter::evaluate`]).
//! * **Out**: [`Verdict`]. What an event does not carry is absent from `event`, not null: an answer that needs
//!   it is [`Verdict::Unknown`], unless the rest of the expression decides alone. `has()` is never unknown.
//! * `header` holds a change event's header by Salesforce's names and is empty for a platform event; `event`
//!   holds the body. Times and days are CEL timestamps, a day its midnight in UTC. Only the fields that an
//!   evaluation comes upon are decoded.
//! * An ordering (`<`, `>=`, …) or a text function over a field that is null is false, as in SOQL.
//! * **Errors** are those of the filter against an event: a type that does not fit, a division by zero. They
//!   name rules and types, never a value. Nothing is dropped because of one: the caller dead-letters.
//!
//! Pure; `Send + Sync`.

mod check;
mod decode;
mod error;
mod logic;
pub(in crate::routes) mod plan;
pub(in crate::routes) mod values;

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env};

pub(in crate::routes) use self::error::rule_of;
pub use self::error::{FilterError, FilterProblem};
use self::logic::Truth;
use self::plan::Plan;
use self::values::{Body, Fields, Header, Reading};
use crate::config::expression;
use crate::salesforce::event::{EventSchema, EventView};

/// Functions and types of CEL's standard library.
pub(in crate::routes) static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What a filter says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Drop,
    /// The answer needs a field that the event does not carry: `filter_unknown` decides.
    Unknown {
        field: Arc<String>,
    },
}

/// A compiled filter.
pub struct Filter {
    text: String,
    plan: Plan,
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// When the text is no expression, or uses a variable or a function that does not exist.
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        let program = expression::parse(text)?;
        let plan = plan::plan(&program, &Context::with_env(Arc::clone(&STANDARD)))?;
        expression::check_depth(&plan.expression)?;
        Ok(Self {
            text: text.to_owned(),
            plan,
        })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the body is never looked at: no verdict is unknown, and a body need not be indexed.
    pub const fn is_header_only(&self) -> bool {
        !self.plan.reads_event
    }

    /// What cannot work with events of this schema.
    pub fn check(&self, schema: &EventSchema) -> Vec<FilterProblem> {
        check::check(&self.plan.expression, schema)
    }

    /// Decides about one event.
    ///
    /// # Errors
    /// When the filter has no answer for a reason other than a field that is not carried.
    pub fn evaluate(&self, view: &EventView<'_>) -> Result<Verdict, FilterError> {
        let reading = Reading::new(*view);
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        context.add_variable_as_val(plan::HEADER, Box::new(Fields::new(Header(view.header()))));
        context.add_variable_as_val(plan::EVENT, Box::new(Fields::new(Body(&reading))));
        match logic::truth_of(&self.plan.expression, &context, &reading) {
            Truth::Known(true) => Ok(Verdict::Keep),
            Truth::Known(false) => Ok(Verdict::Drop),
            Truth::Unknown(field) => Ok(Verdict::Unknown { field }),
            Truth::Failed(error) => Err(error),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests;
