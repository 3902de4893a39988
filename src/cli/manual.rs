//! What the program says of its own commands, in three more forms than `--help`: man pages, completions for shells,
//! and a page of the documentation. All of it comes from the definitions of the commands.

pub(super) mod completions;
pub(super) mod man;
pub(super) mod reference;

use clap::{Command, CommandFactory as _};

/// The whole program with everything filled in that each command inherits. Without the `help` commands: they repeat it.
fn program() -> Command {
    let mut program = super::Cli::command().disable_help_subcommand(true);
    program.build();
    program
}

/// The command and all below it, in the order of the help.
fn walk<'a>(command: &'a Command, visit: &mut impl FnMut(&'a Command)) {
    visit(command);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        walk(below, visit);
    }
}

/// `sfbridge positions set`
fn spoken(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// What stands under a command's options.
fn notes(command: &Command) -> String {
    let help = command.get_after_long_help().or_else(|| command.get_after_help());
    help.map(ToString::to_string).unwrap_or_default()
}

/// A paragraph of a help text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// `Examples:`
    Heading(&'a str),
    Prose(String),
    /// Indented in the text: lines that stay lines.
    Lines(Vec<&'a str>),
}

const HEADINGS: [(&str, &str); 3] = [
    ("Example:", "Example"),
    ("Examples:", "Examples"),
    ("Exit codes:", "Exit codes"),
];

fn parts(help: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for line in help.lines() {
        let heading = HEADINGS.iter().find(|(written, _)| *written == line);
        match (heading, parts.last_mut()) {
            (Some((_, name)), _) => parts.push(Part::Heading(name)),
            (None, _) if line.is_empty() => parts.push(Part::Prose(String::new())),
            (None, Some(Part::Lines(lines))) if line.starts_with("  ") => lines.push(&line[2..]),
            (None, _) if line.starts_with("  ") => parts.push(Part::Lines(vec![&line[2..]])),
            (None, Some(Part::Prose(prose))) if !prose.is_empty() => {
                prose.push(' ');
                prose.push_str(line);
            }
            (None, _) => parts.push(Part::Prose(line.to_owned())),
        }
    }
    parts.retain(|part| !matches!(part, Part::Prose(prose) if prose.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    /// A command line of an example: without its prompt, comment, and what comes behind a pipe.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut chars = line.chars().peekable();
        while let Some(char) = chars.next() {
            match (char, quote) {
                ('\'' | '"', None) => {
                    quote = Some(char);
                    word.get_or_insert_default();
                }
                (char, Some(open)) if char == open => quote = None,
                ('|' | '>' | '<', None) => break,
                (' ', None) => {
                    words.extend(word.take());
                    if chars.peek() == Some(&' ') {
                        break;
                    }
                }
                (char, _) => word.get_or_insert_default().push(char),
            }
        }
        words.extend(word);
        words
    }

    fn each(mut visit: impl FnMut(&Command)) -> usize {
        let program = program();
        let mut count = 0;
        walk(&program, &mut |command| {
            count += 1;
            visit(command);
        });
        count
    }

    #[test]
    fn every_command_shows_an_example_of_itself_that_the_program_takes() {
        let count = each(|command| {
            let help = notes(command);
            let mut of_itself = 0;
            for line in help.lines().filter_map(|line| line.strip_prefix("  sfbridge")) {
                let words = words(&format!("sfbridge{line}"));
                if let Err(error) = Cli::try_parse_from(&words) {
                    assert!(!error.use_stderr(), "{line}: {error}");
                }
                of_itself += usize::from(words.join(" ").starts_with(spoken(command)));
            }
            assert!(of_itself > 0, "{} shows no example", spoken(command));
            assert!(
                parts(&help)
                    .iter()
                    .any(|part| matches!(part, Part::Heading(name) if name.starts_with("Example"))),
                "{}",
                spoken(command)
            );
        });
        assert!(count > 25, "{count}");
    }

    #[test]
    fn every_command_that_answers_programs_says_what_its_json_is() {
        let mut found = Vec::new();
        each(|command| {
            let Some(output) = command.get_arguments().find(|arg| arg.get_id() == "output") else {
                return;
            };
            let help = output
                .get_long_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let name = spoken(command);
            assert!(
                help.contains("As JSON") && help.contains("\n  "),
                "{name}: {help}"
            );
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                // What a terminal of a hundred columns shows without breaking it.
                assert!(line.chars().count() <= 88, "{name}: {line}");
            }
            found.push(name.to_owned());
        });
        for name in [
            "check",
            "status",
            "publish",
            "demo",
            "positions set",
            "contracts diff",
            "dead-letters redrive",
        ] {
            let name = format!("sfbridge {name}");
            assert!(found.contains(&name), "{name}: {found:?}");
        }
    }

    #[test]
    fn an_example_is_read_as_a_shell_reads_it() {
        assert_eq!(
            words("sfbridge publish A__e '{\"B\": \"c d\"}' > x"),
            ["sfbridge", "publish", "A__e", "{\"B\": \"c d\"}"]
        );
        assert_eq!(words("sfbridge demo     until Ctrl-C"), ["sfbridge", "demo"]);
    }

    #[test]
    fn a_help_text_falls_into_its_parts() {
        let text = "Examples:\n  sfbridge a\n  sfbridge b\n\nOne.\nTwo.\n\nExit codes:\n  0 good";
        assert_eq!(
            parts(text),
            [
                Part::Heading("Examples"),
                Part::Lines(vec!["sfbridge a", "sfbridge b"]),
                Part::Prose("One. Two.".to_owned()),
                Part::Heading("Exit codes"),
                Part::Lines(vec!["0 good"]),
            ]
        );
    }
}
