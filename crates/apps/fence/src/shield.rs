//! What keeps the fence alive and quick: a session of its own, memory that stays, a high priority.
//!
//! Signals of terminals and service managers (HUP, INT, QUIT, TERM) are ignored from the start on: the
//! shell that starts the fence sees to it, see `keeper`.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, geteuid, getrlimit, setpriority_process, setsid};

/// Puts the shield up; returns what the system did not grant, which is no reason to stop.
pub(crate) fn raise() -> Vec<String> {
    // It fails for the leader of a process group, and then the fence has a group of its own already.
    setsid().ok();
    // The folder it was started in may be the data directory, and whatever works there is PostgreSQL's.
    std::env::set_current_dir("/").ok();
    let mut missing = Vec::new();
    let mut note = |what: &str, error: std::io::Error| missing.push(format!("{what} ({error})"));
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000") {
        note("a life through shortage of memory", error);
    }
    if let Err(error) = stay_in_memory() {
        note("memory that is never paged out", error);
    }
    if let Err(error) = setpriority_process(None, -20) {
        note("the highest priority", error.into());
    }
    missing
}

/// Pages stay once they were touched. Only where no limit applies: with one, a stack could not grow.
fn stay_in_memory() -> std::io::Result<()> {
    if !geteuid().is_root() && getrlimit(Resource::Memlock).current.is_some() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
    Ok(())
}
