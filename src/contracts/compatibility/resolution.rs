//! The rules over whole schemas, which may contain themselves: first every pair of types that the two roots come
//! down to, then which of them cannot be read, then the faults in the order of the reader's fields.

use std::collections::{HashMap, HashSet};

use crate::avro::Schema;

use super::rules::{self, Comparison, Fault, Pair, Step};

/// A fault and where it is.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) path: String,
    pub(super) fault: Fault<'a>,
    pub(super) pair: Pair,
    /// The whole types of the place: of a union's branch, the union.
    pub(super) site: Pair,
}

pub(super) fn faults<'a>(reader: &'a Schema, writer: &'a Schema) -> Vec<Found<'a>> {
    let root = (reader.root(), writer.root());
    let comparisons = reachable(reader, writer, root);
    let mut explanation = Explanation {
        unreadable: unreadable(&comparisons),
        comparisons,
        reader,
        writer,
        explained: HashSet::new(),
        found: Vec::new(),
    };
    explanation.pair(root, root, "");
    explanation.found
}

fn reachable<'a>(reader: &'a Schema, writer: &'a Schema, root: Pair) -> HashMap<Pair, Comparison<'a>> {
    let mut comparisons = HashMap::new();
    let mut open = vec![root];
    while let Some(pair) = open.pop() {
        if comparisons.contains_key(&pair) {
            continue;
        }
        let comparison = rules::compare(reader, writer, pair);
        open.extend(comparison.all.iter().map(|(_, pair)| *pair));
        open.extend(comparison.any.iter().flatten());
        comparisons.insert(pair, comparison);
    }
    comparisons
}

/// A pair is readable until something speaks against it, so a type that contains itself does not.
fn unreadable(comparisons: &HashMap<Pair, Comparison<'_>>) -> HashSet<Pair> {
    let mut unreadable = HashSet::new();
    loop {
        let before = unreadable.len();
        for (pair, comparison) in comparisons {
            if !comparison.faults.is_empty()
                || comparison.all.iter().any(|(_, pair)| unreadable.contains(pair))
                || comparison
                    .any
                    .as_ref()
                    .is_some_and(|branches| branches.iter().all(|pair| unreadable.contains(pair)))
            {
                unreadable.insert(*pair);
            }
        }
        if unreadable.len() == before {
            return unreadable;
        }
    }
}

struct Explanation<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    comparisons: HashMap<Pair, Comparison<'a>>,
    unreadable: HashSet<Pair>,
    explained: HashSet<Pair>,
    found: Vec<Found<'a>>,
}

impl<'a> Explanation<'a> {
    /// Follows unreadable pairs only, each once: it ends.
    fn pair(&mut self, pair: Pair, site: Pair, path: &str) {
        if !self.unreadable.contains(&pair) || !self.explained.insert(pair) {
            return;
        }
        let Some(comparison) = self.comparisons.remove(&pair) else {
            return;
        };
        for fault in comparison.faults {
            let path = match &fault {
                Fault::FieldAbsent { field, .. } | Fault::FieldAmbiguous { field, .. } => {
                    at(path, Step::Field(field))
                }
                _ => path.to_owned(),
            };
            self.found.push(Found {
                path,
                fault,
                pair,
                site,
            });
        }
        for (step, inner) in comparison.all {
            let site = match step {
                Step::Branch => site,
                Step::Field(_) | Step::Items | Step::Values => inner,
            };
            self.pair(inner, site, &at(path, step));
        }
        let Some(branches) = comparison.any else { return };
        match rules::nearest(self.reader, self.writer, &branches) {
            Some(branch) => self.pair(branch, site, path),
            None => self.found.push(Found {
                path: path.to_owned(),
                fault: Fault::Branch,
                pair,
                site,
            }),
        }
    }
}

fn at(path: &str, step: Step<'_>) -> String {
    match step {
        Step::Branch => path.to_owned(),
        Step::Field(name) if path.is_empty() => name.to_owned(),
        Step::Field(name) => format!("{path}.{name}"),
        Step::Items => format!("{path}[]"),
        Step::Values => format!("{path}{{}}"),
    }
}
