//! The logical operators over four answers: true, false, unknown, failed.
//!
//! An operand that decides the answer alone decides it, whatever the other one is and on whichever side it
//! stands. Otherwise a failure outranks an unknown: a broken filter must be seen, not decided by
//! `filter_unknown`.
//!
//! What stands below the operators, the evaluator of the crate answers. It absorbs errors in the same way
//! inside macros (`exists`, `all`), but of two errors there the one found last is told.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use cel::common::types::CelBool;
use cel::{Context, Value};

use super::error::FilterError;
use super::values::Reading;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Truth {
    Known(bool),
    /// The event does not carry this field.
    Unknown(Arc<String>),
    Failed(FilterError),
}

pub(super) fn truth_of<'a>(
    expression: &'a IdedExpr,
    context: &Context<'_, 'a>,
    reading: &Reading<'a>,
) -> Truth {
    if let Expr::Call(CallExpr { func_name, args, .. }) = &expression.expr {
        let of = |operand: &'a IdedExpr| truth_of(operand, context, reading);
        match (func_name.as_str(), args.as_slice()) {
            (operators::LOGICAL_OR, [left, right]) => return decided_by(true, of(left), || of(right)),
            (operators::LOGICAL_AND, [left, right]) => return decided_by(false, of(left), || of(right)),
            (operators::LOGICAL_NOT, [operand]) => {
                return match of(operand) {
                    Truth::Known(answer) => Truth::Known(!answer),
                    other => other,
                };
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                return match of(condition) {
                    Truth::Known(true) => of(yes),
                    Truth::Known(false) => of(no),
                    other => other,
                };
            }
            _ => {}
        }
    }
    match Value::resolve_val(expression, context) {
        Ok(value) => match value.downcast_ref::<CelBool>() {
            Some(answer) => Truth::Known(*answer.inner()),
            None => Truth::Failed(FilterError::not_boolean(value.get_type().name())),
        },
        Err(error) => reading.uncarried(&error).map_or_else(
            || Truth::Failed(FilterError::of_execution(&error)),
            Truth::Unknown,
        ),
    }
}

/// `||` is decided by true, `&&` by false.
fn decided_by(decisive: bool, left: Truth, right: impl FnOnce() -> Truth) -> Truth {
    if left == Truth::Known(decisive) {
        return left;
    }
    match (left, right()) {
        (_, right) if right == Truth::Known(decisive) => right,
        (failed @ Truth::Failed(_), _) | (_, failed @ Truth::Failed(_)) => failed,
        (unknown @ Truth::Unknown(_), _) | (_, unknown) => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truths() -> [Truth; 4] {
        [
            Truth::Known(true),
            Truth::Known(false),
            Truth::Unknown(Arc::new("Name".to_owned())),
            Truth::Failed(FilterError::not_boolean("int")),
        ]
    }

    #[test]
    fn either_side_decides_and_failures_outrank_unknowns() {
        let [yes, no, unknown, failed] = &truths();
        let table = [
            (yes, yes, yes, yes),
            (yes, no, yes, no),
            (yes, unknown, yes, unknown),
            (yes, failed, yes, failed),
            (no, no, no, no),
            (no, unknown, unknown, no),
            (no, failed, failed, no),
            (unknown, unknown, unknown, unknown),
            (unknown, failed, failed, failed),
            (failed, failed, failed, failed),
        ];
        for (left, right, or, and) in table {
            for (left, right) in [(left, right), (right, left)] {
                let answer = |decisive| decided_by(decisive, left.clone(), || right.clone());
                assert_eq!(&answer(true), or, "{left:?} || {right:?}");
                assert_eq!(&answer(false), and, "{left:?} && {right:?}");
            }
        }
    }
}
