//! Panics, parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sfbridge::runtime::panics::install();
    ExitCode::from(sfbridge::cli::run(std::env::args_os()).code())
}
