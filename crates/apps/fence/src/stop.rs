//! Stopping a server: immediate shutdown, then SIGKILL to whatever is left of it.

use std::fmt;
use std::time::Duration;

use pgherd_domain::Moment;
use rustix::process::{Signal, kill_process};

use crate::clock;
use crate::server::{Postmaster, Tree};

/// How long an immediate shutdown may take, at most.
const GRACE: Duration = Duration::from_millis(500);
/// How long processes that were killed are waited for; the kernel may hold one that waits for a disk.
const PATIENCE: Duration = Duration::from_secs(3);
/// From one look at what was killed to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What was done and when.
#[derive(Debug)]
pub(crate) struct Deed {
    deadline: Moment,
    lease_end: Moment,
    postmaster: Option<i32>,
    processes: usize,
    asked: Option<Moment>,
    killed: Option<Moment>,
    over: Moment,
    /// How many processes are left.
    pub(crate) left: usize,
}

/// Stops the server of `postmaster`, and whatever `tree` finds of it. All is to be over before `lease_end`,
/// so an immediate shutdown gets half of what is left until then.
pub(crate) fn stop(
    postmaster: Option<&Postmaster>,
    tree: &mut Tree,
    deadline: Moment,
    lease_end: Moment,
) -> Deed {
    let mut asked = None;
    let mut running = postmaster.filter(|postmaster| !postmaster.exits_within(Duration::ZERO));
    if let Some(server) = running {
        let now = clock::now();
        let grace = GRACE.min(lease_end.since(now) / 2);
        if !grace.is_zero() && server.signal(Signal::QUIT).is_ok() {
            asked = Some(now);
            // Its children are only known while it lives.
            tree.each(|_| ());
            let patience = now.plus(grace).since(clock::now());
            running = running.filter(|server| !server.exits_within(patience));
        }
    }
    let begin = clock::now();
    let give_up = begin.plus(PATIENCE);
    let mut killed = None;
    loop {
        if let Some(server) = running {
            tree.each(|_| ());
            // First the parent, so that nothing new is born.
            server.signal(Signal::KILL).ok();
            killed = killed.or(Some(begin));
        }
        let mut left = tree.each(|pid| {
            // One that has exited meanwhile is what was wanted.
            kill_process(pid, Signal::KILL).ok();
        });
        if left > 0 {
            killed = killed.or(Some(begin));
        }
        running = running.filter(|server| !server.exits_within(LOOK_AGAIN));
        left += usize::from(running.is_some());
        let over = clock::now();
        if left == 0 || over >= give_up {
            return Deed {
                deadline,
                lease_end,
                postmaster: postmaster.map(|postmaster| postmaster.pid),
                processes: tree.seen(),
                asked,
                killed,
                over,
                left,
            };
        }
        if running.is_none() {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |moment: Moment| moment.since(self.deadline).as_millis();
        match self.postmaster {
            Some(pid) => write!(f, "postmaster {pid} and {} others", self.processes)?,
            None => write!(f, "{} processes without a postmaster", self.processes)?,
        }
        if let Some(asked) = self.asked {
            write!(
                f,
                ", immediate shutdown {} ms after the deadline",
                after(asked)
            )?;
        }
        if let Some(killed) = self.killed {
            write!(f, ", SIGKILL after {} ms", after(killed))?;
        }
        match self.left {
            0 => write!(f, ", gone after {} ms, ", after(self.over))?,
            left => write!(f, ", {left} LEFT after {} ms, ", after(self.over))?,
        }
        let (early, late) = (
            self.lease_end.since(self.over),
            self.over.since(self.lease_end),
        );
        if late.is_zero() {
            write!(f, "{} ms before the end of the lease", early.as_millis())
        } else {
            write!(f, "{} ms AFTER the end of the lease", late.as_millis())
        }
    }
}
