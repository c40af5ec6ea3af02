//! What holds for the whole cluster and comes from `/config` only (contract §2.3).

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PermanentSlot, SlotMatcher, StandbyCluster, Timing};

/// What holds for the whole cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// ttl, loop_wait, retry_timeout, adjusted.
    pub timing: Timing,
    /// A replica further behind than this many bytes may not race.
    pub maximum_lag_on_failover: u64,
    /// A synchronous standby further behind than this many bytes is replaced; absent = never.
    pub maximum_lag_on_syncnode: Option<u64>,
    /// A candidate must be on the newest known timeline.
    pub check_timeline: bool,
    /// Entries kept in `/history`; 0 = all.
    pub max_timelines_history: u32,
    /// Time a starting primary may take before failover; zero = fail over at once when possible.
    pub primary_start_timeout: Duration,
    /// Time a slow stop may take in synchronous mode before it is escalated; absent = for ever.
    pub primary_stop_timeout: Option<Duration>,
    /// Replicas postpone the race that long while WAL still arrives.
    pub primary_race_backoff: Duration,
    /// Whether commits wait for standbys.
    pub synchronous_mode: SynchronousMode,
    /// Without a synchronous standby, writes wait.
    pub synchronous_mode_strict: bool,
    /// How many standbys a commit waits for; at least 1.
    pub synchronous_node_count: u32,
    /// The leader stays while the DCS is away, if all members agree.
    pub failsafe_mode: bool,
    /// Nothing is done automatically.
    pub pause: bool,
    /// How long the slot of an absent member is kept; zero = not at all.
    pub member_slots_ttl: Duration,
    /// Slots that exist wherever the cluster is led, by name.
    pub slots: BTreeMap<String, PermanentSlot>,
    /// Slots that are never touched.
    pub ignore_slots: Vec<SlotMatcher>,
    /// The cluster that this one follows.
    pub standby_cluster: Option<StandbyCluster>,
}

/// Whether commits wait for standbys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SynchronousMode {
    /// No.
    #[default]
    Off,
    /// For the chosen ones.
    On,
    /// For any `n` of the eligible ones.
    Quorum,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            maximum_lag_on_failover: 1_048_576,
            maximum_lag_on_syncnode: None,
            check_timeline: false,
            max_timelines_history: 0,
            primary_start_timeout: Duration::from_secs(300),
            primary_stop_timeout: None,
            primary_race_backoff: Duration::ZERO,
            synchronous_mode: SynchronousMode::Off,
            synchronous_mode_strict: false,
            synchronous_node_count: 1,
            failsafe_mode: false,
            pause: false,
            member_slots_ttl: Duration::from_secs(1800),
            slots: BTreeMap::new(),
            ignore_slots: Vec::new(),
            standby_cluster: None,
        }
    }
}
