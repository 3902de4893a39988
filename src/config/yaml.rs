//! The file as a tree in which every node knows its place. In: the text of the file. Out: its one
//! document, scalars still as they stand in the file, duplicate keys still there (the reader reports
//! them with their path). Nothing is interpreted here: whether `6` is a number is the key's to say.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::interpolate;
use super::problem::{Position, Problem};

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Mapping(Vec<Pair>),
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// Its `${…}` still shielded.
    pub(super) text: String,
    /// Written without quotes, so that it may be a number or `true`.
    pub(super) plain: bool,
    /// Without quotes over several lines: most often a colon is missing, and the rest of it is another
    /// key's value.
    pub(super) runs_on: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) key_at: Position,
    pub(super) value: Node,
}

/// A configuration is a handful of levels deep; this only keeps recursion within any stack.
const DEPTH_MAX: usize = 64;
/// Aliases copy what they name; this many nodes no honest file has.
const NODES_MAX: usize = 100_000;

impl Node {
    /// `key:` with nothing behind it, or an explicit null.
    pub(super) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(Scalar {
                text, plain: true, ..
            }) => matches!(text.as_str(), "" | "~" | "null"),
            _ => false,
        }
    }

    /// What the node is, in words for a message.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) if self.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::List(items) => items.iter().map(Self::size).sum(),
            Kind::Mapping(pairs) => pairs.iter().map(|pair| pair.value.size()).sum(),
            Kind::Scalar(_) => 0,
        }
    }
}

/// The one document of the file.
pub(super) fn parse(source: &str) -> Result<Node, Problem> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if interpolate::uses_shield_characters(source) {
        let message = "the file holds private-use characters (U+F0000 and above); remove them";
        return Err(Problem::new(Position::START, "", message));
    }
    let shielded = interpolate::shield(source);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(&shielded) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, span)?;
    }
    builder.document.ok_or_else(|| {
        let message = "the file is empty; `sfbridge config example` prints one to start from";
        Problem::new(Position::START, "", message)
    })
}

fn syntax(error: &ScanError) -> Problem {
    let message = format!(
        "this is not YAML ({}); look for a missing colon, quote or indentation here and in the line before",
        interpolate::unshield(error.info())
    );
    Problem::new(position(error.marker()), "", message)
}

/// The parser counts lines from one and columns from zero.
fn position(mark: &Marker) -> Position {
    Position {
        line: mark.line(),
        column: mark.col() + 1,
    }
}

/// A collection whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    kind: Kind,
    /// In a mapping: the key whose value comes next.
    key: Option<(String, Position)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    document: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = position(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    runs_on: style == ScalarStyle::Plain && span.end.line() > span.start.line(),
                };
                self.put(at, anchor, Kind::Scalar(scalar))
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                self.begin(at, anchor, Kind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                self.begin(at, anchor, Kind::Mapping(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => self.put(done.at, done.anchor, done.kind),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let kind = self.anchors.get(&anchor).map(|node| node.kind.clone());
                let kind = kind.ok_or_else(|| {
                    Problem::new(
                        at,
                        "",
                        "this alias names what is not complete yet; write the value out",
                    )
                })?;
                self.put(at, 0, kind)
            }
            Event::DocumentStart(_) if self.document.is_some() => Err(Problem::new(
                at,
                "",
                "a second document starts here; a configuration is one document, without `---` inside",
            )),
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, kind: Kind) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Problem::new(at, "", message));
        }
        self.open.push(Open {
            at,
            anchor,
            kind,
            key: None,
        });
        Ok(())
    }

    fn put(&mut self, at: Position, anchor: usize, kind: Kind) -> Result<(), Problem> {
        let node = Node { at, kind };
        self.nodes += node.size();
        if self.nodes > NODES_MAX {
            return Err(Problem::new(
                at,
                "",
                "the aliases blow the file up; write the values out",
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            // A file of comments alone still gives one document: an empty scalar.
            if !node.is_null() {
                self.document = Some(node);
            }
            return Ok(());
        };
        match (&mut parent.kind, parent.key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Mapping(pairs), Some((key, key_at))) => pairs.push(Pair {
                key,
                key_at,
                value: node,
            }),
            (Kind::Mapping(_), None) => match node.kind {
                Kind::Scalar(scalar) => parent.key = Some((interpolate::unshield(&scalar.text), at)),
                _ => return Err(Problem::new(at, "", "a key must be a single word")),
            },
            (Kind::Scalar(_), _) => {}
        }
        Ok(())
    }
}

fn refuse_tag(tag: Option<&Tag>, at: Position) -> Result<(), Problem> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            let message = format!("the tag {tag} means nothing here; remove it");
            Err(Problem::new(at, "", message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_line_and_column() {
        let Ok(root) = parse("# c\na:\n  b: 1\n  c: [x, ${Y:-{}]\n") else {
            panic!("this is YAML")
        };
        let Kind::Mapping(top) = &root.kind else {
            panic!("a mapping")
        };
        let Kind::Mapping(inner) = &top[0].value.kind else {
            panic!("a mapping")
        };
        let Kind::List(items) = &inner[1].value.kind else {
            panic!("a list")
        };
        let Kind::Scalar(last) = &items[1].kind else {
            panic!("a scalar")
        };
        assert_eq!(interpolate::unshield(&last.text), "${Y:-{}");
        let places = [top[0].key_at, inner[0].value.at, items[1].at].map(|p| (p.line, p.column));
        assert_eq!(places, [(2, 1), (3, 6), (4, 10)]);
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let item = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", ")));
        }
        let Err(problem) = parse(&bomb) else {
            panic!("refused")
        };
        assert!(problem.message.contains("blow"), "{problem:?}");
    }
}
