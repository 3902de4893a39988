//! Mistakes in a configuration file: where, which key, which rule. A message never holds a secret and
//! never a line break, so that one mistake is one line.

use std::fmt;

use crate::error::{ErrorKind, Failure};

/// A place in the file, both counted from one; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// Where a mistake stands that concerns the whole file.
    pub const START: Self = Self { line: 1, column: 1 };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Missing where the file itself could not be read.
    pub at: Option<Position>,
    /// `routes[0].from.start`; empty where no key is concerned.
    pub path: String,
    pub message: String,
}

impl Problem {
    pub fn new(at: Position, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            path: path.into(),
            message: message.into(),
        }
    }

    pub fn of_file(message: impl Into<String>) -> Self {
        Self {
            at: None,
            path: String::new(),
            message: message.into(),
        }
    }
}

/// All the mistakes of one file, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub fn new(file: impl Into<String>, mut list: Vec<Problem>) -> Self {
        list.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
        list.dedup();
        let file = file.into();
        Self { file, list }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

/// One line a mistake: `<file>:<line>:<column>: <dotted.path>: <rule, and the value seen>`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some(Position { line, column }) = problem.at {
                write!(f, ":{line}:{column}")?;
            }
            if !problem.path.is_empty() {
                write!(f, ": {}", problem.path)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(ErrorKind::Misconfigured, problems.to_string())
            .remedy("correct the configuration file; `sfbridge config example` shows every key")
    }
}

/// A value as it may stand in a message: on one line, in quotes, cut where it is long.
pub(super) fn seen(value: &str) -> String {
    /// Longer ones are cut: the reader has the file, the line and the column.
    const SHOWN_MAX: usize = 80;
    if value.chars().count() > SHOWN_MAX {
        let head: String = value.chars().take(SHOWN_MAX).collect();
        format!("{head:?}…")
    } else {
        format!("{value:?}")
    }
}

/// Why a file could not be read, in an operator's words.
pub(super) fn why_unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        kind => kind.to_string(),
    }
}
