//! One PostgreSQL as the system shows it: its postmaster, what belongs to it, and whether it is a primary.
//!
//! Folders and programs of processes are compared as /proc names them, as texts: a look at the files
//! themselves could wait for a disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Clock ticks a second in /proc, the same on every Linux.
const TICKS: u64 = 100;
/// How far the start in postmaster.pid and the process's own may be apart, in seconds.
const START_TOLERANCE: u64 = 3;
/// Files that make a server start as a replica; the last one before PostgreSQL 12.
const REPLICA_FILES: [&str; 3] = ["standby.signal", "recovery.signal", "recovery.conf"];
/// Where the state of the server stands in global/pg_control, the same in every version.
const STATE_AT: u64 = 16;
/// The state of a primary that has written its last record.
const SHUT_DOWN: u32 = 1;
/// The states of a server that took writes since it started: shutting down, in production.
const PRIMARY_STATES: [u32; 2] = [3, 6];

/// A postmaster, held by a pidfd: no signal ever reaches another process that got its number.
#[derive(Debug)]
pub(crate) struct Postmaster {
    /// Its process id.
    pub(crate) pid: i32,
    handle: OwnedFd,
    folder: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl Postmaster {
    /// The child `pid`, which was not waited for yet, so that the number is its own.
    pub(crate) fn of_child(pid: i32) -> io::Result<Self> {
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            pid,
            handle: pidfd_open(number, PidfdFlags::NONBLOCK)?,
            folder: None,
            program: None,
        })
    }

    /// The postmaster that runs on `data_dir`.
    pub(crate) fn find(data_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
        let mut lines = text.lines().map(str::trim);
        // A single-user server writes a negative number; it takes no clients.
        let pid: i32 = lines.next()?.parse().ok().filter(|pid| *pid > 1)?;
        let recorded: Option<u64> = lines.nth(1).and_then(|line| line.parse().ok());
        let before = stat(pid).filter(Stat::runs)?;
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
        // Between the look and the opening the number could have changed hands.
        stat(pid).filter(|after| after.started == before.started)?;
        let folder = link(pid, "cwd");
        let works_there = folder.is_some() && folder == fs::canonicalize(data_dir).ok();
        let began_then = || {
            let (began, recorded) = (boot_seconds()? + before.started / TICKS, recorded?);
            Some(began.abs_diff(recorded) <= START_TOLERANCE)
        };
        (works_there || began_then() == Some(true)).then(|| Self {
            pid,
            handle,
            folder,
            program: link(pid, "exe"),
        })
    }

    /// Whether it has let no client in since it began, for sure. Where its file does not say so, a server
    /// without any process of its own besides the log collector has not come that far.
    fn is_starting(&self, data_dir: &Path) -> bool {
        match phase(data_dir, self.pid) {
            Phase::Starting => true,
            Phase::Unsaid => Tree::of(Some(self), data_dir).each(|_| ()) == 0,
            Phase::Stopping | Phase::Other => false,
        }
    }

    /// Whether it exits within `patience`; zero only looks.
    pub(crate) fn exits_within(&self, patience: Duration) -> bool {
        let patience = Timespec::try_from(patience).ok();
        let mut handles = [PollFd::new(&self.handle, PollFlags::IN)];
        // A pidfd is readable from the exit on.
        poll(&mut handles, patience.as_ref()).is_ok_and(|readable| readable > 0)
    }

    /// Sends a signal; one that has exited takes none, and that is as good.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The processes of a server besides its postmaster, also those that outlive it.
#[derive(Debug)]
pub(crate) struct Tree {
    postmaster: Option<i32>,
    folder: PathBuf,
    program: Option<PathBuf>,
    /// Number and start of all that were ever seen: what a container hides of a process whose parent is
    /// gone does not matter then.
    known: BTreeSet<(i32, u64)>,
}

impl Tree {
    /// The tree of `postmaster`, else what is left of a server on `folder`, a path without links.
    pub(crate) fn of(postmaster: Option<&Postmaster>, folder: &Path) -> Self {
        let named = postmaster.and_then(|postmaster| postmaster.folder.clone());
        Self {
            postmaster: postmaster.map(|postmaster| postmaster.pid),
            folder: named.unwrap_or_else(|| folder.to_owned()),
            program: postmaster.and_then(|postmaster| postmaster.program.clone()),
            known: BTreeSet::new(),
        }
    }

    /// Does `each` to everything of it that runs; returns how many. The log collector is passed over: it
    /// writes no data, has the last lines to write, and ends by itself.
    pub(crate) fn each(&mut self, mut each: impl FnMut(Pid)) -> usize {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut count = 0;
        for pid in pids.filter(|pid| Some(*pid) != self.postmaster) {
            let Some(stat) = stat(pid).filter(Stat::runs) else {
                continue;
            };
            let id = (pid, stat.started);
            let child = self.postmaster == Some(stat.parent);
            let mine = child || self.known.contains(&id) || self.is_backend(pid, stat.parent);
            if mine && !title(pid).is_some_and(|title| title.ends_with("logger")) {
                self.known.insert(id);
                count += 1;
                Pid::from_raw(pid).map(&mut each);
            }
        }
        count
    }

    /// How many processes were ever seen.
    pub(crate) fn seen(&self) -> usize {
        self.known.len()
    }

    /// Tools such as a single-user server work in the same folder with the same program, and have no title.
    /// Where no postmaster is known, what has one is not meant either: that server began this moment.
    fn is_backend(&self, pid: i32, parent: i32) -> bool {
        self.runs_here(pid)
            && title(pid).is_some()
            && (self.postmaster.is_some() || !self.runs_here(parent))
    }

    fn runs_here(&self, pid: i32) -> bool {
        let same_program = |path: PathBuf| match &self.program {
            Some(program) => path == *program,
            None => ["postgres", "postmaster"]
                .iter()
                .any(|name| path.file_name().is_some_and(|file| file == *name)),
        };
        link(pid, "cwd").is_some_and(|folder| folder == self.folder)
            && link(pid, "exe").is_some_and(same_program)
    }
}

/// Whether `server` on `data_dir` accepts writes, or may: not one that has written its last record and whose
/// postmaster only waits for standbys and its archiver. Without one, whether what is left of one may. In
/// doubt it does.
pub(crate) fn is_primary(data_dir: &Path, server: Option<&Postmaster>) -> bool {
    if server.is_some_and(|server| phase(data_dir, server.pid) == Phase::Stopping)
        && state(data_dir) == Some(SHUT_DOWN)
    {
        return false;
    }
    let to_be_replica = REPLICA_FILES
        .iter()
        .any(|name| data_dir.join(name).exists());
    if !to_be_replica {
        return true;
    }
    // Asked before the state: that is written before the first client is let in.
    if server.is_some_and(|server| server.is_starting(data_dir)) {
        return false;
    }
    // The file may have come after the start of a primary, which then does not know of it.
    state(data_dir).is_none_or(|state| PRIMARY_STATES.contains(&state))
}

/// What line 8 of postmaster.pid says (PostgreSQL 10 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No client is let in yet. The state in pg_control may still be that of the server before.
    Starting,
    /// No client is let in any more.
    Stopping,
    /// There is no file or no such line yet, or somebody has removed it.
    Unsaid,
    /// Anything else, and what can not be read.
    Other,
}

/// The phase of the postmaster `pid`, if the file is its own.
fn phase(data_dir: &Path, pid: i32) -> Phase {
    let text = match fs::read_to_string(data_dir.join("postmaster.pid")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Phase::Unsaid,
        text => text.unwrap_or_default(),
    };
    let mut lines = text.lines().map(str::trim);
    if lines.next().and_then(|line| line.parse().ok()) != Some(pid) {
        return Phase::Other;
    }
    match lines.nth(6) {
        Some("starting") => Phase::Starting,
        Some("stopping") => Phase::Stopping,
        None | Some("") => Phase::Unsaid,
        Some(_) => Phase::Other,
    }
}

fn state(data_dir: &Path) -> Option<u32> {
    let mut state = [0; 4];
    let file = File::open(data_dir.join("global/pg_control")).ok()?;
    file.read_exact_at(&mut state, STATE_AT).ok()?;
    Some(u32::from_ne_bytes(state))
}

/// A line of `/proc/PID/stat`.
struct Stat {
    state: char,
    parent: i32,
    /// Clock ticks from boot to its start.
    started: u64,
}

impl Stat {
    /// Not exited, even if its parent has not heard of it.
    const fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in it may hold anything, so fields are counted behind its last bracket.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        started: fields.nth(17)?.parse().ok()?,
    })
}

/// When process `pid` started, in clock ticks since boot; `None` when it does not run.
pub(crate) fn started(pid: i32) -> Option<u64> {
    stat(pid).filter(Stat::runs).map(|stat| stat.started)
}

/// The process whose child `pid` is.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.parent)
}

/// The words that process `pid` was started with.
pub(crate) fn words(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

fn boot_seconds() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Where a link of /proc points; a program or folder that was removed keeps its name.
fn link(pid: i32, name: &str) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/{name}")).ok()?;
    let text = path.to_str()?;
    Some(text.strip_suffix(" (deleted)").unwrap_or(text).into())
}

/// What a child of a postmaster calls itself.
fn title(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let title = line.strip_prefix("postgres: ")?;
    Some(title.trim_end_matches(['\0', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn data_dir(state: Option<u32>, files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if let Some(state) = state {
            let mut control = vec![0; 16];
            control.extend(state.to_ne_bytes());
            fs::create_dir(folder.path().join("global")).unwrap();
            fs::write(folder.path().join("global/pg_control"), control).unwrap();
        }
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn only_what_is_surely_a_replica_is_none() {
        let primary = |state, files: &[&str]| is_primary(data_dir(state, files).path(), None);
        assert!(primary(Some(6), &[]));
        assert!(primary(Some(5), &[]), "promoted: the file went first");
        assert!(primary(None, &[]));
        assert!(!primary(Some(5), &["standby.signal"]));
        assert!(!primary(Some(5), &["recovery.signal"]));
        assert!(primary(Some(6), &["standby.signal"]), "the file came late");
        assert!(primary(None, &["standby.signal"]), "in doubt");
    }

    /// A postmaster as far as `find` can tell: a child of mine that has a pid file, whose status is `status`.
    fn stand_in(folder: &Path, status: &str) -> (Child, Postmaster) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let began = boot_seconds().unwrap() + started(pid).unwrap() / TICKS;
        let text = format!("{pid}\n/data\n{began}\n5432\n/tmp\n*\n1 2\n{status}");
        fs::write(folder.join("postmaster.pid"), text).unwrap();
        (child, Postmaster::find(folder).unwrap())
    }

    #[test]
    fn a_former_primary_that_is_only_starting_as_a_replica_is_none() {
        let folder = data_dir(Some(6), &["standby.signal"]);
        let (mut child, server) = stand_in(folder.path(), "starting\n");
        let primary = || is_primary(folder.path(), Some(&server));
        let says = |status: &str| {
            let text = fs::read_to_string(folder.path().join("postmaster.pid")).unwrap();
            let lines: Vec<&str> = text.lines().take(7).collect();
            let text = format!("{}\n{status}", lines.join("\n"));
            fs::write(folder.path().join("postmaster.pid"), text).unwrap();
        };
        assert!(!primary(), "pg_control still tells of the server before");
        says("");
        assert!(!primary(), "it has no processes yet");
        for status in ["ready   \n", "standby \n", "stopping\n", "what?\n"] {
            says(status);
            assert!(primary(), "{status}");
        }
        // Its last record is written, and the postmaster waits for a standby.
        let control = folder.path().join("global/pg_control");
        let shut_down = [0, 0, 0, 0, 1].map(u32::to_ne_bytes).concat();
        let running = fs::read(&control).unwrap();
        fs::write(&control, shut_down).unwrap();
        fs::remove_file(folder.path().join("standby.signal")).unwrap();
        says("stopping\n");
        assert!(!primary(), "it writes nothing any more");
        says("ready   \n");
        assert!(primary());
        fs::write(folder.path().join("standby.signal"), "").unwrap();
        fs::write(&control, running).unwrap();
        says("starting\n");
        fs::remove_file(folder.path().join("standby.signal")).unwrap();
        assert!(primary(), "it is going to be one");
        fs::write(folder.path().join("standby.signal"), "").unwrap();
        fs::write(
            folder.path().join("postmaster.pid"),
            "1\n\n\n\n\n\n\nstarting\n",
        )
        .unwrap();
        assert!(primary(), "another's file says nothing of this one");
        fs::remove_file(folder.path().join("postmaster.pid")).unwrap();
        assert!(!primary(), "it has not even made its file");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_file_counts_only_while_its_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let write = |pid: u32, started: u64| {
            let text = format!("{pid}\n/data\n{started}\n5432\n\n\n\nready\n");
            fs::write(folder.path().join("postmaster.pid"), text).unwrap();
        };
        let me = i32::try_from(std::process::id()).unwrap();
        let mine = boot_seconds().unwrap() + started(me).unwrap() / TICKS;
        assert!(Postmaster::find(folder.path()).is_none());
        write(std::process::id(), mine);
        let found = Postmaster::find(folder.path()).unwrap();
        assert!(!found.exits_within(Duration::ZERO));
        // My number with another's start.
        write(std::process::id(), mine - 1000);
        assert!(Postmaster::find(folder.path()).is_none());
        write(4_194_303, mine);
        assert!(Postmaster::find(folder.path()).is_none(), "no such process");
    }
}
