//! The desk between the agent and whoever asks it something: the REST server reads what the last turn
//! showed, and hands in what operators want. Answers come from memory; nothing here waits for a probe.

use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    Accepted, Answer, ClusterSpec, ClusterView, HooksSeen, LeaseSeen, LiveSeen, MemberName, Moment,
    Operation, PgRole, PgState, Plea, Refusal, WallTime,
};
use pgherd_settings::Settings;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    CitusAsked, Clock, Dcs, LocalPostgres, Peers, PromiseBook, Unpromised, VoteBook, VoteRefused,
    Wake,
};

/// The longest promise.
const SPAN_MAX: Duration = Duration::from_secs(3600);

/// What one turn shows to the outside.
#[derive(Debug, Clone)]
pub struct Shown {
    /// When the turn began.
    pub at: Moment,
    /// What is wanted.
    pub spec: Arc<ClusterSpec>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The state of the member.
    pub state: PgState,
    /// The role of the member.
    pub role: PgRole,
    /// What PostgreSQL said, when it answered this turn.
    pub live: Option<LiveSeen>,
    /// The identity of the data directory.
    pub system_id: Option<String>,
    /// The cluster as last read, and when; `None` before the first read.
    pub cluster: Option<(Arc<ClusterView>, Moment, WallTime)>,
    /// Whether the last read of the DCS succeeded.
    pub dcs_answers: bool,
    /// The member document as published.
    pub member: MemberDoc,
    /// The line of the turn (contract §5).
    pub line: String,
    /// PostgreSQL accepts connections.
    pub running: bool,
    /// This member leads by the promises of the others, or promised a leader not to race.
    pub failsafe_active: bool,
    /// Why no fence guards beside the agent.
    pub unfenced: Option<String>,
    /// How the operator's callbacks and hooks went.
    pub hooks: HooksSeen,
    /// It needs a watchdog and has none that works.
    pub watchdog_failed: bool,
}

/// One request with the way back for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is wanted.
    pub operation: Operation,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// One end of the desk; cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    /// What the last turn showed; `None` before the first.
    pub shown: watch::Receiver<Option<Arc<Shown>>>,
    /// The lease, as its keeper sees it now, between turns too.
    pub lease: watch::Receiver<LeaseSeen>,
    /// Requests to the agent.
    pub requests: mpsc::Sender<Asked>,
    /// Asks the agent to read its local settings again (SIGHUP, `POST /reload`).
    pub reload: Wake,
    /// Wakes the loop.
    pub wake: Wake,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The DCS, for fresh reads and for the orders that live there.
    pub dcs: Arc<dyn Dcs>,
    /// The other members.
    pub peers: Arc<dyn Peers>,
    /// What this member promised to leaders that can not reach the DCS.
    pub promises: PromiseBook,
    /// For whom this member has voted.
    pub votes: VoteBook,
    /// Its PostgreSQL.
    pub postgres: Arc<dyn LocalPostgres>,
    /// Messages of workers of a Citus cluster, where this member is of the coordinator's group.
    pub citus: Option<mpsc::Sender<CitusAsked>>,
}

impl Desk {
    /// Whether this member holds the leader key at this very moment.
    pub fn leads(&self) -> bool {
        self.lease.borrow().is_mine(self.clock.now())
    }

    /// Hands a request in and waits for its answer.
    pub async fn request(&self, operation: Operation) -> Answer {
        let (reply, answer) = oneshot::channel();
        if self
            .requests
            .send(Asked { operation, reply })
            .await
            .is_err()
        {
            return gone();
        }
        self.wake.wake();
        answer.await.unwrap_or_else(|_| gone())
    }
}

/// Why a plea is not accepted (contract §12).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PleaRefused {
    /// Failsafe mode is off, as far as this member knows.
    #[error("failsafe mode is off")]
    Off,
    /// This member runs as a primary, or is the one that asks.
    #[error("Running as a leader")]
    Leads,
    /// The DCS answers here, and says that somebody else leads.
    #[error("{0} holds the leader key")]
    OtherLeads(MemberName),
    /// The book of promises says no.
    #[error(transparent)]
    Unpromised(#[from] Unpromised),
}

impl Desk {
    /// Answers a leader that asks this member not to race.
    ///
    /// # Errors
    /// Why it must not rely on this member.
    pub async fn promise(&self, plea: &Plea) -> Result<Accepted, PleaRefused> {
        let now = self.clock.now();
        if plea.is_farewell() {
            self.promises.release(&plea.name).await;
            self.wake.wake();
            return Ok(Accepted {
                span: plea.span,
                lsn: None,
            });
        }
        let shown = self.shown.borrow().clone();
        let Some(shown) = shown else {
            return Err(Unpromised::Starting.into());
        };
        if !shown.spec.failsafe_mode {
            return Err(PleaRefused::Off);
        }
        let live_primary = shown.live.as_ref().is_some_and(|live| !live.in_recovery);
        if live_primary || shown.role == PgRole::Primary || plea.name == shown.spec.me {
            return Err(PleaRefused::Leads);
        }
        let leader = shown
            .cluster
            .as_ref()
            .filter(|_| shown.dcs_answers)
            .and_then(|(view, _, _)| view.leader_name());
        if let Some(other) = leader.filter(|leader| **leader != plea.name) {
            // What is known may be old: the leader that asks tries again soon.
            self.wake.wake();
            return Err(PleaRefused::OtherLeads(other.clone()));
        }
        let span = plea.span.unwrap_or(shown.spec.ttl).min(SPAN_MAX);
        let was_bound = self.promises.binding(now).is_some();
        self.promises
            .promise(&plea.name, now.plus(span), now)
            .await?;
        self.promises.hear(&plea.name, plea.slots.clone());
        if !was_bound {
            self.wake.wake();
        }
        Ok(Accepted {
            span: Some(span),
            lsn: shown.live.as_ref().map(LiveSeen::position),
        })
    }
}

impl Desk {
    /// Votes for `candidate`, which holds the leader key and counts who has more WAL. Gives what this member shows, with how
    /// far its WAL reaches now that it streams from nobody.
    ///
    /// # Errors
    /// Why it must not be counted.
    pub async fn vote(&self, candidate: &MemberName) -> Result<Shown, VoteRefused> {
        let shown = self.shown.borrow().clone();
        let shown = shown.ok_or(VoteRefused::Starting)?;
        if self.leads() || shown.role == PgRole::Primary || *candidate == shown.spec.me {
            return Err(VoteRefused::Leads);
        }
        let (postgres, clock) = (&*self.postgres, &*self.clock);
        let cast = self.votes.cast(candidate, postgres, clock).await;
        // Whoever leads is to be followed soon.
        self.wake.wake();
        Ok(Shown {
            at: self.clock.now(),
            live: Some(cast?),
            ..Shown::clone(&shown)
        })
    }
}

fn gone() -> Answer {
    Answer::Refused(
        Refusal::Unavailable,
        "the agent is shutting down".to_owned(),
    )
}
