//! Processes of a host: finding all of them however they detached, stopping, freezing, killing them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::wait::wait_blocking;

/// A killed tree is gone within milliseconds; longer means something is wrong with the machine.
const GONE: Duration = Duration::from_secs(10);
/// Environment variable that marks processes of a host where there is no namespace to find them by.
pub(crate) const MARK: &str = "PGHERD_TESTBED_HOST";

/// One program started on a host, with its log.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `argv` with stdout and stderr appended to `log`.
    pub(crate) fn spawn(argv: &[String], mark: &str, log: &Path) -> Result<Self> {
        let (program, rest) = argv.split_first().context("an empty command line")?;
        let file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?
            .into_file();
        let child = Command::new(program)
            .args(rest)
            .env(MARK, mark)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0) // a Ctrl-C at the terminal is the test's business, not theirs
            .spawn()
            .with_context(|| format!("cannot start `{}`", argv.join(" ")))?;
        let raw = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let pid = raw.context("a process without a pid")?;
        Ok(Self {
            child,
            pid,
            log: log.to_owned(),
        })
    }

    /// Its process id; after `ip netns exec` and `setpriv` it is the program's own.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal to this process alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).context("cannot signal a process that has ended")
    }

    /// Waits until it ends by itself; returns its exit code, or 128 plus the signal that ended it.
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub async fn wait(&mut self, deadline: Duration) -> Result<i32> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                Ok(status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
            }
            Err(_) => bail!(
                "process {} still runs after {deadline:?}",
                self.pid.as_raw_nonzero()
            ),
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }
}

/// What a set of processes is recognised by.
#[derive(Debug, Clone)]
pub(crate) enum Membership {
    /// They live in this network namespace.
    Namespace(String),
    /// They carry the mark, or work in a directory below this one, or descend from one that does.
    Marked { mark: String, dir: PathBuf },
}

impl Membership {
    /// All living processes of this set.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        match self {
            Self::Namespace(name) => in_namespace(name),
            Self::Marked { mark, dir } => {
                let marked =
                    all_pids().filter(|pid| is_marked(*pid, mark) || works_below(*pid, dir));
                with_descendants(marked.collect())
            }
        }
    }

    /// SIGKILL to all, again and again until nothing is left: whatever forks meanwhile dies too.
    ///
    /// # Errors
    /// When something survives ten seconds of it.
    pub(crate) fn kill_all(&self) -> Result<()> {
        wait_blocking("all processes of the host to die", GONE, || {
            let left = self.processes();
            send(&left, Signal::KILL);
            left.is_empty()
        })
    }

    /// SIGSTOP to all until every one is stopped.
    ///
    /// # Errors
    /// When something still runs after ten seconds.
    pub(crate) fn pause(&self) -> Result<()> {
        wait_blocking("all processes of the host to stop", GONE, || {
            let running: BTreeSet<i32> = self
                .processes()
                .into_iter()
                .filter(|pid| !is_stopped(*pid))
                .collect();
            send(&running, Signal::STOP);
            running.is_empty()
        })
    }

    /// SIGCONT to all.
    pub(crate) fn resume(&self) {
        send(&self.processes(), Signal::CONT);
    }
}

/// Kills what lives in the namespace; used where its [`crate::Host`] is no longer there.
pub(crate) fn kill_namespace(name: &str) {
    drop(Membership::Namespace(name.to_owned()).kill_all());
}

/// Kills what works in a directory below `dir`, or was marked with it.
pub(crate) fn kill_below(dir: &Path) {
    let mark = dir.to_string_lossy().into_owned();
    drop(
        Membership::Marked {
            mark,
            dir: dir.to_owned(),
        }
        .kill_all(),
    );
}

/// Sends `signal` to each; those that are gone already do not matter.
fn send(pids: &BTreeSet<i32>, signal: Signal) {
    for pid in pids.iter().filter_map(|raw| Pid::from_raw(*raw)) {
        kill_process(pid, signal).ok();
    }
}

fn in_namespace(name: &str) -> BTreeSet<i32> {
    let Ok(inode) = std::fs::metadata(format!("/run/netns/{name}")).map(|meta| meta.ino()) else {
        return BTreeSet::new();
    };
    let wanted = format!("net:[{inode}]");
    all_pids()
        .filter(|pid| {
            // A zombie has no namespaces any more, so it does not count as living.
            std::fs::read_link(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })
        .collect()
}

fn all_pids() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
}

fn is_marked(pid: i32, mark: &str) -> bool {
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let wanted = format!("{MARK}={mark}");
    !own && environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(wanted.as_bytes()))
}

fn works_below(pid: i32, dir: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
}

fn with_descendants(mut found: BTreeSet<i32>) -> BTreeSet<i32> {
    let parents: Vec<(i32, i32)> = all_pids()
        .filter_map(|pid| Some((pid, stat(pid)?.1)))
        .collect();
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.retain(|pid| stat(*pid).is_some_and(|(state, _)| state != 'Z'));
    found
}

fn is_stopped(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state, 'T' | 't' | 'Z'))
}

/// State letter and parent of a process (`/proc/PID/stat`, after the last parenthesis of its name).
fn stat(pid: i32) -> Option<(char, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}
