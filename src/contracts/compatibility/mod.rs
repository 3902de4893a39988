//! Which fields of a new schema break which readers, and by which rule.
//!
//! * In: a compatibility level, the new schema, the earlier versions of its subject.
//! * Out: every incompatibility, with the path of its field; none where the registry would let the schema pass.
//!   A type that is used in several places is reported where it is used first.
//!
//! A registry says "incompatible" and little else; this says why, before anything is registered. The verdict is
//! that of Avro's own Java code (`SchemaCompatibility`), which Confluent's and Apicurio's registries call: a
//! verdict of our own, however well reasoned, would contradict the registry. `tests/it/compatibility.rs` compares
//! the two.
//!
//! ```text
//!  rules: one pair of types ──▶ resolution: the graph of pairs ──▶ wording: what a person reads
//! ```

mod resolution;
mod rules;
#[cfg(test)]
mod tests;
mod wording;

use std::fmt;

use super::registry::Level;
use crate::avro::Schema;

/// One reason why a reader cannot read what a writer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// `Industry`, `BillingAddress.City`, `Tags[]` (an item), `Labels{}` (a value); empty for the schema itself.
    pub path: String,
    /// What it was, what it is now, and what does not go: `was "string", is now "int", which v2 cannot read as
    /// "string"`.
    pub rule: String,
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "the schema: {}", self.rule)
        } else {
            write!(f, "field {}: {}", self.path, self.rule)
        }
    }
}

/// Who reads, and what the earlier of the two versions is called (`v1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction<'a> {
    /// The new version reads what the earlier wrote.
    Backward { earlier: &'a str },
    /// The earlier version reads what the new one writes.
    Forward { earlier: &'a str },
}

/// Why `reader` cannot read everything that `writer` may have written; nothing if it can.
pub fn can_read(reader: &Schema, writer: &Schema, direction: Direction<'_>) -> Vec<Incompatibility> {
    resolution::faults(reader, writer)
        .iter()
        .map(|found| wording::incompatibility(found, reader, writer, direction))
        .collect()
}

/// Why the registry would refuse `new` at this level. `earlier` holds the subject's versions with what to call
/// them, the newest last; with none of them everything passes.
pub fn check(level: Level, new: &Schema, earlier: &[(&str, &Schema)]) -> Vec<Incompatibility> {
    let (backward, forward, transitive) = match level {
        Level::None => return Vec::new(),
        Level::Backward => (true, false, false),
        Level::BackwardTransitive => (true, false, true),
        Level::Forward => (false, true, false),
        Level::ForwardTransitive => (false, true, true),
        Level::Full => (true, true, false),
        Level::FullTransitive => (true, true, true),
    };
    let versions_max = if transitive { usize::MAX } else { 1 };
    let mut found: Vec<Incompatibility> = Vec::new();
    for &(version, schema) in earlier.iter().rev().take(versions_max) {
        if backward {
            found.extend(can_read(new, schema, Direction::Backward { earlier: version }));
        }
        if forward {
            found.extend(can_read(schema, new, Direction::Forward { earlier: version }));
        }
    }
    found
}
