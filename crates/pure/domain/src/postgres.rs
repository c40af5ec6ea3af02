//! What one PostgreSQL server shows of itself: states, roles, control data, live figures.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::{Entry, Fact, HungCommand, Lsn, MemberName, Moment, TimelineHistory, TimelineId};

/// The state of a member's PostgreSQL, with the texts and metric indexes of contract §4.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PgState {
    /// initdb runs.
    InitializingCluster,
    /// initdb failed.
    InitdbFailed,
    /// A custom bootstrap script runs.
    CustomBootstrap,
    /// A custom bootstrap script failed.
    CustomBootstrapFailed,
    /// A copy of another member is being made.
    CreatingReplica,
    /// Accepts connections.
    Running,
    /// The postmaster runs and does not accept connections yet.
    Starting,
    /// As starting, for the first time after a custom bootstrap.
    StartingAfterCustomBootstrap,
    /// Could not be started.
    StartFailed,
    /// Is being restarted.
    Restarting,
    /// Could not be restarted.
    RestartFailed,
    /// Is being stopped.
    Stopping,
    /// Does not run, and was stopped on purpose.
    Stopped,
    /// Could not be stopped.
    StopFailed,
    /// Does not run, and nobody stopped it.
    Crashed,
}

impl PgState {
    /// Every state, in the order of its metric index.
    pub const ALL: [Self; 15] = [
        Self::InitializingCluster,
        Self::InitdbFailed,
        Self::CustomBootstrap,
        Self::CustomBootstrapFailed,
        Self::CreatingReplica,
        Self::Running,
        Self::Starting,
        Self::StartingAfterCustomBootstrap,
        Self::StartFailed,
        Self::Restarting,
        Self::RestartFailed,
        Self::Stopping,
        Self::Stopped,
        Self::StopFailed,
        Self::Crashed,
    ];

    /// The text in member keys, the REST API and tables.
    pub const fn text(self) -> &'static str {
        match self {
            Self::InitializingCluster => "initializing new cluster",
            Self::InitdbFailed => "initdb failed",
            Self::CustomBootstrap => "running custom bootstrap script",
            Self::CustomBootstrapFailed => "custom bootstrap failed",
            Self::CreatingReplica => "creating replica",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::StartingAfterCustomBootstrap => "starting after custom bootstrap",
            Self::StartFailed => "start failed",
            Self::Restarting => "restarting",
            Self::RestartFailed => "restart failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::StopFailed => "stop failed",
            Self::Crashed => "crashed",
        }
    }

    /// The state with this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.text() == text)
    }
}

impl fmt::Display for PgState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// The role of a member's PostgreSQL (contract §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PgRole {
    /// Accepts writes.
    Primary,
    /// Holds the lease of a standby cluster.
    StandbyLeader,
    /// Streams or recovers.
    Replica,
    /// Was a primary and is being stopped or is stopped.
    Demoted,
    /// Between the order to promote and the end of recovery.
    Promoted,
    /// Has no data.
    Uninitialized,
}

impl PgRole {
    /// The text in member keys and the REST API.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::StandbyLeader => "standby_leader",
            Self::Replica => "replica",
            Self::Demoted => "demoted",
            Self::Promoted => "promoted",
            Self::Uninitialized => "uninitialized",
        }
    }

    /// The role with this text; `master`, as members before 4.0 wrote it, reads as primary.
    pub fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "primary" | "master" => Self::Primary,
            "standby_leader" => Self::StandbyLeader,
            "replica" => Self::Replica,
            "demoted" => Self::Demoted,
            "promoted" => Self::Promoted,
            "uninitialized" => Self::Uninitialized,
            _ => return None,
        })
    }
}

impl fmt::Display for PgRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// `server_version_num`, such as 150018.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The major version, such as 15.
    pub const fn major(self) -> u32 {
        self.0 / 10_000
    }
}

impl fmt::Display for ServerVersion {
    /// As people say it: `15.18`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

/// "Database cluster state" of pg_controldata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlState {
    /// `starting up`
    StartingUp,
    /// `shut down`: a primary that stopped in good order.
    ShutDown,
    /// `shut down in recovery`: a replica that stopped in good order.
    ShutDownInRecovery,
    /// `shutting down`
    ShuttingDown,
    /// `in crash recovery`
    InCrashRecovery,
    /// `in archive recovery`: a replica that runs, or was killed.
    InArchiveRecovery,
    /// `in production`: a primary that runs, or was killed.
    InProduction,
}

impl ControlState {
    /// Whether whoever wrote this was a primary.
    pub const fn was_primary(self) -> bool {
        match self {
            Self::ShutDown | Self::ShuttingDown | Self::InCrashRecovery | Self::InProduction => {
                true
            }
            Self::StartingUp | Self::ShutDownInRecovery | Self::InArchiveRecovery => false,
        }
    }
}

/// What pg_control says of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlData {
    /// The cluster's identity, decimal.
    pub system_id: String,
    /// The state at the last write of the file.
    pub state: ControlState,
    /// The last checkpoint's timeline.
    pub timeline: TimelineId,
    /// The last checkpoint's position. After a clean stop: of the shutdown checkpoint.
    pub checkpoint: Lsn,
    /// The end of the last checkpoint's record when it could be found; where WAL of a cleanly stopped
    /// primary ends. `None` when not looked up.
    pub checkpoint_end: Option<Lsn>,
    /// "Minimum recovery ending location" and its timeline; zero on a primary.
    pub min_recovery: (Lsn, TimelineId),
    /// Whether pg_rewind can work: wal_log_hints or data checksums.
    pub can_rewind: bool,
}

/// The data directory at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDirectory {
    /// Absent, or empty but for dot files and lost+found (contract §5.1, step 9).
    Empty,
    /// Holds a cluster whose control file could be read.
    Cluster(ControlData),
    /// Holds something, but no readable cluster.
    Invalid {
        /// What is wrong.
        why: String,
    },
    /// Can not be looked at.
    Inaccessible {
        /// What the system said.
        why: String,
    },
}

/// The WAL receiver of a replica (`pg_stat_wal_receiver`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Whether its status is `streaming`.
    pub streaming: bool,
    /// The upstream it is connected to: host and port of its conninfo.
    pub host: Option<String>,
    /// Port of its conninfo.
    pub port: Option<u16>,
    /// The slot it uses.
    pub slot: Option<String>,
    /// The timeline it receives.
    pub timeline: TimelineId,
    /// The upstream's end of WAL, as last told.
    pub latest_end: Lsn,
}

/// One row of `pg_stat_replication`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalSenderSeen {
    /// `application_name`: a member's name, or a stranger's.
    pub application_name: String,
    /// `usename`
    pub user: String,
    /// `client_addr`
    pub client: Option<String>,
    /// `state`, such as `streaming`.
    pub state: String,
    /// `sync_state`: async, potential, sync or quorum.
    pub sync_state: String,
    /// `sync_priority`
    pub sync_priority: i64,
    /// What it has written, flushed and replayed.
    pub write: Option<Lsn>,
    /// What it has flushed.
    pub flush: Option<Lsn>,
    /// What it has replayed.
    pub replay: Option<Lsn>,
}

/// One replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotSeen {
    /// `slot_type` is `logical`.
    pub logical: bool,
    /// `active`
    pub active: bool,
    /// `temporary`
    pub temporary: bool,
    /// `restart_lsn`
    pub restart: Option<Lsn>,
    /// `confirmed_flush_lsn` of a logical slot.
    pub confirmed_flush: Option<Lsn>,
    /// Whether it holds an `xmin`.
    pub has_xmin: bool,
    /// `wal_status` is `lost` (13+).
    pub lost: bool,
    /// The database of a logical slot.
    pub database: Option<String>,
    /// The output plugin of a logical slot.
    pub plugin: Option<String>,
    /// `catalog_xmin`: which rows of the catalogue it still needs.
    pub catalog_xmin: Option<u32>,
    /// PostgreSQL itself takes it to the standbys (`failover`, 17+).
    pub failover: bool,
    /// PostgreSQL itself keeps it in step with the primary's (`synced`, 17+).
    pub synced: bool,
    /// Why moving it failed for good (SQLSTATE 58P01 or 55000): only a new copy helps.
    pub broken: Option<String>,
    /// The horizons of the primary, as last compared; asked for slots that are not known to be safe.
    pub horizons: Option<Horizons>,
}

/// What the primary still keeps of the catalogue for a logical slot, and for a standby that has a copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizons {
    /// `catalog_xmin` of the slot on the primary: older rows may be gone.
    pub slot: u32,
    /// `catalog_xmin` of the physical slot that the standby streams through: older rows may be gone as soon as
    /// the slot on the primary does not need them either. `None`: it sends no feedback yet.
    pub standby: Option<u32>,
}

/// Whether `old` is not after `new`. Transaction numbers wrap around: of two, that one is older from which the
/// other is ahead by less than half of them.
pub const fn is_not_after(old: u32, new: u32) -> bool {
    new.wrapping_sub(old) < 1 << 31
}

/// What a server that answers says (one query a turn).
#[derive(Debug, Clone, PartialEq)]
pub struct LiveSeen {
    /// `pg_is_in_recovery()`
    pub in_recovery: bool,
    /// The timeline: of the current WAL file on a primary; of the receiver, else of the last checkpoint, on a replica.
    pub timeline: TimelineId,
    /// Primary: the flush position. Replica: zero.
    pub flushed: Lsn,
    /// Replica: what was received or written; zero on a primary.
    pub received: Lsn,
    /// Replica: what was replayed; zero on a primary.
    pub replayed: Lsn,
    /// `pg_last_xact_replay_timestamp()` as PostgreSQL prints it.
    pub replayed_at: Option<String>,
    /// Replay is paused.
    pub replay_paused: bool,
    /// Replay waits this long after each commit (`recovery_min_apply_delay`); zero on a primary.
    pub apply_delay: Duration,
    /// Replay stops before this time and pauses there (`recovery_target_time`), as PostgreSQL shows it.
    pub stop_before: Option<String>,
    /// The running values of what logical slots need of a server.
    pub slot_parameters: SlotParameters,
    /// A standby: its primary has raised parameters above what it runs with, so that replay can not go on
    /// before a restart with larger ones (contract §3.1, §3.5).
    pub outgrown: bool,
    /// The WAL receiver, when there is one.
    pub receiver: Option<Receiver>,
    /// `server_version_num`
    pub version: ServerVersion,
    /// `pg_postmaster_start_time()` as PostgreSQL prints it.
    pub started_at: String,
    /// Slots by name.
    pub slots: BTreeMap<String, SlotSeen>,
    /// Walsenders.
    pub replication: Vec<WalSenderSeen>,
    /// The running value of `synchronous_standby_names`.
    pub synchronous_standby_names: String,
    /// The running value of `synchronous_commit`.
    pub synchronous_commit: String,
    /// The upstream that the running configuration names, by its application of `primary_conninfo`:
    /// host and port; `None` when it names none.
    pub configured_upstream: Option<(String, u16)>,
    /// A restore_command is set: WAL may come from an archive.
    pub restores_from_archive: bool,
    /// The switch points of its own timeline's history file; empty on timeline 1, and while a replica has
    /// no such file.
    pub history: TimelineHistory,
    /// Settings that wait for a restart: name to (running, wanted).
    pub pending_restart: BTreeMap<String, (String, String)>,
}

/// Parameters that logical slots need on a server, beside what the operator has set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotParameters {
    /// `hot_standby_feedback` is on: the primary keeps the rows that copied slots need.
    pub feedback: bool,
    /// `sync_replication_slots` is on (17+): PostgreSQL keeps failover slots in step by itself.
    pub synchronize: bool,
    /// `synchronized_standby_slots` (17+): no subscriber gets ahead of these standbys. `None`: the operator's
    /// own value; empty: nobody is waited for.
    pub awaited: Option<String>,
}

impl LiveSeen {
    /// How far this server's WAL reaches: the flush position of a primary, the better of received and
    /// replayed of a replica (contract §5.4, step 10).
    pub fn position(&self) -> Lsn {
        if self.in_recovery {
            self.received.max(self.replayed)
        } else {
            self.flushed
        }
    }

    /// `streaming`, `in archive recovery` or nothing (contract §4.4).
    pub fn replication_state(&self) -> Option<&'static str> {
        if !self.in_recovery {
            return None;
        }
        match &self.receiver {
            Some(receiver) if receiver.streaming => Some("streaming"),
            Some(_) | None if self.restores_from_archive => Some("in archive recovery"),
            Some(_) | None => None,
        }
    }

    /// The walsenders that stream to `name`.
    pub fn senders_to<'a>(
        &'a self,
        name: &'a MemberName,
    ) -> impl Iterator<Item = &'a WalSenderSeen> + 'a {
        self.replication
            .iter()
            .filter(move |sender| name.same_as(&sender.application_name))
    }
}

/// Everything one look at the local PostgreSQL gives. Looking never fails: what is not known says so.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresSeen {
    /// The data directory. Control data is read afresh whenever no postmaster runs.
    pub data: DataDirectory,
    /// The postmaster's process id when one runs on this data directory.
    pub postmaster: Option<i32>,
    /// The postmaster accepts connections, is still starting up, or rejects them; `false` with a
    /// postmaster means "starting" (contract §3.6).
    pub accepting: bool,
    /// standby.signal or recovery.signal is there.
    pub standby_signal: bool,
    /// What its answer to the heartbeat query was.
    pub live: Fact<LiveSeen>,
    /// When the current postmaster was first seen.
    pub up_since: Option<Moment>,
    /// Whether clients get in.
    pub entry: Entry,
    /// A command of the operator's that it waits for, and that has run for longer than it should.
    pub hung: Option<HungCommand>,
}

impl PostgresSeen {
    /// Whether a postmaster runs.
    pub const fn is_running(&self) -> bool {
        self.postmaster.is_some()
    }

    /// The control data, when they could be read.
    pub const fn control(&self) -> Option<&ControlData> {
        match &self.data {
            DataDirectory::Cluster(control) => Some(control),
            DataDirectory::Empty
            | DataDirectory::Invalid { .. }
            | DataDirectory::Inaccessible { .. } => None,
        }
    }

    /// The shutdown checkpoint is written, and the postmaster only waits for standbys and its archiver: nothing
    /// will be written any more (contract §5.8). It accepted connections, so this is not the last stop's.
    pub fn has_shut_down(&self) -> bool {
        let control = self.control();
        let shut = control.is_some_and(|control| control.state == ControlState::ShutDown);
        shut && !self.accepting && self.live.last().is_some()
    }

    /// Whether it runs as a primary. An unanswered query falls back to the last answer of the same
    /// postmaster, then to the signal file: unknown is not "not primary" (contract §5.14, rule 9).
    pub fn runs_as_primary(&self) -> bool {
        if !self.is_running() {
            return false;
        }
        match self.live.last() {
            Some(live) => !live.in_recovery,
            None => !self.standby_signal,
        }
    }
}
