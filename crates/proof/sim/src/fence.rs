//! The simulated fence: a process beside PostgreSQL that outlives the agent and stops a primary at the
//! deadline that the agent last told it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{MemberName, Moment};
use pgherd_ports::Fence;

use crate::dice::Span;
use crate::postgres::{Ending, stop_immediately};
use crate::process::Process;
use crate::world::{State, World};

/// How late the fence sees what runs.
const LOOKS: Span = Span::millis(5, 100);

/// The fence as an agent tells it its deadline.
pub(crate) struct SimFence {
    process: Process,
}

impl SimFence {
    pub(crate) const fn new(process: Process) -> Self {
        Self { process }
    }
}

impl fmt::Debug for SimFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFence({:?})", self.process)
    }
}

#[async_trait]
impl Fence for SimFence {
    fn set(&self, deadline: Option<Moment>, _: Duration) {
        let Process { world, me, .. } = &self.process;
        if self.process.is_alive() {
            world.change(|state| state.host_mut(me).fenced_at = deadline);
        }
    }
}

/// A primary that runs past its deadline, if there is one.
fn is_due(state: &State, me: &MemberName) -> bool {
    let host = state.host(me);
    let now = host.pendulum.moment(state.now);
    let due = host.fenced_at.is_some_and(|deadline| now >= deadline);
    due && host.server.runs_as_primary() && !host.server.suspended
}

/// A primary is to be stopped now, and the fence can.
fn acts(state: &State, me: &MemberName) -> bool {
    is_due(state, me) && !state.host(me).fence_frozen
}

/// Guards a host's PostgreSQL, for ever.
pub(crate) async fn guard(world: World, me: MemberName) {
    loop {
        let deadline = world.until(|state| state.host(&me).fenced_at).await;
        let left = world.look(|state| {
            let pendulum = state.host(&me).pendulum;
            pendulum.stretch(deadline.since(pendulum.moment(state.now)))
        });
        let told = world.until(|state| {
            let other = state.host(&me).fenced_at != Some(deadline);
            other.then_some(())
        });
        if !left.is_zero() {
            // Whether the deadline came or moved does not matter: the loop looks again.
            drop(tokio::time::timeout(left, told).await);
            continue;
        }
        let due = world.until(|state| acts(state, &me).then_some(()));
        tokio::select! {
            biased;
            () = told => continue,
            () = due => {}
        }
        let late = world.quietly(|state| state.host_mut(&me).dice.within(LOOKS));
        world.sleep(late).await;
        if world.look(|state| acts(state, &me)) {
            stop_immediately(&world, &me, Ending::Fenced).await;
        }
    }
}
