//! One expression, and its answer for one record.
//!
//! * A **path** (`value.order.id`, `value["order-id"]`, `key`) is looked up as it is: integers of 64 bits stay exact.
//! * Whatever else is CEL over the same variables. Objects are maps in the order of the record, lists are lists,
//!   integers ints (uints beyond 2⁶³), other numbers doubles.
//! * A member that the record lacks, one of null, an element beyond a list's end, a key that a map lacks: the answer is
//!   missing, unless the rest of the expression decides alone. `has()` of such a member is false.
//! * An ordering or a text function over a member that is null is false, as in filters.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cel::common::ast::IdedExpr;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelNull, CelOptional, CelString,
    CelTimestamp, CelUInt,
};
use cel::common::value::Val;
use cel::{Context, ExecutionError, Value};
use serde_json::{Map, Value as Json};

use super::datum::number;
use super::moment::{self, Unit};
use super::source::{Decoded, Key};
use crate::config::expression::{self, Fault};
use crate::routes::filter::plan::{Root, Vocabulary, path_of, plan_with};
use crate::routes::filter::values::{Fields, Found, Lookup};
use crate::routes::filter::{STANDARD, rule_of};

/// No name that people write has one.
const SEPARATOR: char = '\u{1f}';

const VALUE: &str = "value";
const KEY: &str = "key";
const HEADERS: &str = "headers";

/// No expression can name these: whose members a path is looked up in.
const VALUE_MEMBERS: &str = "@value";
const KEY_MEMBERS: &str = "@key";
const HEADER_MEMBERS: &str = "@headers";

static VOCABULARY: Vocabulary = Vocabulary {
    roots: &[
        root(VALUE, VALUE_MEMBERS),
        root(KEY, KEY_MEMBERS),
        root(HEADERS, HEADER_MEMBERS),
    ],
    others: &["topic", "partition", "offset", "timestamp"],
    is_comparable: true,
    reads: "there are `value`, `key`, `headers`, `topic`, `partition`, `offset` and `timestamp`",
};

const fn root(name: &'static str, paths_of: &'static str) -> Root {
    Root {
        name,
        paths_of,
        separator: SEPARATOR,
    }
}

/// Why an expression has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It needs what the record lacks; the path, where the expression says it.
    Missing(Option<String>),
    /// A rule and types, never a value.
    Broken(String),
}

#[derive(Debug)]
enum Form {
    Path(&'static str, Vec<String>),
    Cel(IdedExpr),
}

#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    form: Form,
    reads_value: bool,
    /// Variables that it reads as they are; the members of the others are looked up without making values of all.
    wholes: Vec<&'static str>,
}

impl Expression {
    /// # Errors
    /// When the text is no expression, or uses a variable or a function that does not exist.
    pub(super) fn compile(text: &str) -> Result<Self, Fault> {
        let program = expression::parse(text)?;
        let path = VOCABULARY.roots.iter().find_map(|root| {
            let path = path_of(root.name, program.expression())?;
            Some((root.name, path.into_iter().map(str::to_owned).collect()))
        });
        if let Some((root, path)) = path {
            return Ok(Self {
                text: text.to_owned(),
                form: Form::Path(root, path),
                reads_value: root == VALUE,
                wholes: Vec::new(),
            });
        }
        let planned = plan_with(&VOCABULARY, &program, &Context::with_env(Arc::clone(&STANDARD)))?;
        expression::check_depth(&planned.expression)?;
        Ok(Self {
            text: text.to_owned(),
            form: Form::Cel(planned.expression),
            reads_value: planned.members_of.contains(&VALUE) || planned.wholes.contains(&VALUE),
            wholes: planned.wholes,
        })
    }

    /// Whether the answer depends on the record's value.
    pub(super) const fn reads_value(&self) -> bool {
        self.reads_value
    }

    /// True or false.
    pub(super) fn truth(&self, record: &Decoded) -> Result<bool, NoAnswer> {
        match self.answer(record)? {
            Json::Bool(answer) => Ok(answer),
            other => Err(NoAnswer::Broken(format!(
                "it must be true or false, and is {}",
                super::coerce::kind_of(&other)
            ))),
        }
    }

    pub(super) fn answer(&self, record: &Decoded) -> Result<Json, NoAnswer> {
        match &self.form {
            Form::Path(root, path) => {
                let names = path.iter().map(String::as_str);
                let found = match *root {
                    VALUE => walk(record.value.as_ref(), names),
                    KEY => walk(key_of(record)?, names),
                    _ if path.is_empty() => return Ok(Json::Object(record.headers.clone())),
                    _ => walk_headers(&record.headers, names),
                };
                match found {
                    Ok(Some(found)) => Ok(found.clone()),
                    Ok(None) => Ok(Json::Null),
                    Err(Lost::Missing) => Err(NoAnswer::Missing(Some(format!("{root}.{}", path.join("."))))),
                    Err(Lost::Within(kind)) => Err(NoAnswer::Broken(format!("it reads a member of {kind}"))),
                }
            }
            Form::Cel(expression) => {
                let context = self.context(record);
                let value = Value::resolve_val(expression, &context);
                let value = value.map_err(|error| self.no_answer(&error, record))?;
                to_json(value.as_ref())
            }
        }
    }

    fn context<'a>(&self, record: &'a Decoded) -> Context<'a, 'a> {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        let members = |root, tree| Box::new(Fields::new(Members { root, tree }));
        let value = members(VALUE, Tree::Json(record.value.as_ref()));
        context.add_variable_as_val(VALUE_MEMBERS, value);
        context.add_variable_as_val(HEADER_MEMBERS, members(HEADERS, Tree::Object(&record.headers)));
        // A key that cannot be read is no variable: `no_answer` says why.
        if let Ok(key) = key_of(record) {
            context.add_variable_as_val(KEY_MEMBERS, members(KEY, Tree::Json(key)));
        }
        for whole in &self.wholes {
            let value = match *whole {
                VALUE => record.value.as_ref().map_or_else(null, from_json),
                KEY => match key_of(record) {
                    Ok(key) => key.map_or_else(null, from_json),
                    Err(_) => continue,
                },
                HEADERS => Box::new(Fields::new(Object(&record.headers))),
                "topic" => Box::new(CelString::from(record.topic.as_str())),
                "partition" => Box::new(CelInt::from(i64::from(record.partition))),
                "offset" => Box::new(CelInt::from(record.offset)),
                _ => record.timestamp_ms.map_or_else(null, timestamp),
            };
            context.add_variable_as_val(*whole, value);
        }
        context
    }

    fn no_answer(&self, error: &ExecutionError, record: &Decoded) -> NoAnswer {
        match error {
            ExecutionError::NoSuchKey(name) => {
                // A key that was computed may be somebody's value: only what the expression says is told.
                let is_said = name.split(SEPARATOR).all(|part| self.text.contains(part));
                NoAnswer::Missing(is_said.then(|| name.replace(SEPARATOR, ".")))
            }
            ExecutionError::IndexOutOfBounds(_) => NoAnswer::Missing(None),
            ExecutionError::UndeclaredReference(_) => match key_of(record) {
                Err(unreadable) => unreadable,
                Ok(_) => NoAnswer::Broken(rule_of(error)),
            },
            error => NoAnswer::Broken(rule_of(error)),
        }
    }
}

fn key_of(record: &Decoded) -> Result<Option<&Json>, NoAnswer> {
    match &record.key {
        Key::Absent => Ok(None),
        Key::Value(key) => Ok(Some(key)),
        Key::Unreadable(rule) => Err(NoAnswer::Broken(format!("the key cannot be read: {rule}"))),
    }
}

enum Lost {
    Missing,
    /// Within a text, a number, …
    Within(&'static str),
}

type Walked<'a> = Result<Option<&'a Json>, Lost>;

/// `None`: there is no root, and no name was asked of it.
fn walk<'a, 'n>(root: Option<&'a Json>, mut names: impl Iterator<Item = &'n str>) -> Walked<'a> {
    names.try_fold(root, |at, name| match at {
        Some(Json::Object(map)) => map.get(name).map(Some).ok_or(Lost::Missing),
        None | Some(Json::Null) => Err(Lost::Missing),
        Some(other) => Err(Lost::Within(super::coerce::kind_of(other))),
    })
}

fn walk_headers<'a, 'n>(
    headers: &'a Map<String, Json>,
    mut names: impl Iterator<Item = &'n str>,
) -> Walked<'a> {
    let first = names
        .next()
        .and_then(|name| headers.get(name))
        .ok_or(Lost::Missing)?;
    walk(Some(first), names)
}

/// Where a path begins.
#[derive(Clone, Copy)]
enum Tree<'a> {
    Json(Option<&'a Json>),
    Object(&'a Map<String, Json>),
}

/// What lies behind a variable, by the whole path.
#[derive(Clone, Copy)]
struct Members<'a> {
    root: &'static str,
    tree: Tree<'a>,
}

impl<'a> Lookup<'a> for Members<'a> {
    fn get(self, path: &str) -> Found<'a> {
        let names = path.split(SEPARATOR);
        let found = match self.tree {
            Tree::Json(root) => walk(root, names),
            Tree::Object(map) => walk_headers(map, names),
        };
        match found {
            Ok(found) => Ok(found.map_or_else(null, from_json)),
            Err(Lost::Missing) => Err(ExecutionError::no_such_key(&format!(
                "{}{SEPARATOR}{path}",
                self.root
            ))),
            Err(Lost::Within(kind)) => Err(ExecutionError::no_such_overload(
                ".",
                vec![kind.to_owned(), "a name".to_owned()],
            )),
        }
    }

    /// No expression can ask for them.
    fn names(self) -> Vec<&'a str> {
        Vec::new()
    }
}

/// An object as a map of CEL: its members are made when they are asked for.
#[derive(Clone, Copy)]
struct Object<'a>(&'a Map<String, Json>);

impl<'a> Lookup<'a> for Object<'a> {
    fn get(self, name: &str) -> Found<'a> {
        let found = self.0.get(name).map(from_json);
        found.ok_or_else(|| ExecutionError::no_such_key(name))
    }

    fn names(self) -> Vec<&'a str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn null<'a>() -> Box<dyn Val + 'a> {
    Box::new(CelNull)
}

fn timestamp<'a>(epoch_ms: i64) -> Box<dyn Val + 'a> {
    let at = chrono::DateTime::from_timestamp_millis(epoch_ms).unwrap_or_default();
    Box::new(CelTimestamp::from(at.fixed_offset()))
}

fn from_json(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => null(),
        Json::Bool(flag) => Box::new(CelBool::from(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => Box::new(CelString::from(text.as_str())),
        Json::Array(list) => Box::new(CelList::from(list.iter().map(from_json).collect::<Vec<_>>())),
        Json::Object(map) => Box::new(Fields::new(Object(map))),
    }
}

/// What an expression came to.
fn to_json(value: &dyn Val) -> Result<Json, NoAnswer> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        Ok(Json::from(text.inner()))
    } else if let Some(int) = value.downcast_ref::<CelInt>() {
        Ok(Json::from(*int.inner()))
    } else if let Some(uint) = value.downcast_ref::<CelUInt>() {
        Ok(Json::from(*uint.inner()))
    } else if let Some(double) = value.downcast_ref::<CelDouble>() {
        Ok(number(*double.inner()))
    } else if let Some(flag) = value.downcast_ref::<CelBool>() {
        Ok(Json::from(*flag.inner()))
    } else if value.downcast_ref::<CelNull>().is_some() {
        Ok(Json::Null)
    } else if let Some(at) = value.downcast_ref::<CelTimestamp>() {
        let ms = at.inner().timestamp_millis();
        Ok(moment::date_time(ms, Unit::Millis, "Z").map_or_else(|| Json::from(ms), Json::from))
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        Ok(Json::from(BASE64.encode(bytes.inner())))
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        let list: Result<_, _> = list.inner().iter().map(|item| to_json(item.as_ref())).collect();
        list.map(Json::Array)
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        optional.option().map_or(Err(NoAnswer::Missing(None)), to_json)
    } else if value.downcast_ref::<CelDuration>().is_some() {
        Err(no_value("a duration"))
    } else if let (Some(names), Some(indexer)) = (value.as_iterable(), value.as_indexer()) {
        let mut map = Map::new();
        let mut names = names.iter();
        while let Some(name) = names.next() {
            let text = name
                .downcast_ref::<CelString<'_>>()
                .ok_or_else(|| no_value("a map without names"))?;
            let member = indexer
                .get(name)
                .map_err(|error| NoAnswer::Broken(rule_of(&error)))?;
            map.insert(text.inner().to_owned(), to_json(member.as_ref())?);
        }
        Ok(Json::Object(map))
    } else {
        Err(no_value(value.get_type().name()))
    }
}

fn no_value(what: &str) -> NoAnswer {
    NoAnswer::Broken(format!("it is {what}, which no field takes"))
}
