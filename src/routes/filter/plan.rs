//! From the parsed text to the expression that is evaluated, and what it reads.
//!
//! * A path, `event.BillingAddress.City` or `event["BillingAddress"]["City"]`, becomes one name of `event`,
//!   so that what a change carries is asked of the whole path: `has()` of a child of an absent compound is
//!   false, not unknown. Mappings toward Salesforce have roots of their own ([`Vocabulary`]).
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

/// A variable whose members are looked up by their whole path.
pub(in crate::routes) struct Root {
    pub(in crate::routes) name: &'static str,
    /// What a path is looked up in, when it is not the variable itself.
    pub(in crate::routes) paths_of: &'static str,
    /// Between the names of a path.
    pub(in crate::routes) separator: char,
}

/// What an expression may read.
pub(in crate::routes) struct Vocabulary {
    pub(in crate::routes) roots: &'static [Root],
    pub(in crate::routes) others: &'static [&'static str],
    /// Neither a root nor an `other` alone may be compared: it is no value of CEL.
    pub(in crate::routes) is_comparable: bool,
    /// For messages: `a filter reads `event` and `header``.
    pub(in crate::routes) reads: &'static str,
}

/// Of filters over events.
const FILTER: Vocabulary = Vocabulary {
    roots: &[Root {
        name: EVENT,
        paths_of: EVENT,
        separator: '.',
    }],
    others: &[HEADER],
    is_comparable: false,
    reads: "a filter reads `event` and `header`",
};

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
    let planned = plan_with(&FILTER, program, declared)?;
    Ok(Plan {
        expression: planned.expression,
        reads_event: !planned.members_of.is_empty() || planned.wholes.contains(&EVENT),
    })
}

/// An expression and which variables it reads.
pub(in crate::routes) struct Planned {
    pub(in crate::routes) expression: IdedExpr,
    /// Roots that a path begins at.
    pub(in crate::routes) members_of: Vec<&'static str>,
    /// Variables that are read otherwise.
    pub(in crate::routes) wholes: Vec<&'static str>,
}

/// # Errors
/// A variable or a function that does not exist.
pub(in crate::routes) fn plan_with(
    vocabulary: &'static Vocabulary,
    program: &Program,
    declared: &Context<'_, '_>,
) -> Result<Planned, Fault> {
    let mut planner = Planner {
        vocabulary,
        program,
        declared,
        bound: Vec::new(),
        members_of: Vec::new(),
        wholes: Vec::new(),
    };
    let expression = planner.rewrite(program.expression().clone())?;
    Ok(Planned {
        expression,
        members_of: planner.members_of,
        wholes: planner.wholes,
    })
}

/// The path behind a variable, if the expression is nothing else. Empty: the whole of it.
pub(in crate::routes) fn path_of<'a>(root: &str, expression: &'a IdedExpr) -> Option<Vec<&'a str>> {
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
    vocabulary: &'static Vocabulary,
    program: &'p Program,
    /// Knows the functions and the types, and no variable.
    declared: &'p Context<'p, 'p>,
    /// Variables of the macros around.
    bound: Vec<String>,
    members_of: Vec<&'static str>,
    wholes: Vec<&'static str>,
}

impl Planner<'_> {
    fn rewrite(&mut self, node: IdedExpr) -> Result<IdedExpr, Fault> {
        let id = node.id;
        if let Some((root, path)) = self.path(&node).filter(|(_, path)| !path.is_empty()) {
            let member = member(id, root, &path, false);
            self.members_of.push(root.name);
            return Ok(member);
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

    /// The path of a root, if the expression is nothing else.
    fn path<'a>(&self, node: &'a IdedExpr) -> Option<(&'static Root, Vec<&'a str>)> {
        let mut roots = self.vocabulary.roots.iter();
        roots.find_map(|root| Some((root, path_of(root.name, node)?)))
    }

    fn known(&self, name: &str) -> Option<&'static str> {
        let roots = self.vocabulary.roots.iter().map(|root| root.name);
        roots
            .chain(self.vocabulary.others.iter().copied())
            .find(|known| *known == name)
    }

    fn variable(&mut self, id: u64, name: &str) -> Result<(), Fault> {
        if let Some(known) = self.known(name) {
            self.wholes.push(known);
            return Ok(());
        }
        if self.bound.iter().any(|bound| bound == name) || self.declares(&ident(id, name)) {
            return Ok(());
        }
        let reads = self.vocabulary.reads;
        Err(self.fault(id, format!("there is no variable `{name}`; {reads}")))
    }

    fn select(&mut self, id: u64, mut select: SelectExpr) -> Result<IdedExpr, Fault> {
        if let Some((root, mut path)) = self.path(&select.operand) {
            // `has(event.A.B)`; without `has` it is a path and has been taken care of.
            path.push(&select.field);
            self.members_of.push(root.name);
            return Ok(member(id, root, &path, true));
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
        let whole = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if self.known(name).is_some());
        if !self.vocabulary.is_comparable
            && [operators::EQUALS, operators::NOT_EQUALS].contains(&call.func_name.as_str())
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
        let fields = operands.into_iter().filter(|operand| self.is_member(operand));
        let guards: Vec<_> = fields.map(|field| is_filled(id, field.clone())).collect();
        let node = IdedExpr {
            id,
            expr: Expr::Call(call),
        };
        Ok(guards.into_iter().rfold(node, |node, guard| {
            binary(id, operators::LOGICAL_AND, guard, node)
        }))
    }

    /// Of an operand that is rewritten: a root or a member of one, which may be null.
    fn is_member(&self, operand: &IdedExpr) -> bool {
        let mut roots = self.vocabulary.roots.iter();
        roots.any(|root| {
            [root.name, root.paths_of]
                .iter()
                .any(|name| path_of(name, operand).is_some())
        })
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
        if let Some(name) = self.bound[bound..].iter().find_map(|name| self.known(name)) {
            return Err(self.fault(id, format!("a macro's variable cannot be called `{name}`")));
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

fn member(id: u64, root: &Root, path: &[&str], test: bool) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Select(SelectExpr {
            operand: Box::new(ident(id, root.paths_of)),
            field: path.join(&root.separator.to_string()),
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
