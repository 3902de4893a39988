//! `sfbridge completions`: what a shell needs to complete commands and options.

use std::io::Write as _;

use clap_complete::Shell;

use crate::app::Exit;

const INSTALL: &str = "Examples:
  sfbridge completions bash > ~/.local/share/bash-completion/completions/sfbridge
  sfbridge completions zsh > ~/.zfunc/_sfbridge
  sfbridge completions fish > ~/.config/fish/completions/sfbridge.fish
  sfbridge completions elvish > ~/.config/elvish/lib/sfbridge.elv
  sfbridge completions powershell > sfbridge.ps1

A shell that is started afterwards completes. bash needs the package bash-completion for it.

zsh looks into ~/.zfunc if ~/.zshrc says so before compinit:
  fpath+=(~/.zfunc)
  autoload -Uz compinit && compinit

elvish takes it up with a line in ~/.config/elvish/rc.elv, PowerShell with one in $PROFILE:
  use sfbridge
  . /path/to/sfbridge.ps1";

#[derive(Debug, clap::Args)]
#[command(after_help = INSTALL)]
pub(in crate::cli) struct Args {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

pub(in crate::cli) fn run(arguments: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::program(), "sfbridge", &mut script);
    // Whoever reads may have closed the pipe.
    let _ = std::io::stdout().lock().write_all(&script);
    Exit::Clean
}
