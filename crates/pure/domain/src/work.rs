//! Long work on the local PostgreSQL: at most one at a time, beside the loop, cancellable.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::{LogicalSlot, MemberName, Moment, SlotName};

/// The server that a replica streams or copies from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    /// The member, when it is one.
    pub name: Option<MemberName>,
    /// Host name or address; of another cluster several with commas, which libpq tries in turn.
    pub host: String,
    /// Port, of the first host and of all that have none of their own.
    pub port: u16,
    /// The ports of the hosts after the first, where they are not all the same.
    pub more_ports: Vec<u16>,
    /// The slot on it that this member streams through.
    pub slot: Option<SlotName>,
}

impl Upstream {
    /// A server of another cluster, out of lists as libpq reads them: one port for all hosts, or one for each; 5432 where
    /// none is given. Of a list that does not fit the hosts, which libpq would refuse, the first port counts.
    pub fn elsewhere(hosts: &str, ports: &str, slot: Option<SlotName>) -> Self {
        let mut each = ports
            .split(',')
            .map(|port| port.trim().parse().unwrap_or(5432));
        let port = each.next().unwrap_or(5432);
        let mut more_ports: Vec<u16> = each.collect();
        let fits = more_ports.len() + 1 == hosts.split(',').count();
        if !fits || more_ports.iter().all(|more| *more == port) {
            more_ports.clear();
        }
        Self {
            name: None,
            host: hosts.to_owned(),
            port,
            more_ports,
            slot,
        }
    }

    /// Every host with its port.
    pub fn ends(&self) -> impl Iterator<Item = (&str, u16)> {
        let more = self.more_ports.iter().copied();
        let ports = std::iter::once(self.port)
            .chain(more)
            .chain(std::iter::repeat(self.port));
        self.host.split(',').map(str::trim).zip(ports)
    }

    /// The port as libpq takes it: one for all hosts, or one for each.
    pub fn ports(&self) -> String {
        let mut text = self.port.to_string();
        for port in &self.more_ports {
            text.push_str(&format!(",{port}"));
        }
        text
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({}:{})", self.host, self.port),
            None => write!(f, "{}:{}", self.host, self.ports()),
        }
    }
}

/// How PostgreSQL is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopMode {
    /// SIGINT: ends sessions, writes a shutdown checkpoint, sends it to the standbys.
    Fast,
    /// SIGQUIT: ends at once; the next start recovers.
    Immediate,
}

/// As what PostgreSQL is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAs {
    /// Accepting writes. Only while the lease is held.
    Primary {
        /// The end of the lease under which this was decided: the executor checks it right before it
        /// launches the postmaster. `None` where no lease is needed: in a bootstrap and in pause.
        valid_until: Option<Moment>,
    },
    /// In recovery, streaming from `upstream` when there is one.
    Replica {
        /// The server to stream from.
        upstream: Option<Upstream>,
    },
}

/// One long work, with everything that carrying it out needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Makes a new cluster: initdb or the custom method, first start as a primary, users, scripts.
    Bootstrap,
    /// Copies `source` into the data directory. An old directory is set aside until the copy streams.
    Clone {
        /// The server to copy.
        source: Upstream,
        /// By pg_basebackup, whatever methods the settings name: a copy of this very server is asked for.
        basebackup_only: bool,
    },
    /// Fills the empty data directory by the replica methods that need nobody to copy from (`no_leader`).
    Restore,
    /// Starts PostgreSQL.
    Start {
        /// As what.
        start_as: StartAs,
        /// How long it may take.
        timeout: Duration,
    },
    /// Stops and starts PostgreSQL in the role it has.
    Restart {
        /// As what.
        start_as: StartAs,
        /// How long the start may take.
        timeout: Duration,
    },
    /// Stops PostgreSQL.
    Stop {
        /// How.
        mode: StopMode,
        /// After this moment a fast stop becomes an immediate one, and then SIGKILL.
        escalate_at: Option<Moment>,
    },
    /// Runs the operator's `pre_promote`. Only when it succeeds is the server promoted.
    PrePromote,
    /// Ends recovery. Valid only while the lease is held: the executor checks `valid_until` before the point of no return.
    Promote {
        /// The end of the lease under which this was decided.
        valid_until: Moment,
        /// How many timeline numbers are left to another region that may be promoted from the same timeline: 0 but when
        /// a standby cluster becomes a primary one. The next number is the new timeline's.
        skip_timelines: u32,
    },
    /// Writes a checkpoint.
    Checkpoint,
    /// Recovers a crashed server in single-user mode, so that its control data tell where it ended.
    CrashRecovery,
    /// Winds the data directory back to where it forked off from `source` (pg_rewind).
    Rewind {
        /// The server to be like.
        source: Upstream,
    },
    /// Copies logical slots from the primary: their files are read, this replica is stopped, the files are
    /// written, it is started again (contract §7).
    CopySlots {
        /// The primary.
        source: Upstream,
        /// Which, and as what they must be there.
        slots: BTreeMap<SlotName, LogicalSlot>,
        /// The server to stream from afterwards.
        upstream: Option<Upstream>,
        /// How long the start may take.
        timeout: Duration,
    },
    /// Starts this replica again such that replay stops before a given time, or goes on.
    StopBefore {
        /// The time, as PostgreSQL reads it; `None`: replay goes on.
        time: Option<String>,
        /// The server to stream from afterwards.
        upstream: Option<Upstream>,
        /// How long the start may take.
        timeout: Duration,
    },
}

/// The kind of a work, for tables and matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkKind {
    /// [`Work::Bootstrap`]
    Bootstrap,
    /// [`Work::Clone`]
    Clone,
    /// [`Work::Restore`]
    Restore,
    /// [`Work::Start`]
    Start,
    /// [`Work::Restart`]
    Restart,
    /// [`Work::Stop`]
    Stop,
    /// [`Work::PrePromote`]
    PrePromote,
    /// [`Work::Promote`]
    Promote,
    /// [`Work::Checkpoint`]
    Checkpoint,
    /// [`Work::CrashRecovery`]
    CrashRecovery,
    /// [`Work::Rewind`]
    Rewind,
    /// [`Work::CopySlots`]
    CopySlots,
    /// [`Work::StopBefore`]
    StopBefore,
}

impl Work {
    /// A promotion to the next timeline.
    pub const fn promote(valid_until: Moment) -> Self {
        Self::Promote {
            valid_until,
            skip_timelines: 0,
        }
    }

    /// The member that it copies.
    pub const fn copied_from(&self) -> Option<&MemberName> {
        match self {
            Self::Clone { source, .. } => source.name.as_ref(),
            Self::Bootstrap
            | Self::Restore
            | Self::Start { .. }
            | Self::Restart { .. }
            | Self::Stop { .. }
            | Self::PrePromote
            | Self::Promote { .. }
            | Self::Checkpoint
            | Self::CrashRecovery
            | Self::Rewind { .. }
            | Self::CopySlots { .. }
            | Self::StopBefore { .. } => None,
        }
    }

    /// The server that this one streams from afterwards, where it becomes or stays a replica of one.
    pub const fn upstream(&self) -> Option<&Upstream> {
        match self {
            Self::Start {
                start_as: StartAs::Replica { upstream },
                ..
            }
            | Self::Restart {
                start_as: StartAs::Replica { upstream },
                ..
            }
            | Self::CopySlots { upstream, .. }
            | Self::StopBefore { upstream, .. } => upstream.as_ref(),
            Self::Bootstrap
            | Self::Clone { .. }
            | Self::Restore
            | Self::Start { .. }
            | Self::Restart { .. }
            | Self::Stop { .. }
            | Self::PrePromote
            | Self::Promote { .. }
            | Self::Checkpoint
            | Self::CrashRecovery
            | Self::Rewind { .. } => None,
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> WorkKind {
        match self {
            Self::Bootstrap => WorkKind::Bootstrap,
            Self::Clone { .. } => WorkKind::Clone,
            Self::Restore => WorkKind::Restore,
            Self::Start { .. } => WorkKind::Start,
            Self::Restart { .. } => WorkKind::Restart,
            Self::Stop { .. } => WorkKind::Stop,
            Self::PrePromote => WorkKind::PrePromote,
            Self::Promote { .. } => WorkKind::Promote,
            Self::Checkpoint => WorkKind::Checkpoint,
            Self::CrashRecovery => WorkKind::CrashRecovery,
            Self::Rewind { .. } => WorkKind::Rewind,
            Self::CopySlots { .. } => WorkKind::CopySlots,
            Self::StopBefore { .. } => WorkKind::StopBefore,
        }
    }
}

impl fmt::Display for WorkKind {
    /// As the texts of contract §5.10 name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bootstrap => "bootstrap",
            Self::Clone | Self::Restore => "creating replica",
            Self::Start => "starting",
            Self::Restart => "restart",
            Self::Stop => "stopping",
            Self::PrePromote => "pre_promote",
            Self::Promote => "promote",
            Self::Checkpoint => "checkpoint",
            Self::CrashRecovery => "doing crash recovery in a single user mode",
            Self::Rewind => "running pg_rewind",
            Self::CopySlots => "copying logical slots",
            Self::StopBefore => "moving the end of replay",
        })
    }
}

/// Why a work failed. What the operator has to know is in the text; what decisions need is the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// Was called off before it was done.
    #[error("called off")]
    Cancelled,
    /// Did not succeed; trying again may help.
    #[error("{0}")]
    Failed(String),
    /// Did not succeed, and will not with this data directory.
    #[error("{0}")]
    Hopeless(String),
    /// The lease ended before the point of no return.
    #[error("the lease ended before the promotion")]
    LeaseEnded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_has_one_port_for_all_hosts_or_one_for_each() {
        for (hosts, ports, wanted, text) in [
            ("a,b", "", vec![("a", 5432), ("b", 5432)], "5432"),
            ("a, b", "5433", vec![("a", 5433), ("b", 5433)], "5433"),
            (
                "a,b",
                "5432, 5433",
                vec![("a", 5432), ("b", 5433)],
                "5432,5433",
            ),
            ("a,b", "5433,5433", vec![("a", 5433), ("b", 5433)], "5433"),
            ("a,b,c", "1,2", vec![("a", 1), ("b", 1), ("c", 1)], "1"),
        ] {
            let upstream = Upstream::elsewhere(hosts, ports, None);
            assert_eq!(
                upstream.ends().collect::<Vec<_>>(),
                wanted,
                "{hosts} {ports}"
            );
            assert_eq!(upstream.ports(), text, "{hosts} {ports}");
        }
    }
}
