//! The process of an agent, as its ports see it: it may be frozen, and it may be dead.

use std::fmt;

use pgherd_domain::MemberName;

use crate::world::World;

/// Where the process of an agent ends: before or after one of the writes that it makes, to the DCS or to
/// PostgreSQL. What lies between two writes is never seen to be done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash {
    /// At the so-manieth write from now, counted from 1.
    pub(crate) write: u32,
    /// The write was made, and its answer is never learned; else it was never sent.
    pub(crate) after: bool,
}

/// One life of a member's agent. Every port belongs to one, and passes its gate before it acts and before it
/// answers: a frozen agent neither does nor learns anything, and one that was killed never does again.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) world: World,
    pub(crate) me: MemberName,
    life: u64,
}

impl Process {
    /// The life that the member's agent leads now.
    pub(crate) fn of(world: &World, me: &MemberName) -> Self {
        Self {
            life: world.look(|state| state.host(me).life),
            world: world.clone(),
            me: me.clone(),
        }
    }

    /// Whether this is the process that runs now.
    pub(crate) fn is_alive(&self) -> bool {
        self.world
            .look(|state| state.host(&self.me).life == self.life)
    }

    /// Waits while the process is frozen; for ever, when it is dead.
    pub(crate) async fn gate(&self) {
        self.world
            .until(|state| {
                let host = state.host(&self.me);
                let runs = !host.frozen && !host.server.suspended;
                (host.life == self.life && runs).then_some(())
            })
            .await;
    }

    /// Passed before every write: the process may end here.
    pub(crate) async fn before_write(&self) {
        if self.ends(false) {
            std::future::pending::<()>().await;
        }
    }

    /// Passed after every write, before its answer is learned: the process may end here.
    pub(crate) async fn after_write(&self) {
        if self.ends(true) {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the process ends at this write. All its tasks hang at their gates from then on.
    fn ends(&self, after: bool) -> bool {
        let due = self.world.quietly(|state| {
            let host = state.host_mut(&self.me);
            let crash = host.crash.as_mut().filter(|_| host.life == self.life)?;
            if after {
                // Two tasks of the process may be at it at once.
                crash.write = crash.write.saturating_sub(1);
            }
            let due = crash.after == after && crash.write <= u32::from(!after);
            due.then_some(())
        });
        if due.is_some() {
            let when = if after { "after" } else { "before" };
            self.world.change(|state| {
                state.tell(self.me.as_str(), format!("agent: killed {when} a write"));
                state.host_mut(&self.me).agent_is_gone();
            });
        }
        due.is_some()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.me, self.life)
    }
}
