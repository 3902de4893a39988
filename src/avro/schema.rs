//! A schema as a graph: every name resolved, so that nothing downstream looks one up again.
//!
//! In: the schema's JSON. Out: nodes that refer to each other by [`TypeId`]; a record may contain itself. What
//! Avro allows to be ignored (unknown attributes, an unusable logical type) is ignored; what would make two
//! readers disagree (an undefined name, a name defined twice) is an error that names the place.

mod parser;

use std::fmt;

use serde_json::Value as Json;

use self::parser::Parser;

/// Why a text is not a schema. `at` is a path of record and field names.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("{at}: {rule}")]
    Rule { at: String, rule: String },
}

/// A node's place in its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(usize);

/// A name with its namespace; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}.", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// One type of a schema.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    /// `timestamp-millis`, `decimal`: how the value is meant. It changes no byte.
    pub logical: Option<String>,
    /// Of a `decimal`: how many of its digits stand behind the point.
    pub scale: u32,
}

/// What a value is made of.
#[derive(Debug, Clone)]
pub enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed {
        name: Name,
        aliases: Vec<String>,
        size: usize,
    },
    Enum {
        name: Name,
        aliases: Vec<String>,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Record),
}

impl Kind {
    /// Avro's word for it; of a named type, its name.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::String => "string".to_owned(),
            Self::Fixed { name, .. } => format!("fixed {}", name.name),
            Self::Enum { name, .. } => format!("enum {}", name.name),
            Self::Array(_) => "array".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Union(_) => "union".to_owned(),
            Self::Record(record) => format!("record {}", record.name.name),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Record {
    pub name: Name,
    /// Full names.
    pub aliases: Vec<String>,
    pub doc: Option<String>,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub type_id: TypeId,
    /// As JSON; `Some(Null)` is the default null.
    pub default: Option<Json>,
    pub doc: Option<String>,
}

/// A whole schema.
#[derive(Clone)]
pub struct Schema {
    nodes: Vec<Node>,
    root: TypeId,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.node(self.root).kind.describe())
    }
}

impl Schema {
    /// # Errors
    /// When the text is no JSON, or not an Avro schema.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        Self::from_json(&serde_json::from_str(json)?)
    }

    /// A schema that uses types which other schemas define. None of those comes before one that it uses itself.
    ///
    /// # Errors
    /// As [`Self::parse`], of any of them.
    pub fn parse_with<'a>(
        others: impl IntoIterator<Item = &'a str>,
        json: &str,
    ) -> Result<Self, SchemaError> {
        let mut parser = Parser::default();
        for other in others {
            parser.any(&serde_json::from_str(other)?, "", &mut Vec::new())?;
        }
        let root = parser.any(&serde_json::from_str(json)?, "", &mut Vec::new())?;
        Ok(Self {
            nodes: parser.nodes,
            root,
        })
    }

    /// # Errors
    /// When the JSON is not an Avro schema.
    pub fn from_json(json: &Json) -> Result<Self, SchemaError> {
        let mut parser = Parser::default();
        let root = parser.any(json, "", &mut Vec::new())?;
        Ok(Self {
            nodes: parser.nodes,
            root,
        })
    }

    pub const fn root(&self) -> TypeId {
        self.root
    }

    pub fn node(&self, id: TypeId) -> &Node {
        const NULL: &Node = &Node {
            kind: Kind::Null,
            logical: None,
            scale: 0,
        };
        // An id of another schema is a bug of the caller; it must not take the process down.
        self.nodes.get(id.0).unwrap_or(NULL)
    }

    pub fn kind(&self, id: TypeId) -> &Kind {
        &self.node(id).kind
    }

    /// The root, if it is a record.
    pub fn record(&self) -> Option<&Record> {
        self.as_record(self.root)
    }

    pub fn as_record(&self, id: TypeId) -> Option<&Record> {
        match self.kind(id) {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }

    /// The branches of a union; of any other type, itself.
    pub fn branches(&self, id: TypeId) -> Vec<TypeId> {
        match self.kind(id) {
            Kind::Union(branches) => branches.clone(),
            _ => vec![id],
        }
    }

    /// The index of the branch `null`, where the type is a union with one.
    pub fn null_branch(&self, id: TypeId) -> Option<usize> {
        match self.kind(id) {
            Kind::Union(branches) => branches
                .iter()
                .position(|branch| matches!(self.kind(*branch), Kind::Null)),
            _ => None,
        }
    }

    /// The type in words: `union [null, string]`, `array of long`, `record Address`.
    pub fn describe(&self, id: TypeId) -> String {
        let node = self.node(id);
        let text = match &node.kind {
            Kind::Union(branches) => {
                let branches: Vec<_> = branches.iter().map(|branch| self.describe(*branch)).collect();
                format!("[{}]", branches.join(", "))
            }
            Kind::Array(items) => format!("array of {}", self.kind(*items).describe()),
            Kind::Map(values) => format!("map of {}", self.kind(*values).describe()),
            kind => kind.describe(),
        };
        match &node.logical {
            Some(logical) => format!("{text} ({logical})"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Schema::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn names_are_resolved_in_their_namespace_and_used_again() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"A","namespace":"n.s","fields":[
                {"name":"one","type":["null",{"type":"record","name":"Address","fields":[{"name":"Street","type":"string"}]}],"default":null},
                {"name":"two","type":["null","Address"]},
                {"name":"three","type":"n.s.Address"},
                {"name":"self","type":["null","A"]}]}"#,
        )
        .unwrap();
        let record = schema.record().unwrap();
        assert_eq!(record.name.to_string(), "n.s.A");
        let branch = |field: usize| schema.branches(record.fields[field].type_id);
        assert_eq!(branch(0)[1], branch(1)[1]);
        assert_eq!(branch(2), [branch(1)[1]]);
        assert_eq!(branch(3)[1], schema.root());
        assert_eq!(record.fields[0].default, Some(Json::Null));
        assert_eq!(record.fields[1].default, None);
        assert_eq!(
            schema.describe(record.fields[0].type_id),
            "[null, record Address]"
        );
    }

    #[test]
    fn logical_types_are_kept_wherever_they_stand() {
        let schema = Schema::parse(r#"["null",{"type":"long","logicalType":"timestamp-millis"}]"#).unwrap();
        assert_eq!(schema.describe(schema.root()), "[null, long (timestamp-millis)]");
        assert_eq!(schema.null_branch(schema.root()), Some(0));
    }

    #[test]
    fn what_readers_would_disagree_about_is_refused_with_its_place() {
        assert_eq!(
            refused(r#"{"type":"record","name":"A","fields":[{"name":"x","type":"Nowhere"}]}"#),
            "x: the type Nowhere is not defined before its use"
        );
        assert_eq!(
            refused(
                r#"{"type":"record","name":"A","fields":[{"name":"x","type":"int"},{"name":"x","type":"int"}]}"#
            ),
            "x: the record A has this field twice"
        );
        assert_eq!(
            refused(r#"["int","int"]"#),
            "the schema: the union holds int twice"
        );
        assert_eq!(
            refused(r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#),
            "the schema: the enum E has no symbol B, its default"
        );
        assert_eq!(refused("7"), "the schema: a type is a name, a list or an object");
        assert_eq!(refused("{"), "the schema is not JSON");
    }
}
