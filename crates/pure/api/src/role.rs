//! The role of a member in its cluster, as `/cluster` and the tables name it (contract §16.6, §18.3).

use pgherd_domain::{ClusterView, MemberName, SyncMode};

use crate::wanted::Wanted;

/// What a member is to its cluster, according to the DCS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterRole {
    /// Holds the leader key.
    Leader,
    /// Holds it in a cluster that follows another one.
    StandbyLeader,
    /// Listed in `/sync`.
    SyncStandby,
    /// A voter in `/sync`, in quorum mode.
    QuorumStandby,
    /// None of those.
    Replica,
}

impl ClusterRole {
    /// The role of `name` in `view`.
    pub fn of(name: &MemberName, view: &ClusterView, wanted: &Wanted) -> Self {
        if view.leader_name() == Some(name) {
            return if wanted.standby_cluster {
                Self::StandbyLeader
            } else {
                Self::Leader
            };
        }
        let listed = view.sync_state().is_some_and(|sync| sync.has_standby(name));
        match (listed, wanted.sync_mode) {
            (true, SyncMode::On) => Self::SyncStandby,
            (true, SyncMode::Quorum) => Self::QuorumStandby,
            (true, SyncMode::Off) | (false, _) => Self::Replica,
        }
    }

    /// Whether the member holds the leader key.
    pub const fn leads(self) -> bool {
        match self {
            Self::Leader | Self::StandbyLeader => true,
            Self::SyncStandby | Self::QuorumStandby | Self::Replica => false,
        }
    }

    /// The word in `/cluster`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::StandbyLeader => "standby_leader",
            Self::SyncStandby => "sync_standby",
            Self::QuorumStandby => "quorum_standby",
            Self::Replica => "replica",
        }
    }

    /// The words in tables.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Leader => "Leader",
            Self::StandbyLeader => "Standby Leader",
            Self::SyncStandby => "Sync Standby",
            Self::QuorumStandby => "Quorum Standby",
            Self::Replica => "Replica",
        }
    }
}
