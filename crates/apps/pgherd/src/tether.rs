//! `pgherd tether` and `pgherd tethered`: a PostgreSQL and its parent.

use std::path::PathBuf;
use std::process::ExitCode;

use pgherd_fence::TetherOptions;

use crate::agent::chain;
use crate::cli::{TetherArgs, TetheredArgs};

/// The program to run as the tether: this one, also when an upgrade has put another at its path.
pub(crate) fn program() -> PathBuf {
    format!("/proc/{}/exe", std::process::id()).into()
}

/// Starts a server and is its parent until it ends; its exit code becomes this one's.
pub(crate) fn run(args: TetherArgs) -> ExitCode {
    let options = TetherOptions {
        data_dir: args.data_dir,
        run_as: args.run_as,
        server: args.server,
    };
    match pgherd_fence::tether(&options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Becomes the server.
pub(crate) fn become_server(args: &TetheredArgs) -> ExitCode {
    let error = pgherd_fence::tethered(args.parent, &args.server);
    eprintln!("{}", chain(&error));
    ExitCode::FAILURE
}
