//! What the commands say of themselves: the page of the documentation, man pages, completions.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{is_there, text};
use crate::need;

fn sfbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a program prints, and what it complains of.
fn run(program: &str, arguments: &[&str]) -> Result<(String, String), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok((text(&output.stdout), text(&output.stderr)))
}

/// `SFBRIDGE_UPDATE_EXPECTED=1` writes it.
#[test]
fn the_page_of_the_commands_is_fresh() {
    let page = sfbridge::cli::reference();
    let file = Path::new("docs/commands.md");
    if std::env::var_os("SFBRIDGE_UPDATE_EXPECTED").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(file).unwrap_or_default() == page,
        "docs/commands.md is stale: SFBRIDGE_UPDATE_EXPECTED=1 cargo test --test it the_page_of_the_commands"
    );
    for command in ["check", "positions set", "contracts diff", "dead-letters redrive"] {
        assert!(page.contains(&format!("\n## sfbridge {command}\n")), "{command}");
    }
}

fn completions(shell: &str, folder: &Path) -> String {
    let output = sfbridge(&["completions", shell]);
    assert_eq!(output.status.code(), Some(0));
    let file = folder.join(format!("sfbridge.{shell}"));
    std::fs::write(&file, output.stdout).unwrap();
    file.display().to_string()
}

/// What bash offers for the last of these words.
fn offered_by_bash(script: &str, words: &[&str]) -> Vec<String> {
    let ask = r#"
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_sfbridge "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}""#;
    let arguments = [&["--norc", "-c", ask, "bash", script], words].concat();
    let (offered, complaint) = run("bash", &arguments).unwrap();
    assert!(complaint.is_empty(), "{complaint}");
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    need!("bash", is_there("bash"));
    let folder = tempfile::tempdir().unwrap();
    let script = completions("bash", folder.path());
    assert_eq!(run("bash", &["-n", &script]), Ok((String::new(), String::new())));
    assert_eq!(offered_by_bash(&script, &["sfbridge", "posi"]), ["positions"]);
    for (words, among) in [
        (&["sfbridge", ""][..], &["check", "dead-letters", "--config"][..]),
        (&["sfbridge", "positions", ""], &["list", "set", "reset"]),
        (
            &["sfbridge", "dead-letters", "redrive", "--"],
            &["--route", "--dry-run", "--output"],
        ),
        (&["sfbridge", "check", "--output", ""], &["text", "json"]),
        (
            &["sfbridge", "completions", ""],
            &["bash", "zsh", "fish", "elvish", "powershell"],
        ),
    ] {
        let offered = offered_by_bash(&script, words);
        for word in among {
            assert!(
                offered.iter().any(|offer| offer == word),
                "{words:?}: {offered:?}"
            );
        }
    }
}

#[test]
fn zsh_takes_its_script() {
    need!("zsh", is_there("zsh"));
    let folder = tempfile::tempdir().unwrap();
    let script = completions("zsh", folder.path());
    assert_eq!(
        run("zsh", &["-f", "-n", &script]),
        Ok((String::new(), String::new()))
    );
}

#[test]
fn fish_completes_commands() {
    need!("fish", is_there("fish"));
    let folder = tempfile::tempdir().unwrap();
    let script = completions("fish", folder.path());
    let ask = format!("source {script}; complete -C 'sfbridge positions '");
    let (offered, complaint) = run("fish", &["--no-config", "-c", &ask]).unwrap();
    for word in ["list", "set", "reset"] {
        assert!(
            offered.lines().any(|line| line.split('\t').next() == Some(word)),
            "{offered}{complaint}"
        );
    }
}

#[test]
fn every_shell_that_is_named_gets_a_script_and_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = std::fs::read_to_string(completions(shell, folder.path())).unwrap();
        assert!(
            script.contains("dead-letters") && script.contains("redrive"),
            "{shell}"
        );
    }
    assert_eq!(sfbridge(&["completions", "tcsh"]).status.code(), Some(64));
}

/// Every man page, with its command.
fn man_pages(folder: &Path) -> Vec<(String, String)> {
    let out = folder.join("man1");
    let made = sfbridge(&["man", "--out", out.to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let mut pages: Vec<(String, String)> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let command = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (command, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_command_has_a_man_page_with_its_name_its_synopsis_and_examples() {
    let folder = tempfile::tempdir().unwrap();
    let pages = man_pages(folder.path());
    let page = |command: &str| {
        let found = pages.iter().find(|(name, _)| name == command);
        &found.unwrap_or_else(|| panic!("no page of {command}")).1
    };
    // As many as the documentation has commands, and those that group them.
    let commands = sfbridge::cli::reference().matches("\n## sfbridge ").count();
    assert_eq!(
        pages.len(),
        commands + 5,
        "{:?}",
        pages.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for (name, page) in &pages {
        for heading in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH DESCRIPTION",
            ".SH OPTIONS",
            ".SH EXAMPLES",
        ] {
            assert!(page.contains(heading), "{name}: {heading}\n{page}");
        }
        assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "{name}");
    }
    assert!(page("sfbridge-check").contains(".SH \"EXIT STATUS\""));
    assert!(page("sfbridge-positions-set").contains("1200:3"));
    let printed = sfbridge(&["man"]);
    assert_eq!(text(&printed.stdout), *page("sfbridge"));

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = sfbridge(&["man", "--out", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        text(&refused.stderr).contains("cannot be written to"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn groff_renders_the_man_pages_without_a_complaint() {
    need!("groff", is_there("groff"));
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in man_pages(folder.path()) {
        let file = folder.path().join("man1").join(format!("{name}.1"));
        // `mac`: every macro is defined; `-k`: the pages are UTF-8.
        let (shown, complaint) = run(
            "groff",
            &["-k", "-man", "-Tutf8", "-wmac", "-P-cbou", file.to_str().unwrap()],
        )
        .unwrap();
        assert_eq!(complaint, "", "{name}");
        let command = ["dead-letters", "log-level"]
            .iter()
            .fold(name.replace('-', " "), |command, word| {
                command.replace(&word.replace('-', " "), word)
            });
        assert!(
            shown.contains(&command) && shown.contains("EXAMPLES"),
            "{name}\n{shown}"
        );
    }
}
