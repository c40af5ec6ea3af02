//! The fence: a process of its own beside one PostgreSQL. It stops a primary whose lease ends, also when
//! the agent is killed, frozen or stuck.
//!
//! Agent and fence share one small file with the deadline, and nothing else. Read in this order: `record`
//! (what stands in the file), `file` and `place` (the file); `process` (the fence's loop), `scout` and
//! `server` (what it knows of PostgreSQL), `stop` (what it does to it); `keeper` (the agent's side);
//! `tether` (the postmaster's parent, for when agent and fence are both gone); `shield`, `log` and `clock`
//! (what the processes need to live). No async, no threads but those that look at the disk and write the log:
//! whoever is to trust it reads it in ten minutes.

mod clock;
mod file;
mod keeper;
mod log;
mod place;
mod process;
mod record;
mod scout;
mod server;
mod shield;
mod stop;
mod tether;

use std::path::Path;

pub use file::FileError;
pub use keeper::{FenceKeeper, KeepError, Retired, Upkeep};
pub use process::{Options, run};
pub use tether::{TetherError, TetherOptions, tether, tethered};

/// Whether a postmaster runs on `data_dir`: then there is something to guard.
pub fn has_server(data_dir: &Path) -> bool {
    server::Postmaster::find(data_dir).is_some()
}
