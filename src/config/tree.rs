//! The configuration after reading: every key that applies, with its value, its place in the file and its
//! path; defaults filled in. The rules, the release gate and `config show` work on it; `build.rs` makes
//! the typed [`super::Config`] of it.

use std::time::Duration;

use super::keys::{Key, Variant};
use super::problem::Position;
use super::secret::Secret;

#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) at: Position,
    pub(super) path: String,
    pub(super) keys: &'static [Key],
    /// Which form it has, where there are several.
    pub(super) variant: Option<&'static Variant>,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) path: String,
    pub(super) at: Position,
    /// It stands in the file; otherwise this is a default.
    pub(super) given: bool,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Secret(Secret),
    Integer(i64),
    Percent(f64),
    Duration(Duration),
    Bool(bool),
    Choice(&'static str),
    Section(Section),
    List(Vec<Entry>),
    Properties(Vec<Property>),
    Expressions(Vec<Property>),
    /// Its mistake has been reported.
    Invalid,
}

/// One pair of a map with free keys. Many a value is a secret, so none is printed by accident.
#[derive(Debug, Clone)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) value: Secret,
}

impl Section {
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.name == name)
    }

    pub(super) fn entry_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key.name == name)
    }

    /// Fills in a default that depends on other keys, unless the file gives the key.
    pub(super) fn fill(&mut self, name: &str, value: Value) {
        let order = |wanted: &Key| self.keys.iter().position(|key| key.name == wanted.name);
        let Some(key) = self.keys.iter().find(|key| key.name == name) else {
            return;
        };
        if self.entry(name).is_some() {
            return;
        }
        let before = self
            .entries
            .iter()
            .filter(|entry| order(entry.key) < order(key))
            .count();
        let entry = Entry {
            key,
            path: super::read::join(&self.path, name),
            at: self.at,
            given: false,
            value,
        };
        self.entries.insert(before, entry);
    }

    /// The entry, if it stands in the file.
    pub(super) fn given(&self, name: &str) -> Option<&Entry> {
        self.entry(name).filter(|entry| entry.given)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match &self.entry(name)?.value {
            Value::Text(text) => Some(text),
            Value::Choice(choice) => Some(choice),
            _ => None,
        }
    }

    pub(super) fn secret(&self, name: &str) -> Option<&Secret> {
        match &self.entry(name)?.value {
            Value::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    pub(super) fn integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        match self.entry(name)?.value {
            Value::Integer(number) => T::try_from(number).ok(),
            _ => None,
        }
    }

    pub(super) fn percent(&self, name: &str) -> Option<f64> {
        match self.entry(name)?.value {
            Value::Percent(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        match self.entry(name)?.value {
            Value::Duration(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        match self.entry(name)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        self.entry(name)?.as_section()
    }

    /// The sections of a list, or the one that stands for a list of one.
    pub(super) fn sections(&self, name: &str) -> impl Iterator<Item = &Self> {
        let items = self.entry(name).map(Entry::items).unwrap_or_default();
        items.iter().filter_map(Entry::as_section)
    }

    /// The texts of a list, each with its entry.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = (&Entry, &str)> {
        let items = self.entry(name).map(Entry::items).unwrap_or_default();
        items.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some((item, text.as_str())),
            _ => None,
        })
    }

    pub(super) fn properties(&self, name: &str) -> &[Property] {
        match self.entry(name).map(|entry| &entry.value) {
            Some(Value::Properties(pairs) | Value::Expressions(pairs)) => pairs,
            _ => &[],
        }
    }

    /// The name of the section's form: `from.kafka`, `flow: jwt_bearer` …
    pub(super) fn form(&self) -> &'static str {
        self.variant.map_or("", |variant| variant.name)
    }
}

impl Entry {
    /// A list's items; a single value is a list of one.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    pub(super) fn as_section(&self) -> Option<&Section> {
        match &self.value {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    pub(super) fn as_section_mut(&mut self) -> Option<&mut Section> {
        match &mut self.value {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }
}
