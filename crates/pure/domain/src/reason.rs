//! Why: every decision carries reasons as data; logs, API, tables and tests all read the same values.

use std::fmt;
use std::time::Duration;

use crate::{Lsn, MemberName, TimelineId, WalBytes, WorkKind};

/// Why a member may not become primary, with the inputs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Veto {
    /// Tagged `nofailover`, or `failover_priority` 0.
    TaggedNoFailover,
    /// Its replay waits on purpose: it would lead with old data, or only after the delay is over.
    HeldBack {
        /// `recovery_min_apply_delay`
        delay: Duration,
        /// The time that replay stops before.
        stops_before: Option<String>,
    },
    /// The data directory is empty or unreadable.
    NoData,
    /// PostgreSQL does not run.
    NotRunning,
    /// PostgreSQL runs and does not answer.
    NotAnswering,
    /// PostgreSQL is starting.
    Starting,
    /// A long work is going on.
    Busy(WorkKind),
    /// The cluster is paused.
    Paused,
    /// Further behind than allowed.
    Lagging {
        /// How far.
        lag: WalBytes,
        /// How far it may be.
        limit: WalBytes,
    },
    /// On an older timeline than the cluster.
    OldTimeline {
        /// This member's.
        has: TimelineId,
        /// The cluster's.
        wants: TimelineId,
    },
    /// The data directory belongs to another cluster.
    OtherCluster,
    /// Not in `/sync`: it may lack acknowledged commits.
    NotSynchronous {
        /// Who is.
        sync: String,
    },
    /// Quorum mode: too few voters of `/sync` answered that are not ahead, so it may lack acknowledged commits.
    TooFewVotes {
        /// How many did.
        votes: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Not in `/failsafe`.
    NotInFailsafe,
    /// It promised a leader that can not reach the DCS not to race.
    Promised {
        /// Whom.
        to: MemberName,
    },
    /// A peer has more WAL.
    PeerAhead {
        /// Who.
        peer: MemberName,
        /// By how much.
        by: WalBytes,
    },
    /// A peer with the same WAL is preferred.
    PeerPreferred {
        /// Who.
        peer: MemberName,
        /// Its priority.
        priority: i64,
        /// Mine.
        mine: i64,
    },
    /// No fence guards beside the agent: nothing would stop a primary whose agent is gone.
    NoFence {
        /// Why not.
        why: String,
    },
    /// Its settings want no leader without a watchdog, and it has none that works.
    NoWatchdog {
        /// Why not.
        why: String,
    },
    /// A primary still runs.
    PrimaryAlive {
        /// Who.
        peer: MemberName,
    },
    /// The operator named somebody else.
    SomebodyElseNamed {
        /// Whom.
        candidate: MemberName,
    },
    /// The order is to step down.
    SteppingDown,
    /// Its `pre_promote` failed less than a ttl ago.
    PrePromoteFailed,
    /// Peers have not all answered yet.
    AskingPeers,
    /// The WAL position is not known.
    UnknownPosition,
    /// WAL still arrives: the race is postponed.
    StillReceiving,
    /// The leader key holds what is no member's name.
    KeyGarbled,
}

impl Veto {
    /// The line that Patroni logs for it, where it has one (contract §5.4): what people search logs for.
    pub fn as_patroni(&self) -> Option<String> {
        Some(match self {
            Self::Lagging { .. } => "My wal position exceeds maximum replication lag".to_owned(),
            Self::OldTimeline { has, wants } => {
                format!("My timeline {has} is behind last known cluster timeline {wants}")
            }
            Self::PeerAhead { peer, .. } => {
                format!("Wal position of {peer} is ahead of my wal position")
            }
            Self::PeerPreferred {
                peer,
                priority,
                mine,
            } => format!(
                "{peer} has equally tolerable WAL position and priority {priority}, while this node has \
                 priority {mine}"
            ),
            Self::NoWatchdog { .. } => "Watchdog device is not usable".to_owned(),
            Self::PrimaryAlive { peer } => format!("Primary ({peer}) is still alive"),
            Self::TaggedNoFailover
            | Self::HeldBack { .. }
            | Self::NoData
            | Self::NotRunning
            | Self::NotAnswering
            | Self::Starting
            | Self::Busy(_)
            | Self::Paused
            | Self::OtherCluster
            | Self::NotSynchronous { .. }
            | Self::TooFewVotes { .. }
            | Self::NotInFailsafe
            | Self::Promised { .. }
            | Self::NoFence { .. }
            | Self::SomebodyElseNamed { .. }
            | Self::SteppingDown
            | Self::PrePromoteFailed
            | Self::AskingPeers
            | Self::UnknownPosition
            | Self::StillReceiving
            | Self::KeyGarbled => return None,
        })
    }
}

impl fmt::Display for Veto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TaggedNoFailover => f.write_str("tagged nofailover"),
            Self::HeldBack {
                stops_before: Some(time),
                ..
            } => write!(f, "its replay stops before {time}"),
            Self::HeldBack { delay, .. } => {
                write!(
                    f,
                    "its replay is delayed by {} s (recovery_min_apply_delay)",
                    delay.as_secs()
                )
            }
            Self::NoData => f.write_str("has no data"),
            Self::NotRunning => f.write_str("PostgreSQL does not run"),
            Self::NotAnswering => f.write_str("PostgreSQL does not answer"),
            Self::Starting => f.write_str("PostgreSQL is starting"),
            Self::Busy(kind) => write!(f, "busy: {kind}"),
            Self::Paused => f.write_str("the cluster is paused"),
            Self::Lagging { lag, limit } => write!(
                f,
                "lag {} > {} (maximum_lag_on_failover)",
                bytes(*lag),
                bytes(*limit)
            ),
            Self::OldTimeline { has, wants } => {
                write!(f, "on timeline {has}, the cluster is on {wants}")
            }
            Self::OtherCluster => f.write_str("its data directory belongs to another cluster"),
            Self::NotSynchronous { sync } => write!(f, "not in /sync ({sync})"),
            Self::TooFewVotes { votes, needed } => write!(
                f,
                "{votes} of the {needed} votes that /sync demands; a voter that is not ahead has to answer"
            ),
            Self::NotInFailsafe => f.write_str("not in /failsafe"),
            Self::Promised { to } => write!(f, "promised {to} not to race (failsafe)"),
            Self::PeerAhead { peer, by } => write!(f, "{peer} is ahead by {}", bytes(*by)),
            Self::PeerPreferred {
                peer,
                priority,
                mine,
            } => {
                write!(
                    f,
                    "{peer} has failover_priority {priority}, this member has {mine}"
                )
            }
            Self::NoFence { why } => write!(f, "no fence guards it: {why}"),
            Self::NoWatchdog { why } => write!(f, "its watchdog is not usable: {why}"),
            Self::PrimaryAlive { peer } => write!(f, "{peer} still runs as a primary"),
            Self::SomebodyElseNamed { candidate } => {
                write!(f, "the operator named {candidate}")
            }
            Self::SteppingDown => f.write_str("the operator asked it to step down"),
            Self::PrePromoteFailed => f.write_str("its pre_promote script failed a moment ago"),
            Self::AskingPeers => f.write_str("the other members have not all answered yet"),
            Self::UnknownPosition => f.write_str("its WAL position is not known"),
            Self::KeyGarbled => {
                f.write_str("the leader key holds what is no member's name, so nobody can take it")
            }
            Self::StillReceiving => f.write_str("WAL still arrives (primary_race_backoff)"),
        }
    }
}

/// A number of bytes as people read it.
fn bytes(count: WalBytes) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    for (size, unit) in STEPS {
        if count >= size {
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let figure = count as f64 / size as f64;
            return if count.is_multiple_of(size) {
                format!("{} {unit}", count / size)
            } else {
                format!("{figure:.1} {unit}")
            };
        }
    }
    format!("{count} B")
}

/// Why a turn does what it does. The texts of the first one are the line that a turn logs (contract §5).
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// A text of contract §5 that needs no inputs.
    Says(&'static str),
    /// I lead.
    Leading {
        /// Me.
        me: MemberName,
    },
    /// I lead a standby cluster.
    LeadingStandby {
        /// Me.
        me: MemberName,
    },
    /// I follow the leader of a standby cluster.
    FollowingStandby {
        /// Me.
        me: MemberName,
        /// That leader.
        leader: MemberName,
    },
    /// I follow.
    Following {
        /// Me.
        me: MemberName,
        /// The leader.
        leader: MemberName,
    },
    /// Nobody leads, and that is for an operator to change.
    Idle {
        /// Me.
        me: MemberName,
    },
    /// A long work goes on.
    WorkInProgress {
        /// What.
        kind: WorkKind,
        /// Whether I hold the leader key.
        leading: bool,
    },
    /// The leader key was lost under a work.
    LostLockDuring(WorkKind),
    /// A copy is made.
    CloningFrom {
        /// From whom.
        source: String,
        /// Whether that is the leader.
        leader: bool,
    },
    /// May not race.
    NotRacing(Veto),
    /// A planned moment has not come.
    Awaiting {
        /// `switchover` or `restart`.
        what: &'static str,
        /// When.
        at: String,
        /// Seconds to go.
        seconds: i64,
    },
    /// PostgreSQL is starting.
    StillStarting {
        /// Seconds to the time-out.
        seconds: i64,
    },
    /// The data directory belongs to another cluster.
    SystemIdMismatch {
        /// Me.
        me: MemberName,
        /// The cluster's identity.
        cluster: String,
        /// The data directory's.
        mine: String,
    },
    /// A work failed.
    WorkFailed {
        /// What.
        kind: WorkKind,
        /// Why.
        why: String,
    },
    /// The histories were compared.
    Compared {
        /// Where mine ends.
        mine: (TimelineId, Lsn),
        /// The leader's timeline.
        theirs: TimelineId,
        /// Where the leader left my timeline.
        fork: Option<Lsn>,
        /// Whether mine has to be wound back.
        diverged: bool,
    },
    /// A switchover or failover was called off.
    SwitchCalledOff(String),
    /// A switchover goes on.
    Switching {
        /// To whom.
        to: Option<MemberName>,
        /// What is done now.
        phase: &'static str,
    },
    /// The data directory can not be used.
    DataDirectory(String),
    /// A line of its own about synchronous standbys.
    Sync(String),
    /// Something an operator should know.
    Note(String),
    /// Told once and loudly: nothing has failed yet, and something will.
    Warning(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Says(text) => f.write_str(text),
            Self::Leading { me } => write!(f, "no action. I am ({me}), the leader with the lock"),
            Self::LeadingStandby { me } => {
                write!(
                    f,
                    "no action. I am ({me}), the standby leader with the lock"
                )
            }
            Self::FollowingStandby { me, leader } => {
                write_following(f, me, "standby leader", leader)
            }
            Self::Following { me, leader } => write_following(f, me, "leader", leader),
            Self::Idle { me } => write!(f, "no action. I am ({me})"),
            Self::WorkInProgress {
                kind,
                leading: true,
            } => {
                write!(f, "updated leader lock during {kind}")
            }
            Self::WorkInProgress {
                kind,
                leading: false,
            } => write!(f, "{kind} in progress"),
            Self::LostLockDuring(kind) => write!(f, "lost leader lock during {kind}"),
            Self::CloningFrom {
                source,
                leader: true,
            } => {
                write!(f, "trying to bootstrap from leader '{source}'")
            }
            Self::CloningFrom {
                source,
                leader: false,
            } => {
                write!(f, "trying to bootstrap from replica '{source}'")
            }
            Self::NotRacing(veto) => write!(f, "may not become primary: {veto}"),
            Self::Awaiting { what, at, seconds } => {
                write!(f, "Awaiting {what} at {at} (in {seconds} seconds)")
            }
            Self::StillStarting { seconds } => {
                write!(
                    f,
                    "PostgreSQL is still starting up, {seconds} seconds until timeout"
                )
            }
            Self::SystemIdMismatch { me, cluster, mine } => write!(
                f,
                "system ID mismatch, node {me} belongs to a different cluster: {cluster} != {mine}"
            ),
            Self::WorkFailed { kind, why } => write!(f, "{kind} failed: {why}"),
            Self::Compared {
                mine,
                theirs,
                fork,
                diverged,
            } => write_comparison(f, *mine, *theirs, *fork, *diverged),
            Self::SwitchCalledOff(why) => write!(f, "Cleaning up failover key: {why}"),
            Self::Switching { to, phase } => match to {
                Some(to) => write!(f, "switchover to {to}: {phase}"),
                None => write!(f, "switchover: {phase}"),
            },
            Self::DataDirectory(why) => write!(f, "data directory is not accessible: {why}"),
            Self::Sync(text) | Self::Note(text) | Self::Warning(text) => f.write_str(text),
        }
    }
}

fn write_following(
    f: &mut fmt::Formatter<'_>,
    me: &MemberName,
    whom: &str,
    leader: &MemberName,
) -> fmt::Result {
    write!(
        f,
        "no action. I am ({me}), a secondary, and following a {whom} ({leader})"
    )
}

fn write_comparison(
    f: &mut fmt::Formatter<'_>,
    (timeline, lsn): (TimelineId, Lsn),
    theirs: TimelineId,
    fork: Option<Lsn>,
    diverged: bool,
) -> fmt::Result {
    write!(
        f,
        "local WAL ends at {lsn} on timeline {timeline}, leader is on {theirs}"
    )?;
    if let Some(fork) = fork {
        write!(f, ", which left timeline {timeline} at {fork}")?;
    }
    f.write_str(if diverged {
        ": rewind needed"
    } else {
        ": no rewind needed"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_veto_shows_its_inputs() {
        let veto = Veto::Lagging {
            lag: 784 << 20,
            limit: 1 << 20,
        };
        assert_eq!(
            veto.to_string(),
            "lag 784 MB > 1 MB (maximum_lag_on_failover)"
        );
    }

    #[test]
    fn a_veto_is_told_in_patronis_words_too() {
        let peer = MemberName::new("b").unwrap();
        let told = |veto: Veto| veto.as_patroni().unwrap();
        let (has, wants) = (TimelineId(3), TimelineId(4));
        assert_eq!(
            told(Veto::OldTimeline { has, wants }),
            "My timeline 3 is behind last known cluster timeline 4"
        );
        assert_eq!(
            told(Veto::PeerPreferred {
                peer,
                priority: 2,
                mine: 1
            }),
            "b has equally tolerable WAL position and priority 2, while this node has priority 1"
        );
        assert_eq!(Veto::Paused.as_patroni(), None);
    }

    #[test]
    fn the_line_of_a_turn_is_the_contracts() {
        let name = |text| MemberName::new(text).unwrap();
        assert_eq!(
            Reason::Following {
                me: name("b"),
                leader: name("a")
            }
            .to_string(),
            "no action. I am (b), a secondary, and following a leader (a)"
        );
    }
}
