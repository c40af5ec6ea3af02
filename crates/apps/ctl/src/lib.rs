//! The operator's commands: list, switchover, failover, explain and the rest (contract §18).
//!
//! They read the DCS directly and act through the members' REST APIs, so they work from any host that
//! reaches both. Read in this order: `args` (what can be said), `session` (what every command has at hand),
//! `screen` (how it talks), `members` (whom it means), then `commands`, one file each.

mod args;
mod commands;
mod failure;
pub mod files;
mod members;
mod screen;
mod session;
pub mod sql;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

pub use args::{ClientArgs, Command};

use crate::screen::Screen;
use crate::session::Session;

/// Under which name the commands were called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Program {
    /// `pgherd`
    #[default]
    Pgherd,
    /// `patronictl`: scripts read what it prints, so nothing is added.
    Patronictl,
}

/// The exit code for a wrong command line, as that of whoever parses it.
const WRONG_USAGE: u8 = 2;

/// Runs one command to its end, talking over the standard streams. 0: done; 1: not, and the reason is on
/// standard error; 2: the command line is wrong.
pub fn run(command: Command, args: &ClientArgs, program: Program) -> ExitCode {
    let env = environment();
    let mut screen = Screen::of_process();
    screen.warns = wants_warnings(&env);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(async {
            if let Command::Version(asked) = &command
                && asked.cluster.is_none()
            {
                // the one command that needs no settings
                return commands::own_version(program, &mut screen);
            }
            let session = Session::open(args, &env, program)?;
            commands::run(command, &session, &mut screen).await
        }),
        Err(error) => Err(failure::Failure::Runtime(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::print(&error, &mut screen);
            match error {
                failure::Failure::Usage(_) => ExitCode::from(WRONG_USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Asks for a text on the terminal that is not shown while it is typed.
///
/// # Errors
/// When standard input ends.
pub fn typed_secret(question: &str) -> io::Result<String> {
    Screen::of_process()
        .ask_secret(question)
        .map_err(|error| io::Error::other(error.to_string()))
}

/// The least level of what is said beside the answer; WARNING when none is given (contract §18.1).
fn wants_warnings(env: &BTreeMap<String, String>) -> bool {
    let level = ["LOGLEVEL", "PATRONI_LOGLEVEL", "PATRONI_LOG_LEVEL"]
        .iter()
        .find_map(|name| env.get(*name).filter(|level| !level.is_empty()));
    level.is_none_or(|level| {
        !["ERROR", "FATAL", "CRITICAL"].contains(&level.to_ascii_uppercase().as_str())
    })
}

/// The process's own environment; what is no text is nothing of ours.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
