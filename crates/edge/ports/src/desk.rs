//! The desk between the agent and whoever asks it something: the REST server reads what the last turn
//! showed, and hands in what operators want. Answers come from memory; nothing here waits for a probe.

use std::sync::Arc;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    Answer, ClusterSpec, ClusterView, LeaseSeen, LiveSeen, Moment, Operation, PgRole, PgState,
    Refusal, WallTime,
};
use pgherd_settings::Settings;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Clock, Dcs, Peers, Wake};

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

fn gone() -> Answer {
    Answer::Refused(
        Refusal::Unavailable,
        "the agent is shutting down".to_owned(),
    )
}
