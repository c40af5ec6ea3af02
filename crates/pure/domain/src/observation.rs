//! What is seen: one value holds everything that one turn may look at.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    Action, ClusterView, FailsafeSeen, Lsn, MemberName, Moment, PgRole, PgState, PostgresSeen,
    TimelineHistory, TimelineId, Upstream, WallTime, WatchdogSeen, Work, WorkError, WorkKind,
};

/// A fact with its age. A probe that failed is `Unknown`, never a default.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<T> {
    /// Seen.
    Seen {
        /// What.
        value: T,
        /// When.
        at: Moment,
    },
    /// Not known now.
    Unknown {
        /// Why the last probe failed.
        why: String,
        /// Since when probes fail.
        since: Moment,
        /// What was last seen, and when.
        last: Option<(T, Moment)>,
    },
}

impl<T> Fact<T> {
    /// A fact seen at `at`.
    pub const fn seen(value: T, at: Moment) -> Self {
        Self::Seen { value, at }
    }

    /// The value when it is known now.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// The value as last seen, however long ago.
    pub fn last(&self) -> Option<&T> {
        match self {
            Self::Seen { value, .. } => Some(value),
            Self::Unknown { last, .. } => last.as_ref().map(|(value, _)| value),
        }
    }

    /// When the value was last seen.
    pub fn last_at(&self) -> Option<Moment> {
        match self {
            Self::Seen { at, .. } => Some(*at),
            Self::Unknown { last, .. } => last.as_ref().map(|(_, at)| *at),
        }
    }

    /// What follows when a probe fails at `now`: the age of the old value is kept.
    #[must_use]
    pub fn failed(self, why: String, now: Moment) -> Self {
        match self {
            Self::Seen { value, at } => Self::Unknown {
                why,
                since: now,
                last: Some((value, at)),
            },
            Self::Unknown { since, last, .. } => Self::Unknown { why, since, last },
        }
    }
}

/// Where this member stands with the leader key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The key is mine as far as the last proof says.
    Held,
    /// The key is not mine, and nothing says that it was taken from me.
    NotHeld,
    /// I held it, and the DCS has proven that I do not any more.
    Lost,
}

/// The lease as its keeper sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSeen {
    /// Held, not held, or proven lost.
    pub standing: Standing,
    /// The lease is good until here: the moment before the last acknowledged renewal was sent, and ttl.
    pub good_until: Option<Moment>,
    /// Why the last renewal did not come back, when it did not.
    pub trouble: Option<String>,
}

impl LeaseSeen {
    /// A lease that is not held.
    pub const NONE: Self = Self {
        standing: Standing::NotHeld,
        good_until: None,
        trouble: None,
    };

    /// Whether the leader key is mine at `now`: held, and the lease still good.
    pub fn is_mine(&self, now: Moment) -> bool {
        self.standing == Standing::Held && self.good_until.is_some_and(|until| now < until)
    }

    /// What is left of it at `now`.
    pub fn left(&self, now: Moment) -> Duration {
        self.good_until
            .map_or(Duration::ZERO, |until| until.since(now))
    }
}

/// What a member's REST API says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStatus {
    /// The state.
    pub state: Option<PgState>,
    /// The role.
    pub role: Option<PgRole>,
    /// It shows the position of a primary, or the role of one (contract §5.4, step 10).
    pub is_primary: bool,
    /// How far its WAL reaches.
    pub position: Lsn,
    /// Its timeline.
    pub timeline: Option<TimelineId>,
    /// `nofailover`
    pub nofailover: bool,
    /// `failover_priority`
    pub failover_priority: i64,
    /// It needs a watchdog, or a fence, and has none.
    pub watchdog_failed: bool,
}

/// A peer that was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerSeen {
    /// Asked, not answered yet.
    Asking {
        /// Since when.
        since: Moment,
    },
    /// Answered.
    Answered {
        /// When the question was sent.
        asked: Moment,
        /// What it said.
        status: PeerStatus,
    },
    /// Did not answer in time, or not sensibly.
    Unreachable {
        /// When the question was sent.
        asked: Moment,
        /// Why.
        why: String,
    },
}

impl PeerSeen {
    /// When the question was sent that this is the answer to; `None` while it is open.
    pub const fn answered_to(&self) -> Option<Moment> {
        match self {
            Self::Asking { .. } => None,
            Self::Answered { asked, .. } | Self::Unreachable { asked, .. } => Some(*asked),
        }
    }
}

/// What another server says of its own history, asked over SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSeen {
    /// Whether it is in recovery: then it is no judge of divergence (contract §5.14, rule 8).
    pub in_recovery: bool,
    /// Its cluster's identity.
    pub system_id: String,
    /// Its timeline.
    pub timeline: TimelineId,
    /// The timelines before that.
    pub history: TimelineHistory,
    /// Whether the last bytes of WAL before the local end are what it has there on its own timeline; `None` when they
    /// can not be compared.
    pub same_wal: Option<bool>,
    /// Where the oldest WAL begins that it still has, on whatever timeline; `None` when it may not be asked.
    pub oldest: Option<Lsn>,
}

/// The one long work, as it stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkSeen {
    /// What runs: the work, since when, and what it last said of its progress.
    pub running: Option<(Work, Moment, Option<String>)>,
    /// What has ended since the last turn.
    pub ended: Option<WorkEnd>,
}

impl WorkSeen {
    /// The kind of work that runs.
    pub fn kind(&self) -> Option<WorkKind> {
        self.running.as_ref().map(|(work, _, _)| work.kind())
    }
}

/// How a work ended.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkEnd {
    /// Which.
    pub work: Work,
    /// When it began.
    pub began: Moment,
    /// How it went.
    pub result: Result<(), WorkError>,
}

/// Identifies an operator's request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What an operator asks of this member.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Under which the answer goes back.
    pub id: RequestId,
    /// What.
    pub operation: Operation,
}

/// The operations on one member (contract §16.7).
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Restart PostgreSQL, now or later, if the conditions hold.
    Restart {
        /// Only in this role.
        role: Option<PgRole>,
        /// Only when the running server is older than this (`server_version_num`).
        older_than: Option<u32>,
        /// Only when a restart is pending.
        only_pending: bool,
        /// How long the start may take; `primary_start_timeout` when absent.
        timeout: Option<Duration>,
        /// When: ISO 8601 as given, and the moment. Now when absent.
        schedule: Option<(String, WallTime)>,
    },
    /// Forget a planned restart.
    CancelRestart,
    /// Make this replica anew from a copy.
    Reinitialize {
        /// Cancel what runs.
        force: bool,
        /// Copy from the leader only.
        from_leader: bool,
    },
    /// A delayed standby: replay stops before a time, and waits there to be read; or goes on.
    StopBefore {
        /// The time; `None`: replay goes on.
        time: Option<WallTime>,
    },
}

/// What came of one effect of the last turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// What was to be done.
    pub action: Action,
    /// How it went.
    pub outcome: Outcome,
}

/// How an effect went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Its fence held it back: the world had moved on. Nothing was changed.
    Refused,
    /// Nobody knows: it may have happened or not.
    Unknown(String),
}

/// Everything that one turn may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The moment of the turn.
    pub now: Moment,
    /// The wall clock, for schedules and documents only.
    pub wall: WallTime,
    /// The cluster in the DCS.
    pub dcs: Fact<ClusterView>,
    /// My lease.
    pub lease: LeaseSeen,
    /// My PostgreSQL.
    pub postgres: PostgresSeen,
    /// Peers that were asked.
    pub peers: BTreeMap<MemberName, PeerSeen>,
    /// The answer of the server that was asked for its history.
    pub upstream: Option<(Upstream, Result<UpstreamSeen, String>)>,
    /// The long work.
    pub work: WorkSeen,
    /// Promises given and received.
    pub failsafe: FailsafeSeen,
    /// Why no fence guards beside the agent; `None`: one does.
    pub unfenced: Option<String>,
    /// The watchdog of the host.
    pub watchdog: WatchdogSeen,
    /// For whom this member has voted since the cluster was last read: what was read of the leader may be older.
    pub voted: Option<MemberName>,
    /// What came of the last turn's writes to the DCS and small changes, in their order.
    pub effects: Vec<Effect>,
    /// What operators ask, oldest first; each is answered once.
    pub requests: Vec<Request>,
    /// The agent is to stop.
    pub shutdown: bool,
}
