//! `header` and `event` as CEL sees them: maps that read a field from the payload when it is asked for.
//!
//! In: one event. Out: CEL values that borrow from it. A field the event carries is a value, null among them;
//! one that it does not carry is no key, and [`Reading::uncarried`] knows which field an answer lacked. A
//! field that holds a diff has no value here either.

use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer};
use cel::common::types::{CelInt, CelList, CelMap, CelNull, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use parking_lot::Mutex;

use super::decode::{Node, value_of};
use crate::avro::{Kind, Record, TypeId, Wire, WireError};
use crate::salesforce::event::{ChangeEventHeader, EventView};

pub(in crate::routes) type Found<'a> = Result<Box<dyn Val + 'a>, ExecutionError>;

/// A change event's header, by Salesforce's names.
pub(super) const HEADER_FIELDS: [&str; 12] = [
    "entityName",
    "recordIds",
    "changeType",
    "changeOrigin",
    "transactionKey",
    "sequenceNumber",
    "commitTimestamp",
    "commitNumber",
    "commitUser",
    "nulledFields",
    "diffFields",
    "changedFields",
];

/// One evaluation: the event, and what was asked for in vain.
pub(super) struct Reading<'a> {
    view: EventView<'a>,
    /// A name stands here once; its address tells an answer that lacked it from any other missing key.
    asked_in_vain: Mutex<Vec<Arc<String>>>,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(view: EventView<'a>) -> Self {
        Self {
            view,
            asked_in_vain: Mutex::new(Vec::new()),
        }
    }

    /// The field that the event does not carry, if this is what went wrong.
    pub(super) fn uncarried(&self, error: &ExecutionError) -> Option<Arc<String>> {
        let ExecutionError::NoSuchKey(key) = error else {
            return None;
        };
        let asked = self.asked_in_vain.lock();
        asked.iter().find(|name| Arc::ptr_eq(name, key)).cloned()
    }

    fn lacks(&self, path: &str) -> ExecutionError {
        let mut asked = self.asked_in_vain.lock();
        let known = asked.iter().find(|name| name.as_str() == path).cloned();
        ExecutionError::NoSuchKey(known.unwrap_or_else(|| {
            let name = Arc::new(path.to_owned());
            asked.push(Arc::clone(&name));
            name
        }))
    }

    /// A body field by its path: `Industry`, `BillingAddress.City`.
    fn field(&self, path: &str) -> Found<'a> {
        let view = self.view;
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(name, rest)| (name, Some(rest)));
        let field = body_field(&view, name).ok_or_else(no_such_field)?;
        if view.is_diff(field) {
            return Err(self.lacks(name));
        }
        let avro = view.schema.avro();
        let type_id = view.schema.field_type(field).ok_or_else(no_such_field)?;
        let node = Node {
            schema: avro,
            type_id,
            doc_type: view.schema.fields()[field].doc_type(),
        };
        let compound = avro
            .branches(type_id)
            .into_iter()
            .find_map(|id| avro.as_record(id));
        match (rest, compound) {
            (None, _) if !view.carries(field) => Err(self.lacks(name)),
            (None, Some(record)) => match self.open(field, type_id).map_err(unreadable)? {
                Some(wire) => self.carried_children(field, record, wire),
                None => value_of(node, &mut Wire::new(view.value(field))).map_err(unreadable),
            },
            (None, None) => value_of(node, &mut Wire::new(view.value(field))).map_err(unreadable),
            (Some(child), Some(record)) => self.child(field, type_id, record, child, path),
            (Some(_), None) if !view.carries(field) => Err(self.lacks(name)),
            (Some(rest), None) => {
                let value = value_of(node, &mut Wire::new(view.value(field))).map_err(unreadable)?;
                walk(value, rest)
            }
        }
    }

    /// At a compound field's first child, when the value is the record (a person's name is one, a company's
    /// is text).
    fn open(&self, field: usize, type_id: TypeId) -> Result<Option<Wire<'a>>, WireError> {
        let avro = self.view.schema.avro();
        let mut wire = Wire::new(self.view.value(field));
        let Kind::Union(branches) = avro.kind(type_id) else {
            return Ok(Some(wire));
        };
        let branch = wire.index(branches.len(), WireError::NoSuchBranch)?;
        let branch = branches.get(branch).ok_or(WireError::NoSuchBranch)?;
        Ok(avro.as_record(*branch).map(|_| wire))
    }

    fn child(&self, field: usize, type_id: TypeId, record: &'a Record, path: &str, whole: &str) -> Found<'a> {
        let avro = self.view.schema.avro();
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(name, rest)| (name, Some(rest)));
        let mut children = record.fields.iter();
        let position = children
            .position(|child| child.name == name)
            .ok_or_else(no_such_field)?;
        let value = match self.open(field, type_id).map_err(unreadable)? {
            Some(mut wire) => {
                let (before, at) = record.fields.split_at(position);
                for child in before {
                    wire.skip_value(avro, child.type_id).map_err(unreadable)?;
                }
                let node = at.first().map(|child| Node::of_child(avro, child));
                let node = node.ok_or_else(no_such_field)?;
                Some(value_of(node, &mut wire).map_err(unreadable)?)
            }
            None => None,
        };
        let is_filled = value.as_ref().is_some_and(|value| !is_null(value.as_ref()));
        if !self.view.carries_child(field, name, is_filled) {
            return Err(self.lacks(whole));
        }
        // The children of a null compound are null.
        let value = value.unwrap_or_else(|| Box::new(CelNull));
        match rest {
            Some(rest) => walk(value, rest),
            None => Ok(value),
        }
    }

    fn carried_children(&self, field: usize, record: &'a Record, mut wire: Wire<'a>) -> Found<'a> {
        let mut carried = std::collections::HashMap::with_capacity(record.fields.len());
        for child in &record.fields {
            let node = Node::of_child(self.view.schema.avro(), child);
            let value = value_of(node, &mut wire).map_err(unreadable)?;
            if self
                .view
                .carries_child(field, &child.name, !is_null(value.as_ref()))
            {
                carried.insert(child.name.as_str().into(), value);
            }
        }
        Ok(Box::new(CelMap::from(carried)))
    }

    fn carried_names(&self) -> Vec<&'a str> {
        let header_fields = usize::from(self.view.schema.is_change_event());
        let fields = self.view.schema.fields().iter().enumerate().skip(header_fields);
        fields
            .filter(|(index, _)| self.view.carries(*index) && !self.view.is_diff(*index))
            .map(|(_, field)| &**field.name())
            .collect()
    }
}

fn body_field(view: &EventView<'_>, name: &str) -> Option<usize> {
    let header_fields = usize::from(view.schema.is_change_event());
    let body = view.schema.fields().get(header_fields..)?;
    let position = body.iter().position(|field| &**field.name() == name)?;
    Some(header_fields + position)
}

/// Into maps within a field; whatever lies under null is null.
fn walk<'a>(value: Box<dyn Val + 'a>, path: &str) -> Found<'a> {
    path.split('.').try_fold(value, |value, name| {
        if is_null(value.as_ref()) {
            return Ok(value);
        }
        let indexer = value.as_indexer().ok_or_else(no_such_field)?;
        Ok(indexer.get(&CelString::from(name))?.into_owned())
    })
}

fn is_null(value: &dyn Val) -> bool {
    value.downcast_ref::<CelNull>().is_some()
}

fn no_such_field() -> ExecutionError {
    ExecutionError::no_such_key("field")
}

fn unreadable(error: WireError) -> ExecutionError {
    ExecutionError::InternalError(error.to_string())
}

/// What a [`Fields`] map reads from.
pub(in crate::routes) trait Lookup<'a>: Copy + Send + Sync {
    fn get(self, name: &str) -> Found<'a>;
    fn names(self) -> Vec<&'a str>;
}

/// The body.
#[derive(Clone, Copy)]
pub(super) struct Body<'a>(pub(super) &'a Reading<'a>);

impl<'a> Lookup<'a> for Body<'a> {
    fn get(self, name: &str) -> Found<'a> {
        self.0.field(name)
    }

    fn names(self) -> Vec<&'a str> {
        self.0.carried_names()
    }
}

/// The header; a platform event has none.
#[derive(Clone, Copy)]
pub(super) struct Header<'a>(pub(super) Option<&'a ChangeEventHeader>);

impl<'a> Lookup<'a> for Header<'a> {
    fn get(self, name: &str) -> Found<'a> {
        let header = self.0.ok_or_else(no_such_field)?;
        let text = |text: &'a str| -> Box<dyn Val + 'a> { Box::new(CelString::from(text)) };
        let number = |number| -> Box<dyn Val + 'a> { Box::new(CelInt::from(number)) };
        Ok(match name {
            "entityName" => text(&header.entity_name),
            "recordIds" => texts(header.record_ids.iter().map(String::as_str)),
            "changeType" => text(header.change_type.name()),
            "changeOrigin" => text(&header.change_origin),
            "transactionKey" => text(&header.transaction_key),
            "sequenceNumber" => number(header.sequence_number),
            "commitTimestamp" => number(header.commit_timestamp_ms),
            "commitNumber" => number(header.commit_number),
            "commitUser" => text(&header.commit_user),
            "nulledFields" => texts(header.nulled_fields.iter().map(|name| &**name)),
            "diffFields" => texts(header.diff_fields.iter().map(|name| &**name)),
            "changedFields" => texts(header.changed_fields.iter().map(|name| &**name)),
            _ => return Err(no_such_field()),
        })
    }

    fn names(self) -> Vec<&'a str> {
        self.0.map_or_else(Vec::new, |_| HEADER_FIELDS.to_vec())
    }
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Box<dyn Val + 'a> {
    let texts: Vec<Box<dyn Val + 'a>> = texts
        .map(|text| -> Box<dyn Val + 'a> { Box::new(CelString::from(text)) })
        .collect();
    Box::new(CelList::from(texts))
}

/// A CEL map whose values are made when they are asked for.
#[derive(Clone)]
pub(in crate::routes) struct Fields<'a, L> {
    lookup: L,
    names: OnceLock<Vec<CelString<'a>>>,
}

impl<'a, L: Lookup<'a>> Fields<'a, L> {
    pub(in crate::routes) const fn new(lookup: L) -> Self {
        Self {
            lookup,
            names: OnceLock::new(),
        }
    }

    fn names(&self) -> &[CelString<'a>] {
        let names = || self.lookup.names().into_iter().map(CelString::from).collect();
        self.names.get_or_init(names)
    }
}

/// Never a value.
impl<L> fmt::Debug for Fields<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

impl<'a, L: Lookup<'a>> Val for Fields<'a, L> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    /// With any other map. (The crate's own map is not equal to this one: it knows its own kind alone.)
    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(sizer), Some(indexer)) = (other.as_sizer(), other.as_indexer()) else {
            return false;
        };
        let names = self.names();
        let same = |name: &CelString<'a>| match (self.lookup.get(name.inner()), indexer.get(name)) {
            (Ok(ours), Ok(theirs)) => ours.equals(theirs.as_ref()),
            _ => false,
        };
        sizer.size() == self.size() && names.iter().all(same)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl<'a, L: Lookup<'a>> Indexer for Fields<'a, L> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = index.downcast_ref::<CelString<'_>>().ok_or_else(no_such_field)?;
        Ok(CowVal::Owned(self.lookup.get(name.inner())?))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl<'a, L: Lookup<'a>> Container for Fields<'a, L> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        let name = value.downcast_ref::<CelString<'_>>();
        Ok(name.is_some_and(|name| self.lookup.get(name.inner()).is_ok()))
    }
}

impl<'a, L: Lookup<'a>> Sizer for Fields<'a, L> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.names().len()).unwrap_or(i64::MAX))
    }
}

impl<'a, L: Lookup<'a>> Iterable for Fields<'a, L> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Names(self.names().iter()))
    }
}

struct Names<'b, 'a>(std::slice::Iter<'b, CelString<'a>>);

impl<'b, 'v, 'a: 'v> CelIterator<'b, 'v> for Names<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        let name: &'b CelString<'a> = self.0.next()?;
        Some(name)
    }
}
