//! From the parsed text to the expression that is evaluated, and what it reads.
//!
//! * A path, `event.BillingAddress.City` or `event["BillingAddress"]["City"]`, becomes one name of `event`,
//!   so that what a change carries is asked of the whole path: `has()` of a child of an absent compound is
//!   false, not unknown.
//! * An ordering or a text function over a field asks first whether the field is null, and is false then, as
//!   in SOQL. CEL's own answer is an error, and nearly every field of Salesforce may be null.
//! * Names are checked: variables, functions. What nothing declares would fail with every event.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use cel::{Context, ExecutionError, Program, Value};

use crate::config::expression::Fault;

pub(super) const EVENT: &str = "event";
pub(super) const HEADER: &str = "header";

/// Functions of a text that answer true or false.
const TEXT_TESTS: [&str; 4] = ["contains", "startsWith", "endsWith", "matches"];
pub(super) const ORDERINGS: [&str; 4] = [
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
];

pub(super) struct Plan {
    pub(super) expression: IdedExpr,
    pub(super) reads_event: bool,
}

pub(super) fn plan(program: &Program, declared: &Context<'_, '_>) -> Result<Plan, Fault> {
    let mut planner = Planner {
        program,
        declared,
        bound: Vec::new(),
        reads_event: false,
    };
    let expression = planner.rewrite(program.expression().clone())?;
    Ok(Plan {
        expression,
        reads_event: planner.reads_event,
    })
}

/// The path behind `event` or `header`, if the expression is nothing else. Empty: the whole of it.
pub(super) fn path_of<'a>(root: &str, expression: &'a IdedExpr) -> Option<Vec<&'a str>> {
    let step = |operand: &'a IdedExpr, name: &'a str| {
        let mut path = path_of(root, operand)?;
        path.push(name);
        Some(path)
    };
    match &expression.expr {
        Expr::Ident(name) => (name.as_str() == root).then(Vec::new),
        Expr::Select(select) if !select.test => step(&select.operand, &select.field),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, index] => match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => step(operand, name.inner()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

struct Planner<'p> {
    program: &'p Program,
    /// Knows the functions and the types, and no variable.
    declared: &'p Context<'p, 'p>,
    /// Variables of the macros around.
    bound: Vec<String>,
    reads_event: bool,
}

impl Planner<'_> {
    fn rewrite(&mut self, node: IdedExpr) -> Result<IdedExpr, Fault> {
        let id = node.id;
        if let Some(path) = path_of(EVENT, &node) {
            self.reads_event = true;
            let path = path.join(".");
            return Ok(if path.is_empty() {
                node
            } else {
                event_field(id, path, false)
            });
        }
        let expr = match node.expr {
            Expr::Ident(name) => {
                self.variable(id, &name)?;
                Expr::Ident(name)
            }
            Expr::Select(select) => return self.select(id, select),
            Expr::Call(call) => return self.call(id, call),
            Expr::Comprehension(all) => Expr::Comprehension(Box::new(self.comprehension(id, *all)?)),
            Expr::List(mut list) => {
                list.elements = self.rewrite_all(list.elements)?;
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.rewrite(std::mem::take(&mut entry.key))?;
                        entry.value = self.rewrite(std::mem::take(&mut entry.value))?;
                    }
                }
                Expr::Map(map)
            }
            literal @ Expr::Literal(_) => literal,
            Expr::Struct(message) => {
                return Err(self.fault(id, format!("there is no message type `{}`", message.type_name)));
            }
            Expr::Unspecified => return Err(self.fault(id, "a part of it is missing")),
        };
        Ok(IdedExpr { id, expr })
    }

    fn rewrite_all(&mut self, nodes: Vec<IdedExpr>) -> Result<Vec<IdedExpr>, Fault> {
        nodes.into_iter().map(|node| self.rewrite(node)).collect()
    }

    fn variable(&self, id: u64, name: &str) -> Result<(), Fault> {
        let known = name == HEADER || self.bound.iter().any(|bound| bound == name);
        if known || self.declares(&ident(id, name)) {
            return Ok(());
        }
        Err(self.fault(
            id,
            format!("there is no variable `{name}`; a filter reads `event` and `header`"),
        ))
    }

    fn select(&mut self, id: u64, mut select: SelectExpr) -> Result<IdedExpr, Fault> {
        if let Some(mut path) = path_of(EVENT, &select.operand) {
            // `has(event.A.B)`; without `has` it is a path and has been taken care of.
            path.push(&select.field);
            self.reads_event = true;
            return Ok(event_field(id, path.join("."), true));
        }
        let node = IdedExpr {
            id,
            expr: Expr::Select(select.clone()),
        };
        // `google.protobuf.Timestamp` is the name of a type.
        if self.declares(&node) {
            return Ok(node);
        }
        *select.operand = self.rewrite(std::mem::take(&mut *select.operand))?;
        Ok(IdedExpr {
            id,
            expr: Expr::Select(select),
        })
    }

    fn call(&mut self, id: u64, mut call: CallExpr) -> Result<IdedExpr, Fault> {
        self.function(id, &call)?;
        let whole =
            |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == EVENT || name == HEADER);
        if [operators::EQUALS, operators::NOT_EQUALS].contains(&call.func_name.as_str())
            && call.args.iter().any(whole)
        {
            return Err(self.fault(
                id,
                "`event` and `header` cannot be compared as a whole; name a field",
            ));
        }
        if let Some(target) = call.target.as_deref_mut() {
            *target = self.rewrite(std::mem::take(target))?;
        }
        call.args = self.rewrite_all(call.args)?;
        let operands: Vec<_> = match &call.target {
            Some(target) if TEXT_TESTS.contains(&call.func_name.as_str()) => vec![&**target],
            None if ORDERINGS.contains(&call.func_name.as_str()) => call.args.iter().collect(),
            _ => Vec::new(),
        };
        let fields = operands
            .into_iter()
            .filter(|operand| path_of(EVENT, operand).is_some());
        let guards: Vec<_> = fields.map(|field| is_filled(id, field.clone())).collect();
        let node = IdedExpr {
            id,
            expr: Expr::Call(call),
        };
        Ok(guards.into_iter().rfold(node, |node, guard| {
            binary(id, operators::LOGICAL_AND, guard, node)
        }))
    }

    /// Whether anything answers to the name; how many operands of which types it takes shows with the values.
    fn function(&self, id: u64, call: &CallExpr) -> Result<(), Fault> {
        let is_operator = |char: char| !char.is_ascii_alphanumeric() && char != '_';
        if call.func_name.contains(is_operator) {
            return Ok(());
        }
        let target = call.target.as_ref().map(|_| Box::new(literal(id, "")));
        let probe = Expr::Call(CallExpr {
            func_name: call.func_name.clone(),
            target,
            args: Vec::new(),
        });
        if self.declares(&IdedExpr { id, expr: probe }) {
            return Ok(());
        }
        Err(self.fault(id, format!("there is no function `{}`", call.func_name)))
    }

    fn declares(&self, node: &IdedExpr) -> bool {
        !matches!(
            Value::resolve_val(node, self.declared),
            Err(ExecutionError::UndeclaredReference(_))
        )
    }

    fn comprehension(&mut self, id: u64, mut all: ComprehensionExpr) -> Result<ComprehensionExpr, Fault> {
        all.iter_range = self.rewrite(all.iter_range)?;
        all.accu_init = self.rewrite(all.accu_init)?;
        let bound = self.bound.len();
        self.bound.extend(all.iter_var2.clone());
        self.bound.extend([all.iter_var.clone(), all.accu_var.clone()]);
        if self.bound[bound..]
            .iter()
            .any(|name| name == EVENT || name == HEADER)
        {
            return Err(self.fault(id, "a macro's variable cannot be called `event` or `header`"));
        }
        all.loop_cond = self.rewrite(all.loop_cond)?;
        all.loop_step = self.rewrite(all.loop_step)?;
        all.result = self.rewrite(all.result)?;
        self.bound.truncate(bound);
        Ok(all)
    }

    fn fault(&self, id: u64, rule: impl Into<String>) -> Fault {
        let source = self.program.source_info();
        let offset = source.offset_for(id).map_or(0, |(start, _)| start as usize);
        let before: String = source.source.chars().take(offset).collect();
        Fault {
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|char| *char != '\n').count() + 1,
            rule: rule.into(),
        }
    }
}

fn ident(id: u64, name: &str) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Ident(name.to_owned()),
    }
}

fn literal(id: u64, text: &'static str) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Literal(LiteralValue::String(text.into())),
    }
}

fn event_field(id: u64, path: String, test: bool) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Select(SelectExpr {
            operand: Box::new(ident(id, EVENT)),
            field: path,
            test,
        }),
    }
}

fn is_filled(id: u64, field: IdedExpr) -> IdedExpr {
    let null = IdedExpr {
        id,
        expr: Expr::Literal(LiteralValue::Null),
    };
    binary(id, operators::NOT_EQUALS, field, null)
}

fn binary(id: u64, operator: &str, left: IdedExpr, right: IdedExpr) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: operator.to_owned(),
            target: None,
            args: vec![left, right],
        }),
    }
}
