//! What is wanted: the part of the settings that decisions depend on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::{MemberName, SlotSeen, Tags, Upstream, WalBytes, WatchdogMode, ZonePolicy};

/// `synchronous_mode` (contract §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncMode {
    /// Commits do not wait for standbys.
    Off,
    /// Commits wait for the standbys named in `/sync`.
    On,
    /// Commits wait for a quorum of the voters in `/sync`.
    Quorum,
}

/// A permanent logical slot (contract §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalSlot {
    /// The database whose changes it decodes.
    pub database: String,
    /// The output plugin.
    pub plugin: String,
    /// PostgreSQL 17 and later: PostgreSQL itself takes it to the standbys. `None`: as pgherd thinks best.
    pub failover: Option<bool>,
}

/// Slots that are never touched: every property that is given must match (`ignore_slots`, contract §7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnoredSlots {
    /// Exact name.
    pub name: Option<String>,
    /// How the name begins.
    pub prefix: Option<String>,
    /// Logical ones, or physical ones.
    pub logical: Option<bool>,
    /// Exact database.
    pub database: Option<String>,
    /// Exact plugin.
    pub plugin: Option<String>,
}

impl IgnoredSlots {
    /// Whether the slot `name` is one of them.
    pub fn matches(&self, name: &str, slot: &SlotSeen) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        let prefix = self.prefix.as_deref().unwrap_or_default();
        fits(&self.name, Some(name))
            && name.starts_with(prefix)
            && self.logical.is_none_or(|logical| logical == slot.logical)
            && fits(&self.database, slot.database.as_deref())
            && fits(&self.plugin, slot.plugin.as_deref())
    }
}

/// What a standby cluster follows (`standby_cluster`, contract §14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCluster {
    /// The servers of the other cluster, without a name; several hosts are separated by commas. `None`: WAL
    /// comes from an archive only.
    pub upstream: Option<Upstream>,
}

/// What one member is to do, from its local settings and the cluster's dynamic configuration. Spans and
/// numbers are already adjusted to the rules of contract §2.2.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the operator's own on/off settings"
)]
pub struct ClusterSpec {
    /// This member.
    pub me: MemberName,
    /// What the DCS is called, as in `waiting on etcd`.
    pub store: &'static str,
    /// `postgres://HOST:PORT/DATABASE` of this member.
    pub conn_url: String,
    /// `http(s)://HOST:PORT/patroni` of this member.
    pub api_url: String,
    /// URL of a pooler in front of this member.
    pub proxy_url: Option<String>,
    /// The version this member publishes.
    pub version: String,
    /// This member's tags.
    pub tags: Tags,
    /// How long a lease lives without renewal.
    pub ttl: Duration,
    /// The longest sleep between two turns.
    pub loop_wait: Duration,
    /// How long an operation on the DCS or PostgreSQL may be retried.
    pub retry_timeout: Duration,
    /// A replica further behind than this may not race.
    pub maximum_lag_on_failover: WalBytes,
    /// A candidate must be on the newest known timeline.
    pub check_timeline: bool,
    /// How long a crashed or starting primary may take before failover.
    pub primary_start_timeout: Duration,
    /// Replicas postpone the race this long while WAL still arrives.
    pub primary_race_backoff: Duration,
    /// Entries kept in `/history`; 0 keeps all.
    pub max_timelines_history: usize,
    /// Nothing is started, stopped, promoted or demoted automatically.
    pub pause: bool,
    /// How commits wait for standbys.
    pub synchronous_mode: SyncMode,
    /// With no standby left commits wait instead of going on alone.
    pub synchronous_mode_strict: bool,
    /// How many synchronous standbys there should be; at least 1.
    pub synchronous_node_count: usize,
    /// A synchronous candidate this far behind is replaced; `None`: never.
    pub maximum_lag_on_syncnode: Option<WalBytes>,
    /// In how many zones a commit must be acknowledged; `None`: nobody asks.
    pub zones: Option<ZonePolicy>,
    /// How long a standby may lack WAL and take none before commits wait for somebody else, where there is somebody;
    /// `None`: for ever.
    pub silent_standby: Option<Duration>,
    /// Members stream through slots.
    pub use_slots: bool,
    /// How long the slot of an absent member is kept.
    pub member_slots_ttl: Duration,
    /// Slots the operator wants kept, by name.
    pub permanent_slots: Vec<String>,
    /// Those of them that are logical, by name.
    pub logical_slots: BTreeMap<String, LogicalSlot>,
    /// Slots that are never touched.
    pub ignore_slots: Vec<IgnoredSlots>,
    /// How much WAL one slot may keep before PostgreSQL gives it up; `None`: without a limit.
    pub slot_budget: Option<WalBytes>,
    /// How long the start of a replica is waited for before it is called slow; it goes on.
    pub start_timeout: Duration,
    /// In synchronous mode, how long the stop of a primary may take before it becomes an immediate one.
    pub primary_stop_timeout: Option<Duration>,
    /// Diverged members are healed by pg_rewind.
    pub use_pg_rewind: bool,
    /// A new copy may replace a data directory that pg_rewind could not heal.
    pub reclone_when_rewind_fails: bool,
    /// A new copy may replace a diverged data directory without trying pg_rewind.
    pub reclone_when_diverged: bool,
    /// A new copy may replace a data directory that needs WAL which is nowhere any more.
    pub copies_when_wal_is_gone: bool,
    /// `pre_promote` is set: it is run, and must succeed, before a promotion.
    pub runs_pre_promote: bool,
    /// A replica method needs no member to copy from (`no_leader`).
    pub restores_without_leader: bool,
    /// There is a `bootstrap` section: this member may start a new cluster.
    pub may_bootstrap: bool,
    /// The last good dynamic configuration, to be put back by the leader when `/config` is gone.
    pub dynamic_config: Option<Value>,
    /// It is what this member last knew of the cluster: read there, or kept beside the data. Else it is `bootstrap.dcs`, which
    /// says how a new cluster begins.
    pub knows_config: bool,
    /// The leader stays while the DCS is away, as long as all members of `/failsafe` agree (contract §12).
    pub failsafe_mode: bool,
    /// Whether this member leads with a watchdog only.
    pub watchdog: WatchdogMode,
    /// This cluster follows another one: its leader is a replica, too.
    pub standby: Option<RemoteCluster>,
}
