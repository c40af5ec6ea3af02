//! The `pgherd` binary: reads the command line and wires the crates together.

mod agent;
mod cli;
mod fence;
mod files;
mod init;
mod manual;
mod notify;
mod programs;
mod tether;
mod validate;

use std::process::ExitCode;
use std::time::Duration;

/// The last lines of the log are written within this, or the log is broken.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// Lines of the log were still waiting at the end (contract §1.4).
const LOG_BROKEN: u8 = 5;

fn main() -> ExitCode {
    let code = programs::run(std::env::args_os().collect());
    if pgherd_log::finish(LOG_PATIENCE) {
        code
    } else {
        eprintln!("logging broken: not everything was written");
        ExitCode::from(LOG_BROKEN)
    }
}
