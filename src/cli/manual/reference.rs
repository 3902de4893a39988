//! The page `docs/commands.md`, as it has to be. A test compares the two.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::{Part, notes, parts, program, spoken, walk};

const HEAD: &str = "# Commands

<!-- Made from the program's own definitions by `SFBRIDGE_UPDATE_EXPECTED=1 cargo test --test it commands`. -->

What `sfbridge <command> --help` says, on one page. `sfbridge man --out <folder>` writes the same as man pages, and
`sfbridge completions <shell>` lets a shell complete it.

* `--config <FILE>` goes with every command: the configuration, `config/sfbridge.yaml` where neither it nor
  `SFBRIDGE_CONFIG` names another.
* Documents, lists and verdicts go to stdout; logs, complaints and remedies to stderr.
* With `--output json` stdout is one JSON document, or one a line where a command goes on. Exit codes and stderr stay the
  same. `contracts export`, `contracts docs` and `config schema` print documents of their own kind.
* Exit codes: 0 done; 1 something is broken, or could not be done; 64 the configuration or the command line is wrong; 69
  Kafka was not reached; 70 a bug; 75 cut off. What else one means stands with its command.

";

/// The page.
pub(in crate::cli) fn page() -> String {
    let program = program();
    let mut page = HEAD.to_owned();
    page.push_str("| command | |\n|---|---|\n");
    let mut sections = String::new();
    walk(&program, &mut |command| {
        // The program itself, and what only groups commands, have nothing to run.
        if command.has_subcommands() {
            return;
        }
        let name = spoken(command);
        let anchor = name.replace(' ', "-");
        let about = about(command);
        // Writing into a String cannot fail.
        let _ = writeln!(page, "| [`{name}`](#{anchor}) | {about} |");
        section(command, &about, &mut sections);
    });
    page.push('\n');
    page.push_str(sections.trim_end());
    page.push('\n');
    page
}

fn about(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string);
    about.map(|about| escaped(&about)).unwrap_or_default()
}

fn section(command: &Command, about: &str, out: &mut String) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = writeln!(
        out,
        "## {}\n\n{about}.\n\n```text\n{usage}\n```\n",
        spoken(command)
    );
    let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| is_own(arg)).collect();
    for argument in &arguments {
        option(argument, out);
    }
    if !arguments.is_empty() {
        out.push('\n');
    }
    for argument in arguments {
        let help = argument.get_long_help().map(ToString::to_string);
        for part in help.as_deref().map(parts).unwrap_or_default().iter().skip(1) {
            written(part, out);
        }
    }
    for part in &parts(&notes(command)) {
        written(part, out);
    }
}

/// What every command takes is told once.
fn is_own(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["config", "help", "version"].contains(&arg.get_id().as_str())
}

fn option(arg: &Arg, out: &mut String) {
    let value = arg
        .get_value_names()
        .map(|names| names.join(" "))
        .unwrap_or_default();
    let takes = arg.get_action().takes_values();
    let name = match arg.get_long() {
        None => format!("<{value}>"),
        Some(long) if takes => format!("--{long} <{value}>"),
        Some(long) => format!("--{long}"),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut item = format!("* `{name}`: {}", escaped(&help));
    let choices: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| takes)
        .map(|choice| format!("`{}`", choice.get_name()))
        .collect();
    if !choices.is_empty() {
        let _ = write!(item, ". One of {}", choices.join(", "));
    }
    let defaults = arg.get_default_values().iter().filter(|_| takes);
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() {
        let _ = write!(item, ". Default: `{}`", defaults.join(" "));
    }
    let _ = writeln!(out, "{}", wrapped(&item, "  "));
}

fn written(part: &Part<'_>, out: &mut String) {
    let _ = match part {
        Part::Heading(name) => writeln!(out, "**{name}**\n"),
        Part::Prose(prose) => writeln!(out, "{}\n", wrapped(&escaped(prose), "")),
        Part::Lines(lines) => writeln!(out, "```text\n{}\n```\n", lines.join("\n")),
    };
}

/// Outside of code a `<` would begin a tag.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts: Vec<String> = parts
        .map(|(at, part)| {
            if at % 2 == 0 {
                part.replace('<', "&lt;")
            } else {
                part.to_owned()
            }
        })
        .collect();
    parts.join("`")
}

/// As the pages beside it: lines of at most 120 characters, later ones behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    const WIDTH: usize = 120;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{indent}{word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_a_tag_is_text_and_code_stays_as_it_is() {
        assert_eq!(escaped("a <b> of `<c>`"), "a &lt;b> of `<c>`");
    }

    #[test]
    fn a_long_item_goes_on_behind_its_indent() {
        let text = format!("* {} end", "word ".repeat(24).trim_end());
        assert_eq!(wrapped(&text, "  ").lines().last(), Some("  word end"));
        assert!(
            wrapped(&text, "  ")
                .lines()
                .all(|line| line.chars().count() <= 120)
        );
    }
}
