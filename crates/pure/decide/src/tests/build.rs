//! Small worlds for tests: what one member sees, and the values they are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{
    ClusterSpec, ClusterView, ControlData, ControlState, DataDirectory, Fact, LeaseSeen, LiveSeen,
    Lsn, MemberName, Moment, Observation, PeerStatus, PgRole, PgState, PostgresSeen, ServerVersion,
    StartAs, SwitchPoint, SyncMode, Tags, TimelineHistory, TimelineId, Upstream, Versioned,
    WallTime, WorkSeen,
};
use serde_json::Value;

use crate::Memory;

/// The identity of the cluster in every test.
pub(super) const SYSTEM_ID: &str = "7000000000000000000";
/// The moment at which every test begins.
pub(super) const NOW: Moment = Moment::from_millis(1_000_000);
/// Where WAL ends in every test that says nothing else.
pub(super) const END: u64 = 0x0500_0000;
/// A primary under the lease of [`World::leader`].
pub(super) const PRIMARY: StartAs = StartAs::Primary {
    valid_until: Some(Moment::from_millis(1_025_000)),
};
/// The revision of every key that a test puts into the store.
pub(super) const REVISION: i64 = 7;

pub(super) fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One member's view of the world, and its memory.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub spec: ClusterSpec,
    pub memory: Memory,
    pub seen: Observation,
}

/// The member `me`, with an empty data directory, in a store that holds an identity and a configuration.
pub(super) fn member(me: &str) -> World {
    let mut memory = Memory::new(NOW);
    memory.unidentified_since = None;
    World {
        spec: spec(me),
        memory,
        seen: Observation {
            now: NOW,
            wall: WallTime::from_micros(1_790_000_000_000_000),
            dcs: Fact::seen(
                ClusterView {
                    initialize: Some(versioned(SYSTEM_ID.to_owned())),
                    config: Some(versioned(Value::Object(serde_json::Map::new()))),
                    ..ClusterView::default()
                },
                NOW,
            ),
            lease: LeaseSeen::NONE,
            postgres: PostgresSeen {
                data: DataDirectory::Empty,
                postmaster: None,
                accepting: false,
                standby_signal: false,
                live: unknown(),
                up_since: None,
                entry: pgherd_domain::Entry::Open,
                hung: None,
            },
            peers: BTreeMap::new(),
            upstream: None,
            work: WorkSeen::default(),
            failsafe: pgherd_domain::FailsafeSeen::default(),
            unfenced: None,
            watchdog: pgherd_domain::WatchdogSeen::Off,
            effects: Vec::new(),
            requests: Vec::new(),
            shutdown: false,
        },
    }
}

fn spec(me: &str) -> ClusterSpec {
    ClusterSpec {
        me: name(me),
        store: "etcd",
        conn_url: format!("postgres://{me}:5432/postgres"),
        api_url: api_url(me),
        proxy_url: None,
        version: "4.1.4".into(),
        tags: Tags::default(),
        ttl: secs(30),
        loop_wait: secs(10),
        retry_timeout: secs(10),
        maximum_lag_on_failover: 1 << 20,
        check_timeline: false,
        primary_start_timeout: secs(300),
        primary_race_backoff: Duration::ZERO,
        max_timelines_history: 0,
        pause: false,
        synchronous_mode: SyncMode::Off,
        synchronous_mode_strict: false,
        synchronous_node_count: 1,
        maximum_lag_on_syncnode: None,
        zones: None,
        silent_standby: Some(Duration::from_secs(5)),
        use_slots: false,
        member_slots_ttl: secs(1800),
        permanent_slots: Vec::new(),
        logical_slots: BTreeMap::new(),
        ignore_slots: Vec::new(),
        slot_budget: None,
        start_timeout: secs(60),
        primary_stop_timeout: None,
        use_pg_rewind: true,
        reclone_when_rewind_fails: true,
        reclone_when_diverged: false,
        copies_when_wal_is_gone: true,
        runs_pre_promote: false,
        restores_without_leader: false,
        may_bootstrap: true,
        dynamic_config: None,
        failsafe_mode: false,
        watchdog: pgherd_domain::WatchdogMode::Automatic,
        standby: None,
    }
}

pub(super) fn api_url(of: &str) -> String {
    format!("http://{of}:8008/patroni")
}

pub(super) const fn versioned<T>(value: T) -> Versioned<T> {
    Versioned {
        value,
        revision: REVISION,
    }
}

pub(super) fn unknown<T>() -> Fact<T> {
    Fact::Unknown {
        why: "no answer".into(),
        since: NOW,
        last: None,
    }
}

pub(super) fn control(state: ControlState, timeline: u32) -> ControlData {
    ControlData {
        system_id: SYSTEM_ID.into(),
        state,
        timeline: TimelineId(timeline),
        checkpoint: Lsn::new(END),
        checkpoint_end: None,
        min_recovery: (Lsn::default(), TimelineId(0)),
        can_rewind: true,
    }
}

pub(super) fn live(in_recovery: bool, timeline: u32, end: u64) -> LiveSeen {
    let position = |when| if when { Lsn::new(end) } else { Lsn::default() };
    LiveSeen {
        in_recovery,
        timeline: TimelineId(timeline),
        flushed: position(!in_recovery),
        received: position(in_recovery),
        replayed: position(in_recovery),
        replayed_at: None,
        replay_paused: false,
        apply_delay: Duration::ZERO,
        stop_before: None,
        slot_parameters: pgherd_domain::SlotParameters::default(),
        outgrown: false,
        receiver: None,
        version: ServerVersion(150_008),
        started_at: "2026-11-24 03:00:00+00".into(),
        slots: BTreeMap::new(),
        replication: Vec::new(),
        synchronous_standby_names: String::new(),
        synchronous_commit: "on".into(),
        configured_upstream: None,
        restores_from_archive: false,
        history: TimelineHistory::default(),
        pending_restart: BTreeMap::new(),
    }
}

/// What a replica that is at `END` answers.
pub(super) fn answer() -> PeerStatus {
    PeerStatus {
        state: Some(PgState::Running),
        role: Some(PgRole::Replica),
        is_primary: false,
        position: Lsn::new(END),
        timeline: Some(TimelineId(1)),
        nofailover: false,
        failover_priority: 1,
        watchdog_failed: false,
    }
}

pub(super) fn upstream(of: &str) -> Upstream {
    Upstream {
        name: Some(name(of)),
        host: of.into(),
        port: 5432,
        more_ports: Vec::new(),
        slot: None,
    }
}

/// A timeline whose ancestors ended at these positions.
pub(super) fn history(switches: &[(u32, u64)]) -> TimelineHistory {
    TimelineHistory {
        switches: switches
            .iter()
            .map(|&(timeline, at)| SwitchPoint {
                timeline: TimelineId(timeline),
                at: Lsn::new(at),
                reason: "no recovery target specified".into(),
            })
            .collect(),
    }
}
