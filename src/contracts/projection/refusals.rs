//! What the writer's schema allows and the reader has no room for: no break, for other values fit, but an event
//! with such a value is refused at run time.

use super::{Convert, NestedTarget, Projection};
use crate::avro::{Kind, TypeId};

/// A branch that the reader does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reader's field, `BillingAddress.City`.
    pub field: String,
    pub is_null: bool,
    pub rule: String,
}

impl Projection {
    /// Every value that would be refused, by the reader's field.
    pub fn refusals(&self) -> Vec<Refused> {
        let mut found = Vec::new();
        let written = self.writer.record().map_or(&[][..], |record| &record.fields);
        for target in &self.fields {
            if let Some((index, convert)) = &target.source
                && let Some(field) = written.get(*index)
            {
                self.collect(field.type_id, convert, &target.name, &mut found);
            }
        }
        found
    }

    fn collect(&self, from: TypeId, convert: &Convert, path: &str, found: &mut Vec<Refused>) {
        match (convert, self.writer.kind(from)) {
            (Convert::Refuse(rule), kind) => found.push(Refused {
                field: path.to_owned(),
                is_null: matches!(kind, Kind::Null),
                rule: rule.to_string(),
            }),
            (Convert::FromUnion(converts), Kind::Union(branches)) => {
                for (branch, convert) in branches.iter().zip(converts) {
                    self.collect(*branch, convert, path, found);
                }
            }
            (Convert::IntoUnion(_, convert), _) => self.collect(from, convert, path, found),
            (Convert::Array(items), Kind::Array(from)) => self.collect(*from, items, path, found),
            (Convert::Map(values), Kind::Map(from)) => self.collect(*from, values, path, found),
            (Convert::Enum(map), Kind::Enum { symbols, .. }) => {
                let lost = symbols.iter().zip(map).filter(|(_, to)| to.is_none());
                found.extend(lost.map(|(symbol, _)| Refused {
                    field: path.to_owned(),
                    is_null: false,
                    rule: format!("the contract's enum lacks the symbol {symbol}"),
                }));
            }
            (Convert::Record(convert), Kind::Record(record)) => {
                for target in &convert.targets {
                    if let NestedTarget::Field(index, convert) = target
                        && let Some(field) = record.fields.get(*index)
                    {
                        let path = format!("{path}.{}", field.name);
                        self.collect(field.type_id, convert, &path, found);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::avro::Schema;

    #[test]
    fn every_branch_that_the_reader_does_not_take_is_named_with_its_field() {
        let schema = |fields: &str| {
            let json = format!(r#"{{"type":"record","name":"A","fields":[{fields}]}}"#);
            Arc::new(Schema::parse(&json).unwrap())
        };
        let writer = schema(
            r#"{"name":"a","type":["null","string"]},
               {"name":"b","type":["null",{"type":"record","name":"B","fields":[{"name":"c","type":["null","int"]}]}]},
               {"name":"d","type":["null","string","double"]},
               {"name":"e","type":{"type":"enum","name":"E","symbols":["x","y"]}},
               {"name":"f","type":["null","int"]}"#,
        );
        let reader = schema(
            r#"{"name":"a","type":"string"},
               {"name":"b","type":["null",{"type":"record","name":"B","fields":[{"name":"c","type":"int"}]}]},
               {"name":"d","type":["null","string"]},
               {"name":"e","type":{"type":"enum","name":"E","symbols":["x"]}},
               {"name":"f","type":["null","long"]}"#,
        );
        let found = Projection::new(writer, reader).unwrap().refusals();
        let brief: Vec<_> = found
            .iter()
            .map(|refused| (&*refused.field, refused.is_null))
            .collect();
        assert_eq!(
            brief,
            [("a", true), ("b.c", true), ("d", false), ("e", false)],
            "{found:?}"
        );
        assert!(found[2].rule.contains("double"), "{found:?}");
        assert!(found[3].rule.ends_with("the symbol y"), "{found:?}");
    }
}
