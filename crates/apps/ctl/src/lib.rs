//! The operator's commands: list, switchover, failover, explain and the rest (contract §18).
//!
//! They read the DCS directly and act through the members' REST APIs, so they work from any host that
//! reaches both. Read in this order: `args` (what can be said), `session` (what every command has at hand),
//! `screen` (how it talks), `members` (whom it means), then `commands`, one file each.

mod args;
mod commands;
mod failure;
mod members;
mod screen;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::process::ExitCode;

pub use args::{ClientArgs, Command};

use crate::screen::Screen;
use crate::session::Session;

/// Runs one command to its end, talking over the standard streams. 0: done; 1: not, and the reason is on
/// standard error.
pub fn run(command: Command, args: &ClientArgs) -> ExitCode {
    let mut screen = Screen::of_process();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let session = Session::open(args, &environment())?;
            commands::run(command, &session, &mut screen).await
        }),
        Err(error) => Err(failure::Failure::Runtime(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::print(&error, &mut screen);
            ExitCode::FAILURE
        }
    }
}

/// The process's own environment; what is no text is nothing of ours.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
