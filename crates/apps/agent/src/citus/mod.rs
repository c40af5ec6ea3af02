//! Citus beside the loop (contract §20): `herald` tells the coordinator of changes of a worker's primary, `coordinator`
//! keeps the catalogue of nodes. Neither is ever waited for, but for a moment before a planned stop.

mod coordinator;
mod herald;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pgherd_decide::{demote_budget, serves_until};
use pgherd_domain::{
    COORDINATOR_GROUP, CitusStep, Moment, Observation, PgRole, StopMode, Work, WorkKind,
};
use pgherd_ports::{CitusAsked, Clock, Groups, NodeCatalogue, Shown};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::Agent;
use crate::keeper::Board;
use coordinator::Coordinator;
pub(crate) use herald::Herald;
use herald::Times;

/// Messages that wait for the coordinator's task, at most.
const MESSAGES_MAX: usize = 16;

/// What a member of a Citus cluster needs of the outside world besides.
#[derive(Debug, Clone)]
pub struct CitusPorts {
    /// All groups in the DCS.
    pub groups: Arc<dyn Groups>,
    /// The catalogue of nodes in the local server.
    pub nodes: Arc<dyn NodeCatalogue>,
}

/// What is waited for before a work begins.
pub(crate) type First = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What goes before a work, and what is done when it has succeeded.
#[derive(Default)]
pub(crate) struct Around {
    pub(crate) first: Option<First>,
    pub(crate) then: Option<Box<dyn FnOnce() + Send>>,
}

/// One member's part in Citus.
#[derive(Debug)]
pub(crate) enum Part {
    /// The cluster is no group of one.
    None,
    /// A member of the coordinator's group; its task hears these once it runs.
    Coordinator(Option<mpsc::Receiver<CitusAsked>>),
    /// A member of a worker's group.
    Worker(Herald),
}

impl Part {
    /// The part of a member of `group`, with the way to its task where messages are heard.
    pub(crate) fn of(
        group: Option<u32>,
        ports: Option<&CitusPorts>,
    ) -> (Self, Option<mpsc::Sender<CitusAsked>>) {
        match group.filter(|_| ports.is_some()) {
            None => (Self::None, None),
            Some(COORDINATOR_GROUP) => {
                let (ask, asked) = mpsc::channel(MESSAGES_MAX);
                (Self::Coordinator(Some(asked)), Some(ask))
            }
            Some(group) => (Self::Worker(Herald::new(group)), None),
        }
    }
}

impl Agent {
    /// Begins the task beside the loop, where there is one.
    pub(crate) fn begin_citus(&mut self, beside: &mut JoinSet<()>) {
        let Some(ports) = self.ports.citus.clone() else {
            return;
        };
        match &mut self.citus {
            Part::None => {}
            Part::Coordinator(asked) => {
                if let Some(asked) = asked.take() {
                    let shown = self.shown.subscribe();
                    let clock = Arc::clone(&self.ports.clock);
                    let office = office(shown.clone(), Arc::clone(&self.board), Arc::clone(&clock));
                    let task = Coordinator::new(ports, asked, office, clock);
                    beside.spawn(task.run(shown));
                }
            }
            Part::Worker(herald) => {
                let (peers, clock) = (&self.ports.peers, &self.ports.clock);
                if let Some(telling) =
                    herald.begin(ports.groups, Arc::clone(peers), Arc::clone(clock))
                {
                    beside.spawn(telling);
                }
            }
        }
    }

    /// What the turn saw of a primary that serves: the coordinator hears when one does again, however that came.
    pub(crate) fn note_for_citus(&mut self, seen: &Observation) {
        let Part::Worker(herald) = &mut self.citus else {
            return;
        };
        let is_idle = seen
            .work
            .kind()
            .is_none_or(|kind| kind == WorkKind::Checkpoint);
        if is_idle {
            let serves = seen.postgres.runs_as_primary()
                && seen.postgres.accepting
                && seen.lease.is_mine(seen.now);
            herald.note(serves, &Times::of(&self.spec));
        }
    }

    /// What the coordinator is told of a work that begins, and of its end. Before a planned stop its answer is waited for, since
    /// then connections wait and do not fail: no longer than it lets statements go on that are in its way, and never so long
    /// that the lease is in danger. A promotion waits for nothing.
    pub(crate) fn announce(&self, work: &Work) -> Around {
        let Part::Worker(herald) = &self.citus else {
            return Around::default();
        };
        let times = Times::of(&self.spec);
        let escalate_at = match work {
            Work::Promote { .. } => {
                herald.tell(CitusStep::BeforePromote, &times);
                return Around {
                    first: None,
                    then: Some(herald.serves_again(&times)),
                };
            }
            Work::Stop {
                mode: StopMode::Fast,
                escalate_at,
            } => *escalate_at,
            Work::Restart { .. } => None,
            Work::Bootstrap
            | Work::Clone { .. }
            | Work::Restore
            | Work::Start { .. }
            | Work::Stop { .. }
            | Work::PrePromote
            | Work::Checkpoint
            | Work::CrashRecovery
            | Work::Rewind { .. }
            | Work::CopySlots { .. }
            | Work::StopBefore { .. } => return Around::default(),
        };
        let now = self.ports.clock.now();
        let lease = self.board.seen();
        let planned = self.situation.get().primary && lease.is_mine(now) && lease.trouble.is_none();
        if !planned {
            return Around::default();
        }
        let watchdog = self.ports.watchdog.seen();
        let budget = demote_budget(watchdog.span_of(self.spec.ttl));
        let safe = serves_until(&lease, &watchdog).map(|until| until.minus(budget));
        let answered = now.plus(herald::patience(CitusStep::BeforeDemote, &times));
        let until = [Some(answered), safe, escalate_at];
        let until = until.into_iter().flatten().min().unwrap_or(now);
        let Some(done) = herald.tell(CitusStep::BeforeDemote, &times) else {
            return Around::default();
        };
        let is_restart = work.kind() == WorkKind::Restart;
        Around {
            first: Some(waiting(done, Arc::clone(&self.ports.clock), until)),
            then: is_restart.then(|| herald.serves_again(&times)),
        }
    }
}

/// Waits for the coordinator's answer, until `until`.
fn waiting(done: oneshot::Receiver<()>, clock: Arc<dyn Clock>, until: Moment) -> First {
    Box::pin(async move {
        tokio::select! {
            biased;
            _ = done => {}
            () = clock.sleep_until(until) => tracing::warn!(
                "the Citus coordinator has not answered in time; PostgreSQL stops without it, and what Citus asks of this group \
                 fails until there is a primary again"
            ),
        }
    })
}

/// Whether this member leads the coordinator's group, and by which times: it holds the leader key, and its primary serves.
fn office(
    shown: watch::Receiver<Option<Arc<Shown>>>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
) -> coordinator::Office {
    Box::new(move || {
        let shown = shown.borrow().clone();
        let shown = shown.filter(|shown| shown.role == PgRole::Primary && shown.running)?;
        let leads = board.seen().is_mine(clock.now());
        leads.then(|| coordinator::Timing {
            ttl: shown.spec.ttl,
            loop_wait: shown.spec.loop_wait,
            cooldown: shown.spec.retry_timeout,
        })
    })
}

/// What comes of a call within `patience`.
async fn within<T>(
    clock: &dyn Clock,
    patience: Duration,
    call: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = call => Some(done),
        () = clock.sleep(patience) => None,
    }
}

/// The least time that a call of the store or of a member may take here.
const CALL_PATIENCE: Duration = Duration::from_secs(2);
