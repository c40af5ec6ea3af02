//! What a turn's thought costs: CPU of the decision and of the guard's check, in a cluster of many members.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_agent::{Think, think};
use rustix::time::{ClockId, clock_gettime};

use crate::scenario::Stage;

/// CPU of each thought, in the order in which they were thought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Costs(Arc<Mutex<Vec<Duration>>>);

impl Costs {
    /// Thinks as agents do, and notes what it took.
    pub(crate) fn measured(&self) -> Think {
        let costs = self.clone();
        Box::new(move |spec, memory, seen| {
            let before = cpu();
            let thought = think(spec, memory, seen);
            let took = cpu().saturating_sub(before);
            costs.lock().push(took);
            thought
        })
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What turns took.
#[derive(Debug, Clone)]
pub struct TurnCosts {
    /// While nothing happened.
    pub at_rest: Vec<Duration>,
    /// The minute after the leader's host was lost, in which another takes over.
    pub in_failover: Vec<Duration>,
}

/// Runs a synchronous cluster of so many members, first a minute at rest, then through the loss of the leader's host.
///
/// # Errors
/// When the cluster does not come up.
pub fn of_turns(members: usize) -> Result<TurnCosts, String> {
    let names: Vec<String> = (1..members).map(|number| format!("m{number}")).collect();
    let cluster = format!("cluster m0* {} synchronous_mode=true", names.join(" "));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let costs = Costs::default();
        let mut stage = Stage::new(1);
        stage.costs = Some(costs.clone());
        stage.line(&cluster).await?;
        costs.take();
        stage.line("wait 60s").await?;
        let at_rest = costs.take();
        stage.line("kill host m0").await?;
        stage.line("wait 60s").await?;
        let in_failover = costs.take();
        Ok(TurnCosts {
            at_rest,
            in_failover,
        })
    })
}

/// CPU that this thread has used.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // A thread's CPU time is never negative.
    Duration::try_from(now).unwrap_or_default()
}
