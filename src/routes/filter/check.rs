//! A filter against a schema, before the first event.
//!
//! In: the planned expression and a schema. Out: the problems, in the order of the text. Types are sets, because
//! a field may be one of several (a person account's `Name` is text or a record); a problem is only what fails
//! for every value but null. What a function answers is not guessed.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::decode::is_time;
use super::error::FilterProblem;
use super::plan::{EVENT, HEADER, ORDERINGS, path_of};
use super::values::HEADER_FIELDS;
use crate::avro::{Kind, TypeId};
use crate::config::suggest;
use crate::salesforce::event::{DocType, EventSchema};

pub(super) fn check(expression: &IdedExpr, schema: &EventSchema) -> Vec<FilterProblem> {
    let mut checker = Checker {
        schema,
        problems: Vec::new(),
    };
    let answer = checker.kinds_of(expression);
    if !answer.has(Kinds::BOOL) {
        checker.problem(
            "filter",
            format!("it must be true or false, and is {}", answer.words()),
            "compare it with something",
        );
    }
    checker.problems
}

/// Which CEL types a value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kinds(u16);

impl Kinds {
    const NULL: Self = Self(1);
    const BOOL: Self = Self(1 << 1);
    /// Ints and doubles compare with each other.
    const NUMBER: Self = Self(1 << 2);
    const TEXT: Self = Self(1 << 3);
    const TIME: Self = Self(1 << 4);
    const BYTES: Self = Self(1 << 5);
    const LIST: Self = Self(1 << 6);
    const MAP: Self = Self(1 << 7);
    const ANY: Self = Self(u16::MAX);

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without null, unless it is nothing else.
    const fn filled(self) -> Self {
        match self.0 & !Self::NULL.0 {
            0 => self,
            filled => Self(filled),
        }
    }

    fn words(self) -> String {
        const WORDS: [(Kinds, &str); 8] = [
            (Kinds::NULL, "null"),
            (Kinds::BOOL, "a boolean"),
            (Kinds::NUMBER, "a number"),
            (Kinds::TEXT, "text"),
            (Kinds::TIME, "a timestamp"),
            (Kinds::BYTES, "bytes"),
            (Kinds::LIST, "a list"),
            (Kinds::MAP, "a record"),
        ];
        let filled = self.filled();
        let words: Vec<_> = WORDS
            .iter()
            .filter(|(kind, _)| filled.has(*kind))
            .map(|(_, word)| *word)
            .collect();
        words.join(" or ")
    }
}

struct Checker<'a> {
    schema: &'a EventSchema,
    problems: Vec<FilterProblem>,
}

impl Checker<'_> {
    fn problem(&mut self, subject: &str, rule: impl Into<String>, remedy: impl Into<String>) {
        let problem = FilterProblem {
            subject: subject.to_owned(),
            rule: rule.into(),
            remedy: remedy.into(),
        };
        // The guard against null names its field a second time.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn kinds_of(&mut self, node: &IdedExpr) -> Kinds {
        if let Some(path) = path_of(EVENT, node).filter(|path| !path.is_empty()) {
            return self.event_field(&path.join("."));
        }
        if let Some([name, ..]) = path_of(HEADER, node).as_deref() {
            return self.header_field(name);
        }
        match &node.expr {
            Expr::Literal(literal) => kinds_of_literal(literal),
            Expr::Select(select) => {
                if let (true, Some(path)) = (select.test, path_of(EVENT, &select.operand)) {
                    self.event_field(&[&path[..], &[select.field.as_str()]].concat().join("."));
                } else if let (true, Some([])) = (select.test, path_of(HEADER, &select.operand).as_deref()) {
                    // Asking is how a filter of both kinds of event tells them apart.
                    if self.schema.is_change_event() {
                        self.header_field(&select.field);
                    }
                } else {
                    self.kinds_of(&select.operand);
                }
                if select.test { Kinds::BOOL } else { Kinds::ANY }
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                for element in &list.elements {
                    self.kinds_of(element);
                }
                Kinds::LIST
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kinds_of(&entry.key);
                        self.kinds_of(&entry.value);
                    }
                }
                Kinds::MAP
            }
            Expr::Comprehension(all) => self.comprehension(all),
            Expr::Ident(name) if name == EVENT || name == HEADER => Kinds::MAP,
            Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => Kinds::ANY,
        }
    }

    fn comprehension(&mut self, all: &ComprehensionExpr) -> Kinds {
        let range = self.kinds_of(&all.iter_range);
        if !range.has(Kinds::LIST.or(Kinds::MAP)) {
            self.problem(
                &subject_of(&all.iter_range),
                format!("a macro goes through a list, and this is {}", range.words()),
                "give it a list",
            );
        }
        let answer = self.kinds_of(&all.accu_init);
        self.kinds_of(&all.loop_step);
        // `exists_one` counts and compares at the end; `map` and `filter` answer what they began with.
        match &all.result.expr {
            Expr::Ident(_) => answer,
            _ => Kinds::BOOL,
        }
    }

    fn call(&mut self, call: &CallExpr) -> Kinds {
        let target = call
            .target
            .as_deref()
            .map(|target| (target, self.kinds_of(target)));
        let args: Vec<_> = call.args.iter().map(|arg| (arg, self.kinds_of(arg))).collect();
        let function = call.func_name.as_str();
        match (function, args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _) => {
                args.iter()
                    .for_each(|(arg, kinds)| self.require(arg, *kinds, Kinds::BOOL));
                Kinds::BOOL
            }
            (operators::CONDITIONAL, [(condition, kinds), (_, yes), (_, no)]) => {
                self.require(condition, *kinds, Kinds::BOOL);
                yes.or(*no)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                // Null may be asked of everything.
                if left.1.filled() != Kinds::NULL && right.1.filled() != Kinds::NULL {
                    self.comparable(*left, *right);
                }
                Kinds::BOOL
            }
            (_, [left, right]) if ORDERINGS.contains(&function) => {
                self.comparable(*left, *right);
                Kinds::BOOL
            }
            (operators::IN, [value, (list, kinds)]) => {
                self.require(list, *kinds, Kinds::LIST.or(Kinds::MAP));
                if let Expr::List(list) = &list.expr {
                    for element in &list.elements {
                        let element = (element, self.kinds_of(element));
                        if element.1 != Kinds::NULL {
                            self.comparable(*value, element);
                        }
                    }
                }
                Kinds::BOOL
            }
            ("contains" | "startsWith" | "endsWith" | "matches", _) => {
                let operands = target.into_iter().chain(args);
                operands.for_each(|(operand, kinds)| self.require(operand, kinds, Kinds::TEXT));
                Kinds::BOOL
            }
            ("size", _) => Kinds::NUMBER,
            ("string", _) => Kinds::TEXT,
            ("int" | "uint" | "double", _) => Kinds::NUMBER,
            ("timestamp", _) => Kinds::TIME,
            _ => Kinds::ANY,
        }
    }

    fn require(&mut self, operand: &IdedExpr, kinds: Kinds, expected: Kinds) {
        if !kinds.has(expected) {
            self.problem(
                &subject_of(operand),
                format!("it is {}, where {} must stand", kinds.words(), expected.words()),
                "compare it, or use another field",
            );
        }
    }

    fn comparable(&mut self, left: (&IdedExpr, Kinds), right: (&IdedExpr, Kinds)) {
        if left.1.filled().has(right.1.filled()) {
            return;
        }
        let is_field = |node: &IdedExpr| path_of(EVENT, node).or_else(|| path_of(HEADER, node)).is_some();
        let (subject, other) = if is_field(left.0) || !is_field(right.0) {
            (left, right)
        } else {
            (right, left)
        };
        let remedy = match (subject.1.filled(), other.1.filled()) {
            (Kinds::TIME, Kinds::TEXT) => "write timestamp(\"2026-01-31T00:00:00Z\")".to_owned(),
            (own, _) => format!("compare it with {}", own.words()),
        };
        self.problem(
            &subject_of(subject.0),
            format!(
                "it is {}, and is compared with {}",
                subject.1.words(),
                other.1.words()
            ),
            remedy,
        );
    }

    fn header_field(&mut self, name: &str) -> Kinds {
        let subject = format!("{HEADER}.{name}");
        if !self.schema.is_change_event() {
            let rule = format!("{} is a platform event and has no header", self.schema.name());
            self.problem(&subject, rule, "use fields of `event` only, or ask has() first");
            return Kinds::ANY;
        }
        match name {
            "recordIds" | "nulledFields" | "diffFields" | "changedFields" => Kinds::LIST,
            "sequenceNumber" | "commitTimestamp" | "commitNumber" => Kinds::NUMBER,
            _ if HEADER_FIELDS.contains(&name) => Kinds::TEXT,
            _ => {
                let known = HEADER_FIELDS.iter().map(|known| (*known).to_owned());
                self.no_such_field(&subject, "ChangeEventHeader", suggest::pick(name, known));
                Kinds::ANY
            }
        }
    }

    fn event_field(&mut self, path: &str) -> Kinds {
        let subject = format!("{EVENT}.{path}");
        let mut names = path.split('.');
        let name = names.next().unwrap_or_default();
        let header_fields = usize::from(self.schema.is_change_event());
        let fields = self.schema.fields();
        let index = fields
            .iter()
            .skip(header_fields)
            .position(|field| &**field.name() == name);
        let Some((field, type_id)) = index.and_then(|index| {
            let index = header_fields + index;
            Some((fields.get(index)?, self.schema.field_type(index)?))
        }) else {
            let known = fields
                .iter()
                .skip(header_fields)
                .map(|field| field.name().to_string());
            let near = suggest::pick(name, known);
            self.no_such_field(&subject, self.schema.name(), near);
            return Kinds::ANY;
        };
        let mut at = (type_id, field.doc_type());
        let mut parent = name.to_owned();
        for name in names {
            match self.child(at.0, name) {
                Child::Found(type_id) => at = (type_id, DocType::Other),
                Child::OfAMap => return Kinds::ANY,
                Child::Missing(near) => {
                    self.no_such_field(&subject, &parent, near);
                    return Kinds::ANY;
                }
            }
            parent = name.to_owned();
        }
        self.kinds_of_type(at.0, at.1)
    }

    fn child(&self, type_id: TypeId, name: &str) -> Child {
        let avro = self.schema.avro();
        let branches = avro.branches(type_id);
        if branches
            .iter()
            .any(|branch| matches!(avro.kind(*branch), Kind::Map(_)))
        {
            return Child::OfAMap;
        }
        let children = || {
            branches
                .iter()
                .filter_map(|branch| avro.as_record(*branch))
                .flat_map(|record| &record.fields)
        };
        match children().find(|child| child.name == name) {
            Some(child) => Child::Found(child.type_id),
            None => Child::Missing(suggest::pick(name, children().map(|child| child.name.clone()))),
        }
    }

    fn no_such_field(&mut self, subject: &str, parent: &str, near: Option<String>) {
        let remedy = near.map_or_else(
            || "correct the name, or let the integration user see the field".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        self.problem(subject, format!("{parent} has no such field"), remedy);
    }

    fn kinds_of_type(&self, type_id: TypeId, doc_type: DocType) -> Kinds {
        let avro = self.schema.avro();
        let node = avro.node(type_id);
        match &node.kind {
            Kind::Null => Kinds::NULL,
            Kind::Boolean => Kinds::BOOL,
            Kind::Int | Kind::Long if is_time(doc_type, node.logical.as_deref()) => Kinds::TIME,
            Kind::Int | Kind::Long | Kind::Float | Kind::Double => Kinds::NUMBER,
            Kind::Bytes | Kind::Fixed { .. } => Kinds::BYTES,
            Kind::String | Kind::Enum { .. } => Kinds::TEXT,
            Kind::Array(_) => Kinds::LIST,
            Kind::Map(_) | Kind::Record(_) => Kinds::MAP,
            Kind::Union(branches) => {
                let kinds = branches
                    .iter()
                    .map(|branch| self.kinds_of_type(*branch, doc_type));
                kinds.reduce(Kinds::or).unwrap_or(Kinds::NULL)
            }
        }
    }
}

enum Child {
    Found(TypeId),
    OfAMap,
    Missing(Option<String>),
}

/// The field a problem is about; where it is about none, the filter.
fn subject_of(node: &IdedExpr) -> String {
    let under = |root| {
        path_of(root, node)
            .filter(|path| !path.is_empty())
            .map(|path| format!("{root}.{}", path.join(".")))
    };
    under(EVENT)
        .or_else(|| under(HEADER))
        .unwrap_or_else(|| "filter".to_owned())
}

const fn kinds_of_literal(literal: &LiteralValue) -> Kinds {
    match literal {
        LiteralValue::Boolean(_) => Kinds::BOOL,
        LiteralValue::Bytes(_) => Kinds::BYTES,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::NUMBER,
        LiteralValue::Null => Kinds::NULL,
        LiteralValue::String(_) => Kinds::TEXT,
    }
}
