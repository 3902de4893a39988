//! The runbook has an entry for every message with which a route may halt.
//!
//! The messages are read from the source: what makes a [`Failure`](sfbridge::error::Failure) of a kind that halts or may
//! halt, and what halts a route directly. An entry names a message by its words, with `…` for what differs; every entry
//! must be of a message that there is.

use std::collections::BTreeMap;

use super::page::{self, root};
use super::{assert_none, page::Page};

/// Where the messages of routes come from. Commands have their own, and `app.rs` has those of the start.
const FOLDERS: &[&str] = &["app", "contracts", "kafka", "routes", "runtime", "salesforce"];

/// Kinds that pass by themselves, or that are of one event alone.
const PASSING: &[&str] = &[
    "Transient",
    "Throttled",
    "Unauthenticated",
    "Poison",
    "Abortable",
    "Fenced",
];

/// Files whose errors are of one event or record and become dead letters, are causes inside another message, or are of
/// commands alone.
const NOT_OF_ROUTES: &[(&str, &str)] = &[
    (
        "salesforce/event/",
        "an event that cannot be decoded is a dead letter",
    ),
    (
        "salesforce/rest/bulk_csv.rs",
        "a record that CSV cannot hold is a dead letter",
    ),
    ("salesforce/rest/mapping.rs", "the object is read afresh"),
    ("kafka/producer.rs", "what carries a failure or a refusal"),
    ("contracts/first.rs", "`contracts init`"),
    ("routes/redrive/", "`dead-letters redrive`"),
    ("routes/to_kafka/redrive.rs", "`dead-letters redrive`"),
    ("routes/to_salesforce/redrive.rs", "`dead-letters redrive`"),
    ("kafka/redriven.rs", "`dead-letters redrive`"),
];

/// Names of arguments whose text is made elsewhere and found there.
const PASSED_ON: &[(&str, &str, &str)] = &[
    (
        "contracts/registry/error.rs",
        "message",
        "the texts of its `#[error]`",
    ),
    (
        "contracts/registry/http.rs",
        "message",
        "what `unusable` is called with",
    ),
    ("routes/filter/error.rs", "error", "the texts of its `#[error]`"),
    (
        "routes/mapping/program.rs",
        "error",
        "the texts of its `#[error]`",
    ),
    (
        "routes/to_kafka/mod.rs",
        "why",
        "the verdicts of routes/culprit.rs, and its own `halt`",
    ),
    (
        "routes/to_kafka/mod.rs",
        "message",
        "what `unknown` is called with",
    ),
    ("routes/waits.rs", "why", "what `halt` is called with"),
];

/// Variables that are a failure, whose text is found where it is made.
const FAILURES: &[&str] = &["failure", "halt"];

/// Messages that halt no route.
const NOT_HALTING: &[(&str, &str)] = &[
    ("group … has … members (…)", "`positions set`"),
    ("the filter has no answer: …", "a dead letter"),
];

/// Helpers that make a failure of the text that they are given.
const HELPERS: &[&str] = &["changed", "refused", "unusable"];

/// Messages with fewer letters of their own are made of other ones, which have theirs.
const LETTERS_MIN: usize = 8;

/// Others, also where they stand without the name of their type.
const KINDS: &[&str] = &[
    "Contract",
    "Denied",
    "LostPosition",
    "Misconfigured",
    "Unknown",
    "kind",
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

#[derive(Debug)]
struct Source {
    name: String,
    tokens: Vec<(usize, Token)>,
}

/// A message of the source, with `…` for what is filled in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    at: String,
    text: String,
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut index, mut line) = (Vec::new(), 0, 1);
    while index < chars.len() {
        let (at, next) = (chars[index], chars.get(index + 1).copied().unwrap_or(' '));
        match at {
            '\n' => line += 1,
            '/' if next == '/' => {
                while index < chars.len() && chars[index] != '\n' {
                    index += 1;
                }
                continue;
            }
            'r' if next == '"' || (next == '#' && chars.get(index + 2) == Some(&'"')) => {
                let hashes = usize::from(next == '#');
                let end: Vec<char> = std::iter::once('"')
                    .chain(std::iter::repeat_n('#', hashes))
                    .collect();
                let from = index + 2 + hashes;
                let len = chars[from..]
                    .windows(end.len())
                    .position(|window| window == end)
                    .unwrap_or(0);
                let text: String = chars[from..from + len].iter().collect();
                let lines = text.matches('\n').count();
                tokens.push((line, Token::Text(text)));
                line += lines;
                index = from + len + end.len();
                continue;
            }
            '"' => {
                let (begin, mut text) = (line, String::new());
                index += 1;
                while index < chars.len() && chars[index] != '"' {
                    if chars[index] == '\\' {
                        index += 1;
                        if chars[index] == '\n' {
                            line += 1;
                            while chars.get(index + 1).is_some_and(|char| char.is_whitespace()) {
                                index += 1;
                            }
                        } else {
                            text.push(if chars[index] == 'n' { '\n' } else { chars[index] });
                        }
                    } else {
                        text.push(chars[index]);
                    }
                    index += 1;
                }
                tokens.push((begin, Token::Text(text)));
            }
            // A character, and no lifetime.
            '\'' if next == '\\' => {
                index += 3;
                while chars.get(index).is_some_and(|char| *char != '\'') {
                    index += 1;
                }
            }
            '\'' if chars.get(index + 2) == Some(&'\'') => index += 2,
            char if char.is_alphanumeric() || char == '_' => {
                let begin = index;
                while chars
                    .get(index + 1)
                    .is_some_and(|char| char.is_alphanumeric() || *char == '_')
                {
                    index += 1;
                }
                tokens.push((line, Token::Word(chars[begin..=index].iter().collect())));
            }
            char if char.is_whitespace() => {}
            char => tokens.push((line, Token::Sign(char))),
        }
        index += 1;
    }
    tokens
}

fn sources() -> Vec<Source> {
    let mut files = vec![root().join("src/app.rs")];
    let mut folders: Vec<_> = FOLDERS.iter().map(|name| root().join("src").join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut sources = Vec::new();
    for path in files {
        let name = path
            .strip_prefix(root().join("src"))
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let is_of_others = NOT_OF_ROUTES.iter().any(|(part, _)| name.starts_with(part));
        if is_of_others || name.contains("/tests") || name.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        sources.push(Source {
            name,
            tokens: tokens(code),
        });
    }
    sources
}

impl Source {
    fn word(&self, at: usize) -> &str {
        match self.tokens.get(at) {
            Some((_, Token::Word(word))) => word,
            _ => "",
        }
    }

    fn is_sign(&self, at: usize, sign: char) -> bool {
        matches!(self.tokens.get(at), Some((_, Token::Sign(own))) if *own == sign)
    }

    fn place(&self, at: usize) -> String {
        format!("src/{}:{}", self.name, self.tokens[at].0)
    }

    /// The end of what begins at `at`, at the sign that closes it or at `end` outside of brackets.
    fn end(&self, at: usize, end: char) -> usize {
        let mut depth = 0_usize;
        for index in at..self.tokens.len() {
            let Token::Sign(sign) = self.tokens[index].1 else {
                continue;
            };
            match sign {
                sign if sign == end && depth == 0 => return index,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => return index,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// The arguments behind an opening bracket: from and to.
    fn arguments(&self, open: usize) -> Vec<(usize, usize)> {
        let mut arguments = Vec::new();
        let mut from = open + 1;
        while from < self.tokens.len() && !self.is_sign(from, ')') {
            let to = self.end(from, ',');
            arguments.push((from, to));
            if !self.is_sign(to, ',') {
                break;
            }
            from = to + 1;
        }
        arguments
    }

    fn texts(&self, from: usize, to: usize) -> Vec<String> {
        let texts = self.tokens[from..to.min(self.tokens.len())].iter();
        texts
            .filter_map(|(_, token)| match token {
                Token::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// The texts that an argument may be: its own, those of the variable that it names, or of the function it calls.
    fn told(&self, from: usize, to: usize) -> Vec<String> {
        self.told_before(from, to, from)
    }

    /// The same, with variables that stand before a place.
    fn told_before(&self, from: usize, to: usize, before: usize) -> Vec<String> {
        let own = self.texts(from, to);
        if !own.is_empty() {
            return own;
        }
        for at in from..to {
            let word = self.word(at);
            if word.is_empty() || word == "self" {
                continue;
            }
            let texts = if self.is_sign(at + 1, '(') {
                self.texts_of_function(word)
            } else {
                self.texts_of_variable(word, before)
            };
            if !texts.is_empty() {
                return texts;
            }
        }
        Vec::new()
    }

    /// Of the nearest `let` before a place.
    fn texts_of_variable(&self, name: &str, before: usize) -> Vec<String> {
        for at in (0..before).rev() {
            if self.word(at) == "fn" {
                break;
            }
            if self.word(at) != "let" {
                continue;
            }
            let equals = self.end(at, '=');
            if (at..equals).any(|index| self.word(index) == name) {
                return self.told_before(equals + 1, self.end(equals + 1, ';'), at);
            }
        }
        Vec::new()
    }

    fn texts_of_function(&self, name: &str) -> Vec<String> {
        for at in 0..self.tokens.len() {
            if self.word(at) == "fn" && self.word(at + 1) == name {
                let body = self.end(at, '{');
                return self.texts(body + 1, self.end(body + 1, '\0'));
            }
        }
        Vec::new()
    }
}

fn filled(text: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for char in text.chars() {
        match char {
            '{' => {
                if depth == 0 {
                    out.push('…');
                }
                depth += 1;
            }
            '}' => depth -= 1,
            char if depth == 0 => out.push(char),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every message of a source that may halt a route, and the places whose message is not to be found.
fn messages(source: &Source) -> (Vec<Message>, Vec<String>) {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    for at in 0..source.tokens.len() {
        let place = source.place(at);
        if let Some(texts) = source.error_attribute(at) {
            found.extend(texts.iter().map(|text| Message::new(&place, text)));
            continue;
        }
        let Some((from, to)) = source.halting_argument(at) else {
            continue;
        };
        let words = || {
            (from..to)
                .map(|index| source.word(index))
                .filter(|word| !word.is_empty())
        };
        // A failure's own text.
        if words().any(|word| word == "chain") || words().next().is_some_and(|word| FAILURES.contains(&word))
        {
            continue;
        }
        let texts = source.told(from, to);
        let is_passed_on = PASSED_ON
            .iter()
            .any(|(file, name, _)| source.name == *file && words().next() == Some(name));
        if texts.is_empty() && !is_passed_on {
            lost.push(place.clone());
        }
        found.extend(texts.iter().map(|text| Message::new(&place, text)));
    }
    (found, lost)
}

impl Message {
    fn new(at: &str, text: &str) -> Self {
        let (at, text) = (at.to_owned(), filled(text));
        Self { at, text }
    }
}

impl Source {
    /// The texts of `#[error("…")]`.
    fn error_attribute(&self, at: usize) -> Option<Vec<String>> {
        let is_it =
            self.word(at) == "error" && at > 0 && self.is_sign(at - 1, '[') && self.is_sign(at + 1, '(');
        is_it.then(|| self.texts(at, self.end(at + 2, ',')))
    }

    /// Whether the function around a place halts a route by itself, of whatever kind the failure is.
    fn halts_around(&self, at: usize) -> bool {
        let Some(begin) = (0..at).rev().find(|index| self.word(*index) == "fn") else {
            return false;
        };
        let body = self.end(begin, '{');
        let end = self.end(body + 1, '\0');
        let is_halt = |index: usize| {
            let is_of =
                self.word(index.saturating_sub(3)) == "waits" || self.word(index.saturating_sub(2)) == "self";
            is_of && self.word(index) == "halt" && self.is_sign(index + 1, '(')
        };
        at < end && (body..end).any(is_halt)
    }

    /// Where the message stands of what halts a route, or may.
    fn halting_argument(&self, at: usize) -> Option<(usize, usize)> {
        let name = self.word(at);
        if at < 3 || !self.is_sign(at + 1, '(') || self.word(at - 1) == "fn" {
            return None;
        }
        let is_method = self.is_sign(at - 1, '.');
        let of = if self.is_sign(at - 1, ':') {
            self.word(at - 3)
        } else {
            ""
        };
        let arguments = self.arguments(at + 1);
        let first = arguments.first().copied();
        match (name, of) {
            ("new", "Failure" | "Self") => {
                let (from, to) = first?;
                let words = || {
                    (from..to)
                        .map(|index| self.word(index))
                        .filter(|word| !word.is_empty())
                };
                let kind = words().next_back().unwrap_or_default();
                let is_kind = words().any(|word| word == "ErrorKind") || KINDS.contains(&kind);
                let may_halt =
                    (of == "Failure" || is_kind) && (!PASSING.contains(&kind) || self.halts_around(at));
                arguments
                    .get(1)
                    .copied()
                    .filter(|_| may_halt && arguments.len() == 2)
            }
            ("unknown", "") | ("Halt", "Verdict") => first,
            ("halt" | "halted", _) if is_method => first,
            ("halt", "waits") => arguments.get(1).copied(),
            (name, _) if HELPERS.contains(&name) => {
                let has_text = |&(from, to): &(usize, usize)| !self.texts(from, to).is_empty();
                arguments.iter().copied().find(has_text)
            }
            _ => None,
        }
    }
}

/// The entries of the runbook: the first cells of the tables that show messages.
fn entries(runbook: &Page) -> Vec<(usize, String)> {
    let mut entries = Vec::new();
    let mut shows_messages = false;
    for (number, line) in runbook.prose() {
        if !line.starts_with('|') {
            shows_messages = false;
            continue;
        }
        let first = line
            .trim_start_matches('|')
            .split(" |")
            .next()
            .unwrap_or_default()
            .trim();
        if first == "`why` contains" {
            shows_messages = true;
        } else if shows_messages && !first.starts_with("--") {
            let parts = first.split("<br>").map(|part| message_of(part.trim()));
            entries.extend(parts.map(|part| (number, part)));
        }
    }
    entries
}

/// Without the signs that make it code, and without what a sentence adds behind it.
fn message_of(cell: &str) -> String {
    let fence = cell.chars().take_while(|char| *char == '`').count();
    let inside = cell.trim_start_matches('`');
    let end = match fence {
        0 => inside.len(),
        1 if inside.ends_with('`') => inside.len() - 1,
        fence => inside.find(&"`".repeat(fence)).unwrap_or(inside.len()),
    };
    inside[..end].trim().to_owned()
}

/// Whether an entry's words stand in a message, in their order.
fn is_of(entry: &str, message: &str) -> bool {
    let mut rest = message;
    for part in entry.split('…').map(str::trim).filter(|part| !part.is_empty()) {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[test]
fn every_message_that_halts_a_route_has_an_entry_in_the_runbook() {
    let runbook = page::read("docs/operations.md");
    let entries = entries(&runbook);
    let mut wrong = Vec::new();
    let mut all = BTreeMap::new();
    for source in sources() {
        let (found, lost) = messages(&source);
        wrong.extend(
            lost.into_iter()
                .map(|place| format!("{place}: its message is not to be found")),
        );
        for message in found {
            all.insert(message.text, message.at);
        }
    }
    for (text, at) in &all {
        let letters = text.chars().filter(|char| char.is_alphabetic()).count();
        let is_other = NOT_HALTING.iter().any(|(other, _)| other == text);
        if letters >= LETTERS_MIN && !is_other && !entries.iter().any(|(_, entry)| is_of(entry, text)) {
            wrong.push(format!("{at}: no entry for: {text}"));
        }
    }
    let words: Vec<String> = every_text();
    for (line, entry) in &entries {
        let letters = entry.chars().filter(|char| char.is_alphabetic()).count();
        if letters < 5 {
            wrong.push(format!(
                "docs/operations.md:{line}: `{entry}` is too short to name a message"
            ));
        } else if !words.iter().any(|text| is_of(entry, text)) {
            wrong.push(format!(
                "docs/operations.md:{line}: no message has the words `{entry}`"
            ));
        }
    }
    println!("{} messages, {} entries", all.len(), entries.len());
    assert_none(&wrong);
    assert!(
        all.len() > 60 && entries.len() > 40,
        "{} messages, {} entries",
        all.len(),
        entries.len()
    );
}

/// Every text in the source, whatever it is for: an entry may also be of a message that passes.
fn every_text() -> Vec<String> {
    let mut texts = Vec::new();
    for source in sources() {
        for (_, token) in &source.tokens {
            if let Token::Text(text) = token {
                texts.push(filled(text));
            }
        }
    }
    texts
}

/// What each section on a halt says beside its messages.
const PARTS: [&str; 4] = ["**Means.**", "**Safe.**", "**Do.**", "**Well again.**"];

#[test]
fn every_section_on_a_halt_says_what_it_means_what_is_safe_what_to_do_and_when_it_is_over() {
    let runbook = page::read("docs/operations.md");
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for (_, line) in runbook.prose() {
        if let Some(heading) = line.strip_prefix("## ") {
            inside = heading == "Halted";
        } else if let Some(heading) = line.strip_prefix("### ").filter(|_| inside) {
            sections.push((heading.to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut().filter(|_| inside) {
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(sections.len() > 10, "{} sections", sections.len());
    let mut wrong = Vec::new();
    for (heading, text) in &sections {
        for part in PARTS {
            if !text.contains(part) {
                wrong.push(format!("docs/operations.md: {heading}: without {part}"));
            }
        }
        if !text.contains("| `why` contains |") {
            wrong.push(format!("docs/operations.md: {heading}: no message leads here"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn messages_are_found_however_they_are_written() {
    let source = Source {
        name: "x.rs".to_owned(),
        tokens: tokens(
            r#"
            fn a() -> Failure { let message = format!("{user} may not {verb} it, \
                nor that"); Failure::new(ErrorKind::Denied, message) }
            fn b() { Failure::new(ErrorKind::Transient, "it passes") }
            fn c() { Failure::new(kind, told(x)).remedy("not this") }
            fn told(x: u8) -> String { match x { 0 => "one".to_owned(), _ => format!("two {x}") } }
            fn d() { status.halted(&format!("a bug: {why}"), Some("no remedy")); }
            fn g(&self) { let failure = Failure::new(ErrorKind::Poison, "too many"); self.halt(&failure, &pauses); }
            fn e(message: String) { Failure::new(ErrorKind::Unknown, message) }
            #[error("field {field}: no")] struct F;
            "#,
        ),
    };
    let (found, lost) = messages(&source);
    let texts: Vec<&str> = found.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "… may not … it, nor that",
            "one",
            "two …",
            "a bug: …",
            "too many",
            "field …: no"
        ]
    );
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(is_of("may not … nor", texts[0]) && !is_of("nor … may not", texts[0]));
}
