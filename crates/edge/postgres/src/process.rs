//! The postmaster and its processes, as the system shows them (contract §1.6).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use pgherd_domain::Moment;
use pgherd_pgconf::{PidFile, ProcessStat, boot_seconds};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::files::{read, remove};
use crate::pace::Pace;

/// Clock ticks a second in /proc, the same on every Linux.
pub(crate) const TICKS: u64 = 100;
/// How far the recorded start and the process's own may be apart, in seconds.
const START_TOLERANCE: i64 = 3;

/// A postmaster that was seen running, held by a pidfd: signals never reach another process that got its
/// number.
#[derive(Debug)]
pub(crate) struct Postmaster {
    /// Its pid file when it was first seen.
    pub(crate) file: PidFile,
    /// When it was first seen.
    pub(crate) since: Moment,
    /// Promotion was asked for: from here on it may be a primary whatever else says.
    pub(crate) promoting: AtomicBool,
    /// The data directory as the system knows it, links resolved; found without touching the disk.
    pub(crate) folder: Utf8PathBuf,
    exit_told: AtomicBool,
    handle: AsyncFd<OwnedFd>,
}

impl Postmaster {
    fn open(file: PidFile, since: Moment) -> io::Result<Self> {
        let pid = Pid::from_raw(file.pid).ok_or(io::ErrorKind::InvalidInput)?;
        let before = stat(file.pid).ok_or(io::ErrorKind::NotFound)?;
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // Between the look and the opening the number could have changed hands.
        if stat(file.pid).is_none_or(|after| after.started_ticks != before.started_ticks) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let folder = working_folder(file.pid).unwrap_or_else(|| file.data_dir.clone().into());
        Ok(Self {
            folder,
            file,
            since,
            promoting: AtomicBool::new(false),
            exit_told: AtomicBool::new(false),
            handle: register(handle)?,
        })
    }

    /// Sends a signal. A postmaster that has exited already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.handle.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns when it has exited.
    pub(crate) async fn gone(&self) {
        // A pidfd is readable from the exit on. Should the runtime lose the handle, the process is looked at.
        if self.handle.readable().await.is_ok() {
            return;
        }
        let mut pace = Pace::millis(5, 100);
        while self.runs() {
            pace.wait().await;
        }
    }

    /// Whether it exits within `patience`.
    pub(crate) async fn gone_within(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.gone()).await.is_ok()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> bool {
        runs(self.file.pid)
    }

    fn is(&self, file: &PidFile) -> bool {
        self.file.pid == file.pid && self.file.started == file.started
    }
}

#[expect(
    deprecated,
    reason = "unsound only for handles that change while registered; this one is owned and never replaced"
)]
fn register(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(handle, Interest::READABLE)
}

/// What was launched to become a postmaster, before its pid file says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Launched {
    /// Of the process that stays the parent of the postmaster.
    pub(crate) pid: i32,
    started_ticks: u64,
}

impl Launched {
    /// The process that was just launched; `None` when it has ended already.
    pub(crate) fn now(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        let started_ticks = stat(pid)?.started_ticks;
        Some(Self { pid, started_ticks })
    }

    /// Whether it, or the postmaster under it, still runs.
    pub(crate) fn runs(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started_ticks == self.started_ticks && stat.runs())
    }
}

/// Holds on to the postmaster that runs.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    current: watch::Sender<Option<Arc<Postmaster>>>,
}

impl Watch {
    /// The postmaster that was last seen running.
    pub(crate) fn held(&self) -> Option<Arc<Postmaster>> {
        self.current.borrow().clone()
    }

    /// The postmaster that `file` names, held from now on.
    pub(crate) fn hold(&self, file: &PidFile, now: Moment) -> Option<Arc<Postmaster>> {
        let held = self.current.borrow().clone();
        if let Some(held) = held.filter(|held| held.is(file)) {
            return Some(held);
        }
        let fresh = Arc::new(Postmaster::open(file.clone(), now).ok()?);
        self.current.send_replace(Some(Arc::clone(&fresh)));
        Some(fresh)
    }

    /// Returns when the held postmaster has exited, once for each; waits for one when there is none.
    pub(crate) async fn exited(&self) {
        let mut news = self.current.subscribe();
        loop {
            let held = news.borrow_and_update().clone();
            let awaited = held.filter(|held| !held.exit_told.load(Ordering::Acquire));
            let Some(postmaster) = awaited else {
                if news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            };
            tokio::select! {
                () = postmaster.gone() => {
                    postmaster.exit_told.store(true, Ordering::Release);
                    return;
                }
                changed = news.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// The pid file of the postmaster that runs on `data_dir`; `None` when none does.
pub(crate) fn running(data_dir: &Utf8Path, program: &str) -> Option<PidFile> {
    let text = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let file = PidFile::parse(&text)?;
    let stat = stat(file.pid).filter(ProcessStat::runs)?;
    let ours = started_at(&stat).is_some_and(|at| (at - file.started).abs() <= START_TOLERANCE)
        || looks_like_ours(file.pid, data_dir, program);
    ours.then_some(file)
}

/// The processes of one data directory, found in /proc alone: a disk that hangs does not matter.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The data directory, links resolved.
    pub(crate) folder: Utf8PathBuf,
    /// What the server's program is called.
    pub(crate) program: String,
}

impl Family {
    /// The single-user server that somebody runs on the data directory: an operator's repair, or our own
    /// recovery of an agent before. It is never killed.
    pub(crate) fn single_user(&self) -> Option<i32> {
        processes().find(|pid| self.includes(*pid) && is_single_user(*pid) && runs(*pid))
    }

    /// Processes of a server whose postmaster is gone, and the children of `postmaster`. The log collector is
    /// not among them: it writes the last lines and ends by itself.
    pub(crate) fn members(&self, postmaster: Option<i32>) -> BTreeSet<i32> {
        let is_child = |pid| stat(pid).is_some_and(|stat| Some(stat.parent) == postmaster);
        processes()
            .filter(|pid| Some(*pid) != postmaster)
            .filter(|pid| self.includes(*pid) || is_child(*pid))
            .filter(|pid| runs(*pid) && !is_log_collector(*pid) && !is_single_user(*pid))
            .collect()
    }

    /// Whether an archiver works for `postmaster`.
    pub(crate) fn archives(&self, postmaster: i32) -> bool {
        let works = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let title = String::from_utf8_lossy(&line);
            title.starts_with("postgres:") && title.contains(" archiver")
        };
        let mut members = self.members(Some(postmaster)).into_iter();
        members.any(|pid| works(&pid))
    }

    /// Returns when no log collector works any more, or at the end of `patience`: it outlives its postmaster for
    /// as long as it has lines to write. On a busy machine it may not even have begun when its postmaster ends, and
    /// has no title yet; so whatever has none is waited for as well.
    pub(crate) async fn collected(&self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        let mut pace = Pace::millis(2, 20);
        let may_collect = |pid| is_log_collector(pid) || !(has_title(pid) || is_single_user(pid));
        let collects = |pid| self.includes(pid) && may_collect(pid) && runs(pid);
        while tokio::time::Instant::now() < deadline && processes().any(collects) {
            pace.wait().await;
        }
    }

    /// Kills the postmaster, when given, and whatever is left of the server; returns when nothing of it
    /// runs, or gives the processes that are left at the end of `patience`.
    pub(crate) async fn kill(
        &self,
        postmaster: Option<&Postmaster>,
        patience: Duration,
    ) -> Result<(), BTreeSet<i32>> {
        if let Some(postmaster) = postmaster
            && let Err(error) = postmaster.signal(Signal::KILL)
        {
            tracing::warn!(%error, "kill the postmaster");
        }
        let number = postmaster.map(|postmaster| postmaster.file.pid);
        let deadline = tokio::time::Instant::now() + patience;
        let mut pace = Pace::millis(2, 20);
        loop {
            // The parent goes first, so that nothing new is born.
            let mut left = self.members(number);
            left.iter().copied().for_each(kill);
            left.extend(number.filter(|pid| runs(*pid)));
            if left.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(left);
            }
            pace.wait().await;
        }
    }

    fn includes(&self, pid: i32) -> bool {
        working_folder(pid).is_some_and(|cwd| cwd == self.folder)
            && runs_program(pid, &self.program)
    }
}

pub(crate) fn processes() -> impl Iterator<Item = i32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn runs(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.runs())
}

/// Removes lock files that would keep a new postmaster from starting although their process is gone: a
/// killed one that nobody has waited for still has its number, and a number may have gone to somebody else.
/// Call it when [`running`] finds nothing and nothing is left of an earlier server.
pub(crate) fn remove_stale_locks(data_dir: &Utf8Path, sockets: &[Utf8PathBuf]) -> io::Result<()> {
    let path = data_dir.join("postmaster.pid");
    let Some(text) = read(&path)? else {
        return Ok(());
    };
    let first = |text: &str| text.lines().next().map(str::trim).map(str::to_owned);
    let number = first(&text);
    for lock in sockets {
        if let Some(text) = read(lock)?
            && first(&text) == number
        {
            remove(lock)?;
        }
    }
    remove(&path)
}

/// SIGKILL. A process that is gone already is as it should be.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, Signal::KILL)
    {
        tracing::debug!(%error, ?pid, "kill a process");
    }
}

pub(crate) fn stat(pid: i32) -> Option<ProcessStat> {
    ProcessStat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn started_at(stat: &ProcessStat) -> Option<i64> {
    let boot = boot_seconds(&fs::read_to_string("/proc/stat").ok()?)?;
    Some(boot + i64::try_from(stat.started_ticks / TICKS).ok()?)
}

/// Executable and working directory decide; what can not be read speaks for it.
fn looks_like_ours(pid: i32, data_dir: &Utf8Path, program: &str) -> bool {
    let same_program = executable(pid).is_none_or(|name| name == program || name == "postmaster");
    let folder = data_dir.canonicalize_utf8().ok();
    let same_folder = working_folder(pid).is_none_or(|cwd| Some(cwd) == folder);
    same_program && same_folder
}

/// A process that is just ending shows no program any more, and still holds its files.
fn runs_program(pid: i32, program: &str) -> bool {
    executable(pid).is_none_or(|name| name == program || name == "postgres")
}

fn executable(pid: i32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    // So the system shows a program that was replaced by an upgrade.
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

fn working_folder(pid: i32) -> Option<Utf8PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    Utf8PathBuf::from_path_buf(path).ok()
}

/// `--single` has to be the first option of such a server.
fn is_single_user(pid: i32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1) == Some(b"--single")
}

fn is_log_collector(pid: i32) -> bool {
    title(pid).is_some_and(|title| title.ends_with("logger"))
}

/// A child of a postmaster carries its parent's command line until it has come to set a title of its own.
fn has_title(pid: i32) -> bool {
    title(pid).is_some()
}

/// What a process of PostgreSQL says of itself, once it has come to.
pub(crate) fn title(pid: i32) -> Option<String> {
    let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let title = String::from_utf8_lossy(&title);
    let title = title.trim_end_matches(['\0', ' ']);
    title.starts_with("postgres:").then(|| title.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_for(pid: u32, started: i64) -> String {
        format!("{pid}\n/data\n{started}\n5432\n\n\n\nready\n")
    }

    #[test]
    fn a_pid_file_counts_only_while_its_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let file = folder.join("postmaster.pid");
        assert_eq!(running(folder, "postgres"), None);

        let me = std::process::id();
        let mine = started_at(&stat(i32::try_from(me).unwrap()).unwrap()).unwrap();
        fs::write(&file, file_for(me, mine)).unwrap();
        assert!(running(folder, "postgres").is_some());

        // My number with another's start: program and folder decide, and mine are others.
        fs::write(&file, file_for(me, mine - 1000)).unwrap();
        assert_eq!(running(folder, "postgres"), None);

        fs::write(&file, file_for(4_194_303, mine)).unwrap();
        assert_eq!(running(folder, "postgres"), None, "no such process");
    }

    #[tokio::test]
    async fn an_exit_is_told_once_for_each_postmaster() {
        let watch = Watch::default();
        let mut child = tokio::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let file = PidFile::parse(&file_for(child.id().unwrap(), 1)).unwrap();
        let held = watch.hold(&file, Moment::from_millis(1)).unwrap();
        assert_eq!(held.file.pid, pid);
        let told = |patience| tokio::time::timeout(Duration::from_millis(patience), watch.exited());
        assert!(told(30).await.is_err(), "it still runs");
        child.kill().await.unwrap();
        assert!(told(5_000).await.is_ok());
        assert!(told(30).await.is_err(), "told already");
    }
}
