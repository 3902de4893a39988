//! A schema as Salesforce serves it, prepared once for all events that carry its id.
//!
//! In: the schema id (opaque) and the Avro schema's JSON, a record. Out: names, children and `doc` types of the
//! fields, the header's wire order, and the body ready for decoding. Named types may be defined anywhere,
//! inside the header too, and be used by name later (`Address` is, after its first use).
//!
//! Immutable, `Send + Sync`: routes share it in an `Arc`.

use std::sync::Arc;

use serde::Deserialize;
use serde_avro_fast::Schema;
use serde_avro_fast::schema::{Record, RegularType, SchemaKey, SchemaMut};

use super::error::Problem;
use super::header::{ChangeType, HeaderField, HeaderSchema, Slot};
use crate::avro;
use crate::error::{ErrorKind, Failure};

/// The field that makes a record a change event, its first one.
const HEADER_FIELD: &str = "ChangeEventHeader";

/// Header fields without which a change has no identity or no time.
const HEADER_FIELDS_NEEDED: [&str; 6] = [
    "entityName",
    "recordIds",
    "changeType",
    "transactionKey",
    "sequenceNumber",
    "commitTimestamp",
];

/// A schema that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("schema {id} is not an Avro schema")]
    NotAvro {
        id: String,
        source: serde_avro_fast::schema::SchemaError,
    },
    #[error("schema {id} is not an Avro schema")]
    Names { id: String, source: avro::SchemaError },
    #[error("schema {id} is not JSON of the expected shape")]
    NotJson { id: String, source: serde_json::Error },
    #[error("schema {id} is not a record")]
    NotARecord { id: String },
    #[error("schema {id}: header field {field} {rule}")]
    Header {
        id: String,
        field: String,
        rule: &'static str,
    },
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        Self::new(ErrorKind::Poison, error.to_string()).caused_by(error)
    }
}

/// What Salesforce's `doc` says about a field's values, as far as it changes how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocType {
    /// Milliseconds since the epoch.
    DateTime,
    /// Midnight in UTC, in milliseconds since the epoch.
    DateOnly,
    /// Everything else.
    Other,
}

/// A field of an event.
#[derive(Debug)]
pub struct Field {
    name: Arc<str>,
    children: Vec<Arc<str>>,
    doc_type: DocType,
    json_key: Vec<u8>,
}

impl Field {
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The children of a compound field as `Parent.Child`; of any other, none.
    pub fn children(&self) -> &[Arc<str>] {
        &self.children
    }

    pub const fn doc_type(&self) -> DocType {
        self.doc_type
    }

    /// `"Name":`, as it stands in an object.
    pub(super) fn json_key(&self) -> &[u8] {
        &self.json_key
    }
}

/// One version of one event's schema.
pub struct EventSchema {
    id: Arc<str>,
    name: Arc<str>,
    fields: Vec<Field>,
    header: Option<HeaderSchema>,
    /// The whole event, header included.
    avro: avro::Schema,
    json: Arc<str>,
    /// What follows the header, for the transcoder.
    body: Schema,
    created_date: Option<usize>,
    created_by: Option<usize>,
}

impl EventSchema {
    /// Prepares a schema.
    ///
    /// # Errors
    /// When it is not an Avro record, or its header is not one this program can read.
    pub fn parse(id: &str, json: &str) -> Result<Self, SchemaError> {
        let mut graph: SchemaMut = json.parse().map_err(|source| SchemaError::NotAvro {
            id: id.to_owned(),
            source,
        })?;
        let avro = avro::Schema::parse(json).map_err(|source| SchemaError::Names {
            id: id.to_owned(),
            source,
        })?;
        let docs: Docs = serde_json::from_str(json).map_err(|source| SchemaError::NotJson {
            id: id.to_owned(),
            source,
        })?;
        let RegularType::Record(root) = graph.root().type_.clone() else {
            return Err(SchemaError::NotARecord { id: id.to_owned() });
        };

        let header = header_of(id, &graph, &root)?;
        let fields: Vec<_> = root
            .fields
            .iter()
            .zip(docs.fields)
            .map(|(field, doc)| field_of(&graph, &field.name, field.type_, doc.doc.as_deref()))
            .collect();
        let position = |name: &str, fits: fn(&SchemaMut, SchemaKey) -> bool| {
            let mut fields = root.fields.iter();
            fields.position(|field| field.name == name && fits(&graph, field.type_))
        };
        let created_date = position("CreatedDate", is_long);
        let created_by = position("CreatedById", is_string);

        let name = root.name.name().into();
        if header.is_some()
            && let Some(node) = graph.nodes_mut().first_mut()
        {
            let mut body = root;
            body.fields.remove(0);
            node.type_ = RegularType::Record(body);
        }
        let body = graph.freeze().map_err(|source| SchemaError::NotAvro {
            id: id.to_owned(),
            source,
        })?;
        Ok(Self {
            id: id.into(),
            name,
            fields,
            header,
            avro,
            json: json.into(),
            body,
            created_date,
            created_by,
        })
    }

    /// Salesforce's id of this version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The event's name, without namespace: `AccountChangeEvent`, `Order_Shipped__e`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema as Salesforce serves it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The whole event's schema, the header as field 0 of a change event.
    pub const fn avro(&self) -> &avro::Schema {
        &self.avro
    }

    /// The type of a field, by its index in [`Self::fields`].
    pub fn field_type(&self, field: usize) -> Option<avro::TypeId> {
        let record = self.avro.record()?;
        record.fields.get(field).map(|field| field.type_id)
    }

    pub(super) fn body_types(&self) -> impl Iterator<Item = avro::TypeId> {
        let header_fields = usize::from(self.header.is_some());
        let fields = self.avro.record().map_or(&[][..], |record| &record.fields);
        fields.iter().skip(header_fields).map(|field| field.type_id)
    }

    pub const fn is_change_event(&self) -> bool {
        self.header.is_some()
    }

    /// All fields in wire order; field 0 of a change event is its header.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn body_fields(&self) -> &[Field] {
        let header_fields = usize::from(self.header.is_some());
        self.fields.get(header_fields..).unwrap_or_default()
    }

    pub(super) const fn header(&self) -> Option<&HeaderSchema> {
        self.header.as_ref()
    }

    /// The record of [`Self::body_fields`].
    pub(super) const fn body(&self) -> &Schema {
        &self.body
    }

    /// Where `CreatedDate` (a long) and `CreatedById` (text) of a platform event stand.
    pub(super) const fn creation_fields(&self) -> (Option<usize>, Option<usize>) {
        (self.created_date, self.created_by)
    }

    /// The length of an event's JSON with every field null: what names and punctuation take.
    pub(super) fn empty_json_bytes(&self) -> usize {
        const NULL_AND_COMMA: usize = 5;
        let of_fields: usize = self
            .fields
            .iter()
            .map(|field| field.json_key.len() + NULL_AND_COMMA)
            .sum();
        let of_header = self.header.as_ref().map_or(0, |header| {
            header
                .fields
                .iter()
                .map(|field| field.name.len() + NULL_AND_COMMA + 3)
                .sum()
        });
        of_fields + of_header
    }

    pub(super) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

impl std::fmt::Debug for EventSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSchema")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}

impl Problem {
    /// The body's field at `index` does not decode.
    pub(super) fn in_body(schema: &EventSchema, index: usize) -> Self {
        let header_fields = usize::from(schema.is_change_event());
        Self::Body {
            field: schema
                .body_fields()
                .get(index)
                .map_or_else(|| "?".into(), |field| Arc::clone(&field.name)),
            number: header_fields + index + 1,
            count: schema.fields.len(),
        }
    }
}

/// `"name":` with whatever JSON wants escaped.
fn quoted_key(name: &str) -> Vec<u8> {
    let mut key = serde_json::Value::from(name).to_string().into_bytes();
    key.push(b':');
    key
}

/// What the decoder's own view of the schema leaves out.
#[derive(Deserialize)]
struct Docs {
    fields: Vec<Doc>,
}

#[derive(Deserialize)]
struct Doc {
    doc: Option<String>,
}

fn field_of(graph: &SchemaMut, name: &str, key: SchemaKey, doc: Option<&str>) -> Field {
    let children = record_of(graph, key).map_or_else(Vec::new, |record| {
        let qualified =
            |child: &serde_avro_fast::schema::RecordField| format!("{name}.{}", child.name).into();
        record.fields.iter().map(qualified).collect()
    });
    Field {
        name: name.into(),
        children,
        // `role:type[:field id]`
        doc_type: match doc.and_then(|doc| doc.split(':').nth(1)) {
            Some("DateTime") if is_long(graph, key) => DocType::DateTime,
            Some("DateOnly") if is_long(graph, key) => DocType::DateOnly,
            _ => DocType::Other,
        },
        json_key: quoted_key(name),
    }
}

/// The record of a compound field: itself, or the one among a union's branches.
fn record_of(graph: &SchemaMut, key: SchemaKey) -> Option<&Record> {
    match &graph.get(key)?.type_ {
        RegularType::Record(record) => Some(record),
        RegularType::Union(union) => {
            union
                .variants
                .iter()
                .find_map(|variant| match &graph.get(*variant)?.type_ {
                    RegularType::Record(record) => Some(record),
                    _ => None,
                })
        }
        _ => None,
    }
}

/// Whether every branch but null is one of `fits`.
fn is_nullable(graph: &SchemaMut, key: SchemaKey, fits: fn(&RegularType) -> bool) -> bool {
    match graph.get(key).map(|node| &node.type_) {
        Some(RegularType::Union(union)) => union.variants.iter().all(|variant| {
            graph
                .get(*variant)
                .is_some_and(|node| matches!(node.type_, RegularType::Null) || fits(&node.type_))
        }),
        Some(type_) => fits(type_),
        None => false,
    }
}

fn is_long(graph: &SchemaMut, key: SchemaKey) -> bool {
    is_nullable(graph, key, |type_| matches!(type_, RegularType::Long))
}

fn is_string(graph: &SchemaMut, key: SchemaKey) -> bool {
    is_nullable(graph, key, |type_| matches!(type_, RegularType::String))
}

fn header_of(id: &str, graph: &SchemaMut, root: &Record) -> Result<Option<HeaderSchema>, SchemaError> {
    let Some(first) = root.fields.first().filter(|field| field.name == HEADER_FIELD) else {
        return Ok(None);
    };
    let wrong = |field: &str, rule| SchemaError::Header {
        id: id.to_owned(),
        field: field.to_owned(),
        rule,
    };
    let Some(RegularType::Record(header)) = graph.get(first.type_).map(|node| &node.type_) else {
        return Err(wrong(HEADER_FIELD, "must be a record"));
    };
    let fields = header
        .fields
        .iter()
        .map(|field| {
            let slot = slot_of(graph, &field.name, field.type_)
                .ok_or_else(|| wrong(&field.name, "has another type than Salesforce documents"))?;
            Ok(HeaderField {
                name: field.name.as_str().into(),
                json_key: quoted_key(&field.name),
                is_int: graph
                    .get(field.type_)
                    .is_some_and(|node| matches!(node.type_, RegularType::Int)),
                slot,
            })
        })
        .collect::<Result<Vec<_>, SchemaError>>()?;
    let has = |name: &str| fields.iter().any(|field| field.name.eq_ignore_ascii_case(name));
    match HEADER_FIELDS_NEEDED.into_iter().find(|name| !has(name)) {
        Some(missing) => Err(wrong(missing, "is missing")),
        None => Ok(Some(HeaderSchema { fields })),
    }
}

/// Which header value a field is, by its name (documents also spell `nulledfields`). None when a known one
/// has a type that is not Salesforce's.
fn slot_of(graph: &SchemaMut, name: &str, key: SchemaKey) -> Option<Slot> {
    let type_ = &graph.get(key)?.type_;
    let text = matches!(type_, RegularType::String);
    let number = matches!(type_, RegularType::Int | RegularType::Long);
    let texts = match type_ {
        RegularType::Array(array) => matches!(graph.get(array.items)?.type_, RegularType::String),
        _ => false,
    };
    let (fits, slot) = match name.to_ascii_lowercase().as_str() {
        "entityname" => (text, Slot::EntityName),
        "recordids" => (texts, Slot::RecordIds),
        "changetype" => match type_ {
            RegularType::Enum(change_types) => (true, Slot::ChangeType(symbols_of(&change_types.symbols))),
            _ => return None,
        },
        "changeorigin" => (text, Slot::ChangeOrigin),
        "transactionkey" => (text, Slot::TransactionKey),
        "sequencenumber" => (number, Slot::SequenceNumber),
        "committimestamp" => (number, Slot::CommitTimestamp),
        "commitnumber" => (number, Slot::CommitNumber),
        "commituser" => (text, Slot::CommitUser),
        "nulledfields" => (texts, Slot::NulledFields),
        "difffields" => (texts, Slot::DiffFields),
        "changedfields" => (texts, Slot::ChangedFields),
        _ => (true, Slot::Unknown(schema_of(graph, key)?)),
    };
    fits.then_some(slot)
}

fn symbols_of(symbols: &[String]) -> Vec<(Arc<str>, Option<ChangeType>)> {
    let known = |symbol: &String| (symbol.as_str().into(), ChangeType::from_symbol(symbol));
    symbols.iter().map(known).collect()
}

/// One field's type as a schema of its own.
fn schema_of(graph: &SchemaMut, key: SchemaKey) -> Option<Schema> {
    let mut graph = graph.clone();
    let node = graph.get(key)?.clone();
    *graph.nodes_mut().first_mut()? = node;
    graph.freeze().ok()
}
