//! The one description of every configuration key. The reader, the release gate, `config show`,
//! `config schema` and `config example` all work from these tables, so none of them can drift.

pub(super) mod connections;
pub(super) mod routes;

use super::checks::Refusal;

/// A release of sfbridge, as far as features go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release(pub(super) u8, pub(super) u8);

impl Release {
    pub(super) const V0_1: Self = Self(0, 1);
    pub(super) const V0_2: Self = Self(0, 2);
    pub(super) const V0_3: Self = Self(0, 3);
    pub(super) const V0_4: Self = Self(0, 4);
    /// This program. A test compares it with the package's version.
    pub(super) const CURRENT: Self = Self::V0_4;

    pub(super) fn has_come(self) -> bool {
        self <= Self::CURRENT
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// One or two sentences for the operator.
    pub(super) doc: &'static str,
    pub(super) shape: Shape,
    pub(super) presence: Presence,
    /// What the generated example shows where there is no default; YAML on one line.
    pub(super) example: &'static str,
    /// The first release in which the key does something.
    pub(super) since: Release,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Presence {
    Required,
    Optional,
    /// Its text, read as if it stood in the file.
    Default(&'static str),
    /// Depends on other keys: `defaults.rs` fills it in; here it is told in words.
    Derived(&'static str),
    /// A section of optional keys: leaving it out is the same as leaving all of them out.
    Always,
}

/// What may stand behind a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text(&'static Text),
    /// Also as `…_file`.
    Secret,
    /// A file that must be readable.
    File,
    /// A file that is looked at when it is used.
    Path,
    Integer {
        min: i64,
        max: i64,
    },
    Percent,
    Duration,
    /// With the release in which `true` does something.
    Bool(Release),
    Choice(&'static [Choice]),
    Section(&'static [Key]),
    Variants(&'static [Variant]),
    List(&'static Shape),
    OneOrMany(&'static Shape),
    /// librdkafka properties.
    Properties,
    /// Field name → CEL expression.
    Expressions,
}

/// A text with a rule of its own.
pub(super) struct Text {
    pub(super) check: fn(&str) -> Result<(), Refusal>,
    /// The rule as far as a regular expression can say it, for editors.
    pub(super) pattern: Option<&'static str>,
    /// The first release in which this value does something.
    pub(super) since: fn(&str) -> Release,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({:?})", self.pattern)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) since: Release,
}

/// One of several forms of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// As in “belongs to …”.
    pub(super) name: &'static str,
    pub(super) sign: Sign,
    pub(super) keys: &'static [Key],
    pub(super) since: Release,
}

/// How a variant is told from its siblings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// The key is there.
    Has(&'static str),
    /// The key has this value.
    Is(&'static str, &'static str),
    /// The key's value begins with a slash: a Salesforce topic.
    Topic(&'static str),
    /// The key's value does not: the name of an sObject.
    Object(&'static str),
}

impl Sign {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Has(key) | Self::Is(key, _) | Self::Topic(key) | Self::Object(key) => key,
        }
    }

    /// Whether the key's value, where the key is there, makes it this variant.
    pub(super) fn fits(self, value: Option<&str>) -> bool {
        match self {
            Self::Has(_) => true,
            Self::Is(_, wanted) => value == Some(wanted),
            Self::Topic(_) => value.is_some_and(|value| value.starts_with('/')),
            Self::Object(_) => value.is_none_or(|value| !value.starts_with('/')),
        }
    }
}

impl Key {
    const fn new(name: &'static str, shape: Shape, presence: Presence, doc: &'static str) -> Self {
        Self {
            name,
            doc,
            shape,
            presence,
            example: "",
            since: Release::V0_1,
        }
    }

    const fn required(name: &'static str, shape: Shape, example: &'static str, doc: &'static str) -> Self {
        Self::new(name, shape, Presence::Required, doc).example(example)
    }

    const fn optional(name: &'static str, shape: Shape, example: &'static str, doc: &'static str) -> Self {
        Self::new(name, shape, Presence::Optional, doc).example(example)
    }

    const fn default(name: &'static str, shape: Shape, value: &'static str, doc: &'static str) -> Self {
        Self::new(name, shape, Presence::Default(value), doc)
    }

    const fn section(name: &'static str, keys: &'static [Self], doc: &'static str) -> Self {
        Self::new(name, Shape::Section(keys), Presence::Always, doc)
    }

    const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn since(mut self, since: Release) -> Self {
        self.since = since;
        self
    }

    const fn presence(mut self, presence: Presence) -> Self {
        self.presence = presence;
        self
    }
}

impl Choice {
    const fn now(name: &'static str) -> Self {
        Self::from(name, Release::V0_1)
    }

    const fn from(name: &'static str, since: Release) -> Self {
        Self { name, since }
    }
}

impl Text {
    const fn new(check: fn(&str) -> Result<(), Refusal>, pattern: Option<&'static str>) -> Self {
        Self {
            check,
            pattern,
            since: |_| Release::V0_1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_release_is_the_packages() {
        let package = format!(
            "{}.{}",
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR")
        );
        assert_eq!(Release::CURRENT.to_string(), package);
    }

    #[test]
    fn every_key_is_explained_and_can_be_shown() {
        fn walk(keys: &[Key], seen: &mut usize) {
            for key in keys {
                assert!(key.doc.ends_with('.'), "{} has a sentence", key.name);
                if matches!(key.presence, Presence::Required | Presence::Optional) {
                    let nested = matches!(
                        key.shape,
                        Shape::Section(_) | Shape::Variants(_) | Shape::List(_) | Shape::OneOrMany(_)
                    );
                    assert!(nested || !key.example.is_empty(), "{} has an example", key.name);
                }
                *seen += 1;
                descend(&key.shape, seen);
            }
        }
        fn descend(shape: &Shape, seen: &mut usize) {
            match shape {
                Shape::Section(keys) => walk(keys, seen),
                Shape::Variants(variants) => variants.iter().for_each(|variant| walk(variant.keys, seen)),
                Shape::List(item) | Shape::OneOrMany(item) => descend(item, seen),
                _ => {}
            }
        }
        let mut seen = 0;
        walk(connections::FILE, &mut seen);
        assert!(seen > 60, "{seen} keys");
    }
}
