//! Reading the single values: numbers, texts, choices, and secrets with their `…_file` form.

use super::checks::{self, Refusal};
use super::interpolate;
use super::keys::{Key, Shape};
use super::problem::{seen, why_unreadable};
use super::read::{FILE_SUFFIX, Reader};
use super::secret::Secret;
use super::suggest::nearest_choice;
use super::tree::{Entry, Value};
use super::yaml::{Kind, Node, Pair, Scalar};

/// A day: longer waits in a configuration are slips of the unit.
const DURATION_MAX_HOURS: u64 = 24;

impl Reader<'_> {
    pub(super) fn single(&mut self, shape: &'static Shape, node: &Node, path: &str) -> Option<Value> {
        let scalar = self.scalar(node, path)?;
        let read = match shape {
            Shape::File => self.readable(&scalar.text),
            _ => parse(shape, &scalar),
        };
        match read {
            Ok(value) => Some(value),
            Err(Refusal::Shown(rule)) => {
                self.problem(node.at, path, format!("{rule}; {}", it_is(node, &scalar)));
                None
            }
            Err(Refusal::Hidden(rule)) => {
                self.problem(
                    node.at,
                    path,
                    format!("{rule}; the value may hold a secret and is not shown"),
                );
                None
            }
        }
    }

    fn readable(&self, path: &str) -> Result<Value, Refusal> {
        match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => Ok(Value::Text(path.to_owned())),
            Ok(_) => Err(Refusal::Shown(
                "must be the path of a file, not of a folder".to_owned(),
            )),
            Err(error) => Err(Refusal::Shown(format!(
                "must be a file that can be read ({})",
                why_unreadable(&error)
            ))),
        }
    }

    /// A secret, given itself or as the file that holds it.
    pub(super) fn secret(
        &mut self,
        key: &'static Key,
        itself: Option<&Pair>,
        file: Option<&Pair>,
        path: &str,
    ) -> Option<Entry> {
        let (pair, secret) = match (itself, file) {
            (None, None) => return None,
            (Some(pair), None) => {
                let scalar = self.scalar(&pair.value, path);
                (pair, scalar.map(|scalar| scalar.text))
            }
            (None, Some(pair)) => (
                pair,
                self.secret_file(&pair.value, &format!("{path}{FILE_SUFFIX}")),
            ),
            (Some(_), Some(pair)) => {
                let message = format!("{} is given too; keep one of the two", key.name);
                self.problem(pair.key_at, &format!("{path}{FILE_SUFFIX}"), message);
                (pair, None)
            }
        };
        Some(Entry {
            key,
            path: path.to_owned(),
            at: pair.key_at,
            given: true,
            value: secret.map_or(Value::Invalid, |text| Value::Secret(Secret::new(text))),
        })
    }

    /// What the file holds, without the line break that editors put at its end.
    pub(super) fn secret_file(&mut self, node: &Node, path: &str) -> Option<String> {
        let file = self.scalar(node, path)?.text;
        // Somebody may have put the secret where its path belongs.
        let shown = if file.starts_with(['/', '.']) && !file.contains('\n') {
            seen(&file)
        } else {
            "named here".to_owned()
        };
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let secret = text.strip_suffix('\n').unwrap_or(&text);
                let secret = secret.strip_suffix('\r').unwrap_or(secret);
                if secret.trim().is_empty() {
                    self.problem(
                        node.at,
                        path,
                        format!("the file {shown} is empty; put the secret into it"),
                    );
                    return None;
                }
                Some(secret.to_owned())
            }
            Err(error) => {
                let remedy = match error.kind() {
                    std::io::ErrorKind::NotFound => "mount it, or correct the path",
                    std::io::ErrorKind::PermissionDenied => "let the user that runs sfbridge read it",
                    _ => "it must be a text file (UTF-8)",
                };
                let why = why_unreadable(&error);
                self.problem(
                    node.at,
                    path,
                    format!("the file {shown} cannot be read ({why}); {remedy}"),
                );
                None
            }
        }
    }
}

/// The value seen. What a variable holds is not shown: it may be a secret that was meant for another key.
fn it_is(node: &Node, read: &Scalar) -> String {
    let Kind::Scalar(written) = &node.kind else {
        return String::new();
    };
    let written = interpolate::unshield(&written.text);
    if read.runs_on {
        "it runs on in the next line: is a colon missing there?".to_owned()
    } else if written == read.text {
        format!("it is {}", seen(&written))
    } else {
        format!("it is what {} stands for", seen(&written))
    }
}

/// One value by its shape alone.
fn parse(shape: &Shape, scalar: &Scalar) -> Result<Value, Refusal> {
    let text = scalar.text.trim();
    let bare = |rule: &str| {
        let quoted = if scalar.plain { "" } else { ", without quotes" };
        Err(Refusal::Shown(format!("{rule}{quoted}")))
    };
    match shape {
        Shape::Text(rule) => (rule.check)(text).map(|()| Value::Text(text.to_owned())),
        Shape::Path => Ok(Value::Text(text.to_owned())),
        Shape::Integer { min, max } => match text.parse::<i64>() {
            Ok(number) if scalar.plain && (*min..=*max).contains(&number) => Ok(Value::Integer(number)),
            _ => bare(&format!("must be a whole number from {min} to {max}")),
        },
        Shape::Percent => checks::percent(text)
            .map(Value::Percent)
            .ok_or_else(|| Refusal::Shown("must be a percentage from 0% to 100%, such as 10%".to_owned())),
        Shape::Duration => match checks::duration(text) {
            Some(value) if value.as_secs() <= DURATION_MAX_HOURS * 3600 => Ok(Value::Duration(value)),
            _ => Err(Refusal::Shown(format!(
                "must be a time with its unit (500ms, 30s, 5m, 1h), at most {DURATION_MAX_HOURS}h"
            ))),
        },
        Shape::Bool(_) => match text {
            "true" if scalar.plain => Ok(Value::Bool(true)),
            "false" if scalar.plain => Ok(Value::Bool(false)),
            _ => bare("must be true or false"),
        },
        Shape::Choice(choices) => {
            let found = choices.iter().find(|choice| choice.name == text);
            found.map(|choice| Value::Choice(choice.name)).ok_or_else(|| {
                let names: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
                let hint = nearest_choice(text, choices)
                    .map_or(String::new(), |near| format!(" (did you mean {near}?)"));
                Refusal::Shown(format!("must be one of {}{hint}", names.join(", ")))
            })
        }
        // The other shapes are read by their own functions and never come here.
        _ => Err(Refusal::Hidden("not a single value".to_owned())),
    }
}
