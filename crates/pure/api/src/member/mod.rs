//! What one member knows of itself at the moment of a request: the input of health checks, of the status
//! document and of the metrics.

use std::time::Duration;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    ClusterSpec, ClusterView, HooksSeen, LiveSeen, Lsn, PgRole, PgState, WallTime,
};

/// One member, as its last turn saw it, and its lease as it is now.
#[derive(Debug, Clone, Copy)]
pub struct MemberFacts<'a> {
    /// What is wanted.
    pub spec: &'a ClusterSpec,
    /// The cluster's name.
    pub scope: &'a str,
    /// The cluster follows another one.
    pub standby_cluster: bool,
    /// The state.
    pub state: PgState,
    /// The role.
    pub role: PgRole,
    /// What PostgreSQL said in the last turn.
    pub live: Option<&'a LiveSeen>,
    /// The identity of the data directory.
    pub system_id: Option<&'a str>,
    /// The member document as published.
    pub member: &'a MemberDoc,
    /// The cluster, when it was read within the last ttl (contract §4.7).
    pub cluster: Option<&'a ClusterView>,
    /// When the cluster was last read.
    pub dcs_seen: Option<WallTime>,
    /// The lease is held at this very moment.
    pub leads: bool,
    /// It leads by the promises of the others, or promised a leader not to race (contract §12).
    pub failsafe_active: bool,
    /// Why no fence guards beside the agent.
    pub unfenced: Option<&'a str>,
    /// How the operator's callbacks and hooks went.
    pub hooks: &'a HooksSeen,
    /// It needs a watchdog and has none that works.
    pub watchdog_failed: bool,
    /// How long ago the last turn began.
    pub turn_age: Duration,
}

impl MemberFacts<'_> {
    /// Whether the member counts as the leader. A paused member that does not see the store answers by the
    /// role of PostgreSQL instead of the lease (contract §16.3).
    pub fn counts_as_leader(&self) -> bool {
        if self.spec.pause && self.cluster.is_none() {
            return match self.role {
                PgRole::Primary | PgRole::Promoted | PgRole::StandbyLeader => true,
                PgRole::Replica | PgRole::Demoted | PgRole::Uninitialized => false,
            };
        }
        self.leads
    }

    /// Whether PostgreSQL runs and accepts connections.
    pub fn is_running(&self) -> bool {
        self.state == PgState::Running
    }

    /// Whether PostgreSQL keeps clients out, until standbys have confirmed what it holds.
    pub const fn is_closed(&self) -> bool {
        self.member.closed.is_some()
    }

    /// The role as REST shows it: what PostgreSQL says when it answers, else the agent's own word.
    pub fn shown_role(&self) -> PgRole {
        match (self.live, self.role) {
            (Some(live), _) if !live.in_recovery => PgRole::Primary,
            (Some(_), PgRole::StandbyLeader) => PgRole::StandbyLeader,
            (Some(_), _) => PgRole::Replica,
            (None, role) => role,
        }
    }

    /// Where the leader's WAL ends as far as this member knows: the published position, or what the
    /// receiver was last told.
    pub fn known_end(&self) -> Option<Lsn> {
        let published = self.cluster.and_then(|view| view.status.optime);
        let told = self
            .live
            .and_then(|live| live.receiver.as_ref())
            .map(|receiver| receiver.latest_end)
            .filter(|end| !end.is_zero());
        published.max(told)
    }

    /// Whether `/sync` of a valid view lists this member.
    pub fn is_listed_in_sync(&self) -> bool {
        self.cluster
            .and_then(ClusterView::sync_state)
            .is_some_and(|sync| sync.has_standby(&self.spec.me))
    }
}

#[cfg(test)]
pub(crate) mod samples;
