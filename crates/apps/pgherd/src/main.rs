//! The `pgherd` binary: reads the command line and wires the crates together.

mod agent;
mod cli;
mod fence;
mod files;
mod logging;
mod manual;
mod programs;
mod tether;
mod validate;

use std::process::ExitCode;

fn main() -> ExitCode {
    programs::run(std::env::args_os().collect())
}
