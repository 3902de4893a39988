//! `sfbridge man`: a man page for the program and for each of its commands.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Part, notes, parts, program, spoken, walk};
use crate::app::Exit;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sfbridge man --out /usr/local/share/man/man1\n  sfbridge man | man -l -\n\nOf a command and its own commands the page is called sfbridge-<command>-<command>.1: man sfbridge-positions-set."
)]
pub(in crate::cli) struct Args {
    /// Write a page for each command into this folder; without it, the page of the program itself goes to stdout
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(in crate::cli) fn run(arguments: &Args) -> Exit {
    let Some(folder) = &arguments.out else {
        // Whoever reads may have closed the pipe.
        let _ = page(&program()).and_then(|page| io::stdout().lock().write_all(&page));
        return Exit::Clean;
    };
    match write(folder) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            eprintln!("sfbridge: {} cannot be written to: {error}", folder.display());
            Exit::Configuration
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let program = program();
    let mut outcome = Ok(());
    walk(&program, &mut |command| {
        if outcome.is_ok() {
            let file = folder.join(format!("{}.1", spoken(command).replace(' ', "-")));
            outcome = page(command).and_then(|page| std::fs::write(file, page));
        }
    });
    outcome
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .source(concat!("sfbridge ", env!("CARGO_PKG_VERSION")))
        .manual("Salesforce and Kafka");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    more(&notes(command)).to_writer(&mut page)?;
    Ok(page)
}

/// What the options are followed by, under the names that man pages have for it.
fn more(notes: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_headed = false;
    for part in parts(notes) {
        match part {
            Part::Heading(name) => {
                let name = if name == "Exit codes" {
                    "EXIT STATUS"
                } else {
                    "EXAMPLES"
                };
                roff.control("SH", [name]);
                is_headed = true;
            }
            Part::Prose(prose) => {
                // A paragraph behind examples is no example.
                if is_headed {
                    roff.control("SH", ["NOTES"]);
                    is_headed = false;
                } else {
                    roff.control("PP", []);
                }
                roff.text([roman(prose)]);
            }
            Part::Lines(lines) => {
                roff.control("nf", []);
                for line in lines {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
        }
    }
    roff
}
