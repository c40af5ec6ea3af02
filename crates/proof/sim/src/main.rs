//! `pgherd-sim`: runs random universes by their seeds, and scenario files.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted = match cli::read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}\n\n{}", cli::USAGE);
            return ExitCode::from(2);
        }
    };
    match cli::run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
