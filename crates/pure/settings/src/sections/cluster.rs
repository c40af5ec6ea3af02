//! What holds for the whole cluster and comes from `/config` only (contract §2.3).

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{SyncMode, ZonePolicy};

use super::{PermanentSlot, SlotMatcher, StandbyCluster, Timing, slots};
use crate::reader::Reader;

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
    pub synchronous_mode: SyncMode,
    /// Without a synchronous standby, writes wait.
    pub synchronous_mode_strict: bool,
    /// How many standbys a commit waits for; at least 1.
    pub synchronous_node_count: u32,
    /// How long a synchronous standby may take no WAL before another takes its place; absent = for ever
    /// (`pgherd.silent_standby_timeout`).
    pub silent_standby: Option<Duration>,
    /// In how many zones a commit must be acknowledged (`pgherd.synchronous_zones`); absent = nobody asks.
    pub zones: Option<ZonePolicy>,
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
            synchronous_mode: SyncMode::Off,
            synchronous_mode_strict: false,
            synchronous_node_count: 1,
            silent_standby: Some(Duration::from_secs(5)),
            zones: None,
            failsafe_mode: false,
            pause: false,
            member_slots_ttl: Duration::from_secs(1800),
            slots: BTreeMap::new(),
            ignore_slots: Vec::new(),
            standby_cluster: None,
        }
    }
}

impl Cluster {
    /// Reads the keys of `/config` outside `postgresql`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let stop_timeout = either(reader, "primary_stop_timeout", "master_stop_timeout");
        Self {
            timing: Timing::read(reader),
            maximum_lag_on_failover: unsigned(reader.bytes("maximum_lag_on_failover")),
            maximum_lag_on_syncnode: Some(unsigned(reader.bytes("maximum_lag_on_syncnode")))
                .filter(|lag| *lag > 0),
            check_timeline: reader.flag("check_timeline"),
            max_timelines_history: reader.count("max_timelines_history"),
            primary_start_timeout: either(reader, "primary_start_timeout", "master_start_timeout"),
            primary_stop_timeout: Some(stop_timeout).filter(|timeout| !timeout.is_zero()),
            primary_race_backoff: reader.span("primary_race_backoff"),
            synchronous_mode: match reader.choice("synchronous_mode") {
                "quorum" => SyncMode::Quorum,
                "on" | "true" | "yes" | "1" => SyncMode::On,
                _ => SyncMode::Off,
            },
            synchronous_mode_strict: reader.flag("synchronous_mode_strict"),
            synchronous_node_count: reader.count("synchronous_node_count").max(1),
            silent_standby: Some(reader.span("pgherd.silent_standby_timeout"))
                .filter(|span| !span.is_zero()),
            zones: zones(reader),
            failsafe_mode: reader.flag("failsafe_mode"),
            pause: reader.flag("pause"),
            member_slots_ttl: reader.span("member_slots_ttl"),
            slots: slots::permanent(reader),
            ignore_slots: slots::ignored(reader),
            standby_cluster: StandbyCluster::read(reader),
        }
    }
}

/// `pgherd.synchronous_zones`. One zone is the leader's own: nothing to ask for.
fn zones(reader: &mut Reader<'_>) -> Option<ZonePolicy> {
    let at_least = reader.count("pgherd.synchronous_zones.at_least");
    if at_least < 2 {
        return None;
    }
    if !matches!(
        reader.choice("synchronous_mode"),
        "quorum" | "on" | "true" | "yes" | "1"
    ) {
        let problem = "has no effect while synchronous_mode is off";
        reader.warn("pgherd.synchronous_zones", problem);
    }
    let label = reader.given("pgherd.synchronous_zones.label");
    Some(ZonePolicy {
        label: label.unwrap_or_else(|| "zone".to_owned()),
        at_least: usize::try_from(at_least).unwrap_or(usize::MAX),
        degrade_after: reader.span_or_never("pgherd.synchronous_zones.degrade_after"),
    })
}

/// A time under its new name, else under its old one.
fn either(reader: &Reader<'_>, name: &str, old_name: &str) -> Duration {
    let name = if !reader.has(name) && reader.has(old_name) {
        old_name
    } else {
        name
    };
    reader.span(name)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
