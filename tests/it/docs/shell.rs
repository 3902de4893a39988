//! Command lines on the pages: which words a shell makes of them, and what the program's own parser says of those that
//! are for it.

use clap::error::ErrorKind;

use super::page::{self, Block};
use super::{Class, assert_none, blocks, class};

/// A command of a block: the page's line, and its text with its continuations.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The commands of a `console` block. A line that ends with a backslash goes on in the next.
pub(super) fn commands(block: &Block) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut goes_on = false;
    for (index, line) in block.text.iter().enumerate() {
        let begins = match block.language.as_str() {
            "console" => line.strip_prefix("$ "),
            _ => Some(line.as_str()),
        };
        match (begins, commands.last_mut()) {
            (_, Some(last)) if goes_on => {
                last.text.push('\n');
                last.text.push_str(line);
            }
            (Some(text), _) => commands.push(Command {
                line: block.line + 1 + index,
                text: text.to_owned(),
            }),
            // What the command printed.
            (None, _) => continue,
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

/// The simple commands of a text, as words: without redirections and comments, quotes taken off.
fn simple_commands(text: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut skips_next = false;
    let mut chars = text.chars().peekable();
    let end_word = |word: &mut Option<String>, found: &mut Vec<Vec<String>>, skips_next: &mut bool| {
        if let Some(word) = word.take() {
            if std::mem::take(skips_next) {
                return;
            }
            found.last_mut().expect("one is always open").push(word);
        }
    };
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(char) => word.get_or_insert_default().push(char),
            },
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inside) = chars.next().filter(|inside| *inside != char) {
                    match inside {
                        '\\' if char == '"' => word.extend(chars.next()),
                        inside => word.push(inside),
                    }
                }
            }
            '#' if word.is_none() => while chars.next_if(|char| *char != '\n').is_some() {},
            '>' | '<' => {
                // `2>` names a descriptor.
                if word
                    .as_deref()
                    .is_some_and(|word| word.chars().all(|char| char.is_ascii_digit()))
                {
                    word = None;
                }
                end_word(&mut word, &mut found, &mut skips_next);
                while chars.next_if(|char| matches!(char, '>' | '&')).is_some() {}
                skips_next = true;
            }
            '|' | ';' | '&' | '\n' | '(' | ')' | '{' | '}'
                if char == '\n' || !is_inside_word(char, &word) =>
            {
                end_word(&mut word, &mut found, &mut skips_next);
                found.push(Vec::new());
            }
            char if char.is_whitespace() => end_word(&mut word, &mut found, &mut skips_next),
            char => word.get_or_insert_default().push(char),
        }
    }
    end_word(&mut word, &mut found, &mut skips_next);
    found.retain(|words| !words.is_empty());
    found
}

/// `${NAME}` and `a{b}` are words.
fn is_inside_word(char: char, word: &Option<String>) -> bool {
    matches!(char, '{' | '}') && word.as_deref().is_some_and(|word| !word.is_empty())
}

/// The command lines for this program, which begins with its name or comes behind another that starts it.
pub(super) fn for_sfbridge(text: &str) -> Vec<Vec<String>> {
    let is_program = |word: &String| word == "sfbridge" || word.ends_with("/sfbridge");
    let is_assignment = |word: &String| word.split_once('=').is_some_and(|(name, _)| !name.contains('-'));
    let mut found = Vec::new();
    for words in simple_commands(text) {
        let begin = words.iter().take_while(|word| is_assignment(word)).count();
        let words = &words[begin..];
        let first = words.first().map(String::as_str).unwrap_or_default();
        let at = match first {
            "docker" | "kubectl" if words.iter().any(|word| word == "exec") => {
                words.iter().position(is_program)
            }
            "if" | "until" | "while" | "!" | "then" | "do" | "sudo" | "exec" | "time" => {
                words.get(1).filter(|word| is_program(word)).map(|_| 1)
            }
            "cargo" if words.get(1).is_some_and(|word| word == "run") => {
                words.iter().position(|word| word == "--")
            }
            _ => words.first().filter(|word| is_program(word)).map(|_| 0),
        };
        if let Some(at) = at {
            let mut line = vec!["sfbridge".to_owned()];
            line.extend_from_slice(&words[at + 1..]);
            found.push(line);
        }
    }
    found
}

/// What the program's parser has against a command line. One that only begins a command may stand in a text.
fn refused(words: &[String], is_whole: bool) -> Option<String> {
    let error = sfbridge::cli::definition().try_get_matches_from(words).err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingSubcommand
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => !is_whole,
        _ => false,
    };
    let said = error.to_string();
    (!is_fine).then(|| said.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn every_command_line_for_the_program_is_one_that_it_takes() {
    let (mut count, mut wrong) = (0, Vec::new());
    for block in blocks() {
        if !matches!(class(&block), Ok(Class::Commands | Class::Server | Class::NotRun)) {
            continue;
        }
        for command in commands(&block) {
            for words in for_sfbridge(&command.text) {
                count += 1;
                if let Some(why) = refused(&words, true) {
                    wrong.push(format!(
                        "{}:{}: {}: {why}",
                        block.page,
                        command.line,
                        words.join(" ")
                    ));
                }
            }
        }
    }
    println!("{count} command lines");
    assert!(count >= 15, "{count} command lines");
    assert_none(&wrong);
}

#[test]
fn every_command_that_a_sentence_names_is_one_that_the_program_takes() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in page::all() {
        for (line, span) in page.spans() {
            // Placeholders and choices are for people.
            let is_for_people = ["<", "…", "[", "|"].iter().any(|sign| span.contains(sign));
            if !span.starts_with("sfbridge ") || is_for_people {
                continue;
            }
            count += 1;
            for words in for_sfbridge(&span) {
                if let Some(why) = refused(&words, false) {
                    wrong.push(format!("{}:{line}: `{span}`: {why}", page.name));
                }
            }
        }
    }
    println!("{count} commands in sentences");
    assert!(count >= 15, "{count} commands");
    assert_none(&wrong);
}

#[test]
fn words_are_those_that_a_shell_makes() {
    let words = |text: &str| {
        for_sfbridge(text)
            .into_iter()
            .map(|words| words[1..].to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words("A=1 sfbridge publish X__e '{\"a\": \"b c\"}' >out 2>&1 # a comment"),
        [["publish", "X__e", "{\"a\": \"b c\"}"]]
    );
    assert_eq!(
        words(
            "if ! true; then sfbridge check --output \\\n json | jq .; fi; kafka-acls --topic sfbridge.crm"
        ),
        [["check", "--output", "json"]]
    );
    assert_eq!(
        words("cargo run --release -- demo --seconds 5"),
        [["demo", "--seconds", "5"]]
    );
    assert_eq!(words("docker compose exec bridge sfbridge status"), [["status"]]);
    assert!(words("useradd sfbridge").is_empty() && words("x --user sfbridge y").is_empty());
    let line = |text: &str| for_sfbridge(text)[0].clone();
    assert!(refused(&line("sfbridge status --wach"), true).is_some_and(|why| why.contains("--wach")));
    assert!(refused(&line("sfbridge statsu"), false).is_some());
    assert!(refused(&line("sfbridge dead-letters"), true).is_some());
    assert!(refused(&line("sfbridge dead-letters"), false).is_none());
}
