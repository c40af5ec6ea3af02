//! What comes out of one turn.

use std::collections::BTreeMap;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{Action, Lsn, Moment, Notice, PgRole, PgState, Reason, Veto};

use crate::Memory;

/// One turn's decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// Why; the first one is the line of the turn.
    pub because: Vec<Reason>,
    /// What to tell an operator besides, as long as it holds: in order, each once.
    pub notices: Vec<Notice>,
    /// What the next turn has to know.
    pub memory: Memory,
    /// When to look again if nothing happens before.
    pub wake_at: Moment,
    /// The state to show.
    pub state: PgState,
    /// The role to show.
    pub role: PgRole,
    /// Why this member may not become primary; empty when it may.
    pub verdict: Vec<Veto>,
    /// What the member key is to say.
    pub member: MemberDoc,
    /// In failsafe mode, what a leader that asks the others for promises tells them of its slots.
    pub slots: BTreeMap<String, Lsn>,
}

impl Decision {
    /// The line that a turn logs (contract §5).
    pub fn line(&self) -> String {
        self.because
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}
