//! The `pgherd` binary: reads the command line and wires the crates together.

mod agent;
mod cli;
mod fence;
mod files;
mod logging;
mod tether;

use std::process::ExitCode;

use clap::Parser;
use pgherd_ctl::Program;

use crate::cli::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Command::Agent(options) => agent::run(&options),
        Command::Fence(options) => fence::run(options),
        Command::Tether(options) => tether::run(options),
        Command::Tethered(options) => tether::become_server(&options),
        Command::Verb(verb) => pgherd_ctl::run(verb, &args.client, Program::Pgherd),
    }
}
