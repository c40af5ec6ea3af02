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
    /// When the primary was first seen, if that was after the deadline: nothing it does can be in time.
    late: Option<Moment>,
    postmaster: Option<i32>,
    processes: usize,
    asked: Option<Moment>,
    killed: Option<Moment>,
    over: Moment,
    /// How many processes are left.
    pub(crate) left: usize,
}

/// Stops the server of `postmaster`, and whatever `tree` finds of it. All is to be over before `lease_end`,
/// so an immediate shutdown gets half of what is left until then. `seen` is when the primary was first seen.
pub(crate) fn stop(
    postmaster: Option<&Postmaster>,
    tree: &mut Tree,
    deadline: Moment,
    lease_end: Moment,
    seen: Option<Moment>,
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
                late: seen.filter(|seen| *seen > deadline),
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
        let (zero, name) = match self.late {
            None => {
                write!(f, "is stopped, the lease was not renewed in time: ")?;
                (self.deadline, "the deadline")
            }
            Some(seen) => {
                let late = seen.since(self.deadline).as_millis();
                write!(
                    f,
                    "is stopped, it has no lease and was first seen {late} ms after the deadline: "
                )?;
                (seen, "that")
            }
        };
        let after = |moment: Moment| moment.since(zero).as_millis();
        match self.postmaster {
            Some(pid) => write!(f, "postmaster {pid} and {} others", self.processes)?,
            None => write!(f, "{} processes without a postmaster", self.processes)?,
        }
        if let Some(asked) = self.asked {
            write!(f, ", immediate shutdown {} ms after {name}", after(asked))?;
        }
        if let Some(killed) = self.killed {
            write!(f, ", SIGKILL after {} ms", after(killed))?;
        }
        match self.left {
            0 => write!(f, ", gone after {} ms", after(self.over))?,
            left => write!(f, ", {left} LEFT after {} ms", after(self.over))?,
        }
        if self.late.is_some() {
            return Ok(());
        }
        let (early, late) = (
            self.lease_end.since(self.over),
            self.over.since(self.lease_end),
        );
        if late.is_zero() {
            write!(f, ", {} ms before the end of the lease", early.as_millis())
        } else {
            write!(f, ", {} ms AFTER the end of the lease", late.as_millis())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(late: Option<u64>, over: u64) -> String {
        let deed = Deed {
            deadline: Moment::from_millis(10_000),
            lease_end: Moment::from_millis(11_000),
            late: late.map(Moment::from_millis),
            postmaster: Some(7),
            processes: 9,
            asked: late.is_none().then_some(Moment::from_millis(10_001)),
            killed: Some(Moment::from_millis(over - 1)),
            over: Moment::from_millis(over),
            left: 0,
        };
        deed.to_string()
    }

    #[test]
    fn times_count_from_what_began_them() {
        assert_eq!(
            deed(None, 10_300),
            "is stopped, the lease was not renewed in time: postmaster 7 and 9 others, immediate shutdown \
             1 ms after the deadline, SIGKILL after 299 ms, gone after 300 ms, 700 ms before the end of the lease"
        );
        assert_eq!(
            deed(Some(12_500), 12_504),
            "is stopped, it has no lease and was first seen 2500 ms after the deadline: postmaster 7 and 9 \
             others, SIGKILL after 3 ms, gone after 4 ms"
        );
    }
}
