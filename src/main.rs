//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(sfbridge::cli::run(std::env::args_os()).code())
}
