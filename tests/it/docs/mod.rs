//! The documentation, held to what the program does: every link leads somewhere, every configuration loads, every
//! command runs, every message that halts a route is in the runbook.
//!
//! # How blocks are marked
//!
//! | language | what is done with it |
//! |---|---|
//! | `text` | nothing: output, messages, diagrams |
//! | `yaml` | it is a configuration, or some of its sections: completed, and read by the program's own loader |
//! | `json` | parsed: a document, JSON lines, or members of an object |
//! | `cel` | compiled as a filter, or as a field's expression |
//! | `console` | `$ ` begins a command, other lines are what it prints: run in bash on a [`stage`], exit code 0 |
//! | `sh` | a script, the same |
//!
//! `console,serves` runs until it is stopped: it is stopped when it answers, and has to end well. `console,no_run` is
//! not run, and `<language>,other` is checked in no way; both with the reason in a comment on the line above:
//! `<!-- no_run: needs a container engine -->`. A file that a reason names has to be there. What a command line says to `sfbridge` is parsed in any case.
//! The page of the commands is generated, and its examples stand in `text` blocks: [`examples`] runs them.

mod book;
mod code;
mod examples;
mod halts;
mod links;
mod page;
mod shell;
mod stage;

use page::Block;

/// What is done with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Class {
    Text,
    Configuration,
    Json,
    Cel,
    /// Run, line by line.
    Commands,
    /// Run until it serves, then stopped.
    Server,
    /// Only parsed.
    NotRun,
    Other,
}

/// A path in a reason, below a folder of this repository, that leads nowhere.
fn missing(reason: &str) -> Option<&str> {
    let words = reason.split_whitespace();
    let words = words.map(|word| word.trim_matches(|char: char| !char.is_alphanumeric()));
    let mut paths = words.filter(|word| {
        let folder = word.split_once('/').map(|(folder, _)| folder);
        folder.is_some_and(|folder| page::root().join(folder).is_dir())
    });
    paths.find(|path| !page::root().join(path).exists())
}

/// The class of a block, or what is wrong with its marks.
fn class(block: &Block) -> Result<Class, String> {
    let place = block.place();
    let reasoned = |mark: &str| match &block.reason {
        Some((of, reason)) if of == mark => match missing(reason) {
            None => Ok(()),
            Some(path) => Err(format!("{place}: the reason names {path}, which does not exist")),
        },
        _ => Err(format!(
            "{place}: `{mark}` needs its reason on the line above: <!-- {mark}: … -->"
        )),
    };
    let marks: Vec<&str> = block.marks.iter().map(String::as_str).collect();
    match (block.language.as_str(), marks.as_slice()) {
        ("", _) => Err(format!("{place}: the block has no language; output is `text`")),
        (_, ["other"]) => reasoned("other").map(|()| Class::Other),
        ("console" | "sh", ["no_run"]) => reasoned("no_run").map(|()| Class::NotRun),
        ("console", ["serves"]) => Ok(Class::Server),
        ("console" | "sh", []) => Ok(Class::Commands),
        ("text", []) => match block.text.iter().find(|line| line.trim_start().starts_with("$ ")) {
            Some(_) => Err(format!("{place}: a command in a `text` block: `console` runs it")),
            None => Ok(Class::Text),
        },
        ("yaml", []) => Ok(Class::Configuration),
        ("json", []) => Ok(Class::Json),
        ("cel", []) => Ok(Class::Cel),
        (language, marks) => Err(format!(
            "{place}: nothing checks `{language}` with {marks:?}: see tests/it/docs/mod.rs for what is, or mark it `other`"
        )),
    }
}

fn blocks() -> Vec<Block> {
    page::all().iter().flat_map(page::Page::blocks).collect()
}

fn of_class(wanted: Class) -> Vec<Block> {
    let blocks = blocks().into_iter();
    blocks.filter(|block| class(block) == Ok(wanted)).collect()
}

/// Fails with all that is wrong, a line each.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_block_says_what_checks_it() {
    let blocks = blocks();
    let classes: Vec<_> = blocks.iter().map(class).collect();
    let wrong: Vec<String> = classes.iter().filter_map(|class| class.clone().err()).collect();
    assert_none(&wrong);
    for wanted in [
        Class::Text,
        Class::Configuration,
        Class::Json,
        Class::Cel,
        Class::Commands,
        Class::Server,
        Class::NotRun,
    ] {
        let count = classes.iter().filter(|class| **class == Ok(wanted)).count();
        println!("{wanted:?}: {count}");
        assert!(
            count > 0,
            "no block of class {wanted:?}: its check has nothing to do"
        );
    }
}

#[test]
fn a_block_without_a_class_or_a_reason_is_refused() {
    let said = |text: &str| class(&page::Page::of("x.md", text).blocks()[0]);
    assert!(said("```\nx\n```").is_err());
    assert!(said("```toml\nx\n```").is_err());
    assert!(said("```yaml,other\nx\n```").is_err());
    assert!(said("```console,no_run\n$ x\n```").is_err());
    assert!(said("<!-- other: for once -->\n```console,no_run\n$ x\n```").is_err());
    let elsewhere = said("<!-- no_run: tests/it/elsewhere.rs, too -->\n```console,no_run\n$ x\n```");
    assert!(elsewhere.unwrap_err().contains(" tests/it/elsewhere.rs,"));
    assert!(said("```text\n$ x\n```").is_err());
    assert_eq!(
        said("<!-- no_run: for once -->\n```console,no_run\n$ x\n```"),
        Ok(Class::NotRun)
    );
    assert_eq!(
        said("<!-- other: of Prometheus -->\n```promql,other\nx\n```"),
        Ok(Class::Other)
    );
}
