//! What one turn leaves for the next. Everything that can be seen again is not here.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    Lsn, MemberName, Moment, Operation, PgRole, RemoteCluster, RequestId, Revision, SlotParameters,
    SyncWarning, TimelineId, Upstream,
};

use crate::entry::ClosedPrimary;

use crate::logical_slots::CopyState;
use crate::sync_silent::Standing;
use crate::sync_zones::Shortage;

/// The memory of one member's brain. A new agent starts with [`Memory::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Since when the identity of the data directory has not been compared with the cluster's; `None`
    /// once it was.
    pub(crate) unidentified_since: Option<Moment>,
    /// The role that PostgreSQL last ran in.
    pub(crate) role: PgRole,
    /// How far a bootstrap of this cluster by this member is.
    pub(crate) bootstrap: Bootstrap,
    /// Since when `initialize` has been empty with nobody at it.
    pub(crate) orphaned_initialize_since: Option<Moment>,
    /// Since when there has been no leader.
    pub(crate) leaderless_since: Option<Moment>,
    /// The round of questions before the race: answers to questions sent earlier do not count.
    pub(crate) round: Option<Moment>,
    /// The last leader.
    pub(crate) last_leader: Option<MemberName>,
    /// The members as last seen while there was a leader.
    pub(crate) last_members: BTreeMap<MemberName, MemberDoc>,
    /// The last server that was followed or was to be followed.
    pub(crate) last_upstream: Option<Upstream>,
    /// What is known about the local WAL beside the leader's.
    pub(crate) divergence: Divergence,
    /// Since when a running replica has not streamed.
    pub(crate) not_streaming_since: Option<Moment>,
    /// Where a running replica that does not stream stands, and since when.
    pub(crate) stands_at: Option<(Lsn, Moment)>,
    /// Single-user recovery was done for the data directory as it is.
    pub(crate) crash_recovered: bool,
    /// A switchover or failover that this leader carries out.
    pub(crate) switching: Option<Switching>,
    /// The order to switch that was noticed last, by its revision, and when it came due.
    pub(crate) order_noticed: Option<(Revision, Moment)>,
    /// Whether the key was given away is not known: until the store has been read it counts as gone.
    pub(crate) key_in_doubt: bool,
    /// PostgreSQL could not be brought up: the key goes as soon as it is stopped.
    pub(crate) give_up_key: bool,
    /// The key was given away on order: this server comes back as a replica, also in pause.
    pub(crate) stepped_down: bool,
    /// Stay out of the race until then, so that somebody else wins.
    pub(crate) sit_out_until: Option<Moment>,
    /// The leader key was asked for in a race, and nobody else has led since.
    pub(crate) raced: bool,
    /// What came of `pre_promote` since the key became mine.
    pub(crate) pre_promote: PrePromote,
    /// When `pre_promote` failed last.
    pub(crate) pre_promote_failed: Option<Moment>,
    /// Failed attempts of the work that heals this member, and when the next may begin.
    pub(crate) backoff: Backoff,
    /// The same for the checkpoint after a promotion, which heals nothing and may fail by itself.
    pub(crate) checkpoint_backoff: Backoff,
    /// The same for logical slots, whose creation waits for transactions that run.
    pub(crate) logical_backoff: Backoff,
    /// The timeline on which this primary has written a checkpoint.
    pub(crate) checkpointed: Option<TimelineId>,
    /// A restart that an operator waits for.
    pub(crate) restarting: Option<RequestId>,
    /// A restart that waits until this standby is out of `/sync`.
    pub(crate) restart_waits: Option<RestartWanted>,
    /// A planned restart.
    pub(crate) scheduled_restart: Option<ScheduledRestart>,
    /// This replica is to be made anew; whether from the leader only.
    pub(crate) reinitialize: Option<bool>,
    /// A copy has been made whose forerunner still lies beside it.
    pub(crate) old_directory: OldDirectory,
    /// A copy has been made and no server has come up on it yet.
    pub(crate) copy_is_untried: bool,
    /// The last WAL position while leaderless, for `primary_race_backoff`.
    pub(crate) last_position: Option<Lsn>,
    /// Since when member slots have had no member.
    pub(crate) absent_since: BTreeMap<String, Moment>,
    /// The upstream that gave no WAL, and when it was last passed over for the leader.
    pub(crate) passed_over: Option<(MemberName, Moment)>,
    /// Copies of the primary's logical slots, and how far each may be trusted.
    pub(crate) copies: BTreeMap<String, CopyState>,
    /// What logical slots were last said to need of this server.
    pub(crate) slot_parameters: Option<SlotParameters>,
    /// Who waits for replay to stop before a time, or to go on.
    pub(crate) moving_end: Option<RequestId>,
    /// The synchronous_standby_names in force, and what they have brought about.
    pub(crate) sync_names: Option<SyncNames>,
    /// What synchronous_standby_names was last told to be, until it is seen to be in force.
    pub(crate) ordered_names: Option<String>,
    /// What has been warned of.
    pub(crate) warned: Vec<SyncWarning>,
    /// Too few zones have a standby that commits can wait for.
    pub(crate) shortage: Option<Shortage>,
    /// Standbys that lack WAL, and since when they have taken none.
    pub(crate) standing: Standing,
    /// Quorum mode: until then a new leader waits for the members to connect before it lets go of one.
    pub(crate) connecting_until: Option<Moment>,
    /// Since when the leader key has been seen to be mine while votes are to be counted.
    pub(crate) key_since: Option<Moment>,
    /// Synchronous mode was turned off: synchronous_standby_names is still to be given back.
    pub(crate) give_sync_back: bool,
    /// A write of `/sync` may still be on its way to the store: one without an answer, or one from before this agent took the key.
    pub(crate) sync_in_doubt: bool,
    /// Since when this standby asks to be taken out of `/sync`, because it is about to stop.
    pub(crate) leaving_sync_since: Option<Moment>,
    /// Since when this server has run as a primary without a lease.
    pub(crate) primary_without_lease_since: Option<Moment>,
    /// `standby_cluster` as the last turn had it.
    pub(crate) section: Option<RemoteCluster>,
    /// The timeline on which this member last followed another cluster.
    pub(crate) followed_on: Option<TimelineId>,
    /// The servers that `standby_cluster` names have another system identifier.
    pub(crate) foreign_remote: bool,
    /// Since when a primary that is to follow another cluster asks that one who it is.
    pub(crate) demotion_asked: Option<Moment>,
    /// Why this member is wound back or copied, for its member key.
    pub(crate) rejoin_because: Option<String>,
    /// As the leader of a standby cluster this member needed a new copy, and gave the key to one nearby that might not.
    /// Until it has streamed from the other cluster it does not do so again: they may all need one.
    pub(crate) gave_way: bool,
    /// The data directory was copied from another server, and has not been started since: what its control file says of
    /// a primary is about that one.
    pub(crate) is_theirs: bool,
    /// The primary that runs closed to clients.
    pub(crate) closed: Option<ClosedPrimary>,
    /// Since when this standby looks for an upstream that is back, and when it last did.
    pub(crate) sought: Option<(Moment, Moment)>,
}

impl Memory {
    /// Whether this member makes a new cluster: its server runs as a primary without the leader key.
    pub fn bootstraps(&self) -> bool {
        self.bootstrap != Bootstrap::No
    }

    /// The memory of an agent that begins at `now`.
    pub const fn new(now: Moment) -> Self {
        Self {
            unidentified_since: Some(now),
            role: PgRole::Replica,
            bootstrap: Bootstrap::No,
            orphaned_initialize_since: None,
            leaderless_since: None,
            round: None,
            last_leader: None,
            last_members: BTreeMap::new(),
            last_upstream: None,
            divergence: Divergence::Unchecked,
            not_streaming_since: None,
            stands_at: None,
            crash_recovered: false,
            switching: None,
            order_noticed: None,
            key_in_doubt: false,
            give_up_key: false,
            stepped_down: false,
            sit_out_until: None,
            raced: false,
            pre_promote: PrePromote::Due,
            pre_promote_failed: None,
            backoff: Backoff::NONE,
            checkpoint_backoff: Backoff::NONE,
            logical_backoff: Backoff::NONE,
            checkpointed: None,
            restarting: None,
            restart_waits: None,
            scheduled_restart: None,
            reinitialize: None,
            old_directory: OldDirectory::Unknown,
            copy_is_untried: false,
            last_position: None,
            absent_since: BTreeMap::new(),
            passed_over: None,
            copies: BTreeMap::new(),
            slot_parameters: None,
            moving_end: None,
            sync_names: None,
            ordered_names: None,
            warned: Vec::new(),
            shortage: None,
            standing: BTreeMap::new(),
            connecting_until: None,
            key_since: None,
            give_sync_back: false,
            sync_in_doubt: true,
            leaving_sync_since: None,
            primary_without_lease_since: None,
            section: None,
            followed_on: None,
            foreign_remote: false,
            demotion_asked: None,
            rejoin_because: None,
            gave_way: false,
            is_theirs: false,
            closed: None,
            sought: None,
        }
    }
}

/// How far a bootstrap by this member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bootstrap {
    /// This member does not bootstrap.
    No,
    /// `initialize` is ours; the work is to begin or goes on.
    Mine,
    /// The server runs; identity, configuration and leader key are to be written.
    Created,
    /// It failed: `initialize` is to be given back, then the agent ends.
    Failed,
}

/// What came of `pre_promote` since the key became mine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrePromote {
    /// Not run, or called off.
    Due,
    /// It succeeded: the promotion may begin.
    Passed,
    /// It failed: the key is given up.
    Failed,
}

/// What is known about the local WAL beside the leader's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Divergence {
    /// Not compared since something changed.
    Unchecked,
    /// A prefix of this leader's history.
    None {
        /// Whose; `None`: the cluster's that a standby cluster follows.
        leader: Option<MemberName>,
    },
    /// Not a prefix: pg_rewind is due.
    Diverged {
        /// From whom; `None`: from the cluster that a standby cluster follows.
        leader: Option<MemberName>,
    },
    /// A prefix, of which what comes next is nowhere any more: a new copy is due.
    Behind {
        /// With whom it was compared; `None`: with the cluster that a standby cluster follows.
        leader: Option<MemberName>,
        /// Where the WAL begins that is left.
        oldest: Lsn,
        /// What was compared.
        why: String,
    },
    /// pg_rewind can not help: a new copy is due.
    Hopeless,
}

/// Whether the directory that a copy replaced may still lie about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldDirectory {
    /// A former agent may have left one.
    Unknown,
    /// Nothing of that kind.
    Gone,
}

/// A role change that this leader carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Switching {
    /// The named candidate.
    pub to: Option<MemberName>,
    /// When it began.
    pub began: Moment,
    /// The revision of the order.
    pub order: Revision,
    /// How far it is.
    pub phase: SwitchPhase,
    /// The hand-over was refused: the key is released for a race instead.
    pub race: bool,
}

/// How far a switchover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SwitchPhase {
    /// A checkpoint is written while clients go on, so that the one at shutdown is short.
    Checkpoint,
    /// Consumers of the operator's logical slots are to confirm what was written before the switchover.
    Consumers {
        /// Since when.
        since: Moment,
        /// Up to where.
        position: Lsn,
    },
    /// The candidates are asked once more, before anything is stopped, until one has what was written when this began.
    Confirming {
        /// Since when.
        since: Moment,
        /// Answers to questions from then on count.
        asked: Moment,
        /// How far this server's WAL reached.
        goal: Lsn,
    },
    /// PostgreSQL is being stopped.
    Stopping {
        /// Since when.
        since: Moment,
    },
    /// The successor is found and given the key.
    HandingOver {
        /// When PostgreSQL was first seen stopped.
        since: Moment,
    },
}

/// A setting of synchronous_standby_names as PostgreSQL runs with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyncNames {
    /// `pg_postmaster_start_time()`: of which server this is. One that is started anew shows commits that had not been
    /// confirmed, by whatever setting they waited.
    pub started: String,
    /// The running value.
    pub setting: String,
    /// When it was first seen to be in force.
    pub since: Moment,
    /// The flush position when every session certainly knew of it: whoever has that, and is waited for,
    /// misses nothing that was acknowledged.
    pub from: Option<Lsn>,
}

/// Failed attempts, and when the next may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub failures: u32,
    pub not_before: Option<Moment>,
}

impl Backoff {
    /// Nothing has failed.
    pub(crate) const NONE: Self = Self {
        failures: 0,
        not_before: None,
    };

    /// One more failure: the wait doubles from half a second to half a minute.
    pub(crate) fn failed(&mut self, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        let wait = Duration::from_millis(500 << self.failures.min(6)).min(Duration::from_secs(30));
        self.not_before = Some(now.plus(wait));
    }

    /// Success: nothing is held against the next attempt.
    pub(crate) const fn succeeded(&mut self) {
        *self = Self::NONE;
    }

    /// What is left to wait at `now`.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        self.not_before
            .map_or(Duration::ZERO, |moment| moment.since(now))
    }
}

/// A restart that is to begin as soon as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestartWanted {
    /// Who is to be told how it ended; `None` when it was planned.
    pub id: Option<RequestId>,
    /// How long the start may take; the setting when absent.
    pub timeout: Option<Duration>,
}

/// A restart planned for later.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScheduledRestart {
    /// What was asked, with its schedule.
    pub operation: Operation,
    /// `pg_postmaster_start_time()` when it was planned: another start cancels it.
    pub postmaster_started: String,
}
