//! One PostgreSQL server as data: its directory, its postmaster, who streams from it.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{
    ControlState, LiveSeen, Lsn, MemberName, SlotName, TimelineHistory, TimelineId, Upstream,
};

use super::names::Waiting;
use super::wal::{Said, Wal};
use crate::disk::Disk;

/// A data directory with a cluster in it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) system_id: String,
    pub(crate) wal: Wal,
    /// Where the oldest WAL begins that it still has.
    pub(crate) oldest: Lsn,
    /// How far a replica has replayed; the end of the WAL on a primary.
    pub(crate) replayed: Lsn,
    pub(crate) state: ControlState,
    /// The last checkpoint in pg_control: its timeline, position and end.
    pub(crate) checkpoint: (TimelineId, Lsn, Lsn),
    /// "Minimum recovery ending location" in pg_control: of the last restartpoint or clean stop, so it may
    /// lie before the end of the WAL of a replica that was killed.
    pub(crate) min_recovery: (Lsn, TimelineId),
    /// standby.signal is there.
    pub(crate) standby_signal: bool,
    /// The upstream that the configuration names.
    pub(crate) upstream: Option<Upstream>,
    /// `synchronous_standby_names` in the configuration.
    pub(crate) synchronous: String,
    /// Slots and what they hold back.
    pub(crate) slots: BTreeMap<SlotName, Lsn>,
    /// pg_rewind was interrupted here: it does not start.
    pub(crate) torn: bool,
    /// It has streamed since it was copied.
    pub(crate) proven: bool,
}

impl Cluster {
    /// A new cluster, as initdb makes it.
    pub(crate) fn new(system_id: String) -> Self {
        let wal = Wal::new();
        let mut cluster = Self {
            system_id,
            oldest: Lsn::default(),
            replayed: wal.end(),
            state: ControlState::ShutDown,
            checkpoint: (TimelineId(1), Lsn::new(0), Lsn::new(0)),
            min_recovery: (Lsn::default(), TimelineId(0)),
            standby_signal: false,
            upstream: None,
            synchronous: String::new(),
            slots: BTreeMap::new(),
            torn: false,
            proven: true,
            wal,
        };
        cluster.note_checkpoint();
        cluster
    }

    /// pg_control takes the last checkpoint that was written or replayed.
    pub(crate) fn note_checkpoint(&mut self) {
        if let Some(record) = self.wal.last_checkpoint(self.replayed) {
            // The end-of-recovery record is no checkpoint: pg_control keeps the old timeline until one.
            if record.said != Said::EndOfRecovery {
                self.checkpoint = (record.timeline, record.start, record.end);
                self.min_recovery = (record.end, record.timeline);
            }
        }
    }

    /// pg_control takes where recovery is now, as at a clean stop of a replica.
    pub(crate) fn note_recovery(&mut self) {
        self.min_recovery = (self.replayed, self.wal.timeline);
    }

    /// Writes a record as a primary does: flushed and visible at once.
    pub(crate) fn write(&mut self, said: Said, bytes: Option<u64>) -> Lsn {
        let record = self.wal.write(said, bytes);
        self.replayed = record.end;
        if matches!(said, Said::Checkpoint | Said::Shutdown) {
            self.checkpoint = (record.timeline, record.start, record.end);
        }
        record.end
    }
}

/// What is in the data directory.
#[derive(Debug, Clone, Default)]
pub(crate) enum Directory {
    /// Nothing.
    #[default]
    Empty,
    /// A cluster.
    Cluster(Box<Cluster>),
    /// Something that is no cluster.
    Rubbish,
}

/// What a postmaster does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Starting up, until then.
    Starting(Duration),
    /// Accepts connections.
    Open,
    /// Ends recovery, until then.
    Promoting(Duration),
    /// Was told to stop (fast): no new commits; waits for its standbys once the checkpoint is written.
    Stopping,
}

/// A standby that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sender {
    /// Which connection of it.
    pub(crate) session: u64,
    pub(crate) flushed: Lsn,
    pub(crate) slot: Option<SlotName>,
}

/// A running server.
#[derive(Debug, Clone)]
pub(crate) struct Postmaster {
    pub(crate) pid: i32,
    pub(crate) started: Duration,
    pub(crate) phase: Phase,
    pub(crate) recovery: bool,
    /// Stopped by SIGSTOP or a dead disk: it keeps its connections and answers nothing.
    pub(crate) hung: bool,
    /// The postmaster alone is stopped by SIGSTOP: sessions go on, no new ones begin, and it heeds no signal
    /// that can be caught.
    pub(crate) frozen: bool,
    /// The backends of clients are stopped by SIGSTOP: nothing is acknowledged, and no fast stop ends.
    pub(crate) backends_frozen: bool,
    /// It has taken note of a fast stop.
    pub(crate) stops: bool,
    pub(crate) senders: BTreeMap<MemberName, Sender>,
    /// The connection to the upstream while it streams.
    pub(crate) receiver: Option<Receiving>,
    /// No client gets in.
    pub(crate) closed: bool,
}

/// The WAL receiver of a replica while it streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receiving {
    pub(crate) session: u64,
    pub(crate) from: Upstream,
}

/// The server of one member.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) directory: Directory,
    /// The directory that a copy replaced, kept until the copy streams.
    pub(crate) set_aside: Option<Box<Cluster>>,
    pub(crate) postmaster: Option<Postmaster>,
    /// Counts changes of the configuration that the WAL receiver depends on.
    pub(crate) generation: u64,
    /// Fault: the WAL receiver receives nothing.
    pub(crate) stalled: bool,
    /// Fault: the host is suspended, and everything on it stands still.
    pub(crate) suspended: bool,
    pub(crate) disk: Disk,
    /// Fault: so many starts fail.
    pub(crate) failing_starts: u32,
    /// The file beside the directory that keeps clients out of the next server that is started.
    pub(crate) closed: bool,
    /// The controlled parameters as the agent last handed them in, and as the last start had them.
    pub(crate) configured: BTreeMap<String, String>,
    pub(crate) started_with: BTreeMap<String, String>,
}

impl Server {
    pub(crate) const fn cluster(&self) -> Option<&Cluster> {
        match &self.directory {
            Directory::Cluster(cluster) => Some(cluster),
            Directory::Empty | Directory::Rubbish => None,
        }
    }

    pub(crate) const fn cluster_mut(&mut self) -> Option<&mut Cluster> {
        match &mut self.directory {
            Directory::Cluster(cluster) => Some(cluster),
            Directory::Empty | Directory::Rubbish => None,
        }
    }

    /// Whether the postmaster `pid` still runs.
    pub(crate) fn runs(&self, pid: i32) -> bool {
        self.postmaster
            .as_ref()
            .is_some_and(|postmaster| postmaster.pid == pid)
    }

    /// Whether it accepts connections.
    pub(crate) fn is_open(&self) -> bool {
        self.postmaster
            .as_ref()
            .is_some_and(|postmaster| matches!(postmaster.phase, Phase::Open | Phase::Promoting(_)))
            && !self.hangs()
    }

    /// Whether it runs and nothing of it moves.
    pub(crate) fn hangs(&self) -> bool {
        self.suspended || self.postmaster.as_ref().is_some_and(|it| it.hung)
    }

    /// Whether no fast stop gets on, because somebody who must end does not move.
    pub(crate) fn can_not_end(&self) -> bool {
        let held = |it: &Postmaster| it.frozen || it.backends_frozen;
        self.hangs() || self.postmaster.as_ref().is_some_and(held)
    }

    /// Whether the sessions of clients do not move.
    pub(crate) fn backends_are_frozen(&self) -> bool {
        self.postmaster
            .as_ref()
            .is_some_and(|it| it.backends_frozen)
    }

    /// Whether its WAL receiver takes nothing.
    pub(crate) const fn takes_no_wal(&self) -> bool {
        self.stalled || self.disk.full || self.suspended
    }

    /// Whether it takes writes of clients.
    pub(crate) fn takes_writes(&self) -> bool {
        self.is_open()
            && self
                .postmaster
                .as_ref()
                .is_some_and(|postmaster| !postmaster.recovery && !postmaster.backends_frozen)
    }

    /// Whether it keeps clients out.
    pub(crate) fn is_closed(&self) -> bool {
        self.postmaster.as_ref().is_some_and(|it| it.closed)
    }

    /// Whether it runs as a primary, whatever its phase.
    pub(crate) fn runs_as_primary(&self) -> bool {
        self.postmaster
            .as_ref()
            .is_some_and(|postmaster| !postmaster.recovery)
    }

    /// Whether a commit that ends at `lsn` has been waited for enough.
    pub(crate) fn is_replicated(&self, lsn: Lsn) -> bool {
        let Some(cluster) = self.cluster() else {
            return false;
        };
        match Waiting::parse(&cluster.synchronous) {
            None => true,
            Some(waiting) => waiting.is_satisfied(lsn, &self.flushed_by_standbys()),
        }
    }

    /// What each connected standby has flushed.
    pub(crate) fn flushed_by_standbys(&self) -> BTreeMap<MemberName, Lsn> {
        self.postmaster
            .as_ref()
            .map_or_else(BTreeMap::new, |postmaster| {
                postmaster
                    .senders
                    .iter()
                    .map(|(name, sender)| (name.clone(), sender.flushed))
                    .collect()
            })
    }

    /// Ends the postmaster at once; what it flushed stays.
    pub(crate) fn drop_postmaster(&mut self) -> Option<Postmaster> {
        self.generation += 1;
        self.postmaster.take()
    }

    /// The answer to the heartbeat query.
    pub(crate) fn live(&self) -> Option<LiveSeen> {
        if !self.is_open() {
            return None;
        }
        super::seen::live(self.postmaster.as_ref()?, self.cluster()?)
    }

    /// The history that a running server tells others.
    pub(crate) fn history(&self) -> Option<(TimelineId, TimelineHistory)> {
        let wal = &self.cluster()?.wal;
        Some((wal.timeline, wal.history.clone()))
    }
}
