//! From the file's tree to the configuration's: each node is read as its key's shape demands, and every
//! mistake is collected. Reading goes on after a mistake; the value is then [`Value::Invalid`].

use super::environment::Environment;
use super::interpolate;
use super::keys::{Key, Presence, Shape, Variant};
use super::problem::{Position, Problem};
use super::suggest::nearest;
use super::tree::{Entry, Section, Value};
use super::yaml::{Kind, Node, Pair, Scalar};

/// Behind the name of a secret: the file that holds it.
pub(super) const FILE_SUFFIX: &str = "_file";

pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, at: Position, path: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(at, path, message));
    }

    /// A whole section: keys that are there, defaults of those that are not, complaints about the rest.
    pub(super) fn section(&mut self, keys: &'static [Key], node: &Node, path: &str) -> Option<Section> {
        let pairs = self.pairs(node, path)?;
        self.unknown_keys(keys, pairs, path, &[]);
        Some(self.known_keys(keys, pairs, node.at, path))
    }

    fn known_keys(&mut self, keys: &'static [Key], pairs: &[Pair], at: Position, path: &str) -> Section {
        let mut entries = Vec::new();
        for key in keys {
            let place = join(path, key.name);
            let pair = self.pair(pairs, key.name, &place);
            let entry = if matches!(key.shape, Shape::Secret) {
                let file_place = format!("{place}{FILE_SUFFIX}");
                let file = self.pair(pairs, &format!("{}{FILE_SUFFIX}", key.name), &file_place);
                self.secret(key, pair, file, &place)
            } else {
                pair.map(|pair| self.given(key, pair, &place))
            };
            if let Some(entry) = entry.or_else(|| self.absent(key, at, &place)) {
                entries.push(entry);
            }
        }
        Section {
            at,
            path: path.to_owned(),
            keys,
            variant: None,
            entries,
        }
    }

    fn given(&mut self, key: &'static Key, pair: &Pair, path: &str) -> Entry {
        let value = self.value(key, &key.shape, &pair.value, path);
        Entry {
            key,
            path: path.to_owned(),
            at: pair.key_at,
            given: true,
            value,
        }
    }

    /// A key that does not stand in the file.
    fn absent(&mut self, key: &'static Key, at: Position, path: &str) -> Option<Entry> {
        let value = match key.presence {
            Presence::Optional | Presence::Derived(_) => return None,
            Presence::Required => {
                let or_file = match key.shape {
                    Shape::Secret => format!(", or {}{FILE_SUFFIX} with the path of a file", key.name),
                    _ => String::new(),
                };
                self.problem(at, path, format!("is required and missing; give it{or_file}"));
                Value::Invalid
            }
            Presence::Default(text) => {
                let scalar = Scalar {
                    text: text.trim_matches('"').to_owned(),
                    plain: true,
                    runs_on: false,
                };
                let kind = Kind::Scalar(scalar);
                self.value(key, &key.shape, &Node { at, kind }, path)
            }
            Presence::Always => {
                let kind = Kind::Mapping(Vec::new());
                self.value(key, &key.shape, &Node { at, kind }, path)
            }
        };
        Some(Entry {
            key,
            path: path.to_owned(),
            at,
            given: false,
            value,
        })
    }

    pub(super) fn value(
        &mut self,
        key: &'static Key,
        shape: &'static Shape,
        node: &Node,
        path: &str,
    ) -> Value {
        let read = match shape {
            Shape::Section(keys) => self.section(keys, node, path).map(Value::Section),
            Shape::Variants(variants) => self.variant(variants, node, path).map(Value::Section),
            Shape::List(item) => self.list(key, item, node, path),
            Shape::OneOrMany(item) => match node.kind {
                Kind::List(_) => self.list(key, item, node, path),
                _ => Some(self.value(key, item, node, path)),
            },
            Shape::Properties => self.properties(node, path),
            Shape::Expressions => self.expressions(node, path),
            _ => self.single(shape, node, path),
        };
        read.unwrap_or(Value::Invalid)
    }

    fn list(&mut self, key: &'static Key, item: &'static Shape, node: &Node, path: &str) -> Option<Value> {
        let Kind::List(nodes) = &node.kind else {
            self.problem(node.at, path, format!("takes a list, not {}", node.describe()));
            return None;
        };
        if nodes.is_empty() {
            self.problem(node.at, path, "the list is empty; it needs at least one entry");
            return None;
        }
        let items = nodes.iter().enumerate().map(|(index, node)| {
            let path = format!("{path}[{index}]");
            let value = self.value(key, item, node, &path);
            Entry {
                key,
                path,
                at: node.at,
                given: true,
                value,
            }
        });
        Some(Value::List(items.collect()))
    }

    /// A section that has several forms: which one it is decides which keys it knows.
    fn variant(&mut self, variants: &'static [Variant], node: &Node, path: &str) -> Option<Section> {
        let pairs = self.pairs(node, path)?;
        let value = |name: &str| {
            let pair = pairs.iter().find(|pair| pair.key == name)?;
            match &pair.value.kind {
                Kind::Scalar(scalar) => Some(interpolate::expand(&scalar.text, self.environment).ok()),
                _ => Some(None),
            }
        };
        let signs = || {
            let mut signs: Vec<&str> = variants.iter().map(|variant| variant.sign.key()).collect();
            signs.dedup();
            signs
        };
        let present: Vec<&str> = signs().into_iter().filter(|name| value(name).is_some()).collect();
        match present.as_slice() {
            [] => {
                let wanted = signs().join(" or ");
                self.problem(
                    node.at,
                    path,
                    format!("needs the key {wanted}, which says what it is"),
                );
                return None;
            }
            [_] => {}
            several => {
                let several = several.join(" and ");
                self.problem(
                    node.at,
                    path,
                    format!("has both {several}; it can be only one of them"),
                );
                return None;
            }
        }
        let fitting = variants.iter().find(|variant| {
            value(variant.sign.key()).is_some_and(|value| variant.sign.fits(value.as_deref()))
        });
        let Some(variant) = fitting else {
            // The sign's own value is wrong; reading it as the first form words the complaint.
            let first = variants.first()?;
            let key = first.keys.iter().find(|key| key.name == first.sign.key())?;
            let place = join(path, key.name);
            let pair = self.pair(pairs, key.name, &place)?;
            self.value(key, &key.shape, &pair.value, &place);
            return None;
        };
        self.unknown_keys(variant.keys, pairs, path, variants);
        let mut section = self.known_keys(variant.keys, pairs, node.at, path);
        section.variant = Some(variant);
        Some(section)
    }

    /// The pairs of a mapping. Nothing behind a key is an empty mapping: its keys may be commented out.
    pub(super) fn pairs<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n [Pair]> {
        match &node.kind {
            Kind::Mapping(pairs) => Some(pairs),
            _ if node.is_null() => Some(&[]),
            _ => {
                self.problem(
                    node.at,
                    path,
                    format!("takes a mapping (keys with values), not {}", node.describe()),
                );
                None
            }
        }
    }

    /// The key's pair; a second one is a mistake.
    fn pair<'n>(&mut self, pairs: &'n [Pair], name: &str, path: &str) -> Option<&'n Pair> {
        let mut same = pairs.iter().filter(|pair| pair.key == name);
        let first = same.next();
        if let (Some(first), Some(second)) = (first, same.next()) {
            let line = first.key_at.line;
            self.problem(
                second.key_at,
                path,
                format!("is given twice, first in line {line}; remove one"),
            );
        }
        first
    }

    /// The value of an unknown key is never shown: it may be a misspelt secret.
    fn unknown_keys(
        &mut self,
        keys: &'static [Key],
        pairs: &[Pair],
        path: &str,
        siblings: &'static [Variant],
    ) {
        for pair in pairs {
            let name = pair.key.as_str();
            if keys.iter().any(|key| is_called(key, name)) {
                continue;
            }
            let place = join(path, name);
            let owners: Vec<&str> = siblings
                .iter()
                .filter(|variant| variant.keys.iter().any(|key| is_called(key, name)))
                .map(|variant| variant.name)
                .collect();
            let message = if !is_word(name) {
                NO_WORD.to_owned()
            } else if !owners.is_empty() {
                let this = siblings.iter().find(|variant| std::ptr::eq(variant.keys, keys));
                let this = this.map_or("another form", |variant| variant.name);
                format!(
                    "belongs to `{}`; this is `{this}`: remove it",
                    owners.join("`, `")
                )
            } else if let Some(near) = nearest(name, keys) {
                format!("there is no such key; did you mean {near}?")
            } else {
                let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
                format!("there is no such key here; the keys are {}", known.join(", "))
            };
            if pair.value.is_null() {
                self.problem(pair.key_at, path, format!("{NO_VALUE}: {message}"));
            } else {
                self.problem(pair.key_at, &place, message);
            }
        }
    }

    /// The text of a scalar after interpolation, and whether it may be a number.
    pub(super) fn scalar(&mut self, node: &Node, path: &str) -> Option<Scalar> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.problem(
                node.at,
                path,
                format!("takes a single value, not {}", node.describe()),
            );
            return None;
        };
        if node.is_null() {
            self.problem(node.at, path, "has no value; give one or remove the line");
            return None;
        }
        match interpolate::expand(&scalar.text, self.environment) {
            Ok(text) if text.trim().is_empty() => {
                self.problem(node.at, path, "is empty; give a value or remove the line");
                None
            }
            Ok(text) => Some(Scalar {
                plain: scalar.plain || text != scalar.text,
                runs_on: scalar.runs_on,
                text,
            }),
            Err(mistakes) => {
                for mistake in mistakes {
                    self.problem(node.at, path, mistake);
                }
                None
            }
        }
    }
}

/// Whether a key of the file is this one, or its `…_file` form.
fn is_called(key: &Key, name: &str) -> bool {
    let file = || matches!(key.shape, Shape::Secret) && name.strip_suffix(FILE_SUFFIX) == Some(key.name);
    key.name == name || file()
}

/// A path in a message. What stands in a key's place may be anything, a secret too where a colon is missing:
/// only what can be part of a key is shown.
pub(super) fn join(path: &str, name: &str) -> String {
    let cut = if is_word(name) { "" } else { "…" };
    let word: String = name.chars().take_while(|c| is_word_character(*c)).collect();
    if path.is_empty() {
        format!("{word}{cut}")
    } else {
        format!("{path}.{word}{cut}")
    }
}

/// Whether a key's name has only characters that some key may have.
pub(super) fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_word_character)
}

pub(super) const NO_WORD: &str = "is not a key: one is a single word, with a colon and a space behind it";

/// Such a key is not named: it may be a value whose key was lost.
pub(super) const NO_VALUE: &str = "here stands a key without a value";

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}
