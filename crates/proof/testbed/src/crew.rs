//! The processes of a member, by what they do: the agent's guards, PostgreSQL's own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::member::Member;
use crate::wait::wait_for;

/// A process that is started, or asked to begin something, shows within this on a busy machine.
const SHOWN: Duration = Duration::from_secs(20);

impl Member {
    /// Process ids of our programs on this member's host that were started with `verb`, such as `tether`.
    #[must_use]
    pub fn started_with(&self, verb: &str) -> Vec<Pid> {
        let is_one = |pid: &i32| {
            let line = command_line(*pid);
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|word| !word.is_empty())
                && words.next() == Some(verb.as_bytes())
        };
        let all = self.host().processes().into_iter();
        all.filter(is_one).filter_map(Pid::from_raw).collect()
    }

    /// Process ids of the fences on this member's host.
    #[must_use]
    pub fn fences(&self) -> Vec<Pid> {
        self.started_with("fence")
    }

    /// Waits until there is exactly one fence.
    ///
    /// # Errors
    /// When there is none, or more than one, for 20 s.
    pub async fn one_fence(&self) -> Result<Pid> {
        wait_for("one fence", SHOWN, async || {
            let found = self.fences();
            ensure!(found.len() == 1, "{found:?}");
            found.first().copied().context("none")
        })
        .await
    }

    /// Process ids of what runs the program called `name` on this member's host, such as `pg_basebackup`.
    #[must_use]
    pub fn programs(&self, name: &str) -> Vec<Pid> {
        let is_one = |pid: &i32| {
            let line = command_line(*pid);
            let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(first).rsplit('/').next() == Some(name)
        };
        let all = self.host().processes().into_iter();
        all.filter(is_one).filter_map(Pid::from_raw).collect()
    }

    /// Process ids of PostgreSQL's processes whose title says `what`, such as `checkpointer` or `walsender`.
    #[must_use]
    pub fn servers_own(&self, what: &str) -> Vec<Pid> {
        let is_it = |pid: &i32| {
            let line = command_line(*pid);
            let title = String::from_utf8_lossy(&line);
            title.starts_with("postgres: ") && title.contains(what)
        };
        let all = self.host().processes().into_iter();
        all.filter(is_it).filter_map(Pid::from_raw).collect()
    }

    /// Waits for one of PostgreSQL's processes whose title says `what`.
    ///
    /// # Errors
    /// When there is none for 20 s.
    pub async fn server_process(&self, what: &str) -> Result<Pid> {
        let wanted = format!("the process `{what}` of {}", self.name());
        wait_for(&wanted, SHOWN, async || {
            self.servers_own(what).first().copied().context("none")
        })
        .await
    }

    /// Sends a signal to the postmaster.
    ///
    /// # Errors
    /// When none runs.
    pub fn signal_postmaster(&self, signal: Signal) -> Result<()> {
        kill_process(self.postmaster()?, signal).context("the postmaster is gone already")
    }
}

/// Whether a process still works. One that has exited does not, even while its parent has not heard of it.
#[must_use]
pub fn runs(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok()
}

fn command_line(pid: i32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}
