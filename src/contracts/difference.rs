//! What changed between two schemas, field by field: what a reader of the topic would notice.

use std::collections::BTreeSet;
use std::fmt;

use crate::avro::{Kind, Record, Schema, TypeId};

/// One field's change. Types are in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Added { field: String, type_: String },
    Removed { field: String, type_: String },
    Changed { field: String, from: String, to: String },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { field, type_ } => write!(f, "+ {field}: {type_}"),
            Self::Removed { field, type_ } => write!(f, "- {field}: {type_}"),
            Self::Changed { field, from, to } => write!(f, "~ {field}: {from} → {to}"),
        }
    }
}

/// The changes, in the order of the old fields, then the new ones.
pub fn difference(old: &Schema, new: &Schema) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut comparison = Comparison {
        old,
        new,
        inside: vec![(old.root(), new.root())],
    };
    match (old.record(), new.record()) {
        (Some(before), Some(after)) => comparison.records(before, after, "", &mut changes),
        _ => comparison.types(old.root(), new.root(), "", &mut changes),
    }
    changes
}

struct Comparison<'a> {
    old: &'a Schema,
    new: &'a Schema,
    /// The types that the present one stands in: a record that contains itself is compared once.
    inside: Vec<(TypeId, TypeId)>,
}

impl Comparison<'_> {
    fn records(&mut self, before: &Record, after: &Record, path: &str, changes: &mut Vec<Change>) {
        let at = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        for field in &before.fields {
            let same = after.fields.iter().find(|candidate| candidate.name == field.name);
            match same {
                Some(now) => self.types(field.type_id, now.type_id, &at(&field.name), changes),
                None => changes.push(Change::Removed {
                    field: at(&field.name),
                    type_: self.old.describe(field.type_id),
                }),
            }
        }
        let known: BTreeSet<&str> = before.fields.iter().map(|field| field.name.as_str()).collect();
        for field in after
            .fields
            .iter()
            .filter(|field| !known.contains(field.name.as_str()))
        {
            changes.push(Change::Added {
                field: at(&field.name),
                type_: self.new.describe(field.type_id),
            });
        }
    }

    fn types(&mut self, from: TypeId, to: TypeId, path: &str, changes: &mut Vec<Change>) {
        let (was, is) = (self.old.describe(from), self.new.describe(to));
        if was != is {
            changes.push(Change::Changed {
                field: path.to_owned(),
                from: was,
                to: is,
            });
            return;
        }
        if self.inside.contains(&(from, to)) {
            return;
        }
        self.inside.push((from, to));
        let (old, new) = (self.old, self.new);
        match (old.kind(from), new.kind(to)) {
            (Kind::Record(before), Kind::Record(after)) => {
                self.records(before, after, path, changes);
            }
            (Kind::Union(before), Kind::Union(after)) => {
                for (before, after) in before.iter().zip(after) {
                    self.types(*before, *after, path, changes);
                }
            }
            (Kind::Array(before), Kind::Array(after)) | (Kind::Map(before), Kind::Map(after)) => {
                self.types(*before, *after, path, changes);
            }
            (Kind::Enum { symbols: before, .. }, Kind::Enum { symbols: after, .. }) => {
                let lacking = |of: &[String], other: &[String]| -> Vec<String> {
                    of.iter()
                        .filter(|symbol| !other.contains(symbol))
                        .cloned()
                        .collect()
                };
                let symbol = |symbol: String| (format!("{path}({symbol})"), "symbol".to_owned());
                changes.extend(
                    lacking(before, after)
                        .into_iter()
                        .map(symbol)
                        .map(|(field, type_)| Change::Removed { field, type_ }),
                );
                changes.extend(
                    lacking(after, before)
                        .into_iter()
                        .map(symbol)
                        .map(|(field, type_)| Change::Added { field, type_ }),
                );
            }
            _ => {}
        }
        self.inside.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(old: &str, new: &str) -> Vec<String> {
        let schema = |fields: &str| {
            Schema::parse(&format!(r#"{{"type":"record","name":"A","fields":[{fields}]}}"#)).unwrap()
        };
        difference(&schema(old), &schema(new))
            .iter()
            .map(Change::to_string)
            .collect()
    }

    #[test]
    fn each_change_of_a_field_is_a_line() {
        let found = lines(
            r#"{"name":"a","type":"int"},{"name":"b","type":["null","string"]},{"name":"same","type":"long"},
               {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}"#,
            r#"{"name":"b","type":["null","double"]},{"name":"same","type":"long"},
               {"name":"e","type":{"type":"enum","name":"E","symbols":["Y","Z"]}},
               {"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}}"#,
        );
        assert_eq!(
            found,
            [
                "- a: int",
                "~ b: [null, string] → [null, double]",
                "- e(X): symbol",
                "+ e(Z): symbol",
                "+ c: long (timestamp-millis)"
            ]
        );
    }

    #[test]
    fn a_change_inside_a_compound_field_has_its_path() {
        let address = |fields: &str| {
            format!(
                r#"{{"name":"Home","type":["null",{{"type":"record","name":"Address","fields":[{fields}]}}]}}"#
            )
        };
        let found = lines(
            &address(r#"{"name":"City","type":"string"}"#),
            &address(r#"{"name":"City","type":"string"},{"name":"Zip","type":["null","string"]}"#),
        );
        assert_eq!(found, ["+ Home.Zip: [null, string]"]);
    }

    #[test]
    fn a_record_in_itself_is_compared_once() {
        let own = r#"{"name":"next","type":["null","A"]}"#;
        assert_eq!(lines(own, own), Vec::<String>::new());
    }
}
